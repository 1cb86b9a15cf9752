//! Four collectors on recorded traffic of every venue, over real sockets and with the venues' own sessions: started up to
//! 20 s of the venue's time apart (less where the recording is short), every frame held back by up to 800 ms of it, one
//! of the connections cut now and then. Windows that several vouch for have one CID; and one whose events are altered
//! is alone with what it says.

#![allow(clippy::unwrap_used, reason = "a test says what failed by failing")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use openmesh_collector::{Config, Deps, Handle, OfSource, Outputs, SourceConfig, start};
use openmesh_content::{BlockStore, Limits};
use openmesh_market::window::{ClosedWindow, Stream};
use openmesh_market::{EventKind, Exchange, Feed};
use openmesh_primitives::{ContentId, Decimal, ValidatorKey};
use openmesh_venues::{Faults, Mode, ReplayConfig, SetState, SimulationConfig, Speed};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Speed against the recording, where half a minute was recorded.
const SPEED: u32 = 3;
/// Starts, in milliseconds of the venue's time.
const STARTS_MS: [u64; 4] = [0, 3_000, 10_000, 20_000];
/// The same for recordings of some ten seconds, which are played as slow as they were.
const CLOSE_STARTS_MS: [u64; 4] = [0, 700, 1_500, 3_000];
/// Longest delay of a frame, in milliseconds of the venue's time.
const DELAY_MS_MAX: u64 = 800;
/// Longest that the end of a recording is waited for at the last site.
const LEVEL_WITHIN: Duration = Duration::from_secs(60);
/// Longest that the simulated market is listened to; it does not end by itself.
const PATIENCE: Duration = Duration::from_secs(120);

type Chunks = BTreeMap<(Stream, i64), ContentId>;

/// Words of the sites so far, and a bell for them.
#[derive(Default)]
struct Seen {
    chunks: Mutex<[Chunks; 4]>,
    handles: Mutex<[Option<Handle>; 4]>,
    news: Notify,
}

impl Seen {
    /// Returns true when all have come to the same end: the venue's time of the last thing that each has heard of each venue.
    fn is_level(&self) -> bool {
        let ends = |handle: &Option<Handle>| -> Option<Vec<_>> {
            handle.as_ref()?.liveness().into_iter().map(|source| source.watermark).collect()
        };
        let handles = self.handles.lock().unwrap();
        let first = ends(&handles[0]);
        first.is_some() && handles.iter().all(|handle| ends(handle) == first)
    }
}

struct Site {
    stop: CancellationToken,
    join: JoinHandle<()>,
    outputs: Outputs,
    nth: usize,
    seen: Arc<Seen>,
    _dir: tempfile::TempDir,
}

impl Site {
    /// The third one lies about trades.
    fn start(gateway: &str, sources: &[SourceConfig], nth: usize, seen: Arc<Seen>) -> Site {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(BlockStore::open(&dir.path().join("content"), Limits::default()).unwrap());
        let mut deps = Deps::new(store, ValidatorKey::generate().unwrap());
        if nth == 2 {
            deps.tamper = Some(Arc::new(|event| {
                if let EventKind::Trade(trade) = &mut event.kind {
                    trade.price = trade.price.checked_add(Decimal::from(1)).unwrap_or(trade.price);
                }
            }));
        }
        let stop = deps.stop.clone();
        let config = Config {
            sources: sources.to_vec(),
            gateway: Some(gateway.to_owned()),
            archive_dir: dir.path().join("archive"),
            lateness_ms: 1_000,
            ..Config::default()
        };
        let (handle, outputs, join) = start(config, deps).unwrap();
        seen.handles.lock().unwrap()[nth] = Some(handle);
        Site { stop, join, outputs, nth, seen, _dir: dir }
    }

    fn note(&self, window: ClosedWindow) {
        let chunks = &mut self.seen.chunks.lock().unwrap()[self.nth];
        chunks.extend(window.chunks.into_iter().map(|chunk| ((chunk.stream().clone(), window.index.0), chunk.cid)));
        self.seen.news.notify_one();
    }

