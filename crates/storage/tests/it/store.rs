//! Everything written can be read, after a restart too, and what does not fit is refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use openmesh_ledger::{
    AccountTransaction, AccountsAction, Action, Block, Certificate, Execution, LedgerEvent, Migration, Receipt,
    StateRead, Transaction, Validator, ValidatorSet, WindowsEvent, chunk, execute_block, initial_state, keys, light,
    transactions_root,
};
use openmesh_primitives::{Address, Amount, Digest, ValidatorKey, canonical, sha256};
use openmesh_storage::{BLOCKS_READ_MAX, Prepared, Store, StoreConfig, StoreError};

use crate::chain::{CHAIN_ID, Chain, SOURCE, STREAM, certificate, genesis};

fn config() -> StoreConfig {
    StoreConfig { proof_heights: 100, cache_bytes_max: 4 << 20, ..StoreConfig::default() }
}

#[test]
fn a_chain_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let chain = Chain::open(dir.path(), config());
    assert_eq!(chain.store.tip().block_hash, genesis().hash());
    let mut executions = Vec::new();
    for _ in 0..5 {
        executions.push(chain.advance());
    }
    let tip = chain.store.tip();
    drop(chain);
    let chain = Chain::open(dir.path(), config());
    assert_eq!(chain.store.tip(), tip);
    assert_eq!(*chain.store.genesis().unwrap(), genesis());
    let mut parent = genesis().hash();
    for (height, execution) in (1..=5).zip(&executions) {
        let stored = chain.store.block(height).unwrap().unwrap();
        assert_eq!(stored.block.header.parent, parent);
        parent = stored.block.hash();
        assert_eq!((&stored.receipts, &stored.events), (&execution.receipts, &execution.events));
        let set = chain.store.validators_at(height).unwrap();
        assert_eq!(light::verify(CHAIN_ID, &set, &stored.block.header, &stored.certificate), Ok(()));
        for receipt in &stored.receipts {
            assert_eq!(chain.store.transaction(&receipt.hash).unwrap(), Some((height, receipt.index)));
        }
        assert!(chunk(&chain.store.state().unwrap(), SOURCE, height, STREAM).unwrap().is_some());
    }
    assert_eq!(chain.store.blocks(2..=4).unwrap().len(), 3);
    assert_eq!(chain.store.block(6).unwrap(), None);
    assert_eq!(chain.store.transaction(&Digest::ZERO).unwrap(), None);
    let closed = |event: &&LedgerEvent| matches!(event, LedgerEvent::Windows(WindowsEvent::WindowClosed { .. }));
    assert_eq!(executions.iter().flat_map(|e| &e.events).filter(closed).count(), 3);
    chain.advance();
    assert_eq!(chain.store.tip().height, 6);
}

#[test]
fn a_transaction_stands_where_it_took_effect() {
    let dir = tempfile::tempdir().unwrap();
    let chain = Chain::open(dir.path(), config());
    let transfer = |nonce| {
        let action = Action::Accounts(AccountsAction::Transfer { to: Address([1; 20]), amount: Amount::open(1) });
        let signed =
            AccountTransaction::sign(&chain.account, CHAIN_ID, nonce, genesis().params.accounts.fee_min, action);
        Transaction::Account(signed.unwrap()).encode()
    };
    // A proposer includes the second one before its turn, then again after it, when both have taken effect.
    let (first, second) = (transfer(0), transfer(1));
    let include = |transactions: &[&Vec<u8>]| {
        let mut block = chain.draft(&[]);
        block.transactions = transactions.iter().copied().cloned().collect();
        block.header.transactions_root = transactions_root(&block.transactions);
        let receipts = chain.commit(&block).receipts;
        receipts.iter().map(Receipt::ok).collect::<Vec<_>>()
    };
    let place = |bytes: &Vec<u8>| chain.store.transaction(&sha256(&[bytes])).unwrap();
    assert_eq!(include(&[&second]), [false]);
    assert_eq!((place(&first), place(&second)), (None, Some((1, 0))));
    assert_eq!(include(&[&second]), [false]);
    assert_eq!(place(&second), Some((1, 0)));
    assert_eq!(include(&[&first, &second]), [true, true]);
    assert_eq!((place(&first), place(&second)), (Some((3, 0)), Some((3, 1))));
    assert_eq!(include(&[&second, &first]), [false, false]);
    assert_eq!((place(&first), place(&second)), (Some((3, 0)), Some((3, 1))));
}

#[test]
fn many_blocks_come_in_pages() {
    let dir = tempfile::tempdir().unwrap();
    let chain = Chain::open(dir.path(), config());
    for _ in 0..BLOCKS_READ_MAX + 3 {
        chain.commit(&chain.propose(&[]));
    }
    assert_eq!(chain.store.blocks(1..=u64::MAX).unwrap().len(), BLOCKS_READ_MAX);
    assert_eq!(chain.store.blocks(BLOCKS_READ_MAX as u64 + 1..=u64::MAX).unwrap().len(), 3);
}

