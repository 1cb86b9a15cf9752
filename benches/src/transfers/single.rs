//! The time that single transfers take on the idle network, from handing one in to the word of its block.

use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::load;
use super::net::Net;

/// Pause before the first transfer, and the shortest between two: the idle network makes a block each second.
const PAUSE: Duration = Duration::from_millis(1_500);
/// Growth of each pause over the one before: transfers come at different moments between two blocks.
const STEP: Duration = Duration::from_millis(37);
/// Pauses that grow before they begin anew.
const STEPS: u32 = 27;

/// The bar for the middle one, milliseconds.
const P50_MS_MAX: f64 = 150.0;

/// Hands transfers in one at a time, waits for each, and prints how long they took.
pub async fn run(net: &mut Net, times: u32) -> anyhow::Result<()> {
    let prepared = load::prepare(net, u64::from(times))?;
    let mut took = Vec::new();
    for number in 0..times {
        tokio::time::sleep(PAUSE + STEP * (number % STEPS)).await;
        let time = load::one(net, &prepared, number as usize).await;
        took.push(time.with_context(|| format!("transfer {number}"))?.as_secs_f64() * 1e3);
    }
    took.sort_by(f64::total_cmp);
    let at = |percent: usize| took.get((took.len() * percent).div_ceil(100).max(1) - 1).copied().unwrap_or(f64::NAN);
    ensure!(at(50).is_finite(), "no transfer was handed in");
    eprintln!(
        "{} single transfers on the idle network, submit to commit: p50 {:.0} ms, p99 {:.0} ms, at most {:.0} ms",
        took.len(),
        at(50),
        at(99),
        at(100)
    );
    println!(
        "{}",
        serde_json::json!({
            "benchmark": "single",
            "unit": "milliseconds from submit to commit",
            "transfers": took.len(),
            "p50": at(50).round(),
            "p99": at(99).round(),
            "max": at(100).round(),
            "bar_p50": P50_MS_MAX,
            "met": at(50) < P50_MS_MAX,
        })
    );
    Ok(())
}
