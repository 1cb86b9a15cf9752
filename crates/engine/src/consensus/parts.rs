//! Blocks on their way to the other validators: a signed announcement, then the bytes in pieces.
//!
//! Malachite does not sign proposal parts, and anybody may publish on their topic. So the first part announces length and
//! hash of what follows, signed by the proposer of the height and round; until that announcement has been checked, a
//! stream may hold only a few bytes, and afterwards exactly those that were announced. Streams are told apart by who
//! published them (parts of one stream may arrive through different neighbours), and limited by neighbour.
//!
//! A block that had a polka is streamed again by the proposer of the later round under its own signature: the signature
//! is about the stream, the block keeps its header.

use std::collections::{BTreeMap, VecDeque};

use borsh::{BorshDeserialize, BorshSerialize};
use malachite_app::streaming::StreamContent;
use malachite_app::types::core::Round;
use malachite_app::types::streaming::{StreamId, StreamMessage};
use openmesh_primitives::{Digest, ValidatorSignature, sha256};

use super::context::{Address, Height, Part};

/// Bytes of one piece: measured with Malachite, 128 KiB move a 1 MiB block through gossip fastest.
pub(crate) const PIECE_BYTES: usize = 128 * 1024;
/// Bytes that a stream may hold before its announcement is there: gossip may reorder two pieces, hardly more.
const UNANNOUNCED_BYTES_MAX: usize = 2 * PIECE_BYTES;
/// The same for all streams together.
const UNANNOUNCED_BYTES_TOTAL_MAX: usize = 64 * PIECE_BYTES;
/// Open streams that one neighbour may have started: it relays those of a few rounds.
const STREAMS_PER_NEIGHBOR_MAX: usize = 16;
/// Open announced streams of one height and round: one, and a second to have room for the proof of a fault.
const STREAMS_PER_ROUND_MAX: usize = 2;
/// Longest name of a stream; ours have 28 bytes.
const STREAM_ID_BYTES_MAX: usize = 64;

/// The first part of a stream.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Init {
    /// Height that the block is for.
    pub height: Height,
    /// Round in which it is proposed.
    pub round: Round,
    /// The round in which it had a polka before, or nil.
    pub pol_round: Round,
    /// The proposer of that height and round, who streams it.
    pub streamer: Address,
    /// Length of the block's canonical bytes.
    pub bytes: u32,
    /// SHA-256 of the block's canonical bytes.
    pub digest: Digest,
    /// Of the streamer, over all of the above.
    pub signature: ValidatorSignature,
}

/// A whole block's bytes and their announcement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Assembled {
    pub(crate) init: Init,
    pub(crate) bytes: Vec<u8>,
}

/// The messages of a stream, in order.
pub(crate) fn split(init: &Init, bytes: &[u8]) -> Vec<StreamMessage<Part>> {
    let mut name = Vec::with_capacity(28);
    name.extend(init.height.0.to_be_bytes());
    name.extend(init.round.as_i64().to_be_bytes());
    name.extend(&init.digest.0[..12]);
    let id = StreamId::new(name.into());
    let first = StreamMessage::new(id.clone(), 0, StreamContent::Data(Part::Init(init.clone())));
    let pieces = (1..).zip(bytes.chunks(PIECE_BYTES)).map(|(sequence, piece)| {
        StreamMessage::new(id.clone(), sequence, StreamContent::Data(Part::Data(piece.to_vec())))
    });
    std::iter::once(first).chain(pieces).collect()
}

#[derive(Debug, Default)]
struct Stream {
    neighbor: Vec<u8>,
    init: Option<Init>,
    pieces: BTreeMap<u64, Vec<u8>>,
    bytes: usize,
}

type Key = (Vec<u8>, Vec<u8>);

/// Streams that are not complete yet.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    streams: BTreeMap<Key, Stream>,
    /// Keys in the order of their first part; may name streams that are gone.
    order: VecDeque<Key>,
}

