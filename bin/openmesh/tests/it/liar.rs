//! One validator alters the prices of one feed.

use serde_json::Value;

use crate::network::Network;

#[tokio::test(flavor = "multi_thread")]
async fn a_liar_is_outvoted_and_named_in_every_window() {
    let home = tempfile::tempdir().unwrap();
    let drill = ["--drill-alter", "1:kraken/BTC.USD/trades"];
    let arguments: Vec<&str> = crate::path::SIMULATED.iter().copied().chain(drill).collect();
    let network = Network::start(home.path(), &arguments).await;
    let liar = network.get(1, "/v1/status").await["node"]["address"].as_str().unwrap().to_string();

    let stream = "/v1/chunks?source=kraken&stream=BTC.USD/trades&limit=50";
    let attested = |chunks: &Value| -> Vec<Value> {
        let items = chunks["items"].as_array().cloned().unwrap_or_default();
        items.into_iter().filter(|c| c["events"].as_u64() > Some(0)).collect()
    };
    let chunks = network
        .until(0, stream, "three windows in which the liar was outvoted", |c| {
            attested(c).iter().filter(|c| c["differing"].as_array().is_some_and(|d| !d.is_empty())).count() >= 3
        })
        .await;
    for chunk in attested(&chunks) {
        assert_eq!(chunk["status"], "accepted", "{chunk:#}");
        let attesters = chunk["attesters"].as_array().unwrap();
        assert!(attesters.len() >= 3 && !attesters.contains(&Value::from(liar.clone())), "{chunk:#}");
        for named in chunk["differing"].as_array().unwrap() {
            assert_eq!(named, &Value::from(liar.clone()), "only the liar is named: {chunk:#}");
        }
    }
    let incidents = network.get(0, &format!("/v1/incidents?kind=differing&validator={liar}&limit=50")).await;
    let incidents = incidents["items"].as_array().unwrap();
    assert!(incidents.len() >= 3);
    assert!(incidents.iter().all(|i| i["stream"] == "BTC.USD/trades" && i["source"] == "kraken"), "{incidents:#?}");

    // Honest data is unaffected: from the first window that all four covered on, nobody else is named, in no stream.
    let first = incidents.iter().filter_map(|i| i["window"].as_u64()).min().unwrap();
    let others = network.get(0, "/v1/incidents?site=ledger&limit=500").await;
    for incident in others["items"].as_array().unwrap() {
        let honest = incident["stream"] == "BTC.USD/trades" && incident["validator"] == liar.as_str();
        assert!(honest || incident["window"].as_u64() <= Some(first), "{incident:#}");
    }
    let disputed = network.get(0, &format!("/v1/chunks?status=disputed&from={}&limit=50", first + 1)).await;
    assert_eq!(disputed["items"], Value::Array(Vec::new()));
    assert_eq!(network.stop().await, 0);
}
