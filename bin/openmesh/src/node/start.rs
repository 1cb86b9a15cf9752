//! The order of starting: what others stand on first (store, content, tables), then consensus and its gossip, then
//! ingestion, collecting and duties, then the API. Draining goes the other way, so that nothing is asked of a part that
//! has gone.

use std::sync::Arc;

use openmesh_content::{BlockStore, Limits as ContentLimits};
use openmesh_duties::sources::{self, Collected, Sources};
use openmesh_duties::{self as duties, NodeIncident, Window, Withdrawal};
use openmesh_engine as engine;
use openmesh_gateway as gateway;
use openmesh_ingest as ingest;
use openmesh_lake::{Lake, NodeIncidentRow};
use openmesh_ledger::{Genesis, RuleSets};
use openmesh_network as network;
use openmesh_primitives::{ValidatorKey, sha256};
use openmesh_pythia as pythia;
use openmesh_storage::Store;
use openmesh_threads::Threads;
use prometheus_client::registry::Registry;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::collecting;
use super::config::{Files, KeepLive, NodeConfig};
use super::drill;
use super::gossip;
use super::health::Health;
use super::joining::{self, Answers, Opening};
use super::readiness;
use super::retention;
use super::room::Room;
use super::running::{Consensus, Running, Stage, consensus_failed};
use super::twin;
use crate::failure::{Failure, OrFail as _};

/// Nice value of the threads that fill the tables, added to the process's own: consensus, duties and collecting go first, since what they miss is lost to
/// the network, while tables that are behind say so and catch up.
const TABLES_NICE: i32 = 5;
/// Threads on which the tables' work waits for a disk at once. Each keeps memory of the largest work that it once did, and work goes round all of them.
const TABLES_BLOCKING_THREADS_MAX: usize = 12;
/// Threads of queries: what a machine of two cores can spare.
const QUERY_THREADS: usize = 2;

/// Starts a node; returns its parts and its engine. Fails where a part does not start; those that run then end with the process.
pub async fn start(
    config: &NodeConfig,
    files: &Files,
    key: ValidatorKey,
    genesis: Genesis,
    room: &Room,
    rule_sets: &RuleSets,
) -> Result<(Running, engine::Handle), Failure> {
    let mut registry = Registry::with_prefix("openmesh");
    room.register(&mut registry);
    let contents = Contents::open(config, files)?;
    let answers = Answers::default();
    let instance = joining::instance();
    // Before the store: a node that joins needs peers to have one.
    let (network, network_stage) =
        start_network(config, &genesis, &key, &contents, (&answers, instance), &mut registry).await?;
    let metrics = openmesh_sync::Metrics::register(&mut registry);
    let (dir, public) = (files.data("ledger"), key.public());
    let opening = Opening {
        config,
        dir: &dir,
        genesis: &genesis,
        network: &network,
        metrics: &metrics,
        key: public,
        instance,
        rule_sets,
    };
    let stores = open_stores(&opening, &answers, contents, files).await?;
    let queries = pythia::Pythia::start(query_config(config), stores.lake.clone()).or_fail("queries")?;
    stores.content.register(&mut registry, "content");
    stores.raw.register(&mut registry, "raw");
    let shared = Shared { config, files, key: &key, genesis: &genesis, store: &stores.store, rule_sets };
    let (engine, consensus) = start_consensus(shared, &mut registry).await?;
    let own = joining::own(config, &genesis, &stores.store)?;
    let network_stage = join_network(network_stage, &engine, &network, &stores.store, own);
    let (incidents, from_incidents) = ingest::Incidents::queue();
    let (ingest, ingest_stage) = start_ingest(files, &engine, &network, &stores, from_incidents).await?;
    let (sources, sources_stage) = follow_sources(config, &key, &engine, &stores.store).await?;
    let work = start_work(shared, &engine, &stores, sources, incidents, &mut registry)?;
    let disks = watch_disks(room, &stores.raw);
    let handles = (engine.clone(), stores.store.clone(), network.clone(), room.clone());
    let (health, watch) = Health::start(config, files, &genesis, public, handles, &mut registry);
    let mut api = Stage::new("the API");
    let full_disks = room.clone();
    let deps = gateway::Deps {
        store: stores.store,
        engine: engine.clone(),
        content: stores.content,
        fetch: fetch_for_people(&network),
        pythia: queries,
        ingest,
        duties: work.duties,
        collector: work.collector,
        registry: Arc::new(registry),
        address: public.address(),
        full_disks: Arc::new(move || full_disks.full()),
        operator_state: Arc::new(move || health.state()),
        public_hosts: config.public_hosts.clone(),
        xnode: config.xnode.face,
        version: env!("CARGO_PKG_VERSION"),
    };
    let (served, serving) = gateway::start(config.api, deps, api.stop()).await.or_fail("api")?;
    api.add(serving);
    let stages = vec![api, watch, disks, work.collecting, sources_stage, work.stage, ingest_stage, network_stage];
    Ok((Running::new(served.address, consensus, stages), engine))
}

