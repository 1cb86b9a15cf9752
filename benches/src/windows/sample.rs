//! One minute of a network as numbers, read from its files, its processes and its API.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use openmesh_primitives::sha256;
use serde_json::Value;

use crate::door::Door;
use crate::network::{pid, record};
use crate::proc::{memory_kib, processor_time, processor_time_of_threads, thread_time};

/// Validators of `openmesh up --simulate`.
pub const VALIDATORS: usize = 4;
/// Name of the thread that executes, stores and prunes in a validator (`crates/engine/src/chain.rs`).
const CHAIN: &str = "openmesh-chain";
/// Columns that tables of earlier versions do not have.
const ADDED: [&str; 4] = ["memory_all_bytes", "chain_cpu_ms", "yardstick_us", "cpu_yardsticks"];
/// Bytes that a yardstick hashes, and entries that it sorts: 50 to 130 ms of work on a machine of 2026, in the caches and beyond them.
const YARDSTICK: (usize, u64) = (32 << 20, 200_000);
/// A block of stat(2), bytes, whatever the file system's own are.
const BLOCK_BYTES: u64 = 512;

/// Numbers of one minute. Those of one validator are the largest of the four.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Minutes since the beginning.
    pub minutes: u64,
    /// Height of the first validator.
    pub height: u64,
    /// Blocks of this minute.
    pub blocks: u64,
    /// Chunks that were agreed on in this minute.
    pub chunks: u64,
    /// Chunks that were agreed on since the beginning.
    pub chunks_ever: u64,
    /// Chunks that were disputed since the beginning.
    pub disputed: u64,
    /// Market events a second, as the first validator counts them.
    pub events_per_second: u64,
    /// Processor time of the four validators in this minute, milliseconds.
    pub cpu_ms: u64,
    /// The part of it that threads of the ledger took, which execute, store and prune.
    pub chain_cpu_ms: u64,
    /// Processor time of a piece of work that is always the same, done beside them once a minute, microseconds: it tells how fast this machine was.
    pub yardstick_us: u64,
    /// Processor time of the four validators as a number of such pieces of work.
    pub cpu_yardsticks: u64,
    /// Chunks that a validator's tables wait for.
    pub awaited: u64,
    /// Memory of a validator's own, bytes.
    pub memory_bytes: u64,
    /// Memory of the own of all four validators, bytes: what one of them keeps or gives back by chance weighs less in it.
    pub memory_all_bytes: u64,
    /// A validator's database, bytes.
    pub ledger_bytes: u64,
    /// A validator's chunks, bytes.
    pub content_bytes: u64,
    /// A validator's tables, bytes.
    pub lake_bytes: u64,
    /// A validator's raw frames, bytes.
    pub raw_bytes: u64,
}

/// A column of the table.
#[derive(Clone, Copy)]
pub struct Column {
    /// Heading.
    pub name: &'static str,
    /// Its place in a sample.
    pub of: fn(&mut Sample) -> &mut u64,
}

/// All columns, in their order.
pub const COLUMNS: [Column; 18] = [
    Column { name: "minutes", of: |s| &mut s.minutes },
    Column { name: "height", of: |s| &mut s.height },
    Column { name: "blocks", of: |s| &mut s.blocks },
    Column { name: "chunks", of: |s| &mut s.chunks },
    Column { name: "chunks_ever", of: |s| &mut s.chunks_ever },
    Column { name: "disputed", of: |s| &mut s.disputed },
    Column { name: "events_per_second", of: |s| &mut s.events_per_second },
    Column { name: "cpu_ms", of: |s| &mut s.cpu_ms },
    Column { name: "chain_cpu_ms", of: |s| &mut s.chain_cpu_ms },
    Column { name: "yardstick_us", of: |s| &mut s.yardstick_us },
    Column { name: "cpu_yardsticks", of: |s| &mut s.cpu_yardsticks },
    Column { name: "awaited", of: |s| &mut s.awaited },
    Column { name: "memory_bytes", of: |s| &mut s.memory_bytes },
    Column { name: "memory_all_bytes", of: |s| &mut s.memory_all_bytes },
    Column { name: "ledger_bytes", of: |s| &mut s.ledger_bytes },
    Column { name: "content_bytes", of: |s| &mut s.content_bytes },
    Column { name: "lake_bytes", of: |s| &mut s.lake_bytes },
    Column { name: "raw_bytes", of: |s| &mut s.raw_bytes },
];

