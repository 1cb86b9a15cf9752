//! Writing and reading of Parquet files.
//!
//! zstd, statistics for every page, and the plain Parquet types (no embedded Arrow schema, whose view types older
//! readers do not know), so that any reader sees `DECIMAL(38,18)`, `TIMESTAMP(NANOS, UTC)` and `STRING`.
//!
//! Writing is deterministic: the same rows and footer make the same bytes. `window_file` relies on it, so every property
//! that shapes a file is set here and none is left to the library's defaults.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion};

use crate::error::LakeError;

/// Rows of a row group: small enough that a query about one symbol of an hour skips most of a file.
const ROW_GROUP_ROWS_MAX: usize = 64 * 1024;

/// zstd's level: 3 is its default, beyond it files hardly shrink and flushing takes longer.
const ZSTD_LEVEL: i32 = 3;

/// Size of a data page and of a dictionary, in bytes before compression: the library's default.
const PAGE_BYTES_MAX: usize = 1 << 20;

/// Rows of a data page: the library's default.
const PAGE_ROWS_MAX: usize = 20_000;

/// Rows that the writer takes between two looks at the size of a page: the library's default.
const WRITE_BATCH_ROWS: usize = 1024;

/// Bytes of a smallest or largest value in statistics and indexes: the library's default. CIDs and hashes fit.
const STATISTICS_BYTES_MAX: usize = 64;

/// Footer key of the chunk's header, as JSON.
pub const FOOTER_HEADER: &str = "openmesh.chunk_header";
/// Footer key of the proof, as JSON: whatever `openmesh verify` needs besides the rows.
pub const FOOTER_PROOF: &str = "openmesh.proof";

/// Name of the writer in a window file's `created_by`. Its number is that of the bytes that are made of a chunk.
pub const WINDOW_WRITER: &str = "openmesh window file 1";

/// Name of the writer of tables and exports, in the footer's `created_by`.
const TABLE_WRITER: &str = concat!("openmesh ", env!("CARGO_PKG_VERSION"));

/// The properties of every file.
fn properties() -> Result<WriterPropertiesBuilder, ParquetError> {
    Ok(WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
        .set_dictionary_enabled(true)
        .set_dictionary_page_size_limit(PAGE_BYTES_MAX)
        .set_data_page_size_limit(PAGE_BYTES_MAX)
        .set_data_page_row_count_limit(PAGE_ROWS_MAX)
        .set_write_batch_size(WRITE_BATCH_ROWS)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS_MAX))
        .set_max_row_group_bytes(None)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_write_page_header_statistics(false)
        .set_statistics_truncate_length(Some(STATISTICS_BYTES_MAX))
        .set_column_index_truncate_length(Some(STATISTICS_BYTES_MAX))
        .set_offset_index_disabled(false)
        .set_bloom_filter_enabled(false)
        .set_write_path_in_schema(true)
        .set_content_defined_chunking(None)
        .set_coerce_types(false))
}

/// Writes a Parquet file of these rows, with key-value pairs in its footer.
pub(crate) fn write(
    schema: SchemaRef,
    batches: &[RecordBatch],
    footer: &[(&str, String)],
) -> Result<Vec<u8>, LakeError> {
    write_as(TABLE_WRITER, schema, batches, footer)
}

/// Writes a Parquet file whose footer names `writer` as the program that made it.
pub(crate) fn write_as(
    writer: &str,
    schema: SchemaRef,
    batches: &[RecordBatch],
    footer: &[(&str, String)],
) -> Result<Vec<u8>, LakeError> {
    let mut file = Written::begin(writer, schema, footer)?;
    for batch in batches {
        file.add(batch)?;
    }
    file.finish()
}

/// A Parquet file that is written batch by batch: the rows of one row group are in memory, encoded, and the bytes of the file.
pub(crate) struct Written(ArrowWriter<Vec<u8>>);

impl Written {
    /// Begins a table's file.
    pub(crate) fn of_table(schema: SchemaRef) -> Result<Written, LakeError> {
        Written::begin(TABLE_WRITER, schema, &[])
    }

