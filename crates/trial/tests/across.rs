//! Things that last across upgrades: proofs, headers, facts, snapshots, and the roots that rehearsals predict. Clauses U8 to U10 of
//! `docs/spec/upgrades.md`.
#![allow(clippy::unwrap_used, reason = "a test says what failed by failing")]

use std::path::Path;
use std::sync::Arc;

use openmesh_ledger::{
    AccountTransaction, Action, BlockLimits, Certificate, EpochsParams, Evidence, Genesis, GenesisValidator, Params,
    RuleSets, RulesError, SignedBlock, Step, Transaction, Upcoming, UpgradeBallot, UpgradePlan, UpgradeVote, account,
    ballot_count, build_block_on, closed_epoch, current_epoch, keys, light, precommit_sign_bytes, rules_in_force,
    validate_proposal_on, validator_record, verify_stateless,
};
use openmesh_primitives::{AccountKey, Address, Amount, Digest, Height, Timestamp, ValidatorKey, canonical, sha256};
use openmesh_storage::{Restore, SnapshotTarget, Store, StoreConfig, StoreError, chunk_count, verify_proof};
use openmesh_trial::{MARK, Note, note, note_key, read_note, rule_sets};

const CHAIN_ID: u64 = 7_118;

fn validator() -> ValidatorKey {
    ValidatorKey::from_seed([1; 32])
}

fn own() -> Address {
    validator().public().address()
}

fn writer() -> AccountKey {
    AccountKey::from_bytes([5; 32]).unwrap()
}

fn genesis() -> Genesis {
    let public_key = validator().public();
    Genesis {
        chain_id: CHAIN_ID,
        name: "trial".to_string(),
        time: Timestamp::from_millis(1_800_000_000_000),
        validators: vec![GenesisValidator { public_key, power: 1, name: "v".to_string(), payout: None }],
        accounts: vec![(writer().address(), Amount::open(1_000))],
        sources: Vec::new(),
        source_owners: Default::default(),
        allocation: Default::default(),
        // Blocks come each second: an epoch has twenty of them.
        params: Params { epochs: EpochsParams { epoch_ms: 20_000, ..EpochsParams::default() }, ..Params::default() },
    }
}

/// A chain of one validator whose program knows every rule set on trial.
struct Chain {
    store: Store,
    sets: RuleSets,
}

impl Chain {
    fn new(dir: &Path) -> Chain {
        let store = Store::open(dir).unwrap();
        store.initialise(&genesis()).unwrap();
        Chain { store, sets: rule_sets(3).unwrap() }
    }

    fn tip(&self) -> Height {
        self.store.tip().height
    }

    fn upcoming(&self) -> Upcoming {
        Upcoming::of(&self.sets, &self.store.state().unwrap(), self.tip() + 1).unwrap()
    }

    /// Commits a block of these transactions, all of which must take effect.
    fn run(&self, transactions: &[Transaction]) {
        let (state, tip, upcoming) = (self.store.state().unwrap(), self.store.tip(), self.upcoming());
        let candidates: Vec<_> =
            transactions.iter().map(|t| Arc::new(verify_stateless(&t.encode()).unwrap())).collect();
        let last = self.store.block(tip.height).unwrap().map(|last| last.certificate);
        let time = Timestamp(tip.time.nanos() + 1_000_000_000);
        let limits = BlockLimits::of(upcoming.params());
        let (block, execution) =
            build_block_on(&upcoming, &state, &tip, last, &candidates, &validator(), time, &limits).unwrap();
        assert_eq!(block.transactions.len(), transactions.len(), "one was refused");
        validate_proposal_on(&upcoming, &state, &tip, &block).unwrap();
        let (height, block_hash) = (block.header.height, block.hash());
        let signature = validator().sign(&precommit_sign_bytes(CHAIN_ID, height, 0, &block_hash, &own()));
        let certificate = Certificate { height, round: 0, block_hash, signatures: vec![(own(), signature)] };
        let prepared = self.store.prepare(&execution).unwrap();
        self.store.commit(&block, &certificate, &execution, prepared).unwrap();
    }

    fn run_to(&self, height: Height) {
        while self.tip() < height {
            self.run(&[]);
        }
    }

    /// Plans the next rule set a few heights ahead, and returns the height.
    fn plan(&self) -> Height {
        let state = self.store.state().unwrap();
        let (version, height) = (rules_in_force(&state).unwrap().version + 1, self.tip() + 4);
        let plan = UpgradePlan { version, height, release: "trial".to_string(), digest: Digest([version as u8; 32]) };
        let number = ballot_count(&state, &own()).unwrap().next;
        let ballot = UpgradeBallot::sign(&validator(), CHAIN_ID, number, UpgradeVote::Approve(plan));
        self.run(&[Transaction::Upgrade(ballot)]);
        height
    }