impl Column {
    /// Its value in a sample.
    pub fn value(&self, sample: &Sample) -> u64 {
        *(self.of)(&mut sample.clone())
    }
}

impl Sample {
    /// The sample as a line of the benchmark.
    pub fn json(&self) -> Value {
        let mut line = serde_json::json!({ "benchmark": "windows" });
        for column in COLUMNS {
            line[column.name] = column.value(self).into();
        }
        line
    }
}

/// Writes samples as a table with a line of headings.
pub fn write(samples: &[Sample]) -> String {
    let mut text = COLUMNS.map(|column| column.name).join(",") + "\n";
    for sample in samples {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}", COLUMNS.map(|column| column.value(sample).to_string()).join(","));
    }
    text
}

/// Reads such a table. A column that a table of an earlier version does not have is 0 throughout.
///
/// # Errors
/// A heading that is no column's or lacks where every version has it, or a value that is no number.
pub fn read(text: &str) -> anyhow::Result<Vec<Sample>> {
    let mut lines = text.lines();
    let column = |name: &str| COLUMNS.into_iter().find(|column| column.name == name);
    let headings: Vec<Column> = lines
        .next()
        .unwrap_or_default()
        .split(',')
        .map(|name| column(name).with_context(|| format!("the first line names `{name}`, which is no column")))
        .collect::<anyhow::Result<_>>()?;
    for name in COLUMNS.map(|column| column.name).iter().filter(|name| !ADDED.contains(name)) {
        ensure!(headings.iter().any(|heading| heading.name == *name), "the first line lacks the column `{name}`");
    }
    lines.enumerate().map(|(i, line)| row(&headings, line).with_context(|| format!("line {}", i + 2))).collect()
}

fn row(headings: &[Column], line: &str) -> anyhow::Result<Sample> {
    let values: Vec<&str> = line.split(',').collect();
    ensure!(values.len() == headings.len(), "{} values in place of {}", values.len(), headings.len());
    let mut sample = Sample::default();
    for (column, value) in headings.iter().zip(values) {
        *(column.of)(&mut sample) = value.parse().with_context(|| format!("{}: `{value}`", column.name))?;
    }
    Ok(sample)
}

/// Folder of a validator.
pub fn folder(root: &Path, index: usize) -> PathBuf {
    root.join(format!("validator-{index}"))
}

/// A network under observation.
pub struct Watch {
    root: PathBuf,
    hosts: Vec<String>,
    before: Sample,
    cpu_ms_ever: u64,
    chain_cpu_ms_ever: u64,
    at: Instant,
}

impl Watch {
    /// A network whose first minute begins now.
    pub fn new(root: &Path, hosts: Vec<String>) -> Watch {
        Watch {
            root: root.to_owned(),
            hosts,
            before: Sample::default(),
            cpu_ms_ever: 0,
            chain_cpu_ms_ever: 0,
            at: Instant::now(),
        }
    }

