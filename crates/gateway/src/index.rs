//! Recent chunks, incidents and signatures, gathered from committed blocks.
//!
//! The ledger's state answers by key; what a person looks at is "the newest, filtered". A bounded memory of the recent
//! blocks answers that without walking the state; everything older is asked of the tables in SQL. It is filled from the
//! stored blocks on start, so a restart shows no less.

use std::collections::{BTreeMap, VecDeque};

use openmesh_ledger::{
    AccountsEvent, Block, Header, IncidentKind, LedgerEvent, LedgerIncident, Origin, SourcesEvent, WindowsEvent,
};
use openmesh_primitives::{Address, ContentId, Height, Timestamp};

/// Chunks remembered: an hour of a hundred streams in windows of ten seconds.
const CHUNKS_MAX: usize = 36_000;
/// Incidents remembered.
const INCIDENTS_MAX: usize = 10_000;
/// Blocks whose signatures are counted.
pub const SIGNATURES_BLOCKS: usize = 100;
/// Blocks read back on start.
pub const BLOCKS_BACK: u64 = 3_600;

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
    /// Where from.
    pub origin: Origin,
    /// CID, bytes, events; `None`: disputed.
    pub accepted: Option<(ContentId, u64, u32)>,
    /// Who named it.
    pub attesters: Vec<Address>,
    /// Who named another.
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

/// What the recent blocks said.
#[derive(Debug, Default)]
pub struct Index {
    height: Height,
    next: u64,
    chunks: VecDeque<RecentChunk>,
    incidents: VecDeque<RecentIncident>,
    proposers: VecDeque<Address>,
    signers: VecDeque<(Height, Vec<Address>)>,
    origins: BTreeMap<String, Origin>,
    agreed: BTreeMap<String, Timestamp>,
    /// Incidents since genesis, as far as this node has seen.
    pub incidents_total: u64,
}

impl Index {
    /// An index that knows where each source's data comes from.
    pub fn new(origins: BTreeMap<String, Origin>) -> Index {
        Index { origins, ..Index::default() }
    }

    /// Height of the newest block that was taken in.
    pub const fn height(&self) -> Height {
        self.height
    }

    /// Takes in a committed block and what its execution caused; `false` where it has been taken in before. Who signed is
    /// read from the commit of its parent, which is the same at every node and has the precommits that came after the
    /// decision too; the block's own certificate here holds only the first two thirds.
    pub fn block(&mut self, block: &Block, events: &[LedgerEvent]) -> bool {
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
        for event in events {
            self.next += 1;
            let number = self.next;
            match event {
                LedgerEvent::Windows(WindowsEvent::ChunkAccepted {
                    source,
                    origin,
                    window,
                    stream,
                    cid,
                    bytes,
                    events,
                    attesters,
                    height,
                }) => {
                    self.agreed.insert(source.clone(), time);
                    let chunk = RecentChunk {
                        number,
                        source: source.clone(),
                        window: *window,
                        stream: stream.clone(),
                        origin: *origin,
                        accepted: Some((*cid, *bytes, *events)),
                        attesters: attesters.clone(),
                        differing: Vec::new(),
                        height: *height,
                    };
                    push(&mut self.chunks, chunk, CHUNKS_MAX);
                }
                LedgerEvent::Windows(WindowsEvent::WindowClosed { source, window, disputed, height, .. }) => {
                    for stream in disputed {
                        self.next += 1;
                        let chunk = RecentChunk {
                            number: self.next,
                            source: source.clone(),
                            window: *window,
                            stream: stream.clone(),
                            origin: self.origins.get(source).copied().unwrap_or(Origin::Live),
                            accepted: None,
                            attesters: Vec::new(),
                            differing: Vec::new(),
                            height: *height,
                        };
                        push(&mut self.chunks, chunk, CHUNKS_MAX);
                    }
                }
                LedgerEvent::Incident(incident) => {
                    self.mark_differing(incident);
                    self.incidents_total += 1;
                    let recent = RecentIncident { number, time, incident: incident.clone() };
                    push(&mut self.incidents, recent, INCIDENTS_MAX);
                }
                LedgerEvent::Windows(WindowsEvent::Attested { source, window, validator, .. }) => {
                    self.mark_agreeing(source, *window, *validator);
                }
                LedgerEvent::Sources(SourcesEvent::SourceRegistered { .. })
                | LedgerEvent::Accounts(AccountsEvent::Transferred { .. }) => {}
            }
        }
        true
    }

