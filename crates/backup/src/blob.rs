//! Blobs sealed and opened (B-12, B-13), by one thread each with buffers that it uses again: nothing is copied that is only looked at.

use crate::cut::CHUNK_BYTES_MAX;
use crate::error::BackupError;
use crate::pack::{BLOB_BYTES, Blob, BlobKind, CODING_PLAIN, CODING_ZSTD, ChunkId};
use crate::secret::{Keys, NONCE_BYTES};
use crate::stage::{Clock, Stage};

/// Level of zstd: the fastest, for the disk or the network is what is waited for.
const ZSTD_LEVEL: i32 = 1;
/// Bytes of a blob before its content: nonce and coding.
const HEAD_BYTES: usize = NONCE_BYTES + 1;

/// A maker of blobs.
pub(crate) struct Sealer<'a> {
    keys: &'a Keys,
    clock: Clock<'a>,
    /// A context of zstd is a megabyte of tables. None where there is no room for them: then nothing is compressed.
    zstd: Option<zstd::bulk::Compressor<'static>>,
    /// The last blob, and room for a longer one.
    bytes: Vec<u8>,
}

impl<'a> Sealer<'a> {
    /// A maker of blobs under these keys.
    pub(crate) fn new(keys: &'a Keys, clock: Clock<'a>) -> Sealer<'a> {
        Sealer { keys, clock, zstd: zstd::bulk::Compressor::new(ZSTD_LEVEL).ok(), bytes: Vec::new() }
    }

    /// Makes a blob of a chunk: its entry in a header, and its bytes.
    pub(crate) fn seal(&mut self, kind: BlobKind, id: ChunkId, content: &[u8]) -> Result<(Blob, &[u8]), BackupError> {
        let most = BLOB_BYTES + content.len();
        if self.bytes.len() < most {
            self.bytes.resize(most, 0);
        }
        let begun = self.clock.begin();
        let room = &mut self.bytes[HEAD_BYTES..HEAD_BYTES + content.len()];
        // Into a byte less than it has: else it is not smaller.
        let smaller = room.split_last_mut().map(|(_, smaller)| smaller);
        let packed = self.zstd.as_mut().zip(smaller);
        let packed = packed.and_then(|(zstd, smaller)| zstd.compress_to_buffer(content, smaller).ok());
        let (coding, length) = packed.map_or((CODING_PLAIN, content.len()), |length| (CODING_ZSTD, length));
        if coding == CODING_PLAIN {
            self.bytes[HEAD_BYTES..HEAD_BYTES + length].copy_from_slice(content);
        }
        self.clock.end(Stage::Compress, begun, content.len());
        let begun = self.clock.begin();
        let sealed = &mut self.bytes[..BLOB_BYTES + length];
        sealed[NONCE_BYTES] = coding;
        let blob = Blob { kind, id, stored: sealed.len() as u32, plain: content.len() as u32 };
        self.keys.seal_in_place(&blob.beside(), sealed)?;
        self.clock.end(Stage::Seal, begun, content.len());
        Ok((blob, &*sealed))
    }
}

/// An opener of blobs.
pub(crate) struct Opener<'a> {
    keys: &'a Keys,
    clock: Clock<'a>,
    zstd: Option<zstd::bulk::Decompressor<'static>>,
    /// The last content that was compressed, and room for a longer one.
    unpacked: Vec<u8>,
}

impl<'a> Opener<'a> {
    /// An opener of blobs under these keys.
    pub(crate) fn new(keys: &'a Keys, clock: Clock<'a>) -> Opener<'a> {
        Opener { keys, clock, zstd: zstd::bulk::Decompressor::new().ok(), unpacked: Vec::new() }
    }

    /// The content of a blob, which is opened where it lies; the fault in words where it is not what the header says. The blob's bytes are lost.
    pub(crate) fn open<'o>(&'o mut self, blob: &Blob, sealed: &'o mut [u8]) -> Result<&'o [u8], &'static str> {
        let (keys, clock, length) = (self.keys, self.clock, blob.plain as usize);
        let (begun, bytes) = (clock.begin(), sealed.len());
        let plain =
            keys.unseal_in_place(&blob.beside(), sealed).ok_or("the seal of a blob does not fit its content")?;
        clock.end(Stage::Open, begun, bytes);
        let content: &'o [u8] = match plain.split_first() {
            Some((&CODING_PLAIN, content)) => content,
            Some((&CODING_ZSTD, packed)) => {
                let begun = clock.begin();
                let content = self.unpack(packed, length).ok_or("a blob cannot be decompressed to its length")?;
                clock.end(Stage::Decompress, begun, length);
                content
            }
            _ => return Err("a blob has an unknown coding"),
        };
        let begun = clock.begin();
        let is_right = content.len() == length && blob.kind.chunk(keys, content) == blob.id;
        clock.end(Stage::Identify, begun, length);
        if is_right { Ok(content) } else { Err("the content of a blob is not that of its id") }
    }

    /// Decompresses to at most so many bytes, however many there would be.
    fn unpack(&mut self, packed: &[u8], length: usize) -> Option<&[u8]> {
        let length = length.min(CHUNK_BYTES_MAX);
        if self.unpacked.len() < length {
            self.unpacked.resize(length, 0);
        }
        let room = &mut self.unpacked[..length];
        let got = self.zstd.as_mut()?.decompress_to_buffer(packed, room).ok()?;
        self.unpacked.get(..got)
    }
}

