//! The clocks of a running node's peers beside its own.

use std::time::Duration;

use futures::future::join_all;
use openmesh_primitives::Timestamp;
use tokio::time::timeout;

use crate::hello::clock_offset_ms;
use crate::peers::Peers;
use crate::wire::Question;

/// Longest way of a question and its answer that still says something about a clock: an offset is wrong by up to half of it.
const ROUND_TRIP: Duration = Duration::from_secs(1);
/// Peers asked at once: five of them may lie, and the middle is still an honest clock's.
const PEERS_ASKED_MAX: usize = 11;

/// The times by which the clocks of connected peers are ahead of this node's, milliseconds. Who is slow or silent is left out.
pub async fn clocks(peers: &Peers) -> Vec<i64> {
    let ask = |peer: String| async move {
        let asked = Timestamp::now();
        let theirs = timeout(ROUND_TRIP, peers.ask::<i64>(&peer, Question::Clock)).await.ok()?.ok()?;
        Some(clock_offset_ms(asked, Timestamp::now(), theirs))
    };
    let names = peers.shuffled(&Default::default());
    join_all(names.into_iter().take(PEERS_ASKED_MAX).map(ask)).await.into_iter().flatten().collect()
}
