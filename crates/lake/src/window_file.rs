//! Window files: the rows of one canonical chunk as Parquet, with the proof in the footer.
//!
//! The file holds no copy of the chunk's bytes. They are made again from the rows, so the CID speaks about exactly the
//! numbers that a reader of the file sees: alter one cell and the CID is another, which no proof covers. Columns that
//! repeat the header (exchange, symbol, window) must agree with it, or the file is refused.
//!
//! Readers look at more than rows: a query with a filter skips what statistics and indexes say can not match. So the whole
//! file is written again from the chunk and the proof's text, and must be the same to the last byte. Recomputing each
//! statistic, index, size and offset on its own would be the other way, and wrong with the first field that it forgets.
//! The comparison only means something for files of the same writer. [`WINDOW_WRITER`] numbers the bytes, not the program:
//! it changes when a golden test says that the same chunk has become another file. Files of other writers are refused as
//! such ([`LakeError::OtherWriter`]); their rows can be read alone ([`rows_of_parquet`]) and written again.

use std::panic::catch_unwind;
use std::sync::Arc;

use arrow::compute::concat_batches;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use openmesh_market::event::{Exchange, Feed};
use openmesh_market::window::{CHUNK_BYTES_MAX, Chunk, ChunkHeader, Class, ROWS_MAX, Rows, Stream, WindowLength};
use openmesh_primitives::{Symbol, Timestamp};
use serde::{Deserialize, Serialize};

use crate::block_file;
use crate::error::LakeError;
use crate::fill::market;
use crate::parquet_file::{self, FOOTER_HEADER, FOOTER_PROOF, WINDOW_WRITER};
use crate::table::Table;

/// Largest window file that is read: a chunk at its limit does not reach it even uncompressed.
pub const WINDOW_FILE_BYTES_MAX: usize = 4 * CHUNK_BYTES_MAX;

/// The chunk's header as it stands in the footer: nothing in it needs this program to be understood.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FooterHeader {
    version: u16,
    exchange: Exchange,
    symbol: Symbol,
    feed: Feed,
    start: Timestamp,
    length_ms: u32,
    class: Class,
}

impl From<&ChunkHeader> for FooterHeader {
    fn from(header: &ChunkHeader) -> FooterHeader {
        FooterHeader {
            version: header.version,
            exchange: header.stream.exchange,
            symbol: header.stream.symbol.clone(),
            feed: header.stream.feed,
            start: header.start,
            length_ms: header.length.ms(),
            class: header.class,
        }
    }
}

impl From<FooterHeader> for ChunkHeader {
    fn from(header: FooterHeader) -> ChunkHeader {
        ChunkHeader {
            version: header.version,
            stream: Stream { exchange: header.exchange, symbol: header.symbol, feed: header.feed },
            start: header.start,
            length: WindowLength::from_ms(header.length_ms),
            class: header.class,
        }
    }
}

/// The schema of a window file: the table's, without what a chunk does not say about itself.
fn schema_of(table: Table) -> SchemaRef {
    let schema = table.schema();
    let kept = schema.fields().iter().filter(|f| !market::PROVENANCE_COLUMNS.contains(&f.name().as_str()));
    Arc::new(Schema::new(kept.cloned().collect::<Vec<_>>()))
}

fn batch_of(header: &ChunkHeader, rows: &Rows) -> Result<RecordBatch, LakeError> {
    let part = market::part(header, rows, market::Provenance { source: "", origin: "", cid: "" })?;
    project(&part.batch, &schema_of(part.table))
}

fn chunk_rows(chunk_bytes: &[u8]) -> Result<RecordBatch, LakeError> {
    let (header, rows) = Chunk::decode(chunk_bytes).map_err(LakeError::chunk)?;
    batch_of(&header, &rows)
}

