//! Joins consensus' mempool and the peer-to-peer host: envelopes go both ways, and neither knows the other.
//!
//! Of each peer one envelope is judged at a time, and peers take turns at the mempool.

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use openmesh_engine::GossipVerdict;
use openmesh_network::{Incoming, PeerId, Turns, Verdict};
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
                    judging.extend(turns.arrived(envelope.from, envelope).map(|next| judge(&engine, &network, next)));
                }
                Some(peer) = judging.next() => {
                    judging.extend(turns.finished(peer).map(|next| judge(&engine, &network, next)));
                }
                else => return,
            }
        }
    })
}

/// Lets the mempool judge an envelope; returns the peer that delivered it.
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
