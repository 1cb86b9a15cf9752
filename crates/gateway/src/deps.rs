//! Handles of other rooms that the gateway stands on. Plain data: nothing here reads or decides.

use std::net::SocketAddr;
use std::sync::Arc;

use futures::future::BoxFuture;
use openmesh_content::BlockStore;
use openmesh_primitives::{Address, ContentId};
use openmesh_storage::Store;
use prometheus_client::registry::Registry;

/// Fetches a block of content from other nodes.
pub type Fetch = Arc<dyn Fn(ContentId) -> BoxFuture<'static, Result<Vec<u8>, String>> + Send + Sync>;

/// Lists the disks of this node's data that have too little room now.
pub type FullDisks = Arc<dyn Fn() -> Vec<openmesh_api::FullDisk> + Send + Sync>;

/// Tells the state of this node for its operator.
pub type OperatorState = Arc<dyn Fn() -> openmesh_api::NodeState + Send + Sync>;

/// Handles of the rooms behind the API, and the words that the operator gives this node.
pub struct Deps {
    /// The ledger's store.
    pub store: Store,
    /// Consensus.
    pub engine: openmesh_engine::Handle,
    /// Content held here.
    pub content: Arc<BlockStore>,
    /// Content held elsewhere.
    pub fetch: Fetch,
    /// SQL.
    pub pythia: openmesh_pythia::Handle,
    /// Ingestion into the tables, for its progress.
    pub ingest: openmesh_ingest::Handle,
    /// Duties of this node's validator, for their incidents.
    pub duties: openmesh_duties::Handle,
    /// Live market data.
    pub collector: openmesh_collector::Handle,
    /// Metrics of the whole process.
    pub registry: Arc<Registry>,
    /// This node's validator address.
    pub address: Address,
    /// Disks of this node's data with too little room.
    pub full_disks: FullDisks,
    /// State of this node for its operator.
    pub operator_state: OperatorState,
    /// Names of this site in a browser: hosts, with their ports. Where none are given: the address that it listens on.
    pub public_hosts: Vec<String>,
    /// Face of the Xnode's agent on this machine, to which `/v1/xnode` is passed on; none where nobody's is.
    pub xnode: Option<SocketAddr>,
    /// Version of the binary.
    pub version: &'static str,
}
