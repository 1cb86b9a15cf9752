//! The host as a service: start, and the handle that others hold.

use std::sync::{Arc, Mutex, RwLock};

use bytes::Bytes;
use libp2p::{Multiaddr, PeerId};
use openmesh_primitives::ContentId;
use prometheus_client::registry::Registry;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::blocks::Answer;
use crate::config::{Config, NetworkError, Provider, Responder};
use crate::envelope::{Incoming, PublishError, Verdict};
use crate::fetch::{self, FetchError};
use crate::host::{self, Host};
use crate::limits;
use crate::metrics::Metrics;
use crate::questions::AskError;
use crate::shared::{Command, Shared};

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

    /// Asks one peer a question and returns its answer as it came: the caller judges it.
    ///
    /// # Errors
    /// Where the peer has no answer, is busy, is not connected or does not answer in time.
    pub async fn ask(&self, peer: PeerId, question: Vec<u8>) -> Result<Vec<u8>, AskError> {
        if question.len() > limits::QUESTION_BYTES_MAX {
            return Err(AskError::TooLong(question.len()));
        }
        let permit = Arc::clone(&self.shared.questions).acquire_owned().await.map_err(|_| AskError::Stopped)?;
        let (reply, answer) = oneshot::channel();
        let command = Command::Question { peer, question, reply, permit };
        self.commands.send(command).await.map_err(|_| AskError::Stopped)?;
        answered(answer).await
    }

    /// Asks one peer for what it has announced, and returns the envelope as it came: the caller judges it
    /// ([`Handle::judge`]).
    ///
    /// # Errors
    /// Where the peer has nothing of it any more, is busy, is not connected or does not answer in time.
    pub async fn want(&self, peer: PeerId, want: Vec<u8>) -> Result<Vec<u8>, AskError> {
        if want.len() > limits::WANT_BYTES_MAX {
            return Err(AskError::TooLong(want.len()));
        }
        let permit = Arc::clone(&self.shared.wants).acquire_owned().await.map_err(|_| AskError::Stopped)?;
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Want { peer, want, reply, permit }).await.map_err(|_| AskError::Stopped)?;
        answered(answer).await
    }

    /// Answers the wants of peers from now on; before, they are told that nothing is here. The first call counts.
    pub fn answer_wants_with(&self, responder: Responder) {
        let _ = self.shared.want_responder.0.set(responder);
    }

    /// Judges a peer by what it delivered, or did not: as an envelope of so many bytes would be.
    pub async fn judge(&self, peer: PeerId, bytes: usize, verdict: Verdict) {
        // After the host has stopped there is nobody to hold anything against.
        let _ = self.commands.send(Command::Judge { peer, bytes, verdict }).await;
    }

    /// Answers the questions of peers from now on; before, they are told that nothing is here. The first call counts.
    pub fn answer_with(&self, responder: Responder) {
        let _ = self.shared.responder.0.set(responder);
    }

    /// Answers the questions of visitors of any chain from now on ([`Visit`](crate::Visit)); before, they are told that nothing is here. The
    /// first call counts. `is_short`: questions whose answer has at most a kilobyte and is there without reading anything; they are answered
    /// whoever else is.
    pub fn greet_with(&self, responder: Responder, is_short: fn(&[u8]) -> bool) {
        let _ = self.shared.short.set(is_short);
        let _ = self.shared.greeter.0.set(responder);
    }

    /// Shuts a peer out for ten minutes that has lied.
    pub async fn shut_out(&self, peer: PeerId) {
        // As above.
        let _ = self.commands.send(Command::Ban(peer)).await;
    }
}

/// The answer to a question or want.
async fn answered(answer: oneshot::Receiver<Answer>) -> Result<Vec<u8>, AskError> {
    match answer.await {
        Ok(Answer::Block(bytes)) => Ok(bytes),
        Ok(Answer::Missing) => Err(AskError::Missing),
        Ok(Answer::Busy) => Err(AskError::Busy),
        // Dropped: it went away, or the transport's time is up.
        Err(_) => Err(AskError::Silent),
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
        questions: Arc::new(Semaphore::new(limits::QUESTIONS_MAX)),
        responder: Default::default(),
        greeter: Default::default(),
        short: Default::default(),
        wants: Arc::new(Semaphore::new(limits::WANTS_MAX)),
        want_responder: Default::default(),
        metrics,
    });
    let mut host = Host::new(swarm, &config, provider, Arc::clone(&shared), incoming_sent);
    host.listen(&config.listen).await?;
    let task = tokio::spawn(host.run(commands_received, cancel));
    Ok((Handle { shared, commands, incoming: Arc::new(Mutex::new(Some(incoming))) }, task))
}