#[cfg(test)]
mod tests {
    use openmesh_primitives::SplitMix64;
    use proptest::prelude::*;

    use super::*;
    use crate::pack::check_blobs;
    use crate::secret::Secret;
    use crate::stage::Stages;

    fn noise(seed: u64, length: usize) -> Vec<u8> {
        let mut numbers = SplitMix64::new(seed);
        (0..length.div_ceil(8)).flat_map(|_| numbers.next().to_le_bytes()).take(length).collect()
    }

    #[test]
    fn a_bomb_is_cut_at_the_length_that_was_said() {
        let keys = Keys::new(Secret([1; 32]));
        let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 19).unwrap();
        let mut blob = Blob { kind: BlobKind::Data, id: ChunkId([0; 32]), stored: 0, plain: 10 };
        let sealed = keys.seal(&blob.beside(), &[vec![CODING_ZSTD], bomb].concat()).unwrap();
        let mut opener = Opener::new(&keys, Clock::new(None));
        let words = Err("a blob cannot be decompressed to its length");
        assert_eq!(opener.open(&blob, &mut sealed.clone()), words);
        blob.plain = u32::MAX;
        assert_eq!(opener.open(&blob, &mut sealed.clone()), words);
        assert!(opener.unpacked.len() <= CHUNK_BYTES_MAX);
        blob.stored = sealed.len() as u32;
        assert!(check_blobs(&[blob], sealed.len()).is_err());
    }

    #[test]
    fn what_gets_no_smaller_is_sealed_as_it_is() {
        let keys = Keys::new(Secret([1; 32]));
        let stages = Stages::default();
        let mut sealer = Sealer::new(&keys, Clock::new(Some(&stages)));
        for (content, smaller) in
            [(noise(1, 300_000), false), (vec![7; 300_000], true), (vec![], false), (vec![1], false)]
        {
            let id = BlobKind::Data.chunk(&keys, &content);
            let (blob, sealed) = sealer.seal(BlobKind::Data, id, &content).unwrap();
            assert_eq!(blob.stored as usize, sealed.len());
            assert_eq!(sealed.len() < content.len() + BLOB_BYTES, smaller, "{} bytes", content.len());
            let mut sealed = sealed.to_vec();
            assert_eq!(Opener::new(&keys, Clock::new(None)).open(&blob, &mut sealed), Ok(content.as_slice()));
        }
        assert_eq!((stages.spent(Stage::Compress).times, stages.spent(Stage::Seal).bytes), (4, 600_001));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Buffers are used again: what was in them before is in no later blob, whatever the order of sizes and kinds.
        #[test]
        fn one_sealer_and_one_opener_bring_back_any_contents(
            sizes in proptest::collection::vec((0_usize..5000, any::<bool>(), any::<bool>()), 1..12),
        ) {
            let keys = Keys::new(Secret([1; 32]));
            let mut sealer = Sealer::new(&keys, Clock::new(None));
            let mut opener = Opener::new(&keys, Clock::new(None));
            for (number, (size, compressible, touched)) in sizes.into_iter().enumerate() {
                let content = if compressible { vec![number as u8; size] } else { noise(number as u64, size) };
                let id = BlobKind::Data.chunk(&keys, &content);
                let (blob, sealed) = sealer.seal(BlobKind::Data, id, &content).unwrap();
                let mut sealed = sealed.to_vec();
                if touched {
                    let middle = sealed.len() / 2;
                    sealed[middle] ^= 1;
                    prop_assert!(opener.open(&blob, &mut sealed).is_err());
                } else {
                    prop_assert_eq!(opener.open(&blob, &mut sealed), Ok(content.as_slice()));
                }
            }
        }
    }
}
