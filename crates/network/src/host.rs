//! The task that owns the swarm: one loop over the swarm's events, the handles' commands and the answers of the
//! provider's threads.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures::StreamExt as _;
use libp2p::gossipsub::{self, MessageAcceptance, MessageId};
use libp2p::request_response::{self, InboundRequestId, OutboundRequestId, ProtocolSupport, ResponseChannel};
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{DialError, NetworkBehaviour, SwarmEvent};
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm, SwarmBuilder, allow_block_list, connection_limits, identify, identity,
    noise, ping, tcp, yamux,
};
use openmesh_primitives::{ContentId, sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::blocks::{Answer, BlockCodec};
use crate::book::Book;
use crate::config::{Config, NetworkError, Provider};
use crate::envelope::{EnvelopeId, Incoming, Verdict};
use crate::limits::*;
use crate::questions::QuestionCodec;
use crate::scores::Scores;
use crate::shared::{Command, ProviderScore, Shared};
use crate::visit;
use crate::wants::{WantCodec, Wants};

#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    // First, because they refuse connections before the others learn of them.
    limits: connection_limits::Behaviour,
    banned: allow_block_list::Behaviour<allow_block_list::BlockedPeers>,
    gossip: gossipsub::Behaviour,
    blocks: request_response::Behaviour<BlockCodec>,
    questions: request_response::Behaviour<QuestionCodec>,
    hello: request_response::Behaviour<QuestionCodec>,
    wants: request_response::Behaviour<WantCodec>,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
}

/// The topic of announcements. The first one carried the bodies: whoever still speaks it is not to be taken for a peer that lies.
fn topic(chain_id: u64) -> gossipsub::IdentTopic {
    gossipsub::IdentTopic::new(format!("/openmesh/{chain_id}/tx/2"))
}

fn identity_protocol(chain_id: u64) -> String {
    format!("/openmesh/{chain_id}/1")
}

/// The identity that a host of this seed has at its peers. Fails where libp2p refuses the seed.
pub fn peer_id(key_seed: [u8; 32]) -> Result<PeerId, NetworkError> {
    let key = identity::Keypair::ed25519_from_bytes(key_seed).map_err(|e| NetworkError::Build(e.to_string()))?;
    Ok(key.public().to_peer_id())
}

/// The swarm, not listening yet.
pub(crate) fn build(config: &Config) -> Result<Swarm<Behaviour>, NetworkError> {
    let failed = |reason: &dyn std::fmt::Display| NetworkError::Build(reason.to_string());
    let key = identity::Keypair::ed25519_from_bytes(config.key_seed).map_err(|e| failed(&e))?;
    let behaviour = behaviour(config, &key)?;
    let transport = tcp::Config::default().nodelay(true);
    let swarm = SwarmBuilder::with_existing_identity(key)
        .with_tokio()
        .with_tcp(transport, noise::Config::new, yamux::Config::default)
        .map_err(|e| failed(&e))?
        .with_dns()
        .map_err(|e| failed(&e))?
        .with_behaviour(|_| behaviour)
        .map_err(|e| failed(&e))?
        .with_swarm_config(|c| c.with_idle_connection_timeout(IDLE_TIMEOUT))
        .build();
    Ok(swarm)
}

