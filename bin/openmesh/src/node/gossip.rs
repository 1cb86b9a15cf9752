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
use openmesh_primitives::{Digest, Timestamp};
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

/// The outcome of a question.
struct Answer {
    peer: PeerId,
    number: u64,
    asked: BTreeSet<Digest>,
    /// The envelope's content and length; `None` where there was none.
    bodies: Option<(Bodies, usize)>,
}

struct Spreading {
    engine: openmesh_engine::Handle,
    network: openmesh_network::Handle,
    relay: Relay<PeerId>,
    /// The number of the last announcement: two that name the same are two, also after a restart.
    number: u64,
    /// Origin of the relay's moments.
    started: Instant,
    /// The next look at who is connected.
    look: Instant,
    asking: FuturesUnordered<BoxFuture<'static, Answer>>,
}

impl Spreading {
    fn new(engine: openmesh_engine::Handle, network: openmesh_network::Handle) -> Spreading {
        let number = u64::try_from(Timestamp::now().nanos()).unwrap_or(0);
        let (started, asking) = (Instant::now(), FuturesUnordered::new());
        Spreading { engine, network, relay: Relay::default(), number, started, look: started, asking }
    }

    fn wake_at(&self) -> Instant {
        self.relay.wake_at().map_or(self.look, |after| (self.started + after).min(self.look))
    }

    async fn heard(&mut self, announcement: Incoming) {
        let Some((announcer, hashes)) = wire::announced(&announcement.bytes) else {
            tracing::debug!(from = %announcement.from, "not an announcement");
            return self.network.report(&announcement, Verdict::Reject).await;
        };
        self.network.report(&announcement, Verdict::Ignore).await;
        let from = announcement.from;
        if from.to_bytes() == announcer {
            return self.relay.announced(&from, self.engine.unknown(hashes), self.started.elapsed());
        }
        // Nobody honest repeats what another one says. What the announcer itself says in these bytes comes here no more.
        self.network.judge(from, announcement.bytes.len(), Verdict::Reject).await;
        if let Some(announcer) = self.network.peers().into_iter().find(|peer| peer.to_bytes() == announcer) {
            self.relay.repeated(&announcer, self.engine.unknown(hashes));
        }
    }

    async fn answered(&mut self, answer: Answer) {
        let Answer { peer, number, asked, bodies } = answer;
        let Some((Bodies { verdict, got, admitted }, bytes)) = bodies else {
            self.arrived(asked.into_iter().collect());
            return self.relay.answered(&peer, number, &BTreeSet::new());
        };
        self.relay.fresh(admitted, self.started.elapsed());
        self.arrived(asked.difference(&got).copied().collect());
        // Of an envelope with what no honest peer sends the rest is asked of others, as if nothing had come.
        let got = if verdict == GossipVerdict::Reject { BTreeSet::new() } else { got };
        self.relay.answered(&peer, number, &got);
        let verdict = match verdict {
            GossipVerdict::Accept => Verdict::Accept,
            GossipVerdict::Ignore => Verdict::Ignore,
            GossipVerdict::Worthless => Verdict::Worthless,
            GossipVerdict::Reject => Verdict::Reject,
        };
        self.network.judge(peer, bytes, verdict).await;
    }

    /// Tells the rules which of these came from elsewhere or in a block meanwhile.
    fn arrived(&mut self, hashes: Vec<Digest>) {
        let unknown: BTreeSet<Digest> = self.engine.unknown(hashes.clone()).into_iter().collect();
        self.relay.here(hashes.into_iter().filter(|hash| !unknown.contains(hash)));
    }

    /// Does what the rules want done now.
    async fn step(&mut self) {
        let now = Instant::now();
        if now >= self.look {
            self.relay.keep_peers(&self.network.peers().into_iter().collect());
            self.look = now + PEERS_PAUSE;
        }
        let moment = now - self.started;
        self.arrived(self.relay.overdue(moment));
        for effect in self.relay.step(moment) {
            match effect {
                RelayEffect::Announce(hashes) => {
                    self.number = self.number.wrapping_add(1);
                    let announcer = self.network.peer_id().to_bytes();
                    if let Err(error) = self.network.publish(wire::announcement(&announcer, self.number, &hashes)) {
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
            Answer { peer, number, asked, bodies }
        })
    }
}
