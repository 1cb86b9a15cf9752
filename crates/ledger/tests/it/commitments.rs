//! Commitments: who commits when, what opens them, and what copying is worth. Clause K.

use std::collections::BTreeSet;

use openmesh_ledger::{
    Abstention, Attestation, ChunkClaim, Commitment, Execution, IncidentKind, LedgerEvent, Origin, Params, Transaction,
    TransactionError as E, WindowRecord, WindowsError as W, WindowsEvent, WindowsParams, check_transaction,
    initial_state, keys, validator_record, window,
};
use openmesh_primitives::{ContentId, Digest, ValidatorKey};
use proptest::prelude::*;

use crate::chain::{BOOK, CHAIN_ID, Chain, SOURCE, START, TRADES, accepted, claim, incidents, root_of, source};

/// Blocks come each second.
fn network(powers: &[u64], grace_ms: u64, close: u64) -> Chain {
    let windows = WindowsParams { window_close_blocks: close, commit_grace_ms: grace_ms, ..WindowsParams::default() };
    Chain::of(powers, Params { windows, ..Params::default() })
}

fn four() -> Chain {
    network(&[1; 4], 800, 6)
}

/// The commitment to what [`Chain::attest`] says.
fn commit(chain: &Chain, validator: usize, number: u64, chunks: Vec<ChunkClaim>) -> Vec<u8> {
    let key = &chain.validators[validator];
    let said = Attestation::sign(key, CHAIN_ID, SOURCE, number, 0, chunks, vec![]);
    Transaction::Commitment(Commitment::to(key, &said)).encode()
}

/// A commitment under a seal that was found somewhere.
fn commit_to(chain: &Chain, validator: usize, number: u64, seal: Digest) -> Vec<u8> {
    Transaction::Commitment(Commitment::sign(&chain.validators[validator], CHAIN_ID, SOURCE, number, 0, seal)).encode()
}

fn seal(chain: &Chain, validator: usize, number: u64, chunks: Vec<ChunkClaim>) -> Digest {
    Attestation::sign(&chain.validators[validator], CHAIN_ID, SOURCE, number, 0, chunks, vec![]).seal()
}

fn truth() -> Vec<ChunkClaim> {
    vec![claim(BOOK, "b"), claim(TRADES, "t")]
}

fn record(chain: &Chain, number: u64) -> WindowRecord {
    window(&chain.state, SOURCE, number).unwrap().unwrap()
}

fn errors(execution: &Execution) -> Vec<Option<E>> {
    execution.receipts.iter().map(|receipt| receipt.error.clone()).collect()
}

fn refused(error: W) -> Option<E> {
    Some(E::Windows(error))
}

#[test]
fn a_chunk_is_agreed_on_in_the_block_after_the_last_commitment() {
    let mut chain = four();
    let mut first: Vec<Vec<u8>> = (0..4).map(|v| commit(&chain, v, 1, truth())).collect();
    first.push(chain.attest(0, 1, 0, truth()));
    let execution = chain.run(first);
    assert_eq!(errors(&execution), [None, None, None, None, refused(W::CommitmentsOpen)], "not in the same block");
    assert_eq!((accepted(&execution.events), record(&chain, 1).commits_until), (vec![], 1));
    let execution = chain.run((0..3).map(|v| chain.attest(v, 1, 0, truth())).collect());
    assert_eq!(accepted(&execution.events).len(), 2, "the third of four opens");
    chain.run(vec![chain.attest(3, 1, 0, truth())]);
    let events = chain.run_to(7);
    let [LedgerEvent::Windows(WindowsEvent::WindowClosed { accepted: 2, missing, height: 7, .. })] = events.as_slice()
    else {
        panic!("six blocks after the commitments: {events:?}")
    };
    let record = record(&chain, 1);
    assert!(missing.is_empty() && record.unopened.is_empty() && record.committed.is_empty());
    assert_eq!(record.attested.len(), 4);
    for key in [keys::closing(7, SOURCE, 1), keys::attestation(SOURCE, 1, &chain.address(0))] {
        assert!(!chain.state.contains_key(&key), "nothing is left of a closed window but its record");
    }
}

