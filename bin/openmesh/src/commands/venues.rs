//! `openmesh venues`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use openmesh_evm::replay::ReplayChain;
use openmesh_ledger::SourceKind;
use openmesh_market::{Exchange, Feed};
use openmesh_venues::{Catalogue, Config, EthereumAnswer, Faults, Mode, ReplayConfig, SimulationConfig, Speed};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::Failure;
use crate::cli::VenuesArgs;
use crate::up::home::{CatalogueEntry, VenuesReady};

/// Time between two replayed blocks of a chain: quick enough to be watched.
const BLOCK_SECONDS: u64 = 4;

/// Serves until it is told to stop.
pub async fn run(arguments: VenuesArgs) -> Result<(), Failure> {
    let stop = CancellationToken::new();
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|e| Failure::from_display("signals", &e))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|e| Failure::from_display("signals", &e))?;
    let mode = mode(&arguments).await?;
    let chain = arguments.replay.as_deref().and_then(chain);
    let config = Config {
        listen: arguments.listen,
        mode,
        faults: Faults { delay_ms_max: arguments.jitter_ms, ..Faults::default() },
        ethereum: chain.clone().map(|chain| -> EthereumAnswer { Arc::new(move |request| chain.answer(request)) }),
    };
    let (handle, serving) =
        openmesh_venues::start(config, stop.clone()).await.map_err(|e| Failure::new(crate::node::chain_of(&e)))?;
    let mut catalogue = sources(&handle.catalogue());
    if let Some(chain) = chain {
        catalogue.push(CatalogueEntry {
            id: "ethereum".into(),
            exchange: "ethereum".into(),
            kind: SourceKind::Chain,
            symbols: Vec::new(),
            feeds: vec![Feed::Blocks.name().into()],
        });
        tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
            let mut tick = tokio::time::interval(Duration::from_secs(BLOCK_SECONDS));
            while chain.advance().is_some() {
                tick.tick().await;
            }
        }));
    }
    let ready = VenuesReady { venues: handle.addr, catalogue };
    println!("{}", serde_json::to_string(&ready).map_err(|e| Failure::from_display("the catalogue", &e))?);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    stop.cancel();
    match serving.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Failure::new(crate::node::chain_of(&error))),
        Err(error) => Err(Failure::from_display("the venues' server", &error)),
    }
}

async fn mode(arguments: &VenuesArgs) -> Result<Mode, Failure> {
    let Some(dir) = &arguments.replay else {
        // A market of its own each time, unless a seed is given: identifiers of trades must not come again.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let seed = arguments.seed.unwrap_or(now.as_secs());
        return Ok(Mode::Simulation(SimulationConfig { seed, events_per_second: arguments.rate }));
    };
    let speed = match arguments.speed.trim_end_matches('x') {
        "max" | "fastest" => Speed::Fastest,
        times => format!("{times}x").parse().map_err(|e| Failure::usage(format!("--speed: {e}")))?,
    };
    let mut replay = ReplayConfig {
        speed,
        sets: arguments.sets.clone(),
        hold_subscribers: arguments.hold as usize,
        ..ReplayConfig::new(dir)
    };
    if replay.sets.is_empty() {
        replay.sets = longest_sets(dir).await?;
    }
    Ok(Mode::Replay(replay))
}

/// One recording for each venue: a venue has one clock, and recordings of different years do not share one. The longest
/// of the newest protocol says most.
async fn longest_sets(dir: &Path) -> Result<Vec<String>, Failure> {
    let stop = CancellationToken::new();
    let config = Config {
        listen: std::net::SocketAddr::from(([127, 0, 0, 1], 0)),
        mode: Mode::Replay(ReplayConfig::new(dir)),
        faults: Faults::default(),
        ethereum: None,
    };
    let (handle, serving) =
        openmesh_venues::start(config, stop.clone()).await.map_err(|e| Failure::new(crate::node::chain_of(&e)))?;
    let catalogue = handle.catalogue();
    stop.cancel();
    // Only its catalogue was wanted.
    let _ = serving.await;
    let served: BTreeMap<&str, BTreeSet<Exchange>> =
        catalogue.entries.iter().fold(BTreeMap::new(), |mut all: BTreeMap<&str, BTreeSet<Exchange>>, entry| {
            all.entry(&entry.set).or_default().insert(entry.exchange);
            all
        });
    let mut chosen: BTreeMap<Exchange, (u64, &str)> = BTreeMap::new();
    for set in &catalogue.sets {
        for exchange in served.get(set.name.as_str()).into_iter().flatten() {
            let best = chosen.entry(*exchange).or_insert((set.length_ms, &set.name));
            if set.length_ms > best.0 {
                *best = (set.length_ms, &set.name);
            }
        }
    }
    let names: BTreeSet<String> = chosen.values().map(|(_, name)| (*name).to_string()).collect();
    if names.is_empty() {
        return Err(Failure::usage(format!("{} holds no recording of a venue that is spoken here", dir.display()))
            .hint("a folder of folders with frames.jsonl.gz is expected"));
    }
    Ok(names.into_iter().collect())
}

fn chain(dir: &Path) -> Option<Arc<ReplayChain>> {
    match ReplayChain::load(dir) {
        Ok(chain) => Some(Arc::new(chain)),
        Err(error) => {
            tracing::info!(error = crate::node::chain_of(&error), "no blocks of a chain are replayed");
            None
        }
    }
}

/// One source for each venue, with everything that is served of it.
fn sources(catalogue: &Catalogue) -> Vec<CatalogueEntry> {
    let mut all: BTreeMap<Exchange, (BTreeSet<String>, BTreeSet<String>)> = BTreeMap::new();
    for entry in &catalogue.entries {
        let (symbols, feeds) = all.entry(entry.exchange).or_default();
        symbols.insert(entry.symbol.to_string());
        feeds.extend(entry.feeds.iter().map(|f| f.name().to_string()));
    }
    all.into_iter()
        .map(|(exchange, (symbols, feeds))| CatalogueEntry {
            id: exchange.name().into(),
            exchange: exchange.name().into(),
            kind: SourceKind::Market,
            symbols: symbols.into_iter().collect(),
            feeds: feeds.into_iter().collect(),
        })
        .collect()
}