    fn begin(writer: &str, schema: SchemaRef, footer: &[(&str, String)]) -> Result<Written, LakeError> {
        let fail = |e: ParquetError| LakeError::encoding("a Parquet file", e);
        let footer = footer.iter().map(|(k, v)| KeyValue::new((*k).to_string(), v.clone())).collect::<Vec<_>>();
        let properties = properties()
            .map_err(fail)?
            .set_created_by(writer.to_string())
            .set_key_value_metadata((!footer.is_empty()).then_some(footer))
            .build();
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        ArrowWriter::try_new_with_options(Vec::new(), schema, options).map(Written).map_err(fail)
    }

    /// Adds rows.
    pub(crate) fn add(&mut self, batch: &RecordBatch) -> Result<(), LakeError> {
        self.0.write(batch).map_err(|e| LakeError::encoding("a Parquet file", e))
    }

    /// The bytes of the file.
    pub(crate) fn finish(self) -> Result<Vec<u8>, LakeError> {
        self.0.into_inner().map_err(|e| LakeError::encoding("a Parquet file", e))
    }
}

/// Bytes of a row group that an export gathers before it hands them on.
const EXPORT_GROUP_BYTES_MAX: usize = 8 << 20;

/// A Parquet file of rows of any shape that comes piece by piece, for exports of query results. Holds one row group at most.
pub struct ParquetExport {
    writer: ArrowWriter<Pieces>,
    pieces: Pieces,
}

/// Bytes that were written and not taken yet.
#[derive(Clone, Default)]
struct Pieces(Arc<Mutex<Vec<u8>>>);

impl Pieces {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl ParquetExport {
    /// Begins a file. Fails where Parquet has no type for a column.
    pub fn new(schema: SchemaRef) -> Result<ParquetExport, LakeError> {
        let fail = |e: ParquetError| LakeError::encoding("a Parquet file", e);
        let pieces = Pieces::default();
        let properties = properties().map_err(fail)?.set_created_by(TABLE_WRITER.to_string()).build();
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(pieces.clone(), schema, options).map_err(fail)?;
        Ok(ParquetExport { writer, pieces })
    }

    /// Adds rows. Returns the bytes that are ready, which may be none. Fails where the rows are not of the schema.
    pub fn write(&mut self, rows: &RecordBatch) -> Result<Vec<u8>, LakeError> {
        let fail = |e: ParquetError| LakeError::encoding("a Parquet file", e);
        self.writer.write(rows).map_err(fail)?;
        if self.writer.in_progress_size() >= EXPORT_GROUP_BYTES_MAX {
            self.writer.flush().map_err(fail)?;
        }
        Ok(self.pieces.take())
    }

