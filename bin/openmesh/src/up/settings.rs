//! The part of a validator's configuration that changes with each start: addresses, and where its market data comes from.
//!
//! It goes into `run.toml`, made again by each start. `node.toml` is a person's: it is written once, with nothing but
//! comments, and what it says counts before what `run.toml` says.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::RangeInclusive;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{self, UnixListener};
use std::sync::{Mutex, PoisonError};

use openmesh_ledger::{Genesis, SourceKind};
use openmesh_storage::files::write_whole;

use super::home::NodeHome;
use super::market::Market;
use crate::cli::UpArgs;
use crate::failure::Failure;
use crate::node::config::{
    Alerts, Collect, Consensus, Drill, Every, KeepLive, Limits, Network, NodeConfig, Storage, Sync, Xnode, merged,
    read_table,
};

/// First lines of each `run.toml`.
const RUN_HEADER: &str =
    "# Made again by each `openmesh up`. What you write belongs in node.toml beside it, which counts before this.\n\n";
/// Ports that the kernel gives to nobody by itself (it has 32768 to 60999 for whoever asks for any, ip(7)), and that no application gets (20000 to 29999).
const CHOSEN: RangeInclusive<u16> = 30_000..=32_767;
/// Number of the validator that keeps every block, unless its `node.toml` says otherwise.
const ARCHIVE: usize = 0;
/// The `node.toml` of a new home.
const NODE_TEMPLATE: &str = "\
# Settings of this validator. `openmesh up` writes this file once and never again; what stands here counts before what it
# chooses itself (run.toml). Each takes effect when the validator starts again.

# What Studio is called in a browser, for signing in from another machine:
# public_hosts = [\"studio.example\"]

# The agent of this machine (openmesh xnode agent), to which /v1/xnode is passed on; `xnode = {}` for nobody's:
# xnode = { face = \"127.0.0.1:7780\" }

# [limits]
# content_bytes_max = 21474836480    # disk for the chunks that the network agreed on
# raw_bytes_max = 10737418240        # disk for raw frames; the oldest go where there is no room
# query_ms_max = 30000

# [storage]
# retain_epochs = 336                # hours for which blocks and facts are kept; 0 for ever
# archive = true                     # every block for ever, and all of them when it joins; the first validator's default
# retain_hours = 720                 # hours for which the tables keep rows; for ever without it

# [sync]
# trust = \"HEIGHT:HASH\"              # a block that you know from elsewhere; a join by snapshot begins there
";

/// Addresses of a validator on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Of the API.
    pub api: u16,
    /// Of consensus.
    pub consensus: u16,
    /// Of gossip and content.
    pub network: u16,
}

/// Requirements of a start, as the arguments and the market state them.
pub struct Wanted<'a> {
    /// Arguments of `up`.
    pub arguments: &'a UpArgs,
    /// Origin of the market data.
    pub market: &'a Market,
    /// Address of the venues' server, where there is one.
    pub gateway: Option<&'a str>,
    /// The network.
    pub genesis: &'a Genesis,
    /// Address of the face of the Xnode's agent; none for the usual one.
    pub face: Option<SocketAddr>,
}

impl Wanted<'_> {
    /// The sources' addresses as a validator of this start has them.
    pub fn collect(&self) -> Collect {
        let has_chain = self.genesis.sources.iter().any(|s| s.kind == SourceKind::Chain);
        Collect {
            gateway: self.gateway.map(String::from),
            ethereum: self.gateway.filter(|_| has_chain).map(|g| format!("{g}/ethereum")),
            ethereum_sparse: matches!(self.market, Market::Replay(_)),
            // The API of each shows everything; attested is what is assigned.
            keep_live: KeepLive::All(Every::All),
        }
    }

    /// The agent of the Xnode to which a validator of this start passes what is asked of it.
    pub fn xnode(&self) -> Xnode {
        self.face.map_or_else(Xnode::default, |face| Xnode { face: Some(face) })
    }

    /// `N:SOURCE/SYMBOL/FEED`, and the validator that copies, for this validator.
    pub fn drill(&self, number: usize) -> Result<Drill, Failure> {
        let copy = self.arguments.drill_copy == Some(number);
        if let Some(wrong) = self.arguments.drill_copy.filter(|n| *n >= self.arguments.validators as usize) {
            return Err(Failure::usage(format!("--drill-copy {wrong}: there is no such validator, the first is 0")));
        }
        let Some(text) = &self.arguments.drill_alter else { return Ok(Drill { copy, ..Drill::default() }) };
        let wrong = || Failure::usage(format!("--drill-alter {text}: N:SOURCE/SYMBOL/FEED is expected"));
        let (validator, stream) = text.split_once(':').ok_or_else(wrong)?;
        let validator: usize = validator.parse().map_err(|_| wrong())?;
        if stream.split('/').count() != 3 || validator >= self.arguments.validators as usize {
            return Err(wrong());
        }
        Ok(Drill { alter: (validator == number).then(|| stream.to_string()), copy, ..Drill::default() })
    }
}

