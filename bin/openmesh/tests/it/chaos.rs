//! `kill -9` of any process at random.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use openmesh_primitives::SplitMix64;
use serde_json::Value;

use crate::network::{Network, signal};

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
/// that says what is missing.
async fn no_window_is_silently_missing(network: &Network) {
    let mut chunks: Vec<Value> = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = network.get(0, &format!("/v1/chunks?limit=500{cursor}")).await;
        chunks.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let mut incidents: Vec<Value> = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = network.get(0, &format!("/v1/incidents?site=ledger&limit=500{cursor}")).await;
        incidents.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let mut windows: BTreeMap<String, std::collections::BTreeSet<u64>> = BTreeMap::new();
    for chunk in &chunks {
        let source = chunk["source"].as_str().unwrap().to_string();
        windows.entry(source).or_default().insert(chunk["window"].as_u64().unwrap());
    }
    assert!(!windows.is_empty());
    for (source, present) in &windows {
        let (first, last) = (*present.first().unwrap(), *present.last().unwrap());
        for window in first..=last {
            let said = incidents.iter().any(|i| {
                i["source"] == source.as_str()
                    && i["window"].as_u64().is_some_and(|w| w <= window)
                    && (i["window"].as_u64() == Some(window)
                        || i["detail"].as_str().is_some_and(|d| d.contains("windows")))
            });
            assert!(
                present.contains(&window) || said,
                "{source}, window {window}: neither agreed on nor named in an incident"
            );
        }
    }
}
