//! `openmesh up`: a whole network on this machine.
//!
//! Every part is a process of its own (the venues' server, each validator), as it would be on machines of their own:
//! one that dies takes nothing with it, is started again with the same state, and catches up. This process only
//! supervises. Losing it stops nothing: the others have no tie to it, write to logs of their own, and the next `openmesh up`
//! of the same home takes over what runs and starts the rest. Ctrl-C and `openmesh down` stop all.

mod adopt;
mod board;
#[cfg(test)]
mod broken_starts;
pub mod catalogue;
pub mod down;
pub mod home;
mod market;
pub mod network;
pub mod process;
mod progress;
pub mod settings;
pub mod supervisor;
mod terminal;
pub mod xnode;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use openmesh_ledger::Genesis;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::UpArgs;
use crate::failure::Failure;
use catalogue::{CatalogueEntry, VenuesReady};
use home::{Home, NodeHome};
use market::Market;
use process::{Process, Program};
use supervisor::{DRAIN, Supervisor};
use terminal::{command, say};
use xnode::Xnode;

pub use board::Board;

/// Longest time until a validator's API answers: opening the store and reading its tip is quick, replaying an
/// unflushed lake after a crash is not.
const READY_SECONDS_MAX: u64 = 120;
/// Longest time until the venues' server is ready: recordings are read and indexed first.
const VENUES_SECONDS_MAX: u64 = 120;

/// Starts a network or takes over the one that runs, shows its progress, and stops it on Ctrl-C.
pub async fn run(arguments: UpArgs) -> Result<(), Failure> {
    let (market, reason) = market::choose(&arguments).await?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|e| Failure::from_display("signals", &e))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|e| Failure::from_display("signals", &e))?;
    let home = Home::open(&arguments, &market)?;
    say(format_args!("{reason}"));
    say(format_args!("home     {}", home.root().display()));
    let genesis = network::inspect(home.root(), arguments.validators as usize)?;
    if let Some(genesis) = &genesis {
        network::check_window(home.root(), genesis, arguments.window)?;
    }
    settings::check(&nodes(&home, &arguments))?;
    let mut supervisor = Supervisor::new(home.root())?;

    let (mut processes, mut xnode) = (Vec::new(), Xnode::Without(None));
    let started = tokio::select! {
        started = start(&arguments, &market, &home, genesis, &mut processes, &mut xnode) => Some(started),
        _ = interrupt.recv() => None,
        _ = terminate.recv() => None,
    };
    let network = match started {
        Some(Ok(network)) => network,
        // What ran before goes on, as it did without a supervisor.
        Some(Err(failure)) => {
            let (adopted, started) = processes.into_iter().partition(Process::is_adopted);
            leave(adopted, home.down());
            undisturbed(stop(started, supervisor), &mut interrupt).await;
            undisturbed(xnode.abandon(false), &mut interrupt).await;
            return Err(hinted(failure));
        }
        None => {
            undisturbed(stop(processes, supervisor), &mut interrupt).await;
            undisturbed(xnode.abandon(true), &mut interrupt).await;
            return Err(Failure::new("interrupted while starting; nothing is left running"));
        }
    };
    processes.into_iter().for_each(|process| supervisor.keep(process));
    network.announce();
    xnode.announce(&network.apis[0]).await;
    if let Some(agent) = xnode.own() {
        supervisor.keep_agent(agent);
    }
    end_of_announcement(home.down());
    tokio::select! {
        () = progress::show(&network.apis, &market) => {}
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    say(format_args!("\nstopping: validators finish what they write (Ctrl-C again does not hurt)"));
    undisturbed(supervisor.stop(), &mut interrupt).await;
    say(format_args!("stopped; started again it goes on from here"));
    Ok(())
}

/// Says which processes go on without a supervisor.
fn leave(processes: Vec<Process>, down: &str) {
    for process in &processes {
        say(format_args!("{} goes on (process {})", process.program().name(), process.pid()));
    }
    if !processes.is_empty() {
        say(format_args!("{down} stops what goes on"));
    }
}

/// Stops the processes of a start that came to nothing: validators first, as [`Supervisor::stop`] does.
async fn stop(processes: Vec<Process>, supervisor: Supervisor) {
    let (venues, nodes): (Vec<Process>, Vec<Process>) =
        processes.into_iter().partition(|process| process.program().is_venues());
    futures::future::join_all(nodes.into_iter().map(|node| node.stop(DRAIN))).await;
    futures::future::join_all(venues.into_iter().map(|venues| venues.stop(DRAIN))).await;
    supervisor.stop().await;
}

/// Finishes although Ctrl-C is pressed again.
async fn undisturbed(work: impl Future<Output = ()>, interrupt: &mut Signal) {
    tokio::pin!(work);
    loop {
        tokio::select! {
            () = &mut work => return,
            _ = interrupt.recv() => {}
        }
    }
}

/// Adds what to do about a start that failed, where the end of a process's log tells.
fn hinted(failure: Failure) -> Failure {
    let says = |text: &str| failure.message().contains(text);
    if says("Address already in use") {
        return failure.hint("another port with --port N, or any free ones with --port 0");
    }
    if says("the store has format") {
        return failure
            .hint("this home was written by another version of openmesh: move it away, or take another with --home");
    }
    failure
}

/// Addresses of a started network.
struct Network {
    apis: Vec<String>,
    genesis: std::path::PathBuf,
}