#[test]
fn the_state_is_the_same_as_in_a_map() {
    let dir = tempfile::tempdir().unwrap();
    let chain = Chain::open(dir.path(), config());
    let mut map = initial_state(&genesis()).unwrap();
    for _ in 0..8 {
        for (key, value) in chain.advance().writes {
            match value {
                Some(value) => map.insert(key, value),
                None => map.remove(&key),
            };
        }
    }
    let state = chain.store.state().unwrap();
    assert_eq!(state.scan(b"", None, usize::MAX), map.scan(b"", None, usize::MAX));
    let mut backwards = state.scan_back(b"", None, usize::MAX).unwrap();
    backwards.reverse();
    assert_eq!(backwards, state.scan(b"", None, usize::MAX).unwrap());
    for prefix in [keys::ACCOUNTS, keys::CHUNKS, keys::INCIDENTS, b"zzz", &[255, 255]] {
        let all = map.scan(prefix, None, usize::MAX).unwrap();
        for limit in [0, 1, 3, 100] {
            for from in [None, all.get(2).map(|(key, _)| key.as_slice())] {
                assert_eq!(state.scan(prefix, from, limit), map.scan(prefix, from, limit));
            }
            let newest: Vec<_> = all.iter().rev().take(limit).cloned().collect();
            assert_eq!(state.scan_back(prefix, None, limit).unwrap(), newest);
        }
        if let Some((third, _)) = all.get(2) {
            assert_eq!(state.scan_back(prefix, Some(third), 9).unwrap(), [all[1].clone(), all[0].clone()]);
        }
    }
}

#[test]
fn a_view_does_not_move() {
    let dir = tempfile::tempdir().unwrap();
    let chain = Chain::open(dir.path(), config());
    let view = chain.store.state().unwrap();
    let before = view.scan(b"", None, usize::MAX).unwrap();
    chain.advance();
    assert_eq!(view.scan(b"", None, usize::MAX).unwrap(), before);
    assert_eq!(view.tip().height, 0);
    assert_eq!(chain.store.state().unwrap().tip(), chain.store.tip());
}

#[test]
fn undecided_proposals_live_until_their_height_is_decided() {
    let dir = tempfile::tempdir().unwrap();
    let chain = Chain::open(dir.path(), config());
    let (a, b) = (Digest([1; 32]), Digest([2; 32]));
    chain.store.put_undecided(1, 0, &a, b"a").unwrap();
    chain.store.put_undecided(1, 3, &b, b"b").unwrap();
    chain.store.put_undecided(1, -1, &b, b"nil round").unwrap();
    chain.store.put_undecided(2, 0, &b, b"next").unwrap();
    drop(chain);
    let chain = Chain::open(dir.path(), config());
    let expected = vec![(-1, b, b"nil round".to_vec()), (0, a, b"a".to_vec()), (3, b, b"b".to_vec())];
    assert_eq!(chain.store.undecided(1).unwrap(), expected);
    chain.advance();
    assert_eq!(chain.store.undecided(1).unwrap(), []);
    assert_eq!(chain.store.undecided(2).unwrap(), [(0, b, b"next".to_vec())]);
}

#[test]
fn what_does_not_follow_the_tip_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let chain = Chain::open(dir.path(), config());
    let block = chain.propose(&chain.transactions());
    let execution = execute_block(&chain.store.state().unwrap(), &block).unwrap();
    let signed = certificate(&chain.validators, &block);
    let refused = |block: &Block, certificate: &Certificate, prepared: Prepared| {
        let refusal = chain.store.commit(block, certificate, &execution, prepared);
        assert!(matches!(refusal, Err(StoreError::NotNext(_))), "{refusal:?}");
    };
    let prepared = || chain.store.prepare(&execution).unwrap();
    let stale = prepared();
    let mut skipping = block.clone();
    skipping.header.height = 2;
    refused(&skipping, &certificate(&chain.validators, &skipping), prepared());
    let mut orphan = block.clone();
    orphan.header.parent = Digest::ZERO;
    refused(&orphan, &certificate(&chain.validators, &orphan), prepared());
    refused(&block, &certificate(&chain.validators, &orphan), prepared());
    assert_eq!(chain.store.tip().height, 0);
    assert_eq!(prepared().state_root, stale.state_root, "preparing writes nothing");
    chain.store.commit(&block, &signed, &execution, prepared()).unwrap();
    refused(&block, &signed, stale);
    let next = chain.propose(&[]);
    let old = execute_block(&chain.store.state().unwrap(), &next).unwrap();
    let outdated = chain.store.prepare(&old).unwrap();
    chain.commit(&next);
    let last = chain.propose(&[]);
    refused(&last, &certificate(&chain.validators, &last), outdated);
}

