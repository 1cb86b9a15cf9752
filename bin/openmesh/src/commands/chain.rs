//! `openmesh chain`.

use std::io::Write;

use crate::cli::ChainCommand;
use crate::failure::{Failure, unless_broken_pipe};

/// Form of the files, for a person.
const EXPECTED: &str =
    "--block and --receipts take the answers of eth_getBlockByNumber and eth_getBlockReceipts, as JSON or as .json.gz";

/// Runs one of the chain commands.
pub fn run(command: ChainCommand) -> Result<(), Failure> {
    let ChainCommand::Decode { block, receipts } = command;
    let read = |path: &std::path::Path| {
        // The error names the file.
        openmesh_evm::read_maybe_gz(path).map_err(|e| Failure::new(e.to_string()).hint(EXPECTED))
    };
    let (block, receipts) = (read(&block)?, receipts.as_deref().map(read).transpose()?);
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let decoded = match &receipts {
        Some(receipts) => openmesh_evm::decode(&block, receipts),
        None => openmesh_evm::decode_block(&block),
    };
    let decoded = match decoded {
        Ok(decoded) => decoded,
        Err(error) => {
            // What was verified before the first mismatch, and the mismatch itself.
            openmesh_evm::write_checks(error.checks(), &[], &mut out)
                .and_then(|()| out.flush())
                .or_else(unless_broken_pipe)?;
            return Err(Failure::from_display("refused", &error));
        }
    };
    openmesh_evm::write_json_lines(&decoded, &mut out).and_then(|()| out.flush()).or_else(unless_broken_pipe)
}