    /// Who attests a window after its chunks were accepted agrees to those in which it was not named as differing.
    fn mark_agreeing(&mut self, source: &str, window: u64, validator: Address) {
        let of_window = self.chunks.iter_mut().filter(|c| c.window == window && c.source == source);
        for chunk in of_window.filter(|c| c.accepted.is_some() && !c.differing.contains(&validator)) {
            if !chunk.attesters.contains(&validator) {
                chunk.attesters.push(validator);
            }
        }
    }

    fn mark_differing(&mut self, incident: &LedgerIncident) {
        let (IncidentKind::Differing, Some(validator), Some(stream)) =
            (incident.kind, incident.validator, &incident.stream)
        else {
            return;
        };
        let chunk = self
            .chunks
            .iter_mut()
            .rev()
            .find(|c| c.source == incident.source && c.window == incident.window && c.stream == *stream);
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
        self.chunks.iter().rev().find(|c| c.accepted.is_some_and(|(id, _, _)| id == *cid))
    }

    /// Of the recent blocks: how many there are, how many this validator signed and proposed, and the last it signed.
    pub fn signatures(&self, validator: &Address) -> (u64, u64, u64, Option<Height>) {
        let signed = self.signers.iter().filter(|(_, signers)| signers.contains(validator));
        let last = signed.clone().map(|(height, _)| *height).max();
        let proposed = self.proposers.iter().filter(|p| *p == validator).count();
        (self.signers.len() as u64, signed.count() as u64, proposed as u64, last)
    }
}

fn push<T>(queue: &mut VecDeque<T>, item: T, max: usize) {
    queue.push_back(item);
    if queue.len() > max {
        queue.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openmesh_ledger::{Certificate, HEADER_VERSION};
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
        };
        Block { header, last_commit, transactions: Vec::new() }
    }

    #[test]
    fn a_block_is_taken_in_once() {
        let mut index = Index::new(BTreeMap::new());
        assert!(index.block(&block(4, None), &[accepted(1, 4)]), "a node may begin with any height");
        for seen in [4, 3] {
            assert!(!index.block(&block(seen, None), &[accepted(1, seen)]));
        }
        assert!(index.block(&block(5, None), &[accepted(2, 5)]));
        assert_eq!((index.height(), index.chunks(None).count()), (5, 2));
        assert_eq!((index.agreed_at("kraken"), index.agreed_at("okx")), (Some(Timestamp(0)), None));
        assert_eq!(index.signatures(&Address([1; 20])).2, 2, "proposed");
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
        let mut index = Index::new(BTreeMap::new());
        let commit = |height| Certificate {
            height,
            round: 0,
            block_hash: Digest::ZERO,
            signatures: vec![(Address([1; 20]), openmesh_primitives::ValidatorSignature([0; 64]))],
        };
        let (liar, late) = (Address([9; 20]), Address([2; 20]));
        let attested = |window, validator| {
            LedgerEvent::Windows(WindowsEvent::Attested { source: "kraken".into(), window, validator, height: 3 })
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
        for (height, events) in [
            (1, vec![accepted(1, 1)]),
            (2, vec![accepted(2, 2), LedgerEvent::Incident(incident)]),
            (3, vec![accepted(3, 3), attested(2, liar), attested(2, late), attested(2, Address([1; 20]))]),
        ] {
            let last_commit = (height > 1).then(|| commit(height - 1));
            assert!(index.block(&block(height, last_commit), &events));
        }
        let windows: Vec<u64> = index.chunks(None).map(|c| c.window).collect();
        assert_eq!(windows, [3, 2, 1]);
        let second = index.chunks(None).nth(1).unwrap();
        assert_eq!(second.differing, [liar]);
        assert_eq!(second.attesters, [Address([1; 20]), late], "who says the same later agrees too");
        assert_eq!(index.chunks(Some(second.number)).map(|c| c.window).collect::<Vec<_>>(), [1]);
        assert_eq!(index.signatures(&Address([1; 20])), (2, 2, 3, Some(2)));
        assert_eq!(index.signatures(&liar), (2, 0, 0, None));
        assert_eq!(index.incidents(None).count(), 1);
    }
}
