//! State and commands between the handles and the host's task.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock, RwLock};

use bytes::Bytes;
use libp2p::gossipsub::MessageId;
use libp2p::{Multiaddr, PeerId};
use openmesh_primitives::ContentId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::blocks::Answer;
use crate::config::Responder;
use crate::envelope::Verdict;
use crate::metrics::Metrics;

/// State that the handles share with the task.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) peer_id: PeerId,
    pub(crate) listen: RwLock<Vec<Multiaddr>>,
    /// Connected peers, each with its score as a provider of blocks.
    pub(crate) peers: RwLock<BTreeMap<PeerId, ProviderScore>>,
    /// Places for open questions.
    pub(crate) asks: Arc<Semaphore>,
    /// Places for open questions that are no CID.
    pub(crate) questions: Arc<Semaphore>,
    /// Answers those of others, once there is something to answer from.
    pub(crate) responder: Answers,
    /// Answers those of visitors, who may not know the chain.
    pub(crate) greeter: Answers,
    /// Tells the questions of visitors that have a short answer.
    pub(crate) short: OnceLock<fn(&[u8]) -> bool>,
    /// Places for open wants.
    pub(crate) wants: Arc<Semaphore>,
    /// Answers those of others.
    pub(crate) want_responder: Answers,
    pub(crate) metrics: Metrics,
}

/// The function that answers questions, once there is one.
#[derive(Default)]
pub(crate) struct Answers(pub(crate) OnceLock<Responder>);

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answers({})", self.0.get().is_some())
    }
}

/// A peer's success as a provider of blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProviderScore {
    /// It has given us a block that was asked for.
    pub(crate) gave: bool,
    /// Number of failures since.
    pub(crate) failures: u32,
}

/// A command of a handle to the host.
#[derive(Debug)]
pub(crate) enum Command {
    Publish(Bytes),
    Report { id: MessageId, from: PeerId, bytes: usize, verdict: Verdict },
    Ask { peer: PeerId, cid: ContentId, reply: oneshot::Sender<Answer>, permit: OwnedSemaphorePermit },
    Question { peer: PeerId, question: Vec<u8>, reply: oneshot::Sender<Answer>, permit: OwnedSemaphorePermit },
    Want { peer: PeerId, want: Vec<u8>, reply: oneshot::Sender<Answer>, permit: OwnedSemaphorePermit },
    Judge { peer: PeerId, bytes: usize, verdict: Verdict },
    AddPeer(Multiaddr),
    Ban(PeerId),
}
