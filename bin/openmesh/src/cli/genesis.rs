//! Arguments of `genesis` and `supply`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::node::NodeUrl;
use super::operate::CeremonyCommand;

/// The beginning of a network.
#[derive(Debug, Subcommand)]
pub enum GenesisCommand {
    /// Check a file that allocates the whole supply to pools and accounts, show it, and put it into a genesis.
    Allocate {
        /// File with a line for the supply, each group, each pool and each grant; openmesh genesis template prints one.
        file: PathBuf,
        /// The genesis.json of a network that has not begun, to put it into.
        #[arg(long, value_name = "GENESIS")]
        into: Option<PathBuf>,
    },
    /// Print the allocation by the tree, without grants: a file to begin with.
    Template,
    /// Commands of operators who make a network together.
    #[command(flatten)]
    Together(CeremonyCommand),
}

/// Arguments of `supply`.
#[derive(Debug, Args)]
pub struct SupplyArgs {
    /// Node.
    #[command(flatten)]
    pub node: NodeUrl,
}
