//! Fetching one block: ask the peers that have given blocks before, then the others, and trust none.
//!
//! A peer that does not answer within a moment is not waited for: the next one is asked beside it, and whoever has the
//! block first has won. So a stranger that only takes questions costs a moment and not the time that the transport
//! allows.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use libp2p::PeerId;
use openmesh_primitives::ContentId;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::{sleep, timeout};

use crate::blocks::Answer;
use crate::limits::{FETCH_TIMEOUT, RACE_DELAY, RACERS_MAX};
use crate::shared::{Command, ProviderScore, Shared};

/// Errors of fetching a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// There is nobody to ask.
    #[error("no peer is connected")]
    NoPeers,
    /// Everyone was asked, or as many as there was time for.
    #[error("none of {asked} peers returned the block ({wrong} sent other bytes, {failed} did not answer)")]
    NotFound {
        /// Peers asked.
        asked: usize,
        /// Peers whose bytes did not match the CID; they are shut out now.
        wrong: usize,
        /// Peers that were busy, went away or took too long.
        failed: usize,
    },
    /// The host has stopped.
    #[error("the host has stopped")]
    Stopped,
}

pub(crate) async fn fetch(
    shared: &Arc<Shared>,
    commands: &mpsc::Sender<Command>,
    cid: ContentId,
) -> Result<Vec<u8>, FetchError> {
    fetch_within(shared, commands, cid, FETCH_TIMEOUT).await
}

async fn fetch_within(
    shared: &Arc<Shared>,
    commands: &mpsc::Sender<Command>,
    cid: ContentId,
    limit: Duration,
) -> Result<Vec<u8>, FetchError> {
    // Before the clock starts: whoever holds the places is bounded by the transport's.
    let permit = permit(shared).await?;
    let peers = by_score(shared);
    if peers.is_empty() {
        return Err(FetchError::NoPeers);
    }
    let (left, running, racing) = (peers.into_iter().enumerate(), FuturesUnordered::new(), Vec::new());
    let mut race = Race { shared, commands, cid, left, running, racing, asked: 0, wrong: 0, failed: 0 };
    race.ask(permit).await?;
    match timeout(limit, race.run()).await {
        Ok(result) => result,
        Err(_) => Err(race.lost()),
    }
}

async fn permit(shared: &Shared) -> Result<OwnedSemaphorePermit, FetchError> {
    Arc::clone(&shared.asks).acquire_owned().await.map_err(|_| FetchError::Stopped)
}

/// A peer that was asked, and its place in the order.
type Racer = (usize, PeerId);

/// The questions for one block.
struct Race<'a> {
    shared: &'a Arc<Shared>,
    commands: &'a mpsc::Sender<Command>,
    cid: ContentId,
    left: std::iter::Enumerate<std::vec::IntoIter<PeerId>>,
    running: FuturesUnordered<BoxFuture<'static, (Racer, Option<Answer>)>>,
    /// Those that owe an answer.
    racing: Vec<Racer>,
    asked: usize,
    wrong: usize,
    failed: usize,
}

