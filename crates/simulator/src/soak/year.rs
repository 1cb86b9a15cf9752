//! A year of one ledger, its waiting transactions and its validators' duties.

use std::collections::BTreeMap;
use std::time::Instant;

use openmesh_duties::{Attester, Submitted, Window, WindowFacts, WindowName};
use openmesh_engine::SubmitError;
use openmesh_engine::machine::SimulatedMempool;
use openmesh_ledger::{
    BlockLimits, Certificate, ExecuteError, Execution, GenesisError, LedgerEvent, Params, Receipt, StateError, Tip,
    Transaction, TransactionError, WindowsError, WindowsEvent, account, build_block, check_supply, initial_state,
    params,
};
use openmesh_primitives::{Amount, ContentId, Digest, Height, Timestamp, ValidatorSignature, canonical, sha256};

use super::record::Sample;
use crate::random::Random;
use crate::workload::{CHAIN_ID, START, Sources, account_key, claim, signed_transfer, sources_genesis, validator};

/// Validators of equal power: three of them are a quorum.
const VALIDATORS: usize = 4;
const SOURCES: Sources = Sources {
    names: &["binance", "bybit", "coinbase", "deribit", "kraken", "okx"],
    streams: &["BTC.USD/book", "BTC.USD/trades"],
    window_ms: 600_000,
};
/// Pause between two blocks, milliseconds.
const BLOCK_MS: i64 = 60_000;
/// Blocks of a day.
const DAY_BLOCKS: u64 = 1_440;
/// An outage of a validator begins in a block so many times of a million, if there is none; one in ten days.
const OUTAGE_PER_MILLION: u64 = 70;
/// Longest outage, blocks: two days.
const OUTAGE_BLOCKS_MAX: u64 = 2 * DAY_BLOCKS;
/// A validator misses a window, or sees another chunk than the others, so many times of a thousand.
const MISSED_PERMILLE: u64 = 10;
const DIFFERING_PERMILLE: u64 = 2;
/// Accounts that send transfers, and after them accounts that send what cannot be included.
const CLIENTS: u64 = 12;
const NUISANCES: u64 = 4;
/// Transfers of clients in a block.
const TRANSFERS_PER_BLOCK: u64 = 2;

/// A run failed, or something was not as it must be.
#[derive(Debug, thiserror::Error)]
pub enum YearError {
    /// The genesis is refused.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// The state cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// A block cannot be executed.
    #[error(transparent)]
    Execute(#[from] ExecuteError),
    /// The sum of the balances is not the supply.
    #[error("the sum of all balances is not the supply at height {0}")]
    Supply(Height),
    /// A window that a quorum attested alike was closed without its chunks.
    #[error("window {window} of {source_id} was closed with {accepted} chunks, although a quorum attested it")]
    Unagreed {
        /// Source of the window.
        source_id: String,
        /// Number of the window.
        window: u64,
        /// Accepted chunks.
        accepted: u32,
    },
}

/// A validator beside the ledger.
struct Node {
    attester: Attester,
    /// Height at which its outage ends.
    down_until: Height,
}

/// A running year.
pub struct Year {
    random: Random,
    state: BTreeMap<Vec<u8>, Vec<u8>>,
    state_bytes: u64,
    tip: Tip,
    last_commit: Option<Certificate>,
    mempool: SimulatedMempool,
    nodes: Vec<Node>,
    /// The last window that has ended.
    window: u64,
    /// Validators that saw what the others saw, by open window.
    seen_alike: BTreeMap<WindowName, usize>,
    sample: Sample,
    nanos: u128,
}

impl Year {
    /// A network at its genesis.
    ///
    /// Fails if the genesis is refused.
    pub fn new(seed: u64) -> Result<Year, YearError> {
        let genesis = sources_genesis(VALIDATORS, &SOURCES, Params::default());
        let state = initial_state(&genesis)?;
        let attester = |n| Node { attester: Attester::new(validator(n), CHAIN_ID), down_until: 0 };
        Ok(Year {
            random: Random::new(seed),
            state_bytes: state.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum(),
            state,
            tip: Tip { height: 0, block_hash: genesis.hash(), state_root: Digest::ZERO, time: genesis.time },
            last_commit: None,
            mempool: SimulatedMempool::new(validator(0).public().address()),
            nodes: (0..VALIDATORS).map(attester).collect(),
            window: window_before(START),
            seen_alike: BTreeMap::new(),
            sample: Sample::default(),
            nanos: 0,
        })
    }