    /// Takes windows as they come, until it is told that there is nothing more; then drains.
    async fn run(mut self, over: CancellationToken) {
        while let Some(Some(window)) = over.run_until_cancelled(self.outputs.windows.recv()).await {
            self.note(window.value);
        }
        self.stop.cancel();
        while let Some(window) = self.outputs.windows.recv().await {
            self.note(window.value);
        }
        self.join.await.unwrap();
        while let Some(OfSource { value, .. }) = self.outputs.withdrawn.recv().await {
            self.seen.chunks.lock().unwrap()[self.nth].remove(&(value.stream, value.index.0));
        }
    }
}

/// A plan of four sites that listen to a market.
#[derive(Clone)]
struct Plan {
    speed: u32,
    starts_ms: [u64; 4],
    faults: Faults,
}

impl Plan {
    /// As the issue words it: starts up to 20 s apart, delays up to 800 ms.
    fn usual() -> Plan {
        Plan::at(SPEED, STARTS_MS)
    }

    fn at(speed: u32, starts_ms: [u64; 4]) -> Plan {
        let delay_ms_max = DELAY_MS_MAX / u64::from(speed);
        Plan { speed, starts_ms, faults: Faults { seed: 7, delay_ms_max, ..Faults::default() } }
    }
}

/// Recorded traffic; `None`, said aloud, where it is not on this machine.
async fn four_sites_on(set: &str, plan: &Plan) -> Option<[Chunks; 4]> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    let dir = std::env::var_os("OPENMESH_RECORDINGS").map_or_else(|| PathBuf::from(beside), PathBuf::from).join(set);
    if !dir.exists() {
        eprintln!("skipped: there is no recording {} (see OPENMESH_RECORDINGS)", dir.display());
        return None;
    }
    // The clock starts with the first site.
    let replay = ReplayConfig { speed: Speed::Times(plan.speed), hold_subscribers: 1, ..ReplayConfig::new(dir) };
    Some(four_sites(Mode::Replay(replay), plan, |_| false).await)
}

