//! Blocks on their way to the other validators: a signed announcement, then the bytes in pieces.
//!
//! Malachite does not sign proposal parts, and anybody may publish on their topic. So the first part announces length and
//! hash of what follows, signed by the proposer of the height and round; until that announcement has been checked, a
//! stream may hold only a few bytes, and afterwards exactly those that were announced. Streams are told apart by who
//! published them (parts of one stream may arrive through different neighbours), and limited by neighbour.
//!
//! Anybody may also send a stream of somebody else once more, under another name. So blocks that were put together are
//! remembered until their height is decided: each is handed on once, and of a round only two.
//!
//! A block that had a polka is streamed again by the proposer of the later round under its own signature: the signature
//! is about the stream, the block keeps its header.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use malachite_app::streaming::StreamContent;
use malachite_app::types::core::Round;
use malachite_app::types::streaming::{StreamId, StreamMessage};
use openmesh_ledger::Params;
use openmesh_primitives::{Digest, sha256};

use super::types::{Height, Init, Part};

/// Bytes of one piece: measured with Malachite, 128 KiB move a 1 MiB block through gossip fastest.
pub(crate) const PIECE_BYTES: usize = 128 * 1024;
/// Bytes that a stream may hold before its announcement is there: gossip may reorder two pieces, hardly more.
const UNANNOUNCED_BYTES_MAX: usize = 2 * PIECE_BYTES;
/// The same for all streams together.
const UNANNOUNCED_BYTES_TOTAL_MAX: usize = 64 * PIECE_BYTES;
/// Open streams that one neighbour may have started: it relays those of a few rounds.
const STREAMS_PER_NEIGHBOR_MAX: usize = 16;
/// Different blocks of one height and round, open or put together: one, and a second to have room for the proof of a
/// fault.
const BLOCKS_PER_ROUND_MAX: usize = 2;
/// Open streams of one block: its proposer's, a validator's that sends it again, and some copies by strangers.
const STREAMS_PER_BLOCK_MAX: usize = 4;
/// Number of times a block is put together in its round if it could not be judged for good: enough for a clock that comes
/// right meanwhile.
const TRIES_MAX: u8 = 4;
/// Longest name of a stream; ours have 28 bytes.
const STREAM_ID_BYTES_MAX: usize = 64;
/// A block's bytes beside its transactions: header and commit, which has 84 bytes for each of at most 256 validators.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Least bytes of a transaction, which has a signature. Before each stands its length, in four bytes.
const TRANSACTION_BYTES_MIN: usize = 64;

/// Longest canonical bytes of a block that this network allows.
pub(crate) fn block_bytes_max(params: &Params) -> usize {
    let transactions = usize::try_from(params.blocks.block_bytes_max).unwrap_or(usize::MAX);
    transactions.saturating_add(transactions / TRANSACTION_BYTES_MIN * 4).saturating_add(HEAD_BYTES_MAX)
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
    /// Its block is not wanted (any more): the stream stays to swallow its pieces, and holds nothing.
    discarded: bool,
}

impl Stream {
    fn discard(&mut self) {
        self.discarded = true;
        self.pieces.clear();
        self.bytes = 0;
    }

    fn is_of(&self, block: &Block) -> bool {
        self.init.as_ref().is_some_and(|init| init.block() == *block)
    }

    /// Order of eviction: the least loss comes first.
    fn priority(&self) -> u8 {
        if self.discarded { 0 } else { 1 + u8::from(self.init.is_some()) }
    }
}

type Key = (Vec<u8>, Vec<u8>);
/// A block's bytes in a round.
type Block = (Height, Round, Digest);

impl Init {
    fn block(&self) -> Block {
        (self.height, self.round, self.digest)
    }
}

/// A block that was put together.
#[derive(Debug, Default)]
struct Finished {
    tries: u8,
    /// It may be put together once more.
    again: bool,
}

/// Streams that are not complete yet, and what came of those that were. The default takes nothing in.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    bytes_max: usize,
    streams: BTreeMap<Key, Stream>,
    /// Keys in the order of their first part; may name streams that are gone.
    order: VecDeque<Key>,
    /// Of heights that are not decided.
    finished: BTreeMap<Block, Finished>,
}