    /// Lets a day pass.
    ///
    /// Fails if a rule of the ledger is broken.
    pub fn day(&mut self) -> Result<Sample, YearError> {
        (self.nanos, self.sample.windows, self.sample.chunks) = (0, 0, 0);
        for _ in 0..DAY_BLOCKS {
            self.block()?;
        }
        if !check_supply(&self.state)?.1 {
            return Err(YearError::Supply(self.tip.height));
        }
        let (waiting, waiting_bytes) = self.mempool.load();
        self.sample = Sample {
            minutes: self.sample.minutes + DAY_BLOCKS,
            chunks_ever: self.sample.chunks_ever + self.sample.chunks,
            height: self.tip.height,
            state_entries: self.state.len() as u64,
            state_bytes: self.state_bytes,
            waiting: waiting as u64,
            waiting_bytes: waiting_bytes as u64,
            attester_windows: self.nodes.iter().map(|node| node.attester.waiting() as u64).sum(),
            nanos_per_window: u64::try_from(self.nanos / u128::from(self.sample.windows.max(1))).unwrap_or(u64::MAX),
            ..self.sample
        };
        Ok(self.sample)
    }

    fn block(&mut self) -> Result<(), YearError> {
        let time = Timestamp(self.tip.time.nanos() + BLOCK_MS * 1_000_000);
        self.outages();
        self.close_windows(time);
        self.attest()?;
        self.clients()?;
        let started = Instant::now();
        let limits = BlockLimits::of(&params(&self.state)?);
        let candidates = self.mempool.candidates(2 * limits.bytes_max as usize);
        let proposer = validator(self.tip.height as usize % VALIDATORS).public().address();
        let commit = self.last_commit.take();
        let (block, execution) = build_block(&self.state, &self.tip, commit, &candidates, proposer, time, &limits)?;
        self.nanos += started.elapsed().as_nanos();
        let height = block.header.height;
        let receipts = self.apply(execution)?;
        self.mempool.committed(&self.state, height, &receipts)?;
        let block_hash = block.hash();
        let state_root = sha256(&[&self.tip.state_root.0, &canonical::encode(&block.header)]);
        self.tip = Tip { height, block_hash, state_root, time: block.header.time };
        self.last_commit = Some(self.commit(height, block_hash));
        Ok(())
    }

    /// Signed by whoever is up; the ledger's execution counts signers and leaves signatures to consensus.
    fn commit(&self, height: Height, block_hash: Digest) -> Certificate {
        let up = (0..VALIDATORS).filter(|n| self.nodes[*n].down_until <= height);
        let signatures = up.map(|n| (validator(n).public().address(), ValidatorSignature([0; 64]))).collect();
        Certificate { height, round: 0, block_hash, signatures }
    }

    /// At most one validator is down at a time.
    fn outages(&mut self) {
        let height = self.tip.height;
        let all_up = self.nodes.iter().all(|node| node.down_until <= height);
        if all_up && self.random.below(1_000_000) < OUTAGE_PER_MILLION {
            let (node, blocks) = (self.random.below(VALIDATORS as u64), 1 + self.random.below(OUTAGE_BLOCKS_MAX));
            self.nodes[node as usize].down_until = height + blocks;
            // It comes back as a process that was started anew.
            self.nodes[node as usize].attester = Attester::new(validator(node as usize), CHAIN_ID);
        }
    }

    /// Hands the windows that have ended to the attesters of those who collected them.
    fn close_windows(&mut self, time: Timestamp) {
        let (last, height) = (window_before(time), self.tip.height);
        for number in self.window + 1..=last {
            for source in 0..SOURCES.names.len() {
                let honest = SOURCES.honest(source, number);
                let mut alike = 0;
                for node in self.nodes.iter_mut().filter(|node| node.down_until <= height) {
                    if self.random.permille(MISSED_PERMILLE) {
                        continue;
                    }
                    let differs = self.random.permille(DIFFERING_PERMILLE);
                    alike += usize::from(!differs);
                    let window = if differs { other(&honest, self.random.next()) } else { honest.clone() };
                    node.attester.closed(window, height);
                }
                if alike > 0 {
                    self.seen_alike.insert(honest.name, alike);
                }
            }
        }
        self.window = last;
    }

