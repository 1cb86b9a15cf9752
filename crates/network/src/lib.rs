//! Our libp2p host: gossip of transactions and fetching of blocks by CID.
//!
//! Malachite runs a swarm of its own for consensus, with a fixed list of topics; this host is the other one, on a port
//! of its own, so that bulk content can never starve a vote. It carries envelopes and does not read them: whoever
//! receives an [`Incoming`] envelope judges it and says so with [`Handle::report`], and only accepted envelopes are
//! forwarded to other peers. Envelopes are anonymous (no gossip signature): what they carry is signed by itself, and
//! their identity is the hash of their bytes.
//!
//! Blocks come from a [`Provider`], a closure over whatever store the caller has. So this crate needs no edge to the
//! content store, and a test needs no store at all. A fetched block is checked against its CID before anybody sees
//! it; a peer whose bytes do not match is shut out for ten minutes and the next peer is asked.
//!
//! What happens on failure: a configured peer that is away is dialled for ever (see `book`); full queues refuse or
//! drop and count; the task ends only when it is cancelled or when the listener is gone.

mod blocks;
mod book;
mod fetch;
#[doc(hidden)]
pub mod fuzz;
mod host;
pub mod limits;
mod metrics;
mod scores;
mod turns;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, RwLock};

use bytes::Bytes;
use openmesh_primitives::ContentId;
use prometheus_client::registry::Registry;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use fetch::FetchError;
pub use libp2p::{Multiaddr, PeerId};
pub use turns::Turns;

use fetch::ProviderScore;
use host::{Command, Host};
use metrics::Metrics;

/// Looks up a block that we hold; called on a blocking thread.
pub type Provider = Arc<dyn Fn(&ContentId) -> Option<Vec<u8>> + Send + Sync>;

/// Configuration of the host.
#[derive(Clone, Debug)]
pub struct Config {
    /// Addresses to listen on, e.g. `/ip4/0.0.0.0/tcp/0`; port 0 lets the system choose.
    pub listen: Vec<Multiaddr>,
    /// Peers to stay connected with, with or without `/p2p/<peer id>` at the end.
    pub peers: Vec<Multiaddr>,
    /// The chain: part of every protocol name, so that hosts of different chains do not talk.
    pub chain_id: u64,
    /// Seed of the host's ed25519 identity (32 bytes); keep it, so that the peer id stays.
    pub key_seed: [u8; 32],
}

/// Errors of starting and running the host.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The key, the transport or the gossip settings were refused by libp2p.
    #[error("the peer-to-peer host cannot be built: {0}")]
    Build(String),
    /// The address is in use, not ours or not of a supported kind.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// The wanted address.
        address: String,
        /// The system's answer.
        reason: String,
    },
    /// A listener closed while running.
    #[error("the listener closed: {0}")]
    ListenerClosed(String),
}

/// An envelope from a peer, to be judged with [`Handle::report`].
#[derive(Clone, Debug)]
pub struct Incoming {
    /// The neighbour that delivered it (not necessarily who made it).
    pub from: PeerId,
    /// The envelope's identity, for the report.
    pub id: EnvelopeId,
    /// Its bytes.
    pub bytes: Bytes,
    /// Its places in the queue, of its peer and of all, given back when the last clone goes.
    _places: Arc<[OwnedSemaphorePermit; 2]>,
}

/// Identity of an envelope: the hash of its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvelopeId(libp2p::gossipsub::MessageId);

/// The reader's judgement of an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// New and valid: forward it.
    Accept,
    /// Nothing wrong, but nothing new either: do not forward.
    Ignore,
    /// Well made, but nothing in it that an honest neighbour would have forwarded: do not forward, and count it a little.
    Worthless,
    /// Invalid: do not forward, and count it against the neighbour.
    Reject,
}

/// Errors of publishing an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// Longer than [`limits::ENVELOPE_BYTES_MAX`].
    #[error("the envelope has {0} bytes, at most {max} can be gossiped", max = limits::ENVELOPE_BYTES_MAX)]
    TooLong(usize),
    /// The host's queue is full.
    #[error("the host's queue is full, try again later")]
    Busy,
    /// The host has stopped.
    #[error("the host has stopped")]
    Stopped,
}

