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
