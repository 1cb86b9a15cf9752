//! Arguments of what operators of nodes do: `init`, `genesis` and `validator`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use openmesh_primitives::{Address, Digest, Timestamp};

use super::common::Output;
use super::node::NodeUrl;
use crate::node::config::MeantRole;
use crate::node::peer::{API_PORT, PORT, Peer};

/// Arguments of `init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Home of the node: a folder that holds none yet.
    #[arg(long, value_name = "DIR", env = "OPENMESH_NODE_HOME")]
    pub home: PathBuf,
    /// Network: the hash of its genesis, the path of a genesis.json, or `new` for one that is made later.
    #[arg(long, value_name = "HASH|FILE|new")]
    pub network: Option<String>,
    /// Other nodes: HOST or HOST:PORT, separated by commas; `none` for the first of all.
    #[arg(long, value_name = "PEERS")]
    pub peers: Option<String>,
    /// Role of the node.
    #[arg(long, value_enum)]
    pub role: Option<MeantRole>,
    /// Address of this machine at which others reach it.
    #[arg(long, value_name = "IP")]
    pub listen: Option<IpAddr>,
    /// Place at which others reach it, where that is another one: HOST or HOST:PORT of a router in front of it.
    #[arg(long, value_name = "HOST")]
    pub reach: Option<Peer>,
    /// Name of the node for people (this machine's where not given).
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Account that earns the tips of this validator's blocks, for the card: of an operator, with a key of its own (openmesh account new). Without one they
    /// go to the validator's own address, from which nobody can spend.
    #[arg(long, value_name = "ADDRESS")]
    pub payout: Option<Address>,
    /// Port of consensus; gossip, content and questions take the next one.
    #[arg(long, default_value_t = PORT, value_parser = clap::value_parser!(u16).range(1..=65_534))]
    pub port: u16,
    /// Address of the API and Studio; without one port 8420, on this machine alone.
    #[arg(long, value_name = "ADDRESS:PORT", default_value_t = SocketAddr::from(([127, 0, 0, 1], API_PORT)))]
    pub api: SocketAddr,
    /// A block that you know from elsewhere, at which a join by snapshot begins.
    #[arg(long, value_name = "HEIGHT:HASH")]
    pub trust: Option<String>,
    /// Ask no peer now: the genesis is fetched when the node starts.
    #[arg(long)]
    pub offline: bool,
}

/// The beginning of a network that several operators make together.
#[derive(Debug, Subcommand)]
pub enum CeremonyCommand {
    /// Make a genesis of the cards of several operators (card.json of each home). The same cards, in whatever order, make the same one.
    Collect(CollectArgs),
    /// Check a genesis, and print its hash and what is in it.
    Check {
        /// File.
        file: PathBuf,
        /// Home of a node whose key must be in it, with the name and the account of its card.
        #[arg(long, value_name = "DIR")]
        home: Option<PathBuf>,
        /// Cards that must be in it, as they are.
        #[arg(long, value_name = "CARD", num_args = 1..)]
        cards: Vec<PathBuf>,
        /// Output.
        #[command(flatten)]
        output: Output,
    },
    /// Put a checked genesis into a home that has none.
    Take {
        /// File.
        file: PathBuf,
        /// Home.
        #[arg(long, value_name = "DIR", env = "OPENMESH_NODE_HOME")]
        home: PathBuf,
        /// Hash that it must have.
        #[arg(long, value_name = "HASH")]
        hash: Option<Digest>,
    },
}

/// Arguments of `genesis collect`.
#[derive(Debug, Args)]
pub struct CollectArgs {
    /// Cards of the validators.
    #[arg(required = true, value_name = "CARD")]
    pub cards: Vec<PathBuf>,
    /// Name of the network.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The network's number, as in EIP-155: one that no other network has.
    #[arg(long, value_name = "NUMBER")]
    pub chain_id: Option<u64>,
    /// Beginning of the network (now where not given), such as 2026-12-01T00:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub time: Option<Timestamp>,
    /// Voting power of each validator.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    pub power: u64,
    /// A genesis without validators that says the rest: accounts, sources, parameters.
    #[arg(long, value_name = "FILE")]
    pub from: Option<PathBuf>,
    /// File to write; must not exist.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// A validator and its duties.
#[derive(Debug, Subcommand)]
pub enum ValidatorCommand {
    /// Tell whether a node signs, what it misses, and what is wrong with its machine. Exits with 0 where all is well, 3 where a warning is
    /// open, 4 where something is critical, 5 where the node does not answer.
    Status {
        /// Node.
        #[command(flatten)]
        node: NodeUrl,
        /// Succeed only where it is in step and signs too, as before another validator of the network is stopped; else exit with 3.
        #[arg(long)]
        signs: bool,
        /// Output.
        #[command(flatten)]
        output: Output,
    },
    /// Print the public key and the address of a home's key, and its card.
    Show {
        /// Home.
        #[arg(long, value_name = "DIR", env = "OPENMESH_NODE_HOME")]
        home: PathBuf,
        /// Output.
        #[command(flatten)]
        output: Output,
    },
    /// Name the account that earns the tips of a validator's blocks, from the next block on. The validator's key signs it; there is no fee.
    Payout {
        /// The account: 0x and 40 hexadecimal digits.
        #[arg(value_name = "ADDRESS")]
        account: Address,
        /// Home of the validator whose key signs.
        #[arg(long, value_name = "DIR", env = "OPENMESH_NODE_HOME")]
        home: PathBuf,
        /// Node that it is sent to.
        #[command(flatten)]
        node: NodeUrl,
    },
    /// Send a test alert to the webhooks of a home, once.
    TestAlert {
        /// Home.
        #[arg(long, value_name = "DIR", env = "OPENMESH_NODE_HOME")]
        home: PathBuf,
    },
}

/// A time as a person writes it.
fn time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse_rfc3339(text.as_bytes()).map_err(|_| "a time such as 2026-12-01T00:00:00Z is expected".to_owned())
}
