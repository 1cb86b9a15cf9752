//! Status of the node and its network.

use openmesh_api as api;
use openmesh_ledger::Tip;

use crate::memory::Counts;

/// Part of the status that does not change while the node runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Version of the binary.
    pub version: &'static str,
    /// Chain id.
    pub chain_id: u64,
    /// Name of the network.
    pub network: String,
    /// Provenance of the network's data.
    pub origin: api::Origin,
    /// This node.
    pub node: api::NodeInfo,
}

/// Changing part of the status.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The newest block.
    pub tip: Tip,
    /// Sums over the ledger's state.
    pub counts: Counts,
    /// Incidents of the ledger since genesis.
    pub incidents: u64,
    /// Incidents that this node noticed since its start.
    pub node_incidents: u64,
    /// Behind its peers.
    pub syncing: bool,
    /// Height of the oldest block.
    pub oldest_block: u64,
    /// Disk of content, and the most that it may take, in bytes.
    pub content_bytes: (u64, u64),
    /// Connected consensus peers.
    pub peers: u32,
    /// Transactions that wait.
    pub mempool_transactions: u64,
    /// Market events a second.
    pub events_per_second: f64,
    /// Progress of ingestion.
    pub tables: api::TablesStatus,
    /// Restarts of the task that feeds the memory.
    pub restarts: u64,
    /// Troubles of the sources that are collected here.
    pub troubles: Vec<api::SourceTrouble>,
    /// Disks with too little room.
    pub disks: Vec<api::FullDisk>,
}

/// The status.
pub fn status(identity: &Identity, facts: &Facts) -> api::Status {
    let Facts { tip, counts, .. } = facts;
    api::Status {
        version: identity.version.into(),
        chain_id: identity.chain_id,
        network: identity.network.clone(),
        origin: identity.origin,
        height: tip.height,
        block_hash: tip.block_hash.to_string(),
        state_root: tip.state_root.to_string(),
        time: tip.time.to_rfc3339(),
        syncing: facts.syncing,
        oldest_block: facts.oldest_block,
        content_bytes: facts.content_bytes.0,
        content_bytes_max: facts.content_bytes.1,
        validators: counts.validators,
        peers: facts.peers,
        mempool_transactions: facts.mempool_transactions,
        events_per_second: facts.events_per_second,
        chunks_accepted: counts.chunks_accepted,
        chunks_disputed: counts.chunks_disputed,
        chunks_uncovered: counts.chunks_uncovered,
        incidents: facts.incidents,
        node_incidents: facts.node_incidents,
        tables: facts.tables,
        restarts: facts.restarts,
        troubles: facts.troubles.clone(),
        disks: facts.disks.clone(),
        node: identity.node.clone(),
    }
}
