//! Closed epochs: facts and their root, proofs through it, and what leaves the state. Clause C.

use std::collections::BTreeMap;

use openmesh_ledger::{
    ClosedEpoch, EpochKeys, EpochsParams, Execution, Fact, FactProof, LedgerEvent, MerklePath, Params, StampsAction,
    StateRead, TransactionError, WindowsError, WindowsFact, WindowsParams, closed_epoch, current_epoch, epoch_keys,
    keys, light, window,
};
use openmesh_primitives::{Amount, Digest, canonical, sha256};

use crate::chain::{BOOK, Chain, FEE, SOURCE, TRADES, claim};

/// Blocks come each second; an epoch is ten of them.
fn params(details_kept_epochs: u64, pruned_keys_per_block_max: u32) -> Params {
    Params {
        epochs: EpochsParams {
            epoch_ms: 10_000,
            details_kept_epochs,
            pruned_keys_per_block_max,
            ..EpochsParams::default()
        },
        windows: WindowsParams { window_close_blocks: 2, ..WindowsParams::default() },
        ..Params::default()
    }
}

/// A node beside the state that keeps every fact, as storage does.
#[derive(Default)]
struct Archive(BTreeMap<u64, Vec<Fact>>);

impl Archive {
    fn keep(&mut self, execution: &Execution) {
        let facts = self.0.entry(execution.epoch).or_default();
        assert_eq!(execution.first_fact, facts.len() as u64, "positions follow each other");
        facts.extend(execution.facts.iter().cloned());
    }

    fn prove(&self, epoch: u64, index: u64) -> FactProof {
        let facts = &self.0[&epoch];
        let leaves: Vec<Digest> = facts.iter().map(Fact::leaf).collect();
        let path = MerklePath::of(&leaves, index).unwrap();
        FactProof { epoch, fact: facts[index as usize].clone(), path }
    }
}

/// Runs blocks, each with one window of two streams that all agree on, but for a liar where it says so.
fn run(chain: &mut Chain, archive: &mut Archive, blocks: u64, liar: bool) -> Vec<Execution> {
    let mut executions = Vec::new();
    for _ in 0..blocks {
        let number = chain.tip.height + 1;
        let epoch = current_epoch(&chain.state).unwrap();
        let said = |v: usize| {
            let trades = if liar && v == 3 { "forged" } else { "t" };
            vec![claim(TRADES, trades), claim(BOOK, "b")]
        };
        let all = (0..4).map(|v| chain.attest(v, number, epoch, said(v))).collect();
        let execution = chain.run(all);
        assert!(execution.receipts.iter().all(|receipt| receipt.ok()), "{:?}", execution.receipts);
        archive.keep(&execution);
        executions.push(execution);
    }
    executions
}

#[test]
fn every_fact_of_a_closed_epoch_is_proven_through_its_root() {
    let mut chain = Chain::new(&[1; 4], params(2, 4_096));
    let mut archive = Archive::default();
    let executions = run(&mut chain, &mut archive, 25, true);
    let closed: Vec<(u64, ClosedEpoch)> = executions
        .iter()
        .flat_map(|execution| &execution.events)
        .filter_map(|event| match event {
            LedgerEvent::Epochs(openmesh_ledger::EpochsEvent::EpochClosed { epoch, closed, .. }) => {
                Some((*epoch, *closed))
            }
            _ => None,
        })
        .collect();
    assert_eq!(closed.iter().map(|(epoch, _)| *epoch).collect::<Vec<_>>(), [0, 1]);
    assert_eq!((closed[0].1.first_height, closed[0].1.last_height, closed[1].1.first_height), (1, 10, 11));
    for (epoch, closed) in closed {
        assert_eq!(closed_epoch(&chain.state, epoch).unwrap(), Some(closed));
        assert_eq!(closed.facts, archive.0[&epoch].len() as u64);
        for index in 0..closed.facts {
            let proof = archive.prove(epoch, index);
            light::verify_fact(&closed, &proof).unwrap();
            assert_eq!(canonical::decode::<FactProof>(&canonical::encode(&proof)).unwrap(), proof);
            let other = archive.prove(epoch, (index + 1) % closed.facts);
            assert!(light::verify_fact(&closed, &FactProof { fact: other.fact, ..proof.clone() }).is_err());
            assert!(light::verify_fact(&ClosedEpoch { facts: closed.facts + 1, ..closed }, &proof).is_err());
        }
    }
    let chunks = |fact: &&Fact| matches!(fact, Fact::Windows(WindowsFact::Chunk { .. }));
    assert_eq!(archive.0[&0].iter().filter(chunks).count(), 20, "two streams in each of ten blocks");
    assert!(archive.0[&0].iter().any(|fact| matches!(fact, Fact::Incident(_))), "the liar's incidents are facts");
}