    /// Ends the file and returns the rest of its bytes. Fails where the last rows can not be encoded.
    pub fn finish(self) -> Result<Vec<u8>, LakeError> {
        self.writer.close().map_err(|e| LakeError::encoding("a Parquet file", e))?;
        Ok(self.pieces.take())
    }
}

/// The part of a file's footer that is read before its rows.
pub(crate) struct Footer {
    /// Name of the program that wrote the file.
    pub created_by: Option<String>,
    pub rows: i64,
    pub uncompressed_bytes: i64,
    pub pairs: Vec<KeyValue>,
}

impl Footer {
    pub(crate) fn value(&self, key: &str) -> Option<&str> {
        self.pairs.iter().find(|pair| pair.key == key).and_then(|pair| pair.value.as_deref())
    }
}

/// Reads the footer alone.
pub(crate) fn read_footer(bytes: &Bytes) -> Result<Footer, LakeError> {
    let fail = |e: ParquetError| LakeError::encoding("a Parquet footer", e);
    let metadata = ArrowReaderMetadata::load(bytes, Default::default()).map_err(fail)?;
    let metadata = metadata.metadata();
    let file = metadata.file_metadata();
    Ok(Footer {
        created_by: file.created_by().map(str::to_string),
        rows: file.num_rows(),
        uncompressed_bytes: metadata.row_groups().iter().map(|g| g.total_byte_size()).sum(),
        pairs: file.key_value_metadata().cloned().unwrap_or_default(),
    })
}

/// The rows, brought to the wanted schema (which fails where columns are missing or of other types).
pub(crate) fn read(bytes: Bytes, schema: &SchemaRef) -> Result<Vec<RecordBatch>, LakeError> {
    Batches::of(bytes, schema)?.collect()
}

/// The rows of a file a batch at a time, brought to the wanted schema.
pub(crate) struct Batches {
    reader: ParquetRecordBatchReader,
    schema: SchemaRef,
}

impl Batches {
    /// Reads the footer. Fails where it is damaged.
    pub(crate) fn of(bytes: Bytes, schema: &SchemaRef) -> Result<Batches, LakeError> {
        let fail = |e: ParquetError| LakeError::encoding("a Parquet file", e);
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(fail)?.build().map_err(fail)?;
        Ok(Batches { reader, schema: Arc::clone(schema) })
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, LakeError>;

    fn next(&mut self) -> Option<Result<RecordBatch, LakeError>> {
        let batch = self.reader.next()?.map_err(|e| LakeError::encoding("a Parquet file", e));
        Some(batch.and_then(|batch| to_schema(&batch, &self.schema)))
    }
}

/// Reads the rows of a file that others may have written: it must have the columns of `schema` and no others, in their types.
/// Nothing is converted, for a reader of the file sees what stands in it: of a price of more digits, or as a float, a
/// conversion would vouch for something else.
pub(crate) fn read_exactly(bytes: Bytes, schema: &SchemaRef) -> Result<Vec<RecordBatch>, LakeError> {
    let fail = |e: ParquetError| LakeError::encoding("a Parquet file", e);
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).map_err(fail)?;
    let found = builder.schema();
    if let Some(other) = found.fields().iter().find(|field| schema.column_with_name(field.name()).is_none()) {
        return Err(LakeError::window(format!("nothing vouches for its column {:?}", other.name())));
    }
    for field in schema.fields() {
        let same = |other: &DataType| match field.data_type() {
            DataType::Utf8View => matches!(other, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View),
            kind => other == kind,
        };
        let mut namesakes = found.fields().iter().filter(|other| other.name() == field.name());
        match (namesakes.next(), namesakes.next()) {
            (Some(other), None) if same(other.data_type()) => {}
            (Some(other), None) => {
                let (name, found, wanted) = (field.name(), other.data_type(), field.data_type());
                return Err(LakeError::window(format!("its column {name} is {found}, not {wanted}")));
            }
            _ => return Err(LakeError::window(format!("it has not one column {}", field.name()))),
        }
    }
    read(bytes, schema)
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

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Decimal128Array, Float64Array, Int64Array, StringArray};
    use arrow::datatypes::{Field, Schema};

    use super::*;

    fn file(columns: Vec<(&str, ArrayRef)>) -> Bytes {
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.into_inner().unwrap().into()
    }

    fn price(scale: i8, mantissa: i128) -> ArrayRef {
        Arc::new(Decimal128Array::from(vec![mantissa]).with_precision_and_scale(38, scale).unwrap())
    }

    /// A file in which a reader would see something that the rows do not vouch for is refused.
    #[test]
    fn nothing_is_converted_and_nothing_left_over() {
        let schema: SchemaRef = Arc::new(Schema::new(vec![
            Field::new("symbol", DataType::Utf8View, false),
            Field::new("price", DataType::Decimal128(38, 18), false),
        ]));
        let symbol = || ("symbol", Arc::new(StringArray::from(vec!["BTC.USD"])) as ArrayRef);
        let as_it_is = file(vec![symbol(), ("price", price(18, 5))]);
        assert_eq!(read_exactly(as_it_is, &schema).unwrap()[0].num_rows(), 1);
        let one: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        let float: ArrayRef = Arc::new(Float64Array::from(vec![5e-18]));
        for (columns, why) in [
            (vec![symbol(), ("price", price(18, 5)), ("size", one)], "nothing vouches for its column \"size\""),
            (
                vec![symbol(), ("price", price(20, 504))],
                "its column price is Decimal128(38, 20), not Decimal128(38, 18)",
            ),
            (vec![symbol(), ("price", float)], "its column price is Float64"),
            (vec![symbol()], "it has not one column price"),
        ] {
            let error = read_exactly(file(columns), &schema).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
