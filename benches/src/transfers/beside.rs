//! Transfers that ours and CometBFT commit, in turns: the same generator, the same number of bytes and of connections, one request
//! for each transaction, and as long as one likes. CometBFT runs with its `kvstore`, which verifies no signature, and with an
//! application that verifies ours by the same library; each as it comes and in the best configuration that was found.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use super::arguments::TransfersArgs;
use super::comet::{self, App, Settings, Setup};
use super::load::{self, Plan};
use super::net::{Net, senders};
use super::report::report;
use super::verified;

/// Transactions that are ready for each second: more than any side takes here.
const READY_PER_SECOND: u64 = 12_000;
/// Pause before a run, in which the validators have nothing to do.
const PAUSE: Duration = Duration::from_secs(3);
/// Shorter runs than this, in seconds, are trials: no bar is held against them.
const JUDGED_SECONDS: u64 = 60;
/// The bar for the processor time of a transfer at one of our validators, microseconds.
const CPU_US_MAX: f64 = 150.0;
/// The bar for ours against CometBFT's own application as it comes.
const KVSTORE_RATIO_MIN: f64 = 1.5;
/// The bar for ours against the application that verifies the same signatures, as CometBFT comes.
const TRANSFERS_RATIO_MIN: f64 = 2.0;

/// A side of the comparison.
#[derive(Clone, Copy)]
enum Side {
    Openmesh,
    CometBft(App, Settings),
}

const SIDES: [Side; 5] = [
    Side::Openmesh,
    Side::CometBft(App::Kvstore, Settings::Default),
    Side::CometBft(App::Kvstore, Settings::Best),
    Side::CometBft(App::Transfers, Settings::Default),
    Side::CometBft(App::Transfers, Settings::Best),
];

/// Rates and processor times of a side's rounds.
#[derive(Default)]
struct Rounds {
    per_second: Vec<f64>,
    cpu_us: Vec<f64>,
}

/// Measures the rounds and prints each run, then the middle figures with their ratios and bars.
///
/// # Errors
/// A side does not start, takes everything before its time is over, or a bar is not met.
pub async fn run(arguments: &TransfersArgs, program: &Path) -> anyhow::Result<()> {
    let program = program.canonicalize();
    let program = program.context("no program of CometBFT: go build -o FILE . in benches/cometbft makes it")?;
    let mut found: BTreeMap<String, Rounds> = BTreeMap::new();
    for round in 0..arguments.rounds {
        let mut sides = SIDES;
        // In the opposite order in every second round.
        if round % 2 == 1 {
            sides.reverse();
        }
        for side in sides {
            let mut net = start(arguments, side, &program).await?;
            let outcome = measure(arguments, &mut net).await;
            net.stop().await;
            let (per_second, cpu_us) = outcome.with_context(|| net.name.clone())?;
            let rounds = found.entry(net.name).or_default();
            rounds.per_second.push(per_second);
            rounds.cpu_us.push(cpu_us);
        }
    }
    judge(arguments, found)
}

async fn start(arguments: &TransfersArgs, side: Side, program: &Path) -> anyhow::Result<Net> {
    match side {
        Side::Openmesh => Net::start(arguments).await,
        Side::CometBft(app, settings) => {
            comet::start(Setup {
                program,
                validators: arguments.validators as usize,
                app,
                settings,
                set: &arguments.set,
                senders: senders(arguments.accounts)?,
            })
            .await
        }
    }
}

/// One run: transfers a second, and the processor time of each at one validator, microseconds.
async fn measure(arguments: &TransfersArgs, net: &mut Net) -> anyhow::Result<(f64, f64)> {
    if net.protocol == super::protocol::Protocol::Openmesh {
        verified::by_everybody(net).await?;
    }
    let plan = Plan {
        count: READY_PER_SECOND * arguments.seconds,
        rate: None,
        connections: arguments.connections,
        // One request for each, as the peer takes them.
        batch: 1,
        length: Some(Duration::from_secs(arguments.seconds)),
    };
    let prepared = load::prepare(net, plan.count)?;
    tokio::time::sleep(PAUSE).await;
    let outcome = load::run_prepared(net, &plan, &prepared).await?;
    report(net, &plan, &outcome);
    ensure!(
        (outcome.offered as u64) < plan.count,
        "all {} transfers were handed in before the time was over",
        plan.count
    );
    ensure!(outcome.committed() > 0, "no transfer was committed");
    Ok((outcome.per_second(), outcome.cpu_us_each(net.len())))
}

/// The middle one of some figures; of two, the lower.
fn middle(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

/// Prints the middle figures, and fails where a run that counts does not meet a bar.
fn judge(arguments: &TransfersArgs, found: BTreeMap<String, Rounds>) -> anyhow::Result<()> {
    let rate = |name: &str| found.get(name).map_or(f64::NAN, |rounds| middle(&rounds.per_second));
    let of = |app, settings| rate(&comet::name(app, settings));
    let ratio = |app, settings| (rate("openmesh") / of(app, settings) * 100.0).round() / 100.0;
    let cpu = found.get("openmesh").map_or(f64::NAN, |rounds| middle(&rounds.cpu_us));
    let (kvstore, transfers) = (ratio(App::Kvstore, Settings::Default), ratio(App::Transfers, Settings::Default));
    let bars = [
        ("us_a_transfer_and_validator", cpu, CPU_US_MAX, cpu <= CPU_US_MAX),
        ("ratio_to_kvstore", kvstore, KVSTORE_RATIO_MIN, kvstore >= KVSTORE_RATIO_MIN),
        ("ratio_to_same_signatures", transfers, TRANSFERS_RATIO_MIN, transfers >= TRANSFERS_RATIO_MIN),
    ];
    let is_judged = arguments.seconds >= JUDGED_SECONDS;
    let figures: BTreeMap<&String, Value> = found
        .iter()
        .map(|(name, rounds)| {
            let cpu = middle(&rounds.cpu_us).round();
            (name, json!({ "per_second": rounds.per_second, "middle": middle(&rounds.per_second), "cpu_us": cpu }))
        })
        .collect();
    let bars_told: BTreeMap<&str, Value> = bars
        .iter()
        .map(|(name, figure, bar, met)| {
            (*name, json!({ "figure": figure, "bar": bar, "met": is_judged.then_some(met) }))
        })
        .collect();
    println!(
        "{}",
        json!({
            "benchmark": "beside_cometbft",
            "unit": "committed transfers a second",
            "validators": arguments.validators,
            "seconds": arguments.seconds,
            "rounds": arguments.rounds,
            "sides": figures,
            "ratio_to_best_kvstore": ratio(App::Kvstore, Settings::Best),
            "ratio_to_best_same_signatures": ratio(App::Transfers, Settings::Best),
            "bars": bars_told,
        })
    );
    let missed: Vec<String> = bars
        .iter()
        .filter(|(.., met)| is_judged && !met)
        .map(|(name, figure, bar, _)| format!("{name} is {figure:.2}, the bar is {bar}"))
        .collect();
    if !missed.is_empty() {
        bail!("{}", missed.join("; "));
    }
    Ok(())
}