    fn note(&self, text: &str) {
        let nonce = account(&self.store.state().unwrap(), &writer().address()).unwrap().nonce;
        let fee = Params::default().accounts.fee_min;
        let signed = AccountTransaction::sign(&writer(), CHAIN_ID, nonce, fee, Action::from(note(text))).unwrap();
        self.run(&[Transaction::Account(signed)]);
    }

    /// A value of the state after a height, proved against the header of the next one as a light client does it.
    fn proved(&self, key: &[u8], height: Height) -> Option<Vec<u8>> {
        let (value, proof) = self.store.prove(key, height).unwrap();
        let (header, certificate) = self.store.header(height + 1).unwrap().unwrap();
        light::verify(CHAIN_ID, &genesis().validator_set().unwrap(), &header, &certificate).unwrap();
        verify_proof(&header.state_root, key, value.as_deref(), &proof).unwrap();
        value
    }

    fn in_force(&self) -> u32 {
        rules_in_force(&self.store.state().unwrap()).unwrap().version
    }
}

/// Two votes of the validator for different blocks of a height.
fn evidence(height: Height) -> Transaction {
    let message = |block: Digest| {
        let signature = validator().sign(&precommit_sign_bytes(CHAIN_ID, height, 0, &block, &own()));
        SignedBlock { block: Some(block), signature }
    };
    let (first, second) = (message(Digest([1; 32])), message(Digest([2; 32])));
    let (chain_id, public_key, step) = (CHAIN_ID, validator().public(), Step::Precommit);
    Transaction::Evidence(Evidence { chain_id, public_key, height, round: 0, step, first, second }.in_order())
}

/// U10: what a rehearsal predicts on the state before the height is what every node computes, for one upgrade and for two at once.
#[test]
fn a_rehearsal_predicts_the_root() {
    let dir = tempfile::tempdir().unwrap();
    let chain = Chain::new(dir.path());
    let mut predicted = Vec::new();
    for _ in 0..2 {
        let height = chain.plan();
        chain.run_to(height - 1);
        let state = chain.store.state().unwrap();
        let rehearsed = Upcoming::rehearse(&chain.sets, &state, height, chain.in_force() + 1).unwrap();
        predicted.push((chain.in_force() + 1, height, chain.store.root_with(rehearsed.writes()).unwrap()));
        chain.note(if chain.in_force() == 1 { "first" } else { "second" });
    }
    let roots = chain.store.migrated_roots().unwrap();
    assert_eq!(roots.iter().map(|root| (root.version, root.height, root.root)).collect::<Vec<_>>(), predicted);
    assert_eq!(chain.in_force(), 3);
    let note = read_note(&chain.store.state().unwrap(), 3, &writer().address()).unwrap().unwrap();
    assert_eq!(note, Note { text: "second".to_string(), height: predicted[1].1 });
}

/// U8, U9: each state is proved in the form that it had.
#[test]
fn proofs_and_headers_lead_across_upgrades() {
    let dir = tempfile::tempdir().unwrap();
    let chain = Chain::new(dir.path());
    let second = chain.plan();
    chain.run_to(second);
    chain.note("old form");
    let third = chain.plan();
    chain.run_to(third + 1);
    let key = note_key(&writer().address());
    assert_eq!(chain.proved(&key, second), None);
    let old: String = canonical::decode(&chain.proved(&key, third - 1).unwrap()).unwrap();
    let new: Note = canonical::decode(&chain.proved(&key, third).unwrap()).unwrap();
    assert_eq!((old.as_str(), new), ("old form", Note { text: "old form".to_string(), height: 0 }));
    // The record that the first upgrade changed, before and after it.
    let name = |height| {
        let value = chain.proved(&keys::validator(&own()), height).unwrap();
        canonical::decode::<openmesh_ledger::ValidatorRecord>(&value).unwrap().name
    };
    assert_eq!((name(second - 1), name(second)), ("v".to_string(), format!("{MARK}v")));
    // Old blocks are read back as they were.
    for stored in chain.store.blocks(1..=chain.tip()).unwrap() {
        let bytes = canonical::encode(&stored.block);
        assert_eq!(canonical::decode::<openmesh_ledger::Block>(&bytes).unwrap().hash(), stored.block.hash());
    }
}