impl Race<'_> {
    async fn run(&mut self) -> Result<Vec<u8>, FetchError> {
        loop {
            let more = self.running.len() < RACERS_MAX && self.left.len() > 0;
            tokio::select! {
                finished = self.running.next() => {
                    let Some((racer, answer)) = finished else { return Err(self.lost()) };
                    if let Some(bytes) = self.judge(racer, answer).await? {
                        return Ok(bytes);
                    }
                    self.ask_next().await?;
                }
                () = sleep(RACE_DELAY), if more => self.ask_next().await?,
            }
        }
    }

    /// Asks the next peer, if there is one. Where others run already it does not wait for a place.
    async fn ask_next(&mut self) -> Result<(), FetchError> {
        if self.left.len() == 0 {
            return Ok(());
        }
        if self.running.is_empty() {
            let permit = permit(self.shared).await?;
            return self.ask(permit).await;
        }
        match Arc::clone(&self.shared.asks).try_acquire_owned() {
            Ok(permit) => self.ask(permit).await,
            Err(_) => Ok(()),
        }
    }

    async fn ask(&mut self, permit: OwnedSemaphorePermit) -> Result<(), FetchError> {
        let Some(racer) = self.left.next() else { return Ok(()) };
        let (reply, answer) = oneshot::channel();
        let command = Command::Ask { peer: racer.1, cid: self.cid, reply, permit };
        self.commands.send(command).await.map_err(|_| FetchError::Stopped)?;
        self.asked += 1;
        self.racing.push(racer);
        // No answer comes when the peer goes away or the transport's time is up.
        self.running.push(Box::pin(async move { (racer, answer.await.ok()) }));
        Ok(())
    }

    /// The block, if that is what the peer sent.
    async fn judge(&mut self, racer: Racer, answer: Option<Answer>) -> Result<Option<Vec<u8>>, FetchError> {
        let peer = racer.1;
        self.racing.retain(|other| *other != racer);
        match answer {
            Some(Answer::Block(bytes)) if self.cid.matches(&bytes) => {
                self.shared.metrics.blocks_fetched.inc();
                self.shared.metrics.block_bytes_fetched.inc_by(bytes.len() as u64);
                self.won(racer);
                return Ok(Some(bytes));
            }
            Some(Answer::Block(_)) => {
                self.wrong += 1;
                self.shared.metrics.blocks_refused.inc();
                tracing::warn!(%peer, cid = %self.cid, "a peer sent bytes that do not match the hash; it is shut out");
                self.commands.send(Command::Ban(peer)).await.map_err(|_| FetchError::Stopped)?;
            }
            Some(Answer::Missing) => {}
            // It is there and says so: no failure of the peer.
            Some(Answer::Busy) => self.failed += 1,
            None => {
                self.failed += 1;
                count_failure(self.shared, peer);
            }
        }
        Ok(None)
    }

    /// This peer gave the block; whoever was asked before it and still owes an answer was too slow.
    fn won(&self, (place, peer): Racer) {
        change(self.shared, peer, |score| *score = ProviderScore { gave: true, failures: 0 });
        let slow = self.racing.iter().filter(|(other, _)| *other < place);
        slow.for_each(|(_, peer)| count_failure(self.shared, *peer));
    }

    /// Nobody had the block, or those who still owe an answer took too long.
    fn lost(&self) -> FetchError {
        self.racing.iter().for_each(|(_, peer)| count_failure(self.shared, *peer));
        FetchError::NotFound { asked: self.asked, wrong: self.wrong, failed: self.failed + self.racing.len() }
    }
}

/// Those that gave blocks first, the reliable ones of them before the others, then strangers; among equals the order of
/// their ids, so that a run can be repeated.
fn by_score(shared: &Shared) -> Vec<PeerId> {
    let Ok(peers) = shared.peers.read() else { return Vec::new() };
    let mut order: Vec<(bool, u32, PeerId)> = peers.iter().map(|(peer, s)| (!s.gave, s.failures, *peer)).collect();
    order.sort();
    order.into_iter().map(|(.., peer)| peer).collect()
}

fn count_failure(shared: &Shared, peer: PeerId) {
    change(shared, peer, |score| score.failures = score.failures.saturating_add(1));
}