#[test]
fn details_leave_the_state_some_epochs_later_and_no_window_comes_back() {
    let mut chain = Chain::new(&[1; 4], params(2, 4_096));
    let mut archive = Archive::default();
    run(&mut chain, &mut archive, 45, true);
    // Height 45 is in epoch 4: epochs 2 and 3 are kept, and 0 and 1 are not.
    assert_eq!(current_epoch(&chain.state).unwrap(), 4);
    for number in 1..=45u64 {
        // A window is closed two blocks after its number, and belongs to the epoch in which it is.
        let kept = number + 2 > 20;
        let (record, chunk) = (keys::window(SOURCE, number), keys::chunk(SOURCE, number, TRADES));
        assert_eq!((chain.state.contains_key(&record), chain.state.contains_key(&chunk)), (kept, kept), "{number}");
    }
    let oldest = chain.state.keys().find(|key| key.starts_with(keys::INCIDENTS)).unwrap();
    assert_eq!(*oldest, keys::incident(21, 0), "incidents before height 21 are gone");
    assert!((0..4).all(|epoch| closed_epoch(&chain.state, epoch).unwrap().is_some()), "the roots stay");
    let again = chain.attest(0, 5, 4, vec![]);
    assert_eq!(
        chain.run_one(again),
        Some(TransactionError::Windows(WindowsError::WindowPast { first: 19 })),
        "an old window is not opened anew"
    );
}

/// Number of keys of windows, chunks and incidents that a block removed.
fn removed(execution: &Execution) -> usize {
    let details = [keys::WINDOWS, keys::CHUNKS, keys::INCIDENTS, keys::CLOSED];
    let gone = execution.writes.iter().filter(|(_, value)| value.is_none());
    gone.filter(|(key, _)| details.iter().any(|prefix| key.starts_with(prefix))).count()
}

#[test]
fn a_closed_epoch_says_how_many_keys_its_details_have() {
    let mut chain = Chain::new(&[1; 4], params(3, 4_096));
    let mut archive = Archive::default();
    run(&mut chain, &mut archive, 4, true);
    let stamp = StampsAction::Stamp { hash: sha256(&[b"x"]), topic: "drill".to_string(), note: String::new() };
    let stamped = chain.run(vec![chain.action(0, 0, Amount(25 * FEE.0), stamp.into())]);
    assert!(stamped.receipts[0].ok(), "{:?}", stamped.receipts);
    archive.keep(&stamped);
    run(&mut chain, &mut archive, 10, true);
    let of_epoch_0 = [keys::CLOSED, &0u64.to_be_bytes()].concat();
    let closed = chain.state.scan(&of_epoch_0, None, usize::MAX).unwrap();
    let chunks = |number: u64| chain.state.scan(&keys::chunks_of(SOURCE, number), None, usize::MAX).unwrap().len();
    let of_windows: usize = closed.iter().map(|(key, _)| 2 + chunks(keys::window_number(key).unwrap())).sum();
    let incidents = chain.state.scan(keys::INCIDENTS, None, usize::MAX).unwrap();
    let of_incidents = incidents.iter().filter(|(key, _)| *key < keys::incident(11, 0)).count();
    assert!(of_windows > 20 && of_incidents > 5, "{of_windows} and {of_incidents}");
    let counted = closed_epoch(&chain.state, 0).unwrap().unwrap().keys;
    assert_eq!(counted, EpochKeys { details: (of_windows + of_incidents) as u64, stamps: 5 });
    let now = epoch_keys(&chain.state).unwrap();
    assert!(now.details > 0 && now.details < counted.details && now.stamps == 0, "{now:?} begins anew");
}

/// An epoch's details leave twice as fast as they came: in half an epoch, and not with its first blocks.
#[test]
fn details_leave_evenly() {
    const WINDOWS: u64 = 16;
    let mut chain = Chain::new(&[1], params(2, 4_096));
    let mut counts = Vec::new();
    for height in 1..=50 {
        let epoch = current_epoch(&chain.state).unwrap();
        let said = || vec![claim(TRADES, "t"), claim(BOOK, "b")];
        let numbers = height * WINDOWS..(height + 1) * WINDOWS;
        let execution = chain.run(numbers.map(|number| chain.attest(0, number, epoch, said())).collect());
        assert!(execution.receipts.iter().all(|receipt| receipt.ok()), "{:?}", execution.receipts);
        counts.push(removed(&execution));
    }
    // The first two blocks of all close nothing; each other one closes sixteen windows of four keys.
    let details = |epoch| closed_epoch(&chain.state, epoch).unwrap().unwrap().keys.details;
    assert_eq!([0, 1, 2].map(details), [512, 640, 640]);
    // With height 31 the fourth epoch begins. A window goes whole, so that 103 keys are 104.
    assert!(counts[..30].iter().all(|count| *count == 0), "{counts:?}");
    assert_eq!(counts[30..40], [104, 104, 104, 104, 96, 0, 0, 0, 0, 0]);
    assert_eq!(counts[40..], [128, 128, 128, 128, 128, 0, 0, 0, 0, 0]);
}