fn project(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, LakeError> {
    let fail = |e| LakeError::encoding("a window file", e);
    let at: Result<Vec<usize>, _> = schema.fields().iter().map(|f| batch.schema().index_of(f.name())).collect();
    batch.project(&at.map_err(fail)?).map_err(fail)
}

/// Writes a Parquet file of the chunk's rows, with its header and (where given) the proof in the footer. Also of a chain's
/// block, in the form that `block_file` describes. The same arguments make the same bytes.
///
/// Fails where the bytes are no canonical chunk, or hold a number that no column holds exactly.
pub fn window_parquet(chunk_bytes: &[u8], proof_json: Option<&str>) -> Result<Vec<u8>, LakeError> {
    let (header, rows) = match Chunk::decode(chunk_bytes) {
        Ok(decoded) => decoded,
        // Both begin with a version, so only reading tells them apart.
        Err(error) => return block_file::write(chunk_bytes, proof_json).map_err(|_| LakeError::chunk(error)),
    };
    let batch = batch_of(&header, &rows)?;
    let schema = batch.schema();
    let json =
        serde_json::to_string(&FooterHeader::from(&header)).map_err(|e| LakeError::encoding("a chunk's header", e))?;
    let mut footer = vec![(FOOTER_HEADER, json)];
    footer.extend(proof_json.map(|proof| (FOOTER_PROOF, proof.to_string())));
    parquet_file::write_as(WINDOW_WRITER, schema, &[batch], &footer)
}

/// Canonical form forgives some things (order, a row twice, a cell that follows from others). The file's reader would
/// see them, so here they are refused: the file must hold exactly the rows that the chunk's bytes lead to.
fn same_rows(chunk_bytes: &[u8], table: Table, batches: &[RecordBatch]) -> Result<(), LakeError> {
    let schema = schema_of(table);
    let theirs = concat_batches(&schema, batches).map_err(|e| LakeError::encoding("a window file", e))?;
    if chunk_rows(chunk_bytes)? == theirs {
        Ok(())
    } else {
        Err(LakeError::window("its rows are not in canonical form: reordered, doubled or partly altered"))
    }
}

/// Returns the canonical bytes of the chunk whose rows a window file holds, made from the rows, and the proof from its
/// footer. The caller compares the bytes' CID with what the proof proves.
///
/// Fails where the rows are not in canonical form, and where any byte of the file is not what the chunk and the proof lead to.
/// The file is a stranger's, and the Parquet library asserts some of what a damaged file breaks: such a panic is caught
/// and becomes an error.
pub fn chunk_of_parquet(file: &[u8]) -> Result<(Vec<u8>, Option<String>), LakeError> {
    let Read { chunk, proof, created_by } = read_caught(file)?;
    let expected = window_parquet(&chunk, proof.as_deref())?;
    if expected == file {
        return Ok((chunk, proof));
    }
    let created_by = created_by.unwrap_or_default();
    if created_by != WINDOW_WRITER {
        return Err(LakeError::OtherWriter { created_by, known: WINDOW_WRITER });
    }
    let at = expected.iter().zip(file).take_while(|(a, b)| a == b).count();
    Err(LakeError::window(format!(
        "from byte {at} of {} on it is not what its rows lead to: a statistic, an index, a size or an offset was altered",
        file.len()
    )))
}

/// Returns the same as [`chunk_of_parquet`] for a file of any writer: only its rows are held against the chunk. A reader that
/// skips by statistics or indexes may see something else in such a file, so it must be written again before it is called proved.
pub fn rows_of_parquet(file: &[u8]) -> Result<(Vec<u8>, Option<String>), LakeError> {
    read_caught(file).map(|Read { chunk, proof, .. }| (chunk, proof))
}

/// The content of a window file.
struct Read {
    chunk: Vec<u8>,
    proof: Option<String>,
    created_by: Option<String>,
}

fn read_caught(file: &[u8]) -> Result<Read, LakeError> {
    catch_unwind(|| read_window(file)).unwrap_or_else(|_| Err(LakeError::window("it is damaged")))
}

fn read_window(file: &[u8]) -> Result<Read, LakeError> {
    if file.len() > WINDOW_FILE_BYTES_MAX {
        return Err(LakeError::window(format!("{} bytes are over the limit of {WINDOW_FILE_BYTES_MAX}", file.len())));
    }
    let bytes = Bytes::copy_from_slice(file);
    let footer = parquet_file::read_footer(&bytes)?;
    if usize::try_from(footer.rows).map_or(true, |rows| rows > ROWS_MAX) {
        return Err(LakeError::window(format!("{} rows are over the limit of {ROWS_MAX}", footer.rows)));
    }
    if usize::try_from(footer.uncompressed_bytes).map_or(true, |bytes| bytes > WINDOW_FILE_BYTES_MAX) {
        return Err(LakeError::window(format!("its rows would take {} bytes", footer.uncompressed_bytes)));
    }
    let proof = footer.value(FOOTER_PROOF).map(str::to_string);
    let created_by = footer.created_by.clone();
    if let Some(chunk) = block_file::read(bytes.clone(), &footer)? {
        return Ok(Read { chunk, proof, created_by });
    }
    let header = footer.value(FOOTER_HEADER);
    let header = header.ok_or_else(|| LakeError::window(format!("its footer has no {FOOTER_HEADER}")))?;
    let header: FooterHeader =
        serde_json::from_str(header).map_err(|e| LakeError::window(format!("its {FOOTER_HEADER}: {e}")))?;
    let header = ChunkHeader::from(header);
    let feed = header.stream.feed;
    let table = market::table_of(feed).ok_or_else(|| LakeError::window(format!("feed {feed} has no window files")))?;
    let batches = parquet_file::read_exactly(bytes, &schema_of(table))?;
    let rows = market::rows_of(&header, &batches)?;
    let chunk = Chunk::encode(header, rows).map_err(LakeError::window)?;
    same_rows(&chunk.bytes, table, &batches)?;
    Ok(Read { chunk: chunk.bytes, proof, created_by })
}
