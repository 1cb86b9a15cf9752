//! Window files: the rows are the chunk.

use std::sync::Arc;

use crate::common::{WINDOW_0, one_of_each, trades};
use arrow::array::{ArrayRef, AsArray, Decimal128Array};
use arrow::datatypes::Decimal128Type;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use openmesh_lake::{FOOTER_HEADER, LakeError, chunk_of_parquet, rows_of_parquet, window_parquet};
use openmesh_primitives::ContentId;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::KeyValue;

const PROOF: &str = r#"{"header":{"height":7}}"#;

#[test]
fn every_feed_comes_back_byte_for_byte() {
    for chunk in one_of_each(WINDOW_0) {
        let file = window_parquet(&chunk.bytes, Some(PROOF)).unwrap();
        let (bytes, proof) = chunk_of_parquet(&file).unwrap();
        assert_eq!(ContentId::of(&bytes), chunk.cid, "{}", chunk.stream());
        assert_eq!(proof.as_deref(), Some(PROOF));
        let (_, proof) = chunk_of_parquet(&window_parquet(&chunk.bytes, None).unwrap()).unwrap();
        assert_eq!(proof, None);
    }
}

/// The same file with its rows and header changed by somebody who can write Parquet.
fn forge(file: &[u8], rows: impl Fn(RecordBatch) -> RecordBatch, header: impl Fn(String) -> String) -> Vec<u8> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(Bytes::copy_from_slice(file)).unwrap();
    let pairs = builder.metadata().file_metadata().key_value_metadata().cloned().unwrap();
    let batch = builder.build().unwrap().next().unwrap().unwrap();
    let batch = rows(batch);
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    for pair in pairs {
        let value = pair.value.map(|value| if pair.key == FOOTER_HEADER { header(value) } else { value });
        writer.append_key_value_metadata(KeyValue { key: pair.key, value });
    }
    writer.into_inner().unwrap()
}

fn replace(batch: &RecordBatch, name: &str, column: ArrayRef) -> RecordBatch {
    let at = batch.schema().index_of(name).unwrap();
    let mut columns = batch.columns().to_vec();
    columns[at] = column;
    RecordBatch::try_new(batch.schema(), columns).unwrap()
}

#[test]
fn an_altered_number_is_another_chunk() {
    let chunk = trades("BTC.USD", WINDOW_0, 5);
    let file = window_parquet(&chunk.bytes, Some(PROOF)).unwrap();
    // Another writer's file of the same rows: the rows can be read, but no other byte of it is known.
    let unchanged = forge(&file, |batch| batch, |header| header);
    assert_eq!(ContentId::of(&rows_of_parquet(&unchanged).unwrap().0), chunk.cid);
    assert!(
        matches!(chunk_of_parquet(&unchanged), Err(LakeError::OtherWriter { created_by, .. }) if created_by.contains("parquet-rs"))
    );
    let altered = forge(
        &file,
        |batch| {
            let prices = batch.column_by_name("price").unwrap().as_primitive::<Decimal128Type>();
            let one_more = prices.iter().enumerate().map(|(at, p)| p.map(|p| if at == 2 { p + 1 } else { p }));
            let one_more: Decimal128Array = one_more.collect();
            let one_more = one_more.with_precision_and_scale(38, 18).unwrap();
            replace(&batch, "price", Arc::new(one_more))
        },
        |header| header,
    );
    assert_ne!(ContentId::of(&rows_of_parquet(&altered).unwrap().0), chunk.cid);
    let another_window =
        forge(&file, |batch| batch, |header| header.replace("\"start\":\"1786309200\"", "\"start\":\"1786309210\""));
    assert!(matches!(chunk_of_parquet(&another_window), Err(LakeError::WindowFile { .. })));
    let fewer = forge(&file, |batch| batch.slice(0, 4), |header| header);
    assert_ne!(ContentId::of(&rows_of_parquet(&fewer).unwrap().0), chunk.cid);
}

/// Cells that the canonical bytes do not hold, or hold in another order, must not be free for forgers either.
#[test]
fn what_a_reader_sees_is_what_was_proven() {
    let chunks = one_of_each(WINDOW_0);
    let file = window_parquet(&chunks[0].bytes, None).unwrap();
    let reversed = forge(
        &file,
        |batch| {
            let order = arrow::array::UInt64Array::from_iter_values((0..batch.num_rows() as u64).rev());
            arrow::compute::take_record_batch(&batch, &order).unwrap()
        },
        |header| header,
    );
    assert!(matches!(chunk_of_parquet(&reversed), Err(LakeError::WindowFile { .. })));
    let renamed = forge(
        &file,
        |batch| {
            let names = arrow::array::StringArray::from(vec!["binance"; batch.num_rows()]);
            replace(&batch, "exchange", Arc::new(names))
        },
        |header| header,
    );
    assert!(matches!(chunk_of_parquet(&renamed), Err(LakeError::WindowFile { .. })));
    // A candle's end follows from its start and length, so the canonical form would put it right silently.
    let candles = chunks.iter().find(|c| c.stream().to_string().ends_with("candles")).unwrap();
    let file = window_parquet(&candles.bytes, None).unwrap();
    let moved = forge(
        &file,
        |batch| {
            let stop = batch.column_by_name("start").unwrap().clone();
            replace(&batch, "stop", stop)
        },
        |header| header,
    );
    assert!(matches!(chunk_of_parquet(&moved), Err(LakeError::WindowFile { .. })));
}

#[test]
fn garbage_is_refused_without_a_panic() {
    assert!(chunk_of_parquet(b"").is_err());
    assert!(chunk_of_parquet(&[0; 1000]).is_err());
    assert!(matches!(window_parquet(b"no chunk", None), Err(LakeError::Chunk { .. })));
    let plain = openmesh_lake::ParquetExport::new(openmesh_lake::Table::Trades.schema()).unwrap().finish().unwrap();
    assert!(matches!(rows_of_parquet(&plain), Err(LakeError::WindowFile { .. })));

    // A file that is cut anywhere. Changed bits are the business of `bits`.
    let chunk = trades("BTC.USD", WINDOW_0, 3);
    let file = window_parquet(&chunk.bytes, Some(PROOF)).unwrap();
    for length in 0..file.len() {
        assert!(chunk_of_parquet(&file[..length]).is_err(), "cut to {length}");
    }
}
