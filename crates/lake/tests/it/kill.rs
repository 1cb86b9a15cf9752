//! A process that is killed while it appends and flushes loses nothing acknowledged and doubles nothing.
//!
//! The test starts itself as a child which appends, flushes, merges, and says after each flush how far it is; the parent
//! kills it at some point, opens the lake, compares, appends what is missing, and starts the next child where the last
//! one got to.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::{WINDOW_0, meta, trades};
use arrow::array::AsArray;
use bytes::Bytes;
use openmesh_lake::{Config, Lake, LedgerBlock, LedgerBlockRow, Table};
use openmesh_market::window::Chunk;
use openmesh_primitives::Timestamp;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

const CHILD: &str = "OPENMESH_LAKE_KILL_CHILD";
const ROUNDS: u32 = 12;

fn config() -> Config {
    Config { flush_rows_max: 200, compact_files_min: 3, ..Config::default() }
}

/// Symbols alternate, so that a flush has one file or several; hours change now and then.
fn nth(n: u64) -> Chunk {
    trades(["BTC.USD", "ETH.USD"][n as usize % 2], WINDOW_0 + n as i64 * 40, 7)
}

fn block(height: u64) -> LedgerBlock {
    let time = Timestamp::from_millis(1_786_309_200_000 + height as i64 * 1000);
    LedgerBlock { block: LedgerBlockRow { height, time, ..Default::default() }, ..Default::default() }
}

#[tokio::main(flavor = "current_thread")]
async fn child(dir: &Path) {
    let lake = Lake::open(dir, config()).await.unwrap();
    let first = lake.ledger_height().map_or(1, |h| h + 1);
    for n in first.. {
        let chunk = nth(n);
        lake.append_chunk(&meta(&chunk), &chunk.bytes).await.unwrap();
        lake.append_ledger_block(&block(n)).await.unwrap();
        if n % 3 == 0 {
            lake.flush().await.unwrap();
            let mut out = std::io::stdout().lock();
            writeln!(out, "flushed {n}").unwrap();
            out.flush().unwrap();
        }
        if n % 5 == 0 {
            lake.compact().await.unwrap();
        }
    }
}

/// Counts how often each chunk's rows are in the files.
async fn rows_by_cid(dir: &Path, lake: &Lake) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    let snapshot = lake.snapshot();
    assert!(snapshot.table(Table::Trades).tail().is_empty());
    for file in snapshot.table(Table::Trades).files() {
        let bytes = Bytes::from(std::fs::read(dir.join(file.path())).unwrap());
        for batch in ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap() {
            let batch = batch.unwrap();
            for cid in batch.column_by_name("cid").unwrap().as_string::<i32>().iter().flatten() {
                *counts.entry(cid.to_string()).or_default() += 1;
            }
        }
    }
    counts
}

/// Starts a child, waits until it has acknowledged `acknowledgements` flushes, lets it run on for a moment that differs
/// from round to round, and kills it. Returns the last acknowledged number.
fn run_and_kill(dir: &Path, acknowledgements: u32, microseconds: u32) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::a_killed_process_loses_nothing_acknowledged_and_doubles_nothing", "--nocapture"])
        .env(CHILD, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut last = 0;
    let mut seen = 0;
    while seen < acknowledgements {
        let line = lines.next().expect("the child ended by itself").unwrap();
        if let Some(n) = line.split("flushed ").nth(1) {
            last = n.parse().unwrap();
            seen += 1;
        }
    }
    std::thread::sleep(std::time::Duration::from_micros(u64::from(microseconds)));
    child.kill().unwrap();
    child.wait().unwrap();
    // What it had said before it died is in the pipe.
    let rest = lines.map_while(Result::ok).filter_map(|l| l.split("flushed ").nth(1).and_then(|n| n.parse().ok()));
    rest.last().unwrap_or(last)
}

#[test]
fn a_killed_process_loses_nothing_acknowledged_and_doubles_nothing() {
    if let Ok(dir) = std::env::var(CHILD) {
        child(Path::new(&dir));
        return;
    }
    let dir = tempfile::TempDir::new().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for round in 0..ROUNDS {
        // Moments spread over a flush, which takes some milliseconds.
        let acknowledged = run_and_kill(dir.path(), 1 + round % 4, round * 1_700);
        runtime.block_on(async {
            let lake = Lake::open(dir.path(), config()).await.unwrap();
            let height = lake.ledger_height().unwrap();
            assert!(height >= acknowledged, "acknowledged {acknowledged}, found {height}");
            let chunks: Vec<Chunk> = (1..=height + 3).map(nth).collect();
            let cids: Vec<_> = chunks.iter().map(|c| c.cid).collect();
            let missing = lake.missing(&cids).unwrap();
            assert!(missing.iter().all(|cid| !cids[..acknowledged as usize].contains(cid)), "an acknowledged one");
            let counts = rows_by_cid(dir.path(), &lake).await;
            for chunk in &chunks {
                let expected = if missing.contains(&chunk.cid) { 0 } else { 7 };
                assert_eq!(counts.get(&chunk.cid.to_string()).copied().unwrap_or(0), expected, "round {round}");
            }
            // The caller's part of the promise: append what is missing, here only up to the height that is known.
            for chunk in chunks.iter().take(height as usize).filter(|c| missing.contains(&c.cid)) {
                lake.append_chunk(&meta(chunk), &chunk.bytes).await.unwrap();
            }
            lake.flush().await.unwrap();
            assert!(lake.missing(&cids[..height as usize]).unwrap().is_empty());
            let blocks: u64 = lake.snapshot().table(Table::LedgerBlocks).rows();
            assert_eq!(blocks, height, "each ledger block once");
        });
    }
}
