//! A node under a thousand hostile API requests a second, beside honest clients. `make siege`.
//!
//! Hostile requests come from a process of their own and from addresses of their own (127.0.1.x), so that neither their
//! generator's work nor their address is confused with the honest clients'. Measured: the interval of blocks as a stream tells of them, and
//! the time of honest requests, without and with hostile ones. What must hold whatever the machine: every honest request is
//! answered, blocks go on, memory is bounded. Ratios are printed for a person to judge.

mod honest;
mod hostile;
mod machine;

use std::time::Duration;

use tempfile::TempDir;

use crate::network::Network;
use honest::Measured;

/// Hostile requests a second: the bar of the roadmap.
const HOSTILE_PER_SECOND: u32 = 1_000;
/// Longest pause between blocks under siege, in seconds: ten times the usual interval is a stall.
const BLOCK_PAUSE_SECONDS_MAX: u64 = 10;
/// Most growth of the node's memory under siege, in MiB: all queries together may take 512 ([`openmesh_pythia::Config`]).
const MEMORY_GROWTH_MIB_MAX: u64 = 768;

fn seconds() -> u64 {
    std::env::var("OPENMESH_SIEGE_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(30)
}

fn validators() -> String {
    std::env::var("OPENMESH_SIEGE_VALIDATORS").unwrap_or_else(|_| "1".into())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes two minutes: make siege"]
async fn a_thousand_hostile_requests_a_second() {
    let (home, validators) = (TempDir::new().unwrap(), validators());
    let network = Network::start(home.path(), &["--simulate", "--seed", "7", "--validators", &validators]).await;
    network.until(0, "/v1/status", "agreed chunks", |status| status["chunks_accepted"].as_u64() > Some(20)).await;
    let node = network.processes().running()["validator-0"];
    let time = Duration::from_secs(seconds());
    let api = network.apis[0].clone();

    let (before, idle) = machine::watched(node, None, honest::clients(api.clone(), time)).await;
    let mut besiegers = hostile::besiege(&api, HOSTILE_PER_SECOND, time + Duration::from_secs(40));
    hostile::until_at_rate(&mut besiegers).await;
    let (during, busy) = machine::watched(node, Some(besiegers.id()), honest::clients(api.clone(), time)).await;
    let sent = hostile::end(besiegers).await;

    print!("{}", report(&before, &during));
    println!("shares of the machine, in processors: without {idle}; with {busy}");
    println!("hostile: {sent}");
    for (phase, measured) in [("without", &before), ("with", &during)] {
        assert_eq!(measured.failures(), Vec::<String>::new(), "honest requests {phase} hostile ones");
        assert!(measured.requests() > 0 && measured.blocks.len() > 1, "{phase}: nothing was measured");
    }
    let pause = during.blocks.iter().max().copied().unwrap_or_default();
    assert!(pause < Duration::from_secs(BLOCK_PAUSE_SECONDS_MAX), "no block for {pause:?}");
    let grown = busy.memory_mib_max.saturating_sub(idle.memory_mib_max);
    assert!(grown <= MEMORY_GROWTH_MIB_MAX, "the node grew by {grown} MiB");
    assert!(sent.per_second() * 10 >= HOSTILE_PER_SECOND * 9, "the siege was weaker than it says: {sent}");
    // Whoever held a place has given it back.
    let status = network.get(0, "/v1/status").await;
    assert!(status["height"].as_u64() > Some(0));
    assert_eq!(network.stop().await, 0);
}

fn report(before: &Measured, during: &Measured) -> String {
    let mut text = format!(
        "\n{:<16} {:>10} {:>10} {:>7}   {:>10} {:>10} {:>7}\n",
        "", "p50", "p50 siege", "ratio", "p99", "p99 siege", "ratio"
    );
    let mut line = |name: &str, calm: &[Duration], siege: &[Duration]| {
        let [p50, p50_siege, p99, p99_siege] =
            [(calm, 50), (siege, 50), (calm, 99), (siege, 99)].map(|(all, at)| honest::percentile(all, at) * 1_000.0);
        let ratios = (p50_siege / p50, p99_siege / p99);
        text += &format!(
            "{name:<16} {p50:>7.2} ms {p50_siege:>7.2} ms {:>7.2}   {p99:>7.2} ms {p99_siege:>7.2} ms {:>7.2}\n",
            ratios.0, ratios.1
        );
    };
    line("block interval", &before.blocks, &during.blocks);
    for (name, calm) in &before.times {
        line(name, calm, during.times.get(name).map_or(&[], Vec::as_slice));
    }
    text
}
