//! The processor time of a committed transfer by part.
//!
//! Parts are measured by replay and not by clocks inside of the validators: consensus, gossip and the doors share the threads of
//! one runtime, so that no clock around a call says what it took of a processor, and a clock of processor time is a system call,
//! which around each part of each transfer would cost more than some of the parts. What a replay measures can be measured again
//! alone before and after a change, and the product carries nothing for it.
//!
//! - **Signature, decode, hash, admit, check, execute, root, store**: the blocks that a validator has stored go through each part
//!   alone, on a store of their own ([`super::replay`]).
//! - **Doors**: the same requests once more. Every transfer is known, so a validator reads, decodes, hashes, looks and refuses.
//! - **Gossip**: as many hosts as validators, joined with each other in this process, carry the transfers in as many announcements as
//!   the validators made ([`super::gossip`]).
//! - **Consensus**: what a block costs the idle network, times the blocks of the run.
//! - **Tables**: the threads that fill them have a name, and the kernel counts for each thread.
//! - **Rest**: what is left of the whole. Caches are warmer in a replay, queues shorter, and nothing waits for a lock.
//!
//! Each figure is in microseconds of processor time for one transfer at one validator, in user and in kernel mode.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use super::load::{self, Outcome, Plan, Prepared};
use super::net::Net;
use super::report::report;
use super::{gossip, replay};
use crate::door::Door;

/// Counter of the announcements that a validator has made: of what its clients brought, and of what it got of peers.
const ENVELOPES: &str = "openmesh_network_envelopes_published_total";
/// Time without a load before the idle network is measured, so that the tables of the run are written.
const SETTLE: Duration = Duration::from_secs(3);

/// A part and its microseconds of a transfer at one validator.
type Part = (&'static str, f64);

/// Runs the load, measures each part and prints them.
pub async fn run(net: &mut Net, plan: &Plan, idle: Duration) -> anyhow::Result<()> {
    let prepared = load::prepare(net, plan.count)?;
    let envelopes_before = envelopes(net).await?;
    let outcome = load::run_prepared(net, plan, &prepared).await?;
    report(net, plan, &outcome);
    anyhow::ensure!(outcome.committed() > 0, "no transfer was committed: there is nothing to tell the parts of");
    let envelopes = envelopes(net).await?.saturating_sub(envelopes_before);
    let live = live(net, plan, &prepared, &outcome, idle).await?;
    let (validators, home) = (net.len(), net.first_home());
    net.halt().await;
    let replayed = tokio::task::spawn_blocking(move || replay::run(&home)).await.context("the replay")??;
    // Every validator announces every transfer once.
    let announced = outcome.committed() as u64 * net.len() as u64;
    let each = announced.div_ceil(envelopes.max(1)).max(1) as usize;
    let carried = gossip::run(validators, &replayed.transfers, each).await?;
    let mut parts: Vec<Part> = replayed.parts();
    parts.extend(live);
    parts.push(("gossip", carried));
    tell(&outcome, validators, each, parts);
    Ok(())
}

/// Parts that the running validators are needed for.
async fn live(
    net: &Net,
    plan: &Plan,
    prepared: &Arc<Vec<Prepared>>,
    outcome: &Outcome,
    idle: Duration,
) -> anyhow::Result<Vec<Part>> {
    let validators = net.len();
    let each = |time: Duration, transfers: usize| micros(time, transfers.max(1) * validators);
    let tables = each(outcome.cpu_tables, outcome.committed());
    tokio::time::sleep(SETTLE).await;
    let (height, before) = (height(net).await?, net.processor_time());
    tokio::time::sleep(idle).await;
    let blocks = self::height(net).await?.saturating_sub(height);
    let a_block = (net.processor_time() - before).checked_div(u32::try_from(blocks)?);
    let a_block = a_block.context("the idle network made no block: give it more --idle-seconds")?;
    let consensus = each(a_block * u32::try_from(outcome.blocks)?, outcome.committed());
    let (again, requests) = load::hand_in_again(net, plan, prepared).await?;
    Ok(vec![("tables", tables), ("consensus", consensus), ("doors", each(again, requests))])
}

fn micros(time: Duration, count: usize) -> f64 {
    time.as_secs_f64() * 1e6 / count.max(1) as f64
}

/// Height of the first validator.
async fn height(net: &Net) -> anyhow::Result<u64> {
    let host = &net.hosts[0];
    let status = Door::open(host).await?.get(host, "/v1/status").await?;
    status.get("height").and_then(serde_json::Value::as_u64).context("a status without a height")
}

/// Envelopes that all validators have gossiped for their clients.
async fn envelopes(net: &Net) -> anyhow::Result<u64> {
    Ok(net.counters(ENVELOPES).await?.iter().sum())
}

/// One JSON object for programs, a line for each part for people.
fn tell(outcome: &Outcome, validators: usize, envelope: usize, mut parts: Vec<Part>) {
    let total = outcome.cpu_us_each(validators);
    parts.push(("rest", total - parts.iter().map(|(_, us)| us).sum::<f64>()));
    eprintln!("{total:.0} us of processor time a transfer and validator, of it:");
    for (name, us) in &parts {
        eprintln!("  {name:<10} {us:>7.1}");
    }
    let rounded = |us: f64| (us * 10.0).round() / 10.0;
    let table: serde_json::Map<String, serde_json::Value> =
        parts.iter().map(|(name, us)| ((*name).to_string(), rounded(*us).into())).collect();
    println!(
        "{}",
        serde_json::json!({
            "benchmark": "profile",
            "unit": "microseconds of processor time a transfer and validator",
            "transfers": outcome.committed(),
            "validators": validators,
            "blocks": outcome.blocks,
            "transfers_in_an_announcement": envelope,
            "total": rounded(total),
            "parts": table,
        })
    );
}