    /// Numbers of the time since the last ones, for a minute.
    pub async fn sample(&mut self, minutes: u64) -> anyhow::Result<Sample> {
        let mut sample = Sample { minutes, ..Sample::default() };
        let (mut cpu_ms_ever, mut chain_cpu_ms_ever) = (0, 0);
        for index in 0..VALIDATORS {
            let folder = folder(&self.root, index);
            let (all, chain) = process(&folder, &mut sample).with_context(|| folder.display().to_string())?;
            (cpu_ms_ever, chain_cpu_ms_ever) = (cpu_ms_ever + all, chain_cpu_ms_ever + chain);
            let data = folder.join("data");
            sizes(&data, &mut sample);
            let host = &self.hosts[index];
            let status = Door::open(host).await?.get(host, "/v1/status").await.with_context(|| host.clone())?;
            let number = |pointer: &str| status.pointer(pointer).and_then(Value::as_f64).unwrap_or(0.0) as u64;
            sample.awaited = sample.awaited.max(number("/tables/chunks_awaited"));
            if index == 0 {
                (sample.height, sample.events_per_second) = (number("/height"), number("/events_per_second"));
                (sample.chunks_ever, sample.disputed) = (number("/chunks_accepted"), number("/chunks_disputed"));
            }
        }
        let passed = self.at.elapsed().as_secs_f64() / 60.0;
        let rate = |now: u64, before: u64| (now.saturating_sub(before) as f64 / passed) as u64;
        sample.blocks = rate(sample.height, self.before.height);
        sample.chunks = rate(sample.chunks_ever, self.before.chunks_ever);
        sample.cpu_ms = rate(cpu_ms_ever, self.cpu_ms_ever);
        sample.chain_cpu_ms = rate(chain_cpu_ms_ever, self.chain_cpu_ms_ever);
        (self.cpu_ms_ever, self.chain_cpu_ms_ever, self.at) = (cpu_ms_ever, chain_cpu_ms_ever, Instant::now());
        sample.yardstick_us = u64::try_from(tokio::task::spawn_blocking(yardstick).await?.as_micros())?;
        sample.cpu_yardsticks = sample.cpu_ms * 1_000 / sample.yardstick_us.max(1);
        self.before = sample;
        Ok(sample)
    }
}

/// Does the work of a yardstick, and returns its processor time.
fn yardstick() -> Duration {
    let begun = thread_time();
    let (bytes, entries) = YARDSTICK;
    std::hint::black_box(sha256(&[&vec![7; bytes]]));
    // Keys in an order that is not theirs, by a multiplication that changes none into another.
    let sorted: BTreeMap<u64, u64> = (0..entries).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15), n)).collect();
    std::hint::black_box(sorted.values().fold(0, |sum, value| sum ^ value));
    thread_time().saturating_sub(begun)
}

/// Notes the memory of a validator's process, and returns the processor time since its start, milliseconds: of all of it, and of its chain's thread.
fn process(folder: &Path, sample: &mut Sample) -> anyhow::Result<(u64, u64)> {
    let record = record(folder).context("it does not run")?;
    let pid = pid(&record).context("a record without a process")?;
    let memory_bytes = memory_kib(pid, "Anonymous")? * 1024;
    sample.memory_bytes = sample.memory_bytes.max(memory_bytes);
    sample.memory_all_bytes += memory_bytes;
    let ms = |time: Duration| u64::try_from(time.as_millis());
    Ok((ms(processor_time(pid))?, ms(processor_time_of_threads(pid, CHAIN))?))
}

fn sizes(data: &Path, sample: &mut Sample) {
    let size = |name: &str| bytes_of(&data.join(name));
    sample.ledger_bytes = sample.ledger_bytes.max(size("ledger"));
    sample.content_bytes = sample.content_bytes.max(size("content"));
    sample.lake_bytes = sample.lake_bytes.max(size("lake"));
    sample.raw_bytes = sample.raw_bytes.max(size("raw"));
}

/// Disk that a file, or all files below a folder take. What goes meanwhile counts as nothing.
fn bytes_of(path: &Path) -> u64 {
    let Ok(about) = std::fs::symlink_metadata(path) else { return 0 };
    if !about.is_dir() {
        return about.blocks() * BLOCK_BYTES;
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| bytes_of(&entry.path())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_as_it_was_written() {
        let samples: Vec<Sample> =
            (1..4).map(|minutes| Sample { minutes, raw_bytes: minutes << 40, ..Sample::default() }).collect();
        assert_eq!(read(&write(&samples)).unwrap(), samples);
        let error = read(&write(&samples).replacen(",0,", ",x,", 1)).unwrap_err();
        assert!(format!("{error:#}").starts_with("line 2: height: `x`"), "{error:#}");
        assert!(read("minutes\n1\n").unwrap_err().to_string().contains("lacks the column `height`"));
        assert!(read("minute\n1\n").unwrap_err().to_string().contains("`minute`, which is no column"));
    }

    #[test]
    fn the_same_work_is_measured() {
        assert!(yardstick() > Duration::from_millis(1));
    }
}
