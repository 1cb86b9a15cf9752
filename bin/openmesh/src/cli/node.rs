//! Arguments of what asks a node: `sql`, `doctor` and `account`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// Address of the node to talk to.
#[derive(Debug, Clone, Args)]
pub struct NodeUrl {
    /// Address of a node's API.
    #[arg(long, env = "OPENMESH_API", default_value = "http://127.0.0.1:8420", value_parser = api)]
    pub api: url::Url,
}

/// An address of an API; where a person leaves the protocol out, it is HTTP.
fn api(text: &str) -> Result<url::Url, String> {
    let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = url::Url::parse(&whole).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.ok_or_else(|| "an address such as http://127.0.0.1:8420 is expected".to_owned())
}

/// Arguments of `sql`.
#[derive(Debug, Args)]
pub struct SqlArgs {
    /// The query; read from standard input where absent.
    pub query: Option<String>,
    /// Node.
    #[command(flatten)]
    pub node: NodeUrl,
    /// Format of the result.
    #[arg(long, value_enum, default_value_t = TableFormat::Table)]
    pub format: TableFormat,
    /// Most rows.
    #[arg(long)]
    pub limit: Option<u32>,
}

/// Format of a printed result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TableFormat {
    /// Aligned columns.
    Table,
    /// Comma-separated values (RFC 4180).
    Csv,
    /// One JSON object a row.
    Json,
}

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Node.
    #[command(flatten)]
    pub node: NodeUrl,
    /// Also look at a node's home directory on this machine, or at a network's folder of openmesh up.
    #[arg(long, value_name = "DIR")]
    pub home: Option<PathBuf>,
}

/// Fees of a transaction.
#[derive(Debug, Clone, Args)]
pub struct FeeArgs {
    /// Most OPEN that base fee and tip may take together; the node's estimate where not given.
    #[arg(long, value_name = "OPEN")]
    pub max_fee: Option<String>,
    /// Most OPEN that the proposer gets of it; the node's estimate where not given.
    #[arg(long, value_name = "OPEN")]
    pub tip: Option<String>,
    /// Tell what it would cost in the next block, and send nothing.
    #[arg(long)]
    pub estimate: bool,
}

/// Accounts.
#[derive(Debug, Subcommand)]
pub enum AccountCommand {
    /// Make a new key and write it to a file (hexadecimal, readable by you alone).
    New {
        /// File to write; must not exist.
        file: PathBuf,
    },
    /// Show balance and nonce.
    Show {
        /// Address.
        address: String,
        /// Node.
        #[command(flatten)]
        node: NodeUrl,
    },
    /// List the actions that an account can take, with their fields.
    Actions {
        /// Only this action.
        kind: Option<String>,
    },
    /// Take any declared action and wait until it is committed: openmesh account do KIND FIELD=VALUE ...
    Do {
        /// File with the sender's key.
        #[arg(long, value_name = "FILE", required_unless_present = "estimate")]
        key: Option<PathBuf>,
        /// Kind of the action; openmesh account actions lists them.
        kind: String,
        /// Fields of the action. Lists are separated by commas, amounts are in 10^-18 OPEN or, with a unit, such as 12.5OPEN.
        #[arg(value_name = "FIELD=VALUE")]
        fields: Vec<String>,
        /// Fees.
        #[command(flatten)]
        fees: FeeArgs,
        /// Node.
        #[command(flatten)]
        node: NodeUrl,
    },
    /// Send OPEN and wait until it is committed.
    Send {
        /// File with the sender's key.
        #[arg(long, value_name = "FILE", required_unless_present = "estimate")]
        key: Option<PathBuf>,
        /// Receiver.
        to: String,
        /// Amount in OPEN, such as 12.5.
        amount: String,
        /// Fees.
        #[command(flatten)]
        fees: FeeArgs,
        /// Node.
        #[command(flatten)]
        node: NodeUrl,
    },
}
