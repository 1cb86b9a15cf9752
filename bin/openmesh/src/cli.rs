//! The command line.

pub mod access;
mod app;
pub mod backup;
pub mod beside;
mod common;
mod data;
pub mod export;
pub mod files;
pub mod import;
pub mod join;
pub mod lend;
pub mod machine;
pub mod moves;
mod network;
mod node;
pub mod templates;
mod xnode;

use clap::{Parser, Subcommand, ValueEnum};

pub use app::{AppCommand, DataFate, LogArgs, NewArgs};
pub use common::{AgentName, ChangeArgs, Output};
pub use data::{ChainCommand, MarketCommand, VerifyArgs};
pub use network::{DownArgs, NodeArgs, UpArgs, VenuesArgs, WindowMs};
pub use node::{AccountCommand, DoctorArgs, SqlArgs, TableFormat};
pub use xnode::{DoorsArgs, DoorsCommand, SecretCommand, XnodeCommand};

/// Heading of the options that every command has, behind its own.
const LOGGING: &str = "Logging";

/// A decentralized cloud, data and oracle network in one binary.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    /// Log filter: error, warn, info, debug, trace, or by module (info,openmesh_engine=debug).
    #[arg(long, global = true, env = "OPENMESH_LOG", default_value = "warn", help_heading = LOGGING)]
    pub log: String,
    /// Format of log lines.
    #[arg(long, global = true, env = "OPENMESH_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text, help_heading = LOGGING)]
    pub log_format: LogFormat,
    /// Subcommand.
    #[command(subcommand)]
    pub command: Command,
}

/// Format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a whole network on this machine: validators, collectors, API and Studio.
    Up(UpArgs),
    /// Stop the networks on this machine that openmesh up started, also where it was lost.
    Down(DownArgs),
    /// Run one node from its home directory.
    Node(NodeArgs),
    /// Serve venues (simulated, or replayed from recordings) through their own protocols.
    Venues(VenuesArgs),
    /// Ask a node in SQL.
    Sql(SqlArgs),
    /// Check a downloaded window offline: file, CID, ledger state, header, signatures.
    Verify(VerifyArgs),
    /// Tell how a node does, and what is wrong with it.
    #[command(visible_alias = "status")]
    Doctor(DoctorArgs),
    /// This machine as an Xnode: its agent, its state, its secrets.
    #[command(subcommand)]
    Xnode(XnodeCommand),
    /// Applications on this machine: deploy, look, change, return, remove.
    #[command(subcommand)]
    App(AppCommand),
    /// Market data tools.
    #[command(subcommand)]
    Market(MarketCommand),
    /// Chain data tools.
    #[command(subcommand)]
    Chain(ChainCommand),
    /// Accounts: make a key, look at a balance, send OPEN.
    #[command(subcommand)]
    Account(AccountCommand),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn every_command_is_well_formed() {
        super::Cli::command().debug_assert();
    }
}
