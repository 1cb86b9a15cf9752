//! Committed blocks of our ledger to rows, and the archive's segments.
//!
//! The lake does not know the ledger's types (it must not: a query never slows the ledger, and a table never changes a
//! rule). Whoever connects the two fills these plain rows.

use openmesh_primitives::{Amount, ContentId, Timestamp, canonical, sha256};

use super::Part;
use crate::error::LakeError;
use crate::rows::Rows;
use crate::table::Table;

/// A committed block. Texts are as they are shown: hashes in hexadecimal, addresses with `0x`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LedgerBlockRow {
    /// Height, from 1.
    pub height: u64,
    /// Block time.
    pub time: Timestamp,
    /// SHA-256 of the header.
    pub hash: String,
    /// Hash of the block before.
    pub parent: String,
    /// Root of the state after the parent.
    pub state_root: String,
    /// Root of the transactions.
    pub transactions_root: String,
    /// Validator that proposed it.
    pub proposer: String,
    /// Round in which it was decided.
    pub round: i64,
    /// Size in bytes.
    pub bytes: u64,
    /// Precommits in its certificate.
    pub signatures: u64,
}

/// A transaction of the block, in the block's order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LedgerTransactionRow {
    /// SHA-256 of its bytes.
    pub hash: String,
    /// `account`, `attestation`, `evidence` or `upgrade`.
    pub class: String,
    /// Account or validator that signed it.
    pub sender: String,
    /// `transfer`, `register_source`, `attestation`.
    pub action: String,
    /// The sender's nonce; none for attestations.
    pub nonce: Option<u64>,
    /// Fee.
    pub fee: Amount,
    /// Size in bytes.
    pub bytes: u64,
    /// Code of the error where it did not take effect.
    pub error: Option<String>,
}

/// A chunk that the block accepted, or saw end without agreement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LedgerChunkRow {
    /// Source.
    pub source: String,
    /// Number of the window.
    pub window: u64,
    /// Start of the window.
    pub window_start: Timestamp,
    /// End of the window, exclusive.
    pub window_end: Timestamp,
    /// `BTC.USDT/trades`.
    pub stream: String,
    /// Outcome of the work.
    pub outcome: LedgerChunkOutcome,
    /// Size of the canonical bytes.
    pub bytes: u64,
    /// Number of events.
    pub events: u64,
    /// Validators that named this CID.
    pub attesters: Vec<String>,
}

/// Result of a stream's agreement in one window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LedgerChunkOutcome {
    /// More than two thirds of the assigned power named these bytes.
    Accepted {
        /// Their CID.
        cid: String,
    },
    /// The window closed without a quorum, and those who covered the stream differ.
    #[default]
    Disputed,
    /// The window closed without a decision, because too few covered the stream.
    Uncovered,
}

impl LedgerChunkOutcome {
    /// Columns `status` and `cid`.
    fn columns(&self) -> (&'static str, Option<&str>) {
        match self {
            LedgerChunkOutcome::Accepted { cid } => ("accepted", Some(cid)),
            LedgerChunkOutcome::Disputed => ("disputed", None),
            LedgerChunkOutcome::Uncovered => ("uncovered", None),
        }
    }
}

/// An incident that the block recorded, in the block's order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LedgerIncidentRow {
    /// `differing`, `missing`, `disputed`, `uncovered`, `equivocation` or `copied`.
    pub kind: String,
    /// Source.
    pub source: String,
    /// Number of the window.
    pub window: u64,
    /// Stream, where it concerns one.
    pub stream: Option<String>,
    /// Validator, where it concerns one.
    pub validator: Option<String>,
    /// For people.
    pub detail: String,
}

/// A segment of the raw archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawSegmentRow {
    /// Source.
    pub source: String,
    /// `live`, `simulated` or `replay`.
    pub origin: String,
    /// Validator that captured and signed it.
    pub site: String,
    /// Number of the segment of this source and site, from 0.
    pub sequence: u64,
    /// CID of the segment.
    pub cid: ContentId,
    /// Capture of the first frame.
    pub start: Timestamp,
    /// Capture of the last frame.
    pub stop: Timestamp,
    /// Frames.
    pub frames: u64,
    /// Frames before it that the site could not keep.
    pub lost: u64,
    /// Size before compression.
    pub bytes: u64,
}

/// An incident that a node noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeIncidentRow {
    /// Validator whose node noticed it.
    pub site: String,
    /// Source.
    pub source: String,
    /// Time at which it was noticed.
    pub time: Timestamp,
    /// Kind: `gap`, `chunk_withdrawn`, ...
    pub kind: String,
    /// Number of the window, where it concerns one.
    pub window: Option<u64>,
    /// Stream, where it concerns one.
    pub stream: Option<String>,
    /// For people.
    pub detail: String,
}

/// A committed block with everything it did.
#[derive(Clone, Debug, Default)]
pub struct LedgerBlock {
    /// The block.
    pub block: LedgerBlockRow,
    /// Its transactions.
    pub transactions: Vec<LedgerTransactionRow>,
    /// Chunks it decided.
    pub chunks: Vec<LedgerChunkRow>,
    /// Incidents it recorded.
    pub incidents: Vec<LedgerIncidentRow>,
}

