//! Command line of machines that join one another: joining, invitations, the list.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use openmesh_primitives::Address;

use super::common::{AgentName, Output};

/// Arguments of `xnode join`.
#[derive(Debug, Args)]
pub struct JoinArgs {
    /// File with the invitation's line; standard input without it. It is a secret: as an argument everybody on this machine could read it.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["leave", "status"])]
    pub file: Option<PathBuf>,
    /// Leave the Xnode that this machine has joined; it stays its owner's, and nothing that runs stops.
    #[arg(long, conflicts_with = "status")]
    pub leave: bool,
    /// Tell which Xnode this machine has joined, and whether it hears this machine's reports.
    #[arg(long)]
    pub status: bool,
    /// Install no agent as a service of systemd where none runs.
    #[arg(long)]
    pub no_service: bool,
    /// Agent.
    #[command(flatten)]
    pub agent: AgentName,
    /// Output.
    #[command(flatten)]
    pub output: Output,
}

/// Arguments of `xnode machines`.
#[derive(Debug, Args)]
pub struct MachinesArgs {
    /// Something else than the list.
    #[command(subcommand)]
    pub command: Option<MachinesCommand>,
    /// Agent.
    #[command(flatten)]
    pub agent: AgentName,
    /// Output.
    #[command(flatten)]
    pub output: Output,
}

/// Machines.
#[derive(Debug, Subcommand)]
pub enum MachinesCommand {
    /// Print the one line by which another machine joins: pasted there, it makes that machine an Xnode of the same owner.
    Invite(InviteArgs),
    /// List invitations, and what became of them.
    Invitations {
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
        /// Output.
        #[command(flatten)]
        output: Output,
    },
    /// Take an invitation back.
    Revoke {
        /// Its id in the list of invitations.
        id: String,
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
    },
    /// Take a machine out of the list; it stays its owner's, and nothing that runs there stops.
    Remove {
        /// Its id in the list.
        id: String,
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
    },
}

/// Arguments of `xnode machines invite`.
#[derive(Debug, Args)]
pub struct InviteArgs {
    /// Wallet that will own the machine: one of the owners here. Without it, the only one that there is.
    #[arg(long, value_name = "ADDRESS")]
    pub owner: Option<Address>,
    /// Time for which the line is good, such as 30m or 1d (an hour without it; at most 7d).
    #[arg(long, value_name = "LENGTH", value_parser = length)]
    pub lasts: Option<Duration>,
    /// Address at which the machine reaches this one, such as https://xnode.lan; this machine's first name without it.
    #[arg(long, value_name = "URL")]
    pub at: Option<String>,
    /// IP address at which that name is looked for, where no DNS knows it; may be given several times. This machine's own without it.
    #[arg(long = "address", value_name = "IP")]
    pub addresses: Vec<IpAddr>,
    /// Agent.
    #[command(flatten)]
    pub agent: AgentName,
    /// Output.
    #[command(flatten)]
    pub output: Output,
}

fn length(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "a length such as 30m or 1d is expected".to_string())
}
