//! Arguments of what makes a network: `up`, `down`, `node` and `venues`.

use std::path::PathBuf;

use clap::Args;
use openmesh_ledger::{WINDOW_MS_MAX, WINDOW_MS_MIN};
use openmesh_primitives::Digest;

use crate::node::peer::Peer;

/// Arguments of `up`.
#[derive(Debug, Args)]
pub struct UpArgs {
    /// Serve the recordings in this folder through each venue's own protocol.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["simulate", "live"])]
    pub replay: Option<PathBuf>,
    /// Only these recordings of the folder (names, separated by commas).
    #[arg(long, value_name = "SETS", value_delimiter = ',', requires = "replay")]
    pub sets: Vec<String>,
    /// Speed of the replay: 1, 4, any whole number, or max.
    #[arg(long, default_value = "1", requires = "replay", value_parser = speed)]
    pub speed: String,
    /// Use the simulated market, also where the venues can be reached.
    #[arg(long, conflicts_with = "live")]
    pub simulate: bool,
    /// Use the live venues; fail where they cannot be reached.
    #[arg(long)]
    pub live: bool,
    /// Number of validators, 1 to 16; it stays as it was when the network was made.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=16))]
    pub validators: u32,
    /// Home of the network (~/.openmesh where not given); each kind of market has its own network there.
    #[arg(long, value_name = "DIR", env = "OPENMESH_HOME")]
    pub home: Option<PathBuf>,
    /// Port of Studio and the API of the first validator, the others follow; 0 takes any free ones.
    #[arg(long, default_value_t = 8420)]
    pub port: u16,
    /// Length of a market window on the venues' clocks, chosen when a network is made (10s where not given): 500ms, 10s, 10m.
    #[arg(long, value_name = "LENGTH", value_parser = window)]
    pub window: Option<WindowMs>,
    /// Seed of the simulated market, for the same market again.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Market events a second that the simulation makes.
    #[arg(long, default_value_t = 300)]
    pub rate: u32,
    /// Drill: this validator (0 is the first) alters the prices of a stream (kraken/BTC.USD/trades) before attesting.
    #[arg(long, value_name = "N:SOURCE/SYMBOL/FEED", hide = true)]
    pub drill_alter: Option<String>,
    /// Drill: this validator (0 is the first) collects nothing and repeats what the others say.
    #[arg(long, value_name = "N", hide = true)]
    pub drill_copy: Option<usize>,
    /// Start no agent of the Xnode, which runs applications on this machine.
    #[arg(long, env = "OPENMESH_NO_XNODE")]
    pub no_xnode: bool,
}

/// Arguments of `down`.
#[derive(Debug, Args)]
pub struct DownArgs {
    /// The folder given to openmesh up (~/.openmesh where none was), or one network's folder in it.
    #[arg(long, value_name = "DIR", env = "OPENMESH_HOME")]
    pub home: Option<PathBuf>,
}

/// Arguments of `node`.
#[derive(Debug, Args)]
pub struct NodeArgs {
    /// The node's home directory: node.toml, genesis.json, validator.key and its data. openmesh init makes one.
    #[arg(long, value_name = "DIR", env = "OPENMESH_NODE_HOME")]
    pub home: PathBuf,
    /// Hash of the network's genesis; where the home has no genesis.json it is fetched from peers.
    #[arg(long, value_name = "HASH")]
    pub genesis: Option<Digest>,
    /// Peers beside those of node.toml: HOST or HOST:PORT, separated by commas.
    #[arg(long, value_name = "PEERS", value_delimiter = ',')]
    pub peers: Vec<Peer>,
}

/// Arguments of `venues`.
#[derive(Debug, Args)]
pub struct VenuesArgs {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: std::net::SocketAddr,
    /// Folder that holds this server's lock and record, by which openmesh up finds it again.
    #[arg(long, value_name = "DIR", hide = true)]
    pub home: Option<PathBuf>,
    /// Replay the recordings in this folder; the simulation runs without it.
    #[arg(long, value_name = "DIR")]
    pub replay: Option<PathBuf>,
    /// Only these recordings of the folder.
    #[arg(long, value_name = "SETS", value_delimiter = ',', requires = "replay")]
    pub sets: Vec<String>,
    /// Speed of the replay: 1, 4, any whole number, or max.
    #[arg(long, default_value = "1", requires = "replay", value_parser = speed)]
    pub speed: String,
    /// Hold the replay until this many connections are open.
    #[arg(long, default_value_t = 1, requires = "replay")]
    pub hold: u32,
    /// Seed of the simulation.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Events a second of the simulation.
    #[arg(long, default_value_t = 300)]
    pub rate: u32,
    /// Delay each frame by a random time up to this many milliseconds.
    #[arg(long, default_value_t = 0)]
    pub jitter_ms: u64,
}

/// A speed as the venues' server takes it.
fn speed(text: &str) -> Result<String, String> {
    let times = text.strip_suffix('x').unwrap_or(text);
    match times.parse::<u32>() {
        _ if text == "max" => Ok(text.to_owned()),
        Ok(1..=10_000) => Ok(times.to_owned()),
        _ => Err("1 to 10000, or max, is expected".to_owned()),
    }
}

/// Length of a market window, milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowMs(pub u64);

/// A window's length as a person writes it, within what the ledger takes.
fn window(text: &str) -> Result<WindowMs, String> {
    let length = humantime::parse_duration(text).map_err(|_| "a length such as 500ms, 10s or 10m is expected")?;
    let ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    let is_whole = length.subsec_nanos() % 1_000_000 == 0;
    if !is_whole || !(WINDOW_MS_MIN..=WINDOW_MS_MAX).contains(&ms) {
        return Err(format!("whole milliseconds from {WINDOW_MS_MIN}ms to {}m are expected", WINDOW_MS_MAX / 60_000));
    }
    Ok(WindowMs(ms))
}
