//! A chain of real blocks on a real store, for tests.

use std::sync::Arc;

use openmesh_ledger::{
    AccountTransaction, AccountsAction, Action, BlockLimits, Certificate, Genesis, GenesisValidator, Origin, Params,
    SourceKind, SourceSpec, StampsAction, Transaction, build_block, execute_block, precommit_sign_bytes,
    verify_stateless,
};
use openmesh_primitives::{AccountKey, Address, Amount, Digest, Timestamp, ValidatorKey};
use openmesh_storage::Store;
use tempfile::TempDir;

const CHAIN_ID: u64 = 7;

fn validator() -> ValidatorKey {
    ValidatorKey::from_seed([1; 32])
}

fn key() -> AccountKey {
    AccountKey::from_bytes([1; 32]).unwrap()
}

/// The account that pays for every transfer.
pub fn sender() -> Address {
    key().address()
}

/// The account that receives every transfer.
pub fn receiver() -> Address {
    Address([0xaa; 20])
}

/// A source of an exchange.
pub fn source(id: &str, exchange: &str) -> SourceSpec {
    SourceSpec {
        id: id.into(),
        exchange: exchange.into(),
        kind: SourceKind::Market,
        symbols: vec!["BTC.USD".into()],
        feeds: vec!["trades".into()],
        window_ms: 10_000,
        origin: Origin::Replay,
    }
}

fn genesis() -> Genesis {
    let public_key = validator().public();
    Genesis {
        chain_id: CHAIN_ID,
        name: "test".into(),
        time: Timestamp::from_millis(1_800_000_000_000),
        validators: vec![GenesisValidator { public_key, power: 1, name: "v".into(), payout: None }],
        accounts: vec![(sender(), Amount::open(1_000))],
        sources: vec![source("kraken", "kraken")],
        source_owners: Default::default(),
        allocation: Default::default(),
        params: Params::default(),
    }
}

/// A chain with one validator.
pub struct Chain {
    _dir: TempDir,
    /// Its store.
    pub store: Store,
    nonce: u64,
}

impl Chain {
    /// A chain without blocks.
    pub fn new() -> Chain {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        store.initialise(&genesis()).unwrap();
        Chain { _dir: dir, store, nonce: 0 }
    }

    /// Commits a block with so many transfers.
    pub fn transfers(&mut self, number: usize) {
        let transfer = || Action::Accounts(AccountsAction::Transfer { to: receiver(), amount: Amount(1) });
        self.actions((0..number).map(|_| transfer()).collect());
    }

    /// Commits a block with stamps of these hashes under these topics.
    pub fn stamps(&mut self, of: &[(Digest, &str)]) {
        let stamp = |(hash, topic): &(Digest, &str)| StampsAction::Stamp {
            hash: *hash,
            topic: (*topic).into(),
            note: String::new(),
        };
        self.actions(of.iter().map(|each| stamp(each).into()).collect());
    }

    /// Commits a block with these actions, each for a fee of 1 OPEN.
    pub fn actions(&mut self, actions: Vec<Action>) {
        self.block(actions, 1);
    }

    /// Commits so many blocks without transactions, an hour after each other: as many epochs begin.
    pub fn hours(&mut self, number: usize) {
        (0..number).for_each(|_| self.block(Vec::new(), 3_600));
    }

    fn block(&mut self, actions: Vec<Action>, seconds: i64) {
        let (state, tip) = (self.store.state().unwrap(), self.store.tip());
        let candidates: Vec<_> = actions
            .into_iter()
            .map(|action| {
                let signed = AccountTransaction::sign(&key(), CHAIN_ID, self.nonce, Amount::open(1), action).unwrap();
                self.nonce += 1;
                Arc::new(verify_stateless(&Transaction::Account(signed).encode()).unwrap())
            })
            .collect();
        let (proposer, time) = (validator().public().address(), Timestamp(tip.time.nanos() + seconds * 1_000_000_000));
        let last = self.store.block(tip.height).unwrap().map(|last| last.certificate);
        let limits = BlockLimits::of(&genesis().params);
        let (block, _) = build_block(&state, &tip, last, &candidates, &validator(), time, &limits).unwrap();
        let execution = execute_block(&state, &block).unwrap();
        let (height, block_hash) = (block.header.height, block.hash());
        let signature = validator().sign(&precommit_sign_bytes(CHAIN_ID, height, 0, &block_hash, &proposer));
        let certificate = Certificate { height, round: 0, block_hash, signatures: vec![(proposer, signature)] };
        let prepared = self.store.prepare(&execution).unwrap();
        self.store.commit(&block, &certificate, &execution, prepared).unwrap();
    }
}
