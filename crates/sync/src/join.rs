//! A join by snapshot: choose one, walk to its header, fetch its chunks from all peers that have it, build the store.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use openmesh_ledger::Genesis;
use openmesh_primitives::{Digest, Height, Timestamp, canonical, report};
use openmesh_storage::{ChunkError, Restore, RestoreError, SnapshotTarget, Store, StoreConfig, check_chunk};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::error::{Fault, JoinError, Lie, Refusal};
use crate::metrics::Metrics;
use crate::newer::too_old;
use crate::parts::{Wanted, in_parts};
use crate::peers::{Peers, shuffle};
use crate::progress::{Progress, Step};
use crate::survey::{Heard, offers};
use crate::walk::{Guide, Trust, TrustedBlock};
use crate::wire::{Question, SnapshotOffer};

/// Open questions for chunks to one peer: while one is on the way, the next is read there. As many as it answers at once.
const QUESTIONS_EACH: usize = 2;
/// Open questions for chunks to all peers: with chunks of 4 MiB, 32 MiB.
const QUESTIONS_ALL: usize = 8;
/// Pause before anything is tried again that came to nothing.
const PAUSE: Duration = Duration::from_millis(250);
/// Failures of a peer in a row after which the rest of a snapshot is not asked of it.
const FAILURES_MAX: u32 = 4;
/// Time without any chunk after which another snapshot is looked for: some time-outs of the host, each with fewer questions.
const IDLE_TIME: Duration = Duration::from_secs(60);
/// Longest walk to a snapshot's header by one peer: a hundred megabytes of changes at a megabyte a second. The next peer has its turn then.
pub(crate) const WALK_TIME: Duration = Duration::from_secs(120);
/// Time without any chunk after which a node that has a store goes on with that: two attempts.
pub const FALLBACK_TIME: Duration = Duration::from_secs(120);
/// Peers with the same other block at the trusted height, and none with the trusted one, after which the setting is what is wrong.
const OTHER_TRUSTED_PEERS: usize = 2;

/// Settings of a join.
#[derive(Clone, Debug)]
pub struct JoinConfig {
    /// Directory of the store.
    pub dir: PathBuf,
    /// Its settings.
    pub store: StoreConfig,
    /// The network.
    pub genesis: Genesis,
    /// Height of the store that is there already; snapshots at or below it are of no use.
    pub height: Height,
    /// Starting point of the light client.
    pub trust: Trust,
    /// Time without any chunk after which the join is given up; `None` for a node that has no store to go on with.
    pub fallback: Option<Duration>,
}

/// Connections of a join to the rest of the node.
#[derive(Clone)]
pub struct Deps {
    /// The peers.
    pub peers: Peers,
    /// Channel for its progress.
    pub progress: watch::Sender<Progress>,
    /// Counters.
    pub metrics: Metrics,
    /// The clock.
    pub now: fn() -> Timestamp,
}

/// Joins by snapshot and returns the store, whose tip is the snapshot's height; blocks from there are consensus' business. A store
/// in the directory is replaced, and must be closed. Goes on until it has one: peers that lie are named and left out, and what
/// is begun goes on after a restart.
///
/// # Errors
/// Where this node's disk fails, the trusted block is older than the trust period or not of this chain, and with
/// [`JoinError::NoSnapshot`] where nobody gives a chunk for the time after which it is to be given up.
pub async fn join(config: JoinConfig, deps: Deps) -> Result<Store, JoinError> {
    let kept = Restore::begun(&config.dir);
    let mut join = Join {
        config,
        deps,
        barred: BTreeSet::new(),
        passed_over: BTreeSet::new(),
        others: BTreeMap::new(),
        kept,
        moved: Instant::now(),
    };
    loop {
        if join.config.fallback.is_some_and(|time| join.moved.elapsed() >= time) {
            return Err(JoinError::NoSnapshot(join.config.height));
        }
        join.deps.progress.send_modify(|progress| progress.step = Step::Asking);
        let Some((peer, offer)) = join.choose().await else {
            join.judge_trust()?;
            // Whoever was passed over may have an answer by now.
            join.passed_over.clear();
            sleep(PAUSE).await;
            continue;
        };
        let restore = match join.target(&peer, &offer).await {
            Ok(restore) => restore,
            Err(fault) => {
                join.blame(&peer, fault)?;
                continue;
            }
        };
        if let Some(restore) = join.fetch(&peer, restore).await? {
            join.deps.progress.send_modify(|progress| progress.step = Step::Building);
            return tokio::task::spawn_blocking(move || restore.finish())
                .await
                .map_err(|_| JoinError::Worker)?
                .map_err(Into::into);
        }
    }
}