/// Opens the stores, with whatever joining that takes; a key that signs somewhere else is looked for meanwhile, so that a start waits for the longer one
/// of both.
async fn open_stores(
    opening: &Opening<'_>,
    answers: &Answers,
    contents: Contents,
    files: &Files,
) -> Result<Stores, Failure> {
    let store = opening.own_store().await?;
    let begin = twin::begin(opening, &store)?;
    let opened = async {
        let store = opening.go_on(store).await?;
        answers.open(&store, opening.config, opening.metrics);
        Stores::open(store, contents, files, opening.config).await
    };
    let (stores, ()) = tokio::try_join!(opened, twin::check(opening, begin))?;
    Ok(stores)
}

fn watch_disks(room: &Room, raw: &Arc<BlockStore>) -> Stage {
    let mut disks = Stage::new("the watch over the disks");
    disks.add(tokio::spawn(room.clone().watch(Arc::clone(raw), disks.stop())));
    disks
}

/// Stores on this node's disk.
struct Stores {
    store: Store,
    /// Agreed chunks, and this node's own.
    content: Arc<BlockStore>,
    /// Raw frames as this site received them.
    raw: Arc<BlockStore>,
    lake: Lake,
}

impl Stores {
    async fn open(store: Store, contents: Contents, files: &Files, config: &NodeConfig) -> Result<Stores, Failure> {
        let lake = Lake::open(&files.data("lake"), lake_config(config)).await.or_fail("lake")?;
        Ok(Stores { store, content: contents.content, raw: contents.raw, lake })
    }
}

/// Stores that are there before the ledger's, because peers are served from them.
struct Contents {
    content: Arc<BlockStore>,
    raw: Arc<BlockStore>,
}

impl Contents {
    fn open(config: &NodeConfig, files: &Files) -> Result<Contents, Failure> {
        let content = ContentLimits {
            // A full Ethereum block is more than a window of a market may be.
            block_bytes_max: network::limits::BLOCK_BYTES_MAX as u64,
            store_bytes_max: config.limits.content_bytes_max,
            ..ContentLimits::default()
        };
        let raw = ContentLimits {
            store_bytes_max: config.limits.raw_bytes_max,
            // Nothing but segments is here, and the oldest make room for the next.
            reserve_percent: 0,
            // And for others on a disk that is full: what is removed has to leave it.
            packed_bytes_max: 0,
            ..ContentLimits::default()
        };
        Ok(Contents {
            content: Arc::new(BlockStore::open(&files.data("content"), content).or_fail("content")?),
            raw: Arc::new(BlockStore::open(&files.data("raw"), raw).or_fail("raw frames")?),
        })
    }
}

