//! A network of one or more validators on a real store, for tests.

use std::sync::Arc;

use openmesh_engine::CommittedBlock;
use openmesh_ledger::{
    AccountTransaction, Action, BlockLimits, Certificate, Genesis, GenesisValidator, Origin, Params, SourceKind,
    SourceSpec, Transaction, build_block, execute_block, precommit_sign_bytes, verify_stateless,
};
use openmesh_primitives::{AccountKey, Amount, Timestamp, ValidatorKey};
use openmesh_storage::Store;

/// The key of a validator.
pub fn validator(number: u8) -> ValidatorKey {
    ValidatorKey::from_seed([number + 1; 32])
}

/// The key of the first validator.
pub fn key() -> ValidatorKey {
    validator(0)
}

/// The account that registers sources.
pub fn account() -> AccountKey {
    AccountKey::from_bytes([7; 32]).unwrap()
}

/// A source of Kraken's trades.
pub fn source(id: &str) -> SourceSpec {
    SourceSpec {
        id: id.into(),
        exchange: "kraken".into(),
        kind: SourceKind::Market,
        symbols: vec!["BTC.USD".into()],
        feeds: vec!["trades".into()],
        window_ms: 10_000,
        origin: Origin::Replay,
    }
}

/// A genesis of one validator and one source.
pub fn genesis() -> Genesis {
    genesis_of(1, &["kraken"])
}

/// A genesis of so many validators of equal power.
pub fn genesis_of(validators: u8, sources: &[&str]) -> Genesis {
    let validators = (0..validators).map(|number| GenesisValidator {
        public_key: validator(number).public(),
        power: 1,
        name: format!("v{number}"),
        payout: None,
    });
    Genesis {
        chain_id: 7,
        name: "test".into(),
        time: Timestamp::from_millis(1_800_000_000_000),
        validators: validators.collect(),
        accounts: vec![(account().address(), Amount::open(1_000_000))],
        sources: sources.iter().map(|id| source(id)).collect(),
        source_owners: Default::default(),
        allocation: Default::default(),
        params: Params::default(),
    }
}

/// Commits a block with an account's transaction.
pub fn commit(store: &Store, action: Action) -> CommittedBlock {
    let (state, tip, genesis) = (store.state().unwrap(), store.tip(), store.genesis().unwrap());
    let nonce = openmesh_ledger::account(&state, &account().address()).unwrap().nonce;
    let signed = AccountTransaction::sign(&account(), genesis.chain_id, nonce, Amount::open(10_000), action).unwrap();
    let candidate = Arc::new(verify_stateless(&Transaction::Account(signed).encode()).unwrap());
    let (proposer, time) = (key().public().address(), Timestamp(tip.time.nanos() + 1_000_000_000));
    let last = store.block(tip.height).unwrap().map(|last| last.certificate);
    let limits = BlockLimits::of(&genesis.params);
    let (block, _) = build_block(&state, &tip, last, &[candidate], &key(), time, &limits).unwrap();
    let execution = execute_block(&state, &block).unwrap();
    let (height, hash) = (block.header.height, block.hash());
    let signature = key().sign(&precommit_sign_bytes(genesis.chain_id, height, 0, &hash, &proposer));
    let certificate = Certificate { height, round: 0, block_hash: hash, signatures: vec![(proposer, signature)] };
    let prepared = store.prepare(&execution).unwrap();
    let state_root = prepared.state_root;
    store.commit(&block, &certificate, &execution, prepared).unwrap();
    let (receipts, events) = (execution.receipts, execution.events);
    CommittedBlock { block, hash, certificate, state_root, receipts, events }
}
