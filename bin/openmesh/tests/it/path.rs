//! The main job, end to end: collect, agree, keep, serve, prove.

use std::path::Path;

use serde_json::Value;

use crate::network::{Network, binary};

/// Arguments of a small, quick simulated network.
pub const SIMULATED: [&str; 5] = ["--simulate", "--seed", "7", "--rate", "120"];

fn number(value: &Value) -> u64 {
    value
        .as_u64()
        .or_else(|| value.as_str().and_then(|t| t.parse().ok()))
        .unwrap_or_else(|| panic!("{value} is no number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn collects_agrees_serves_proves_and_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let network = Network::start(home.path(), &SIMULATED).await;
    let status = network.until(0, "/v1/status", "thirty agreed chunks", |s| number(&s["chunks_accepted"]) >= 30).await;
    assert_eq!(status["origin"], "simulated");
    let newest = network.get(0, "/v1/chunks?limit=1").await["items"][0]["window"].as_u64();
    let disputed = network.get(0, "/v1/chunks?status=disputed&limit=50").await;
    for chunk in disputed["items"].as_array().unwrap() {
        // Only the windows in which the four were still starting may lack a quorum.
        assert!(chunk["window"].as_u64().map(|w| w + 2) <= newest, "honest nodes do not dispute: {chunk:#}");
    }

    same_blocks_everywhere(&network).await;
    serves_live_and_historic(&network).await;
    proves_and_refuses(&network, home.path()).await;

    let before = number(&network.get(0, "/v1/status").await["height"]);
    let hash = network.get(0, &format!("/v1/blocks/{before}")).await["hash"].clone();
    assert_eq!(network.stop().await, 0);

    let network = Network::start(home.path(), &SIMULATED).await;
    network.until(0, "/v1/status", "further blocks", |s| number(&s["height"]) > before + 2).await;
    assert_eq!(network.get(0, &format!("/v1/blocks/{before}")).await["hash"], hash, "it goes on from where it was");
    assert_eq!(network.stop().await, 0);
}

async fn same_blocks_everywhere(network: &Network) {
    let height = number(&network.get(0, "/v1/status").await["height"]);
    let first = network.get(0, &format!("/v1/blocks/{height}")).await;
    for node in 1..network.apis.len() {
        let path = format!("/v1/blocks/{height}");
        let same = network.until(node, &path, "the block at another node", |b| b["hash"].is_string()).await;
        assert_eq!(same["hash"], first["hash"]);
        assert_eq!(same["state_root"], first["state_root"]);
    }
    assert!(first["certificate"].as_array().unwrap().len() >= 3, "more than two thirds of four signed");
}

async fn serves_live_and_historic(network: &Network) {
    let sources = network.get(0, "/v1/sources").await;
    let market = sources["items"].as_array().unwrap().iter().find(|s| s["kind"] == "market").unwrap().clone();
    let exchange = market["exchange"].as_str().unwrap().to_string();
    let symbol = market["symbols"][0].as_str().unwrap().to_string();
    let book = network
        .until(0, &format!("/v1/books/{exchange}/{symbol}"), "a live book", |b| {
            b["bids"].as_array().is_some_and(|l| !l.is_empty()) && b["asks"].as_array().is_some_and(|l| !l.is_empty())
        })
        .await;
    assert_eq!(book["origin"], "simulated");
    assert_eq!(book["stale"], false);

    let rows = network.sql("select count(*) from trades where origin = 'simulated'").await;
    assert!(number(&rows[0][0]) > 0, "trades are tables: {rows:?}");
    let rows = network.sql("select count(*) from trades where origin <> 'simulated'").await;
    assert_eq!(number(&rows[0][0]), 0);
    let (kind, csv) = network.file("csv", "select a.height, b.height from ledger_blocks a join ledger_blocks b on a.height = b.height where a.height <= 2 order by 1").await;
    assert_eq!((kind.as_str(), csv.as_str()), ("text/csv; charset=utf-8", "height,height_2\r\n1,1\r\n2,2\r\n"));
    let rows = network.sql("select count(*) from ledger_blocks").await;
    assert!(number(&rows[0][0]) > 0);
}

async fn proves_and_refuses(network: &Network, folder: &Path) {
    let chunks = network.get(0, "/v1/chunks?status=accepted&stream=trades&limit=100").await;
    let newest = number(&network.get(0, "/v1/status").await["height"]);
    let chunk = chunks["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|c| number(&c["events"]) > 0 && number(&c["height"]) + 2 < newest)
        .unwrap_or_else(|| panic!("an agreed window with trades in {chunks:#}"));
    let cid = chunk["cid"].as_str().unwrap();
    let parquet = network.bytes(0, &format!("/v1/chunks/{cid}/parquet")).await;
    let file = folder.join("window.parquet");
    std::fs::write(&file, &parquet).unwrap();
    let (ok, text) = verify(&file, &network.trust).await;
    assert!(ok, "{text}");
    assert!(text.contains("proved:") && text.contains("SIMULATED"), "{text}");

    // The same proof does not prove another window's rows.
    let other = chunks["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|c| c["cid"] != chunk["cid"] && number(&c["events"]) > 0)
        .and_then(|c| c["cid"].as_str())
        .expect("a second window");
    let raw = folder.join("other.chunk");
    std::fs::write(&raw, network.bytes(0, &format!("/v1/chunks/{other}/raw")).await).unwrap();
    let proof = folder.join("proof.json");
    std::fs::write(&proof, network.bytes(0, &format!("/v1/chunks/{cid}/proof")).await).unwrap();
    let output = binary()
        .arg("verify")
        .arg(&raw)
        .arg("--proof")
        .arg(&proof)
        .arg("--trust")
        .arg(&network.trust)
        .output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("file to CID"), "{output:?}");

    // A validator set that somebody else trusts does not vouch for it.
    let stranger = folder.join("stranger.json");
    let mut genesis: Value = serde_json::from_slice(&std::fs::read(&network.trust).unwrap()).unwrap();
    genesis["validators"].as_array_mut().unwrap().pop();
    std::fs::write(&stranger, genesis.to_string()).unwrap();
    let (ok, text) = verify(&file, &stranger).await;
    assert!(!ok && text.contains("signatures"), "{text}");

    // A damaged file is refused, wherever the damage is.
    for at in (0..parquet.len()).step_by(parquet.len() / 40 + 1) {
        let mut damaged = parquet.clone();
        damaged[at] ^= [0x01, 0x20][at % 2];
        std::fs::write(&file, &damaged).unwrap();
        let (ok, text) = verify(&file, &network.trust).await;
        assert!(!ok, "byte {at}: {text}");
    }
}

async fn verify(file: &Path, trust: &Path) -> (bool, String) {
    let output = binary().arg("verify").arg(file).arg("--trust").arg(trust).output().await.unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}
