//! Memory of the processes of a simulated network, sampled over some minutes.
//!
//! Resident and anonymous bytes are those of `/proc/PID/smaps_rollup` (proc(5)); what is not anonymous is mostly the binary,
//! which all share.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;

use crate::network::{Process, Product, pid, record};
use crate::proc::memory_kib;

/// Arguments of `memory`.
#[derive(Debug, Args)]
pub struct MemoryArgs {
    /// Minutes, with a sample of each process after each.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=1_440))]
    minutes: u32,
    /// Market events a second.
    #[arg(long, default_value_t = 300)]
    rate: u32,
    #[command(flatten)]
    product: Product,
}

/// Folders of a network's processes below its home.
const FOLDERS: [&str; 5] = ["validator-0", "validator-1", "validator-2", "validator-3", "venues"];

/// Starts a simulated network and prints a sample of each process after each minute.
pub async fn run(arguments: &MemoryArgs) -> anyhow::Result<()> {
    let home = tempfile::tempdir()?;
    let rate = arguments.rate.to_string();
    let up = ["up", "--simulate", "--port", "0", "--rate", &rate, "--home", home.path().to_str().context("a path")?];
    let mut network = Process::start(&arguments.product.path()?, &up, home.path().join("up.log"))?;
    let root = home.path().join("simulated");
    let outcome = match network.ready(&root.join(FOLDERS[0])).await {
        Ok(_) => sample(arguments.minutes, &root).await,
        Err(error) => Err(error),
    };
    network.stop().await;
    outcome
}

async fn sample(minutes: u32, root: &Path) -> anyhow::Result<()> {
    for minute in 1..=minutes {
        tokio::time::sleep(Duration::from_secs(60)).await;
        for name in FOLDERS {
            let record = record(&root.join(name)).with_context(|| format!("{name} does not run"))?;
            let pid = pid(&record).context("a record without a process")?;
            println!(
                "{}",
                serde_json::json!({
                    "benchmark": "memory",
                    "minute": minute,
                    "process": name,
                    "resident_mib": memory_kib(pid, "Rss")? / 1024,
                    "anonymous_mib": memory_kib(pid, "Anonymous")? / 1024,
                })
            );
        }
    }
    Ok(())
}
