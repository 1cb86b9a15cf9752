//! Readers without our code see the same numbers.
//!
//! Runs where `OPENMESH_PYTHON` names a Python with `pyarrow`, `duckdb` and `fastavro`, or where `scripts/readers.sh`
//! has made one; `make test` does, and says so where it cannot.

use std::path::PathBuf;

use std::process::Command;

use crate::common::{WINDOW_0, block, d, meta, one_of_each};
use openmesh_lake::{ChainBlock, ChainMeta, Config, Lake, window_parquet};
use openmesh_market::window::{Rows, TradeRow};
use openmesh_market::{Exchange, Feed};
use openmesh_primitives::Timestamp;
use tempfile::TempDir;

const SCRIPT: &str = r#"
import sys, glob, decimal, datetime
import pyarrow as pa, pyarrow.compute, pyarrow.parquet as pq
decimal.getcontext().prec = 60
lake, window = sys.argv[1], sys.argv[2]
files = glob.glob(lake + "/trades/**/*.parquet", recursive=True)
assert files, "no files"
table = pa.concat_tables([pq.ParquetFile(f).read() for f in files])
schema = table.schema
assert schema.field("price").type == pa.decimal128(38, 18), schema.field("price").type
assert schema.field("ts_exchange").type == pa.timestamp("ns", tz="UTC"), schema.field("ts_exchange").type
assert schema.field("symbol").type == pa.string(), schema.field("symbol").type
rows = [r for r in table.select(["symbol", "price", "size"]).to_pylist() if r["symbol"] == "SHIB.USD"]
assert len(rows) == 1, rows
assert rows[0]["price"] == decimal.Decimal("12345678901234567890.123456789012345678"), rows[0]["price"]
assert rows[0]["size"] == decimal.Decimal("0.000000000000000001")
assert 1786309200000000007 in pa.compute.cast(table["ts_exchange"], pa.int64()).to_pylist()
assert "year=2026/month=08/day=09/hour=21" in files[0], files[0]
meta = pq.ParquetFile(window)
assert meta.metadata.metadata[b"openmesh.proof"] == b'{"p":1}'
assert b'"feed":"trades"' in meta.metadata.metadata[b"openmesh.chunk_header"]
assert meta.read().num_rows == 5
print("pyarrow", pa.__version__)
import duckdb
got = duckdb.sql(f"SELECT symbol, price, hour FROM read_parquet('{lake}/trades/**/*.parquet', hive_partitioning=true) WHERE symbol = 'SHIB.USD'").fetchall()
assert got[0][1] == decimal.Decimal("12345678901234567890.123456789012345678"), got
assert str(got[0][2]) == "21", got
print("duckdb", duckdb.__version__)
import fastavro
files = glob.glob(lake + "/avro/eth_blocks/**/*.avro", recursive=True)
rows = [r for f in files for r in fastavro.reader(open(f, "rb"))]
assert rows[0]["block_number"] == 20000000 and rows[0]["difficulty"] == str(2**256 - 1), rows
assert rows[0]["base_fee_gwei"] == decimal.Decimal("7.000000001"), rows[0]["base_fee_gwei"]
print("fastavro", fastavro.__version__)
"#;

/// A Python with the readers.
pub fn python() -> Option<PathBuf> {
    let made = || {
        let python = PathBuf::from(std::env::var_os("HOME")?).join(".cache/openmesh/readers-venv/bin/python");
        python.exists().then_some(python)
    };
    std::env::var_os("OPENMESH_PYTHON").map(PathBuf::from).or_else(made)
}

#[tokio::test]
async fn pyarrow_duckdb_and_fastavro_read_the_files() {
    let Some(python) = python() else {
        eprintln!("skipped: no Python with pyarrow, duckdb and fastavro; scripts/readers.sh makes one");
        return;
    };
    let dir = TempDir::new().unwrap();
    let lake = Lake::open(dir.path(), Config::default()).await.unwrap();
    let chunks = one_of_each(WINDOW_0);
    for chunk in &chunks {
        lake.append_chunk(&meta(chunk), &chunk.bytes).await.unwrap();
    }
    let row = TradeRow {
        ts: Timestamp(WINDOW_0 * 10_000_000_000 + 7),
        id: None,
        side: openmesh_market::Side::Buy,
        price: d("12345678901234567890.123456789012345678"),
        size: d("0.000000000000000001"),
    };
    let stream = crate::common::stream(Exchange::Kraken, "SHIB.USD", Feed::Trades);
    let extreme = crate::common::chunk(stream, WINDOW_0, Rows::Trades(vec![row]));
    lake.append_chunk(&meta(&extreme), &extreme.bytes).await.unwrap();
    let from = ChainMeta { source: "ethereum".into(), origin: "replay".into(), cid: None };
    let block = block::largest();
    let chain = ChainBlock { block: &block, transactions: &[], receipts: &[], logs: &[] };
    lake.append_chain_blocks(&from, &[chain]).await.unwrap();
    lake.flush().await.unwrap();
    let window = dir.path().join("window.parquet");
    std::fs::write(&window, window_parquet(&chunks[0].bytes, Some(r#"{"p":1}"#)).unwrap()).unwrap();
    let output = Command::new(python).arg("-c").arg(SCRIPT).arg(dir.path()).arg(&window).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    eprintln!("read by {}", said.trim().replace('\n', ", "));
}