fn query_config(config: &NodeConfig) -> pythia::Config {
    pythia::Config {
        time_ms_max: config.limits.query_ms_max,
        memory_bytes_max: usize::try_from(config.limits.query_bytes_max).unwrap_or(usize::MAX),
        rows_max: config.limits.query_rows_max as usize,
        concurrency: config.limits.queries_max as usize,
        threads: QUERY_THREADS,
        ..pythia::Config::default()
    }
}

/// Settings, key and store that parts of a node share.
#[derive(Clone, Copy)]
struct Shared<'a> {
    config: &'a NodeConfig,
    files: &'a Files,
    key: &'a ValidatorKey,
    genesis: &'a Genesis,
    store: &'a Store,
    rule_sets: &'a RuleSets,
}

async fn start_consensus(shared: Shared<'_>, registry: &mut Registry) -> Result<(engine::Handle, Consensus), Failure> {
    let Shared { config, files, key, genesis, store, rule_sets } = shared;
    let name = genesis.validators.iter().find(|v| v.public_key == key.public()).map_or("observer", |v| &v.name);
    let settings = engine::Config {
        peers: config.consensus.peers.clone(),
        pauses: openmesh_engine::Pauses {
            idle_block_ms: config.consensus.idle_block_ms,
            ..openmesh_engine::Pauses::default()
        },
        rule_sets: rule_sets.clone(),
        ..engine::Config::new(name, files.data("consensus"), config.consensus.listen)
    };
    let stop = CancellationToken::new();
    let started = engine::start(settings, Some(key.clone()), store.clone(), stop.clone(), registry).await;
    let (handle, task) = started.map_err(|error| consensus_failed("consensus", &error))?;
    Ok((handle, Consensus { task, stop }))
}

async fn start_network(
    config: &NodeConfig,
    genesis: &Genesis,
    key: &ValidatorKey,
    contents: &Contents,
    (answers, instance): (&Answers, u64),
    registry: &mut Registry,
) -> Result<(network::Handle, Stage), Failure> {
    let mut stage = Stage::new("the peer-to-peer network");
    let held = [contents.content.clone(), contents.raw.clone()];
    let provider: network::Provider = Arc::new(move |cid| {
        held.iter().find_map(|store| {
            store.get(cid).unwrap_or_else(|error| {
                tracing::error!(%error, "content cannot be given to a peer");
                None
            })
        })
    });
    let settings = network_config(config, genesis, key)?;
    let (handle, task) = network::start(settings, provider, stage.stop(), registry).await.or_fail("network")?;
    handle.answer_with(answers.responder(&config.drill));
    handle.greet_with(joining::greeter(genesis, &config.drill, instance), openmesh_sync::Greeter::is_short);
    stage.add_fallible(task);
    Ok((handle, stage))
}

/// Joins the network's host and consensus, now that there is one.
fn join_network(
    mut stage: Stage,
    engine: &engine::Handle,
    network: &network::Handle,
    store: &Store,
    own: openmesh_sync::Own,
) -> Stage {
    stage.add(gossip::join(engine, network, stage.stop()));
    let trusted = joining::watch_for_trusted(store.clone(), own.trust.block, stage.stop());
    stage.add_fallible(tokio::spawn(trusted));
    let watch = joining::watch_for_gap(store.clone(), own, joining::peers(network), stage.stop());
    stage.add_fallible(tokio::spawn(watch));
    stage
}

fn network_config(config: &NodeConfig, genesis: &Genesis, key: &ValidatorKey) -> Result<network::Config, Failure> {
    let parse = |list: &[String]| -> Result<Vec<network::Multiaddr>, Failure> {
        list.iter()
            .map(|text| text.parse().map_err(|e| Failure::usage(format!("node.toml: {text} is no multiaddress: {e}"))))
            .collect()
    };
    Ok(network::Config {
        listen: parse(&config.network.listen)?,
        peers: parse(&config.network.peers)?,
        chain_id: genesis.chain_id,
        // An identity of its own, made from the validator's key so that peers know the node again; the key does not
        // follow from it.
        key_seed: sha256(&[b"openmesh peer identity", &key.seed()]).0,
    })
}

