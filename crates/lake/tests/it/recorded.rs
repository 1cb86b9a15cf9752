//! Recorded Ethereum blocks, from a node's JSON to rows in files, held against what ethereum-etl makes of the same
//! JSON.
//!
//! Looks for `OPENMESH_RECORDINGS`, then for `../shared/data` beside the workspace, and is skipped where neither
//! exists.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use apache_avro::types::Value as Avro;
use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Decimal128Type, TimestampNanosecondType};
use arrow::record_batch::RecordBatch;
use arrow::util::display::array_value_to_string;
use openmesh_evm::{canonical_block, decode, read_maybe_gz};
use openmesh_lake::{AcceptedChunkMeta, Appended, Config, Lake, Table, chunk_of_parquet, window_parquet};
use openmesh_primitives::ContentId;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tempfile::TempDir;

const SETS: [&str; 2] = ["eth-18000000", "eth-20000000"];
const TABLES: [Table; 5] =
    [Table::EthBlocks, Table::EthTransactions, Table::EthLogs, Table::EthTokenTransfers, Table::EthSwaps];

fn recordings() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    let dir = std::env::var_os("OPENMESH_RECORDINGS").map_or_else(|| beside.into(), PathBuf::from);
    dir.is_dir().then_some(dir)
}

/// Rows as text by the name of the column, in the order of the file.
type TextRows = Vec<BTreeMap<String, String>>;

fn rows_of(dir: &Path, lake: &Lake, table: Table) -> TextRows {
    let mut rows = Vec::new();
    for file in lake.snapshot().table(table).files() {
        let bytes = bytes::Bytes::from(std::fs::read(dir.join(file.path())).unwrap());
        for batch in ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap() {
            let batch = batch.unwrap();
            rows.extend((0..batch.num_rows()).map(|row| text_row(&batch, row)));
        }
    }
    rows
}

fn text_row(batch: &RecordBatch, row: usize) -> BTreeMap<String, String> {
    let schema = batch.schema();
    let cells = schema.fields().iter().zip(batch.columns());
    cells.map(|(field, column)| (field.name().clone(), text(column.as_ref(), row))).collect()
}

/// Times as nanoseconds and decimals as mantissas, as Avro has them.
fn text(array: &dyn Array, row: usize) -> String {
    if array.is_null(row) {
        return "null".to_string();
    }
    match array.data_type() {
        DataType::Timestamp(..) => array.as_primitive::<TimestampNanosecondType>().value(row).to_string(),
        DataType::Decimal128(..) => array.as_primitive::<Decimal128Type>().value(row).to_string(),
        _ => array_value_to_string(array, row).unwrap(),
    }
}

fn avro_rows(dir: &Path, table: Table) -> TextRows {
    let mut folders = vec![dir.join("avro").join(table.name())];
    let mut rows = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            for record in apache_avro::Reader::new(std::fs::File::open(path).unwrap()).unwrap() {
                let Avro::Record(fields) = record.unwrap() else { panic!("no record") };
                rows.push(fields.into_iter().map(|(name, value)| (name, avro_text(&value))).collect());
            }
        }
    }
    rows
}

fn avro_text(value: &Avro) -> String {
    match value {
        Avro::Null => "null".to_string(),
        Avro::Union(_, inner) => avro_text(inner),
        Avro::String(text) => text.clone(),
        Avro::Long(number) | Avro::TimestampNanos(number) => number.to_string(),
        Avro::Boolean(truth) => truth.to_string(),
        Avro::Decimal(decimal) => {
            let bytes = <Vec<u8>>::try_from(decimal).unwrap();
            let start = if bytes[0] & 0x80 != 0 { -1i128 } else { 0 };
            bytes.iter().fold(start, |sum, byte| sum << 8 | i128::from(*byte)).to_string()
        }
        other => panic!("no column is {other:?}"),
    }
}

/// The lines of a reference of a set.
fn reference(folder: &Path, name: &str) -> Vec<String> {
    let bytes = read_maybe_gz(folder.join("reference").join(format!("{name}.jsonl.gz"))).unwrap();
    String::from_utf8(bytes).unwrap().lines().map(str::to_string).collect()
}

/// A field of a line that is no list, as it is written: numbers are larger than what a JSON reader keeps exactly.
fn field<'a>(line: &'a str, name: &str) -> &'a str {
    let start = line.find(&format!("\"{name}\":")).unwrap_or_else(|| panic!("{name} in {line}")) + name.len() + 3;
    let rest = &line[start..];
    rest[..rest.find([',', '}']).unwrap()].trim_matches('"')
}

/// Holds rows against lines of a reference: `ours = theirs` for columns of another name.
fn assert_equal(rows: &TextRows, lines: &[String], columns: &str, what: &str) {
    assert_eq!(rows.len(), lines.len(), "{what}");
    for (row, line) in rows.iter().zip(lines) {
        for column in columns.split_whitespace() {
            let (ours, theirs) = column.split_once('=').unwrap_or((column, column));
            assert_eq!(row[ours], field(line, theirs), "{what}: {ours} in {line}");
        }
    }
}