/// State that the handles share with the task.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) peer_id: PeerId,
    pub(crate) listen: RwLock<Vec<Multiaddr>>,
    /// Connected peers, each with its score as a provider of blocks.
    pub(crate) peers: RwLock<BTreeMap<PeerId, ProviderScore>>,
    /// Places for open questions.
    pub(crate) asks: Arc<Semaphore>,
    pub(crate) metrics: Metrics,
}

/// The running host; clones are cheap.
#[derive(Clone, Debug)]
pub struct Handle {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    incoming: Arc<Mutex<Option<mpsc::Receiver<Incoming>>>>,
}

impl Handle {
    /// Gossips an envelope to the peers. Without peers it goes nowhere, which is not an error. Fails where it is too long, the
    /// queue is full, or the host has stopped.
    pub fn publish(&self, envelope: Bytes) -> Result<(), PublishError> {
        if envelope.len() > limits::ENVELOPE_BYTES_MAX {
            return Err(PublishError::TooLong(envelope.len()));
        }
        self.commands.try_send(Command::Publish(envelope)).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => PublishError::Busy,
            mpsc::error::TrySendError::Closed(_) => PublishError::Stopped,
        })
    }

    /// The stream of envelopes from peers. There is one: the second call returns `None`.
    pub fn incoming(&self) -> Option<mpsc::Receiver<Incoming>> {
        self.incoming.lock().ok().and_then(|mut slot| slot.take())
    }

    /// Reports the judgement of an envelope; one that is not reported is not forwarded.
    pub async fn report(&self, incoming: &Incoming, verdict: Verdict) {
        let (id, from, bytes) = (incoming.id.0.clone(), incoming.from, incoming.bytes.len());
        let command = Command::Report { id, from, bytes, verdict };
        // After the host has stopped there is nobody to forward to.
        let _ = self.commands.send(command).await;
    }

    /// Adds a peer to stay connected with.
    pub async fn add_peer(&self, address: Multiaddr) {
        // As above: a stopped host has no peers.
        let _ = self.commands.send(Command::AddPeer(address)).await;
    }

    /// The connected peers.
    pub fn peers(&self) -> Vec<PeerId> {
        self.shared.peers.read().map(|peers| peers.keys().copied().collect()).unwrap_or_default()
    }

    /// Our identity.
    pub fn peer_id(&self) -> PeerId {
        self.shared.peer_id
    }

    /// The addresses that we listen on, with the ports that the system chose.
    pub fn listen_addrs(&self) -> Vec<Multiaddr> {
        self.shared.listen.read().map(|addresses| addresses.clone()).unwrap_or_default()
    }

    /// Fetches a block from the connected peers, those first that gave blocks before, and checks it against its CID.
    /// Ends within about a quarter of a minute once there is a place for it. Fails where no peer is connected or none has it.
    pub async fn fetch(&self, cid: ContentId) -> Result<Vec<u8>, FetchError> {
        fetch::fetch(&self.shared, &self.commands, cid).await
    }
}

/// Starts the host: when this returns, it listens. Fails where libp2p refuses the configuration or an address cannot be
/// listened on.
pub async fn start(
    config: Config,
    provider: Provider,
    cancel: CancellationToken,
    registry: &mut Registry,
) -> Result<(Handle, JoinHandle<Result<(), NetworkError>>), NetworkError> {
    let metrics = Metrics::register(registry);
    let (commands, commands_received) = mpsc::channel(limits::COMMANDS_MAX);
    let (incoming_sent, incoming) = mpsc::channel(limits::INCOMING_MAX);
    let swarm = host::build(&config)?;
    let shared = Arc::new(Shared {
        peer_id: *swarm.local_peer_id(),
        listen: RwLock::default(),
        peers: RwLock::default(),
        asks: Arc::new(Semaphore::new(limits::ASKS_MAX)),
        metrics,
    });
    let mut host = Host::new(swarm, &config, provider, Arc::clone(&shared), incoming_sent);
    host.listen(&config.listen).await?;
    let task = tokio::spawn(host.run(commands_received, cancel));
    Ok((Handle { shared, commands, incoming: Arc::new(Mutex::new(Some(incoming))) }, task))
}
