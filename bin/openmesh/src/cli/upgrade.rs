//! Arguments of `upgrade`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Output;
use super::node::NodeUrl;

/// Upgrades of the network's rules.
#[derive(Debug, Subcommand)]
pub enum UpgradeCommand {
    /// Show the rules in force, the plans, who approves them and which validators are ready.
    Status {
        /// Node.
        #[command(flatten)]
        node: NodeUrl,
        /// Output.
        #[command(flatten)]
        output: Output,
    },
    /// Plan another rule set from a height on, as the first to approve it.
    Plan(PlanArgs),
    /// Approve a plan.
    Approve(BallotArgs),
    /// Take an approval of a plan back, which is possible until the block before its height.
    Withdraw(BallotArgs),
    /// Try a rule set of this program on a copy of the newest state: root, changes, time. Nothing is changed anywhere.
    Rehearse(RehearseArgs),
}

/// The validators that cast a ballot, and the node that it is sent to.
#[derive(Debug, Args)]
pub struct Voters {
    /// Home of the validator whose key signs (node.toml, validator.key); once for each validator.
    #[arg(long = "home", value_name = "DIR", required = true)]
    pub homes: Vec<PathBuf>,
    /// Node.
    #[command(flatten)]
    pub node: NodeUrl,
}

/// Arguments of `upgrade plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// Version of the rule set.
    #[arg(long, value_name = "VERSION")]
    pub rules: u32,
    /// First height that is executed by it.
    #[arg(long)]
    pub height: u64,
    /// Name of the release that has it, as operators find it: openmesh-2.0.0.
    #[arg(long, value_name = "NAME")]
    pub release: String,
    /// SHA-256 of that release's archive, 64 hexadecimal digits.
    #[arg(long, value_name = "SHA256")]
    pub digest: openmesh_primitives::Digest,
    /// Voters.
    #[command(flatten)]
    pub voters: Voters,
}

/// Arguments of `upgrade approve` and `upgrade withdraw`.
#[derive(Debug, Args)]
pub struct BallotArgs {
    /// Id of the plan, or its first digits; the only plan where none is given.
    pub plan: Option<String>,
    /// Voters.
    #[command(flatten)]
    pub voters: Voters,
}

/// Arguments of `upgrade rehearse`.
#[derive(Debug, Args)]
pub struct RehearseArgs {
    /// Version of the rule set. Where none is given, that of the plan with the most power behind it, of those that this program knows; without a
    /// plan the newest that it knows.
    #[arg(long, value_name = "VERSION")]
    pub rules: Option<u32>,
    /// Home of a node: its store is copied while the node is stopped. One that runs is asked over its API.
    #[arg(long, value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// Node whose newest state is copied where no home is given.
    #[command(flatten)]
    pub node: NodeUrl,
    /// Folder for the copy (the system's for temporary files where not given); it needs room for about four times the state.
    #[arg(long, value_name = "DIR")]
    pub scratch: Option<PathBuf>,
    /// Output.
    #[command(flatten)]
    pub output: Output,
}
