//! Hundreds of networks, each from its seed.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use openmesh_simulator::{Report, Violation, run, run_quiet, run_upgrades, run_with_forgetful_disks};

/// Seeds of a test run; more with OPENMESH_SIMULATION_SEEDS.
const SEEDS: u64 = 200;
/// Seeds of networks that upgrade.
const UPGRADE_SEEDS: u64 = 100;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn replay(seed: u64) -> String {
    format!(
        "OPENMESH_SIMULATION_SEED={seed} cargo test -p openmesh-simulator --test seeds a_seed_replays -- --nocapture"
    )
}

/// Runs the networks of all seeds on all processors; returns their reports. Panics with the seeds that failed.
fn all_seeds(count: u64, run: fn(u64) -> Result<Report, Violation>) -> Vec<Report> {
    let first = number("OPENMESH_SIMULATION_FIRST").unwrap_or(0);
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let (next, failures) = (AtomicU64::new(first), Mutex::new(Vec::new()));
    let reports = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        return;
                    }
                    match std::panic::catch_unwind(|| run(seed)) {
                        Ok(Ok(report)) => reports.lock().unwrap_or_else(PoisonError::into_inner).push(report),
                        Ok(Err(violation)) => {
                            let text = format!("seed {seed}: {violation}\n  {}", replay(seed));
                            failures.lock().unwrap_or_else(PoisonError::into_inner).push(text);
                        }
                        Err(_) => {
                            let text = format!("seed {seed}: a panic\n  {}", replay(seed));
                            failures.lock().unwrap_or_else(PoisonError::into_inner).push(text);
                        }
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} of {count} seeds failed:\n{}", failures.len(), failures.join("\n"));
    reports.into_inner().unwrap()
}

#[test]
fn every_seed_holds() {
    let count = number("OPENMESH_SIMULATION_SEEDS").unwrap_or(SEEDS);
    let reports = all_seeds(count, run);
    let sum = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
    println!(
        "{count} seeds: {} blocks, {} messages, {} crashes, highest round {}, {} transfers, {} chunks, {} equivocations named, {} crowded blocks",
        sum(|r| r.height),
        sum(|r| r.messages),
        sum(|r| r.crashes),
        reports.iter().map(|r| r.round).max().unwrap_or(0),
        sum(|r| r.transfers),
        sum(|r| r.chunks),
        sum(|r| r.equivocations),
        sum(|r| r.crowded),
    );
    // The faults did happen, and so did the work.
    assert!(sum(|r| r.crashes) > count / 2 && sum(|r| r.equivocations) > count / 4 && sum(|r| r.chunks) > count);
    assert!(sum(|r| r.transfers) > 5 * count && reports.iter().any(|r| r.round > 1));
    assert!(sum(|r| r.crowded) >= count / 8, "attestations beyond their room stood beside stamps");
}

/// Clauses U4 to U6 of `docs/spec/upgrades.md`: two upgrades in each network, with crashes in the middle, programs that stop before
/// them, and validators that come later.
#[test]
fn every_seed_upgrades() {
    let count = number("OPENMESH_SIMULATION_SEEDS").unwrap_or(UPGRADE_SEEDS);
    let reports = all_seeds(count, run_upgrades);
    let sum = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
    println!(
        "{count} seeds: {} upgrades, {} lapses, {} programs stopped, {} crashes, {} blocks",
        sum(|r| r.upgrades),
        sum(|r| r.lapses),
        sum(|r| r.stops),
        sum(|r| r.crashes),
        sum(|r| r.height),
    );
    assert!(reports.iter().all(|r| r.upgrades == 2), "each network upgrades twice");
    assert!(sum(|r| r.stops) > count / 2 && sum(|r| r.crashes) > count, "programs were stopped, and others crashed");
}

#[test]
fn a_seed_replays() {
    let seed = number("OPENMESH_SIMULATION_SEED").unwrap_or(3);
    let first = run(seed).unwrap_or_else(|violation| panic!("seed {seed}: {violation}"));
    println!("seed {seed}: {first:?}");
    assert_eq!(run(seed).unwrap(), first, "the same seed, the same history");
    let upgraded = run_upgrades(seed).unwrap_or_else(|violation| panic!("seed {seed}: {violation}"));
    println!("seed {seed} with upgrades: {upgraded:?}");
    assert_eq!(run_upgrades(seed).unwrap(), upgraded, "the same seed, the same history");
}

/// The one that is down fails the turn in which it goes, and perhaps one or two while it comes back; in between the others propose
/// in its place at once (clause P of `docs/spec/transactions.md`). Without that, each fourth block would be late.
#[test]
fn one_of_four_down_costs_a_round_and_not_one_of_each_four() {
    for seed in 0..4 {
        let run = |down| run_quiet(seed, down).unwrap_or_else(|violation| panic!("seed {seed}: {violation}"));
        let (whole, one_down) = (run(None), run(Some(seed as usize)));
        println!("seed {seed}: {} blocks, {} late; one down: {one_down:?}", whole.height, whole.late);
        assert!(whole.late <= 1, "seed {seed}: nothing is in the way of a healthy network: {whole:?}");
        assert!(one_down.crashes > 0 && (1..=4).contains(&one_down.late), "seed {seed}: {one_down:?}");
        assert!(one_down.height * 3 > whole.height * 2, "seed {seed}: {one_down:?}, {whole:?}");
    }
}

/// Validators that forget what they signed sign again, and are caught by the evidence on the ledger.
#[test]
fn a_forgotten_log_is_found_out() {
    let caught = |seed| matches!(run_with_forgetful_disks(seed), Err(Violation::Slander(_) | Violation::Fork { .. }));
    assert!((0..60).any(caught), "honest validators without their logs were never seen to sign twice");
}
