//! A join by snapshot: choose one, walk to its header, fetch its chunks from all peers that have it, build the store.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use openmesh_ledger::Genesis;
use openmesh_primitives::{Height, Timestamp, canonical, report};
use openmesh_storage::{ChunkError, Restore, RestoreError, SnapshotTarget, Store, StoreConfig, check_chunk};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::error::{Fault, JoinError, Lie, Refusal};
use crate::metrics::Metrics;
use crate::parts::in_parts;
use crate::peers::Peers;
use crate::progress::{Progress, Step};
use crate::survey::offers;
use crate::walk::{Guide, Trust};
use crate::wire::{Question, SnapshotOffer};

/// Open questions for chunks to one peer: while one is on the way, the next is read there. As many as it answers at once.
const QUESTIONS_EACH: usize = 2;
/// Open questions for chunks to all peers: with chunks of 4 MiB, 32 MiB.
const QUESTIONS_ALL: usize = 8;
/// Pause before anything is tried again that came to nothing.
const PAUSE: Duration = Duration::from_millis(250);
/// Failures of a peer in a row after which the rest of a snapshot is not asked of it.
const FAILURES_MAX: u32 = 4;
/// Refusals in a row, of all peers and for lack of any, after which another snapshot is looked for: half a minute of pauses.
const IDLE_ROUNDS_MAX: u32 = 120;
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
/// Where this node's disk fails, or the trusted block is older than the trust period.
pub async fn join(config: JoinConfig, deps: Deps) -> Result<Store, JoinError> {
    let mut join = Join { config, deps, barred: BTreeSet::new(), passed_over: BTreeSet::new() };
    loop {
        join.deps.progress.send_modify(|progress| progress.step = Step::Asking);
        let Some((peer, offer)) = join.choose().await else {
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
}

impl Join {
    /// The newest snapshot that most peers offer, and one of them to show the way.
    async fn choose(&self) -> Option<(String, SnapshotOffer)> {
        let mut found: BTreeMap<SnapshotOffer, Vec<String>> = BTreeMap::new();
        for (peer, offer) in offers(&self.deps.peers).await {
            if self.barred.contains(&peer) || self.passed_over.contains(&peer) {
                continue;
            }
            for snapshot in offer.snapshots.into_iter().filter(|snapshot| snapshot.height > self.config.height) {
                found.entry(snapshot).or_default().push(peer.clone());
            }
        }
        let (offer, peers) = found.into_iter().max_by_key(|(offer, peers)| (peers.len(), offer.height))?;
        Some((peers.into_iter().next()?, offer))
    }

    /// Walks to a snapshot and begins its restore.
    async fn target(&self, peer: &str, offer: &SnapshotOffer) -> Result<Restore, Fault> {
        let SnapshotOffer { height, state_root, depth } = *offer;
        self.deps.progress.send_modify(|progress| (progress.step, progress.height) = (Step::Walking, height));
        let now = (self.deps.now)();
        let guide = Guide { peers: &self.deps.peers, peer, genesis: &self.config.genesis, now };
        let (walk, anchor) = guide.walk(&self.config.trust, offer).await?;
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
            Ok(restore) => Ok(restore),
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
        }
        Ok(())
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
        let mut idle = 0;
        while !fetch.is_done() {
            fetch.ask_more(&self.deps, &self.barred);
            let Some(answered) = fetch.running.next().await else {
                idle += 1;
                if idle > IDLE_ROUNDS_MAX {
                    self.passed_over.insert(guide.to_owned());
                    return Ok(None);
                }
                sleep(PAUSE).await;
                fetch.failures.clear();
                continue;
            };
            let Answered { peer, index, outcome } = answered;
            fetch.open.entry(peer.clone()).and_modify(|open| *open = open.saturating_sub(1));
            match outcome {
                Ok(()) => {
                    idle = 0;
                    self.deps.metrics.chunks_fetched.inc();
                    fetch.arrived(&peer);
                }
                Err(fault) => {
                    fetch.missing.push(index);
                    match fault {
                        Fault::Fatal(error) => return Err(error),
                        Fault::Lie(lie) => self.bar(&peer, &lie),
                        Fault::Refused(_) => *fetch.failures.entry(peer).or_default() += 1,
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
    restore: Arc<Mutex<Restore>>,
    chunks: u32,
    progress: watch::Sender<Progress>,
    metrics: Metrics,
    /// The next is the last one.
    missing: Vec<u32>,
    running: FuturesUnordered<BoxFuture<'static, Answered>>,
    /// Open questions of each peer.
    open: BTreeMap<String, usize>,
    /// Failures of each peer in a row.
    failures: BTreeMap<String, u32>,
}

/// The snapshot whose chunks are asked for.
pub(crate) struct Wanted {
    pub(crate) height: Height,
    pub(crate) state_root: openmesh_primitives::Digest,
    pub(crate) depth: u8,
}

impl Fetch {
    fn new(deps: &Deps, restore: Restore, missing: Vec<u32>) -> Fetch {
        let target = restore.target();
        let (height, state_root, depth) = (target.block.header.height, target.state_root, target.depth);
        Fetch {
            target: Arc::new(Wanted { height, state_root, depth }),
            chunks: restore.chunks(),
            restore: Arc::new(Mutex::new(restore)),
            progress: deps.progress.clone(),
            metrics: deps.metrics.clone(),
            missing,
            running: FuturesUnordered::new(),
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
        while self.running.len() < QUESTIONS_ALL && !self.missing.is_empty() {
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

    fn into_restore(self) -> Result<Restore, JoinError> {
        drop(self.running);
        // Every worker has ended.
        let restore = Arc::try_unwrap(self.restore).map_err(|_| JoinError::Worker)?;
        Ok(restore.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Asks one peer for a chunk, checks it, and keeps it.
async fn ask(peers: Peers, wanted: Arc<Wanted>, restore: Arc<Mutex<Restore>>, peer: String, index: u32) -> Answered {
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

fn check_and_keep(wanted: &Wanted, restore: &Mutex<Restore>, index: u32, bytes: &[u8]) -> Result<(), Fault> {
    let lie = |source: ChunkError| Lie::Chunk { height: wanted.height, index, source };
    check_chunk(&wanted.state_root, wanted.depth, index, bytes).map_err(lie)?;
    keep(restore, index, bytes)
}

fn keep(restore: &Mutex<Restore>, index: u32, bytes: &[u8]) -> Result<(), Fault> {
    Ok(lock(restore).keep(index, bytes).map_err(JoinError::from)?)
}

/// Takes the lock, also after a worker that panicked: a chunk is marked only when it is there.
fn lock(restore: &Mutex<Restore>) -> MutexGuard<'_, Restore> {
    restore.lock().unwrap_or_else(PoisonError::into_inner)
}
