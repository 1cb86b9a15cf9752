//! Choosing the way into a network: blocks, or a snapshot.
//!
//! What a peer says counts only where it is shown: a snapshot by the walk to its certified header, the next block by that block and its
//! certificate. Blocks lose nothing, so a node that has a store takes them wherever a peer has them; a snapshot is chosen late, when others
//! had their time to be heard, and never on the word of whoever connected first.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use openmesh_ledger::light::{self, ValidatorChange};
use openmesh_ledger::{Genesis, ValidatorSet};
use openmesh_primitives::{Height, Timestamp, report};
use tokio::time::{Instant, sleep, timeout};

use crate::error::{Fault, Lie, Refusal};
use crate::newer::too_old;
use crate::peers::Peers;
use crate::walk::{Guide, Trust, check_parts};
use crate::wire::{Anchor, Offer, Question, SnapshotOffer};

/// Blocks that a new node may be behind and still take all of them where peers hold them: a hundred blocks a second are executed, so
/// this is some minutes, as long as a snapshot may take.
const BEHIND_BLOCKS_MAX: u64 = 20_000;
/// Longest survey. A network that begins has nobody to ask, and must not wait for ever; a configured peer is dialled some times
/// within it.
const SURVEY_TIME: Duration = Duration::from_secs(10);
/// Time for the other configured peers to be heard after the first one was, where nobody claims to be further than this node.
const OTHERS_TIME: Duration = Duration::from_secs(1);
/// Shortest time before a new node takes a snapshot, in which whoever has the blocks can be heard.
const SNAPSHOT_TIME_MIN: Duration = Duration::from_secs(2);
/// Pause between two rounds of questions.
const ROUND_PAUSE: Duration = Duration::from_millis(100);
/// Peers that are asked in one round, at random: some honest one is among them, and their answers have room.
const PEERS_ASKED_MAX: usize = 8;
/// Longest wait for an offer, of which an answer has less than a kilobyte.
const OFFER_TIME: Duration = Duration::from_secs(3);
/// Longest proof of one peer in a survey: a walk from the genesis through some megabytes of changes.
const PROOF_TIME: Duration = Duration::from_secs(30);

/// A way into the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Block after block: from the genesis, or from where this node is.
    Blocks,
    /// By a snapshot, and by blocks from there.
    Snapshot,
}

/// The state of the node that looks for its way.
#[derive(Clone, Debug)]
pub struct Own {
    /// Its last block; 0 for a node that has nothing.
    pub height: Height,
    /// The validators that decide the next one.
    pub validators: ValidatorSet,
    /// It wants every block.
    pub archive: bool,
    /// The network.
    pub genesis: Genesis,
    /// Starting point of the light client.
    pub trust: Trust,
    /// Number of peers that are configured.
    pub peers: usize,
    /// The clock.
    pub now: fn() -> Timestamp,
}

/// Offers of peers, and lies in them.
pub(crate) struct Heard {
    pub offers: BTreeMap<String, Offer>,
    pub lies: Vec<(String, Lie)>,
}

/// Asks some connected peers, but for those that are left out, what they have.
pub(crate) async fn offers(peers: &Peers, left_out: &BTreeSet<String>) -> Heard {
    let ask = |peer: String| async move {
        let offer = timeout(OFFER_TIME, peers.ask::<Offer>(&peer, Question::Offer)).await;
        let offer = offer.unwrap_or(Err(Fault::Refused(Refusal::Silent)));
        (peer, offer.and_then(|offer| offer.check().map(|()| offer).map_err(Fault::from)))
    };
    let mut heard = Heard { offers: BTreeMap::new(), lies: Vec::new() };
    for (peer, offer) in join_all(peers.shuffled(left_out).into_iter().take(PEERS_ASKED_MAX).map(ask)).await {
        match offer {
            Ok(offer) => _ = heard.offers.insert(peer, offer),
            Err(Fault::Lie(lie)) => heard.lies.push((peer, *lie)),
            Err(_) => {}
        }
    }
    heard
}

/// Asks the peers what they have, has it proved, and chooses the way of a node. A snapshot is chosen only where one is proved.
pub async fn survey(peers: &Peers, own: &Own) -> Way {
    let begun = Instant::now();
    let mut first_answer = None;
    let mut look = Look::default();
    loop {
        look.round(peers, own).await;
        if !look.heard.is_empty() {
            first_answer.get_or_insert_with(Instant::now);
        }
        let shown = look.shown(own, begun.elapsed(), first_answer.map(|first| first.elapsed()));
        if let Some(way) = choose(&shown, own.height, own.archive) {
            return way;
        }
        sleep(ROUND_PAUSE).await;
    }
}

/// Returns true where a snapshot above a node's height is proved and no peer shows the next block, although it was asked for: the
/// node has to join anew. Of a node that makes progress nobody asks this.
pub async fn blocks_are_gone(peers: &Peers, own: &Own) -> bool {
    let mut look = Look::default();
    look.round(peers, own).await;
    !look.has_next && look.snapshot.is_some()
}