async fn start_ingest(
    files: &Files,
    engine: &engine::Handle,
    network: &network::Handle,
    stores: &Stores,
    incidents: ingest::IncidentQueue,
) -> Result<(ingest::Handle, Stage), Failure> {
    let settings = openmesh_threads::Config {
        name: "tables",
        nice: TABLES_NICE,
        blocking_threads_max: TABLES_BLOCKING_THREADS_MAX,
    };
    let mut stage = Stage::on(Threads::start(settings).or_fail("threads of ingestion")?, "ingestion");
    let threads = stage.handle();
    let config = ingest::Config {
        memory_file: files.data("awaited_chunks.json"),
        archive: files.data("archive"),
        segments_read: files.data("segments_read"),
    };
    let deps = ingest::Deps {
        store: stores.store.clone(),
        content: stores.content.clone(),
        lake: stores.lake.clone(),
        fetch: fetch_for_tables(network),
        committed: engine.committed(),
        incidents,
        stop: stage.stop(),
    };
    let (handle, task) = threads.spawn(ingest::start(config, deps)).await.or_fail("ingestion")?;
    stage.add(task);
    let (store, content, stop) = (stores.store.clone(), stores.content.clone(), stage.stop());
    stage.add(threads.spawn(retention::follow(store, content, engine.committed(), stop)));
    let (lake, stop) = (stores.lake.clone(), stage.stop());
    stage.add_fallible(threads.spawn(async move { lake.run(stop.cancelled_owned()).await }));
    Ok((handle, stage))
}

/// Follows the register of sources, and which of them this node collects.
async fn follow_sources(
    config: &NodeConfig,
    key: &ValidatorKey,
    engine: &engine::Handle,
    store: &Store,
) -> Result<(watch::Receiver<Arc<Sources>>, Stage), Failure> {
    let mut stage = Stage::new("following the register of sources");
    let keep_live = match &config.collect.keep_live {
        KeepLive::All(_) => sources::KeepLive::All,
        KeepLive::Only(ids) => sources::KeepLive::Only(ids.clone()),
    };
    let rule = Collected { validator: key.public().address(), keep_live };
    let deps = sources::Deps { store: store.clone(), committed: engine.committed(), stop: stage.stop() };
    let (sources, task) = sources::follow(rule, deps).await.or_fail("the register of sources")?;
    stage.add(task);
    Ok((sources, stage))
}

fn lake_config(config: &NodeConfig) -> openmesh_lake::Config {
    openmesh_lake::Config { retain_hours: config.storage.retain_hours, ..openmesh_lake::Config::default() }
}

/// Content from peers, for the tables: whether no peer holds it is told apart.
fn fetch_for_tables(network: &network::Handle) -> ingest::Fetch {
    let network = network.clone();
    Arc::new(move |cid| {
        let network = network.clone();
        Box::pin(async move {
            network.fetch(cid).await.map_err(|error| match error {
                network::FetchError::NotFound { asked, wrong: 0, failed: 0 } if asked > 0 => ingest::FetchError::Absent,
                error => ingest::FetchError::Failed(error.to_string()),
            })
        })
    })
}

/// Content from peers, for the API.
fn fetch_for_people(network: &network::Handle) -> gateway::Fetch {
    let network = network.clone();
    Arc::new(move |cid| {
        let network = network.clone();
        Box::pin(async move { network.fetch(cid).await.map_err(|e| e.to_string()) })
    })
}

/// Collecting and duties of a node, with the stages in which they end.
struct Work {
    collector: openmesh_collector::Handle,
    duties: duties::Handle,
    collecting: Stage,
    stage: Stage,
}

