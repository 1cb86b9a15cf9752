//! A network of one process: keys, a state in a map, and blocks one after the other.

use std::collections::BTreeMap;
use std::sync::Arc;

use openmesh_ledger::{
    AccountTransaction, AccountsAction, Action, Attestation, Block, BlockLimits, Certificate, ChunkClaim, Execution,
    FeeOffer, Genesis, GenesisValidator, HEADER_VERSION, Header, IncidentKind, LedgerEvent, LedgerIncident, Origin,
    Params, SourceKind, SourceSpec, Tip, Transaction, TransactionError, VerifiedTransaction, WindowsEvent, beacon,
    beacon_input, check_supply, commit_hash, execute_block, initial_state, next_validators, precommit_sign_bytes,
    transactions_root, validate_proposal, validators, verify_stateless,
};
use openmesh_primitives::{AccountKey, Address, Amount, ContentId, Digest, Timestamp, ValidatorKey, canonical, sha256};

pub const CHAIN_ID: u64 = 7117;
/// The least base fee of a unit of weight: all of it is burnt.
pub const FEE: Amount = Amount(1_000_000_000_000);
pub const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);
pub const SOURCE: &str = "kraken";
pub const TRADES: &str = "BTC.USD/trades";
pub const BOOK: &str = "BTC.USD/book";

pub type State = BTreeMap<Vec<u8>, Vec<u8>>;

pub struct Chain {
    pub genesis: Genesis,
    pub state: State,
    pub tip: Tip,
    pub validators: Vec<ValidatorKey>,
    pub accounts: Vec<AccountKey>,
    /// The validators that take part in consensus, by their numbers: they propose, and the next block carries their
    /// precommits.
    pub signers: Vec<usize>,
    /// The round in which they decided the last block.
    pub round: i64,
    /// Time that passes before the next block beyond its second, milliseconds.
    pause_ms: i64,
}

pub fn source(id: &str, origin: Origin) -> SourceSpec {
    SourceSpec {
        id: id.to_string(),
        exchange: "kraken".to_string(),
        kind: SourceKind::Market,
        symbols: vec!["BTC.USD".to_string(), "ETH.USD".to_string()],
        feeds: vec!["book".to_string(), "trades".to_string()],
        window_ms: 10_000,
        origin,
    }
}

pub fn account_key(n: u8) -> AccountKey {
    AccountKey::from_bytes([n + 1; 32]).unwrap()
}

pub fn claim(stream: &str, data: &str) -> ChunkClaim {
    ChunkClaim { stream: stream.to_string(), cid: ContentId::of(data.as_bytes()), bytes: data.len() as u64, events: 1 }
}

/// The root of a state without a tree: only for these tests, where nothing is proven.
pub fn root_of(state: &State) -> Digest {
    sha256(&[&canonical::encode(state)])
}

pub fn verified(bytes: &[Vec<u8>]) -> Vec<Arc<VerifiedTransaction>> {
    bytes.iter().map(|bytes| Arc::new(verify_stateless(bytes).unwrap())).collect()
}

impl Chain {
    /// Validators of these powers, three accounts of 1000 OPEN each, one replayed source. Draws are made with the first block of an
    /// epoch, and windows are attested without commitments, whatever the parameters say.
    pub fn new(powers: &[u64], mut params: Params) -> Chain {
        params.epochs.mix_blocks = 0;
        params.windows.commitments = false;
        Chain::of(powers, params)
    }

    /// The same with the parameters as they are.
    pub fn of(powers: &[u64], params: Params) -> Chain {
        let validators: Vec<ValidatorKey> =
            (0..powers.len()).map(|n| ValidatorKey::from_seed([n as u8 + 1; 32])).collect();
        let accounts: Vec<AccountKey> = (0..3).map(account_key).collect();
        let genesis = Genesis {
            chain_id: CHAIN_ID,
            name: "test".to_string(),
            time: START,
            validators: validators
                .iter()
                .zip(powers)
                .map(|(key, power)| GenesisValidator {
                    public_key: key.public(),
                    power: *power,
                    name: "v".to_string(),
                    payout: None,
                })
                .collect(),
            accounts: accounts.iter().map(|key| (key.address(), Amount::open(1_000))).collect(),
            sources: vec![source(SOURCE, Origin::Replay)],
            source_owners: Default::default(),
            allocation: Default::default(),
            params,
        };
        let state = initial_state(&genesis).unwrap();
        let tip = Tip { height: 0, block_hash: genesis.hash(), state_root: root_of(&state), time: genesis.time };
        let signers = (0..validators.len()).collect();
        Chain { genesis, state, tip, validators, accounts, signers, round: 0, pause_ms: 0 }
    }

    /// Four equal validators, default parameters.
    pub fn four() -> Chain {
        Chain::new(&[1, 1, 1, 1], Params::default())
    }

    pub fn proposer(&self) -> &ValidatorKey {
        &self.validators[self.signers[self.tip.height as usize % self.signers.len()]]
    }

    /// The commit of the last block, signed by [`Chain::signers`].
    pub fn last_commit(&self) -> Option<Certificate> {
        let (height, round, block_hash) = (self.tip.height, self.round, self.tip.block_hash);
        let sign = |n: &usize| {
            let address = self.address(*n);
            let bytes = precommit_sign_bytes(CHAIN_ID, height, round, &block_hash, &address);
            (address, self.validators[*n].sign(&bytes))
        };
        let mut signatures: Vec<_> = self.signers.iter().map(sign).collect();
        signatures.sort_by_key(|(address, _)| *address);
        (height > 0).then_some(Certificate { height, round, block_hash, signatures })
    }