#[test]
fn what_opens_nothing_is_refused_and_what_abstains_from_everything_needs_no_commitment() {
    let mut chain = four();
    let alone = chain.attest_with(3, 1, 0, vec![], &[TRADES]);
    let validator = chain.address(3);
    assert_eq!(chain.run_one(alone), refused(W::NoCommitment { validator }), "an abstention opens no window");
    chain.run((0..3).map(|v| commit(&chain, v, 1, truth())).collect());
    // Both in the mempool: the block that makes them right may be one that this node has not seen.
    let early = chain.attest(0, 1, 0, truth());
    assert!(check_transaction(&chain.state, &early).is_ok());
    let without = chain.attest(3, 1, 0, truth());
    chain.pause_ms(-500);
    assert_eq!(chain.run_one(early), refused(W::CommitmentsOpen), "half a second later: the fourth may still commit");
    let other = chain.attest(0, 1, 0, vec![claim(BOOK, "b"), claim(TRADES, "copied")]);
    let (committed, got) =
        (seal(&chain, 0, 1, truth()), seal(&chain, 0, 1, vec![claim(BOOK, "b"), claim(TRADES, "copied")]));
    let validator = chain.address(0);
    assert_eq!(chain.run_one(other), refused(W::CommitmentMismatch { validator, committed, got }));
    let validator = chain.address(3);
    assert_eq!(chain.run_one(without), refused(W::NoCommitment { validator }));
    let late = commit(&chain, 3, 1, truth());
    assert_eq!(chain.run_one(late), refused(W::CommitmentLate));
    let events = chain.run(vec![chain.attest_with(3, 1, 0, vec![], &[TRADES])]).events;
    let [LedgerEvent::Windows(WindowsEvent::Attested { abstained, .. })] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!(*abstained, [TRADES]);
    assert_eq!(record(&chain, 1).attested, [chain.address(3)]);
}

#[test]
fn who_is_a_little_late_may_still_commit_as_long_as_others_wait() {
    for (grace_ms, in_time) in [(0, false), (800, false), (1_500, true)] {
        let mut chain = network(&[1; 4], grace_ms, 20);
        chain.run((0..3).map(|v| commit(&chain, v, 1, truth())).collect());
        let late = commit(&chain, 3, 1, truth());
        let expected = if in_time { None } else { refused(W::CommitmentLate) };
        assert_eq!(chain.run_one(late), expected, "a second later, {grace_ms} ms");
        let execution = chain.run((0..3).map(|v| chain.attest(v, 1, 0, truth())).collect());
        assert_eq!(accepted(&execution.events).len(), 2, "three of four go on in any case");
    }
}

#[test]
fn one_of_four_down_costs_the_wait_and_nothing_else() {
    let mut chain = four();
    chain.signers = vec![0, 1, 2];
    chain.run((0..3).map(|v| commit(&chain, v, 1, truth())).collect());
    let execution = chain.run((0..3).map(|v| chain.attest(v, 1, 0, truth())).collect());
    assert_eq!(accepted(&execution.events).len(), 2);
    let missing = chain.run_to(8).into_iter().find_map(|event| match event {
        LedgerEvent::Windows(WindowsEvent::WindowClosed { missing, .. }) => Some(missing),
        _ => None,
    });
    assert_eq!(missing, Some(vec![chain.address(3)]));
}

