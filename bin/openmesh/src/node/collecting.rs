//! Collecting as this node is configured to: markets and chains, with their windows on the way to the duties.

use std::str::FromStr;
use std::sync::Arc;

use openmesh_collector as collector;
use openmesh_content::BlockStore;
use openmesh_duties::sources::Sources;
use openmesh_duties::{Window, Withdrawal, chain};
use openmesh_evm::source;
use openmesh_ingest::Incidents;
use openmesh_lake::NodeIncidentRow;
use openmesh_ledger::{Origin, SourceKind, SourceSpec};
use openmesh_market::{Event, EventKind, Exchange, Feed};
use openmesh_primitives::{Symbol, ValidatorKey, report};
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::chains::{self, Following};
use super::config::{Files, NodeConfig};
use super::drill;
use super::running::Stage;
use crate::failure::{Failure, OrFail as _};

/// Windows on their way to the duties, which take them at once.
const WINDOWS_WAITING_MAX: usize = 256;

/// Dependencies of collecting.
pub struct Deps<'a> {
    pub config: &'a NodeConfig,
    pub files: &'a Files,
    /// The register, and which sources this node collects; followed while the node runs.
    pub sources: watch::Receiver<Arc<Sources>>,
    pub key: &'a ValidatorKey,
    /// Store of chunks.
    pub content: Arc<BlockStore>,
    /// Store of raw segments.
    pub raw: Arc<BlockStore>,
    pub registry: &'a mut Registry,
    /// Rows of the collector's incidents.
    pub incidents: Incidents,
}

/// Running collection.
pub struct Collecting {
    /// Live market data.
    pub collector: collector::Handle,
    /// Closed windows of all sources.
    pub windows: mpsc::Receiver<Window>,
    /// Chunks of them that are taken back.
    pub withdrawals: mpsc::Receiver<Withdrawal>,
    /// Its tasks.
    pub stage: Stage,
}

/// Starts to collect. Fails where the genesis or the configuration names what cannot be collected.
pub fn start(deps: Deps<'_>) -> Result<Collecting, Failure> {
    let mut stage = Stage::new("collecting");
    let (windows, to_attest) = mpsc::channel(WINDOWS_WAITING_MAX);
    let (withdrawals, to_withdraw) = mpsc::channel(WINDOWS_WAITING_MAX);
    let sources = deps.sources.borrow().clone();
    if let Some(node) = chain_node(deps.config) {
        let (content, windows) = (deps.content.clone(), windows.clone());
        let begin = move |source: String| {
            let stop = CancellationToken::new();
            let chain = chain::Deps { content: content.clone(), windows: windows.clone(), stop: stop.clone() };
            let config = chain::Config { source: source.clone(), node: node.clone() };
            Ok::<_, source::SourceError>(Following::new(source, stop, chain::start(config, chain)?))
        };
        let first = chains::wanted(&sources).map(&begin).transpose().or_fail("node.toml, collect.ethereum")?;
        stage.add(tokio::spawn(chains::follow(deps.sources.clone(), first, stage.stop(), begin)));
    }
    let live = sources.collected().any(|spec| spec.origin == Origin::Live);
    let markets = market_configs(&sources);
    tracing::info!(live, sources = markets.len(), "collecting");
    let collector = start_markets(deps, markets, windows, withdrawals, &mut stage)?;
    Ok(Collecting { collector, windows: to_attest, withdrawals: to_withdraw, stage })
}

/// The node of the chain, where an address for it is configured.
fn chain_node(config: &NodeConfig) -> Option<source::Config> {
    let url = config.collect.ethereum.as_ref()?;
    Some(if config.collect.ethereum_sparse { source::Config::replay(url) } else { source::Config::new(url) })
}