impl Assembler {
    /// For blocks of at most so many bytes.
    pub(crate) fn new(bytes_max: usize) -> Assembler {
        Assembler { bytes_max, ..Assembler::default() }
    }

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

    /// Takes blocks of at most so many bytes from now on.
    pub(crate) const fn limit(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
    }

    /// Forgets the streams and blocks of decided heights.
    pub(crate) fn prune(&mut self, decided: Height) {
        self.streams.retain(|_, s| s.init.as_ref().is_none_or(|init| init.height > decided));
        self.order.retain(|key| self.streams.contains_key(key));
        self.finished.retain(|(height, ..), _| *height > decided);
    }

    /// A block could not be judged for good (its time lies ahead, there was no room): it may be streamed again in its
    /// round, some times. It keeps its place among the blocks of the round.
    pub(crate) fn try_again(&mut self, init: &Init) {
        let block = init.block();
        if let Some(finished) = self.finished.get_mut(&block) {
            finished.again = finished.tries < TRIES_MAX;
            self.streams.retain(|_, s| !(s.discarded && s.is_of(&block)));
        }
    }

    fn open(&mut self, key: &Key, neighbor: &[u8]) {
        if self.streams.contains_key(key) {
            return;
        }
        let of_neighbor = |s: &&Stream| s.neighbor == neighbor;
        if self.streams.values().filter(of_neighbor).count() >= STREAMS_PER_NEIGHBOR_MAX {
            // The least worth goes, the oldest of several.
            let priority = |k| Some((self.streams.get(k).filter(of_neighbor)?.priority(), k));
            let victim =
                self.order.iter().filter_map(priority).min_by_key(|(priority, _)| *priority).map(|(_, k)| k.clone());
            if let Some(victim) = victim {
                self.streams.remove(&victim);
            }
        }
        self.order.retain(|k| self.streams.contains_key(k));
        self.order.push_back(key.clone());
        self.streams.insert(key.clone(), Stream { neighbor: neighbor.to_vec(), ..Stream::default() });
    }

    fn announce(&mut self, key: &Key, init: Init, check: impl FnOnce(&Init) -> bool) -> bool {
        let wanted = self.wants(&init);
        let Some(stream) = self.streams.get_mut(key) else { return false };
        if let Some(known) = &stream.init {
            // Said twice is fine, said differently is not.
            return *known == init;
        }
        if init.bytes as usize > self.bytes_max || stream.bytes > init.bytes as usize || !check(&init) {
            return false;
        }
        stream.init = Some(init);
        if !wanted {
            stream.discard();
        }
        true
    }

    /// Returns true if an announced block is not there already, and there is room in its round for another.
    fn wants(&self, init: &Init) -> bool {
        let block = init.block();
        if self.finished.get(&block).is_some_and(|finished| !finished.again) {
            return false;
        }
        let open = self.streams.values().filter(|s| !s.discarded).filter_map(|s| s.init.as_ref()).map(Init::block);
        let copies = open.clone().filter(|other| *other == block).count();
        let of_round = |other: &Block| (other.0, other.1) == (block.0, block.1) && *other != block;
        let others: BTreeSet<Block> = open.chain(self.finished.keys().copied()).filter(of_round).collect();
        copies < STREAMS_PER_BLOCK_MAX && others.len() < BLOCKS_PER_ROUND_MAX
    }

    fn piece(&mut self, key: &Key, sequence: u64, piece: Vec<u8>) -> bool {
        let unannounced: usize = self.streams.values().filter(|s| s.init.is_none()).map(|s| s.bytes).sum();
        let Some(stream) = self.streams.get_mut(key) else { return false };
        if sequence == 0 || piece.is_empty() || piece.len() > PIECE_BYTES {
            return false;
        }
        if stream.discarded {
            return true;
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
        let complete = |s: &Stream| !s.discarded && s.init.as_ref().is_some_and(|init| init.bytes as usize == s.bytes);
        if !self.streams.get(key).is_some_and(complete) {
            return None;
        }
        let stream = self.streams.remove(key)?;
        let bytes: Vec<u8> = stream.pieces.into_values().flatten().collect();
        let init = stream.init?;
        // Somebody else's bytes under this announcement do not count as the block.
        if sha256(&[&bytes]) != init.digest {
            return None;
        }
        self.remember(init.block());
        Some(Assembled { init, bytes })
    }

    /// A block is there: its other streams are copies.
    fn remember(&mut self, block: Block) {
        let finished = self.finished.entry(block).or_default();
        *finished = Finished { tries: finished.tries.saturating_add(1), again: false };
        self.streams.values_mut().filter(|s| s.is_of(&block)).for_each(Stream::discard);
    }
}

#[cfg(test)]
mod tests {
    use openmesh_primitives::ValidatorSignature;