struct Join {
    config: JoinConfig,
    deps: Deps,
    /// Peers that have lied.
    barred: BTreeSet<String>,
    /// Peers whose offer came to nothing in this round.
    passed_over: BTreeSet<String>,
    /// Hashes of peers' blocks at the trusted height, where they are not the trusted one.
    others: BTreeMap<String, Digest>,
    /// Root and depth of the state whose chunks are here already.
    kept: Option<(Digest, u8)>,
    /// Moment of the last chunk, or of the beginning.
    moved: Instant,
}

impl Join {
    /// The snapshot of which chunks are here already where anybody offers it, else the newest that most peers offer; and one of them
    /// at random to show the way.
    async fn choose(&mut self) -> Option<(String, SnapshotOffer)> {
        let mut found: BTreeMap<SnapshotOffer, Vec<String>> = BTreeMap::new();
        let left_out = self.barred.union(&self.passed_over).cloned().collect();
        let Heard { offers, lies } = offers(&self.deps.peers, &left_out).await;
        lies.into_iter().for_each(|(peer, lie)| self.bar(&peer, &lie));
        for (peer, offer) in offers {
            for snapshot in offer.snapshots.into_iter().filter(|snapshot| snapshot.height > self.config.height) {
                found.entry(snapshot).or_default().push(peer.clone());
            }
        }
        let is_kept = |offer: &SnapshotOffer| self.kept == Some((offer.state_root, offer.depth));
        let (offer, mut peers) =
            found.into_iter().max_by_key(|(offer, peers)| (is_kept(offer), peers.len(), offer.height))?;
        shuffle(&mut peers);
        Some((peers.into_iter().next()?, offer))
    }

    /// Walks to a snapshot and begins its restore.
    async fn target(&mut self, peer: &str, offer: &SnapshotOffer) -> Result<Restore, Fault> {
        let SnapshotOffer { height, state_root, depth } = *offer;
        self.deps.progress.send_modify(|progress| (progress.step, progress.height) = (Step::Walking, height));
        let now = (self.deps.now)();
        let guide = Guide { peers: &self.deps.peers, peer, genesis: &self.config.genesis, now };
        let walked = timeout(WALK_TIME, guide.walk(&self.config.trust, offer)).await;
        let (walk, anchor) = walked.unwrap_or(Err(Fault::Refused(Refusal::Silent)))?;
        self.note(None);
        tracing::info!(
            height, %state_root, depth, peer, changes = walk.changes.len(), from = walk.from,
            "joining by a snapshot whose header is certified"
        );
        let target = SnapshotTarget {
            genesis: self.config.genesis.clone(),
            block: anchor.block,
            certificate: anchor.certificate,
            state_root,
            depth,
            walk_from: walk.from,
            first_validators: walk.first,
            changes: walk.changes,
        };
        let (dir, store) = (self.config.dir.clone(), self.config.store);
        let begun = tokio::task::spawn_blocking(move || Restore::begin_over(&dir, store, target)).await;
        match begun.map_err(|_| JoinError::Worker)? {
            Ok(restore) => {
                self.kept = Some((state_root, depth));
                Ok(restore)
            }
            Err(RestoreError::Target(what)) => Err(Lie::Parts(what).into()),
            Err(error) => Err(JoinError::from(error).into()),
        }
    }

    /// Notes what became of an attempt with a peer.
    fn blame(&mut self, peer: &str, fault: Fault) -> Result<(), JoinError> {
        match fault {
            Fault::Fatal(error) => return Err(error),
            Fault::Lie(lie) => self.bar(peer, &lie),
            Fault::Refused(refusal) => {
                tracing::debug!(peer, ?refusal, "a peer does not show the way to its snapshot");
                self.passed_over.insert(peer.to_owned());
            }
            Fault::Newer(version) => {
                self.note(Some(too_old(version)));
                self.passed_over.insert(peer.to_owned());
            }
            Fault::TooNew { trusted, snapshot } => {
                self.note(Some(format!(
                    "sync.trust names height {trusted}, which is not below the snapshot of height {snapshot}: waiting for a later one"
                )));
                self.passed_over.insert(peer.to_owned());
            }
            Fault::OtherTrusted { height, got, certified } => {
                self.note(Some(format!("{peer} has another block at height {height} than sync.trust says: {got}")));
                self.others.insert(peer.to_owned(), got);
                self.passed_over.insert(peer.to_owned());
                if certified {
                    return Err(self.other_trusted(got));
                }
            }
        }
        Ok(())
    }