/// A copier commits under a seal that it saw, whichever of the two comes first in a block.
#[test]
fn who_repeats_a_commitment_opens_nothing_abstains_and_is_named() {
    for copy_first in [false, true] {
        let mut chain = four();
        let copied = seal(&chain, 0, 1, truth());
        let (own, copy) = (commit(&chain, 0, 1, truth()), commit_to(&chain, 3, 1, copied));
        let mut block = if copy_first { vec![copy, own] } else { vec![own, copy] };
        block.extend((1..3).map(|v| commit(&chain, v, 1, truth())));
        let events = chain.run(block).events;
        assert_eq!(incidents(&events), [], "whose seal it is shows when it is opened");
        let events = chain.run((0..3).map(|v| chain.attest(v, 1, 0, truth())).collect()).events;
        assert_eq!(incidents(&events), [(IncidentKind::Copied, None, Some(chain.address(3)))]);
        assert_eq!(accepted(&events).len(), 2);
        let (validator, got) = (chain.address(3), seal(&chain, 3, 1, truth()));
        let after_the_others = chain.attest(3, 1, 0, truth());
        let mismatch = W::CommitmentMismatch { validator, committed: copied, got };
        assert_eq!(chain.run_one(after_the_others), refused(mismatch), "what it read does not open it");
        let events = chain.run_to(9);
        assert_eq!(incidents(&events), []);
        let record = record(&chain, 1);
        assert_eq!(record.unopened, [validator]);
        let everything = vec![BOOK.to_string(), TRADES.to_string()];
        assert_eq!(record.abstained, [Abstention { validator, streams: everything }]);
        let of = |v| validator_record(&chain.state, &chain.address(v)).unwrap().unwrap();
        let (copier, honest) = (of(3), of(0));
        assert_eq!(
            (copier.copied, copier.unopened, copier.abstained, copier.missing, copier.attested),
            (1, 1, 2, 0, 0)
        );
        assert_eq!((honest.copied, honest.unopened, honest.attested), (0, 0, 1));
    }
}

/// Somebody commits as early as it may, so that the window closes before the others' collectors are done with it.
#[test]
fn who_comes_early_closes_no_window_for_the_others() {
    let mut chain = network(&[1; 4], 800, 2);
    let mut genesis = chain.genesis.clone();
    genesis.sources = vec![source(SOURCE, Origin::Live)];
    chain.state = initial_state(&genesis).unwrap();
    chain.tip.state_root = root_of(&chain.state);
    // Ends ten seconds after START.
    let running = (START.millis() / 10_000) as u64;
    chain.run_to(5);
    let early = commit(&chain, 3, running, vec![claim(TRADES, "forged")]);
    assert_eq!(chain.run_one(early), None, "four seconds before the window's end");
    chain.run_to(16);
    assert!(!record(&chain, running).closed, "alone it closes nothing");
    let commits = (0..3).map(|v| commit(&chain, v, running, truth())).collect();
    assert!(chain.run(commits).receipts.iter().all(|receipt| receipt.ok()));
    let execution = chain.run((0..3).map(|v| chain.attest(v, running, 0, truth())).collect());
    assert_eq!(accepted(&execution.events).len(), 2);
    let mut alone = network(&[1; 4], 800, 2);
    alone.state = chain.state.clone();
    alone.tip = chain.tip;
    let lonely = commit(&alone, 3, running + 1, vec![]);
    assert_eq!(alone.run_one(lonely), None);
    let end = alone.tip.height + 16;
    alone.run_to(end);
    assert!(record(&alone, running + 1).closed, "ten seconds after its end it closes, whoever has come");
}

#[test]
fn each_validator_commits_once_and_only_where_the_network_asks_for_it() {
    let mut chain = four();
    let first = commit(&chain, 0, 1, truth());
    assert_eq!(chain.run_one(first), None);
    let (validator, again) = (chain.address(0), commit(&chain, 0, 1, vec![]));
    assert_eq!(chain.run_one(again), refused(W::DuplicateCommitment { validator }));
    let stranger = ValidatorKey::from_seed([77; 32]);
    let foreign = Commitment::sign(&stranger, CHAIN_ID, SOURCE, 1, 0, Digest::ZERO);
    let validator = stranger.public().address();
    let foreign = Transaction::Commitment(foreign).encode();
    assert_eq!(chain.run_one(foreign), refused(W::NotAssigned { validator, epoch: 0 }));
    let mut open = Chain::four();
    let needless = commit(&open, 0, 1, truth());
    assert_eq!(open.run_one(needless), refused(W::CommitmentsOff));
}

