//! The handle of the running engine: submission, gossip, committed blocks, status.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use malachite_app::engine::network::NetworkRef;
use openmesh_ledger::{RawTransaction, RuleSets};
use openmesh_primitives::{Address, Digest, Height};
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{broadcast, mpsc, watch};

use crate::admission::WorkClass;
use crate::committed::CommittedBlock;
use crate::consensus::context::Context;
use crate::error::EngineError;
use crate::host::{Progress, age_of};
use crate::mempool::error::SubmitError;
use crate::mempool::verdict::{GossipVerdict, verdict};
use crate::mempool::{Mempool, Submission, gossip};

/// Age of the last block up to which this node judges its neighbours by its own state, seconds. A node whose last block
/// is older is behind, or the network stands still: it does not blame neighbours for what it does not know.
const STATE_FRESH: Duration = Duration::from_secs(10);

/// Progress and load of the engine.
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
    /// True while the node is catching up.
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
    pub(crate) announcements: Mutex<Option<mpsc::Receiver<Vec<Digest>>>>,
    pub(crate) rule_sets: RuleSets,
}

impl Handle {
    /// Checks a client's transaction (its bytes, or decoded) and takes it into the mempool; returns its hash. It is spread
    /// to the other nodes.
    ///
    /// Fails if the transaction is invalid or has no room ([`SubmitError::Refused`], [`SubmitError::Pool`]), if too many
    /// wait to be checked ([`SubmitError::Busy`], try again), or by this node's fault.
    pub async fn submit(&self, transaction: impl Into<Submission>) -> Result<Digest, SubmitError> {
        self.0.mempool.admit_one(transaction.into(), WorkClass::Api).await
    }

    /// The same for several of a client, in their order; one outcome for each, and one that is refused holds up no other.
    ///
    /// Fails as a whole if too many wait to be checked ([`SubmitError::Busy`], nothing of it was taken), or the engine stops.
    pub async fn submit_all(
        &self,
        transactions: Vec<Submission>,
    ) -> Result<Vec<Result<Digest, SubmitError>>, SubmitError> {
        self.0.mempool.admit(transactions, WorkClass::Api).await
    }

    /// The same for this validator's own attestations and other duties, which wait for no client and no peer.
    ///
    /// Fails as [`Handle::submit`] does.
    pub async fn submit_own(&self, transaction: impl Into<Submission>) -> Result<Digest, SubmitError> {
        self.0.mempool.admit_one(transaction.into(), WorkClass::Own).await
    }

    /// The bytes of all transactions that wait, in the order in which they came: for handing them in again after this engine has
    /// stopped. At most as much as the mempool may hold.
    pub fn waiting(&self) -> Vec<Vec<u8>> {
        self.0.mempool.waiting()
    }

    /// The nonce of an account after all those that wait here without a gap from its next one on; `None` where nothing of it waits. That
    /// may be a block old: the account's own nonce counts where it is higher.
    pub fn nonce_after_waiting(&self, account: &Address) -> Option<u64> {
        self.0.mempool.nonce_after(account)
    }

    /// Committed blocks from now on. A listener that falls behind is told so and reads the store.
    pub fn committed(&self) -> broadcast::Receiver<Arc<CommittedBlock>> {
        self.0.committed.subscribe()
    }

    /// Progress and load of the engine.
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

    /// Address on which consensus listens, with the port that the system chose.
    pub fn listen_addr(&self) -> SocketAddr {
        self.0.listen
    }

    /// The rule sets that this program knows.
    pub fn rule_sets(&self) -> &RuleSets {
        &self.0.rule_sets
    }

    /// The identity at the peers of consensus.
    pub fn peer_id(&self) -> &str {
        &self.0.peer_id
    }

    /// Adds a validator's multiaddress to stay connected with.
    ///
    /// Fails if it is no multiaddress, or if the network has stopped.
    pub async fn add_peer(&self, address: &str) -> Result<(), EngineError> {
        crate::consensus::node::add_peer(&self.0.network, address).await
    }

    /// Hashes of the transactions that this node's clients brought, to be announced to the other nodes. There is one stream: the
    /// second call returns `None`.
    pub fn gossip_out(&self) -> Option<mpsc::Receiver<Vec<Digest>>> {
        self.0.announcements.lock().ok().and_then(|mut slot| slot.take())
    }

    /// Those of the announced transactions that neither wait here nor were committed just now, nor were refused just now for want of room.
    pub fn unknown(&self, hashes: Vec<Digest>) -> Vec<Digest> {
        self.0.mempool.unknown(hashes)
    }

    /// An envelope with those of the transactions that wait here, as many as fit; `None` where none does.
    pub fn bodies(&self, hashes: &[Digest]) -> Option<Bytes> {
        gossip::encode(self.0.mempool.verified(hashes).into_iter().flatten())
    }

    /// Takes an envelope in that a peer sent when it was asked for these transactions, and judges it. One with anything else in
    /// it is rejected unread.
    pub async fn take_bodies(&self, asked: &BTreeSet<Digest>, envelope: &[u8], from: &str) -> Bodies {
        let rejected = Bodies { verdict: GossipVerdict::Reject, got: BTreeSet::new(), admitted: Vec::new() };
        let Some(batch) = gossip::decode(envelope) else { return rejected };
        let batch: Vec<RawTransaction> = batch.into_iter().map(RawTransaction::new).collect();
        let got: BTreeSet<Digest> = batch.iter().map(RawTransaction::hash).collect();
        if !got.is_subset(asked) {
            return rejected;
        }
        // What stands behind a transaction that no honest peer sends is not looked at, so that it is as if it had not come.
        let order: Vec<Digest> = batch.iter().map(RawTransaction::hash).collect();
        let batch = batch.into_iter().map(|raw| Submission::Hashed(Box::new(raw))).collect();
        let (verdict, outcomes) = self.judge(batch, from).await;
        let got = order.into_iter().zip(&outcomes).map(|(hash, _)| hash).collect();
        Bodies { verdict, got, admitted: outcomes.into_iter().flatten().collect() }
    }

    /// Takes an envelope in that came from a peer, whatever it was asked for, and judges it.
    pub async fn gossip_in(&self, envelope: Bytes, from: String) -> GossipVerdict {
        let Some(batch) = gossip::decode(&envelope) else {
            tracing::debug!(from, "not an envelope of transactions");
            return GossipVerdict::Reject;
        };
        self.judge(batch.into_iter().map(Submission::Bytes).collect(), &from).await.0
    }

    /// Admits what a peer sent, and judges the peer by what became of it.
    async fn judge(&self, batch: Vec<Submission>, from: &str) -> (GossipVerdict, Vec<Result<Digest, SubmitError>>) {
        let Ok(outcomes) = self.0.mempool.admit(batch, WorkClass::Gossip).await else {
            return (GossipVerdict::Ignore, Vec::new());
        };
        let (height, time) = self.0.mempool.tip();
        let judged = verdict(&outcomes, height, age_of(time) < STATE_FRESH);
        tracing::debug!(from, ?judged, transactions = outcomes.len(), "an envelope");
        (judged, outcomes)
    }
}

/// The outcome of an envelope that a peer was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bodies {
    /// Its worth.
    pub verdict: GossipVerdict,
    /// The transactions that were in it and looked at, whatever the mempool says of them.
    pub got: BTreeSet<Digest>,
    /// Those that wait here now.
    pub admitted: Vec<Digest>,
}
