//! `openmesh venues`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use openmesh_evm::replay::ReplayChain;
use openmesh_ledger::SourceKind;
use openmesh_market::window::Class;
use openmesh_market::{Exchange, Feed};
use openmesh_primitives::{Symbol, report};
use openmesh_venues::{Catalogue, Config, EthereumAnswer, Faults, Mode, ReplayConfig, SimulationConfig, Speed};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::cli::VenuesArgs;
use crate::failure::Failure;
use crate::presence::Presence;
use crate::up::catalogue::{CatalogueEntry, VenuesReady};

/// Time between two replayed blocks of a chain: quick enough to be watched.
const BLOCK_SECONDS: u64 = 4;

/// Serves until it is told to stop.
pub async fn run(arguments: VenuesArgs) -> Result<(), Failure> {
    let stop = CancellationToken::new();
    let mut presence = match &arguments.home {
        Some(folder) => Some(Presence::take(folder).await.map_err(|e| Failure::from_display(folder.display(), &e))?),
        None => None,
    };
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
    let (handle, serving) = openmesh_venues::start(config, stop.clone()).await.map_err(|e| Failure::new(report(&e)))?;
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
    let sets = if arguments.replay.is_some() { replayed(&handle.catalogue()) } else { Vec::new() };
    let ready = VenuesReady { venues: handle.addr, catalogue, sets };
    let ready = serde_json::to_value(&ready).map_err(|e| Failure::from_display("the catalogue", &e))?;
    // Whoever started it may have gone.
    let _ = writeln!(std::io::stdout(), "{ready}");
    if let Some(presence) = &mut presence {
        presence.ready(ready).map_err(|e| Failure::from_display("the record of this process", &e))?;
    }
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    stop.cancel();
    match serving.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Failure::new(report(&error))),
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
    let (handle, serving) = openmesh_venues::start(config, stop.clone()).await.map_err(|e| Failure::new(report(&e)))?;
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

/// The recordings that are replayed, a line for each: a venue has one clock, so others of the same venue are left out, and a
/// person should know which they see.
fn replayed(catalogue: &Catalogue) -> Vec<String> {
    let line = |set: &openmesh_venues::SetInfo| {
        let venues: Vec<&str> = set.exchanges.iter().map(|e| e.name()).collect();
        format!("{}: {}, {} s, then silence", venues.join(", "), set.name, set.length_ms / 1_000)
    };
    let mut lines: Vec<String> = catalogue.sets.iter().map(line).collect();
    lines.push("other recordings of these venues are left out; --sets NAME,NAME chooses".into());
    lines
}

fn chain(dir: &Path) -> Option<Arc<ReplayChain>> {
    match ReplayChain::load(dir) {
        Ok(chain) => Some(Arc::new(chain)),
        Err(error) => {
            tracing::info!(error = report(&error), "no blocks of a chain are replayed");
            None
        }
    }
}

/// One source for each venue, with what is served of it.
///
/// A source is instruments and feeds; which kind of instrument has which feed is the venue's rule ([`Class::of`]), the
/// same for every validator. A recording may lack a feed of some instruments although the venue has it, because nobody
/// recorded it. Such a feed is left out: asked for it would be refused, and a window of it is nothing to agree on.
fn sources(catalogue: &Catalogue) -> Vec<CatalogueEntry> {
    let mut all: BTreeMap<Exchange, BTreeMap<&Symbol, BTreeSet<Feed>>> = BTreeMap::new();
    for entry in &catalogue.entries {
        all.entry(entry.exchange).or_default().entry(&entry.symbol).or_default().extend(&entry.feeds);
    }
    let mut sources = Vec::new();
    for (exchange, served) in all {
        let mut feeds: BTreeSet<Feed> = served.values().flatten().copied().collect();
        feeds.retain(|feed| {
            let has_class = |symbol: &Symbol| Class::of(exchange, symbol, *feed).is_some();
            let lacking = served.iter().filter(|(symbol, has)| has_class(symbol) && !has.contains(feed)).count();
            if lacking > 0 {
                tracing::warn!(%exchange, %feed, lacking, "left out: it is served of some instruments only");
            }
            lacking == 0
        });
        if feeds.is_empty() {
            continue;
        }
        sources.push(CatalogueEntry {
            id: exchange.name().into(),
            exchange: exchange.name().into(),
            kind: SourceKind::Market,
            symbols: served.keys().map(ToString::to_string).collect(),
            feeds: feeds.iter().map(|feed| feed.name().to_string()).collect(),
        });
    }
    sources
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(symbol: &str, feeds: &[Feed]) -> openmesh_venues::CatalogueEntry {
        openmesh_venues::CatalogueEntry {
            exchange: Exchange::Bybit,
            symbol: symbol.parse().unwrap(),
            instrument: symbol.replace('.', ""),
            feeds: feeds.to_vec(),
            set: "test".into(),
        }
    }

    #[test]
    fn feeds_that_only_perpetuals_have_stay_and_those_that_were_not_recorded_go() {
        let entries = vec![
            entry("BTC.USDT", &[Feed::Trades, Feed::Book]),
            entry("BTC.USDT-PERP", &[Feed::Trades, Feed::Book, Feed::Funding, Feed::Candles]),
        ];
        let sources = sources(&Catalogue { entries, ..Catalogue::default() });
        assert_eq!(sources.len(), 1);
        assert_eq!(sources[0].symbols, ["BTC.USDT", "BTC.USDT-PERP"]);
        assert_eq!(sources[0].feeds, ["trades", "book", "funding"], "no candles: spot has them at Bybit, but not here");
    }
}