    /// Looks at the windows that wait, as the service of duties does with each block.
    fn attest(&mut self) -> Result<(), YearError> {
        let height = self.tip.height;
        for node in self.nodes.iter_mut().filter(|node| node.down_until <= height) {
            let names = node.attester.due();
            let facts = WindowFacts::read(&self.state, &node.attester.validator(), &names)?;
            for (name, facts) in names.iter().zip(&facts) {
                let Some(bytes) = node.attester.decide(name, facts) else { continue };
                let Ok(transaction) = canonical::decode::<Transaction>(&bytes) else { continue };
                let outcome = match self.mempool.take(&self.state, transaction) {
                    Ok(_) => Submitted::Accepted,
                    Err(SubmitError::Refused(TransactionError::Windows(WindowsError::WindowClosed { .. }))) => {
                        Submitted::Hopeless
                    }
                    Err(_) => Submitted::Later,
                };
                node.attester.submitted(name, height, outcome);
            }
        }
        Ok(())
    }

    fn clients(&mut self) -> Result<(), YearError> {
        let fee = params(&self.state)?.accounts.fee_min;
        for _ in 0..TRANSFERS_PER_BLOCK {
            let (from, to) = (self.random.below(CLIENTS), self.random.below(CLIENTS));
            self.transfer(from, to, 0, fee)?;
        }
        // Well paid and behind a gap that is never closed.
        let (nuisance, gap) = (CLIENTS + self.random.below(NUISANCES), 1 + self.random.below(1_000));
        self.transfer(nuisance, 0, gap, Amount(fee.0 * 50))
    }

    fn transfer(&mut self, from: u64, to: u64, gap: u64, fee: Amount) -> Result<(), YearError> {
        let (Some(from), Some(to)) = (account_key(from), account_key(to)) else { return Ok(()) };
        let nonce = account(&self.state, &from.address())?.nonce + gap;
        if let Some(transaction) = signed_transfer(&from, to.address(), nonce, fee, 1) {
            // A refusal is a matter between client and mempool: the same nonce twice, no room for what is ahead.
            let _ = self.mempool.take(&self.state, transaction);
        }
        Ok(())
    }

    fn apply(&mut self, execution: Execution) -> Result<Vec<Receipt>, YearError> {
        for (key, value) in execution.writes {
            let length = key.len() as u64;
            let old = match value {
                Some(value) => {
                    self.state_bytes += length + value.len() as u64;
                    self.state.insert(key, value)
                }
                None => self.state.remove(&key),
            };
            self.state_bytes -= old.map_or(0, |old| length + old.len() as u64);
        }
        for event in &execution.events {
            match event {
                LedgerEvent::Windows(WindowsEvent::ChunkAccepted { .. }) => self.sample.chunks += 1,
                LedgerEvent::Windows(WindowsEvent::WindowClosed { source, window, accepted, .. }) => {
                    self.sample.windows += 1;
                    let name = WindowName { source: source.clone(), number: *window };
                    let alike = self.seen_alike.remove(&name).unwrap_or(0);
                    if alike * 3 > VALIDATORS * 2 && *accepted as usize != SOURCES.streams.len() {
                        let source_id = source.clone();
                        return Err(YearError::Unagreed { source_id, window: *window, accepted: *accepted });
                    }
                }
                _ => {}
            }
        }
        Ok(execution.receipts)
    }
}

/// The last window that has ended at a time.
fn window_before(time: Timestamp) -> u64 {
    (u64::try_from(time.millis()).unwrap_or(0) / SOURCES.window_ms).saturating_sub(1)
}

/// A window as nobody else saw it.
fn other(honest: &Window, salt: u64) -> Window {
    let differing = |stream: &str| claim(stream, ContentId::of(&salt.to_be_bytes()));
    let chunks = honest.chunks.iter().map(|chunk| differing(&chunk.stream)).collect();
    Window { name: honest.name.clone(), chunks, abstained: Vec::new() }
}
