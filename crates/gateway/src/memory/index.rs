//! Recent chunks, incidents and signatures, gathered from committed blocks.
//!
//! The ledger's state answers by key; what a person looks at is "the newest, filtered". A bounded memory of the recent
//! blocks answers that without walking the state; everything older is asked of the tables in SQL. It is filled from the
//! stored blocks on start, so a restart shows no less.

use std::collections::{BTreeMap, VecDeque};

use openmesh_api::ChunkStatus;
use openmesh_ledger::{Block, Header, LedgerEvent, LedgerIncident, Origin, StateError, StateRead, WindowsEvent, keys};
use openmesh_primitives::{Address, ContentId, Height, Timestamp};

use super::register::Register;
use super::ring::push;

/// Chunks remembered: an hour of a hundred streams in windows of ten seconds.
const CHUNKS_MAX: usize = 36_000;
/// Incidents remembered: a day on which one window in nine has one.
const INCIDENTS_MAX: usize = 10_000;
/// Blocks whose signatures are counted.
pub const SIGNATURES_BLOCKS: usize = 100;
/// Blocks read back on start: an hour of them.
pub const BLOCKS_BACK: u64 = 3_600;
/// Incidents counted at once.
const BATCH: usize = 500;
/// Incidents that are counted when a node starts: read in a tenth of a second. The state holds those of some epochs, and a network with
/// more of them than that has other worries than their number.
const INCIDENTS_COUNTED_MAX: u64 = 100_000;

/// Result of a stream's agreement in one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// More than two thirds named these bytes.
    Accepted {
        /// CID of the bytes.
        cid: ContentId,
        /// Their number.
        bytes: u64,
        /// Number of events in them.
        events: u32,
    },
    /// Closed without a quorum although those who covered it differ.
    Disputed,
    /// Closed without a decision because too few covered it.
    Uncovered,
}

impl Outcome {
    /// The word of the contract for it.
    pub const fn status(&self) -> ChunkStatus {
        match self {
            Outcome::Accepted { .. } => ChunkStatus::Accepted,
            Outcome::Disputed => ChunkStatus::Disputed,
            Outcome::Uncovered => ChunkStatus::Uncovered,
        }
    }

    /// CID of the accepted bytes.
    pub const fn cid(&self) -> Option<ContentId> {
        match self {
            Outcome::Accepted { cid, .. } => Some(*cid),
            Outcome::Disputed | Outcome::Uncovered => None,
        }
    }
}

/// A chunk of the recent blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecentChunk {
    /// Running number, newest highest: the cursor of lists.
    pub number: u64,
    /// Source.
    pub source: String,
    /// Window.
    pub window: u64,
    /// Stream.
    pub stream: String,
    /// Provenance.
    pub origin: Origin,
    /// Outcome when it was decided, or its window closed.
    pub outcome: Outcome,
    /// Validators that attested this CID.
    pub attesters: Vec<Address>,
    /// Validators that attested a different CID.
    pub differing: Vec<Address>,
    /// Height.
    pub height: Height,
}

/// An incident of the recent blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecentIncident {
    /// Running number, newest highest.
    pub number: u64,
    /// Time of its block.
    pub time: Timestamp,
    /// The incident.
    pub incident: LedgerIncident,
}

/// Signatures and proposals of a validator among the recent blocks.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Signatures {
    /// Number of recent blocks.
    pub recent: u64,
    /// Signed of those.
    pub signed: u64,
    /// Proposed of those.
    pub proposed: u64,
    /// Last height signed.
    pub last: Option<Height>,
}

/// Lists made from the recent blocks.
#[derive(Debug, Default)]
pub struct Index {
    height: Height,
    next: u64,
    chunks: VecDeque<RecentChunk>,
    incidents: VecDeque<RecentIncident>,
    proposers: VecDeque<Address>,
    signers: VecDeque<(Height, Vec<Address>)>,
    agreed: BTreeMap<String, Timestamp>,
    /// Incidents since genesis, as far as this node has seen.
    pub incidents_total: u64,
}

impl Index {
    /// Height of the newest block that was taken in.
    pub const fn height(&self) -> Height {
        self.height
    }

    /// Takes in a committed block with its events; returns false where it has been taken in before. Signers are read from the
    /// commit of its parent, which is the same at every node and has the precommits that came after the decision too; the
    /// block's own certificate here holds only the first two thirds.
    pub fn block(&mut self, block: &Block, events: &[LedgerEvent], register: &Register) -> bool {
        let Header { height, time, proposer, .. } = block.header;
        if height <= self.height {
            return false;
        }
        self.height = height;
        push(&mut self.proposers, proposer, SIGNATURES_BLOCKS);
        if let Some(commit) = &block.last_commit {
            let signers = commit.signatures.iter().map(|(address, _)| *address).collect();
            push(&mut self.signers, (commit.height, signers), SIGNATURES_BLOCKS);
        }
        events.iter().for_each(|event| self.event(event, time, register));
        true
    }