#[test]
fn a_block_removes_a_bounded_number_of_keys() {
    let budget = 5;
    let mut chain = Chain::new(&[1; 4], params(1, budget));
    let mut archive = Archive::default();
    let executions = run(&mut chain, &mut archive, 60, false);
    let most = executions.iter().map(removed).max().unwrap();
    // A window goes whole: its record, its index and its two chunks.
    assert!((4..=budget as usize + 4).contains(&most), "{most}");
    assert!(window(&chain.state, SOURCE, 5).unwrap().is_none(), "and yet everything goes in the end");
}

#[test]
fn epochs_follow_block_time_and_none_is_skipped() {
    let mut chain = Chain::new(&[1; 4], params(2, 4_096));
    chain.run_to(10);
    assert_eq!(current_epoch(&chain.state).unwrap(), 0);
    chain.run(vec![]);
    assert_eq!(current_epoch(&chain.state).unwrap(), 1, "the eleventh block comes ten seconds after the first");
    chain.pause_ms(1_000_000);
    chain.run(vec![]);
    assert_eq!(current_epoch(&chain.state).unwrap(), 2, "however long nothing was decided");
    assert_eq!(
        closed_epoch(&chain.state, 1).unwrap().map(|closed| (closed.first_height, closed.last_height)),
        Some((11, 11))
    );
}

/// Bytes of keys and values.
fn bytes(chain: &Chain) -> u64 {
    chain.state.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum()
}

/// The state after the retention grows by the closed epoch's root alone, and a year of fifteen venues and three hundred
/// streams in windows of ten seconds stays below 2 GB.
///
/// The year is extrapolated: from what one epoch of ten blocks with two streams adds to the state, measured here, and from
/// what a node's tree of the state needs beside it ([`TREE_BYTES_PER_KEY`]).
#[test]
fn the_state_of_a_year_is_flat_but_for_the_roots() {
    /// A leaf's key hash and value in the tree, its internal nodes and the index of stale nodes: measured on a store of a
    /// million keys at about 300 bytes, here with room.
    const TREE_BYTES_PER_KEY: u64 = 600;
    let kept = 3;
    let mut chain = Chain::new(&[1; 4], params(kept, 4_096));
    let mut archive = Archive::default();
    let mut sizes = Vec::new();
    for _ in 0..60 {
        run(&mut chain, &mut archive, 10, false);
        sizes.push(bytes(&chain));
    }
    let root = (keys::closed_epoch(0).len() + canonical::encode(&closed_epoch(&chain.state, 0).unwrap().unwrap()).len())
        as u64;
    // Draws are kept for 256 epochs, so they still grow here; in a year that is a constant.
    let draw = (keys::epoch(0).len()
        + canonical::encode(&openmesh_ledger::epoch(&chain.state, 0).unwrap().unwrap()).len()) as u64;
    let settled = &sizes[kept as usize + 3..];
    for pair in settled.windows(2) {
        assert_eq!(pair[1] - pair[0], root + draw, "an epoch adds its root and its draw");
    }
    let details = [keys::WINDOWS, keys::CHUNKS, keys::INCIDENTS, keys::CLOSED];
    let of = |prefix: &'static [u8]| chain.state.iter().filter(move |(key, _)| key.starts_with(prefix));
    let detail_bytes: u64 = details.iter().flat_map(|p| of(p)).map(|(k, v)| (k.len() + v.len()) as u64).sum();
    let detail_keys: u64 = details.iter().map(|p| of(p).count() as u64).sum();
    let chunks_here = of(keys::CHUNKS).count() as u64;
    // Three hundred streams, 360 windows of ten seconds an hour, the default retention and the epoch in progress.
    let chunks_there = 300 * 360 * (EpochsParams::default().details_kept_epochs + 1);
    let per_chunk = (detail_bytes + detail_keys * TREE_BYTES_PER_KEY).div_ceil(chunks_here);
    let year = per_chunk * chunks_there + 8_760 * (root + TREE_BYTES_PER_KEY) + 256 * draw;
    assert!(year < 2_000_000_000, "{year} bytes");
    println!("{per_chunk} bytes for each chunk and its share of windows, {root} for each root, {year} after a year");
}

/// Of an epoch with more facts than an hour of fifteen venues has, the path is far below the 4 KB for which there is room from
/// chunk to trusted header: beside it comes the proof of the root, a few dozen hashes.
#[test]
fn the_path_of_a_chunk_is_short() {
    let leaves: Vec<Digest> = (0..200_000u64).map(|n| openmesh_ledger::leaf_hash(&n.to_be_bytes())).collect();
    let path = MerklePath::of(&leaves, 123_456).unwrap();
    let path_bytes = canonical::encode(&path).len();
    // 2^28 keys in the state, as random as hashes are: a path of about 28 siblings, rarely a few more.
    let state_proof_bytes = (28 + 8) * 32 + 128;
    assert!(path_bytes + state_proof_bytes < 4_096, "{path_bytes} + {state_proof_bytes}");
    assert!(path_bytes < 700);
}
