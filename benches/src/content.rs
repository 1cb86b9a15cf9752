//! Small blocks in the content store: windows' chunks kept with their syncs, each in a file of its own and together in the
//! database; then a store of many blocks, its disk and memory, and the time in which it opens.

use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use clap::Args;
use openmesh_content::{BlockStore, Limits, PACKED_BYTES_MAX, Reason};

use crate::proc::memory_kib;

/// Arguments of `content`.
#[derive(Debug, Args)]
pub struct ContentArgs {
    /// Blocks of the large store.
    #[arg(long, default_value_t = 1_000_000)]
    blocks: u64,
    /// Blocks that are kept in batches, and as files of their own.
    #[arg(long, default_value_t = 2_400)]
    kept: u64,
    /// Blocks of a batch: the chunks of a window.
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u64).range(1..))]
    batch: u64,
    /// Bytes of a block.
    #[arg(long, default_value_t = 350, value_parser = clap::value_parser!(u64).range(8..=65_536))]
    bytes: u64,
}

/// Blocks of one transaction while the large store is filled: what is measured there is what it has become.
const FILL_BATCH: u64 = 2_000;

/// Keeps blocks and prints what it took.
pub fn run(arguments: &ContentArgs) -> anyhow::Result<()> {
    keep(arguments, "files", 0)?;
    keep(arguments, "rows", PACKED_BYTES_MAX)?;
    if arguments.blocks > 0 {
        fill(arguments)?;
    }
    Ok(())
}

fn keep(arguments: &ContentArgs, kind: &str, packed_bytes_max: u64) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let store = BlockStore::open(dir.path(), Limits { packed_bytes_max, ..Limits::default() })?;
    let (begun, before) = (Instant::now(), cpu_seconds()?);
    for batch in batches(0..arguments.kept, arguments.batch, arguments.bytes) {
        store.put_all(&batch, Reason::Window)?;
    }
    let (seconds, cpu) = (begun.elapsed().as_secs_f64(), cpu_seconds()? - before);
    let (files, disk) = disk_of(dir.path())?;
    println!(
        "{}",
        serde_json::json!({
            "benchmark": "content",
            "kind": kind,
            "blocks": arguments.kept,
            "batch": arguments.batch,
            "puts_per_second": (arguments.kept as f64 / seconds).round(),
            "cpu_us_per_block": (cpu * 1e6 / arguments.kept as f64).round(),
            "files": files,
            "disk_bytes_per_block": disk / arguments.kept.max(1),
        })
    );
    Ok(())
}

fn fill(arguments: &ContentArgs) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let before = memory_kib(std::process::id(), "Anonymous")?;
    let store = BlockStore::open(dir.path(), Limits::default())?;
    for batch in batches(0..arguments.blocks, FILL_BATCH, arguments.bytes) {
        store.put_all(&batch, Reason::Window)?;
    }
    let memory = memory_kib(std::process::id(), "Anonymous")?.saturating_sub(before);
    let (counted, disk) = (store.bytes(), store.database_bytes());
    // What a crash leaves: the file without its orderly end.
    let crashed = tempfile::tempdir()?;
    std::fs::copy(dir.path().join("blocks.redb"), crashed.path().join("blocks.redb"))?;
    drop(store);
    let open = |dir: &Path| -> anyhow::Result<f64> {
        let begun = Instant::now();
        let store = BlockStore::open(dir, Limits::default())?;
        let opened = begun.elapsed().as_secs_f64();
        anyhow::ensure!(store.len() == arguments.blocks, "{} blocks of {}", store.len(), arguments.blocks);
        Ok(opened)
    };
    let (clean, after_crash) = (open(dir.path())?, open(crashed.path())?);
    println!(
        "{}",
        serde_json::json!({
            "benchmark": "content",
            "kind": "large",
            "blocks": arguments.blocks,
            "memory_kib": memory,
            "counted_bytes_per_block": counted / arguments.blocks,
            "disk_bytes_per_block": disk / arguments.blocks,
            "open_ms": (clean * 1e3).round(),
            "open_after_crash_ms": (after_crash * 1e3).round(),
        })
    );
    Ok(())
}

/// Blocks of different bytes, in batches.
fn batches(numbers: std::ops::Range<u64>, batch: u64, bytes: u64) -> impl Iterator<Item = Vec<Vec<u8>>> {
    let end = numbers.end;
    numbers.step_by(usize::try_from(batch).unwrap_or(usize::MAX)).map(move |first| {
        let block = |number: u64| {
            let mut block = vec![0x5a; usize::try_from(bytes).unwrap_or_default()];
            block[..8].copy_from_slice(&number.to_be_bytes());
            block
        };
        (first..(first + batch).min(end)).map(block).collect()
    })
}

/// Files below a folder, and the bytes that they take of the disk.
fn disk_of(dir: &Path) -> anyhow::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let (mut files, mut disk) = (0, 0);
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let about = entry.metadata()?;
        disk += about.blocks() * 512;
        if about.is_dir() {
            let below = disk_of(&entry.path())?;
            (files, disk) = (files + below.0, disk + below.1);
        } else {
            files += 1;
        }
    }
    Ok((files, disk))
}

/// Time that this thread was on a processor, itself and in the kernel (proc(5), `schedstat`).
fn cpu_seconds() -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos: u64 = stat.split_whitespace().next().context("no figure")?.parse()?;
    Ok(nanos as f64 / 1e9)
}
