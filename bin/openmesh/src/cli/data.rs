//! Arguments of what reads data without a node: `verify`, `market` and `chain`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// A window's Parquet (which carries its proof), or its canonical bytes with --proof.
    pub file: PathBuf,
    /// The proof, where it is not in the file (JSON from /v1/chunks/<cid>/proof).
    #[arg(long, value_name = "FILE")]
    pub proof: Option<PathBuf>,
    /// The network's genesis.json, which names the validators: from somebody you trust, not from who gave you the window.
    #[arg(long, value_name = "FILE")]
    pub trust: PathBuf,
    /// Check the rows alone and write the proved ones to this new file: for a Parquet that another program or version wrote.
    #[arg(long, value_name = "NEW_FILE")]
    pub write: Option<PathBuf>,
}

/// Market data tools.
#[derive(Debug, Subcommand)]
pub enum MarketCommand {
    /// Print a recording's events as JSON lines, in the order of the frames.
    Decode {
        /// A folder with frames.jsonl.gz, or such a file itself; also packed files of hftbacktest's collector (Binance) and
        /// of Bybit's order book archive, or a folder of them.
        recording: PathBuf,
        /// Also write the books after the last frame to this file.
        #[arg(long, value_name = "FILE")]
        final_books: Option<PathBuf>,
    },
}

/// Chain data tools.
#[derive(Debug, Subcommand)]
pub enum ChainCommand {
    /// Verify an Ethereum block with its receipts and print what is in it as JSON lines.
    Decode {
        /// Answer of eth_getBlockByNumber with full transactions (.json or .json.gz).
        #[arg(long, value_name = "FILE")]
        block: PathBuf,
        /// Answer of eth_getBlockReceipts (.json or .json.gz); without it, what needs receipts is listed as not verified.
        #[arg(long, value_name = "FILE")]
        receipts: Option<PathBuf>,
    },
}