    /// The next block of these transactions.
    pub fn block(&self, transactions: Vec<Vec<u8>>) -> Block {
        let last_commit = self.last_commit();
        let input = beacon_input(CHAIN_ID, self.tip.height + 1, &beacon(&self.state).unwrap());
        let header = Header {
            version: HEADER_VERSION,
            chain_id: CHAIN_ID,
            height: self.tip.height + 1,
            time: Timestamp(self.tip.time.nanos() + 1_000_000_000 + self.pause_ms * 1_000_000),
            parent: self.tip.block_hash,
            state_root: self.tip.state_root,
            transactions_root: transactions_root(&transactions),
            last_commit_hash: commit_hash(last_commit.as_ref()),
            proposer: self.proposer().public().address(),
            validators_hash: validators(&self.state).unwrap().hash(),
            next_validators_hash: next_validators(&self.state).unwrap().hash(),
            beacon_proof: self.proposer().vrf_prove(&input).unwrap(),
        };
        Block { header, last_commit, transactions }
    }

    /// Judges, executes and stores a block; the supply must be whole afterwards, counted account by account.
    pub fn commit(&mut self, block: &Block) -> Execution {
        validate_proposal(&self.state, &self.tip, block).unwrap();
        let execution = execute_block(&self.state, block).unwrap();
        self.store(block, &execution);
        execution
    }

    /// Stores a block that was executed; the supply must be whole afterwards.
    pub fn store(&mut self, block: &Block, execution: &Execution) {
        for (key, value) in &*execution.all_writes() {
            match value {
                Some(value) => self.state.insert(key.clone(), value.clone()),
                None => self.state.remove(key),
            };
        }
        self.pause_ms = 0;
        let header = &block.header;
        self.tip = Tip {
            height: header.height,
            block_hash: block.hash(),
            state_root: root_of(&self.state),
            time: header.time,
        };
        assert!(check_supply(&self.state).unwrap().1, "supply after height {}", header.height);
    }

    /// Lets time pass before the next block.
    pub fn pause_ms(&mut self, ms: i64) {
        self.pause_ms = ms;
    }

    pub fn run(&mut self, transactions: Vec<Vec<u8>>) -> Execution {
        self.commit(&self.block(transactions))
    }

    /// Executes empty blocks up to this height and gathers the events.
    pub fn run_to(&mut self, height: u64) -> Vec<LedgerEvent> {
        let mut events = Vec::new();
        while self.tip.height < height {
            events.extend(self.run(vec![]).events);
        }
        events
    }

    /// Executes one transaction; its error, if it was refused.
    pub fn run_one(&mut self, transaction: Vec<u8>) -> Option<TransactionError> {
        let execution = self.run(vec![transaction]);
        assert_eq!(execution.receipts.len(), 1);
        execution.receipts[0].error.clone()
    }

    pub fn limits(&self) -> BlockLimits {
        BlockLimits::of(&self.genesis.params)
    }

    pub fn transfer(&self, from: usize, to: Address, amount: Amount, nonce: u64) -> Vec<u8> {
        self.action(from, nonce, FEE, Action::Accounts(AccountsAction::Transfer { to, amount }))
    }

    pub fn action(&self, from: usize, nonce: u64, offer: impl Into<FeeOffer>, action: Action) -> Vec<u8> {
        let signed = AccountTransaction::sign(&self.accounts[from], CHAIN_ID, nonce, offer, action).unwrap();
        Transaction::Account(signed).encode()
    }

    pub fn attest(&self, validator: usize, window: u64, epoch: u64, chunks: Vec<ChunkClaim>) -> Vec<u8> {
        self.attest_source(validator, SOURCE, window, epoch, chunks)
    }

    pub fn attest_source(
        &self,
        validator: usize,
        source: &str,
        window: u64,
        epoch: u64,
        chunks: Vec<ChunkClaim>,
    ) -> Vec<u8> {
        let key = &self.validators[validator];
        Transaction::Attestation(Attestation::sign(key, CHAIN_ID, source, window, epoch, chunks, vec![])).encode()
    }

    /// An attestation that abstains from some streams.
    pub fn attest_with(
        &self,
        validator: usize,
        window: u64,
        epoch: u64,
        chunks: Vec<ChunkClaim>,
        abstained: &[&str],
    ) -> Vec<u8> {
        let (key, abstained) = (&self.validators[validator], abstained.iter().map(|s| (*s).to_string()).collect());
        let attestation = Attestation::sign(key, CHAIN_ID, SOURCE, window, epoch, chunks, abstained);
        Transaction::Attestation(attestation).encode()
    }

    pub fn address(&self, validator: usize) -> Address {
        self.validators[validator].public().address()
    }
}

/// The incidents among events, with kind, stream and whom they name.
pub fn incidents(events: &[LedgerEvent]) -> Vec<(IncidentKind, Option<String>, Option<Address>)> {
    let named = |event: &LedgerEvent| match event {
        LedgerEvent::Incident(LedgerIncident { kind, stream, validator, .. }) => {
            Some((*kind, stream.clone(), *validator))
        }
        _ => None,
    };
    events.iter().filter_map(named).collect()
}

/// The accepted chunks among events: stream and CID.
pub fn accepted(events: &[LedgerEvent]) -> Vec<(String, ContentId)> {
    let chunk = |event: &LedgerEvent| match event {
        LedgerEvent::Windows(WindowsEvent::ChunkAccepted { stream, cid, .. }) => Some((stream.clone(), *cid)),
        _ => None,
    };
    events.iter().filter_map(chunk).collect()
}
