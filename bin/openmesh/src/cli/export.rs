//! Command line of `openmesh xnode export`.

use std::path::PathBuf;

use clap::Args;

use super::common::{AgentName, Output};

/// Arguments of `xnode export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// As a flake of NixOS: flake.nix, module.nix, package.nix and document.nix.
    #[arg(long, required = true)]
    pub nixos: bool,
    /// Document in YAML or JSON, - is standard input; without it that of the agent on this machine.
    pub file: Option<PathBuf>,
    /// Folder for the files, which is made where it is not there; without it they are printed.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Generation of the agent whose document it is; the wanted one without it.
    #[arg(long, value_name = "GENERATION", conflicts_with = "file")]
    pub generation: Option<u64>,
    /// File of make install that is pinned; without it the program that runs.
    #[arg(long, value_name = "FILE", requires = "file")]
    pub binary: Option<PathBuf>,
    /// Agent.
    #[command(flatten)]
    pub agent: AgentName,
    /// Output.
    #[command(flatten)]
    pub output: Output,
}