impl Assembler {
    /// Takes a part in; returns the block when it was the last one missing. `check` decides whether an announcement is of
    /// a height and round of interest, and signed by their proposer.
    pub(crate) fn receive(
        &mut self,
        publisher: &[u8],
        neighbor: &[u8],
        message: StreamMessage<Part>,
        check: impl FnOnce(&Init) -> bool,
    ) -> Option<Assembled> {
        let id = message.stream_id.to_bytes();
        let StreamContent::Data(part) = message.content else { return None };
        if id.len() > STREAM_ID_BYTES_MAX {
            return None;
        }
        let key = (publisher.to_vec(), id.to_vec());
        self.open(&key, neighbor);
        let kept = match part {
            Part::Init(init) => message.sequence == 0 && self.announce(&key, init, check),
            Part::Data(piece) => self.piece(&key, message.sequence, piece),
        };
        if !kept {
            self.streams.remove(&key);
            return None;
        }
        self.finish(&key)
    }

    /// Forgets the streams of decided heights.
    pub(crate) fn prune(&mut self, decided: Height) {
        self.streams.retain(|_, s| s.init.as_ref().is_none_or(|init| init.height > decided));
        self.order.retain(|key| self.streams.contains_key(key));
    }

    fn open(&mut self, key: &Key, neighbor: &[u8]) {
        if self.streams.contains_key(key) {
            return;
        }
        let of_neighbor = |s: &&Stream| s.neighbor == neighbor;
        if self.streams.values().filter(of_neighbor).count() >= STREAMS_PER_NEIGHBOR_MAX {
            // The oldest goes, unannounced ones first.
            let oldest = |announced: bool| {
                let fits = |k: &&Key| {
                    self.streams.get(*k).is_some_and(|s| s.neighbor == neighbor && s.init.is_some() == announced)
                };
                self.order.iter().find(fits).cloned()
            };
            if let Some(victim) = oldest(false).or_else(|| oldest(true)) {
                self.streams.remove(&victim);
            }
        }
        self.order.retain(|k| self.streams.contains_key(k));
        self.order.push_back(key.clone());
        self.streams.insert(key.clone(), Stream { neighbor: neighbor.to_vec(), ..Stream::default() });
    }

    fn announce(&mut self, key: &Key, init: Init, check: impl FnOnce(&Init) -> bool) -> bool {
        let same = |s: &&Stream| s.init.as_ref().is_some_and(|i| (i.height, i.round) == (init.height, init.round));
        let crowded = self.streams.values().filter(same).count() >= STREAMS_PER_ROUND_MAX;
        let Some(stream) = self.streams.get_mut(key) else { return false };
        if let Some(known) = &stream.init {
            // Said twice is fine, said differently is not.
            return *known == init;
        }
        if crowded || stream.bytes > init.bytes as usize || !check(&init) {
            return false;
        }
        stream.init = Some(init);
        true
    }

    fn piece(&mut self, key: &Key, sequence: u64, piece: Vec<u8>) -> bool {
        let unannounced: usize = self.streams.values().filter(|s| s.init.is_none()).map(|s| s.bytes).sum();
        let Some(stream) = self.streams.get_mut(key) else { return false };
        if sequence == 0 || piece.is_empty() || piece.len() > PIECE_BYTES {
            return false;
        }
        if stream.pieces.contains_key(&sequence) {
            return true;
        }
        let bytes = stream.bytes + piece.len();
        let fits = match &stream.init {
            Some(init) => bytes <= init.bytes as usize,
            None => bytes <= UNANNOUNCED_BYTES_MAX && unannounced + piece.len() <= UNANNOUNCED_BYTES_TOTAL_MAX,
        };
        if fits {
            stream.bytes = bytes;
            stream.pieces.insert(sequence, piece);
        }
        fits
    }

