//! Arguments of `stamp`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::node::{FeeArgs, NodeUrl};

/// Arguments of `stamp`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct StampArgs {
    /// Something else than a new stamp.
    #[command(subcommand)]
    pub command: Option<StampCommand>,
    /// A new stamp.
    #[command(flatten)]
    pub new: StampNewArgs,
}

/// A new stamp.
#[derive(Debug, Args)]
pub struct StampNewArgs {
    /// A file, of which the hash alone leaves this machine; or a SHA-256 in hexadecimal, or a CID.
    #[arg(value_name = "FILE|HASH", required = true)]
    pub what: Option<String>,
    /// Subject of the stamp: 1 to 64 of a-z, 0-9, -, _ and . such as xnode.drill.
    #[arg(long, value_name = "TOPIC", required = true)]
    pub topic: Option<String>,
    /// A word about it, such as a CID: at most 256 bytes.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub note: String,
    /// File with the key of the account that stamps.
    #[arg(long, value_name = "FILE", required_unless_present = "estimate")]
    pub key: Option<PathBuf>,
    /// Fees.
    #[command(flatten)]
    pub fees: FeeArgs,
    /// Node.
    #[command(flatten)]
    pub node: NodeUrl,
}

/// Commands about stamps that are there.
#[derive(Debug, Subcommand)]
pub enum StampCommand {
    /// Show who stamped a file or hash and when; with --trust also prove it, with --proof without any node.
    Check(StampCheckArgs),
}

/// Arguments of `stamp check`.
#[derive(Debug, Args)]
pub struct StampCheckArgs {
    /// A file, a SHA-256 in hexadecimal, or a CID.
    #[arg(value_name = "FILE|HASH")]
    pub what: String,
    /// Only stamps under this topic.
    #[arg(long, value_name = "TOPIC")]
    pub topic: Option<String>,
    /// Only stamps of this account.
    #[arg(long, value_name = "ADDRESS")]
    pub account: Option<String>,
    /// The network's genesis.json, which names the validators: from somebody you trust. Each stamp is proved against it.
    #[arg(long, value_name = "FILE")]
    pub trust: Option<PathBuf>,
    /// A proof that was saved: no node is asked.
    #[arg(long, value_name = "FILE", requires = "trust")]
    pub proof: Option<PathBuf>,
    /// Write the proof of the first stamp to this new file.
    #[arg(long, value_name = "NEW_FILE", requires = "trust", conflicts_with = "proof")]
    pub save: Option<PathBuf>,
    /// Node.
    #[command(flatten)]
    pub node: NodeUrl,
}
