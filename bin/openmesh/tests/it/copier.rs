//! One validator collects nothing and repeats what the others say.

use serde_json::Value;

use crate::network::Network;

#[tokio::test(flavor = "multi_thread")]
async fn a_copier_opens_nothing_abstains_and_is_named() {
    let home = tempfile::tempdir().unwrap();
    let arguments: Vec<&str> = crate::path::SIMULATED.iter().copied().chain(["--drill-copy", "1"]).collect();
    let network = Network::start(home.path(), &arguments).await;
    let copier = network.get(1, "/v1/status").await["node"]["address"].as_str().unwrap().to_string();

    let items = |page: &Value| page["items"].as_array().cloned().unwrap_or_default();
    let incidents = network
        .until(0, "/v1/incidents?kind=copied&limit=50", "three windows in which the copier is named", |page| {
            items(page).len() >= 3
        })
        .await;
    for incident in items(&incidents) {
        assert_eq!(incident["validator"], copier.as_str(), "only who repeats is named: {incident:#}");
    }
    // The others agree without it, and its word is behind nothing.
    let named = items(&incidents).iter().filter_map(|i| i["window"].as_u64()).min().unwrap();
    let chunks = network
        .until(0, &format!("/v1/chunks?status=accepted&from={named}&limit=50"), "agreed chunks", |page| {
            items(page).len() >= 3
        })
        .await;
    for chunk in items(&chunks) {
        let attesters = chunk["attesters"].as_array().unwrap();
        assert!(attesters.len() == 3 && !attesters.contains(&Value::from(copier.clone())), "{chunk:#}");
    }
    // Closed windows tell that it abstained.
    let votes = |page: &Value| -> Vec<Value> {
        let rows = page["sources"].as_array().cloned().unwrap_or_default();
        let mut validators = page["validators"].as_array().into_iter().flatten();
        let Some(at) = validators.position(|v| v["address"] == copier.as_str()) else { return Vec::new() };
        let cells = rows.iter().flat_map(|row| row["windows"].as_array().cloned().unwrap_or_default());
        cells.filter(|cell| cell["closed"] == true).map(|cell| cell["votes"][at].clone()).collect()
    };
    network
        .until(0, "/v1/agreement?windows=60", "a closed window from which the copier abstained", |page| {
            votes(page).contains(&Value::from("abstained"))
        })
        .await;
    let differing = network.get(0, "/v1/incidents?kind=differing&limit=50").await;
    assert_eq!(items(&differing), Vec::<Value>::new(), "it is no liar, and nobody else is");
    assert_eq!(network.stop().await, 0);
}