fn behaviour(config: &Config, key: &identity::Keypair) -> Result<Behaviour, NetworkError> {
    let gossip_config = gossipsub::ConfigBuilder::default()
        .validation_mode(gossipsub::ValidationMode::Anonymous)
        .validate_messages()
        .message_id_fn(|message| MessageId::new(sha256(&[&message.data]).as_bytes()))
        .max_transmit_size(ENVELOPE_BYTES_MAX + 1024)
        .heartbeat_initial_delay(std::time::Duration::from_millis(200))
        .flood_publish(true)
        .build()
        .map_err(|e| NetworkError::Build(e.to_string()))?;
    let mut gossip = gossipsub::Behaviour::new(gossipsub::MessageAuthenticity::Anonymous, gossip_config)
        .map_err(|e| NetworkError::Build(e.to_owned()))?;
    gossip.subscribe(&topic(config.chain_id)).map_err(|e| NetworkError::Build(e.to_string()))?;
    let protocol = |what: &str| {
        StreamProtocol::try_from_owned(format!("/openmesh/{}/{what}/1", config.chain_id))
            .map_err(|e| NetworkError::Build(e.to_string()))
    };
    let asks = |streams| {
        request_response::Config::default().with_request_timeout(ASK_TIMEOUT).with_max_concurrent_streams(streams)
    };
    // Of one connection and both directions, so ours must fit; how many are answered is the host's business.
    let requests = asks(ASKS_MAX + SERVES_PER_PEER_MAX);
    let questions = asks(QUESTIONS_MAX + QUESTION_SERVES_PER_PEER_MAX);
    let hello = asks(HELLO_SERVES_PER_PEER_MAX);
    let wants = request_response::Config::default()
        .with_request_timeout(WANT_TIMEOUT)
        .with_max_concurrent_streams(2 * WANT_SERVES_PER_PEER_MAX + 1);
    let limits = connection_limits::ConnectionLimits::default()
        .with_max_established_incoming(Some(CONNECTIONS_INCOMING_MAX))
        .with_max_established(Some(CONNECTIONS_MAX))
        .with_max_established_per_peer(Some(CONNECTIONS_PER_PEER_MAX))
        .with_max_pending_incoming(Some(CONNECTIONS_PENDING_MAX))
        .with_max_pending_outgoing(Some(CONNECTIONS_PENDING_MAX));
    let identify = identify::Config::new(identity_protocol(config.chain_id), key.public())
        .with_agent_version(concat!("openmesh/", env!("CARGO_PKG_VERSION")).to_owned());
    Ok(Behaviour {
        limits: connection_limits::Behaviour::new(limits),
        banned: allow_block_list::Behaviour::default(),
        gossip,
        blocks: request_response::Behaviour::new([(protocol("block")?, ProtocolSupport::Full)], requests),
        questions: request_response::Behaviour::new([(protocol("question")?, ProtocolSupport::Full)], questions),
        hello: request_response::Behaviour::new([(visit::PROTOCOL, ProtocolSupport::Inbound)], hello),
        wants: request_response::Behaviour::new([(protocol("want")?, ProtocolSupport::Full)], wants),
        identify: identify::Behaviour::new(identify),
        ping: ping::Behaviour::default(),
    })
}

pub(crate) struct Host {
    swarm: Swarm<Behaviour>,
    chain_id: u64,
    provider: Provider,
    shared: Arc<Shared>,
    incoming: mpsc::Sender<Incoming>,
    book: Book,
    /// Open questions. Each holds its place until the transport has done with it, whoever still waits for the answer.
    asked: HashMap<OutboundRequestId, (oneshot::Sender<Answer>, OwnedSemaphorePermit)>,
    /// Places for blocks that are read or sent.
    places: Arc<Semaphore>,
    serving: HashMap<InboundRequestId, Serving>,
    /// The same of questions that are no CID.
    questions_asked: HashMap<OutboundRequestId, (oneshot::Sender<Answer>, OwnedSemaphorePermit)>,
    question_places: Arc<Semaphore>,
    /// The same for those who do not know the chain yet: however many come, the questions of peers have places.
    hello_places: Arc<Semaphore>,
    /// Answers of both kinds that are read or sent. Their numbers are those of the protocol that they came by.
    answering: HashMap<(Asked, InboundRequestId), Serving>,
    answers: (mpsc::UnboundedSender<Served>, mpsc::UnboundedReceiver<Served>),
    wants: Wants,
    bans: VecDeque<(Instant, PeerId)>,
    scores: Scores,
    /// Room for received envelopes: of each peer, and of all.
    room_of_peers: HashMap<PeerId, Arc<Semaphore>>,
    room: Arc<Semaphore>,
}

/// An answer on its way out. As many as permits of [`SERVES_MAX`], [`QUESTION_SERVES_MAX`] and [`HELLO_SERVES_MAX`], so the channel needs
/// no limit of its own.
type Served = (Asked, ResponseChannel<Answer>, Answer);

/// The protocol of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Asked {
    Block,
    Question,
    Hello,
}

/// A block for a peer, until it is sent or has failed: what waits to be sent is in memory for as long as the peer reads.
struct Serving {
    peer: PeerId,
    /// Shared with the thread that reads the block, which may outlive the request.
    _place: Arc<OwnedSemaphorePermit>,
}

