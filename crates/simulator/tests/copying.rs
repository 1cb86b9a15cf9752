//! Lazy validators: what copying is worth, and what commitments cost.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use openmesh_simulator::{Report, run_calm, run_with_a_copier};

const SEEDS: u64 = 6;

/// A run checks by itself that nobody else is named, and that no chunk has the copier's word behind it.
#[test]
fn a_copier_opens_nothing_and_is_named() {
    let reports: Vec<Report> = (0..SEEDS)
        .map(|seed| run_with_a_copier(seed).unwrap_or_else(|violation| panic!("seed {seed}: {violation}")))
        .collect();
    let sum = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
    let (windows, chunks, copied) = (sum(|r| r.windows), sum(|r| r.chunks), sum(|r| r.copied));
    println!("{windows} windows, {chunks} chunks, {copied} copies named");
    assert!(chunks * 10 > windows * 9, "three honest ones of four agree without it");
    assert!(copied * 2 > windows, "it is named where its copy came in time");
}

/// Blocks from the end of a window to agreement, of all runs, in ascending order.
fn blocks(commitments: bool, down: Option<usize>) -> Vec<u64> {
    let measure = |seed| {
        let report = run_calm(seed, commitments, down).unwrap_or_else(|violation| panic!("seed {seed}: {violation}"));
        assert!(report.chunks * 10 > report.windows * 9, "seed {seed}: {report:?}");
        report.agreement_blocks
    };
    let mut all: Vec<u64> = (0..SEEDS).flat_map(measure).collect();
    all.sort_unstable();
    assert!(all.len() as u64 > 10 * SEEDS, "{} measures", all.len());
    all
}

/// The cost as `docs/spec/transactions.md` states it, clause K.
#[test]
fn commitments_cost_a_few_blocks() {
    for down in [None, Some(3)] {
        let (before, after) = (blocks(false, down), blocks(true, down));
        let of = |all: &[u64], percent: usize| all[(all.len() - 1) * percent / 100];
        println!(
            "down {down:?}: without commitments p50 {} p90 {} blocks, with them p50 {} p90 {}",
            of(&before, 50),
            of(&before, 90),
            of(&after, 50),
            of(&after, 90)
        );
        assert!(of(&after, 50) > of(&before, 50), "nothing is free");
        // Two seconds of waiting are ten blocks at the least pause between two.
        assert!(of(&after, 50) <= of(&before, 50) + 14 && of(&after, 90) <= of(&before, 90) + 20);
    }
}