impl Network {
    fn announce(&self) {
        let api = &self.apis[0];
        let openmesh = command();
        say(format_args!("studio   {api}/"));
        say(format_args!("api      {api}/v1/status   (openapi: {api}/openapi.json)"));
        for (number, api) in self.apis.iter().enumerate().skip(1) {
            say(format_args!("         {api}   (validator {number})"));
        }
        say(format_args!(
            "sql      {openmesh} sql --api {api} \"select exchange, symbol, count(*) from trades group by 1, 2\""
        ));
        say(format_args!("trust    {}   (for openmesh verify --trust)", self.genesis.display()));
    }
}

/// Says how everything is stopped, and that it is ready.
fn end_of_announcement(down: &str) {
    say(format_args!("stop     Ctrl-C, or from anywhere: {down}"));
    say(format_args!("         (if this terminal is lost the network goes on, and the same command takes it over)"));
    say(format_args!("ready"));
}

fn nodes(home: &Home, arguments: &UpArgs) -> Vec<NodeHome> {
    (0..arguments.validators as usize).map(|number| NodeHome::of(home.root(), number)).collect()
}

async fn start(
    arguments: &UpArgs,
    market: &Market,
    home: &Home,
    genesis: Option<Genesis>,
    processes: &mut Vec<Process>,
    xnode: &mut Xnode,
) -> Result<Network, Failure> {
    *xnode = xnode::begin(arguments, home.root()).await;
    let venues = match market {
        Market::Live => None,
        _ => Some(start_venues(arguments, market, home.root(), processes).await?),
    };
    let gateway = venues.as_ref().map(|venues| format!("http://{}", venues.venues));
    let genesis = match genesis {
        Some(genesis) => genesis,
        None => make_network(arguments, market, home, venues.map(|venues| venues.catalogue))?,
    };
    let wanted =
        settings::Wanted { arguments, market, gateway: gateway.as_deref(), genesis: &genesis, face: xnode.face() };
    let apis = start_nodes(&wanted, &nodes(home, arguments), processes).await?;
    xnode.ready().await;
    Ok(Network { apis, genesis: home::genesis_file(home.root()) })
}

fn make_network(
    arguments: &UpArgs,
    market: &Market,
    home: &Home,
    catalogue: Option<Vec<CatalogueEntry>>,
) -> Result<Genesis, Failure> {
    let catalogue = catalogue.unwrap_or_else(catalogue::live);
    network::create(home.root(), arguments.validators as usize, market, &catalogue, arguments.window)?;
    let made = network::inspect(home.root(), arguments.validators as usize)?;
    made.ok_or_else(|| Failure::new(format!("the new network in {} is gone", home.root().display())))
}

async fn start_venues(
    arguments: &UpArgs,
    market: &Market,
    root: &Path,
    processes: &mut Vec<Process>,
) -> Result<VenuesReady, Failure> {
    let folder = home::venues_folder(root);
    std::fs::create_dir_all(&folder).map_err(|e| Failure::from_display(folder.display(), &e))?;
    // The address of the last run, so that validators that run on find it again.
    let remembered = folder.join("port");
    let last = std::fs::read_to_string(&remembered).ok().and_then(|text| text.trim().parse::<u16>().ok());
    let program = |port: u16| Program::venues(arguments, market, &folder, &settings::local(port).to_string());
    if let Some((process, ready)) = adopt::venues(&program(0)).await? {
        say(format_args!("venues   go on: {} (process {}, which ran before)", ready.venues, process.pid()));
        processes.push(process);
        return Ok(ready);
    }
    say(format_args!("venues   starting"));
    let process = program(settings::free_port(last)?).start()?;
    // Pushed before it is waited for, so that it is stopped whatever happens meanwhile.
    processes.push(process);
    let process = processes.last_mut().ok_or_else(|| Failure::new("no venues"))?;
    let ready = process.ready(Duration::from_secs(VENUES_SECONDS_MAX)).await?;
    let ready: VenuesReady = serde_json::from_value(ready)
        .map_err(|e| Failure::from_display("the venues' server said something else than expected", &e))?;
    openmesh_storage::files::write_whole(&remembered, ready.venues.port().to_string().as_bytes())
        .map_err(|e| Failure::from_display(remembered.display(), &e))?;
    ready.sets.iter().for_each(|set| say(format_args!("venues   {set}")));
    Ok(ready)
}

/// Takes over the validators that run, starts the rest, and returns the addresses of their APIs.
async fn start_nodes(
    wanted: &settings::Wanted<'_>,
    nodes: &[NodeHome],
    processes: &mut Vec<Process>,
) -> Result<Vec<String>, Failure> {
    let looks = nodes.iter().enumerate().map(|(number, node)| adopt::node(node, number, wanted));
    let mut apis: BTreeMap<usize, String> = BTreeMap::new();
    for (number, found) in futures::future::join_all(looks).await.into_iter().enumerate() {
        if let Some((process, api)) = found? {
            say(format_args!(
                "node     validator {number} goes on: http://{api} (process {}, which ran before)",
                process.pid()
            ));
            apis.insert(number, api);
            processes.push(process);
        }
    }
    let runs_on: BTreeSet<usize> = apis.keys().copied().collect();
    settings::write(wanted, nodes, &runs_on)?;
    let first = processes.len();
    let starting: Vec<usize> = (0..nodes.len()).filter(|number| !runs_on.contains(number)).collect();
    for number in &starting {
        processes.push(Program::node(&nodes[*number]).start()?);
    }
    for (number, process) in starting.into_iter().zip(&mut processes[first..]) {
        let ready = process.ready(Duration::from_secs(READY_SECONDS_MAX)).await?;
        let api = ready.get("api").and_then(|api| api.as_str()).map(adopt::reachable).unwrap_or_default();
        say(format_args!("node     validator {number} is up: http://{api}"));
        apis.insert(number, api);
    }
    Ok(apis.into_values().map(|api| format!("http://{api}")).collect())
}