impl Host {
    pub(crate) fn new(
        swarm: Swarm<Behaviour>,
        config: &Config,
        provider: Provider,
        shared: Arc<Shared>,
        incoming: mpsc::Sender<Incoming>,
    ) -> Host {
        let mut book = Book::default();
        config.peers.iter().for_each(|address| book.add(address.clone(), Instant::now()));
        Host {
            swarm,
            chain_id: config.chain_id,
            provider,
            shared,
            incoming,
            book,
            asked: HashMap::new(),
            places: Arc::new(Semaphore::new(SERVES_MAX)),
            serving: HashMap::new(),
            questions_asked: HashMap::new(),
            question_places: Arc::new(Semaphore::new(QUESTION_SERVES_MAX)),
            hello_places: Arc::new(Semaphore::new(HELLO_SERVES_MAX)),
            answering: HashMap::new(),
            answers: mpsc::unbounded_channel(),
            wants: Wants::default(),
            bans: VecDeque::new(),
            scores: Scores::default(),
            room_of_peers: HashMap::new(),
            room: Arc::new(Semaphore::new(INCOMING_BYTES_MAX)),
        }
    }

    /// Binds the addresses and returns when each has reported the address that it got.
    pub(crate) async fn listen(&mut self, addresses: &[Multiaddr]) -> Result<(), NetworkError> {
        for address in addresses {
            let failed = |reason: String| NetworkError::Listen { address: address.to_string(), reason };
            let listener = self.swarm.listen_on(address.clone()).map_err(|e| failed(e.to_string()))?;
            let bound = timeout(LISTEN_TIMEOUT, async {
                loop {
                    match self.swarm.select_next_some().await {
                        SwarmEvent::NewListenAddr { listener_id, address } if listener_id == listener => {
                            return Ok(address);
                        }
                        SwarmEvent::ListenerClosed { listener_id, reason, .. } if listener_id == listener => {
                            return Err(reason.err().map_or("closed".to_owned(), |e| e.to_string()));
                        }
                        SwarmEvent::ListenerError { listener_id, error } if listener_id == listener => {
                            return Err(error.to_string());
                        }
                        _ => {}
                    }
                }
            });
            let bound = bound.await.map_err(|_| failed("no answer in time".to_owned()))?.map_err(failed)?;
            self.listening(bound);
        }
        Ok(())
    }

    fn listening(&self, address: Multiaddr) {
        if let Ok(mut listen) = self.shared.listen.write()
            && !listen.contains(&address)
        {
            tracing::info!(%address, "gossip and blocks: listening");
            listen.push(address);
        }
    }

