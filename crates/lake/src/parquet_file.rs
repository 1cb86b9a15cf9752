//! Parquet as we write and read it.
//!
//! zstd, statistics for every page, and the plain Parquet types (no embedded Arrow schema, whose view types older
//! readers do not know), so that any reader sees `DECIMAL(38,18)`, `TIMESTAMP(NANOS, UTC)` and `STRING`.

use std::sync::Arc;

use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder};
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use crate::error::LakeError;

/// Rows of a row group: small enough that a query about one symbol of an hour skips most of a file.
const ROW_GROUP_ROWS_MAX: usize = 64 * 1024;

/// zstd's level: 3 is its default, beyond it files hardly shrink and flushing takes longer.
const ZSTD_LEVEL: i32 = 3;

/// A Parquet file of these rows, with key-value pairs in its footer.
pub(crate) fn write(
    schema: SchemaRef,
    batches: &[RecordBatch],
    footer: &[(&str, String)],
) -> Result<Vec<u8>, LakeError> {
    let fail = |e: parquet::errors::ParquetError| LakeError::encoding("a Parquet file", e);
    let footer = footer.iter().map(|(k, v)| KeyValue::new((*k).to_string(), v.clone())).collect::<Vec<_>>();
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL).map_err(fail)?))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS_MAX))
        .set_created_by(concat!("openmesh ", env!("CARGO_PKG_VERSION")).to_string())
        .set_key_value_metadata((!footer.is_empty()).then_some(footer))
        .build();
    let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(Vec::new(), schema, options).map_err(fail)?;
    for batch in batches {
        writer.write(batch).map_err(fail)?;
    }
    writer.into_inner().map_err(fail)
}

/// A Parquet file of rows of any shape, for exports of query results.
pub fn parquet_of(schema: SchemaRef, batches: &[RecordBatch]) -> Result<Vec<u8>, LakeError> {
    write(schema, batches, &[])
}

/// What stands in a file's footer.
pub(crate) struct Footer {
    pub rows: i64,
    pub uncompressed_bytes: i64,
    pub pairs: Vec<KeyValue>,
}

impl Footer {
    pub(crate) fn value(&self, key: &str) -> Option<&str> {
        self.pairs.iter().find(|pair| pair.key == key).and_then(|pair| pair.value.as_deref())
    }
}

/// The footer alone.
pub(crate) fn read_footer(bytes: &Bytes) -> Result<Footer, LakeError> {
    let fail = |e: parquet::errors::ParquetError| LakeError::encoding("a Parquet footer", e);
    let metadata = ArrowReaderMetadata::load(bytes, Default::default()).map_err(fail)?;
    let metadata = metadata.metadata();
    let file = metadata.file_metadata();
    Ok(Footer {
        rows: file.num_rows(),
        uncompressed_bytes: metadata.row_groups().iter().map(|g| g.total_byte_size()).sum(),
        pairs: file.key_value_metadata().cloned().unwrap_or_default(),
    })
}

/// The rows, brought to the wanted schema (which fails where columns are missing or of other types).
pub(crate) fn read(bytes: Bytes, schema: &SchemaRef) -> Result<Vec<RecordBatch>, LakeError> {
    let fail = |e: parquet::errors::ParquetError| LakeError::encoding("a Parquet file", e);
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(fail)?.build().map_err(fail)?;
    let mut batches = Vec::new();
    for batch in reader {
        let batch = batch.map_err(|e| LakeError::encoding("a Parquet file", e))?;
        batches.push(to_schema(&batch, schema)?);
    }
    Ok(batches)
}

/// Text comes back from Parquet as `Utf8`, in memory it is `Utf8View`; everything else must fit as it is.
fn to_schema(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, LakeError> {
    let fail = |e: arrow::error::ArrowError| LakeError::encoding("rows of a Parquet file", e);
    let mut columns = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let column = batch.column_by_name(field.name()).ok_or_else(|| {
            fail(arrow::error::ArrowError::SchemaError(format!("column {} is missing", field.name())))
        })?;
        let same = column.data_type() == field.data_type();
        columns.push(if same { Arc::clone(column) } else { cast(column, field.data_type()).map_err(fail)? });
    }
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(fail)
}
