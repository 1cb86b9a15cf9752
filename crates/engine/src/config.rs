//! Configuration of the engine: plain data, with defaults for a node of a local network.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use malachite_app::types::core::LinearTimeouts;
use openmesh_ledger::RuleSets;

use crate::admission::AdmissionLimits;
use crate::pace::Pace;

/// Configuration of the engine.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name for people, in logs and at peers.
    pub name: String,
    /// Directory for the write-ahead log and the key of the peer-to-peer identity.
    pub home: PathBuf,
    /// Address on which consensus listens (TCP); port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Multiaddresses of the other validators: `/ip4/10.0.0.2/tcp/26656`.
    pub peers: Vec<String>,
    /// Connections from one address; all validators of a local network share one.
    pub connections_per_ip_max: usize,
    /// Pauses between blocks.
    pub pauses: Pauses,
    /// Time-outs of the rounds.
    pub timeouts: Timeouts,
    /// Limits of the mempool.
    pub mempool: MempoolConfig,
    /// The rule sets that this program knows.
    pub rule_sets: RuleSets,
}

/// Pauses between blocks, milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pauses {
    /// From a block to the next one if no transaction waits.
    pub idle_block_ms: u64,
    /// Least from a block to the next one if a transaction waits.
    pub block_min_ms: u64,
    /// From the first waiting transaction to the block, so that others come with it.
    pub batch_ms: u64,
}

impl Default for Pauses {
    fn default() -> Pauses {
        Pauses { idle_block_ms: 1_000, block_min_ms: 200, batch_ms: 20 }
    }
}

impl Pauses {
    pub(crate) fn pace(self) -> Pace {
        Pace {
            idle: Duration::from_millis(self.idle_block_ms),
            min: Duration::from_millis(self.block_min_ms),
            batch: Duration::from_millis(self.batch_ms),
            // The proposer begins after `min` at the latest; a shorter grace would only start time-outs early.
            grace: Duration::from_millis(self.block_min_ms.max(200)),
        }
    }
}

/// Time-outs of consensus, milliseconds: for the first round, and what each further round adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For the proposal: building, streaming and executing a full block must fit.
    pub propose_ms: u64,
    /// Added for each round.
    pub propose_delta_ms: u64,
    /// For prevotes and for precommits, once two thirds are there but do not agree.
    pub vote_ms: u64,
    /// Added for each round.
    pub vote_delta_ms: u64,
    /// Upper limit of each: how long a network that was halted may take to notice that it can go on.
    pub max_ms: u64,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts { propose_ms: 1_500, propose_delta_ms: 500, vote_ms: 500, vote_delta_ms: 250, max_ms: 5_000 }
    }
}

impl Config {
    /// Defaults for a node in this directory.
    pub fn new(name: &str, home: PathBuf, listen: SocketAddr) -> Config {
        Config {
            name: name.to_owned(),
            home,
            listen,
            peers: Vec::new(),
            connections_per_ip_max: 64,
            pauses: Pauses::default(),
            timeouts: Timeouts::default(),
            mempool: MempoolConfig::default(),
            rule_sets: RuleSets::built_in(),
        }
    }
}

/// As Malachite wants them.
pub(crate) fn linear_timeouts(t: Timeouts) -> LinearTimeouts {
    let ms = Duration::from_millis;
    LinearTimeouts {
        propose: ms(t.propose_ms),
        propose_delta: ms(t.propose_delta_ms),
        prevote: ms(t.vote_ms),
        prevote_delta: ms(t.vote_delta_ms),
        precommit: ms(t.vote_ms),
        precommit_delta: ms(t.vote_delta_ms),
        rebroadcast: ms(t.propose_ms + 2 * t.vote_ms),
        max_timeout: ms(t.max_ms),
    }
}

/// Limits of the mempool. The defaults hold ten full blocks of the default network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MempoolConfig {
    /// Most transactions of accounts.
    pub transactions_max: usize,
    /// Most bytes of transactions of accounts.
    pub bytes_max: usize,
    /// Most transactions that are ahead of their turn, because one with a lower nonce is missing. A twelfth of all: enough
    /// for those that gossip brings in the wrong order.
    pub ahead_max: usize,
    /// Most bytes of them.
    pub ahead_bytes_max: usize,
    /// Most transactions of one account, and how far a nonce may be ahead.
    pub per_sender_max: usize,
    /// Most bytes of one account's transactions: a thirty-second of all.
    pub per_sender_bytes_max: usize,
    /// Most attestations.
    pub attestations_max: usize,
    /// Most bytes of attestations: room that nothing else may take.
    pub attestation_bytes_max: usize,
    /// Most attestations of one validator. The room of one is kept free for this node's own.
    pub per_validator_max: usize,
    /// Most bytes of one validator's attestations.
    pub per_validator_bytes_max: usize,
    /// A transaction that has waited for so many blocks is dropped.
    pub blocks_max: u64,
    /// Limits of the work of checking, by class.
    pub admission: AdmissionLimits,
}

impl Default for MempoolConfig {
    fn default() -> MempoolConfig {
        MempoolConfig {
            transactions_max: 50_000,
            bytes_max: 32 * 1024 * 1024,
            ahead_max: 4_096,
            ahead_bytes_max: 2 * 1024 * 1024,
            per_sender_max: 1_024,
            per_sender_bytes_max: 1024 * 1024,
            attestations_max: 8_192,
            attestation_bytes_max: 16 * 1024 * 1024,
            per_validator_max: 1_024,
            per_validator_bytes_max: 2 * 1024 * 1024,
            blocks_max: 3_600,
            admission: AdmissionLimits::default(),
        }
    }
}
