//! `kill -9` of any process at random.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use openmesh_primitives::SplitMix64;
use serde_json::Value;

use crate::network::{Network, PATIENCE, signal};

/// Time during which processes are killed.
const CHAOS: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn nothing_committed_is_lost_and_nothing_is_silently_missing() {
    let seed = std::env::var("OPENMESH_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(20_261_120);
    println!("seed {seed}: repeat with OPENMESH_SEED={seed}");
    let mut random = SplitMix64::new(seed);
    let home = tempfile::tempdir().unwrap();
    let network = Network::start(home.path(), &crate::path::SIMULATED).await;
    network.until(0, "/v1/status", "an agreed chunk", |s| s["chunks_accepted"].as_u64() > Some(0)).await;

    // What was seen committed at any node at any time.
    let mut seen: BTreeMap<u64, String> = BTreeMap::new();
    let until = Instant::now() + CHAOS;
    let mut kills = 0;
    while Instant::now() < until {
        let victims = network.children();
        if !victims.is_empty() {
            let victim = victims[usize::try_from(random.next() % victims.len() as u64).unwrap()];
            signal(victim, rustix::process::Signal::KILL);
            kills += 1;
        }
        let pause = Duration::from_millis(1_000 + random.next() % 4_000);
        let next = Instant::now() + pause;
        while Instant::now() < next {
            remember(&network, &mut seen).await;
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }
    println!("{kills} processes killed, {} blocks seen", seen.len());
    assert!(kills >= 10, "only {kills} kills");

    // All of it at once, and again from disk.
    network.kill().await;
    let network = Network::start(home.path(), &crate::path::SIMULATED).await;
    let newest = *seen.keys().last().expect("blocks were seen");
    for node in 0..network.apis.len() {
        network.until(node, "/v1/status", "catching up", |s| s["height"].as_u64() > Some(newest + 3)).await;
    }
    for (height, hash) in &seen {
        for node in 0..network.apis.len() {
            let block = network.get(node, &format!("/v1/blocks/{height}")).await;
            assert_eq!(block["hash"].as_str(), Some(hash.as_str()), "block {height} at node {node}: lost or forked");
        }
    }
    no_window_is_silently_missing(&network).await;
    assert_eq!(network.stop().await, 0);
}

async fn remember(network: &Network, seen: &mut BTreeMap<u64, String>) {
    for node in 0..network.apis.len() {
        if let Ok((200, page)) = network.try_get(node, "/v1/blocks?limit=20").await {
            for block in page["items"].as_array().into_iter().flatten() {
                let (Some(height), Some(hash)) = (block["height"].as_u64(), block["hash"].as_str()) else { continue };
                let first = seen.entry(height).or_insert_with(|| hash.to_string());
                assert_eq!(first, hash, "a fork at height {height}");
            }
        }
    }
}

/// Between a source's first and last window on the ledger, each window was either agreed on, or there is an incident
/// that says what is missing. One that is still open is neither: it is waited for until the ledger has closed it.
async fn no_window_is_silently_missing(network: &Network) {
    let height = async || network.get(0, "/v1/status").await["height"].as_u64().unwrap();
    let genesis: Value = serde_json::from_slice(&std::fs::read(&network.trust).unwrap()).unwrap();
    let blocks = genesis["params"]["windows"]["window_close_blocks"].as_u64().unwrap();
    let wanted = agreed(network).await;
    assert!(!wanted.is_empty());
    // The last one closes within so many blocks. What nobody has attested by then is named there; what was opened in the last of them has as many again.
    let closed = height().await + 2 * blocks + 1;
    let deadline = Instant::now() + 3 * PATIENCE;
    loop {
        let now = height().await;
        let silent = silent(network, &wanted).await;
        if silent.is_empty() {
            return;
        }
        assert!(now <= closed, "neither agreed on nor named in an incident: {silent:?}");
        assert!(Instant::now() < deadline, "blocks are too slow: {now} of {closed}, and not told of are {silent:?}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Windows of each source of which a chunk was agreed on.
async fn agreed(network: &Network) -> BTreeMap<String, BTreeSet<u64>> {
    let mut windows: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    for chunk in all(network, "/v1/chunks?limit=500").await {
        let source = chunk["source"].as_str().unwrap().to_string();
        windows.entry(source).or_default().insert(chunk["window"].as_u64().unwrap());
    }
    windows
}

/// Windows between the first and the last of these of which nothing is told.
async fn silent(network: &Network, wanted: &BTreeMap<String, BTreeSet<u64>>) -> Vec<(String, u64)> {
    let present = agreed(network).await;
    let incidents = all(network, "/v1/incidents?site=ledger&limit=500").await;
    let mut silent = Vec::new();
    for (source, windows) in wanted {
        let (first, last) = (*windows.first().unwrap(), *windows.last().unwrap());
        for window in first..=last {
            let said = incidents.iter().any(|i| {
                i["source"] == source.as_str()
                    && i["window"].as_u64().is_some_and(|w| w <= window)
                    && (i["window"].as_u64() == Some(window)
                        || i["detail"].as_str().is_some_and(|d| d.contains("windows")))
            });
            if !said && !present[source].contains(&window) {
                silent.push((source.clone(), window));
            }
        }
    }
    silent
}

/// All items of a list, page by page.
async fn all(network: &Network, path: &str) -> Vec<Value> {
    let (mut items, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = network.get(0, &format!("{path}{cursor}")).await;
        items.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return items,
        }
    }
}