    use super::super::types::Address;
    use super::*;

    fn assembler() -> Assembler {
        Assembler::new(1 << 20)
    }

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
            let mut assembler = self::assembler();
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
        let mut assembler = self::assembler();
        assert!(assembler.receive(b"p", b"n1", messages[0].clone(), |_| true).is_none());
        assert!(assembler.receive(b"p", b"n2", messages[1].clone(), |_| true).is_none());
        assert!(assembler.receive(b"another publisher", b"n2", messages[2].clone(), |_| true).is_none());
        assert!(assembler.receive(b"p", b"n3", messages[2].clone(), |_| true).is_some());
    }

    #[test]
    fn a_refused_announcement_ends_the_stream() {
        let bytes = body(10);
        let messages = split(&init(1, 0, &bytes), &bytes);
        let mut assembler = self::assembler();
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
        let mut assembler = self::assembler();
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
        let mut assembler = self::assembler();
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
        // One height and round has room for two blocks, whoever publishes them.
        let mut assembler = self::assembler();
        for n in 0u8..9 {
            let bytes = body(1000 + usize::from(n));
            assembler.receive(&[n], &[n], split(&init(1, 0, &bytes), &bytes).remove(0), |_| true);
        }
        assert_eq!(open(&assembler), BLOCKS_PER_ROUND_MAX);
        assembler.prune(Height(1));
        assert!(assembler.streams.is_empty() && assembler.order.is_empty());
    }

    /// Streams that may become a block.
    fn open(assembler: &Assembler) -> usize {
        assembler.streams.values().filter(|s| !s.discarded).count()
    }

    /// Sends a whole block as this publisher.
    fn send(assembler: &mut Assembler, publisher: u8, init: &Init, bytes: &[u8]) -> Option<Assembled> {
        let parts = split(init, bytes).into_iter();
        parts.filter_map(|part| assembler.receive(&[publisher], b"n", part, |_| true)).last()
    }

    #[test]
    fn a_copied_stream_is_not_a_second_block() {
        let bytes = body(3 * PIECE_BYTES);
        let announced = init(1, 0, &bytes);
        let mut assembler = self::assembler();
        // A copy that has begun when the block is there, and many that begin afterwards, under the same and other names.
        for part in split(&announced, &bytes).into_iter().take(2) {
            assembler.receive(b"early", b"n", part, |_| true);
        }
        assert!(send(&mut assembler, 0, &announced, &bytes).is_some());
        for part in split(&announced, &bytes).into_iter().skip(2) {
            assert!(assembler.receive(b"early", b"n", part, |_| true).is_none());
        }
        for publisher in 0..100 {
            assert!(send(&mut assembler, publisher, &announced, &bytes).is_none(), "publisher {publisher}");
            assert_eq!(assembler.streams.values().map(|s| s.bytes).sum::<usize>(), 0);
        }
        assert!(assembler.streams.len() <= STREAMS_PER_NEIGHBOR_MAX);
        // Another round is another vote.
        assert!(send(&mut assembler, 0, &init(1, 1, &bytes), &bytes).is_some());
        assembler.prune(Height(1));
        assert!(assembler.streams.is_empty() && assembler.order.is_empty() && assembler.finished.is_empty());
    }

