//! Arguments that many commands have.

use std::path::PathBuf;

use clap::Args;

/// The agent to talk to.
#[derive(Debug, Clone, Args)]
pub struct AgentName {
    /// Instance name of the agent; several share a machine.
    #[arg(long, value_name = "NAME", env = "OPENMESH_XNODE", default_value = "default")]
    pub agent: openmesh_agent::Name,
    /// Folder in which the agent keeps everything (/var/lib/openmesh/xnodes/NAME where not given).
    #[arg(long, value_name = "DIR", env = "OPENMESH_XNODE_STATE", hide = true)]
    pub agent_state: Option<PathBuf>,
    /// Folder of what goes with the machine's run (/run/openmesh/xnodes/NAME where not given).
    #[arg(long, value_name = "DIR", env = "OPENMESH_XNODE_RUN", hide = true)]
    pub agent_run: Option<PathBuf>,
}

/// Output for people or for programs.
#[derive(Debug, Clone, Copy, Args)]
pub struct Output {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Options of whatever changes applications.
#[derive(Debug, Clone, Args)]
pub struct ChangeArgs {
    /// Reason, for the history.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Refuse unless this generation is the wanted one: nobody changed anything since it was looked at.
    #[arg(long, value_name = "GENERATION")]
    pub expect: Option<u64>,
    /// Do also what loses something; the plan names it.
    #[arg(long)]
    pub yes: bool,
    /// Return as soon as the change is taken, without waiting until it is done.
    #[arg(long)]
    pub no_wait: bool,
    /// Wait until it is committed: until new versions have passed their probation too.
    #[arg(long, conflicts_with = "no_wait")]
    pub committed: bool,
    /// Agent.
    #[command(flatten)]
    pub agent: AgentName,
    /// Output.
    #[command(flatten)]
    pub output: Output,
}