/// Reads the settings of each home's person, before anything is started.
///
/// # Errors
/// Where a file cannot be read or is not understood; it is named.
pub fn check(nodes: &[NodeHome]) -> Result<(), Failure> {
    for (number, node) in nodes.iter().enumerate() {
        let ports = Ports { api: 0, consensus: 0, network: 0 };
        let config = config(ports, Collect::default(), Drill::default(), &[], number);
        effective(node, &config)?;
    }
    Ok(())
}

/// The addresses of the last start, of those homes that have been started.
pub fn former_ports(node: &NodeHome) -> Option<Ports> {
    let config = former(node)?;
    let (_, network) = config.network.listen.first()?.rsplit_once('/')?;
    Some(Ports { api: config.api.port(), consensus: config.consensus.listen.port(), network: network.parse().ok()? })
}

/// The configuration with which a running validator was started.
pub fn former(node: &NodeHome) -> Option<NodeConfig> {
    let text = std::fs::read_to_string(node.files().run()).ok()?;
    toml::from_str(&text).ok()
}

/// Writes each home's `run.toml`, apart from those that run on, and `node.toml` where there is none.
///
/// # Errors
/// Where a port is taken, a file cannot be written, or a `node.toml` does not go together with it.
pub fn write(wanted: &Wanted<'_>, nodes: &[NodeHome], runs_on: &BTreeSet<usize>) -> Result<(), Failure> {
    let mut ports = Vec::new();
    let mut held = Held::default();
    for (number, node) in nodes.iter().enumerate() {
        let former = former_ports(node);
        ports.push(match former {
            Some(former) if runs_on.contains(&number) => former,
            _ => held.choose(wanted.arguments.port, number, former, has_api(node)?)?,
        });
    }
    drop(held);
    let configs: Vec<NodeConfig> = (0..nodes.len())
        .map(|number| {
            let config = config(ports[number], wanted.collect(), wanted.drill(number)?, &ports, number);
            Ok(NodeConfig { xnode: wanted.xnode(), ..config })
        })
        .collect::<Result<_, Failure>>()?;
    // Addresses as the persons' settings leave them: the others must know those.
    let listens: Vec<NodeConfig> =
        nodes.iter().zip(&configs).map(|(node, config)| effective(node, config)).collect::<Result<_, _>>()?;
    for (number, (node, mut config)) in nodes.iter().zip(configs).enumerate() {
        if runs_on.contains(&number) {
            continue;
        }
        let others = || listens.iter().enumerate().filter(|(n, _)| *n != number).map(|(_, other)| other);
        config.consensus.peers = others().map(|other| multiaddress(other.consensus.listen)).collect();
        config.network.peers =
            others().filter_map(|other| other.network.listen.first().map(|l| reachable(l))).collect();
        let text = toml::to_string(&config).map_err(|e| Failure::from_display("run.toml", &e))?;
        put(&node.files().run(), &format!("{RUN_HEADER}{text}"))?;
        if node.files().config().symlink_metadata().is_err() {
            put(&node.files().config(), NODE_TEMPLATE)?;
        }
    }
    Ok(())
}

