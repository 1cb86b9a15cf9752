//! Packs and the lists of their blobs (B-12 to B-15).

use std::fmt;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::cut::CHUNK_BYTES_MAX;
use crate::error::BackupError;
use crate::name::{Id, Kind, Name};
use crate::object::{Sealed, padded, seal, unseal};
use crate::secret::{Keys, SEAL_BYTES};

/// Bytes at which a pack ends: large enough that opening a file or a request costs little beside it, small enough to be held some times over.
pub const PACK_BYTES: usize = 16 << 20;
/// Smallest size at which packs may be made to end, bytes: below, requests and names cost more than what is stored.
pub const PACK_BYTES_MIN: usize = 128 << 10;
/// Blobs at which a pack ends: bounds its header to 700 KiB where files are tiny.
pub const PACK_BLOBS_MAX: usize = 16_384;
/// Largest pack that is read, bytes: the last chunk, padding and header come on top of [`PACK_BYTES`].
pub const PACK_BYTES_MAX: usize = 24 << 20;
/// Bytes read of a pack's end for its header; a longer header makes the whole pack be read, so that its length tells no more than that.
const TAIL_BYTES: usize = 64 << 10;
/// Last bytes of a pack.
const MAGIC: [u8; 8] = *b"OMBPACK1";
/// Bytes after the header: its length and the magic.
const TRAILER_BYTES: usize = 4 + MAGIC.len();
/// Authenticated beside a blob, before kind and id.
const BLOB_MAGIC: [u8; 4] = *b"OMBB";
/// Bytes of a blob beside its content: seal and coding.
pub(crate) const BLOB_BYTES: usize = SEAL_BYTES + 1;
/// Coding of content as it is.
pub(crate) const CODING_PLAIN: u8 = 0;
/// Coding of content by zstd.
pub(crate) const CODING_ZSTD: u8 = 1;

/// Keyed hash of a chunk's content and kind.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub(crate) struct ChunkId(pub [u8; 32]);

impl fmt::Display for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Kinds of blobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub(crate) enum BlobKind {
    /// Content of files.
    Data = 0,
    /// A part of a manifest.
    Manifest = 1,
    /// Nothing.
    Padding = 2,
}

impl BlobKind {
    /// Id of a chunk of this kind.
    pub(crate) fn chunk(self, keys: &Keys, content: &[u8]) -> ChunkId {
        ChunkId(keys.hash(content, self as u8))
    }
}

/// A blob in a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Blob {
    /// Its kind.
    pub kind: BlobKind,
    /// Its chunk.
    pub id: ChunkId,
    /// Its bytes in the pack.
    pub stored: u32,
    /// Bytes of the content.
    pub plain: u32,
}

impl Blob {
    /// Bytes that are authenticated with its seal.
    pub(crate) fn beside(&self) -> [u8; 37] {
        let mut bytes = [0; 37];
        bytes[..4].copy_from_slice(&BLOB_MAGIC);
        bytes[4] = self.kind as u8;
        bytes[5..].copy_from_slice(&self.id.0);
        bytes
    }
}

/// A pack that is filled.
#[derive(Default)]
pub(crate) struct Filling {
    bytes: Vec<u8>,
    blobs: Vec<Blob>,
}

/// A pack that can be stored.
pub(crate) struct Pack {
    /// Its id.
    pub id: Id,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its blobs.
    pub blobs: Vec<Blob>,
}

impl Filling {
    /// An empty one, in the room of a buffer.
    pub(crate) fn within(mut bytes: Vec<u8>) -> Filling {
        bytes.clear();
        Filling { bytes, blobs: Vec::new() }
    }

    /// Adds a blob; true where the pack has come to its end, which is at so many bytes.
    pub(crate) fn add(&mut self, blob: Blob, sealed: &[u8], end_bytes: usize) -> bool {
        if self.bytes.is_empty() {
            self.bytes.reserve(end_bytes + CHUNK_BYTES_MAX + TAIL_BYTES);
        }
        self.bytes.extend(sealed);
        self.blobs.push(blob);
        self.bytes.len() >= end_bytes || self.blobs.len() >= PACK_BLOBS_MAX
    }

    /// Nothing was added.
    pub(crate) fn is_empty(&self) -> bool {
        self.blobs.is_empty()
    }

    /// Pads and seals it.
    pub(crate) fn finish(mut self, keys: &Keys) -> Result<Pack, BackupError> {
        let room = padded(self.bytes.len() + BLOB_BYTES) - self.bytes.len() - BLOB_BYTES;
        let mut plain = vec![0; room + 1];
        plain[0] = CODING_PLAIN;
        let id = BlobKind::Padding.chunk(keys, &plain[1..]);
        let mut padding = Blob { kind: BlobKind::Padding, id, stored: 0, plain: room as u32 };
        let sealed = keys.seal(&padding.beside(), &plain)?;
        padding.stored = sealed.len() as u32;
        self.bytes.extend(sealed);
        self.blobs.push(padding);
        let header = seal(keys, Sealed::Header, &self.blobs)?;
        self.bytes.extend(&header);
        self.bytes.extend((header.len() as u32).to_le_bytes());
        self.bytes.extend(MAGIC);
        Ok(Pack { id: Id::of(&self.bytes), bytes: self.bytes, blobs: self.blobs })
    }
}

