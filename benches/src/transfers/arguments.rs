//! The command line of this benchmark.

use std::path::PathBuf;

use clap::Args;

use crate::network::Product;

/// Arguments of `transfers`.
#[derive(Debug, Args)]
pub struct TransfersArgs {
    /// Number of validators.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=16))]
    pub validators: u32,
    /// Accounts that send.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(16..=100_000))]
    pub accounts: u32,
    /// Transfers of the first run, which hands in as fast as they are taken.
    #[arg(long, default_value_t = 20_000)]
    pub transfers: u64,
    /// Rates of the further runs, transfers a second, separated by commas; without it, shares of what the first run reached.
    #[arg(long, value_name = "RATES", value_delimiter = ',')]
    pub rates: Vec<u64>,
    /// Length of each further run, seconds.
    #[arg(long, default_value_t = 15)]
    pub seconds: u64,
    /// Connections to each validator.
    #[arg(long, default_value_t = 32)]
    pub connections: usize,
    /// Transfers of a request: more than one go through the door for batches, as bytes.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=256))]
    pub batch: u64,
    /// Tell the processor time of a transfer by part after the first run, instead of the further runs.
    #[arg(long, group = "kind")]
    pub profile: bool,
    /// Tell the pause between blocks with one validator down beside that of the whole network, instead of the further runs.
    #[arg(long, group = "kind")]
    pub one_down: bool,
    /// Tell the time of so many single transfers on the idle network, instead of all runs.
    #[arg(long, value_name = "TIMES", group = "kind", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub single: Option<u32>,
    /// Measure beside CometBFT, the program of `benches/cometbft`, for --seconds in each of --rounds, instead of all runs.
    #[arg(long, value_name = "FILE", group = "kind", conflicts_with = "home")]
    pub beside: Option<PathBuf>,
    /// Rounds beside CometBFT, in which each side has its turn.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// Changes CometBFT's best configuration further: `consensus.timeout_commit=50ms`.
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,
    /// Length of the idle time over which an idle network is measured, seconds.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(2..))]
    pub idle_seconds: u64,
    /// Keep the validators' homes and logs in this folder, which must not exist.
    #[arg(long, value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// The last validator's program, where it is not that of the others.
    #[arg(long, value_name = "FILE")]
    pub last_bin: Option<PathBuf>,
    /// The product.
    #[command(flatten)]
    pub product: Product,
}
