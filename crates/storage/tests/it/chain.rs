//! A chain of one process on a real store: keys, blocks, certificates.

use std::path::Path;
use std::sync::Arc;

use openmesh_ledger::{
    AccountTransaction, AccountsAction, Action, Attestation, Block, BlockLimits, Certificate, ChunkClaim, EpochsParams,
    Execution, Genesis, GenesisValidator, Origin, Params, SourceKind, SourceSpec, Transaction, WindowsParams,
    build_block, execute_block, precommit_sign_bytes, validate_proposal, verify_stateless,
};
use openmesh_primitives::{AccountKey, Address, Amount, ContentId, Timestamp, ValidatorKey};
use openmesh_storage::{Store, StoreConfig};

pub const CHAIN_ID: u64 = 7117;
pub const SOURCE: &str = "kraken";
pub const STREAM: &str = "BTC.USD/trades";

pub struct Chain {
    pub store: Store,
    pub validators: Vec<ValidatorKey>,
    pub account: AccountKey,
}

pub fn validators() -> Vec<ValidatorKey> {
    (1..=4).map(|n| ValidatorKey::from_seed([n; 32])).collect()
}

pub fn genesis() -> Genesis {
    let validator =
        |key: &ValidatorKey| GenesisValidator { public_key: key.public(), power: 1, name: "v".into(), payout: None };
    Genesis {
        chain_id: CHAIN_ID,
        name: "test".to_string(),
        time: Timestamp::from_millis(1_800_000_000_000),
        validators: validators().iter().map(validator).collect(),
        accounts: vec![(account().address(), Amount::open(1_000_000))],
        sources: vec![SourceSpec {
            id: SOURCE.to_string(),
            exchange: "kraken".to_string(),
            kind: SourceKind::Market,
            symbols: vec!["BTC.USD".to_string()],
            feeds: vec!["trades".to_string()],
            window_ms: 10_000,
            origin: Origin::Replay,
        }],
        source_owners: Default::default(),
        allocation: Default::default(),
        params: Params {
            windows: WindowsParams { window_close_blocks: 2, commitments: false, ..WindowsParams::default() },
            epochs: EpochsParams { epoch_ms: 10_000, ..EpochsParams::default() },
            ..Params::default()
        },
    }
}

pub fn account() -> AccountKey {
    AccountKey::from_bytes([7; 32]).unwrap()
}

pub fn certificate(validators: &[ValidatorKey], block: &Block) -> Certificate {
    let (height, hash) = (block.header.height, block.hash());
    let sign = |key: &ValidatorKey| {
        let address = key.public().address();
        (address, key.sign(&precommit_sign_bytes(CHAIN_ID, height, 0, &hash, &address)))
    };
    Certificate { height, round: 0, block_hash: hash, signatures: validators.iter().map(sign).collect() }
}

impl Chain {
    pub fn open(dir: &Path, config: StoreConfig) -> Chain {
        let store = Store::open_with(dir, config).unwrap();
        store.initialise(&genesis()).unwrap();
        Chain { store, validators: validators(), account: account() }
    }

    /// A transfer to a new address, and the attestations of one window.
    pub fn transactions(&self) -> Vec<Vec<u8>> {
        let height = self.store.tip().height + 1;
        let state = self.store.state().unwrap();
        let nonce = openmesh_ledger::account(&state, &self.account.address()).unwrap().nonce;
        let mut to = [0; 20];
        to[..8].copy_from_slice(&height.to_be_bytes());
        let action = Action::Accounts(AccountsAction::Transfer { to: Address(to), amount: Amount::open(1) });
        let fee = Params::default().accounts.fee_min;
        let transfer = AccountTransaction::sign(&self.account, CHAIN_ID, nonce, fee, action).unwrap();
        let epoch = openmesh_ledger::current_epoch(&state).unwrap();
        let chunk =
            ChunkClaim { stream: STREAM.to_string(), cid: ContentId::of(&height.to_be_bytes()), bytes: 8, events: 1 };
        let attest = |key| {
            let signed = Attestation::sign(key, CHAIN_ID, SOURCE, height, epoch, vec![chunk.clone()], vec![]);
            Transaction::Attestation(signed).encode()
        };
        self.validators.iter().map(attest).chain([Transaction::Account(transfer).encode()]).collect()
    }

    pub fn propose(&self, transactions: &[Vec<u8>]) -> Block {
        let block = self.draft(transactions);
        validate_proposal(&self.store.state().unwrap(), &self.store.tip(), &block).unwrap();
        block
    }

    /// A block that nobody has judged.
    pub fn draft(&self, transactions: &[Vec<u8>]) -> Block {
        self.draft_after(1_000, transactions)
    }

    /// As [`Chain::draft`], this many milliseconds of block time after the last one.
    pub fn draft_after(&self, ms: u64, transactions: &[Vec<u8>]) -> Block {
        let (state, tip) = (self.store.state().unwrap(), self.store.tip());
        let candidates: Vec<_> = transactions.iter().map(|b| Arc::new(verify_stateless(b).unwrap())).collect();
        let time = Timestamp(tip.time.nanos() + i64::try_from(ms * 1_000_000).unwrap());
        let proposer = &self.validators[tip.height as usize % 4];
        let limits = BlockLimits::of(&genesis().params);
        let last_commit = self.store.block(tip.height).unwrap().map(|last| last.certificate);
        build_block(&state, &tip, last_commit, &candidates, proposer, time, &limits).unwrap().0
    }

    pub fn commit(&self, block: &Block) -> Execution {
        let execution = execute_block(&self.store.state().unwrap(), block).unwrap();
        let prepared = self.store.prepare(&execution).unwrap();
        self.store.commit(block, &certificate(&self.validators, block), &execution, prepared).unwrap();
        execution
    }

    pub fn advance(&self) -> Execution {
        self.commit(&self.propose(&self.transactions()))
    }
}