fn config(ports: Ports, collect: Collect, drill: Drill, all: &[Ports], number: usize) -> NodeConfig {
    let network = |ports: &Ports| format!("/ip4/127.0.0.1/tcp/{}", ports.network);
    let others = || all.iter().enumerate().filter(|(n, _)| *n != number).map(|(_, ports)| ports);
    NodeConfig {
        api: local(ports.api),
        public_hosts: Vec::new(),
        genesis: None,
        role: None,
        xnode: Xnode::default(),
        consensus: Consensus {
            listen: local(ports.consensus),
            peers: others().map(|ports| multiaddress(local(ports.consensus))).collect(),
            idle_block_ms: 1_000,
        },
        network: Network { listen: vec![network(&ports)], peers: others().map(network).collect() },
        collect,
        limits: Limits::default(),
        // One keeps everything, so that the network can be replayed from its genesis and others can still join by blocks.
        storage: Storage { archive: number == ARCHIVE, ..Storage::default() },
        sync: Sync::default(),
        alerts: Alerts::default(),
        drill,
    }
}

/// The configuration of a home with this `run.toml`.
fn effective(node: &NodeHome, run: &NodeConfig) -> Result<NodeConfig, Failure> {
    let run = toml::Table::try_from(run).map_err(|e| Failure::from_display("run.toml", &e))?;
    merged(&node.files(), run)
}

/// Returns true when a person has chosen the address of the API.
fn has_api(node: &NodeHome) -> Result<bool, Failure> {
    Ok(read_table(&node.files().config())?.is_some_and(|table| table.contains_key("api")))
}

/// Ports that are given in this start, held until all are, so that none is given twice.
#[derive(Default)]
struct Held(Vec<TcpListener>);

impl Held {
    /// The API's ports follow each other from the wanted one; the others are those of the last start, or free ones.
    fn choose(
        &mut self,
        first: u16,
        number: usize,
        former: Option<Ports>,
        has_own_api: bool,
    ) -> Result<Ports, Failure> {
        let wanted = first.checked_add(u16::try_from(number).unwrap_or(u16::MAX));
        let api = match (first, wanted) {
            _ if has_own_api => 0,
            (0, _) | (_, None) => self.again(former.map(|ports| ports.api))?,
            (_, Some(port)) => self.exactly(port).ok_or_else(|| {
                Failure::new(format!("port {port} is taken"))
                    .hint("name another first port with --port, or let any free ones be taken with --port 0")
            })?,
        };
        let consensus = self.again(former.map(|ports| ports.consensus))?;
        let network = self.again(former.map(|ports| ports.network))?;
        Ok(Ports { api, consensus, network })
    }

    /// This port, where it is free.
    fn exactly(&mut self, port: u16) -> Option<u16> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
        let port = listener.local_addr().ok()?.port();
        self.0.push(listener);
        is_ours(port).then_some(port)
    }

    /// The same port as last time, where it is free, or one that is free now. A program listens on it a moment later, so it is one of [`CHOSEN`], as long as one
    /// of them is free.
    fn again(&mut self, former: Option<u16>) -> Result<u16, Failure> {
        let count = u64::from(CHOSEN.end() - CHOSEN.start()) + 1;
        let first = RandomState::new().hash_one(std::process::id()) % count;
        let port = |step: u64| u16::try_from(u64::from(*CHOSEN.start()) + (first + step) % count).ok();
        let mut all = former.filter(|port| *port != 0).into_iter().chain((0..count).filter_map(port));
        let found = all.find_map(|port| self.exactly(port));
        found.or_else(|| self.exactly(0)).ok_or_else(|| Failure::new("this machine has no free port"))
    }
}

/// Takes a port's name, and returns false where another program that is about to listen there has it. It is held until this process ends: nobody listens on a chosen
/// port yet, so that two starts at the same moment would find the same one free.
fn is_ours(port: u16) -> bool {
    static OURS: Mutex<BTreeMap<u16, UnixListener>> = Mutex::new(BTreeMap::new());
    let mut ours = OURS.lock().unwrap_or_else(PoisonError::into_inner);
    if ours.contains_key(&port) {
        return true;
    }
    let name = net::SocketAddr::from_abstract_name(format!("openmesh-port-{port}"));
    match name.and_then(|name| UnixListener::bind_addr(&name)) {
        Ok(listener) => ours.insert(port, listener).is_none(),
        Err(error) => error.kind() != io::ErrorKind::AddrInUse,
    }
}