/// Neither another validator, nor another window, network or salt has the same seal; nor does the seal tell what is under it.
#[test]
fn seals_are_bound_to_the_validator_and_the_window() {
    let keys: Vec<ValidatorKey> = (1..4).map(|n| ValidatorKey::from_seed([n; 32])).collect();
    let mut seals = BTreeSet::new();
    for key in &keys {
        for (chain, source, number) in [(1, "a", 1), (2, "a", 1), (1, "b", 1), (1, "a", 2)] {
            for chunks in [vec![], truth()] {
                let said = Attestation::sign(key, chain, source, number, 0, chunks.clone(), vec![]);
                let again = Attestation::sign(key, chain, source, number, 9, chunks, vec![]);
                assert_eq!(
                    (said.salt, said.seal()),
                    (again.salt, again.seal()),
                    "the same after a crash, and in any epoch"
                );
                assert!(seals.insert(said.seal()) && seals.insert(said.salt) == said.chunks.is_empty());
            }
        }
    }
}

/// The bytes that `docs/spec/transactions.md` names.
#[test]
fn a_commitment_is_short() {
    let chain = four();
    let (commitment, attestation) = (commit(&chain, 0, 1, truth()), chain.attest(0, 1, 0, truth()));
    assert_eq!(commitment.len(), 157 + SOURCE.len());
    let one = 4 + TRADES.len() + 32 + 8 + 4;
    assert_eq!(attestation.len(), 165 + SOURCE.len() + one + 4 + BOOK.len() + 44);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Copiers with less than a third of the power, who repeat seals and read what others have opened, in whatever order everything
    /// comes: none of their words counts, nobody else is named, and the honest ones agree.
    #[test]
    fn copiers_open_nothing(
        powers in prop::collection::vec(1..20u64, 4..8),
        candidates in Just((0..8usize).collect::<Vec<_>>()).prop_shuffle(),
        order in Just((0..8usize).collect::<Vec<_>>()).prop_shuffle(),
        victims in prop::collection::vec(any::<prop::sample::Index>(), 8),
        cuts in prop::collection::vec(any::<bool>(), 8),
    ) {
        let total: u64 = powers.iter().sum();
        let (mut copiers, mut power) = (BTreeSet::new(), 0);
        for v in candidates.into_iter().filter(|v| *v < powers.len()) {
            if (power + powers[v]) * 3 < total {
                power += powers[v];
                copiers.insert(v);
            }
        }
        let honest: Vec<usize> = (0..powers.len()).filter(|v| !copiers.contains(v)).collect();
        // Commitments may take as long as they like, and the window stays open for long.
        let mut chain = network(&powers, 60_000, 100);
        let (mut events, mut block) = (Vec::new(), Vec::new());
        for (at, v) in order.iter().filter(|v| **v < powers.len()).enumerate() {
            block.push(if copiers.contains(v) {
                let victim = *victims[*v].get(&honest);
                commit_to(&chain, *v, 1, seal(&chain, victim, 1, truth()))
            } else {
                commit(&chain, *v, 1, truth())
            });
            if cuts[at] {
                let execution = chain.run(std::mem::take(&mut block));
                prop_assert!(execution.receipts.iter().all(|receipt| receipt.ok()), "{:?}", errors(&execution));
            }
        }
        chain.run(block);
        let mut opened = Vec::new();
        for v in order.iter().filter(|v| **v < powers.len()) {
            let execution = chain.run(vec![chain.attest(*v, 1, 0, truth())]);
            prop_assert_eq!(execution.receipts[0].ok(), !copiers.contains(v));
            opened.extend(execution.receipts[0].ok().then(|| chain.address(*v)));
            events.extend(execution.events);
        }
        let end = chain.tip.height + 101;
        events.extend(chain.run_to(end));
        let mut chunks = accepted(&events);
        chunks.sort();
        let expected = [(BOOK.to_string(), ContentId::of(b"b")), (TRADES.to_string(), ContentId::of(b"t"))];
        prop_assert_eq!(chunks, expected);
        let named: BTreeSet<_> = incidents(&events).into_iter().map(|(kind, _, who)| (kind as u8, who)).collect();
        let all: BTreeSet<_> =
            copiers.iter().map(|v| (IncidentKind::Copied as u8, Some(chain.address(*v)))).collect();
        prop_assert_eq!(named, all);
        let record = record(&chain, 1);
        let unopened: BTreeSet<_> = record.unopened.iter().copied().collect();
        prop_assert_eq!(unopened, copiers.iter().map(|v| chain.address(*v)).collect::<BTreeSet<_>>());
        prop_assert_eq!(record.attested, opened);
    }
}