fn start_markets(
    deps: Deps<'_>,
    markets: Vec<collector::SourceConfig>,
    windows: mpsc::Sender<Window>,
    withdrawals: mpsc::Sender<Withdrawal>,
    stage: &mut Stage,
) -> Result<collector::Handle, Failure> {
    let Deps { config, files, key, content, raw, registry, incidents, sources } = deps;
    let site = key.public().address().to_string();
    let settings = collector::Config {
        sources: markets,
        gateway: config.collect.gateway.clone(),
        archive_dir: files.data("archive"),
        ..collector::Config::default()
    };
    let own = collector::Deps {
        metrics: collector::Metrics::register(registry),
        tamper: config.drill.alter.as_deref().map(drill::alter).transpose()?,
        stop: stage.stop(),
        raw,
        ..collector::Deps::new(content, key.clone())
    };
    let (handle, outputs, task) = collector::start(settings, own).or_fail("collectors")?;
    stage.add(task);
    stage.add(forward(outputs.windows, windows, |output| Window::of_market(&output.source, &output.value)));
    stage.add(forward(outputs.withdrawn, withdrawals, |output| Withdrawal::of_market(&output.source, &output.value)));
    let mut from = outputs.incidents;
    stage.add(tokio::spawn(async move {
        while let Some(output) = from.recv().await {
            if let Some(row) = incident_row(&site, &output.source, &output.value) {
                incidents.record(row);
            }
        }
    }));
    stage.add(tokio::spawn(follow(sources, handle.clone(), stage.stop())));
    Ok(handle)
}

/// Collects what the register in the state says, as it changes, until the node stops.
async fn follow(mut sources: watch::Receiver<Arc<Sources>>, collector: collector::Handle, stop: CancellationToken) {
    while let Some(Ok(())) = stop.run_until_cancelled(sources.changed()).await {
        let markets = market_configs(&sources.borrow_and_update().clone());
        match collector.set_sources(markets).await {
            Ok(changes) if changes == collector::SourceChanges::default() => {}
            Ok(changes) => tracing::info!(?changes, "the sources have changed"),
            Err(error) => tracing::error!(error = report(&error), "the sources are not changed"),
        }
    }
    // The stage ends as a whole, and not because the register is followed no more.
    stop.cancelled().await;
}

/// The market sources that this node collects. One that cannot be collected, which anybody may have registered, leaves the
/// others alone.
fn market_configs(sources: &Sources) -> Vec<collector::SourceConfig> {
    let markets = sources.collected().filter(|spec| spec.kind == SourceKind::Market);
    let mut configs = Vec::new();
    for spec in markets {
        match source_config(&spec) {
            Ok(config) => configs.push(config),
            Err(why) => tracing::warn!(source = spec.id, why, "a registered source cannot be collected"),
        }
    }
    if configs.len() > collector::SOURCES_MAX {
        tracing::warn!(
            sources = configs.len(),
            max = collector::SOURCES_MAX,
            "too many sources: the last are left out"
        );
        configs.truncate(collector::SOURCES_MAX);
    }
    configs
}

/// The row of an incident of a venue; `None` for any other event.
fn incident_row(site: &str, source: &str, event: &Event) -> Option<NodeIncidentRow> {
    let EventKind::Incident(incident) = &event.kind else { return None };
    let stream = match (&event.symbol, incident.feed) {
        (Some(symbol), Some(feed)) => Some(format!("{symbol}/{feed}")),
        (Some(symbol), None) => Some(symbol.to_string()),
        (None, feed) => feed.map(|feed| feed.to_string()),
    };
    Some(NodeIncidentRow {
        site: site.into(),
        source: source.into(),
        time: event.ts_capture,
        kind: incident.kind.name().into(),
        window: None,
        stream,
        detail: incident.detail.clone(),
    })
}

/// Passes on what comes, in another form, until either end is gone.
fn forward<T: Send + 'static, U: Send + 'static>(
    mut from: mpsc::Receiver<T>,
    to: mpsc::Sender<U>,
    form: impl Fn(T) -> Option<U> + Send + 'static,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        while let Some(item) = from.recv().await {
            if let Some(item) = form(item)
                && to.send(item).await.is_err()
            {
                return;
            }
        }
    })
}

/// A source as the collector takes it; else the cause.
fn source_config(spec: &SourceSpec) -> Result<collector::SourceConfig, String> {
    let symbols = spec.symbols.iter().map(|s| s.parse::<Symbol>()).collect::<Result<Vec<_>, _>>();
    let feeds = spec.feeds.iter().map(|f| f.parse::<Feed>()).collect::<Result<Vec<_>, _>>();
    let config = collector::SourceConfig {
        id: spec.id.clone(),
        exchange: spec.exchange.parse().map_err(|e: <Exchange as FromStr>::Err| e.to_string())?,
        symbols: symbols.map_err(|e| e.to_string())?,
        feeds: feeds.map_err(|e| e.to_string())?,
        window_ms: u32::try_from(spec.window_ms).map_err(|e| e.to_string())?,
    };
    config.check().map_err(|e| e.to_string())?;
    Ok(config)
}