    #[test]
    fn a_round_has_two_blocks_whether_open_or_finished() {
        let mut assembler = self::assembler();
        let taken = (0..9).filter(|n| {
            let bytes = body(1_000 + n);
            send(&mut assembler, 0, &init(1, 0, &bytes), &bytes).is_some()
        });
        assert_eq!(taken.count(), BLOCKS_PER_ROUND_MAX);
        // One that is finished and one that is open.
        let other = |n: usize| init(1, 1, &body(2_000 + n));
        assert!(send(&mut assembler, 0, &other(0), &body(2_000)).is_some());
        assembler.receive(b"p", b"n", split(&other(1), &body(2_001)).remove(0), |_| true);
        assert!(send(&mut assembler, 0, &other(2), &body(2_002)).is_none());
        assert!(send(&mut assembler, 1, &other(1), &body(2_001)).is_some());
        // Other bytes under an announcement take no block's place.
        let announced = init(1, 2, &[1; 10]);
        assert!(send(&mut assembler, 0, &announced, &[2; 10]).is_none());
        assert!(send(&mut assembler, 0, &announced, &[1; 10]).is_some());
    }

    #[test]
    fn a_block_that_was_ahead_may_be_tried_again_some_times() {
        let bytes = body(1_000);
        let announced = init(1, 0, &bytes);
        let mut assembler = self::assembler();
        let mut tries = 0;
        while send(&mut assembler, 0, &announced, &bytes).is_some() {
            assert!(send(&mut assembler, 0, &announced, &bytes).is_none(), "nobody said that it may");
            assembler.try_again(&announced);
            tries += 1;
        }
        assert_eq!(tries, TRIES_MAX);
        // It keeps its place in the round.
        assert!(send(&mut assembler, 0, &init(1, 0, &body(9)), &body(9)).is_some());
        assert!(send(&mut assembler, 0, &init(1, 0, &body(8)), &body(8)).is_none());
    }

    #[test]
    fn a_block_longer_than_the_network_allows_is_refused_at_its_announcement() {
        let params = Params {
            blocks: openmesh_ledger::BlocksParams {
                block_bytes_max: 100 * 1024,
                ..openmesh_ledger::BlocksParams::default()
            },
            ..Params::default()
        };
        let mut assembler = Assembler::new(block_bytes_max(&params));
        let mut huge = init(1, 0, b"");
        huge.bytes = u32::MAX;
        let bytes = body(8 * PIECE_BYTES);
        for part in split(&huge, &bytes) {
            assembler.receive(b"p", b"n", part, |_| true);
            assert!(assembler.streams.values().all(|s| s.init.is_none()));
        }
        assert!(assembler.streams.values().map(|s| s.bytes).sum::<usize>() <= UNANNOUNCED_BYTES_MAX);
    }

    #[test]
    fn a_limit_that_an_upgrade_raises_counts_from_the_next_announcement_on() {
        let bytes = body(3 * PIECE_BYTES);
        let announced = init(1, 0, &bytes);
        let mut assembler = Assembler::new(2 * PIECE_BYTES);
        assert!(send(&mut assembler, 0, &announced, &bytes).is_none());
        assembler.limit(3 * PIECE_BYTES);
        assert!(send(&mut assembler, 0, &announced, &bytes).is_some());
    }

    #[test]
    fn every_block_that_the_network_allows_is_short_enough() {
        use openmesh_ledger::{Block, BlocksParams, Certificate, Header, VALIDATORS_MAX};
        let digest = Digest::ZERO;
        let address = openmesh_primitives::Address::default();
        let signatures = vec![(address, ValidatorSignature([0; 64])); VALIDATORS_MAX];
        let header = Header {
            version: openmesh_ledger::HEADER_VERSION,
            chain_id: 1,
            height: 1,
            time: openmesh_primitives::Timestamp(0),
            parent: digest,
            state_root: digest,
            transactions_root: digest,
            last_commit_hash: digest,
            proposer: address,
            validators_hash: digest,
            next_validators_hash: digest,
            beacon_proof: openmesh_primitives::VrfProof([0; 80]),
        };
        let last_commit = Some(Certificate { height: 1, round: 0, block_hash: digest, signatures });
        let params = Params {
            blocks: BlocksParams { block_bytes_max: 64 * 1024, ..BlocksParams::default() },
            ..Params::default()
        };
        let transactions = vec![vec![0; TRANSACTION_BYTES_MIN]; 1024];
        let block = Block { header, last_commit, transactions };
        assert!(openmesh_primitives::canonical::encode(&block).len() <= block_bytes_max(&params));
    }
}
