//! `openmesh node`: one validator in one process. Here the rooms are joined and none of their work is done.
//!
//! Order of starting: what others stand on first (store, content, lake), then consensus and its gossip, then collecting,
//! then the door for people. Order of draining is the reverse, so that nothing is asked of a room that has gone.

mod attest;
mod chain;
pub mod config;
mod gossip;
mod keep;
mod segments;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use openmesh_collector as collector;
use openmesh_content::{BlockStore, Limits as ContentLimits, WhenFull};
use openmesh_ledger::{Genesis, Origin, SourceKind, SourceSpec};
use openmesh_market::{EventKind, Exchange, Feed};
use openmesh_primitives::{Decimal, Symbol, ValidatorKey, sha256};
use openmesh_storage::Store;
use prometheus_client::registry::Registry;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::cli::NodeArgs;
use crate::commands::Failure;
use config::{Files, NodeConfig};

/// How long each part may take to drain.
const DRAIN_SECONDS_MAX: u64 = 4;
/// How long to wait for an earlier process of the same home: longer than it has to drain.
const FORMER_SECONDS_MAX: u64 = 30;
/// Windows that wait to be attested.
const WINDOWS_WAITING_MAX: usize = 256;
/// Threads of queries.
const QUERY_THREADS: usize = 2;

/// Runs a node until it is told to stop or consensus ends.
pub async fn run(arguments: NodeArgs) -> Result<(), Failure> {
    let files = Files::of(&arguments.home);
    let config = NodeConfig::read(&files)?;
    let key = read_key(&files)?;
    let genesis = read_genesis(&files)?;
    let _alone = alone(&files).await?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|e| Failure::from_display("signals", &e))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|e| Failure::from_display("signals", &e))?;
    let mut running = start(config, &files, key, genesis).await?;
    println!("{}", serde_json::json!({ "ready": true, "api": running.api.to_string() }));
    let outcome = tokio::select! {
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
        ended = &mut running.engine => Err(match ended {
            Ok(Ok(())) => Failure::new("consensus ended without being asked to"),
            Ok(Err(error)) => Failure::new(format!("consensus ended: {}", chain_of(&error))),
            Err(error) => Failure::from_display("consensus ended", &error),
        }),
        // Half a node is worse than none: it would vote, and neither keep nor answer. The supervisor starts a whole one.
        Some(part) = running.ended.recv() => Err(Failure::new(format!("{part} ended without being asked to"))
            .hint("the log says why; the node ends so that it can be started again")),
    };
    running.drain(outcome.is_ok()).await;
    outcome
}