/// U9: facts of an epoch in which an upgrade happened, from before it and after it, are proved by the epoch's root.
#[test]
fn a_fact_of_the_epoch_of_an_upgrade_is_proved() {
    let dir = tempfile::tempdir().unwrap();
    let chain = Chain::new(dir.path());
    chain.run_to(3);
    chain.run(&[evidence(2)]);
    let second = chain.plan();
    chain.run_to(second);
    assert_eq!(current_epoch(&chain.store.state().unwrap()).unwrap(), 0, "the upgrade is in the epoch of the fact");
    // Evidence of a height of the old rules is judged by the new ones.
    chain.run(&[evidence(second - 1)]);
    chain.run_to(30);
    let state = chain.store.state().unwrap();
    let closed = closed_epoch(&state, 0).unwrap().unwrap();
    assert!(closed.facts >= 2 && closed.last_height > second, "{closed:?}");
    for position in 0..closed.facts {
        let proof = chain.store.fact_proof(0, position).unwrap().unwrap();
        light::verify_fact(&closed, &proof).unwrap();
    }
    let shown = chain.proved(&keys::closed_epoch(0), chain.tip() - 1).unwrap();
    assert_eq!(shown, canonical::encode(&closed));
    let record = validator_record(&state, &own()).unwrap().unwrap();
    assert_eq!((record.equivocations, record.name), (2, format!("{MARK}v")), "and the migration kept the rest");
}

/// The state after the block before the tip, as somebody who joins is shown it.
fn target(chain: &Chain) -> SnapshotTarget {
    let height = chain.tip() - 1;
    let (stored, (next, _)) =
        (chain.store.block(height).unwrap().unwrap(), chain.store.header(height + 1).unwrap().unwrap());
    SnapshotTarget {
        genesis: genesis(),
        block: stored.block,
        certificate: stored.certificate,
        state_root: next.state_root,
        depth: chain.store.snapshot_depth(height).unwrap(),
        walk_from: 0,
        first_validators: genesis().validator_set().unwrap(),
        changes: Vec::new(),
    }
}

fn joined(chain: &Chain, dir: &Path) -> Store {
    let target = target(chain);
    let (height, depth) = (target.block.header.height, target.depth);
    let mut restore = Restore::begin(dir, StoreConfig::default(), target).unwrap();
    for index in 0..chunk_count(depth) {
        let chunk = chain.store.snapshot_chunk(height, depth, index).unwrap();
        restore.add(index, &canonical::encode(&chunk)).unwrap();
    }
    restore.finish().unwrap()
}

/// U6, U9: who joins by a snapshot from after an upgrade follows the new rules, or is refused; from before it, it upgrades itself.
#[test]
fn a_snapshot_brings_the_rules_that_are_in_force() {
    let (here, after, before) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let chain = Chain::new(here.path());
    let second = chain.plan();
    chain.run_to(second - 1);
    // The state of the height before the last is still of the old rules.
    let early = joined(&chain, before.path());
    assert_eq!(rules_in_force(&early.state().unwrap()).unwrap().version, 1);
    chain.run_to(second + 2);
    let store = joined(&chain, after.path());
    let (state, next) = (store.state().unwrap(), store.tip().height + 1);
    assert_eq!(rules_in_force(&state).unwrap().version, 2);
    let upcoming = Upcoming::of(&chain.sets, &state, next).unwrap();
    assert_eq!((upcoming.set().version, upcoming.writes().len()), (2, 0), "nothing is migrated twice");
    let error = Upcoming::of(&RuleSets::built_in(), &state, next).unwrap_err();
    assert!(matches!(error, RulesError::Unknown { version: 2, newest: 1, .. }), "{error:?}");
    assert!(store.migrated_roots().unwrap().is_empty(), "it did not execute that block");
    // The early one executes the upgrade itself and comes to the same state.
    for height in early.tip().height + 1..=chain.tip() {
        let stored = chain.store.block(height).unwrap().unwrap();
        let state = early.state().unwrap();
        let upcoming = Upcoming::of(&chain.sets, &state, height).unwrap();
        let execution = openmesh_ledger::execute_block_on(&upcoming, &state, &stored.block, &[]).unwrap();
        let prepared = early.prepare(&execution).unwrap();
        early.commit(&stored.block, &stored.certificate, &execution, prepared).unwrap();
    }
    assert_eq!(early.tip(), chain.store.tip());
    assert_eq!(early.migrated_roots().unwrap(), chain.store.migrated_roots().unwrap());
}

/// U10: a copy is taken under the lock of the store, and the store stays as it is.
#[test]
fn a_copy_of_a_closed_store_is_a_store_of_its_own() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let chain = Chain::new(here.path());
    chain.run_to(5);
    assert!(matches!(Store::copy_closed(here.path(), there.path()), Err(StoreError::InUse(_))));
    let tip = chain.store.tip();
    drop(chain);
    let digest = || sha256(&[&std::fs::read(here.path().join("ledger.redb")).unwrap()]);
    let before = digest();
    Store::copy_closed(here.path(), there.path()).unwrap();
    let copy = Store::open(there.path()).unwrap();
    assert_eq!(copy.tip(), tip);
    assert_eq!(digest(), before, "nothing was written");
    let nowhere = tempfile::tempdir().unwrap();
    assert!(matches!(Store::copy_closed(nowhere.path(), there.path()), Err(StoreError::NotInitialised)));
}
