//! A chain of one process on a real store, with validator sets that change.

use std::collections::BTreeMap;
use std::path::Path;

use openmesh_ledger::{
    Block, BlockLimits, Certificate, Genesis, GenesisValidator, Params, Validator, ValidatorSet, build_block,
    execute_block, keys, precommit_sign_bytes,
};
use openmesh_primitives::{Address, Amount, Height, Timestamp, ValidatorKey, canonical, sha256};
use openmesh_storage::{Store, StoreConfig};

pub const CHAIN_ID: u64 = 9_119;
/// Heights between two snapshots in these tests.
pub const INTERVAL: u64 = 10;

pub fn key(n: usize) -> ValidatorKey {
    ValidatorKey::from_seed([n as u8 + 1; 32])
}

pub fn set(members: std::ops::Range<usize>) -> ValidatorSet {
    ValidatorSet::new(members.map(|n| Validator::new(key(n).public(), 1, "v")).collect()).unwrap()
}

/// Eight validators, and so many accounts.
pub fn genesis(accounts: u32) -> Genesis {
    let validator = |n| GenesisValidator { public_key: key(n).public(), power: 1, name: "v".into(), payout: None };
    let address = |n: u32| {
        let mut address = [0; 20];
        address.copy_from_slice(&sha256(&[&n.to_be_bytes()]).0[..20]);
        Address(address)
    };
    Genesis {
        chain_id: CHAIN_ID,
        name: "test".into(),
        time: Timestamp::from_millis(1_800_000_000_000),
        validators: (0..8).map(validator).collect(),
        accounts: (0..accounts).map(|n| (address(n), Amount::open(1))).collect(),
        sources: Vec::new(),
        source_owners: Default::default(),
        allocation: Default::default(),
        params: Params::default(),
    }
}

/// A moment in the life of the chains of these tests.
pub fn now() -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000 + 3_600_000)
}

pub struct Chain {
    pub store: Store,
    /// Sets that a block writes as the next but one.
    pub changes: BTreeMap<Height, ValidatorSet>,
}

impl Chain {
    pub fn new(dir: &Path, config: StoreConfig, genesis: &Genesis) -> Chain {
        let store = Store::open_with(dir, config).unwrap();
        store.initialise(genesis).unwrap();
        Chain { store, changes: BTreeMap::new() }
    }

    pub fn grow(&self, until: Height) {
        while self.store.tip().height < until {
            let (state, tip) = (self.store.state().unwrap(), self.store.tip());
            let last_commit = self.store.block(tip.height).unwrap().map(|last| last.certificate);
            let set = self.store.validators_at(tip.height + 1).unwrap();
            let proposer = (0..8).map(key).find(|key| key.public().address() == set.as_slice()[0].address).unwrap();
            let time = Timestamp(tip.time.nanos() + 1_000_000_000);
            let limits = BlockLimits::of(&self.store.genesis().unwrap().params);
            let (block, mut execution) = build_block(&state, &tip, last_commit, &[], &proposer, time, &limits).unwrap();
            if let Some(set) = self.changes.get(&block.header.height) {
                execution.writes.insert(keys::VALIDATORS_NEXT.to_vec(), Some(canonical::encode(set)));
            }
            let prepared = self.store.prepare(&execution).unwrap();
            self.store.commit(&block, &self.certificate(&block), &execution, prepared).unwrap();
        }
    }

    fn certificate(&self, block: &Block) -> Certificate {
        let (height, hash) = (block.header.height, block.hash());
        let set = self.store.validators_at(height).unwrap();
        let signers = (0..8).map(key).filter(|key| set.get(&key.public().address()).is_some());
        let sign = |key: ValidatorKey| {
            let address = key.public().address();
            (address, key.sign(&precommit_sign_bytes(CHAIN_ID, height, 0, &hash, &address)))
        };
        Certificate { height, round: 0, block_hash: hash, signatures: signers.map(sign).collect() }
    }

    /// Commits the blocks that another chain has.
    pub fn follow(store: &Store, other: &Store) {
        for height in store.tip().height + 1..=other.tip().height {
            let stored = other.block(height).unwrap().unwrap();
            let execution = execute_block(&store.state().unwrap(), &stored.block).unwrap();
            let prepared = store.prepare(&execution).unwrap();
            store.commit(&stored.block, &stored.certificate, &execution, prepared).unwrap();
        }
    }
}
