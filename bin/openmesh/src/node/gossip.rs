//! Joins consensus' mempool and the peer-to-peer host: envelopes go both ways, and neither knows the other.
//!
//! Of each peer one envelope is judged at a time, and peers take turns at the mempool: a flood waits for itself. How many
//! may wait is the host's matter, which counts an envelope until it is let go of here.

use std::collections::VecDeque;
use std::collections::hash_map::{Entry, HashMap};

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use openmesh_engine::GossipVerdict;
use openmesh_network::{Incoming, PeerId, Verdict};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Moves envelopes until the node stops.
pub fn join(
    engine: &openmesh_engine::Handle,
    network: &openmesh_network::Handle,
    stop: CancellationToken,
) -> JoinHandle<()> {
    let (outgoing, incoming) = (engine.gossip_out(), network.incoming());
    let (engine, network) = (engine.clone(), network.clone());
    tokio::spawn(async move {
        let (Some(mut outgoing), Some(mut incoming)) = (outgoing, incoming) else {
            tracing::error!("envelopes of transactions were taken by somebody else: nothing is gossiped");
            return;
        };
        let (mut turns, mut judging) = (Turns::default(), FuturesUnordered::new());
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some(envelope) = outgoing.recv() => {
                    if let Err(error) = network.publish(envelope) {
                        // The mempool spreads what still waits again after some blocks.
                        tracing::warn!(%error, "an envelope of transactions was not gossiped");
                    }
                }
                Some(envelope) = incoming.recv() => {
                    judging.extend(turns.come(envelope.from, envelope).map(|next| judge(&engine, &network, next)));
                }
                Some(peer) = judging.next() => {
                    judging.extend(turns.next(peer).map(|next| judge(&engine, &network, next)));
                }
                else => return,
            }
        }
    })
}

/// Lets the mempool judge an envelope; returns whose it was.
async fn judge(engine: &openmesh_engine::Handle, network: &openmesh_network::Handle, envelope: Incoming) -> PeerId {
    let verdict = match engine.gossip_in(envelope.bytes.clone(), envelope.from.to_string()).await {
        GossipVerdict::Accept => Verdict::Accept,
        GossipVerdict::Ignore => Verdict::Ignore,
        GossipVerdict::Worthless => Verdict::Worthless,
        GossipVerdict::Reject => Verdict::Reject,
    };
    network.report(&envelope, verdict).await;
    envelope.from
}

/// What waits of each peer of which one thing is being judged.
struct Turns<T>(HashMap<PeerId, VecDeque<T>>);

impl<T> Default for Turns<T> {
    fn default() -> Turns<T> {
        Turns(HashMap::new())
    }
}

impl<T> Turns<T> {
    /// Takes something in; returns it if it is its turn.
    fn come(&mut self, peer: PeerId, thing: T) -> Option<T> {
        match self.0.entry(peer) {
            Entry::Occupied(mut waiting) => {
                waiting.get_mut().push_back(thing);
                None
            }
            Entry::Vacant(nothing) => {
                nothing.insert(VecDeque::new());
                Some(thing)
            }
        }
    }

    /// What a peer's turn is next, when its last one is over.
    fn next(&mut self, peer: PeerId) -> Option<T> {
        let next = self.0.get_mut(&peer)?.pop_front();
        if next.is_none() {
            self.0.remove(&peer);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_waits_for_itself_only() {
        let (flood, quiet) = (PeerId::random(), PeerId::random());
        let mut turns = Turns::default();
        assert_eq!(turns.come(flood, 1), Some(1));
        for n in 2..50 {
            assert_eq!(turns.come(flood, n), None);
        }
        assert_eq!(turns.come(quiet, 100), Some(100));
        assert_eq!(turns.come(quiet, 101), None);
        assert_eq!((turns.next(flood), turns.next(quiet), turns.next(quiet)), (Some(2), Some(101), None));
        assert_eq!(turns.come(quiet, 102), Some(102), "it has its turn at once again");
        for n in 3..50 {
            assert_eq!(turns.next(flood), Some(n));
        }
        assert_eq!((turns.next(flood), turns.next(quiet)), (None, None));
        assert!(turns.0.is_empty());
    }
}
