//! Stamps end to end: a file is stamped, found by hash, topic and account, told on the stream, proved offline; bad ones are refused.

use std::path::Path;

use serde_json::{Value, json};

use crate::live::Client;
use crate::network::{Network, binary};

async fn openmesh(network: &Network, arguments: &[&str]) -> (bool, String) {
    let mut command = binary();
    let output = command.args(arguments).env("OPENMESH_API", &network.apis[0]).output().await.unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_stamped_found_told_and_proved() {
    let home = tempfile::tempdir().unwrap();
    let network = Network::start(home.path(), &crate::path::SIMULATED).await;
    let (key, file) = (home.path().join("simulated/faucet.key"), home.path().join("report.txt"));
    std::fs::write(&file, b"a report").unwrap();
    let hash = openmesh_primitives::sha256(&[b"a report"]).to_string();

    // Two connections: which of two feeds comes first is nobody's promise.
    let mut stream =
        listen(&network, json!({ "op": "subscribe", "feed": "stamps", "stamp_topic": "xnode.drill" })).await;
    let mut events = listen(&network, json!({ "op": "subscribe", "feed": "events", "kind": "stamped" })).await;
    let stamp = ["stamp", text(&file), "--topic", "xnode.drill", "--note", "drill 7", "--key", text(&key)];
    let (ok, said) = openmesh(&network, &stamp).await;
    assert!(ok && said.contains(&hash), "{said}");
    let told = stream.until("the stamp", |m| m["op"] == "stamp").await;
    assert_eq!((&told["stamp"]["hash"], &told["stamp"]["note"]), (&json!(hash), &json!("drill 7")));
    let event = events.until("its event", |m| m["op"] == "event").await;
    assert_eq!((&event["event"]["kind"], &event["event"]["hash"]), (&json!("stamped"), &json!(hash)));

    let account = told["stamp"]["account"].as_str().unwrap();
    for filter in [format!("hash={hash}"), "topic=xnode.drill".into(), format!("account={account}"), String::new()] {
        let page = network.get(0, &format!("/v1/stamps?{filter}")).await;
        assert_eq!(page["items"][0]["hash"], json!(hash), "{filter}: {page}");
        assert_eq!((page["items"].as_array().unwrap().len(), &page["next"]), (1, &Value::Null), "{filter}");
    }
    let held = network.get(0, &format!("/v1/deposits?account={account}")).await;
    assert_eq!((&held["items"][0]["kind"], &held["items"][0]["hash"]), (&json!("stamp"), &json!(hash)), "{held}");
    let (ok, said) = openmesh(&network, &stamp).await;
    assert!(!ok && said.contains("stamped this hash under this topic already"), "{said}");

    proves(&network, home.path(), text(&file)).await;
    refuses(&network, &hash, account).await;
    assert_eq!(network.stop().await, 0);
}

async fn listen(network: &Network, request: Value) -> Client {
    let mut stream = Client::open(network).await;
    stream.say(request.to_string()).await;
    stream.until("the subscription", |m| m["op"] == "subscribed").await;
    stream
}

async fn proves(network: &Network, folder: &Path, file: &str) {
    let height = network.get(0, "/v1/status").await["height"].as_u64();
    network.until(0, "/v1/status", "a block after the stamp's", |s| s["height"].as_u64() > height).await;
    let (saved, trust) = (folder.join("proof.json"), text(&network.trust));
    let check = ["stamp", "check", file, "--topic", "xnode.drill", "--trust", trust, "--save", text(&saved)];
    let (ok, said) = openmesh(network, &check).await;
    assert!(ok && said.contains("proved: ") && said.contains("drill 7"), "{said}");
    // No node is asked: the address is one at which nobody listens.
    let offline = ["stamp", "check", file, "--proof", text(&saved), "--trust", trust, "--api", "127.0.0.1:9"];
    let (ok, said) = openmesh(network, &offline).await;
    assert!(ok && said.contains("proved: "), "{said}");
    std::fs::write(folder.join("report.txt"), b"another report").unwrap();
    let (ok, said) = openmesh(network, &offline).await;
    assert!(!ok && said.contains("NOT PROVED: hash"), "{said}");
    let stranger = folder.join("stranger.json");
    let mut genesis: Value = serde_json::from_slice(&std::fs::read(&network.trust).unwrap()).unwrap();
    genesis["validators"].as_array_mut().unwrap().pop();
    std::fs::write(&stranger, genesis.to_string()).unwrap();
    std::fs::write(folder.join("report.txt"), b"a report").unwrap();
    let strange = ["stamp", "check", file, "--proof", text(&saved), "--trust", text(&stranger)];
    let (ok, said) = openmesh(network, &strange).await;
    assert!(!ok && said.contains("NOT PROVED: signatures"), "{said}");
}

async fn refuses(network: &Network, hash: &str, account: &str) {
    let code = |body: &Value| body["error"]["code"].as_str().unwrap_or_default().to_string();
    for (path, expected) in [
        (format!("/v1/stamps?hash={}", &hash[2..]), "bad_hash"),
        ("/v1/stamps?topic=a%07b".to_string(), "bad_topic"),
        (format!("/v1/stamps?topic={}", "a".repeat(65)), "bad_topic"),
        ("/v1/stamps?account=me".to_string(), "bad_address"),
        ("/v1/stamps?cursor=zz".to_string(), "bad_cursor"),
        (format!("/v1/stamps?hash={hash}&cursor=1-2"), "bad_cursor"),
        ("/v1/deposits?account=me".to_string(), "bad_address"),
        ("/v1/deposits?cursor=zz".to_string(), "bad_cursor"),
        (format!("/v1/stamps/{hash}/proof?topic=other&account={account}"), "unknown_stamp"),
        (format!("/v1/stamps/{hash}/proof"), "bad_parameter"),
    ] {
        let (status, body) = network.try_get(0, &path).await.unwrap();
        assert!((400..500).contains(&status), "{path}: {status}");
        assert_eq!(code(&body), expected, "{path}: {body}");
    }
    let of = |fields: Value| json!({ "from": account, "action": fields });
    for (action, expected) in [
        (json!({ "kind": "stamp", "hash": &hash[2..], "topic": "a" }), "bad_hash"),
        (json!({ "kind": "stamp", "hash": format!("{hash}00"), "topic": "a" }), "bad_hash"),
        (json!({ "kind": "stamp", "hash": hash }), "bad_action"),
    ] {
        let (status, body) = network.post(0, "/v1/transactions/typed-data", &of(action.clone())).await;
        assert_eq!((status, code(&body).as_str()), (400, expected), "{action}: {body}");
    }
    let mebibyte = json!({ "kind": "stamp", "hash": hash, "topic": "a", "note": "n".repeat(1 << 20) });
    let (status, body) = network.post(0, "/v1/transactions/typed-data", &of(mebibyte)).await;
    assert_eq!((status, code(&body).as_str()), (413, "body_too_large"), "{body}");
}