    fn event(&mut self, event: &LedgerEvent, time: Timestamp, register: &Register) {
        match event {
            LedgerEvent::Windows(WindowsEvent::ChunkAccepted { source, .. }) => {
                self.agreed.insert(source.clone(), time);
                self.accepted(event);
            }
            LedgerEvent::Windows(WindowsEvent::WindowClosed {
                source, window, disputed, uncovered, height, ..
            }) if disputed.len() + uncovered.len() > 0 => {
                let streams = disputed.iter().map(|stream| (stream, Outcome::Disputed));
                let streams = streams.chain(uncovered.iter().map(|stream| (stream, Outcome::Uncovered)));
                self.undecided(source, *window, streams, *height, register);
            }
            LedgerEvent::Incident(incident) => {
                self.incidents_total += 1;
                let recent = RecentIncident { number: self.number(), time, incident: incident.clone() };
                push(&mut self.incidents, recent, INCIDENTS_MAX);
            }
            LedgerEvent::Windows(WindowsEvent::Attested { source, window, validator, abstained, .. }) => {
                self.mark_agreeing(source, *window, *validator, abstained);
            }
            LedgerEvent::Windows(WindowsEvent::Differed { source, window, stream, validator, .. }) => {
                self.mark_differing(source, *window, stream, *validator);
            }
            LedgerEvent::Windows(WindowsEvent::WindowClosed { .. })
            | LedgerEvent::Sources(_)
            | LedgerEvent::Accounts(_)
            | LedgerEvent::Epochs(_)
            | LedgerEvent::Fees(_)
            | LedgerEvent::Deposits(_)
            | LedgerEvent::Stamps(_)
            | LedgerEvent::Upgrades(_) => {}
        }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn accepted(&mut self, event: &LedgerEvent) {
        let LedgerEvent::Windows(WindowsEvent::ChunkAccepted {
            source,
            origin,
            window,
            stream,
            cid,
            bytes,
            events,
            attesters,
            height,
        }) = event
        else {
            return;
        };
        let chunk = RecentChunk {
            number: self.number(),
            source: source.clone(),
            window: *window,
            stream: stream.clone(),
            origin: *origin,
            outcome: Outcome::Accepted { cid: *cid, bytes: *bytes, events: *events },
            attesters: attesters.clone(),
            differing: Vec::new(),
            height: *height,
        };
        push(&mut self.chunks, chunk, CHUNKS_MAX);
    }

    /// Streams without agreement. Only the register says where their data comes from; those of a source that is not in it are
    /// left out of the list rather than given a provenance: nothing may look live that is not. Their incident tells of them.
    fn undecided<'a>(
        &mut self,
        source: &str,
        window: u64,
        streams: impl Iterator<Item = (&'a String, Outcome)>,
        height: Height,
        register: &Register,
    ) {
        let Some(origin) = register.origin(source) else {
            return tracing::warn!(source, window, "a window of a source closed that is not in the register");
        };
        for (stream, outcome) in streams {
            let chunk = RecentChunk {
                number: self.number(),
                source: source.into(),
                window,
                stream: stream.clone(),
                origin,
                outcome,
                attesters: Vec::new(),
                differing: Vec::new(),
                height,
            };
            push(&mut self.chunks, chunk, CHUNKS_MAX);
        }
    }

    /// A validator that attests a window after its chunks were accepted agrees to those in which it neither differs nor
    /// abstains.
    fn mark_agreeing(&mut self, source: &str, window: u64, validator: Address, abstained: &[String]) {
        let of_window = self.chunks.iter_mut().filter(|c| c.window == window && c.source == source);
        for chunk in of_window.filter(|c| c.outcome.cid().is_some() && !c.differing.contains(&validator)) {
            if !abstained.contains(&chunk.stream) && !chunk.attesters.contains(&validator) {
                chunk.attesters.push(validator);
            }
        }
    }

    fn mark_differing(&mut self, source: &str, window: u64, stream: &str, validator: Address) {
        let chunk =
            self.chunks.iter_mut().rev().find(|c| c.source == source && c.window == window && c.stream == stream);
        if let Some(chunk) = chunk {
            chunk.differing.push(validator);
        }
    }

    /// Time of the newest block in which a chunk of this source was agreed on.
    pub fn agreed_at(&self, source: &str) -> Option<Timestamp> {
        self.agreed.get(source).copied()
    }

    /// Chunks below a number, newest first.
    pub fn chunks(&self, after: Option<u64>) -> impl Iterator<Item = &RecentChunk> {
        self.chunks.iter().rev().filter(move |c| after.is_none_or(|a| c.number < a))
    }

    /// Incidents below a number, newest first.
    pub fn incidents(&self, after: Option<u64>) -> impl Iterator<Item = &RecentIncident> {
        self.incidents.iter().rev().filter(move |i| after.is_none_or(|a| i.number < a))
    }

    /// Height and number of the oldest incident remembered.
    pub fn oldest_incident(&self) -> Option<(Height, u32)> {
        self.incidents.front().map(|i| (i.incident.height, i.incident.number))
    }

    /// The chunk of a CID.
    pub fn chunk(&self, cid: &ContentId) -> Option<&RecentChunk> {
        self.chunks.iter().rev().find(|c| c.outcome.cid() == Some(*cid))
    }

    /// Signatures and proposals of a validator among the recent blocks.
    pub fn signatures(&self, validator: &Address) -> Signatures {
        let signed = self.signers.iter().filter(|(_, signers)| signers.contains(validator));
        let last = signed.clone().map(|(height, _)| *height).max();
        let proposed = self.proposers.iter().filter(|p| *p == validator).count();
        Signatures { recent: self.signers.len() as u64, signed: signed.count() as u64, proposed: proposed as u64, last }
    }
}

/// Chunks that are wanted.
#[derive(Debug, Default, Clone)]
pub struct ChunkFilter {
    /// Part of the stream's name.
    pub stream: Option<String>,
    /// Result of the agreement.
    pub status: Option<ChunkStatus>,
    /// Only chunks attested by this validator.
    pub attester: Option<Address>,
    /// First window.
    pub from: Option<u64>,
    /// Last window.
    pub to: Option<u64>,
}

impl ChunkFilter {
    /// True where a chunk is wanted.
    pub fn fits(&self, chunk: &RecentChunk) -> bool {
        self.stream.as_ref().is_none_or(|s| chunk.stream.contains(s.as_str()))
            && self.status.is_none_or(|status| status == chunk.outcome.status())
            && self.attester.is_none_or(|a| chunk.attesters.contains(&a))
            && self.from.is_none_or(|w| chunk.window >= w)
            && self.to.is_none_or(|w| chunk.window <= w)
    }
}

/// Number of incidents in the ledger's state before a height, at most [`INCIDENTS_COUNTED_MAX`]. Fails where the state cannot be read.
pub fn incidents_before(state: &impl StateRead, height: Height) -> Result<u64, StateError> {
    let end = keys::incidents_at(height);
    let (mut from, mut count) = (keys::INCIDENTS.to_vec(), 0);
    while count < INCIDENTS_COUNTED_MAX {
        let batch = state.scan(keys::INCIDENTS, Some(&from), BATCH)?;
        let full = batch.len() == BATCH;
        for (mut key, _) in batch {
            if key >= end {
                return Ok(count);
            }
            count += 1;
            // The next batch begins behind this key.
            key.push(0);
            from = key;
        }
        if !full {
            break;
        }
    }
    Ok(count.min(INCIDENTS_COUNTED_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use openmesh_ledger::{Certificate, HEADER_VERSION, IncidentKind};
    use openmesh_primitives::Digest;

    fn block(height: Height, last_commit: Option<Certificate>) -> Block {
        let header = Header {
            version: HEADER_VERSION,
            chain_id: 7,
            height,
            time: Timestamp(0),
            parent: Digest::ZERO,
            state_root: Digest::ZERO,
            transactions_root: Digest::ZERO,
            last_commit_hash: Digest::ZERO,
            proposer: Address([1; 20]),
            validators_hash: Digest::ZERO,
            next_validators_hash: Digest::ZERO,
            beacon_proof: openmesh_primitives::VrfProof([0; 80]),
        };
        Block { header, last_commit, transactions: Vec::new() }
    }

    #[test]
    fn a_block_is_taken_in_once() {
        let (mut index, register) = (Index::default(), Register::default());
        assert!(index.block(&block(4, None), &[accepted(1, 4)], &register), "a node may begin with any height");
        for seen in [4, 3] {
            assert!(!index.block(&block(seen, None), &[accepted(1, seen)], &register));
        }
        assert!(index.block(&block(5, None), &[accepted(2, 5)], &register));
        assert_eq!((index.height(), index.chunks(None).count()), (5, 2));
        assert_eq!((index.agreed_at("kraken"), index.agreed_at("okx")), (Some(Timestamp(0)), None));
        assert_eq!(index.signatures(&Address([1; 20])).proposed, 2);
    }

    fn accepted(window: u64, height: Height) -> LedgerEvent {
        LedgerEvent::Windows(WindowsEvent::ChunkAccepted {
            source: "kraken".into(),
            origin: Origin::Replay,
            window,
            stream: "BTC.USD/trades".into(),
            cid: ContentId::of(&window.to_be_bytes()),
            bytes: 1,
            events: 1,
            attesters: vec![Address([1; 20])],
            height,
        })
    }

    #[test]
    fn newest_first_with_cursor_and_names() {
        let (mut index, register) = (Index::default(), Register::default());
        let commit = |height| Certificate {
            height,
            round: 0,
            block_hash: Digest::ZERO,
            signatures: vec![(Address([1; 20]), openmesh_primitives::ValidatorSignature([0; 64]))],
        };
        let (liar, late) = (Address([9; 20]), Address([2; 20]));
        let attested = |window, validator| {
            LedgerEvent::Windows(WindowsEvent::Attested {
                source: "kraken".into(),
                window,
                validator,
                abstained: Vec::new(),
                height: 3,
            })
        };
        let incident = LedgerIncident {
            kind: IncidentKind::Differing,
            source: "kraken".into(),
            window: 2,
            stream: Some("BTC.USD/trades".into()),
            validator: Some(liar),
            detail: "another CID".into(),
            height: 2,
            number: 0,
        };
        let differed = LedgerEvent::Windows(WindowsEvent::Differed {
            source: "kraken".into(),
            window: 2,
            stream: "BTC.USD/trades".into(),
            validator: liar,
            height: 2,
        });
        let abstains = LedgerEvent::Windows(WindowsEvent::Attested {
            source: "kraken".into(),
            window: 2,
            validator: Address([4; 20]),
            abstained: vec!["BTC.USD/trades".into()],
            height: 3,
        });
        for (height, events) in [
            (1, vec![accepted(1, 1)]),
            (2, vec![accepted(2, 2), differed, LedgerEvent::Incident(incident)]),
            (3, vec![accepted(3, 3), attested(2, liar), attested(2, late), attested(2, Address([1; 20])), abstains]),
        ] {
            let last_commit = (height > 1).then(|| commit(height - 1));
            assert!(index.block(&block(height, last_commit), &events, &register));
        }
        let windows: Vec<u64> = index.chunks(None).map(|c| c.window).collect();
        assert_eq!(windows, [3, 2, 1]);
        let second = index.chunks(None).nth(1).unwrap();
        assert_eq!(second.differing, [liar]);
        assert_eq!(second.attesters, [Address([1; 20]), late], "who says the same later agrees too");
        assert_eq!(index.chunks(Some(second.number)).map(|c| c.window).collect::<Vec<_>>(), [1]);
        let signed = Signatures { recent: 2, signed: 2, proposed: 3, last: Some(2) };
        assert_eq!(index.signatures(&Address([1; 20])), signed);
        assert_eq!(index.signatures(&liar), Signatures { recent: 2, ..Signatures::default() });
        assert_eq!(index.incidents(None).count(), 1);
    }

    #[test]
    fn an_undecided_chunk_has_the_provenance_of_the_register_or_is_not_shown() {
        let closed = |source: &str| {
            LedgerEvent::Windows(WindowsEvent::WindowClosed {
                source: source.into(),
                window: 5,
                epoch: 1,
                accepted: 0,
                disputed: vec!["BTC.USD/trades".into()],
                uncovered: vec!["BTC.USD/book".into()],
                missing: Vec::new(),
                height: 1,
            })
        };
        let registered = openmesh_ledger::SourceSpec {
            id: "kraken-by-transaction".into(),
            exchange: "kraken".into(),
            kind: openmesh_ledger::SourceKind::Market,
            symbols: vec!["BTC.USD".into()],
            feeds: vec!["trades".into()],
            window_ms: 1_000,
            origin: Origin::Simulated,
        };
        let mut index = Index::default();
        let events = [closed("kraken-by-transaction"), closed("nobody-knows")];
        assert!(index.block(&block(1, None), &events, &Register::of([registered])));
        let shown: Vec<_> = index.chunks(None).map(|c| (c.source.as_str(), c.origin, c.outcome)).collect();
        let of = |outcome| ("kraken-by-transaction", Origin::Simulated, outcome);
        assert_eq!(shown, [of(Outcome::Uncovered), of(Outcome::Disputed)]);
        for (status, stream) in [(ChunkStatus::Disputed, "BTC.USD/trades"), (ChunkStatus::Uncovered, "BTC.USD/book")] {
            let filter = ChunkFilter { status: Some(status), ..ChunkFilter::default() };
            let found: Vec<_> = index.chunks(None).filter(|c| filter.fits(c)).map(|c| c.stream.as_str()).collect();
            assert_eq!(found, [stream], "{status:?}");
        }
    }
}