/// A port that is free now, the given one where it is.
pub fn free_port(former: Option<u16>) -> Result<u16, Failure> {
    Held::default().again(former)
}

/// A port of this machine alone.
pub fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// The multiaddress at which this machine reaches a socket that listens there.
pub fn multiaddress(listen: SocketAddr) -> String {
    let family = if listen.is_ipv4() { "ip4" } else { "ip6" };
    let host = match listen.ip() {
        ip if !ip.is_unspecified() => ip.to_string(),
        ip if ip.is_ipv4() => "127.0.0.1".to_owned(),
        _ => "::1".to_owned(),
    };
    format!("/{family}/{host}/tcp/{}", listen.port())
}

/// The same multiaddress as this machine reaches it.
fn reachable(listen: &str) -> String {
    listen.replace("/ip4/0.0.0.0/", "/ip4/127.0.0.1/").replace("/ip6/::/", "/ip6/::1/")
}

fn put(path: &std::path::Path, text: &str) -> Result<(), Failure> {
    write_whole(path, text.as_bytes()).map_err(|e| Failure::from_display(path.display(), &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_on_all_interfaces_is_reached_on_loopback() {
        assert_eq!(multiaddress("0.0.0.0:7".parse().unwrap()), "/ip4/127.0.0.1/tcp/7");
        assert_eq!(multiaddress("10.1.2.3:7".parse().unwrap()), "/ip4/10.1.2.3/tcp/7");
        assert_eq!(multiaddress("[::]:7".parse().unwrap()), "/ip6/::1/tcp/7");
        assert_eq!(reachable("/ip4/0.0.0.0/tcp/9"), "/ip4/127.0.0.1/tcp/9");
    }

    #[test]
    fn a_free_port_is_none_that_the_kernel_gives_away() {
        let port = free_port(None).unwrap();
        assert!(CHOSEN.contains(&port), "{port}");
        assert_eq!(free_port(Some(port)).unwrap(), port);
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        let other = free_port(Some(port)).unwrap();
        assert!(other != port && CHOSEN.contains(&other), "{other}");
        drop(taken);
    }

    #[test]
    fn a_port_that_another_start_has_chosen_is_not_chosen() {
        let port = free_port(None).unwrap();
        let named = |port| net::SocketAddr::from_abstract_name(format!("openmesh-port-{port}")).unwrap();
        assert!(UnixListener::bind_addr(&named(port)).is_err(), "it is held while nobody listens yet");
        let theirs = CHOSEN.rev().find_map(|port| Some((port, UnixListener::bind_addr(&named(port)).ok()?))).unwrap();
        assert_ne!(free_port(Some(theirs.0)).unwrap(), theirs.0);
    }

    #[test]
    fn one_validator_of_a_network_keeps_everything() {
        let ports = Ports { api: 0, consensus: 0, network: 0 };
        let kept = |number| {
            let config = config(ports, Collect::default(), Drill::default(), &[ports; 4], number);
            // As it stands in run.toml.
            let text = toml::to_string(&config).unwrap();
            toml::from_str::<NodeConfig>(&text).unwrap().storage.kept_epochs()
        };
        assert_eq!((0..4).filter(|number| kept(*number).is_none()).collect::<Vec<_>>(), [ARCHIVE]);
    }

    #[test]
    fn ports_of_the_last_start_come_again_unless_they_are_taken() {
        let first = Held::default().choose(0, 0, None, false).unwrap();
        assert_eq!(Held::default().choose(0, 0, Some(first), false).unwrap(), first);
        let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, first.consensus)).unwrap();
        let second = Held::default().choose(0, 0, Some(first), false).unwrap();
        assert_eq!((second.api, second.network), (first.api, first.network));
        assert_ne!(second.consensus, first.consensus);
        // Whoever asks the kernel for any port gets none of those that nobody listens on yet.
        assert!([second.api, second.consensus, second.network].iter().all(|port| CHOSEN.contains(port)), "{second:?}");
    }
}