    pub(crate) async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        cancel: CancellationToken,
    ) -> Result<(), NetworkError> {
        loop {
            self.dial();
            let far = Instant::now() + REDIAL_MAX;
            let wake = self.book.next_due().unwrap_or(far).min(far);
            tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                event = self.swarm.select_next_some() => self.event(event)?,
                Some(command) = commands.recv() => self.command(command),
                Some((asked, channel, answer)) = self.answers.1.recv() => self.answer(asked, channel, answer),
                Some((channel, answer)) = self.wants.answers.1.recv() => {
                    self.wants.answer(&mut self.swarm.behaviour_mut().wants, &self.shared, channel, answer);
                }
                () = tokio::time::sleep_until(wake.into()) => {}
            }
            self.pardon(Instant::now());
        }
    }

    fn dial(&mut self) {
        let now = Instant::now();
        for address in self.book.due(now) {
            let options = DialOpts::unknown_peer_id().address(address.clone()).build();
            let connection = options.connection_id();
            self.book.dialing(&address, connection);
            if let Err(error) = self.swarm.dial(options) {
                tracing::debug!(%address, %error, "dialling was refused");
                self.book.failed_to_dial(&address, now);
            }
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Publish(envelope) => self.publish(envelope),
            Command::Report { id, from, bytes, verdict } => self.report(&id, from, bytes, verdict),
            Command::Ask { peer, cid, reply, permit } => {
                let id = self.swarm.behaviour_mut().blocks.send_request(&peer, cid);
                self.asked.insert(id, (reply, permit));
            }
            Command::Question { peer, question, reply, permit } => {
                let id = self.swarm.behaviour_mut().questions.send_request(&peer, question);
                self.questions_asked.insert(id, (reply, permit));
            }
            Command::Want { peer, want, reply, permit } => {
                self.wants.ask(&mut self.swarm.behaviour_mut().wants, &peer, want, (reply, permit));
            }
            Command::Judge { peer, bytes, verdict } => self.judge(peer, bytes, verdict),
            Command::AddPeer(address) => self.book.add(address, Instant::now()),
            Command::Ban(peer) => self.ban(peer),
        }
    }

    fn publish(&mut self, envelope: Bytes) {
        match self.swarm.behaviour_mut().gossip.publish(topic(self.chain_id), envelope) {
            Ok(_) => {
                self.shared.metrics.envelopes_published.inc();
            }
            // Alone, or said before: nothing is lost.
            Err(gossipsub::PublishError::NoPeersSubscribedToTopic | gossipsub::PublishError::Duplicate) => {}
            Err(error) => {
                self.shared.metrics.envelopes_dropped.inc();
                tracing::debug!(%error, "an envelope was not published");
            }
        }
    }

    fn report(&mut self, id: &MessageId, from: PeerId, bytes: usize, verdict: Verdict) {
        let acceptance = match verdict {
            Verdict::Accept => MessageAcceptance::Accept,
            Verdict::Ignore | Verdict::Worthless => MessageAcceptance::Ignore,
            Verdict::Reject => MessageAcceptance::Reject,
        };
        self.swarm.behaviour_mut().gossip.report_message_validation_result(id, &from, acceptance);
        self.judge(from, bytes, verdict);
    }

    /// Counts what a peer has brought for it or against it.
    fn judge(&mut self, from: PeerId, bytes: usize, verdict: Verdict) {
        match verdict {
            Verdict::Accept => {
                self.scores.forgive(from, Instant::now());
            }
            Verdict::Ignore => {}
            Verdict::Worthless => {
                self.shared.metrics.envelopes_worthless.inc();
                self.count_against(from, bytes.div_ceil(WORTHLESS_POINT_BYTES) as u32);
            }
            Verdict::Reject => {
                self.shared.metrics.envelopes_invalid.inc();
                self.count_against(from, INVALID_POINTS);
            }
        }
    }

    fn count_against(&mut self, peer: PeerId, points: u32) {
        if self.scores.add(peer, points, Instant::now()) {
            tracing::warn!(%peer, "a peer sent too many envelopes that are invalid or worthless; it is shut out");
            self.ban(peer);
        }
    }

    fn ban(&mut self, peer: PeerId) {
        // What it sent before may still be judged.
        if self.bans.iter().any(|(_, banned)| *banned == peer) {
            return;
        }
        self.swarm.behaviour_mut().banned.block_peer(peer);
        self.bans.push_back((Instant::now() + BAN, peer));
        if self.bans.len() > BANS_MAX
            && let Some((_, oldest)) = self.bans.pop_front()
        {
            self.swarm.behaviour_mut().banned.unblock_peer(oldest);
        }
    }

    fn pardon(&mut self, now: Instant) {
        while self.bans.front().is_some_and(|(until, _)| *until <= now) {
            if let Some((_, peer)) = self.bans.pop_front() {
                self.swarm.behaviour_mut().banned.unblock_peer(peer);
            }
        }
    }

    fn answer(&mut self, asked: Asked, channel: ResponseChannel<Answer>, answer: Answer) {
        if asked != Asked::Block {
            self.shared.metrics.questions_answered.inc();
            let behaviour = self.swarm.behaviour_mut();
            // The asker may have gone away meanwhile.
            let _ = match asked {
                Asked::Hello => behaviour.hello.send_response(channel, answer),
                _ => behaviour.questions.send_response(channel, answer),
            };
            return;
        }
        match &answer {
            Answer::Block(bytes) => {
                self.shared.metrics.blocks_served.inc();
                self.shared.metrics.block_bytes_served.inc_by(bytes.len() as u64);
            }
            Answer::Missing => {
                self.shared.metrics.blocks_missing.inc();
            }
            Answer::Busy => {}
        }
        // The asker may have gone away meanwhile.
        let _ = self.swarm.behaviour_mut().blocks.send_response(channel, answer);
    }

    /// Gives an envelope to the reader, if there is room for it.
    fn hand_over(&mut self, from: PeerId, id: &MessageId, data: Vec<u8>) -> Option<()> {
        let of_peer = self.room_of_peers.entry(from);
        let of_peer = of_peer.or_insert_with(|| Arc::new(Semaphore::new(INCOMING_PEER_BYTES_MAX)));
        let count = u32::try_from(data.len().max(INCOMING_BYTES_MIN)).ok()?;
        let places = [Arc::clone(of_peer), Arc::clone(&self.room)].map(|room| room.try_acquire_many_owned(count).ok());
        let [Some(own), Some(all)] = places else { return None };
        let (id, bytes) = (EnvelopeId(id.clone()), data.into());
        self.incoming.try_send(Incoming { from, id, bytes, _places: Arc::new([own, all]) }).ok()
    }

    /// A place for a block, if there is one and the peer does not have its share.
    fn place(&self, peer: PeerId) -> Option<Arc<OwnedSemaphorePermit>> {
        let own = self.serving.values().filter(|serving| serving.peer == peer).count();
        let permit = Arc::clone(&self.places).try_acquire_owned().ok()?;
        (own < SERVES_PER_PEER_MAX).then(|| Arc::new(permit))
    }

    /// Reads the block on a blocking thread; the loop goes on.
    fn serve(&mut self, peer: PeerId, id: InboundRequestId, cid: ContentId, channel: ResponseChannel<Answer>) {
        let Some(place) = self.place(peer) else {
            return self.answer(Asked::Block, channel, Answer::Busy);
        };
        self.serving.insert(id, Serving { peer, _place: Arc::clone(&place) });
        let (provider, answers) = (Arc::clone(&self.provider), self.answers.0.clone());
        tokio::task::spawn_blocking(move || {
            let _place = place;
            let answer = match provider(&cid) {
                Some(bytes) if bytes.len() <= BLOCK_BYTES_MAX => Answer::Block(bytes),
                _ => Answer::Missing,
            };
            // Fails only when the host has stopped.
            let _ = answers.send((Asked::Block, channel, answer));
        });
    }

    /// Answers a question on a blocking thread; the loop goes on.
    fn answer_question(
        &mut self,
        asked: Asked,
        peer: PeerId,
        id: InboundRequestId,
        question: Vec<u8>,
        channel: ResponseChannel<Answer>,
    ) {
        if asked == Asked::Hello && self.shared.short.get().is_some_and(|is_short| is_short(&question)) {
            return self.answer_short(&question, channel);
        }
        let answering = &self.answering;
        let answered =
            move || answering.iter().filter(move |((kind, _), _)| *kind == asked).map(|(_, serving)| serving.peer);
        let own = answered().filter(|other| *other == peer).count();
        let (places, has_room) = match asked {
            Asked::Hello => {
                let beside = answered().filter(|other| self.scores.is_beside(&peer, other)).count();
                (&self.hello_places, own < HELLO_SERVES_PER_PEER_MAX && beside < HELLO_SERVES_PER_ADDRESS_MAX)
            }
            _ => (&self.question_places, own < QUESTION_SERVES_PER_PEER_MAX),
        };
        let permit = Arc::clone(places).try_acquire_owned().ok();
        let Some(place) = permit.filter(|_| has_room).map(Arc::new) else {
            return self.answer(asked, channel, Answer::Busy);
        };
        self.answering.insert((asked, id), Serving { peer, _place: Arc::clone(&place) });
        let (shared, answers) = (Arc::clone(&self.shared), self.answers.0.clone());
        tokio::task::spawn_blocking(move || {
            let _place = place;
            let responder = match asked {
                Asked::Hello => shared.greeter.0.get(),
                _ => shared.responder.0.get(),
            };
            let answer = match responder.and_then(|responder| responder(&question)) {
                Some(bytes) if bytes.len() <= BLOCK_BYTES_MAX => Answer::Block(bytes),
                _ => Answer::Missing,
            };
            // Fails only when the host has stopped.
            let _ = answers.send((asked, channel, answer));
        });
    }

    /// Answers a visitor's question at once, without a place: whoever holds those keeps nobody from asking who is there.
    fn answer_short(&mut self, question: &[u8], channel: ResponseChannel<Answer>) {
        let answer = match self.shared.greeter.0.get().and_then(|greeter| greeter(question)) {
            Some(bytes) if bytes.len() <= HELLO_SHORT_BYTES_MAX => Answer::Block(bytes),
            _ => Answer::Missing,
        };
        self.answer(Asked::Hello, channel, answer);
    }

    fn event(&mut self, event: SwarmEvent<BehaviourEvent>) -> Result<(), NetworkError> {
        let now = Instant::now();
        match event {
            SwarmEvent::Behaviour(event) => self.behaviour_event(event),
            SwarmEvent::NewListenAddr { address, .. } => self.listening(address),
            SwarmEvent::ListenerClosed { addresses, reason, .. } => {
                let reason = reason.err().map_or("no reason given".to_owned(), |e| e.to_string());
                return Err(NetworkError::ListenerClosed(format!("{addresses:?}: {reason}")));
            }
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.scores.connected(peer_id, endpoint.get_remote_address(), now);
                self.book.established(connection_id, peer_id, now);
                self.count_peers(|peers| {
                    peers.entry(peer_id).or_default();
                });
            }
            SwarmEvent::ConnectionClosed { peer_id, num_established: 0, .. } => {
                self.book.closed(peer_id, now);
                self.scores.disconnected(&peer_id);
                self.count_peers(|peers| {
                    peers.remove(&peer_id);
                });
                // Whoever comes back finds its envelopes still counted.
                self.room_of_peers.retain(|peer, room| {
                    self.swarm.is_connected(peer) || room.available_permits() < INCOMING_PEER_BYTES_MAX
                });
            }
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => match error {
                DialError::LocalPeerId { .. } => self.book.ourselves(connection_id),
                error => {
                    tracing::debug!(%error, "a peer cannot be reached");
                    self.book.failed(connection_id, now);
                }
            },
            _ => {}
        }
        Ok(())
    }

    fn count_peers(&self, change: impl FnOnce(&mut std::collections::BTreeMap<PeerId, ProviderScore>)) {
        if let Ok(mut peers) = self.shared.peers.write() {
            change(&mut peers);
            self.shared.metrics.peers.set(peers.len() as i64);
        }
    }

    fn behaviour_event(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Gossip(gossipsub::Event::Message { propagation_source, message_id, message }) => {
                self.shared.metrics.envelopes_received.inc();
                let bytes = message.data.len();
                if self.hand_over(propagation_source, &message_id, message.data).is_none() {
                    self.shared.metrics.envelopes_dropped.inc();
                    self.report(&message_id, propagation_source, bytes, Verdict::Ignore);
                }
            }
            BehaviourEvent::Blocks(request_response::Event::Message { peer, message, .. }) => match message {
                request_response::Message::Request { request_id, request, channel } => {
                    self.serve(peer, request_id, request, channel);
                }
                request_response::Message::Response { request_id, response } => {
                    if let Some((reply, _)) = self.asked.remove(&request_id) {
                        // The fetch may have been given up.
                        let _ = reply.send(response);
                    }
                }
            },
            BehaviourEvent::Blocks(request_response::Event::OutboundFailure { request_id, peer, error, .. }) => {
                tracing::debug!(%peer, %error, "a peer did not answer for a block");
                // Dropping the sender tells the fetch to ask another.
                self.asked.remove(&request_id);
            }
            BehaviourEvent::Blocks(
                request_response::Event::ResponseSent { request_id, .. }
                | request_response::Event::InboundFailure { request_id, .. },
            ) => {
                self.serving.remove(&request_id);
            }
            BehaviourEvent::Questions(event) => self.question_event(Asked::Question, event),
            BehaviourEvent::Hello(event) => self.question_event(Asked::Hello, event),
            BehaviourEvent::Wants(event) => {
                self.wants.event(&mut self.swarm.behaviour_mut().wants, &self.shared, event);
            }
            BehaviourEvent::Identify(identify::Event::Received { peer_id, info, .. })
                if info.protocol_version != identity_protocol(self.chain_id) =>
            {
                tracing::info!(peer = %peer_id, theirs = %info.protocol_version, "a peer of another chain");
                // Gone already if this fails.
                let _ = self.swarm.disconnect_peer_id(peer_id);
            }
            _ => {}
        }
    }

    /// An event of questions that are no CID. Of those who visit nothing is asked, so answers and failures of our own are never theirs.
    fn question_event(&mut self, asked: Asked, event: request_response::Event<Vec<u8>, Answer>) {
        match event {
            request_response::Event::Message { peer, message, .. } => match message {
                request_response::Message::Request { request_id, request, channel } => {
                    self.answer_question(asked, peer, request_id, request, channel);
                }
                request_response::Message::Response { request_id, response } => {
                    if let Some((reply, _)) = self.questions_asked.remove(&request_id) {
                        // Whoever asked may have given up.
                        let _ = reply.send(response);
                    }
                }
            },
            request_response::Event::OutboundFailure { request_id, peer, error, .. } => {
                tracing::debug!(%peer, %error, "a peer did not answer a question");
                self.questions_asked.remove(&request_id);
            }
            request_response::Event::ResponseSent { request_id, .. }
            | request_response::Event::InboundFailure { request_id, .. } => {
                self.answering.remove(&(asked, request_id));
            }
        }
    }
}
