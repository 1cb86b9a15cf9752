//! The handle of the running engine: submission, gossip, committed blocks, status.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use malachite_app::engine::network::NetworkRef;
use openmesh_primitives::{Digest, Height};
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{broadcast, mpsc, watch};

use crate::committed::CommittedBlock;
use crate::consensus::context::Context;
use crate::error::EngineError;
use crate::host::{Progress, age_of};
use crate::mempool::gossip::GossipVerdict;
use crate::mempool::{Mempool, SubmitError, gossip};

/// Age of the last block up to which this node judges its neighbours by its own state, seconds. A node whose last block
/// is older is behind, or the network stands still: it does not blame neighbours for what it does not know.
const STATE_FRESH: Duration = Duration::from_secs(10);

/// Where the engine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineStatus {
    /// Last committed height.
    pub height: Height,
    /// The height that is being decided; the same as `height` during the pause between blocks.
    pub deciding: Height,
    /// Its round; -1 before the first.
    pub round: i64,
    /// Connected peers of consensus.
    pub peers: u32,
    /// Whether the node is catching up.
    pub syncing: bool,
    /// Waiting transactions of both classes.
    pub mempool_transactions: usize,
    /// Their bytes.
    pub mempool_bytes: usize,
}

/// The running engine; clones are cheap.
#[derive(Clone)]
pub struct Handle(pub(crate) Arc<HandleInner>);

pub(crate) struct HandleInner {
    pub(crate) mempool: Mempool,
    pub(crate) committed: broadcast::Sender<Arc<CommittedBlock>>,
    pub(crate) progress: watch::Receiver<Progress>,
    pub(crate) peers: Gauge,
    pub(crate) listen: SocketAddr,
    pub(crate) peer_id: String,
    pub(crate) network: NetworkRef<Context>,
    pub(crate) envelopes: Mutex<Option<mpsc::Receiver<Bytes>>>,
}

impl Handle {
    /// Checks a transaction and takes it into the mempool; returns its hash. It is spread to the other nodes.
    pub async fn submit(&self, bytes: Vec<u8>) -> Result<Digest, SubmitError> {
        let results = self.0.mempool.admit(vec![bytes], true).await?;
        results.into_iter().next().unwrap_or(Err(SubmitError::Stopped))
    }

    /// The same for several, checked together; one result for each, in order.
    pub async fn submit_batch(&self, batch: Vec<Vec<u8>>) -> Result<Vec<Result<Digest, SubmitError>>, SubmitError> {
        self.0.mempool.admit(batch, true).await
    }

    /// Committed blocks from now on. A listener that falls behind is told so and reads the store.
    pub fn committed(&self) -> broadcast::Receiver<Arc<CommittedBlock>> {
        self.0.committed.subscribe()
    }

    /// Where the engine is.
    pub fn status(&self) -> EngineStatus {
        let progress = *self.0.progress.borrow();
        let load = self.0.mempool.load();
        EngineStatus {
            height: progress.height,
            deciding: progress.deciding.max(progress.height),
            round: progress.round,
            peers: u32::try_from(self.0.peers.get()).unwrap_or(0),
            syncing: progress.syncing,
            mempool_transactions: load.transactions + load.attestations,
            mempool_bytes: load.bytes + load.attestation_bytes,
        }
    }

    /// Where consensus listens, with the port that the system chose.
    pub fn listen_addr(&self) -> SocketAddr {
        self.0.listen
    }

    /// The identity at the peers of consensus.
    pub fn peer_id(&self) -> &str {
        &self.0.peer_id
    }

    /// Adds a validator's multiaddress to stay connected with.
    pub async fn add_peer(&self, address: &str) -> Result<(), EngineError> {
        crate::consensus::node::add_peer(&self.0.network, address).await
    }

    /// Envelopes of transactions for the other nodes. There is one stream: the second call returns `None`.
    pub fn gossip_out(&self) -> Option<mpsc::Receiver<Bytes>> {
        self.0.envelopes.lock().ok().and_then(|mut slot| slot.take())
    }

    /// Takes an envelope in that came from a peer, and says what it was worth; only accepted ones should be forwarded.
    pub async fn gossip_in(&self, envelope: Bytes, from: String) -> GossipVerdict {
        let Some(batch) = gossip::decode(&envelope) else {
            tracing::debug!(from, "not an envelope of transactions");
            return GossipVerdict::Reject;
        };
        let Ok(results) = self.0.mempool.admit(batch, false).await else { return GossipVerdict::Ignore };
        let wrong = |r: &Result<Digest, SubmitError>| matches!(r, Err(SubmitError::Refused(e)) if e.is_stateless());
        if results.iter().any(wrong) {
            tracing::debug!(from, "an envelope with an invalid transaction");
            return GossipVerdict::Reject;
        }
        if results.iter().any(Result::is_ok) {
            return GossipVerdict::Accept;
        }
        let worthless = |r: &Result<Digest, SubmitError>| matches!(r, Err(SubmitError::Refused(e)) if e.is_worthless());
        // Who is behind does not know what its neighbours know.
        let judges = age_of(self.0.mempool.tip_time()) < STATE_FRESH;
        if judges && results.iter().all(worthless) { GossipVerdict::Worthless } else { GossipVerdict::Ignore }
    }
}

/// What a refusal says about the neighbour that forwarded the transaction.
trait Blame {
    /// It does not depend on the state, so that every neighbour must have seen it.
    fn is_stateless(&self) -> bool;
    /// A neighbour with about the same state would have refused it too: anybody can make such transactions for nothing.
    fn is_worthless(&self) -> bool;
}

impl Blame for openmesh_ledger::TransactionError {
    fn is_stateless(&self) -> bool {
        use openmesh_ledger::EnvelopeError::{Chain, Encoding, Signature};
        matches!(self, Self::Envelope(Encoding { .. } | Signature | Chain { .. }))
    }

    fn is_worthless(&self) -> bool {
        use openmesh_ledger::{AccountsError, SourcesError, WindowsError};
        matches!(
            self,
            Self::Accounts(AccountsError::UnknownSender { .. } | AccountsError::FeeLow { .. })
                | Self::Windows(WindowsError::NotAssigned { .. })
                | Self::Sources(SourcesError::UnknownSource { .. })
        )
    }
}