/// Answers and proofs of the peers so far.
#[derive(Default)]
struct Look {
    /// The last offer of each peer that answered.
    heard: BTreeMap<String, Offer>,
    /// Peers that lied.
    liars: BTreeSet<String>,
    /// A peer has shown a header that is newer than this program, and that was said.
    newer: bool,
    /// A peer has proved that it has the next block.
    has_next: bool,
    /// Height of the newest snapshot of which a peer has proved the header.
    snapshot: Option<Height>,
}

impl Look {
    /// Asks some peers for their offers, and has those proved that matter.
    async fn round(&mut self, peers: &Peers, own: &Own) {
        let Heard { offers, lies } = offers(peers, &self.liars).await;
        lies.into_iter().for_each(|(peer, lie)| self.bar(peers, peer, &lie));
        if !self.has_next {
            let holds = |offer: &Offer| {
                offer.tip > own.height && offer.oldest_block > 0 && offer.oldest_block - 1 <= own.height
            };
            let proofs = offers.iter().filter(|(_, offer)| holds(offer)).map(|(peer, offer)| async move {
                (peer.clone(), within(next_block(peers, peer, own, offer.tip)).await)
            });
            self.has_next = self.first(peers, proofs.collect()).await.is_some();
        }
        // A node with blocks to lose does not look further where it finds the next one.
        if self.snapshot.is_none() && !(self.has_next && (own.height > 0 || own.archive)) {
            let newest = |offer: &Offer| offer.snapshots.iter().copied().max_by_key(|snapshot| snapshot.height);
            let found = offers.iter().filter_map(|(peer, offer)| Some((peer, newest(offer)?)));
            let proofs =
                found.filter(|(_, snapshot)| snapshot.height > own.height).map(|(peer, snapshot)| async move {
                    (peer.clone(), within(header(peers, peer, own, snapshot)).await)
                });
            self.snapshot = self.first(peers, proofs.collect()).await;
        }
        self.heard.extend(offers);
    }

    /// The first proof that holds; whoever gave one before it that does not is named.
    async fn first<T>(
        &mut self,
        peers: &Peers,
        mut proofs: FuturesUnordered<impl Future<Output = (String, Result<T, Fault>)>>,
    ) -> Option<T> {
        while let Some((peer, proof)) = proofs.next().await {
            match proof {
                Ok(proved) => return Some(proved),
                Err(Fault::Lie(lie)) => self.bar(peers, peer, &lie),
                Err(Fault::Newer(version)) => {
                    if !std::mem::replace(&mut self.newer, true) {
                        tracing::warn!(peer, "{}", too_old(version));
                    }
                }
                Err(fault) => tracing::debug!(peer, ?fault, "a peer does not show what it offers"),
            }
        }
        None
    }

    fn bar(&mut self, peers: &Peers, peer: String, lie: &Lie) {
        tracing::warn!(peer, how = report(lie), "a peer offers what it cannot show; it is not asked again");
        (peers.shut_out)(&peer);
        self.heard.remove(&peer);
        self.liars.insert(peer);
    }

    fn shown(&self, own: &Own, waited: Duration, since_first: Option<Duration>) -> Shown {
        Shown {
            all_heard: self.heard.len() >= own.peers,
            claimed: self.heard.values().map(|offer| offer.tip).max().unwrap_or(0),
            has_next: self.has_next,
            snapshot: self.snapshot,
            waited,
            since_first,
        }
    }
}

async fn within<T>(proof: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    timeout(PROOF_TIME, proof).await.unwrap_or(Err(Fault::Refused(Refusal::Silent)))
}

/// Proves that a peer has the block after a node's last one. Of its last block a peer has no anchor, only the step.
async fn next_block(peers: &Peers, peer: &str, own: &Own, tip: Height) -> Result<(), Fault> {
    let (height, chain_id) = (own.height.saturating_add(1), own.genesis.chain_id);
    if tip == height {
        let step: ValidatorChange = peers.ask_of_chain(peer, Question::Step { height }, chain_id).await?;
        return match step.header.height == height {
            true => Ok(light::verify(chain_id, &own.validators, &step.header, &step.certificate)?),
            false => Err(Lie::Parts("its step is of another height").into()),
        };
    }
    let anchor: Anchor = peers.ask_of_chain(peer, Question::Anchor { height }, chain_id).await?;
    check_parts(&SnapshotOffer { height, state_root: anchor.next_header.state_root, depth: 0 }, &anchor)?;
    Ok(light::verify(chain_id, &own.validators, &anchor.block.header, &anchor.certificate)?)
}

/// Proves the header of a peer's snapshot; returns its height.
async fn header(peers: &Peers, peer: &str, own: &Own, snapshot: SnapshotOffer) -> Result<Height, Fault> {
    let guide = Guide { peers, peer, genesis: &own.genesis, now: (own.now)() };
    guide.walk(&own.trust, &snapshot).await.map(|_| snapshot.height)
}

