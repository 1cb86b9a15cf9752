//! A chunk: header and rows as canonical bytes, named by their CID.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{ContentId, Timestamp, canonical};

use super::row::Rows;
use super::{Class, Stream, WindowIndex, WindowLength};
use crate::event::Feed;

/// Version of the format; part of the bytes.
pub const CHUNK_VERSION: u16 = 1;

/// Largest chunk in bytes: what a block may have that peers exchange. About 90,000 changed levels, five times what the
/// busiest recorded book says in a window of 10 s.
pub const CHUNK_BYTES_MAX: usize = 2 << 20;

/// The header of a chunk: stream and window.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ChunkHeader {
    /// [`CHUNK_VERSION`].
    pub version: u16,
    /// Stream.
    pub stream: Stream,
    /// First instant of the window, venue's time.
    pub start: Timestamp,
    /// Length of the window; milliseconds in the bytes.
    pub length: WindowLength,
    /// Promise of the chunk.
    pub class: Class,
}

impl ChunkHeader {
    /// The header of a stream's window; `None` where the venue has no such stream or the index is out of range.
    pub fn new(stream: Stream, index: WindowIndex, length: WindowLength) -> Option<ChunkHeader> {
        let class = Class::of(stream.exchange, &stream.symbol, stream.feed)?;
        let start = Timestamp(index.0.checked_mul(length.nanos())?);
        Some(ChunkHeader { version: CHUNK_VERSION, stream, start, length, class })
    }

    /// Returns the number of the window.
    pub const fn index(&self) -> WindowIndex {
        WindowIndex::of(self.start, self.length)
    }

    /// Returns the first instant after the window.
    pub const fn end(&self) -> Timestamp {
        Timestamp(self.start.0.saturating_add(self.length.nanos()))
    }
}

/// The canonical bytes of one stream in one window.
#[derive(Clone, Debug, PartialEq)]
pub struct Chunk {
    /// Stream and window.
    pub header: ChunkHeader,
    /// Canonical bytes: header, then rows.
    pub bytes: Vec<u8>,
    /// Name of the bytes.
    pub cid: ContentId,
    /// Number of rows.
    pub events: u32,
}

/// The reason for which bytes are not a chunk, or rows do not make one.
#[derive(Debug, thiserror::Error)]
pub enum ChunkError {
    /// Not the layout.
    #[error("not a chunk")]
    Layout(#[source] canonical::CanonicalError),
    /// Bytes that end inside the header.
    #[error("not a chunk: the header is cut off or not readable")]
    Header,
    /// Another version.
    #[error("chunk version {0} is not known; this build reads {CHUNK_VERSION}")]
    Version(u16),
    /// Rows of another feed than the header says, or a feed that has no chunks.
    #[error("rows do not fit the header's feed {0}")]
    Feed(Feed),
    /// Decodes, but the same rows would have been written otherwise (order, duplicates, zeros at the end).
    #[error("not in canonical form: encoding the rows again gives other bytes")]
    NotCanonical,
    /// Above [`CHUNK_BYTES_MAX`].
    #[error("a chunk of {0} bytes is over the limit of {CHUNK_BYTES_MAX}")]
    TooLarge(usize),
}

impl Chunk {
    /// Brings rows into canonical form and names them.
    ///
    /// # Errors
    /// Where the rows are of another feed than the header says, or make more than [`CHUNK_BYTES_MAX`].
    pub fn encode(header: ChunkHeader, rows: Rows) -> Result<Chunk, ChunkError> {
        if !rows.fits(header.stream.feed) {
            return Err(ChunkError::Feed(header.stream.feed));
        }
        let rows = rows.canonical();
        let bytes = written(&header, &rows);
        if bytes.len() > CHUNK_BYTES_MAX {
            return Err(ChunkError::TooLarge(bytes.len()));
        }
        let cid = ContentId::of(&bytes);
        Ok(Chunk { header, cid, events: u32::try_from(rows.len()).unwrap_or(u32::MAX), bytes })
    }

    /// Returns the header and rows of canonical bytes.
    ///
    /// # Errors
    /// Where the bytes are not what [`Chunk::encode`] writes.
    pub fn decode(bytes: &[u8]) -> Result<(ChunkHeader, Rows), ChunkError> {
        if bytes.len() > CHUNK_BYTES_MAX {
            return Err(ChunkError::TooLarge(bytes.len()));
        }
        let mut rest = bytes;
        let header = ChunkHeader::deserialize(&mut rest).map_err(|_| ChunkError::Header)?;
        if header.version != CHUNK_VERSION {
            return Err(ChunkError::Version(header.version));
        }
        let feed = header.stream.feed;
        let rows = Rows::decode(feed, rest).ok_or(ChunkError::Feed(feed))?.map_err(ChunkError::Layout)?;
        // Rows that were not in canonical form are written otherwise once they are.
        let rows = rows.canonical();
        if written(&header, &rows) != bytes {
            return Err(ChunkError::NotCanonical);
        }
        Ok((header, rows))
    }

    /// The stream.
    pub const fn stream(&self) -> &Stream {
        &self.header.stream
    }
}

/// The bytes of a header and rows as they stand.
fn written(header: &ChunkHeader, rows: &Rows) -> Vec<u8> {
    let mut bytes = canonical::encode(header);
    bytes.extend_from_slice(&rows.encode());
    bytes
}