/// Listens until a recording has ended, or `enough` was seen.
async fn four_sites(mode: Mode, plan: &Plan, enough: impl Fn(&[Chunks; 4]) -> bool) -> [Chunks; 4] {
    let stop = CancellationToken::new();
    let faults = plan.faults;
    let config = openmesh_venues::Config { listen: ([127, 0, 0, 1], 0).into(), mode, faults, ethereum: None };
    let (venues, serving) = openmesh_venues::start(config, stop.clone()).await.unwrap();
    let mut wanted: BTreeMap<Exchange, (BTreeSet<_>, BTreeSet<Feed>)> = BTreeMap::new();
    for entry in venues.catalogue().entries {
        let (symbols, feeds) = wanted.entry(entry.exchange).or_default();
        symbols.insert(entry.symbol);
        feeds.extend(entry.feeds);
    }
    let sources: Vec<SourceConfig> = wanted
        .into_iter()
        .map(|(exchange, (symbols, feeds))| SourceConfig {
            id: exchange.name().replace('_', "-"),
            window_ms: 1_000,
            exchange,
            symbols: symbols.into_iter().collect(),
            feeds: feeds.into_iter().collect(),
        })
        .collect();
    let gateway = format!("http://{}", venues.addr);
    let (over, seen) = (CancellationToken::new(), Arc::new(Seen::default()));
    let mut tasks = Vec::new();
    for (nth, start_ms) in plan.starts_ms.into_iter().enumerate() {
        let (gateway, sources, over, seen) = (gateway.clone(), sources.clone(), over.clone(), seen.clone());
        let start = Duration::from_millis(start_ms / u64::from(plan.speed));
        tasks.push(tokio::spawn(async move {
            tokio::time::sleep(start).await;
            Site::start(&gateway, &sources, nth, seen).run(over).await;
        }));
    }
    let patience = tokio::time::sleep(PATIENCE);
    tokio::pin!(patience);
    let finished = || venues.progress().sets.iter().all(|set| matches!(set.state, SetState::Finished));
    while !finished() && !enough(&seen.chunks.lock().unwrap()) {
        tokio::select! {
            () = seen.news.notified() => {}
            // A recording that says nothing to its end makes no news.
            () = tokio::time::sleep(Duration::from_millis(200)) => {}
            () = &mut patience => break,
        }
    }
    // What was sent last is held back, and a busy machine takes its time.
    let level = async {
        tokio::time::sleep(Duration::from_millis(plan.faults.delay_ms_max)).await;
        while finished() && !seen.is_level() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    if tokio::time::timeout(LEVEL_WITHIN, level).await.is_err() {
        eprintln!("not all sites have heard the end: this machine is busy, or connections were cut");
    }
    over.cancel();
    for task in tasks {
        task.await.unwrap();
    }
    stop.cancel();
    serving.await.unwrap().unwrap();
    std::mem::take(&mut *seen.chunks.lock().unwrap())
}

/// Chunks that all four cover.
fn common(seen: &[Chunks; 4]) -> impl Iterator<Item = (&(Stream, i64), [ContentId; 4])> {
    seen[0].keys().filter_map(|key| {
        let of = |nth: usize| seen[nth].get(key).copied();
        Some((key, [of(0)?, of(1)?, of(2)?, of(3)?]))
    })
}

/// Honest sites never differ; returns how many chunks all four cover, and on how many trades' chunks the liar is alone.
fn compare(set: &str, seen: &[Chunks; 4]) -> (usize, usize) {
    for (key, cid) in &seen[0] {
        for honest in [1, 3].into_iter().filter_map(|nth| seen[nth].get(key)) {
            assert_eq!(cid, honest, "{set}: {} window {}", key.0, key.1);
        }
    }
    let (mut all, mut alone) = (0, 0);
    for (key, [honest, _, liar, _]) in common(seen) {
        all += 1;
        if liar != honest {
            assert_eq!(key.0.feed, Feed::Trades, "{set}: only trades are lied about");
            alone += 1;
        }
    }
    let covered: Vec<usize> = seen.iter().map(BTreeMap::len).collect();
    eprintln!("{set}: chunks covered by each {covered:?}, by all {all}, the liar alone in {alone}");
    (all, alone)
}

async fn check(set: &str, plan: &Plan, common_min: usize, alone_min: usize) {
    let Some(seen) = four_sites_on(set, plan).await else { return };
    let (common, alone) = compare(set, &seen);
    assert!(common >= common_min && alone >= alone_min, "{set}: {common} common, {alone} alone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn binance_futures() {
    check("cf-BINANCE_FUTURES-20210722", &Plan::usual(), 20, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn binance_spot() {
    // Four quiet instruments with two trades in half a minute: what is agreed on are their books, and that nothing traded.
    check("cf-BINANCE-20211012", &Plan::usual(), 20, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bybit() {
    check("cf-BYBIT-20260809-BTC-DOGE", &Plan::usual(), 60, 5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kraken() {
    check("cf-KRAKEN-20210417", &Plan::usual(), 60, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn okx() {
    check("cf-OKX-20220513", &Plan::at(1, CLOSE_STARTS_MS), 8, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn coinbase() {
    check("cf-COINBASE-20260809-first14s", &Plan::at(1, CLOSE_STARTS_MS), 8, 1).await;
}

/// Connections cut again and again: fewer windows are covered, none is wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bybit_with_cut_connections() {
    let set = "cf-BYBIT-20260809-BTC-DOGE";
    let faults = Faults { seed: 3, delay_ms_max: 50, disconnect_after_frames: 400, ..Faults::default() };
    let Some(seen) = four_sites_on(set, &Plan { speed: 4, faults, ..Plan::usual() }).await else { return };
    compare(set, &seen);
    assert!(seen.iter().all(|chunks| chunks.len() > 20));
}

/// The market that is shown where there is no internet: every venue, every stream that is put up for agreement.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn simulation() {
    let faults = Faults { seed: 9, delay_ms_max: 300, ..Faults::default() };
    let plan = Plan { speed: 1, starts_ms: [0, 500, 1_500, 3_000], faults };
    let agreed = |seen: &[Chunks; 4], exchange, feed| {
        common(seen).filter(|((stream, _), _)| stream.exchange == exchange && stream.feed == feed).count()
    };
    let feeds = [Feed::Trades, Feed::Book];
    let enough = |seen: &[Chunks; 4]| {
        Exchange::ALL.iter().all(|exchange| feeds.iter().all(|feed| agreed(seen, *exchange, *feed) >= 9))
    };
    let seen = four_sites(Mode::Simulation(SimulationConfig::default()), &plan, enough).await;
    compare("simulation", &seen);
    for exchange in Exchange::ALL {
        for feed in feeds {
            assert!(agreed(&seen, exchange, feed) > 0, "{exchange} has no {feed} that all four cover");
        }
    }
}
