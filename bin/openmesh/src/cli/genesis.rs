//! Arguments of `genesis`.

use clap::Subcommand;

use super::operate::CeremonyCommand;

/// The beginning of a network.
#[derive(Debug, Subcommand)]
pub enum GenesisCommand {
    /// Commands of operators who make a network together.
    #[command(flatten)]
    Together(CeremonyCommand),
}
