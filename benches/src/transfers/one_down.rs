//! The pause between blocks while one of the validators is down, beside that of the whole network: idle, and at half of the rate at
//! which the whole network is saturated.

use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::load::{self, Plan};
use super::net::Net;
use super::report::report;
use crate::door::Door;

/// Pause before an idle network is measured, so that the blocks of a load are over.
const SETTLE: Duration = Duration::from_secs(3);

/// The bar for a pause with one validator down, in those of the whole network.
const RATIO_MAX: f64 = 2.0;

/// Mean pauses between blocks, milliseconds.
struct Pauses {
    idle: f64,
    half: f64,
}

/// Measures the whole network, stops a validator, measures the others, and prints both with their ratios.
pub async fn run(net: &mut Net, plan: &Plan, idle: Duration, seconds: u64) -> anyhow::Result<()> {
    anyhow::ensure!(net.len() >= 4, "with fewer than four validators none can be down");
    let saturated = load::run(net, plan).await?;
    report(net, plan, &saturated);
    let rate = (saturated.per_second() as u64 / 2).max(1);
    let half = Plan {
        count: rate * seconds,
        rate: Some(rate),
        connections: plan.connections,
        batch: plan.batch,
        length: None,
    };
    let whole = measure(net, &half, idle).await?;
    net.stop_last().await;
    let down = measure(net, &half, idle).await?;
    eprintln!(
        "pause between blocks, the whole network and with one validator down: idle {:.0} and {:.0} ms, at {rate} transfers a \
         second {:.0} and {:.0} ms",
        whole.idle, down.idle, whole.half, down.half
    );
    println!(
        "{}",
        serde_json::json!({
            "benchmark": "one_down",
            "unit": "milliseconds between blocks, mean",
            "offered_per_second": rate,
            "idle": whole.idle.round(),
            "idle_one_down": down.idle.round(),
            "idle_ratio": (down.idle / whole.idle * 100.0).round() / 100.0,
            "half_load": whole.half.round(),
            "half_load_one_down": down.half.round(),
            "half_load_ratio": (down.half / whole.half * 100.0).round() / 100.0,
            "bar_ratio": RATIO_MAX,
            "met": down.idle <= whole.idle * RATIO_MAX && down.half <= whole.half * RATIO_MAX,
        })
    );
    Ok(())
}

async fn measure(net: &mut Net, half: &Plan, idle: Duration) -> anyhow::Result<Pauses> {
    tokio::time::sleep(SETTLE).await;
    let host = net.hosts[0].clone();
    let idle = mean_pause(&host, idle).await?;
    let length = Duration::from_secs_f64(half.count as f64 / half.rate.unwrap_or(1) as f64);
    let (pause, outcome) = tokio::join!(mean_pause(&host, length), load::run(net, half));
    report(net, half, &outcome?);
    Ok(Pauses { idle, half: pause? })
}

/// Mean pause between the blocks that a node tells of within a time, milliseconds.
async fn mean_pause(host: &str, length: Duration) -> anyhow::Result<f64> {
    let mut blocks = Door::open(host).await?.blocks(host).await?;
    let (until, mut first, mut last, mut count) = (tokio::time::Instant::now() + length, None, None, 0u32);
    while let Ok(message) = tokio::time::timeout_at(until, blocks.next()).await {
        let message: serde_json::Value = serde_json::from_slice(&message?)?;
        if message.get("block").is_some() {
            first.get_or_insert_with(Instant::now);
            last = Some(Instant::now());
            count += 1;
        }
    }
    let (Some(first), Some(last)) = (first, last) else { anyhow::bail!("no block within {} s", length.as_secs()) };
    let pauses = count.checked_sub(1).filter(|pauses| *pauses > 0).context("only one block: measure for longer")?;
    Ok((last - first).as_secs_f64() * 1e3 / f64::from(pauses))
}