pub(crate) fn rows(ledger: &LedgerBlock) -> Result<Vec<Part>, LakeError> {
    let (height, time) = (ledger.block.height, ledger.block.time);
    let part = |rows: Rows, table| -> Result<Part, LakeError> {
        Ok(Part { table, at: time, order: format!("{height:020}"), batch: rows.finish()? })
    };
    let mut parts = vec![part(block_row(ledger), Table::LedgerBlocks)?];
    if !ledger.transactions.is_empty() {
        parts.push(part(transaction_rows(height, time, &ledger.transactions), Table::LedgerTransactions)?);
    }
    if !ledger.chunks.is_empty() {
        parts.push(part(chunk_rows(height, time, &ledger.chunks), Table::LedgerChunks)?);
    }
    if !ledger.incidents.is_empty() {
        parts.push(part(incident_rows(height, time, &ledger.incidents), Table::LedgerIncidents)?);
    }
    Ok(parts)
}

fn block_row(ledger: &LedgerBlock) -> Rows {
    let b = &ledger.block;
    let mut rows = Rows::new(Table::LedgerBlocks);
    rows.unsigned(b.height).time(b.time).text(b.hash.as_str()).text(b.parent.as_str()).text(b.state_root.as_str());
    rows.text(b.transactions_root.as_str()).text(b.proposer.as_str()).integer(b.round);
    rows.unsigned(ledger.transactions.len() as u64).unsigned(b.bytes).unsigned(b.signatures).end();
    rows
}

fn transaction_rows(height: u64, time: Timestamp, transactions: &[LedgerTransactionRow]) -> Rows {
    let mut rows = Rows::new(Table::LedgerTransactions);
    for (at, t) in transactions.iter().enumerate() {
        rows.unsigned(height).integer(at as i64).time(time).text(t.hash.as_str()).text(t.class.as_str());
        rows.text(t.sender.as_str()).text(t.action.as_str()).unsigned(t.nonce).text(t.fee.to_string().as_str());
        rows.unsigned(t.bytes).boolean(t.error.is_none()).text(t.error.as_deref()).end();
    }
    rows
}

fn chunk_rows(height: u64, time: Timestamp, chunks: &[LedgerChunkRow]) -> Rows {
    let mut rows = Rows::new(Table::LedgerChunks);
    for c in chunks {
        // `BTC.USDT/trades`; a stream of a chain has no instrument before its feed.
        let (symbol, feed) = match c.stream.rsplit_once('/') {
            Some((symbol, feed)) => (Some(symbol), feed),
            None => (None, c.stream.as_str()),
        };
        rows.unsigned(height).time(time).text(c.source.as_str()).unsigned(c.window).time(c.window_start);
        rows.time(c.window_end).text(c.stream.as_str()).text(symbol).text(feed);
        let (status, cid) = c.outcome.columns();
        rows.text(status).text(cid);
        rows.unsigned(c.bytes).unsigned(c.events).unsigned(c.attesters.len() as u64);
        rows.text(c.attesters.join(",").as_str()).end();
    }
    rows
}

fn incident_rows(height: u64, time: Timestamp, incidents: &[LedgerIncidentRow]) -> Rows {
    let mut rows = Rows::new(Table::LedgerIncidents);
    for (at, i) in incidents.iter().enumerate() {
        rows.unsigned(height).integer(at as i64).time(time).text(i.kind.as_str()).text(i.source.as_str());
        rows.unsigned(i.window).text(i.stream.as_deref()).text(i.validator.as_deref()).text(i.detail.as_str()).end();
    }
    rows
}

pub(crate) fn raw_segment(row: &RawSegmentRow) -> Result<Part, LakeError> {
    let mut rows = Rows::new(Table::RawSegments);
    rows.text(row.source.as_str()).text(row.origin.as_str()).text(row.site.as_str()).unsigned(row.sequence);
    rows.text(row.cid.to_string().as_str()).time(row.start).time(row.stop).unsigned(row.frames).unsigned(row.lost);
    rows.unsigned(row.bytes).end();
    let order = format!("{}/{:020}", row.source, row.start.nanos());
    Ok(Part { table: Table::RawSegments, at: row.start, order, batch: rows.finish()? })
}

pub(crate) fn node_incident(row: &NodeIncidentRow) -> Result<Part, LakeError> {
    let mut rows = Rows::new(Table::NodeIncidents);
    rows.text(row.site.as_str()).text(row.source.as_str()).time(row.time).text(row.kind.as_str()).unsigned(row.window);
    rows.text(row.stream.as_deref()).text(row.detail.as_str()).end();
    let order = format!("{}/{:020}", row.source, row.time.nanos());
    Ok(Part { table: Table::NodeIncidents, at: row.time, order, batch: rows.finish()? })
}

/// The key of some incidents appended together: a hash of what they say.
pub(crate) fn node_incidents_key(rows: &[NodeIncidentRow]) -> [u8; 32] {
    let said: Vec<_> =
        rows.iter().map(|r| (&r.site, &r.source, r.time, &r.kind, r.window, &r.stream, &r.detail)).collect();
    sha256(&[b"openmesh/node-incidents/1", &canonical::encode(&said)]).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_accepted_disputed_or_uncovered_in_the_table() {
        let row = |outcome| LedgerChunkRow { stream: "BTC.USD/trades".into(), outcome, ..Default::default() };
        let outcomes = [
            LedgerChunkOutcome::Accepted { cid: "bafk".into() },
            LedgerChunkOutcome::Disputed,
            LedgerChunkOutcome::Uncovered,
        ];
        let batch = chunk_rows(1, Timestamp::from_millis(1), &outcomes.map(row)).finish().unwrap();
        let column = |name: &str| format!("{:?}", batch.column_by_name(name).unwrap());
        let places = ["accepted", "disputed", "uncovered"].map(|word| column("status").find(&format!("\"{word}\"")));
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{}", column("status"));
        assert_eq!(column("cid").matches("null").count(), 2, "{}", column("cid"));
    }
}
