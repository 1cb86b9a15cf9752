//! Choosing the way into a network: blocks, or a snapshot.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use openmesh_primitives::Height;
use tokio::time::{Instant, sleep};

use crate::peers::Peers;
use crate::wire::{Offer, Question};

/// Blocks that a node may be behind and still catch up by blocks where peers hold them: a hundred blocks a second are executed, so
/// this is some minutes, as long as a snapshot may take.
const BEHIND_BLOCKS_MAX: u64 = 20_000;
/// Longest wait for a first answer of any peer. A network that begins has nobody to ask, and must not wait for ever.
const SURVEY_TIME: Duration = Duration::from_secs(10);
/// Time for others to answer after the first one did.
const OTHERS_TIME: Duration = Duration::from_millis(500);
/// Pause between two rounds of questions.
const ROUND_PAUSE: Duration = Duration::from_millis(100);

/// A way into the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Block after block: from the genesis, or from where this node is.
    Blocks,
    /// By a snapshot, and by blocks from there.
    Snapshot,
}

/// Asks the peers what they have and chooses the way of a node at this height. An archive takes blocks wherever there are any.
pub async fn survey(peers: &Peers, height: Height, archive: bool) -> Way {
    let begun = Instant::now();
    let mut first_answer = None;
    loop {
        let offers = offers(peers).await;
        if !offers.is_empty() {
            first_answer.get_or_insert_with(Instant::now);
        }
        let is_over = match first_answer {
            Some(first) => offers.len() == (peers.connected)().len() || first.elapsed() >= OTHERS_TIME,
            None => begun.elapsed() >= SURVEY_TIME,
        };
        if is_over && let Some(way) = choose(offers.values(), height, archive) {
            return way;
        }
        if is_over && begun.elapsed() >= SURVEY_TIME {
            return Way::Blocks;
        }
        sleep(ROUND_PAUSE).await;
    }
}

/// Offers of the connected peers, by name.
pub async fn offers(peers: &Peers) -> BTreeMap<String, Offer> {
    let ask = |peer: String| async move {
        let offer = peers.ask::<Offer>(&peer, Question::Offer).await.ok()?;
        Some((peer, offer))
    };
    join_all((peers.connected)().into_iter().map(ask)).await.into_iter().flatten().collect()
}

/// Returns true when no peer that answers holds the block after a height, although they are further: this node has to join anew.
pub async fn blocks_are_gone(peers: &Peers, height: Height) -> bool {
    let offers = offers(peers).await;
    !offers.is_empty() && offers.values().all(|offer| offer.tip > height && offer.oldest_block > height + 1)
}

fn choose<'a>(offers: impl Iterator<Item = &'a Offer> + Clone, height: Height, archive: bool) -> Option<Way> {
    let tip = offers.clone().map(|offer| offer.tip).max()?;
    if tip <= height {
        return Some(Way::Blocks);
    }
    let has_blocks = offers.clone().any(|offer| offer.tip > height && (1..=height + 1).contains(&offer.oldest_block));
    let has_snapshot = offers.clone().flat_map(|offer| &offer.snapshots).any(|snapshot| snapshot.height > height);
    match (has_blocks, has_snapshot) {
        (true, true) if archive || tip - height <= BEHIND_BLOCKS_MAX => Some(Way::Blocks),
        (true, false) => Some(Way::Blocks),
        (_, true) => Some(Way::Snapshot),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::SnapshotOffer;
    use openmesh_primitives::Digest;

    fn offer(tip: Height, oldest_block: Height, snapshot: Height) -> Offer {
        let snapshots =
            (snapshot > 0).then_some(SnapshotOffer { height: snapshot, state_root: Digest::ZERO, depth: 0 });
        Offer { tip, oldest_block, walk_from: 0, snapshots: snapshots.into_iter().collect() }
    }

    #[test]
    fn the_way_depends_on_what_peers_hold_and_how_far_it_is() {
        let way = |height, archive, offers: &[Offer]| choose(offers.iter(), height, archive);
        assert_eq!(way(0, false, &[]), None);
        assert_eq!(way(0, false, &[Offer::default(), Offer::default()]), Some(Way::Blocks), "a network that begins");
        assert_eq!(way(0, false, &[offer(900, 1, 800)]), Some(Way::Blocks), "not far");
        assert_eq!(way(0, false, &[offer(90_000, 1, 89_000)]), Some(Way::Snapshot), "far");
        assert_eq!(way(0, true, &[offer(90_000, 1, 89_000)]), Some(Way::Blocks), "an archive wants every block");
        assert_eq!(way(0, true, &[offer(90_000, 70_000, 89_000)]), Some(Way::Snapshot), "and takes what there is");
        assert_eq!(way(0, false, &[offer(900, 500, 800), Offer::default()]), Some(Way::Snapshot), "pruned");
        assert_eq!(way(600, false, &[offer(900, 500, 800)]), Some(Way::Blocks), "not below the oldest");
        assert_eq!(way(0, false, &[offer(900, 500, 0)]), None, "neither: wait for a snapshot");
    }
}