#[test]
fn validators_by_height() {
    let dir = tempfile::tempdir().unwrap();
    let chain = Chain::open(dir.path(), config());
    let old = genesis().validator_set().unwrap();
    let joined = Validator::new(ValidatorKey::from_seed([50; 32]).public(), 1, "new");
    let new = ValidatorSet::new(old.iter().cloned().chain([joined]).collect()).unwrap();
    let block = chain.propose(&[]);
    let mut execution = execute_block(&chain.store.state().unwrap(), &block).unwrap();
    execution.writes.insert(keys::VALIDATORS_NEXT.to_vec(), Some(canonical::encode(&new)));
    let prepared = chain.store.prepare(&execution).unwrap();
    chain.store.commit(&block, &certificate(&chain.validators, &block), &execution, prepared).unwrap();
    let sets = [0, 1, 2, 3].map(|height| chain.store.validators_at(height).unwrap());
    assert_eq!(sets, [old.clone(), old.clone(), old, new.clone()]);
    assert!(matches!(chain.store.validators_at(4), Err(StoreError::Beyond { height: 4, tip: 1 })));
    assert_eq!(chain.store.validator_changes(2).unwrap(), []);
    assert_eq!(chain.store.validator_changes(3).unwrap(), [(3, new.clone())]);
    let second = chain.propose(&[]);
    assert_eq!(second.header.next_validators_hash, new.hash());
}

#[test]
fn one_genesis_and_one_process() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    assert!(matches!(store.genesis(), Err(StoreError::NotInitialised)));
    assert!(matches!(store.state(), Err(StoreError::NotInitialised)));
    assert!(matches!(store.prepare(&Execution::default()), Err(StoreError::NotInitialised)));
    assert_eq!(store.tip().block_hash, Digest::ZERO);
    let mut broken = genesis();
    broken.validators.clear();
    assert!(matches!(store.initialise(&broken), Err(StoreError::Genesis(_))));
    store.initialise(&genesis()).unwrap();
    store.initialise(&genesis()).unwrap();
    let mut other = genesis();
    other.chain_id += 1;
    assert!(matches!(store.initialise(&other), Err(StoreError::OtherGenesis { .. })));
    assert!(matches!(Store::open(dir.path()), Err(StoreError::InUse(_))));
    drop(store);
    let again = Store::open(dir.path()).unwrap();
    assert!(matches!(again.initialise(&other), Err(StoreError::OtherGenesis { .. })));
}

#[test]
fn equal_states_have_equal_roots_whatever_came_before() {
    let roots: Vec<Digest> = (0..2)
        .map(|_| {
            let dir = tempfile::tempdir().unwrap();
            let chain = Chain::open(dir.path(), config());
            (0..3).for_each(|_| drop(chain.advance()));
            chain.store.tip().state_root
        })
        .collect();
    assert_eq!(roots[0], roots[1]);
    let mut execution = Execution::default();
    let dir = tempfile::tempdir().unwrap();
    let chain = Chain::open(dir.path(), config());
    execution.writes = BTreeMap::from([(b"x".to_vec(), Some(b"1".to_vec()))]);
    let one = chain.store.prepare(&execution).unwrap().state_root;
    execution.writes = BTreeMap::from([(b"x".to_vec(), Some(b"2".to_vec()))]);
    assert_ne!(chain.store.prepare(&execution).unwrap().state_root, one);
}

/// The writes of a migration are handed in apart, and come under those of the block.
#[test]
fn a_migration_is_stored_under_its_block() {
    let dir = tempfile::tempdir().unwrap();
    let chain = Chain::open(dir.path(), config());
    let block = chain.propose(&[]);
    let plain = execute_block(&chain.store.state().unwrap(), &block).unwrap();
    let word = |text: &str| Some(canonical::encode(&text.to_owned()));
    let pairs = |pairs: &[(&str, &str)]| -> BTreeMap<_, _> {
        pairs.iter().map(|(key, text)| (key.as_bytes().to_vec(), word(text))).collect()
    };
    let writes = Arc::new(pairs(&[("word/a", "migrated"), ("word/b", "migrated")]));
    let mut execution = Execution { migration: Some(Migration { version: 2, writes }), ..plain.clone() };
    execution.writes.extend(pairs(&[("word/b", "the block's")]));
    // The same as one set of writes.
    let mut whole = plain;
    whole.writes.extend(pairs(&[("word/a", "migrated"), ("word/b", "the block's")]));
    let prepared = chain.store.prepare(&execution).unwrap();
    assert_eq!(prepared.state_root, chain.store.prepare(&whole).unwrap().state_root);
    assert_eq!(*execution.all_writes(), whole.writes);
    chain.store.commit(&block, &certificate(&chain.validators, &block), &execution, prepared).unwrap();
    let state = chain.store.state().unwrap();
    assert_eq!(state.get(b"word/a").unwrap(), word("migrated"));
    assert_eq!(state.get(b"word/b").unwrap(), word("the block's"));
    assert_eq!(chain.store.migrated_roots().unwrap().len(), 1);
}