    fn finish(&mut self, key: &Key) -> Option<Assembled> {
        let complete = |s: &Stream| s.init.as_ref().is_some_and(|init| init.bytes as usize == s.bytes);
        if !self.streams.get(key).is_some_and(complete) {
            return None;
        }
        let stream = self.streams.remove(key)?;
        let bytes: Vec<u8> = stream.pieces.into_values().flatten().collect();
        let init = stream.init?;
        (sha256(&[&bytes]) == init.digest).then_some(Assembled { init, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn init(height: u64, round: u32, bytes: &[u8]) -> Init {
        Init {
            height: Height(height),
            round: Round::new(round),
            pol_round: Round::Nil,
            streamer: Address::default_for_tests(),
            bytes: bytes.len() as u32,
            digest: sha256(&[bytes]),
            signature: ValidatorSignature([0; 64]),
        }
    }

    impl Address {
        fn default_for_tests() -> Address {
            Address(openmesh_primitives::Address::default())
        }
    }

    fn body(length: usize) -> Vec<u8> {
        (0..length).map(|i| (i % 251) as u8).collect()
    }

    #[test]
    fn any_order_assembles_and_only_once() {
        let bytes = body(3 * PIECE_BYTES + 5);
        let messages = split(&init(1, 0, &bytes), &bytes);
        assert_eq!(messages.len(), 5);
        for order in [[0, 1, 2, 3, 4], [1, 0, 4, 2, 3], [1, 2, 0, 3, 4]] {
            let mut assembler = Assembler::default();
            let mut done = Vec::new();
            for at in order {
                done.extend(assembler.receive(b"p", b"n", messages[at].clone(), |_| true));
            }
            assert_eq!(done.len(), 1);
            assert_eq!(done[0].bytes, bytes);
            assert!(assembler.streams.is_empty());
        }
    }

    #[test]
    fn parts_through_several_neighbors_are_one_stream() {
        let bytes = body(PIECE_BYTES + 1);
        let messages = split(&init(1, 0, &bytes), &bytes);
        let mut assembler = Assembler::default();
        assert!(assembler.receive(b"p", b"n1", messages[0].clone(), |_| true).is_none());
        assert!(assembler.receive(b"p", b"n2", messages[1].clone(), |_| true).is_none());
        assert!(assembler.receive(b"another publisher", b"n2", messages[2].clone(), |_| true).is_none());
        assert!(assembler.receive(b"p", b"n3", messages[2].clone(), |_| true).is_some());
    }

    #[test]
    fn a_refused_announcement_ends_the_stream() {
        let bytes = body(10);
        let messages = split(&init(1, 0, &bytes), &bytes);
        let mut assembler = Assembler::default();
        assert!(assembler.receive(b"p", b"n", messages[0].clone(), |_| false).is_none());
        assert!(assembler.receive(b"p", b"n", messages[1].clone(), |_| true).is_none());
        // The piece alone waits, within the limits.
        assert_eq!(assembler.streams.len(), 1);
    }

    #[test]
    fn more_or_other_bytes_than_announced_are_refused() {
        let bytes = body(10);
        let announced = init(1, 0, &bytes);
        let mut longer = split(&announced, &body(11));
        let mut assembler = Assembler::default();
        assembler.receive(b"p", b"n", longer.remove(0), |_| true);
        assert!(assembler.receive(b"p", b"n", longer.remove(0), |_| true).is_none());
        assert!(assembler.streams.is_empty());
        let other = split(&announced, &[7; 10]);
        for message in other {
            assert!(assembler.receive(b"p", b"n", message, |_| true).is_none());
        }
        assert!(assembler.streams.is_empty());
    }

    #[test]
    fn a_flood_stays_within_limits() {
        let mut assembler = Assembler::default();
        for n in 0u32..500 {
            let bytes = body(1000 + n as usize);
            for message in split(&init(1, n, &bytes), &bytes).into_iter().skip(1) {
                assembler.receive(b"p", b"neighbor", message, |_| true);
            }
        }
        assert_eq!(assembler.streams.len(), STREAMS_PER_NEIGHBOR_MAX);
        assert!(assembler.order.len() <= STREAMS_PER_NEIGHBOR_MAX);
        for n in 0u8..200 {
            let bytes = body(PIECE_BYTES);
            let messages = split(&init(1, u32::from(n), &bytes), &bytes);
            assembler.receive(b"p", &[n], messages[1].clone(), |_| true);
        }
        let held: usize = assembler.streams.values().map(|s| s.bytes).sum();
        assert!(held <= UNANNOUNCED_BYTES_TOTAL_MAX);
        // One height and round has room for two announcements, whoever publishes them.
        let mut assembler = Assembler::default();
        for n in 0u8..9 {
            let bytes = body(1000 + usize::from(n));
            assembler.receive(&[n], &[n], split(&init(1, 0, &bytes), &bytes).remove(0), |_| true);
        }
        assert_eq!(assembler.streams.len(), STREAMS_PER_ROUND_MAX);
        assembler.prune(Height(1));
        assert!(assembler.streams.is_empty() && assembler.order.is_empty());
    }
}