fn assert_as_ethereum_etl(folder: &Path, rows: impl Fn(Table) -> TextRows) {
    let lines = |name: &str| reference(folder, &format!("ethereum-etl.{name}"));
    assert_equal(
        &rows(Table::EthBlocks),
        &lines("blocks"),
        "block_number=number block_hash=hash parent_hash nonce sha3_uncles logs_bloom transactions_root state_root \
         receipts_root miner difficulty size extra_data gas_limit gas_used transaction_count base_fee_per_gas \
         withdrawals_root",
        "blocks",
    );
    let transactions = rows(Table::EthTransactions);
    assert_equal(
        &transactions,
        &lines("transactions"),
        "block_number block_hash hash transaction_index nonce from_address to_address value gas gas_price input \
         max_fee_per_gas max_priority_fee_per_gas transaction_type",
        "transactions",
    );
    assert_equal(
        &transactions,
        &lines("receipts"),
        "hash=transaction_hash receipt_status=status receipt_gas_used=gas_used receipt_effective_gas_price=effective_gas_price \
         receipt_cumulative_gas_used=cumulative_gas_used receipt_contract_address=contract_address",
        "receipts",
    );
    let logs = rows(Table::EthLogs);
    assert_equal(&logs, &lines("logs"), "log_index transaction_hash transaction_index address data", "logs");
    for (row, line) in logs.iter().zip(lines("logs")) {
        let topics = ["topic0", "topic1", "topic2", "topic3"].map(|topic| row[topic].as_str());
        let topics: Vec<_> = topics.into_iter().filter(|t| *t != "null").map(|t| format!("\"{t}\"")).collect();
        assert!(line.ends_with(&format!("\"topics\":[{}]}}", topics.join(","))), "{line}");
    }
    assert_equal(
        &rows(Table::EthTokenTransfers),
        &lines("token_transfers"),
        "log_index transaction_hash token_address from_address to_address value",
        "transfers",
    );
    let swaps = reference(folder, "dex_swaps.eth-abi");
    let both = "log_index=logIndex transaction_hash=transactionHash transaction_index=transactionIndex \
                pool_address=contract protocol=event sender";
    assert_equal(&rows(Table::EthSwaps), &swaps, both, "swaps");
    for (protocol, columns) in [
        ("uniswap_v2", "amount0_in=amount0In amount1_in=amount1In amount0_out=amount0Out amount1_out=amount1Out"),
        ("uniswap_v3", "amount0 amount1 sqrt_price_x96=sqrtPriceX96 liquidity tick"),
    ] {
        let lines: Vec<String> = swaps.iter().filter(|line| field(line, "event") == protocol).cloned().collect();
        let rows: TextRows = rows(Table::EthSwaps).into_iter().filter(|row| row["protocol"] == protocol).collect();
        assert!(!lines.is_empty(), "no swap of {protocol}");
        assert_equal(&rows, &lines, columns, protocol);
    }
}

#[tokio::test]
async fn recorded_blocks_are_as_ethereum_etl_has_them_in_parquet_and_in_avro() {
    let Some(recordings) = recordings() else {
        eprintln!("skipped: no recordings beside the workspace, and OPENMESH_RECORDINGS names none");
        return;
    };
    for set in SETS {
        let folder = recordings.join(set);
        let block = read_maybe_gz(folder.join("eth_getBlockByNumber.full.json.gz")).unwrap();
        let receipts = read_maybe_gz(folder.join("eth_getBlockReceipts.json.gz")).unwrap();
        let decoded = decode(&block, &receipts).unwrap();
        let bytes = canonical_block(&decoded);
        let meta = AcceptedChunkMeta {
            source: "ethereum".into(),
            origin: "replay".into(),
            cid: ContentId::of(&bytes),
            window: decoded.block().number,
            stream: "ETH.USD/blocks".into(),
            height: 1,
        };
        let dir = TempDir::new().unwrap();
        let lake = Lake::open(dir.path(), Config::default()).await.unwrap();
        assert_eq!(lake.append_chunk(&meta, &bytes).await.unwrap(), Appended::New);
        lake.flush().await.unwrap();
        assert_as_ethereum_etl(&folder, |table| rows_of(dir.path(), &lake, table));
        for table in TABLES {
            let rows = rows_of(dir.path(), &lake, table);
            println!("{set}: {} rows of {table}", rows.len());
            assert_eq!(avro_rows(dir.path(), table), rows, "{table} in Avro");
        }
        let file = window_parquet(&bytes, Some("{}")).unwrap();
        assert_eq!(chunk_of_parquet(&file).unwrap(), (bytes, Some("{}".to_string())));
    }
}