    /// Ends where everybody had a turn, nobody has the trusted block, and some agree on another.
    fn judge_trust(&mut self) -> Result<(), JoinError> {
        let others = std::mem::take(&mut self.others);
        let agree = |hash: &Digest| others.values().filter(|other| *other == hash).count();
        match others.values().find(|hash| agree(hash) >= OTHER_TRUSTED_PEERS) {
            Some(got) => Err(self.other_trusted(*got)),
            None => Ok(()),
        }
    }

    fn other_trusted(&self, got: Digest) -> JoinError {
        let (height, expected) =
            self.config.trust.block.map_or((0, Digest::ZERO), |TrustedBlock { height, hash }| (height, hash));
        JoinError::OtherTrusted { height, expected, got }
    }

    /// Says what the join waits for, in the log once.
    fn note(&self, note: Option<String>) {
        self.deps.progress.send_if_modified(|progress| {
            let is_new = progress.note != note;
            if let Some(text) = note.as_ref().filter(|_| is_new) {
                tracing::warn!("joining: {text}");
            }
            progress.note = note;
            is_new
        });
    }

    /// Names a liar, and leaves it out from now on.
    fn bar(&mut self, peer: &str, lie: &Lie) {
        let how = report(lie);
        tracing::warn!(peer, how, "a peer lied while this node joins; it is not asked again");
        self.deps.metrics.lies.inc();
        (self.deps.peers.shut_out)(peer);
        if self.barred.insert(peer.to_owned()) {
            self.deps.progress.send_modify(|progress| progress.liars.push((peer.to_owned(), how)));
        }
    }

    /// Fetches the chunks that are missing; `None` where nobody has them any more, or the offer was a lie.
    async fn fetch(&mut self, guide: &str, restore: Restore) -> Result<Option<Restore>, JoinError> {
        let mut missing: Vec<u32> = restore.missing().collect();
        missing.reverse();
        let mut fetch = Fetch::new(&self.deps, restore, missing);
        fetch.report();
        let mut idle_since = Instant::now();
        while !fetch.is_done() {
            if idle_since.elapsed() > IDLE_TIME {
                self.passed_over.insert(guide.to_owned());
                self.kept = None;
                fetch.abandon();
                return Ok(None);
            }
            fetch.ask_more(&self.deps, &self.barred);
            let Some(answered) = fetch.running.next().await else {
                sleep(PAUSE).await;
                fetch.failures.clear();
                continue;
            };
            let Answered { peer, index, outcome } = answered;
            fetch.open.entry(peer.clone()).and_modify(|open| *open = open.saturating_sub(1));
            match outcome {
                Ok(()) => {
                    idle_since = Instant::now();
                    self.moved = idle_since;
                    fetch.width = QUESTIONS_ALL.min(fetch.width + 1);
                    self.deps.metrics.chunks_fetched.inc();
                    fetch.arrived(&peer);
                }
                Err(fault) => {
                    fetch.missing.push(index);
                    match fault {
                        Fault::Fatal(error) => return Err(error),
                        Fault::Lie(lie) => self.bar(&peer, &lie),
                        // No chunk says anything about the trusted block, or has a header.
                        Fault::OtherTrusted { .. } | Fault::TooNew { .. } | Fault::Newer(_) => {}
                        Fault::Refused(refusal) => {
                            if refusal == Refusal::Silent {
                                // The line is full: fewer at once have more of it each.
                                fetch.width = (fetch.width / 2).max(1);
                            }
                            *fetch.failures.entry(peer).or_default() += 1;
                        }
                    }
                }
            }
        }
        Ok(Some(fetch.into_restore()?))
    }
}

/// An answer for a chunk, which is kept where it is right.
struct Answered {
    peer: String,
    index: u32,
    outcome: Result<(), Fault>,
}

/// The chunks of a snapshot on their way.
struct Fetch {
    target: Arc<Wanted>,
    restore: Shared,
    chunks: u32,
    progress: watch::Sender<Progress>,
    metrics: Metrics,
    /// The next is the last one.
    missing: Vec<u32>,
    running: FuturesUnordered<BoxFuture<'static, Answered>>,
    /// Open questions that there may be: fewer after time-outs, one more with each chunk.
    width: usize,
    /// Open questions of each peer.
    open: BTreeMap<String, usize>,
    /// Failures of each peer in a row.
    failures: BTreeMap<String, u32>,
}

/// A restore, until the fetch of its chunks is abandoned.
type Shared = Arc<Mutex<Option<Restore>>>;

