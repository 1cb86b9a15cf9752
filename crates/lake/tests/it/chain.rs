//! Ethereum blocks of our own making: once, in every table, in Avro, and as files whose rows cannot be altered.

use std::sync::Arc;

use arrow::array::{AsArray, StringArray};
use arrow::record_batch::RecordBatch;
use openmesh_chain::{Block, Log, Receipt, TRANSFER, Transaction, U256, UNISWAP_V2_SWAP};
use openmesh_lake::{
    AcceptedChunkMeta, Appended, ChainBlock, ChainMeta, Config, Lake, LakeError, Table, chunk_of_parquet,
    rows_of_parquet, window_parquet,
};
use openmesh_primitives::{ContentId, canonical};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tempfile::TempDir;

fn word(last: u8) -> [u8; 32] {
    let mut word = [0; 32];
    word[31] = last;
    word
}

fn block() -> Block {
    Block { number: 5, hash: word(1), timestamp: 1_786_309_211, ..zeroed() }
}

/// A value of which everything is zero or absent, whatever its fields.
fn zeroed<T: borsh::BorshDeserialize>() -> T {
    (1..2_000).find_map(|n| canonical::decode::<T>(&vec![0; n]).ok()).unwrap()
}

fn transaction(index: u64, value: U256) -> Transaction {
    Transaction { transaction_index: index, value, gas_price: 7_000_000_001, ..zeroed() }
}

fn log(index: u64, topics: Vec<[u8; 32]>, words: usize) -> Log {
    Log { log_index: index, topics, data: [word(9); 8][..words].concat(), ..zeroed() }
}

fn meta(bytes: &[u8]) -> AcceptedChunkMeta {
    AcceptedChunkMeta {
        source: "ethereum".into(),
        origin: "replay".into(),
        cid: ContentId::of(bytes),
        window: 5,
        stream: "ETH.USD/blocks".into(),
        height: 9,
    }
}

#[tokio::test]
async fn a_block_fills_its_tables_once() {
    let dir = TempDir::new().unwrap();
    let lake = Lake::open(dir.path(), Config::default()).await.unwrap();
    let block = block();
    let transactions = Some(vec![transaction(0, U256::from(1u64)), transaction(1, U256([0xff; 32]))]);
    let receipts = Some(vec![Receipt { transaction_index: 1, status: Some(1), ..zeroed() }]);
    let logs = vec![
        log(0, vec![TRANSFER, word(1), word(2)], 1),
        log(1, vec![TRANSFER, word(1), word(2), word(3)], 0),
        log(2, vec![UNISWAP_V2_SWAP, word(1), word(2)], 4),
        log(3, vec![], 0),
    ];
    let mut bytes = vec![1];
    bytes.extend(canonical::encode(&(&block, &transactions, &receipts, &logs)));
    let meta = meta(&bytes);
    assert_eq!(lake.append_chunk(&meta, &bytes).await.unwrap(), Appended::New);
    assert_eq!(lake.append_chunk(&meta, &bytes).await.unwrap(), Appended::Already);
    let count = |table| lake.snapshot().table(table).rows();
    let tables = [Table::EthBlocks, Table::EthTransactions, Table::EthLogs, Table::EthTokenTransfers, Table::EthSwaps];
    assert_eq!(tables.map(count), [1, 2, 4, 2, 1]);
    lake.flush().await.unwrap();
    assert_eq!(tables.map(count), [1, 2, 4, 2, 1]);
    for table in tables {
        let folder = dir.path().join(format!("avro/{table}/year=2026/month=08/day=09/hour=21"));
        let file = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
        let reader = apache_avro::Reader::new(std::fs::File::open(file).unwrap()).unwrap();
        assert_eq!(reader.map(Result::unwrap).count() as u64, count(table), "{table}");
    }
    // As a file with its proof: the rows lead to the bytes, and an altered row is refused.
    let file = window_parquet(&bytes, Some("{}")).unwrap();
    assert_eq!(chunk_of_parquet(&file).unwrap(), (bytes, Some("{}".to_string())));
    let schema = arrow::datatypes::Schema::new(vec![
        arrow::datatypes::Field::new("type", arrow::datatypes::DataType::Utf8, false),
        arrow::datatypes::Field::new("position", arrow::datatypes::DataType::Int64, false),
        arrow::datatypes::Field::new("row", arrow::datatypes::DataType::Utf8, false),
    ]);
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(file)).unwrap();
    let footer = builder.metadata().file_metadata().key_value_metadata().cloned().unwrap();
    let batch = builder.build().unwrap().next().unwrap().unwrap();
    for forge in [false, true] {
        let mut columns = batch.columns().to_vec();
        if forge {
            let rows =
                columns[2].as_string::<i32>().iter().flatten().map(|row| row.replace("\"nonce\":0", "\"nonce\":1"));
            columns[2] = Arc::new(StringArray::from_iter_values(rows));
        }
        let mut writer = ArrowWriter::try_new(Vec::new(), Arc::new(schema.clone()), None).unwrap();
        writer.write(&RecordBatch::try_new(Arc::new(schema.clone()), columns).unwrap()).unwrap();
        footer.iter().for_each(|pair| writer.append_key_value_metadata(pair.clone()));
        let read = rows_of_parquet(&writer.into_inner().unwrap());
        assert_eq!(read.is_err(), forge, "{read:?}");
    }
    // A block that comes alone is recognised by its hash.
    let alone = ChainMeta { source: "ethereum".into(), origin: "replay".into(), cid: None };
    let other = Block { number: 6, hash: word(6), ..block.clone() };
    let rows = ChainBlock { block: &other, transactions: &[], receipts: &[], logs: &[] };
    assert_eq!(lake.append_chain_blocks(&alone, &[rows]).await.unwrap(), Appended::New);
    assert_eq!(lake.append_chain_blocks(&alone, &[rows]).await.unwrap(), Appended::Already);
    assert!(matches!(lake.append_chain_blocks(&alone, &[rows, rows]).await, Err(LakeError::Chunk { .. })));
    assert_eq!(count(Table::EthBlocks), 2);
}

#[tokio::test]
async fn what_is_no_block_is_refused() {
    let dir = TempDir::new().unwrap();
    let lake = Lake::open(dir.path(), Config::default()).await.unwrap();
    for bytes in [vec![], vec![1], vec![2; 2_000], vec![1; 2_000]] {
        assert!(matches!(lake.append_chunk(&meta(&bytes), &bytes).await, Err(LakeError::Chunk { .. })));
    }
    // A time beyond what a nanosecond clock holds is refused, not wrapped around.
    let late = Block { timestamp: u64::MAX, ..block() };
    let alone = ChainMeta { source: "ethereum".into(), origin: "replay".into(), cid: None };
    let rows = ChainBlock { block: &late, transactions: &[], receipts: &[], logs: &[] };
    assert!(matches!(lake.append_chain_blocks(&alone, &[rows]).await, Err(LakeError::OutOfRange { .. })));
}
