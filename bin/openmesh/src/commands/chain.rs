//! `openmesh chain`.

use std::io::Write;

use super::Failure;
use crate::cli::ChainCommand;

/// Runs one of the chain commands.
pub fn run(command: ChainCommand) -> Result<(), Failure> {
    let ChainCommand::Decode { block, receipts } = command;
    let read = |path: &std::path::Path| {
        openmesh_evm::read_maybe_gz(path).map_err(|e| Failure::from_display(path.display(), &e))
    };
    let decoded = openmesh_evm::decode(&read(&block)?, &read(&receipts)?)
        .map_err(|e| Failure::from_display("refused", &e))?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    openmesh_evm::write_json_lines(&decoded, &mut out)
        .and_then(|()| out.flush())
        .or_else(super::unless_broken_pipe)
}