impl Fetch {
    fn new(deps: &Deps, restore: Restore, missing: Vec<u32>) -> Fetch {
        let target = restore.target();
        let (height, state_root, depth) = (target.block.header.height, target.state_root, target.depth);
        Fetch {
            target: Arc::new(Wanted { height, state_root, depth }),
            chunks: restore.chunks(),
            restore: Arc::new(Mutex::new(Some(restore))),
            progress: deps.progress.clone(),
            metrics: deps.metrics.clone(),
            missing,
            running: FuturesUnordered::new(),
            width: QUESTIONS_ALL,
            open: BTreeMap::new(),
            failures: BTreeMap::new(),
        }
    }

    fn is_done(&self) -> bool {
        self.missing.is_empty() && self.running.is_empty()
    }

    /// Asks for as many chunks as there may be on the way, each of the peer with the fewest open questions.
    fn ask_more(&mut self, deps: &Deps, barred: &BTreeSet<String>) {
        let peers = (deps.peers.connected)();
        while self.running.len() < self.width && !self.missing.is_empty() {
            let open = |peer: &String| self.open.get(peer).copied().unwrap_or(0);
            let free = peers.iter().filter(|peer| {
                let failures = self.failures.get(*peer).copied().unwrap_or(0);
                !barred.contains(*peer) && open(peer) < QUESTIONS_EACH && failures < FAILURES_MAX
            });
            let Some(peer) = free.min_by_key(|peer| open(peer)).cloned() else { return };
            let Some(index) = self.missing.pop() else { return };
            *self.open.entry(peer.clone()).or_default() += 1;
            self.running.push(Box::pin(ask(
                deps.peers.clone(),
                Arc::clone(&self.target),
                Arc::clone(&self.restore),
                peer,
                index,
            )));
        }
    }

    /// Counts a chunk.
    fn arrived(&mut self, peer: &str) {
        self.failures.remove(peer);
        self.report();
    }

    fn report(&self) {
        let missing = self.missing.len() + self.running.len();
        let chunks = self.chunks - u32::try_from(missing).unwrap_or(self.chunks).min(self.chunks);
        self.metrics.chunks_missing.set(missing as i64);
        self.progress.send_modify(|progress| {
            (progress.step, progress.chunks, progress.chunks_all) = (Step::Fetching, chunks, self.chunks);
        });
    }

    /// Takes the restore from the workers: what one of them still checks is not kept, where another target may be by then.
    fn abandon(&self) {
        lock(&self.restore).take();
    }

    fn into_restore(self) -> Result<Restore, JoinError> {
        lock(&self.restore).take().ok_or(JoinError::Worker)
    }
}

/// Asks one peer for a chunk, checks it, and keeps it.
async fn ask(peers: Peers, wanted: Arc<Wanted>, restore: Shared, peer: String, index: u32) -> Answered {
    let question = Question::Chunk { height: wanted.height, depth: wanted.depth, index };
    let answer = (peers.ask)(&peer, canonical::encode(&question)).await;
    let outcome = match answer {
        Ok(bytes) => {
            let checked = tokio::task::spawn_blocking(move || check_and_keep(&wanted, &restore, index, &bytes)).await;
            checked.unwrap_or(Err(Fault::Fatal(JoinError::Worker)))
        }
        Err(Refusal::Missing) => match in_parts(&peers, &wanted, &peer, index).await {
            Ok(bytes) => {
                let kept = tokio::task::spawn_blocking(move || keep(&restore, index, &bytes)).await;
                kept.unwrap_or(Err(Fault::Fatal(JoinError::Worker)))
            }
            Err(fault) => Err(fault),
        },
        Err(refusal) => {
            if refusal != Refusal::Silent {
                sleep(PAUSE).await;
            }
            Err(Fault::Refused(refusal))
        }
    };
    Answered { peer, index, outcome }
}

fn check_and_keep(wanted: &Wanted, restore: &Mutex<Option<Restore>>, index: u32, bytes: &[u8]) -> Result<(), Fault> {
    let lie = |source: ChunkError| Lie::Chunk { height: wanted.height, index, source };
    check_chunk(&wanted.state_root, wanted.depth, index, bytes).map_err(lie)?;
    keep(restore, index, bytes)
}

fn keep(restore: &Mutex<Option<Restore>>, index: u32, bytes: &[u8]) -> Result<(), Fault> {
    match lock(restore).as_mut() {
        Some(restore) => Ok(restore.keep(index, bytes).map_err(JoinError::from)?),
        // The fetch was abandoned.
        None => Err(Fault::Refused(Refusal::Missing)),
    }
}

/// Takes the lock, also after a worker that panicked: a chunk is marked only when it is there.
fn lock(restore: &Mutex<Option<Restore>>) -> MutexGuard<'_, Option<Restore>> {
    restore.lock().unwrap_or_else(PoisonError::into_inner)
}