/// Starts to collect the sources that this node is assigned, and the duties that the windows are for.
fn start_work(
    shared: Shared<'_>,
    engine: &engine::Handle,
    stores: &Stores,
    sources: watch::Receiver<Arc<Sources>>,
    incidents: ingest::Incidents,
    registry: &mut Registry,
) -> Result<Work, Failure> {
    let Shared { config, files, key, genesis, store, .. } = shared;
    let collecting = collecting::start(collecting::Deps {
        config,
        files,
        sources,
        key,
        content: stores.content.clone(),
        raw: stores.raw.clone(),
        registry: &mut *registry,
        incidents: incidents.clone(),
    })?;
    let inputs = (collecting.windows, collecting.withdrawals);
    let mut stage = Stage::new("duties");
    let inputs = copies(config, key, (engine, store), genesis.chain_id, inputs, &mut stage);
    let (duties, stage) = start_duties(key.clone(), engine, (stage, store, files), inputs, incidents, registry)?;
    Ok(Work { collector: collecting.collector, duties, collecting: collecting.stage, stage })
}

/// Windows and withdrawals of the collectors.
type Inputs = (mpsc::Receiver<Window>, mpsc::Receiver<Withdrawal>);

/// The collectors' windows; none in a drill in which this validator copies, which takes them.
fn copies(
    config: &NodeConfig,
    key: &ValidatorKey,
    (engine, store): (&engine::Handle, &Store),
    chain_id: u64,
    (windows, withdrawals): Inputs,
    stage: &mut Stage,
) -> Inputs {
    if !config.drill.copy {
        return (windows, withdrawals);
    }
    let (key, store, engine, stop) = (key.clone(), store.clone(), engine.clone(), stage.stop());
    let copier = drill::Copier { key, chain_id, store, engine, windows, withdrawals, stop };
    stage.add(tokio::spawn(copier.run()));
    (mpsc::channel(1).1, mpsc::channel(1).1)
}

fn start_duties(
    key: ValidatorKey,
    engine: &engine::Handle,
    (mut stage, store, files): (Stage, &Store, &Files),
    (windows, withdrawals): Inputs,
    incidents: ingest::Incidents,
    registry: &mut Registry,
) -> Result<(duties::Handle, Stage), Failure> {
    stage.add(tokio::spawn(readiness::tell(key.clone(), store.clone(), engine.clone(), stage.stop())));
    let site = key.public().address().to_string();
    let mempool = engine.clone();
    let deps = duties::Deps {
        key,
        store: store.clone(),
        submit: Arc::new(move |bytes| {
            let mempool = mempool.clone();
            Box::pin(async move { mempool.submit_own(bytes).await })
        }),
        committed: engine.committed(),
        windows,
        withdrawals,
        journal: duties::Journal::open(&files.data("statements")).or_fail("statements about windows")?,
        metrics: duties::Metrics::register(registry),
        stop: stage.stop(),
    };
    let (handle, task) = duties::start(deps).or_fail("duties")?;
    stage.add(task);
    stage.add(tokio::spawn(record_incidents(handle.incidents(), site, incidents, stage.stop())));
    Ok((handle, stage))
}

/// Makes rows of the incidents of duties until the node stops.
async fn record_incidents(
    mut from: broadcast::Receiver<Arc<NodeIncident>>,
    site: String,
    incidents: ingest::Incidents,
    stop: CancellationToken,
) {
    while let Some(incident) = stop.run_until_cancelled(from.recv()).await {
        let incident = match incident {
            Ok(incident) => incident,
            Err(RecvError::Lagged(count)) => {
                tracing::warn!(count, "incidents of duties came too fast to be recorded");
                continue;
            }
            Err(RecvError::Closed) => return,
        };
        incidents.record(NodeIncidentRow {
            site: site.clone(),
            source: incident.window.source.clone(),
            time: incident.time,
            kind: incident.kind.name().into(),
            window: Some(incident.window.number),
            stream: incident.stream.clone(),
            detail: incident.detail.clone(),
        });
    }
}
