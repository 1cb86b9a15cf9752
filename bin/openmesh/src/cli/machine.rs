//! Command line of the machine: its agent as a process, as a service, and emptied.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use openmesh_agent::Subnet;

use super::common::{AgentName, Output};

/// Arguments of `xnode agent`.
#[derive(Debug, Args)]
pub struct AgentArgs {
    /// Agent.
    #[command(flatten)]
    pub agent: AgentName,
    /// Let this runc make containers, in place of the built-in libcontainer.
    #[arg(long, value_name = "PROGRAM")]
    pub runc: Option<PathBuf>,
    /// Take the place of the agent that runs: no application stops, and that one goes on where this one does not get there.
    #[arg(long)]
    pub take_over: bool,
    /// File with this machine's document, of root: taken when the agent begins and when the file has another one. What people change meanwhile stays.
    #[arg(long, value_name = "FILE", env = "OPENMESH_XNODE_DOCUMENT")]
    pub document: Option<PathBuf>,
    /// Name in which the documents of that file are taken, for the history.
    #[arg(long, value_name = "NAME", env = "OPENMESH_XNODE_DOCUMENT_BY", default_value = "document file", hide = true)]
    pub document_by: String,
    /// Folder that holds this agent's lock and record, by which openmesh up finds it again.
    #[arg(long, value_name = "DIR", hide = true)]
    pub home: Option<PathBuf>,
    /// Address at which people ask, on loopback, where xnode.toml names none.
    #[arg(long, value_name = "ADDRESS", hide = true)]
    pub face: Option<SocketAddr>,
    /// Network of applications whose document names none.
    #[arg(long, value_name = "SUBNET", hide = true)]
    pub subnet: Option<Subnet>,
}

/// The agent as a service of the machine.
#[derive(Debug, Subcommand)]
pub enum ServiceCommand {
    /// Let systemd start the agent now and with the machine, and again where it ends (as root).
    Install {
        /// Print the unit, and change nothing.
        #[arg(long)]
        print: bool,
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
    },
    /// End the service; applications go on, and nothing starts the agent any more.
    Remove {
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
    },
    /// Let the program on disk take the place of the agent that runs: no application stops (as root).
    Renew {
        /// Take over from within the service, as systemd asks for it.
        #[arg(long, hide = true)]
        within: bool,
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
    },
    /// Tell whether the service is there, starts with the machine, and runs.
    Status {
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
        /// Output.
        #[command(flatten)]
        output: Output,
    },
}

/// Arguments of `xnode drain`.
#[derive(Debug, Args)]
pub struct DrainArgs {
    /// Take deployments again, and start what ran before.
    #[arg(long)]
    pub off: bool,
    /// Reason, for the history and for whoever is refused.
    #[arg(long, value_name = "TEXT", conflicts_with = "off")]
    pub reason: Option<String>,
    /// Return as soon as the change is taken, without waiting until every application has stopped or started.
    #[arg(long)]
    pub no_wait: bool,
    /// Agent.
    #[command(flatten)]
    pub agent: AgentName,
    /// Output.
    #[command(flatten)]
    pub output: Output,
}