/// Grounds for choosing a way.
#[derive(Clone, Copy, Debug)]
struct Shown {
    /// As many peers have answered as are configured.
    all_heard: bool,
    /// Last block of the peer that says, unproved, to be furthest.
    claimed: Height,
    /// The next block is proved to be held.
    has_next: bool,
    /// Height of a proved snapshot above this node's.
    snapshot: Option<Height>,
    /// Time since the survey began.
    waited: Duration,
    /// Time since the first answer.
    since_first: Option<Duration>,
}

/// Chooses the way of a node at this height; `None` to go on asking.
fn choose(shown: &Shown, height: Height, archive: bool) -> Option<Way> {
    let Shown { all_heard, claimed, has_next, snapshot, waited, since_first } = *shown;
    let has_blocks_to_lose = height > 0;
    let is_near = |tip: Height| tip.saturating_sub(height) <= BEHIND_BLOCKS_MAX;
    if has_next && (has_blocks_to_lose || archive || is_near(claimed)) {
        return Some(Way::Blocks);
    }
    let is_over = waited >= SURVEY_TIME;
    if claimed <= height && (is_over || all_heard || since_first.is_some_and(|time| time >= OTHERS_TIME)) {
        return Some(Way::Blocks);
    }
    let may_be_soon = !has_blocks_to_lose && !archive && all_heard && waited >= SNAPSHOT_TIME_MIN;
    match snapshot {
        _ if has_next && snapshot.is_none_or(is_near) => {
            // Nothing is lost by blocks, but a far snapshot may still be proved.
            (snapshot.is_some() || may_be_soon || is_over).then_some(Way::Blocks)
        }
        Some(_) => (may_be_soon || is_over).then_some(Way::Snapshot),
        // Claims without a proof are none.
        None => is_over.then_some(Way::Blocks),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A claim to be further, of all peers, with nothing proved, at a time in milliseconds.
    fn at(waited_ms: u64) -> Shown {
        let waited = Duration::from_millis(waited_ms);
        Shown {
            all_heard: true,
            claimed: 1_000_000_000,
            has_next: false,
            snapshot: None,
            waited,
            since_first: Some(waited),
        }
    }

    #[test]
    fn the_way_is_chosen_by_what_is_proved() {
        let blocks = |shown: Shown| Shown { has_next: true, ..shown };
        let snapshot = |height, shown: Shown| Shown { snapshot: Some(height), ..shown };
        let few = |shown: Shown| Shown { all_heard: false, ..shown };
        let none = |shown: Shown| Shown { claimed: 0, ..shown };
        let nobody = Shown { since_first: None, ..few(none(at(9_000))) };
        let (b, s) = (Some(Way::Blocks), Some(Way::Snapshot));
        let cases: [(&str, Shown, Height, bool, Option<Way>); 22] = [
            ("nobody answers yet", nobody, 0, false, None),
            ("nobody ever answers", Shown { waited: SURVEY_TIME, ..nobody }, 0, false, b),
            ("a network that begins", none(at(0)), 0, false, b),
            ("a network that begins, one of many heard", few(none(at(500))), 0, false, None),
            ("the same, the others are not there", few(none(at(1_000))), 0, false, b),
            ("a claim alone is waited for", at(9_000), 0, false, None),
            ("and is none in the end, new", at(10_000), 0, false, b),
            ("and is none in the end, with a store", at(10_000), 7, false, b),
            ("new, near", blocks(snapshot(900, at(0))), 0, false, b),
            ("new, nobody claims to be far", few(blocks(Shown { claimed: 900, ..at(0) })), 0, false, b),
            ("new, far", blocks(snapshot(90_000, at(2_000))), 0, false, s),
            ("new, far, too early", blocks(snapshot(90_000, at(1_900))), 0, false, None),
            ("new, far, one of many heard", few(snapshot(90_000, at(9_000))), 0, false, None),
            ("new, far, the others never come", few(snapshot(90_000, at(10_000))), 0, false, s),
            ("new, blocks, no snapshot", blocks(at(2_000)), 0, false, b),
            ("new, pruned", snapshot(900, at(2_000)), 0, false, s),
            ("a new archive, far", blocks(snapshot(90_000, at(0))), 0, true, b),
            ("a new archive takes what there is, late", snapshot(90_000, at(9_000)), 0, true, None),
            ("a week behind, blocks are held", blocks(snapshot(600_000, at(0))), 7, false, b),
            ("a week behind, blocks held by the first to answer", few(blocks(at(0))), 7, false, b),
            ("behind, blocks are gone, but others may come", snapshot(600_000, at(9_000)), 7, false, None),
            ("behind, blocks are gone", snapshot(600_000, at(10_000)), 7, false, s),
        ];
        for (name, shown, height, archive, wanted) in cases {
            assert_eq!(choose(&shown, height, archive), wanted, "{name}");
        }
    }
}
