//! Four collectors on recorded traffic, over real sockets and with the venues' own sessions: started up to 20 s of the
//! venue's time apart, every frame held back by up to 800 ms of it, one of the connections cut now and then. Windows
//! that several vouch for have one CID; and one whose events are altered is alone with what it says.

#![allow(clippy::unwrap_used, reason = "a test says what failed by failing")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use openmesh_collector::{Config, Deps, Outputs, SourceConfig, start};
use openmesh_content::{BlockStore, Limits};
use openmesh_market::window::Stream;
use openmesh_market::{EventKind, Exchange, Feed};
use openmesh_primitives::{ContentId, Decimal, ValidatorKey};
use openmesh_venues::{Faults, Mode, ReplayConfig, SetState, SimulationConfig, Speed};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How much faster than recorded.
const SPEED: u32 = 2;
/// Starts, in milliseconds of the venue's time.
const STARTS_MS: [u64; 4] = [0, 3_000, 10_000, 20_000];
/// Longest delay of a frame, in milliseconds of the venue's time.
const DELAY_MS_MAX: u64 = 800;

/// Time on the simulated market, which does not end by itself.
const SIMULATED: Duration = Duration::from_secs(25);

type Chunks = BTreeMap<(Stream, i64), ContentId>;

struct Site {
    stop: CancellationToken,
    join: JoinHandle<()>,
    outputs: Outputs,
    chunks: Chunks,
    _dir: tempfile::TempDir,
}

impl Site {
    fn start(gateway: &str, sources: &[SourceConfig], liar: bool) -> Site {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(BlockStore::open(&dir.path().join("content"), Limits::default()).unwrap());
        let mut deps = Deps::new(store, ValidatorKey::generate().unwrap());
        if liar {
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
            window_ms: 1_000,
            lateness_ms: 1_000,
            ..Config::default()
        };
        let (_, outputs, join) = start(config, deps).unwrap();
        Site { stop, join, outputs, chunks: Chunks::new(), _dir: dir }
    }

    /// Drains, and gives what it vouches for in the end.
    async fn finish(mut self) -> Chunks {
        self.stop.cancel();
        self.join.await.unwrap();
        while let Some(window) = self.outputs.windows.recv().await {
            for chunk in window.chunks {
                self.chunks.insert((chunk.stream().clone(), window.index), chunk.cid);
            }
        }
        while let Some(withdrawn) = self.outputs.withdrawn.recv().await {
            self.chunks.remove(&(withdrawn.stream, withdrawn.index));
        }
        self.chunks
    }

    /// Takes windows as they come, until nothing comes any more because `done`.
    async fn listen(&mut self, done: CancellationToken) {
        loop {
            tokio::select! {
                Some(window) = self.outputs.windows.recv() => {
                    for chunk in window.chunks {
                        self.chunks.insert((chunk.stream().clone(), window.index), chunk.cid);
                    }
                }
                () = done.cancelled() => return,
            }
        }
    }
}

/// Recorded traffic; `None`, said aloud, where it is not on this machine.
async fn four_sites_on(set: &str, faults: Faults) -> Option<Vec<Chunks>> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    let dir = std::env::var_os("OPENMESH_RECORDINGS").map_or_else(|| PathBuf::from(beside), PathBuf::from).join(set);
    if !dir.exists() {
        eprintln!("skipped: there is no recording {} (see OPENMESH_RECORDINGS)", dir.display());
        return None;
    }
    // The clock starts with the first site.
    let replay = ReplayConfig { speed: Speed::Times(SPEED), hold_subscribers: 1, ..ReplayConfig::new(dir) };
    Some(four_sites(Mode::Replay(replay), faults).await)
}