/// Reads the header of a pack of so many bytes. `read(from, bytes_max)` reads of it.
pub(crate) fn read_header(
    keys: &Keys,
    id: Id,
    bytes: u64,
    read: impl Fn(u64, usize) -> Result<Vec<u8>, BackupError>,
) -> Result<Vec<Blob>, BackupError> {
    let name = Name::Object(Kind::Pack, id);
    let damaged = |what: &str| BackupError::damaged(name, what);
    let whole = usize::try_from(bytes).ok().filter(|bytes| *bytes <= PACK_BYTES_MAX);
    let whole = whole.ok_or_else(|| damaged("it is longer than any pack"))?;
    let mut tail = read((whole - whole.min(TAIL_BYTES)) as u64, TAIL_BYTES)?;
    let (before, length) = loop {
        let (before, trailer) =
            tail.split_last_chunk::<TRAILER_BYTES>().ok_or_else(|| damaged("it is shorter than any pack"))?;
        let [a, b, c, d, magic @ ..] = trailer;
        if *magic != MAGIC {
            return Err(damaged("it does not end as a pack"));
        }
        let length = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
        if length <= before.len() {
            break (before, length);
        }
        if tail.len() >= whole || length + TRAILER_BYTES > whole {
            return Err(damaged("its header is longer than it"));
        }
        tail = read(0, whole)?;
    };
    let blobs: Vec<Blob> = unseal(keys, Sealed::Header, &name, &before[before.len() - length..])?;
    check_blobs(&blobs, whole - length - TRAILER_BYTES).map_err(damaged)?;
    Ok(blobs)
}

/// Holds a list of blobs against the bytes that they are to fill.
pub(crate) fn check_blobs(blobs: &[Blob], bytes: usize) -> Result<(), &'static str> {
    // Padding may be as large as the step of the largest pack.
    let lengths = blobs.iter().all(|blob| {
        let (stored, plain) = (blob.stored as usize, blob.plain as usize);
        plain <= CHUNK_BYTES_MAX && (BLOB_BYTES..=plain + BLOB_BYTES).contains(&stored)
    });
    if blobs.len() > PACK_BLOBS_MAX + 1 || !lengths {
        return Err("its header has lengths beyond the limits");
    }
    let sum: usize = blobs.iter().map(|blob| blob.stored as usize).sum();
    if sum == bytes { Ok(()) } else { Err("its blobs do not fill it") }
}

/// Bytes of a pack before its header.
pub(crate) fn blobs_bytes(blobs: &[Blob]) -> u64 {
    blobs.iter().map(|blob| u64::from(blob.stored)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::{Opener, Sealer};
    use crate::secret::Secret;
    use crate::stage::Clock;

    fn pack(keys: &Keys, contents: &[&[u8]]) -> Pack {
        let (mut filling, mut sealer) = (Filling::default(), Sealer::new(keys, Clock::new(None)));
        for content in contents {
            let id = BlobKind::Data.chunk(keys, content);
            let (blob, sealed) = sealer.seal(BlobKind::Data, id, content).unwrap();
            filling.add(blob, sealed, PACK_BYTES);
        }
        filling.finish(keys).unwrap()
    }

    fn header(keys: &Keys, bytes: &[u8]) -> Result<Vec<Blob>, BackupError> {
        read_header(keys, Id::of(bytes), bytes.len() as u64, |from, most| {
            let from = from as usize;
            Ok(bytes[from..bytes.len().min(from + most)].to_vec())
        })
    }

    #[test]
    fn blobs_come_back_and_compressed_ones_are_smaller() {
        let keys = Keys::new(Secret([1; 32]));
        let mut pack = pack(&keys, &[b"short", &[7; 100_000], b""]);
        assert!(pack.bytes.len() < 2000);
        assert_eq!(header(&keys, &pack.bytes).unwrap(), pack.blobs);
        let (mut at, mut opener, mut contents) = (0, Opener::new(&keys, Clock::new(None)), Vec::new());
        for blob in &pack.blobs {
            let end = at + blob.stored as usize;
            contents.push(opener.open(blob, &mut pack.bytes[at..end]).unwrap().to_vec());
            at = end;
        }
        assert_eq!(contents[..3], [b"short".to_vec(), vec![7; 100_000], vec![]]);
        assert!(header(&Keys::new(Secret([2; 32])), &pack.bytes).is_err(), "another key");
    }

    #[test]
    fn a_header_beyond_the_tail_is_found_and_false_lengths_are_refused() {
        let keys = Keys::new(Secret([1; 32]));
        let many: Vec<Vec<u8>> = (0..3000_u32).map(|n| n.to_le_bytes().to_vec()).collect();
        let mut pack = pack(&keys, &many.iter().map(Vec::as_slice).collect::<Vec<_>>());
        assert_eq!(header(&keys, &pack.bytes).unwrap().len(), 3001);
        let trailer = pack.bytes.len() - TRAILER_BYTES;
        for length in [0, 1, u32::MAX, pack.bytes.len() as u32] {
            pack.bytes[trailer..trailer + 4].copy_from_slice(&length.to_le_bytes());
            assert!(matches!(header(&keys, &pack.bytes), Err(BackupError::Damaged { .. })), "{length}");
        }
        for end in [0, 5, 12, 40] {
            assert!(header(&keys, &pack.bytes[..end]).is_err());
        }
    }

    #[test]
    fn a_pack_in_a_buffer_of_before_is_a_pack_like_any() {
        let keys = Keys::new(Secret([1; 32]));
        let (mut filling, mut sealer) = (Filling::within(vec![9; 5000]), Sealer::new(&keys, Clock::new(None)));
        assert!(filling.is_empty());
        let id = BlobKind::Data.chunk(&keys, b"content");
        let (blob, sealed) = sealer.seal(BlobKind::Data, id, b"content").unwrap();
        filling.add(blob, sealed, PACK_BYTES);
        let pack = filling.finish(&keys).unwrap();
        assert_eq!(header(&keys, &pack.bytes).unwrap(), pack.blobs);
    }
}
