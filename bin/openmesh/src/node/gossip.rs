//! Joins consensus' mempool and the peer-to-peer host: envelopes go both ways, and neither knows the other.

use openmesh_engine::GossipVerdict;
use openmesh_network::Verdict;
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
                    let verdict = match engine.gossip_in(envelope.bytes.clone(), envelope.from.to_string()).await {
                        GossipVerdict::Accept => Verdict::Accept,
                        GossipVerdict::Ignore => Verdict::Ignore,
                        GossipVerdict::Reject => Verdict::Reject,
                    };
                    network.report(&envelope, verdict).await;
                }
                else => return,
            }
        }
    })
}
