//! Stamps are found by their keys also when they have left the state, and proven through their epoch's root.

use std::path::Path;

use openmesh_ledger::{
    AccountTransaction, Params, StampsAction, Transaction, closed_epoch, current_epoch, keys, light, stamp,
};
use openmesh_primitives::{Amount, Digest, sha256};
use openmesh_storage::{StampFact, Store, StoreConfig, stamp_fact_key};

use crate::chain::{CHAIN_ID, Chain, account, genesis, validators};

/// A chain whose stamps leave the state after one epoch of ten blocks.
fn open(dir: &Path, config: StoreConfig) -> Chain {
    let store = Store::open_with(dir, config).unwrap();
    let mut genesis = genesis();
    genesis.params.stamps.stamps_kept_epochs = 1;
    store.initialise(&genesis).unwrap();
    Chain { store, validators: validators(), account: account() }
}

/// Commits a block with stamps of these hashes under these topics.
fn stamps(chain: &Chain, of: &[(Digest, &str)]) {
    let nonce = openmesh_ledger::account(&chain.store.state().unwrap(), &chain.account.address()).unwrap().nonce;
    // A stamp weighs less than a hundred transfers.
    let fee = Amount(Params::default().accounts.fee_min.0 * 100);
    let made = (nonce..).zip(of).map(|(nonce, (hash, topic))| {
        let action = StampsAction::Stamp { hash: *hash, topic: (*topic).to_string(), note: String::new() };
        let signed = AccountTransaction::sign(&chain.account, CHAIN_ID, nonce, fee, action.into()).unwrap();
        Transaction::Account(signed).encode()
    });
    let execution = chain.commit(&chain.draft(&made.collect::<Vec<_>>()));
    assert!(execution.receipts.len() == of.len() && execution.receipts.iter().all(|receipt| receipt.ok()));
}

fn run_to_epoch(chain: &Chain, epoch: u64) {
    while current_epoch(&chain.store.state().unwrap()).unwrap() < epoch {
        stamps(chain, &[]);
    }
}

fn names(facts: &[StampFact]) -> Vec<(&str, u64, u64)> {
    facts.iter().map(|fact| (fact.record.topic.as_str(), fact.record.height, fact.epoch)).collect()
}

#[test]
fn a_stamp_that_has_left_the_state_is_found_and_proven() {
    let dir = tempfile::tempdir().unwrap();
    let chain = open(dir.path(), StoreConfig::default());
    let (first, second) = (sha256(&[b"first"]), sha256(&[b"second"]));
    stamps(&chain, &[(first, "xnode"), (first, "drill"), (second, "drill")]);
    run_to_epoch(&chain, 2);
    let state = chain.store.state().unwrap();
    assert_eq!(stamp(&state, &first, "drill", &chain.account.address()).unwrap(), None, "it has left the state");
    stamps(&chain, &[(first, "drill")]);
    let again = chain.store.tip().height;
    let prefix = keys::stamps_of_hash(&first);
    let all = chain.store.stamp_facts(&prefix, None, 9).unwrap();
    assert_eq!(names(&all), [("drill", 1, 0), ("drill", again, 2), ("xnode", 1, 0)], "by key, then by height");
    let behind = chain.store.stamp_facts(&prefix, Some(&stamp_fact_key(&all[0].record)), 1).unwrap();
    assert_eq!(names(&behind), [("drill", again, 2)], "a page behind the first one");
    assert_eq!(names(&chain.store.stamp_facts(&keys::stamps_of(&first, "xnode"), None, 9).unwrap()), [("xnode", 1, 0)]);
    assert_eq!(chain.store.stamp_facts(&keys::stamps_of(&first, "xnod"), None, 9).unwrap(), []);
    assert_eq!(chain.store.stamp_facts(&keys::stamps_of_hash(&sha256(&[b"third"])), None, 9).unwrap(), []);
    let account = chain.account.address();
    let of_topic = chain.store.stamp_facts_back(&keys::stamps_of_topic("drill"), None, 9).unwrap();
    assert_eq!(names(&of_topic), [("drill", again, 2), ("drill", 1, 0), ("drill", 1, 0)], "newest first");
    let older = keys::stamp_of_account(&account, again, 0);
    let of_account = chain.store.stamp_facts_back(&keys::stamps_of_account(&account), Some(&older), 2).unwrap();
    assert_eq!(names(&of_account), [("drill", 1, 0), ("drill", 1, 0)], "behind the newest one, a page of two");
    assert_eq!(chain.store.stamp_facts_back(keys::STAMP_PLACES, None, 9).unwrap().len(), 4);
    let state = chain.store.state().unwrap();
    for fact in all.iter().filter(|fact| fact.epoch == 0) {
        let proof = chain.store.fact_proof(fact.epoch, fact.position).unwrap().unwrap();
        assert_eq!(proof.fact, openmesh_ledger::Fact::Stamp(fact.record.clone()));
        assert_eq!(light::verify_fact(&closed_epoch(&state, 0).unwrap().unwrap(), &proof), Ok(()));
    }
}

#[test]
fn facts_of_stamps_go_with_the_blocks_of_their_age() {
    let dir = tempfile::tempdir().unwrap();
    let config = StoreConfig { proof_heights: 5, retain_ms: Some(10_000), ..StoreConfig::default() };
    let chain = open(dir.path(), config);
    let hash = sha256(&[b"first"]);
    stamps(&chain, &[(hash, "drill"), (hash, "xnode")]);
    let found = |chain: &Chain| chain.store.stamp_facts(&keys::stamps_of_hash(&hash), None, 9).unwrap().len();
    run_to_epoch(&chain, 1);
    assert_eq!(found(&chain), 2);
    run_to_epoch(&chain, 2);
    assert_eq!(chain.store.stamp_facts_back(keys::STAMP_PLACES, None, 9).unwrap(), []);
    assert_eq!(found(&chain), 0, "one epoch is kept beside the current one");
}
