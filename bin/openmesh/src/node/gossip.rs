//! Joins consensus' mempool and the peer-to-peer host: transactions are announced to peers and asked for by the engine's rules
//! ([`openmesh_engine::relay`]), and neither side knows the other.
//!
//! Announcements are gossip that nobody forwards: who has got the bodies announces them itself. Reading one takes a look at each of
//! its hashes; everything that costs more is asked for, of each peer one thing at a time, so that a flood waits for itself.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use openmesh_engine::relay::wire;
use openmesh_engine::relay::{Relay, RelayEffect};
use openmesh_engine::{Bodies, GossipVerdict};
use openmesh_network::{Incoming, PeerId, Verdict};
use openmesh_primitives::{Digest, sha256};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Time between two looks at who is still connected: what was asked of a peer that went away is asked of another after a second
/// anyway.
const PEERS_PAUSE: Duration = Duration::from_secs(2);

/// Spreads transactions until the node stops.
pub fn join(
    engine: &openmesh_engine::Handle,
    network: &openmesh_network::Handle,
    stop: CancellationToken,
) -> JoinHandle<()> {
    let (outgoing, incoming) = (engine.gossip_out(), network.incoming());
    let answering = engine.clone();
    network.answer_wants_with(Arc::new(move |want: &[u8]| Some(answering.bodies(&wire::wanted(want)?)?.to_vec())));
    let mut spreading = Spreading::new(engine.clone(), network.clone());
    tokio::spawn(async move {
        let (Some(mut outgoing), Some(mut incoming)) = (outgoing, incoming) else {
            tracing::error!("transactions to announce were taken by somebody else: nothing is spread");
            return;
        };
        loop {
            let wake = spreading.wake_at();
            tokio::select! {
                () = stop.cancelled() => return,
                Some(hashes) = outgoing.recv() => spreading.relay.fresh(hashes, spreading.started.elapsed()),
                Some(announcement) = incoming.recv() => spreading.heard(announcement).await,
                Some(answer) = spreading.asking.next() => spreading.answered(answer).await,
                () = tokio::time::sleep_until(wake.into()) => {}
            }
            spreading.step().await;
        }
    })
}

/// What came of a question, with whom it was put to and its number: the envelope's content and length; `None` where there was none.
type Answer = (PeerId, u64, Option<(Bodies, usize)>);

struct Spreading {
    engine: openmesh_engine::Handle,
    network: openmesh_network::Handle,
    relay: Relay<PeerId>,
    /// The number under which the next announcement is made: two that name the same are two, and not an echo.
    announcer: u64,
    /// Origin of the relay's moments.
    started: Instant,
    /// The next look at who is connected.
    look: Instant,
    asking: FuturesUnordered<BoxFuture<'static, Answer>>,
}

impl Spreading {
    fn new(engine: openmesh_engine::Handle, network: openmesh_network::Handle) -> Spreading {
        let Digest([a, b, c, d, ..]) = sha256(&[&network.peer_id().to_bytes()]);
        // The rest counts announcements.
        let announcer = u64::from_be_bytes([a, b, c, d, 0, 0, 0, 0]);
        let (started, asking) = (Instant::now(), FuturesUnordered::new());
        Spreading { engine, network, relay: Relay::default(), announcer, started, look: started, asking }
    }

    fn wake_at(&self) -> Instant {
        self.relay.wake_at().map_or(self.look, |after| (self.started + after).min(self.look))
    }

    async fn heard(&mut self, announcement: Incoming) {
        let Some(hashes) = wire::announced(&announcement.bytes) else {
            tracing::debug!(from = %announcement.from, "not an announcement");
            return self.network.report(&announcement, Verdict::Reject).await;
        };
        self.network.report(&announcement, Verdict::Ignore).await;
        self.relay.announced(&announcement.from, self.engine.unknown(hashes));
    }

    async fn answered(&mut self, (peer, number, bodies): Answer) {
        let Some((Bodies { verdict, got, admitted }, bytes)) = bodies else {
            return self.relay.answered(&peer, number, &BTreeSet::new());
        };
        self.relay.answered(&peer, number, &got);
        self.relay.fresh(admitted, self.started.elapsed());
        let verdict = match verdict {
            GossipVerdict::Accept => Verdict::Accept,
            GossipVerdict::Ignore => Verdict::Ignore,
            GossipVerdict::Worthless => Verdict::Worthless,
            GossipVerdict::Reject => Verdict::Reject,
        };
        self.network.judge(peer, bytes, verdict).await;
    }

    /// Does what the rules want done now.
    async fn step(&mut self) {
        let now = Instant::now();
        if now >= self.look {
            self.relay.keep_peers(&self.network.peers().into_iter().collect());
            self.look = now + PEERS_PAUSE;
        }
        for effect in self.relay.step(now - self.started) {
            match effect {
                RelayEffect::Announce(hashes) => {
                    self.announcer = self.announcer.wrapping_add(1);
                    if let Err(error) = self.network.publish(wire::announcement(self.announcer, &hashes)) {
                        // The mempool names what still waits again after some blocks.
                        tracing::warn!(%error, "transactions were not announced");
                    }
                }
                RelayEffect::Ask { peer, number, hashes } => self.asking.push(self.ask(peer, number, hashes)),
                RelayEffect::Blame { peer, silent } => {
                    let verdict = if silent { Verdict::Reject } else { Verdict::Worthless };
                    self.network.judge(peer, 1, verdict).await;
                }
            }
        }
    }

    fn ask(&self, peer: PeerId, number: u64, hashes: Vec<Digest>) -> BoxFuture<'static, Answer> {
        let (engine, network) = (self.engine.clone(), self.network.clone());
        Box::pin(async move {
            let asked: BTreeSet<Digest> = hashes.iter().copied().collect();
            let bodies = match network.want(peer, wire::want(&hashes)).await {
                Ok(envelope) => Some((engine.take_bodies(&asked, &envelope, &peer.to_string()).await, envelope.len())),
                Err(error) => {
                    tracing::debug!(%peer, %error, "a peer did not deliver what it announced");
                    None
                }
            };
            (peer, number, bodies)
        })
    }
}
