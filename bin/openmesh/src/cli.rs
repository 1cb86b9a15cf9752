//! The command line.

pub mod access;
mod app;
pub mod backup;
pub mod beside;
mod common;
mod data;
pub mod export;
pub mod files;
mod genesis;
pub mod import;
pub mod join;
pub mod lend;
pub mod machine;
pub mod moves;
mod network;
mod node;
mod operate;
mod stamp;
pub mod templates;
mod upgrade;
mod xnode;

use clap::{Parser, Subcommand, ValueEnum};

pub use app::{AppCommand, DataFate, LogArgs, NewArgs};
pub use common::{AgentName, ChangeArgs, Output};
pub use data::{ChainCommand, MarketCommand, VerifyArgs};
pub use genesis::{GenesisCommand, SupplyArgs};
pub use network::{DownArgs, NodeArgs, UpArgs, VenuesArgs, WindowMs};
pub use node::{AccountCommand, DoctorArgs, FeeArgs, SqlArgs, TableFormat};
pub use operate::{CeremonyCommand, CollectArgs, InitArgs, ValidatorCommand};
pub use stamp::{StampArgs, StampCheckArgs, StampCommand, StampNewArgs};
pub use upgrade::{BallotArgs, PlanArgs, RehearseArgs, UpgradeCommand, Voters};
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
    /// Make the home of a node on this machine, which joins a network: four questions, or flags.
    Init(InitArgs),
    /// Run one node from its home directory.
    ///
    /// Exits with 2 where a setting is wrong, and with 6 where the node's key runs somewhere else too: neither is gone by another start.
    /// With 3 where the program lacks the rules of the next height: a newer one in its place goes on from there.
    Node(NodeArgs),
    /// Look after a validator: its state, its key, its alerts.
    #[command(subcommand)]
    Validator(ValidatorCommand),
    /// The beginning of a network: allocate its supply, make it together, check it, take it.
    #[command(subcommand)]
    Genesis(GenesisCommand),
    /// Serve venues (simulated, or replayed from recordings) through their own protocols.
    Venues(VenuesArgs),
    /// Ask a node in SQL.
    Sql(SqlArgs),
    /// Check a downloaded window offline: file, CID, ledger state, header, signatures.
    Verify(VerifyArgs),
    /// Stamp a file's hash under a topic into the ledger, or check stamps: proof that it was known at a time.
    Stamp(StampArgs),
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
    /// Upgrades of the network's rules: plans, approvals, rehearsals.
    #[command(subcommand)]
    Upgrade(UpgradeCommand),
    /// Accounts: make a key, look at a balance, send OPEN.
    #[command(subcommand)]
    Account(AccountCommand),
    /// Show where the whole supply stands: pools, accounts, deposits, burnt.
    Supply(SupplyArgs),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn every_command_is_well_formed() {
        super::Cli::command().debug_assert();
    }
}
