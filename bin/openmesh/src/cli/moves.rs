//! Command line of moves of applications between machines.

use std::path::PathBuf;

use clap::Args;
use openmesh_agent::Name;

use super::common::{AgentName, Output};

/// Arguments of `app move`.
#[derive(Args)]
pub struct MoveArgs {
    /// Application.
    pub name: Name,
    /// Address of the other machine's agent: https://xnode.example.org.
    #[arg(
        long,
        value_name = "URL",
        required_unless_present_any = ["undo", "forget"],
        conflicts_with_all = ["undo", "forget"]
    )]
    pub to: Option<String>,
    /// API key of an operator there (openmesh xnode access keys make NAME --role operator); - is standard input. It is kept, sealed, until the move has ended.
    #[arg(long, value_name = "KEY", env = "OPENMESH_MOVE_KEY", hide_env_values = true)]
    pub key: Option<String>,
    /// File with the root of the other machine's own authority, where its certificate is of one (openmesh xnode doors authority).
    #[arg(long, value_name = "FILE", requires = "to")]
    pub root: Option<PathBuf>,
    /// Cancel the move, or undo it within an hour: the application serves here again, with what clients wrote there.
    #[arg(long, conflicts_with = "forget")]
    pub undo: bool,
    /// Let this machine forget the move; the application stays here as it is (where it came here: where it serves). Only for a machine that never comes back.
    #[arg(long)]
    pub forget: bool,
    /// Return as soon as it is taken, without waiting until it is done.
    #[arg(long)]
    pub no_wait: bool,
    /// Agent.
    #[command(flatten)]
    pub agent: AgentName,
    /// Output.
    #[command(flatten)]
    pub output: Output,
}

impl std::fmt::Debug for MoveArgs {
    /// Says everything but the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MoveArgs").field("name", &self.name).field("to", &self.to).finish_non_exhaustive()
    }
}

/// Arguments of `app moves`.
#[derive(Debug, Args)]
pub struct MovesArgs {
    /// Agent.
    #[command(flatten)]
    pub agent: AgentName,
    /// Output.
    #[command(flatten)]
    pub output: Output,
}