/// One process for a home: waits until an earlier one has drained. After a supervisor was killed and started again at once,
/// its children may still be writing.
async fn alone(files: &Files) -> Result<std::fs::File, Failure> {
    let path = files.home.join("node.lock");
    let lock = std::fs::File::create(&path).map_err(|e| Failure::from_display(path.display(), &e))?;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(FORMER_SECONDS_MAX);
    let mut said = false;
    while lock.try_lock().is_err() {
        if !std::mem::replace(&mut said, true) {
            let home = files.home.display();
            eprintln!("another node runs in {home}: waiting up to {FORMER_SECONDS_MAX} s for it to end");
        }
        if tokio::time::Instant::now() > deadline {
            return Err(Failure::new(format!("another node runs in {}", files.home.display()))
                .hint("stop it, or give this one a home of its own"));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(lock)
}

/// The parts of a running node, in the order of starting.
struct Running {
    api: std::net::SocketAddr,
    engine: tokio::task::JoinHandle<Result<(), openmesh_engine::EngineError>>,
    /// What is asked to stop together, and then waited for.
    stages: Stages,
    stop_engine: CancellationToken,
    /// Names the stages of which a task has ended.
    ended: mpsc::UnboundedReceiver<&'static str>,
}

/// Stages in the order of draining: a name, what asks them to stop, and their tasks.
type Stages = Vec<(&'static str, CancellationToken, Vec<tokio::task::JoinHandle<()>>)>;

/// Tells when a task of any stage ends, whether it was asked to, failed or panicked.
fn watched(stages: Stages) -> (Stages, mpsc::UnboundedReceiver<&'static str>) {
    let (sender, ended) = mpsc::unbounded_channel();
    let watch = |name: &'static str, task: tokio::task::JoinHandle<()>| {
        let sender = sender.clone();
        tokio::spawn(async move {
            if let Err(error) = task.await {
                tracing::error!(part = name, %error, "a task failed");
            }
            // Nobody listens any more while the node drains.
            let _ = sender.send(name);
        })
    };
    let stages = stages.into_iter().map(|(name, stop, tasks)| {
        let tasks = tasks.into_iter().map(|task| watch(name, task)).collect();
        (name, stop, tasks)
    });
    (stages.collect(), ended)
}

impl Running {
    async fn drain(self, engine_runs: bool) {
        let limit = Duration::from_secs(DRAIN_SECONDS_MAX);
        for (name, token, tasks) in self.stages {
            token.cancel();
            if tokio::time::timeout(limit, futures::future::join_all(tasks)).await.is_err() {
                tracing::warn!(part = name, "did not drain within {DRAIN_SECONDS_MAX} s");
            }
        }
        self.stop_engine.cancel();
        if engine_runs && tokio::time::timeout(limit, self.engine).await.is_err() {
            tracing::warn!(part = "consensus", "did not drain within {DRAIN_SECONDS_MAX} s");
        }
    }
}

async fn start(config: NodeConfig, files: &Files, key: ValidatorKey, genesis: Genesis) -> Result<Running, Failure> {
    let mut registry = Registry::with_prefix("openmesh");
    let store = open_store(files, genesis.clone()).await?;
    let limits = ContentLimits {
        // A full Ethereum block is more than a window of a market may be.
        block_bytes_max: openmesh_network::limits::BLOCK_BYTES_MAX as u64,
        store_bytes_max: config.limits.content_bytes_max,
        ..ContentLimits::default()
    };
    let content = Arc::new(failing("content", BlockStore::open(&files.data("content"), limits))?);
    let limits = ContentLimits {
        store_bytes_max: config.limits.raw_bytes_max,
        when_full: WhenFull::RemoveOldest,
        ..ContentLimits::default()
    };
    let raw = Arc::new(failing("raw frames", BlockStore::open(&files.data("raw"), limits))?);
    let lake = failing("lake", openmesh_lake::Lake::open(&files.data("lake"), openmesh_lake::Config::default()).await)?;
    let queries = openmesh_pythia::Config {
        time_ms_max: config.limits.query_ms_max,
        memory_bytes_max: usize::try_from(config.limits.query_bytes_max).unwrap_or(usize::MAX),
        rows_max: config.limits.query_rows_max as usize,
        concurrency: config.limits.queries_max as usize,
        threads: QUERY_THREADS,
        ..openmesh_pythia::Config::default()
    };
    let pythia = failing("queries", openmesh_pythia::Pythia::start(queries, lake.clone()))?;

    let address = key.public().address();
    let name = genesis.validators.iter().find(|v| v.public_key == key.public()).map_or("observer", |v| &v.name);
    let stop_engine = CancellationToken::new();
    let consensus = openmesh_engine::Config {
        peers: config.consensus.peers.clone(),
        idle_block_ms: config.consensus.idle_block_ms,
        ..openmesh_engine::Config::new(name, files.data("consensus"), config.consensus.listen)
    };
    let started =
        openmesh_engine::start(consensus, Some(key.clone()), store.clone(), stop_engine.clone(), &mut registry).await;
    let (engine, engine_task) = failing("consensus", started)?;

    let stop_network = CancellationToken::new();
    let peers = network_config(&config, &genesis, &key)?;
    let held = [content.clone(), raw.clone()];
    let provider: openmesh_network::Provider = Arc::new(move |cid| {
        held.iter().find_map(|store| {
            store.get(cid).unwrap_or_else(|error| {
                tracing::error!(%error, "content cannot be given to a peer");
                None
            })
        })
    });
    let started = openmesh_network::start(peers, provider, stop_network.clone(), &mut registry).await;
    let (network, network_task) = failing("network", started)?;
    let network_task = tokio::spawn(async move {
        match network_task.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(error = chain_of(&error), "the peer-to-peer host ended"),
            Err(error) => tracing::error!(%error, "the peer-to-peer host ended"),
        }
    });
    let gossip = gossip::join(&engine, &network, stop_network.clone());

    let stop_keeping = CancellationToken::new();
    let keeper =
        keep::Keeper::new(store.clone(), content.clone(), lake.clone(), network.clone(), files.data("tables_complete"))
            .with_archive(segments::Segments::new(&files.data("archive"), &genesis));
    let kept = keeper.kept();
    let keeping = tokio::spawn(keeper.run(engine.committed(), stop_keeping.clone()));
    let flushing = {
        let (lake, stop) = (lake.clone(), stop_keeping.clone());
        tokio::spawn(async move {
            if let Err(error) = lake.run(stop.cancelled_owned()).await {
                tracing::error!(error = chain_of(&error), "the lake stopped writing");
            }
        })
    };

    let stop_collecting = CancellationToken::new();
    let (windows, to_attest) = mpsc::channel(WINDOWS_WAITING_MAX);
    let (site, collecting) =
        start_collector(&config, files, &genesis, &key, [&content, &raw], &mut registry, &windows, &stop_collecting)?;
    let mut collecting = vec![collecting];
    collecting.extend(chain::start(&config, &genesis, content.clone(), windows, &stop_collecting)?);
    let stop_attesting = CancellationToken::new();
    let attester = attest::Attester::new(key, store.clone(), engine.clone());
    let attesting = tokio::spawn(attester.run(to_attest, engine.committed(), stop_attesting.clone()));

    let stop_api = CancellationToken::new();
    let from_peers = network.clone();
    let fetch: openmesh_gateway::Fetch = Arc::new(move |cid| {
        let network = from_peers.clone();
        Box::pin(async move { network.fetch(cid).await.map_err(|e| e.to_string()) })
    });
    let deps = openmesh_gateway::Deps {
        store,
        engine,
        content,
        fetch,
        pythia,
        kept,
        collector: site,
        registry: Arc::new(registry),
        address,
        public_hosts: config.public_hosts.clone(),
        version: env!("CARGO_PKG_VERSION"),
    };
    let (gateway, serving) = failing("api", openmesh_gateway::start(config.api, deps, stop_api.clone()).await)?;
    let (stages, ended) = watched(vec![
        ("the API", stop_api, vec![serving]),
        ("collecting", stop_collecting, collecting),
        ("attesting", stop_attesting, vec![attesting]),
        ("keeping", stop_keeping, vec![keeping, flushing]),
        ("the peer-to-peer network", stop_network, vec![network_task, gossip]),
    ]);
    Ok(Running { api: gateway.address, engine: engine_task, stages, stop_engine, ended })
}

async fn open_store(files: &Files, genesis: Genesis) -> Result<Store, Failure> {
    let path = files.data("ledger");
    let opened = tokio::task::spawn_blocking(move || {
        let store = Store::open(&path)?;
        store.initialise(&genesis).map(|()| store)
    });
    failing("ledger", failing("ledger", opened.await)?)
}

fn network_config(
    config: &NodeConfig,
    genesis: &Genesis,
    key: &ValidatorKey,
) -> Result<openmesh_network::Config, Failure> {
    let parse = |list: &[String]| -> Result<Vec<openmesh_network::Multiaddr>, Failure> {
        list.iter()
            .map(|text| text.parse().map_err(|e| Failure::usage(format!("node.toml: {text} is no multiaddress: {e}"))))
            .collect()
    };
    Ok(openmesh_network::Config {
        listen: parse(&config.network.listen)?,
        peers: parse(&config.network.peers)?,
        chain_id: genesis.chain_id,
        // An identity of its own, made from the validator's key so that peers know the node again; the key does not
        // follow from it.
        key_seed: sha256(&[b"openmesh peer identity", &key.seed()]).0,
    })
}

#[allow(clippy::too_many_arguments)]
fn start_collector(
    config: &NodeConfig,
    files: &Files,
    genesis: &Genesis,
    key: &ValidatorKey,
    [content, raw]: [&Arc<BlockStore>; 2],
    registry: &mut Registry,
    windows: &mpsc::Sender<attest::Window>,
    stop: &CancellationToken,
) -> Result<(collector::Handle, tokio::task::JoinHandle<()>), Failure> {
    let markets: Vec<&SourceSpec> = genesis.sources.iter().filter(|s| s.kind == SourceKind::Market).collect();
    let ids: BTreeMap<Exchange, String> =
        markets.iter().filter_map(|s| Some((s.exchange.parse().ok()?, s.id.clone()))).collect();
    let sources = markets.iter().map(|s| source_config(s)).collect::<Result<Vec<_>, _>>()?;
    let window_ms =
        markets.first().map_or(openmesh_market::window::WINDOW_MS, |s| u32::try_from(s.window_ms).unwrap_or(0));
    if markets.iter().any(|s| s.window_ms != u64::from(window_ms)) {
        return Err(Failure::usage("genesis.json: this version collects sources of one window length only"));
    }
    let settings = collector::Config {
        sources,
        gateway: config.collect.gateway.clone(),
        archive_dir: files.data("archive"),
        window_ms,
        ..collector::Config::default()
    };
    let deps = collector::Deps {
        metrics: collector::Metrics::register(registry),
        tamper: config.drill.alter.as_deref().map(tamper).transpose()?,
        stop: stop.clone(),
        raw: raw.clone(),
        ..collector::Deps::new(content.clone(), key.clone())
    };
    let (handle, outputs, task) = failing("collectors", collector::start(settings, deps))?;
    let live = genesis.sources.iter().any(|s| s.origin == Origin::Live);
    tracing::info!(live, sources = markets.len(), "collecting");
    let windows = windows.clone();
    let forwarding = tokio::spawn(async move {
        let mut closed = outputs.windows;
        while let Some(window) = closed.recv().await {
            if let Some(source) = ids.get(&window.exchange)
                && let Some(window) = attest::Window::of_market(source, &window)
                && windows.send(window).await.is_err()
            {
                return;
            }
        }
    });
    let (nothing, stop) = (markets.is_empty(), stop.clone());
    let task = tokio::spawn(async move {
        // Both end when the token is cancelled: a task that ended badly has said so itself.
        let _ = futures::future::join(task, forwarding).await;
        if nothing {
            // Where there is nothing to collect, that it has ended is nothing wrong.
            stop.cancelled().await;
        }
    });
    Ok((handle, task))
}

fn source_config(spec: &SourceSpec) -> Result<collector::SourceConfig, Failure> {
    let wrong = |e: &dyn std::fmt::Display| Failure::usage(format!("genesis.json, source {}: {e}", spec.id));
    let exchange: Exchange = spec.exchange.parse().map_err(|e| wrong(&e))?;
    let symbols =
        spec.symbols.iter().map(|s| s.parse::<Symbol>()).collect::<Result<Vec<_>, _>>().map_err(|e| wrong(&e))?;
    let feeds = spec.feeds.iter().map(|f| f.parse::<Feed>()).collect::<Result<Vec<_>, _>>().map_err(|e| wrong(&e))?;
    Ok(collector::SourceConfig { exchange, symbols, feeds })
}

/// Alters the prices of one stream, for drills.
fn tamper(stream: &str) -> Result<collector::Tamper, Failure> {
    let wrong = || Failure::usage(format!("node.toml: drill.alter = {stream:?}: SOURCE/SYMBOL/FEED is expected"));
    let parts: Vec<&str> = stream.split('/').collect();
    let [exchange, symbol, feed] = parts.as_slice() else { return Err(wrong()) };
    let exchange: Exchange = exchange.parse().map_err(|_| wrong())?;
    let symbol: Symbol = symbol.parse().map_err(|_| wrong())?;
    let feed: Feed = feed.parse().map_err(|_| wrong())?;
    tracing::warn!(stream, "DRILL: this node alters the prices of a stream before it attests");
    let raise = |price: &mut Decimal| *price = price.checked_add(Decimal::from(1)).unwrap_or(*price);
    Ok(Arc::new(move |event| {
        if event.exchange != exchange || event.symbol.as_ref() != Some(&symbol) || event.kind.feed() != Some(feed) {
            return;
        }
        match &mut event.kind {
            EventKind::Trade(trade) => raise(&mut trade.price),
            EventKind::BookDelta(delta) => delta.asks.iter_mut().for_each(|(price, _)| raise(price)),
            EventKind::BookSnapshot(book) => book.asks.iter_mut().for_each(|(price, _)| raise(price)),
            EventKind::Ticker(ticker) => ticker.ask.iter_mut().for_each(raise),
            EventKind::MarkPrice(price) | EventKind::IndexPrice(price) => raise(&mut price.price),
            _ => {}
        }
    }))
}

fn read_key(files: &Files) -> Result<ValidatorKey, Failure> {
    let path = files.key();
    let text = std::fs::read_to_string(&path).map_err(|e| Failure::usage(format!("{}: {e}", path.display())))?;
    let mut seed = [0; 32];
    hex::decode_to_slice(text.trim(), &mut seed)
        .map_err(|_| Failure::usage(format!("{}: 64 hexadecimal digits are expected", path.display())))?;
    Ok(ValidatorKey::from_seed(seed))
}

fn read_genesis(files: &Files) -> Result<Genesis, Failure> {
    let path = files.genesis();
    let bytes = std::fs::read(&path).map_err(|e| Failure::usage(format!("{}: {e}", path.display())))?;
    serde_json::from_slice(&bytes).map_err(|e| Failure::usage(format!("{}: {e}", path.display())))
}

/// `what: error: cause: cause`.
fn failing<T, E: std::error::Error + 'static>(what: &str, outcome: Result<T, E>) -> Result<T, Failure> {
    outcome.map_err(|error| Failure::new(format!("{what}: {}", chain_of(&error))))
}

/// An error with its causes.
pub fn chain_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}
