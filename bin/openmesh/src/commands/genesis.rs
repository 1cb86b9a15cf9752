//! `openmesh genesis`: the beginning of a network.

use super::ceremony;
use crate::cli::GenesisCommand;
use crate::failure::Failure;

/// Runs one of the genesis commands.
pub fn run(command: &GenesisCommand) -> Result<(), Failure> {
    match command {
        GenesisCommand::Together(command) => ceremony::run(command),
    }
}