fn change(shared: &Shared, peer: PeerId, change: impl FnOnce(&mut ProviderScore)) {
    if let Ok(mut peers) = shared.peers.write()
        && let Some(score) = peers.get_mut(&peer)
    {
        change(score);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::RwLock;

    use tokio::sync::Semaphore;

    use super::*;
    use crate::metrics::Metrics;

    const BLOCK: &[u8] = b"block";

    struct World {
        shared: Arc<Shared>,
        commands: mpsc::Sender<Command>,
        asked: mpsc::Receiver<Command>,
        /// In the order of their ids.
        peers: Vec<PeerId>,
    }

    fn world(peers: usize) -> World {
        let mut peers: Vec<PeerId> = (0..peers).map(|_| PeerId::random()).collect();
        peers.sort();
        let scores = peers.iter().map(|peer| (*peer, ProviderScore::default())).collect();
        let shared = Arc::new(Shared {
            peer_id: PeerId::random(),
            listen: RwLock::default(),
            peers: RwLock::new(scores),
            asks: Arc::new(Semaphore::new(crate::limits::ASKS_MAX)),
            questions: Arc::new(Semaphore::new(0)),
            responder: Default::default(),
            greeter: Default::default(),
            short: Default::default(),
            wants: Arc::new(Semaphore::new(0)),
            want_responder: Default::default(),
            metrics: Metrics::default(),
        });
        let (commands, asked) = mpsc::channel(8);
        World { shared, commands, asked, peers }
    }

    impl World {
        fn fetch(&self) -> tokio::task::JoinHandle<Result<Vec<u8>, FetchError>> {
            let (shared, commands) = (Arc::clone(&self.shared), self.commands.clone());
            tokio::spawn(async move { fetch(&shared, &commands, ContentId::of(BLOCK)).await })
        }

        async fn question(&mut self) -> (PeerId, oneshot::Sender<Answer>) {
            match self.asked.recv().await {
                Some(Command::Ask { peer, reply, .. }) => (peer, reply),
                other => panic!("a question is expected: {other:?}"),
            }
        }

        fn score(&self, peer: usize) -> ProviderScore {
            self.shared.peers.read().unwrap()[&self.peers[peer]]
        }
    }

    #[tokio::test]
    async fn a_silent_peer_is_raced_and_comes_later_from_then_on() {
        let mut world = world(2);
        let fetched = world.fetch();
        let (silent, _open) = world.question().await;
        assert_eq!(silent, world.peers[0], "strangers in the order of their ids");
        // The first question is still open.
        let (other, reply) = world.question().await;
        assert_eq!(other, world.peers[1]);
        reply.send(Answer::Block(BLOCK.to_vec())).unwrap();
        assert_eq!(fetched.await.unwrap(), Ok(BLOCK.to_vec()));
        assert_eq!(world.score(0), ProviderScore { gave: false, failures: 1 });
        assert_eq!(world.score(1), ProviderScore { gave: true, failures: 0 });

        let fetched = world.fetch();
        let (first, reply) = world.question().await;
        assert_eq!(first, world.peers[1]);
        // Who is busy is there; the next one is asked.
        reply.send(Answer::Busy).unwrap();
        let (second, reply) = world.question().await;
        assert_eq!(second, world.peers[0]);
        reply.send(Answer::Missing).unwrap();
        assert_eq!(fetched.await.unwrap(), Err(FetchError::NotFound { asked: 2, wrong: 0, failed: 1 }));
        assert_eq!(world.score(1), ProviderScore { gave: true, failures: 0 });
    }

    #[tokio::test]
    async fn strangers_stand_behind_whoever_gave() {
        let mut world = world(3);
        let last = world.peers[2];
        change(&world.shared, last, |score| *score = ProviderScore { gave: true, failures: 2 });
        let _fetched = world.fetch();
        assert_eq!(world.question().await.0, last);
    }

    #[tokio::test]
    async fn a_fetch_ends_although_nobody_answers() {
        let mut world = world(1);
        let limit = Duration::from_millis(20);
        let lost = fetch_within(&world.shared, &world.commands, ContentId::of(BLOCK), limit).await;
        assert_eq!(lost, Err(FetchError::NotFound { asked: 1, wrong: 0, failed: 1 }));
        assert_eq!(world.score(0).failures, 1);
        // The question holds its place until the transport has done with it.
        let question = world.asked.recv().await.unwrap();
        assert_eq!(world.shared.asks.available_permits(), crate::limits::ASKS_MAX - 1);
        drop(question);
        assert_eq!(world.shared.asks.available_permits(), crate::limits::ASKS_MAX);
    }
}
