//! Collecting as this node is configured to: markets and chains, with their windows on the way to the duties.

use std::collections::BTreeMap;
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
use openmesh_primitives::{Symbol, ValidatorKey};
use prometheus_client::registry::Registry;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

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
    /// The register, and which sources this node collects.
    pub sources: &'a Sources,
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
    if let Some(config) = chain_config(deps.config, deps.sources) {
        let chain = chain::Deps { content: deps.content.clone(), windows: windows.clone(), stop: stage.stop() };
        stage.add(chain::start(config, chain).or_fail("node.toml, collect.ethereum")?);
    }
    let markets: Vec<&SourceSpec> =
        deps.sources.collected().map(|record| &record.spec).filter(|s| s.kind == SourceKind::Market).collect();
    let live = markets.iter().any(|s| s.origin == Origin::Live);
    let collector = start_markets(deps, &markets, windows, withdrawals, &mut stage)?;
    tracing::info!(live, sources = markets.len(), "collecting");
    Ok(Collecting { collector, windows: to_attest, withdrawals: to_withdraw, stage })
}

/// The chain to follow, where one is registered and an address for it is configured.
fn chain_config(config: &NodeConfig, sources: &Sources) -> Option<chain::Config> {
    let spec = sources
        .collected()
        .map(|record| &record.spec)
        .find(|s| s.kind == SourceKind::Chain && s.exchange == "ethereum")?;
    let url = config.collect.ethereum.as_ref()?;
    let node = if config.collect.ethereum_sparse { source::Config::replay(url) } else { source::Config::new(url) };
    Some(chain::Config { source: spec.id.clone(), node })
}

fn start_markets(
    deps: Deps<'_>,
    markets: &[&SourceSpec],
    windows: mpsc::Sender<Window>,
    withdrawals: mpsc::Sender<Withdrawal>,
    stage: &mut Stage,
) -> Result<collector::Handle, Failure> {
    if markets.is_empty() {
        // Both channels stay open as long as the stage: the duties wait for chains alone.
        let stop = stage.stop();
        stage.add(tokio::spawn(async move {
            stop.cancelled().await;
            drop((windows, withdrawals));
        }));
        return Ok(collector::Handle::idle());
    }
    let Deps { config, files, key, content, raw, registry, incidents, .. } = deps;
    let site = key.public().address().to_string();
    let window_ms = u32::try_from(markets[0].window_ms).unwrap_or(0);
    if markets.iter().any(|s| s.window_ms != u64::from(window_ms)) {
        return Err(Failure::usage("genesis.json: this version collects sources of one window length only"));
    }
    let settings = collector::Config {
        sources: markets.iter().map(|s| source_config(s)).collect::<Result<Vec<_>, _>>()?,
        gateway: config.collect.gateway.clone(),
        archive_dir: files.data("archive"),
        window_ms,
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
    let ids: BTreeMap<Exchange, String> =
        markets.iter().filter_map(|s| Some((s.exchange.parse().ok()?, s.id.clone()))).collect();
    stage.add(forward(outputs.windows, windows, {
        let ids = ids.clone();
        move |window| Window::of_market(ids.get(&window.exchange)?, &window)
    }));
    stage.add(forward(outputs.withdrawn, withdrawals, {
        let ids = ids.clone();
        move |withdrawn| Withdrawal::of_market(ids.get(&withdrawn.stream.exchange)?, &withdrawn)
    }));
    let mut from = outputs.incidents;
    stage.add(tokio::spawn(async move {
        while let Some(event) = from.recv().await {
            if let Some(row) = ids.get(&event.exchange).and_then(|source| incident_row(&site, source, &event)) {
                incidents.record(row);
            }
        }
    }));
    Ok(handle)
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

fn source_config(spec: &SourceSpec) -> Result<collector::SourceConfig, Failure> {
    let wrong = |e: &dyn std::fmt::Display| Failure::usage(format!("genesis.json, source {}: {e}", spec.id));
    let exchange: Exchange = spec.exchange.parse().map_err(|e| wrong(&e))?;
    let symbols =
        spec.symbols.iter().map(|s| s.parse::<Symbol>()).collect::<Result<Vec<_>, _>>().map_err(|e| wrong(&e))?;
    let feeds = spec.feeds.iter().map(|f| f.parse::<Feed>()).collect::<Result<Vec<_>, _>>().map_err(|e| wrong(&e))?;
    Ok(collector::SourceConfig { exchange, symbols, feeds })
}