async fn four_sites(mode: Mode, faults: Faults) -> Vec<Chunks> {
    let simulated = matches!(mode, Mode::Simulation(_));
    let stop = CancellationToken::new();
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
            exchange,
            symbols: symbols.into_iter().collect(),
            feeds: feeds.into_iter().collect(),
        })
        .collect();
    let gateway = format!("http://{}", venues.addr);
    let over = CancellationToken::new();
    let mut tasks = Vec::new();
    for (nth, start_ms) in STARTS_MS.into_iter().enumerate() {
        let (gateway, sources, over) = (gateway.clone(), sources.clone(), over.clone());
        tasks.push(tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(start_ms / u64::from(SPEED))).await;
            // The third one lies about trades.
            let mut site = Site::start(&gateway, &sources, nth == 2);
            site.listen(over).await;
            site.finish().await
        }));
    }
    let mut seconds = tokio::time::interval(Duration::from_millis(200));
    if simulated {
        tokio::time::sleep(SIMULATED).await;
    }
    while !simulated && !venues.progress().sets.iter().all(|set| matches!(set.state, SetState::Finished)) {
        seconds.tick().await;
    }
    // What was sent last is still on its way.
    tokio::time::sleep(Duration::from_millis(DELAY_MS_MAX)).await;
    over.cancel();
    let mut seen = Vec::new();
    for task in tasks {
        seen.push(task.await.unwrap());
    }
    stop.cancel();
    serving.await.unwrap().unwrap();
    seen
}

/// Honest sites never differ; returns how many chunks all four cover, and on how many trades' chunks the liar is alone.
fn compare(set: &str, seen: &[Chunks]) -> (usize, usize) {
    let (mut common, mut alone) = (0, 0);
    for (key, cid) in &seen[0] {
        let of = |nth: usize| seen[nth].get(key);
        for honest in [of(1), of(3)].into_iter().flatten() {
            assert_eq!(cid, honest, "{set}: {} window {}", key.0, key.1);
        }
        if let (Some(_), Some(liar), Some(_)) = (of(1), of(2), of(3)) {
            common += 1;
            if liar != cid {
                assert_eq!(key.0.feed, Feed::Trades, "{set}: only trades are lied about");
                alone += 1;
            }
        }
    }
    let covered: Vec<usize> = seen.iter().map(BTreeMap::len).collect();
    eprintln!("{set}: chunks covered by each {covered:?}, by all {common}, the liar alone in {alone}");
    (common, alone)
}

async fn check(set: &str, common_min: usize, alone_min: usize) {
    let delay_ms_max = DELAY_MS_MAX / u64::from(SPEED);
    let Some(seen) = four_sites_on(set, Faults { seed: 7, delay_ms_max, ..Faults::default() }).await else { return };
    let (common, alone) = compare(set, &seen);
    assert!(common >= common_min && alone >= alone_min, "{set}: {common} common, {alone} alone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn binance_futures() {
    check("cf-BINANCE_FUTURES-20210722", 20, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bybit() {
    check("cf-BYBIT-20260809-BTC-DOGE", 60, 5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kraken() {
    check("cf-KRAKEN-20210417", 60, 1).await;
}

/// Connections cut again and again: fewer windows are covered, none is wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bybit_with_cut_connections() {
    let set = "cf-BYBIT-20260809-BTC-DOGE";
    let faults = Faults { seed: 3, delay_ms_max: 100, disconnect_after_frames: 400, ..Faults::default() };
    let Some(seen) = four_sites_on(set, faults).await else { return };
    compare(set, &seen);
    assert!(seen.iter().all(|chunks| chunks.len() > 20));
}

/// The market that is shown where there is no internet: every venue, every stream that is put up for agreement.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn simulation() {
    let faults = Faults { seed: 9, delay_ms_max: 300, ..Faults::default() };
    let seen = four_sites(Mode::Simulation(SimulationConfig::default()), faults).await;
    compare("simulation", &seen);
    let streams: BTreeSet<&Stream> = seen[3].keys().map(|(stream, _)| stream).collect();
    for exchange in Exchange::ALL {
        let of = |feed| streams.iter().any(|s| s.exchange == exchange && s.feed == feed);
        assert!(of(Feed::Trades) && of(Feed::Book), "{exchange} has no agreed trades or book: {streams:?}");
    }
}
