//! Rows of a committed block. Pure: the same block and register give the same rows.

use std::collections::BTreeMap;

use openmesh_lake::{
    AcceptedChunkMeta, LedgerBlock, LedgerBlockRow, LedgerChunkOutcome, LedgerChunkRow, LedgerIncidentRow,
    LedgerTransactionRow,
};
use openmesh_ledger::{
    Block, Certificate, LedgerEvent, Receipt, SourceKind, StateError, StateRead, Transaction, WindowsEvent,
    retired_source, sources,
};
use openmesh_primitives::{Timestamp, canonical};

/// The register of sources as far as rows need it: the kind and the length of the windows of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Register(BTreeMap<String, (SourceKind, u64)>);

impl Register {
    /// Reads the register. Fails where the state cannot be read.
    pub fn read(state: &impl StateRead) -> Result<Register, StateError> {
        Ok(Register(sources(state)?.into_iter().map(|s| (s.spec.id, (s.spec.kind, s.spec.window_ms))).collect()))
    }

    /// Returns true when the events of a block change it.
    pub fn is_changed_by(events: &[LedgerEvent]) -> bool {
        events.iter().any(|event| matches!(event, LedgerEvent::Sources(_)))
    }

    /// Ids in the events of a block that it does not have: sources that have left the register since, where blocks come late to
    /// the tables, or whose last windows closed afterwards.
    pub fn lacking<'a>(&self, events: &'a [LedgerEvent]) -> Vec<&'a str> {
        let of_windows = events.iter().filter_map(|event| match event {
            LedgerEvent::Windows(
                WindowsEvent::ChunkAccepted { source, .. } | WindowsEvent::WindowClosed { source, .. },
            ) => Some(source.as_str()),
            _ => None,
        });
        of_windows.filter(|id| !self.0.contains_key(*id)).collect()
    }

    /// Reads what the state still knows of these sources. Fails where it cannot be read.
    pub fn recall(&mut self, state: &impl StateRead, ids: &[&str]) -> Result<(), StateError> {
        for id in ids {
            if let Some(record) = retired_source(state, id)? {
                self.0.insert(record.spec.id, (record.spec.kind, record.spec.window_ms));
            }
        }
        Ok(())
    }

    /// Start and end (exclusive) of a window. A chain's windows are block numbers, without times of their own: the time
    /// of the block that decided on it stands in.
    fn span(&self, source: &str, window: u64, decided: Timestamp) -> (Timestamp, Timestamp) {
        match self.0.get(source) {
            Some((SourceKind::Market, length_ms)) => {
                let at =
                    |w: u64| Timestamp::from_millis(i64::try_from(w.saturating_mul(*length_ms)).unwrap_or(i64::MAX));
                (at(window), at(window.saturating_add(1)))
            }
            _ => (decided, decided),
        }
    }

    fn chunk(&self, source: &str, window: u64, stream: &str, decided: Timestamp) -> LedgerChunkRow {
        let (window_start, window_end) = self.span(source, window, decided);
        LedgerChunkRow {
            source: source.into(),
            window,
            window_start,
            window_end,
            stream: stream.into(),
            ..LedgerChunkRow::default()
        }
    }

    /// The rows of a block.
    pub fn rows(
        &self,
        block: &Block,
        certificate: &Certificate,
        receipts: &[Receipt],
        events: &[LedgerEvent],
    ) -> LedgerBlock {
        let time = block.header.time;
        let transactions = block.transactions.iter().zip(receipts).map(|(bytes, receipt)| transaction(bytes, receipt));
        let (mut chunks, mut incidents) = (Vec::new(), Vec::new());
        for event in events {
            match event {
                LedgerEvent::Windows(WindowsEvent::ChunkAccepted {
                    source,
                    window,
                    stream,
                    cid,
                    bytes,
                    events,
                    attesters,
                    ..
                }) => {
                    chunks.push(LedgerChunkRow {
                        outcome: LedgerChunkOutcome::Accepted { cid: cid.to_string() },
                        bytes: *bytes,
                        events: u64::from(*events),
                        attesters: attesters.iter().map(ToString::to_string).collect(),
                        ..self.chunk(source, *window, stream, time)
                    });
                }
                LedgerEvent::Windows(WindowsEvent::WindowClosed { source, window, disputed, uncovered, .. }) => {
                    let disputed = disputed.iter().map(|stream| (stream, LedgerChunkOutcome::Disputed));
                    let undecided = disputed.chain(uncovered.iter().map(|s| (s, LedgerChunkOutcome::Uncovered)));
                    chunks.extend(undecided.map(|(stream, outcome)| LedgerChunkRow {
                        outcome,
                        ..self.chunk(source, *window, stream, time)
                    }));
                }
                LedgerEvent::Incident(incident) => incidents.push(LedgerIncidentRow {
                    kind: incident.kind.as_str().into(),
                    source: incident.source.clone(),
                    window: incident.window,
                    stream: incident.stream.clone(),
                    validator: incident.validator.map(|v| v.to_string()),
                    detail: incident.detail.clone(),
                }),
                LedgerEvent::Windows(WindowsEvent::Attested { .. } | WindowsEvent::Differed { .. })
                | LedgerEvent::Sources(_)
                | LedgerEvent::Accounts(_)
                | LedgerEvent::Epochs(_)
                | LedgerEvent::Fees(_)
                | LedgerEvent::Deposits(_)
                | LedgerEvent::Stamps(_)
                | LedgerEvent::Upgrades(_) => {}
            }
        }
        LedgerBlock { transactions: transactions.collect(), block: header(block, certificate), chunks, incidents }
    }
}

fn header(block: &Block, certificate: &Certificate) -> LedgerBlockRow {
    let header = &block.header;
    LedgerBlockRow {
        height: header.height,
        time: header.time,
        hash: header.hash().to_string(),
        parent: header.parent.to_string(),
        state_root: header.state_root.to_string(),
        transactions_root: header.transactions_root.to_string(),
        proposer: header.proposer.to_string(),
        round: certificate.round,
        bytes: block.transaction_bytes(),
        signatures: certificate.signatures.len() as u64,
    }
}

fn transaction(bytes: &[u8], receipt: &Receipt) -> LedgerTransactionRow {
    let action = match canonical::decode::<Transaction>(bytes) {
        Ok(Transaction::Account(transaction)) => transaction.action.descriptor().kind,
        Ok(Transaction::Attestation(_)) => "attest",
        Ok(Transaction::Commitment(_)) => "commit",
        Ok(Transaction::Evidence(_)) => "evidence",
        Ok(Transaction::Upgrade(ballot)) => ballot.vote.kind(),
        Err(_) => "unknown",
    };
    LedgerTransactionRow {
        hash: receipt.hash.to_string(),
        class: receipt.class.as_str().into(),
        sender: receipt.sender.map_or_else(String::new, |s| s.to_string()),
        action: action.into(),
        // What no column holds: no account ever comes so far, so it is a transaction that was refused.
        nonce: receipt.nonce.filter(|nonce| i64::try_from(*nonce).is_ok()),
        fee: receipt.fee,
        bytes: bytes.len() as u64,
        error: receipt.error.as_ref().map(|e| e.code().into()),
    }
}

/// The chunks that a block accepted, in its order.
pub fn accepted(events: &[LedgerEvent]) -> impl Iterator<Item = AcceptedChunkMeta> + '_ {
    events.iter().filter_map(|event| match event {
        LedgerEvent::Windows(WindowsEvent::ChunkAccepted { source, origin, window, stream, cid, height, .. }) => {
            Some(AcceptedChunkMeta {
                source: source.clone(),
                origin: origin.as_str().into(),
                cid: *cid,
                window: *window,
                stream: stream.clone(),
                height: *height,
            })
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use openmesh_ledger::{HEADER_VERSION, Header, Origin, SourceRecord, SourceSpec, keys};
    use openmesh_primitives::{Address, Digest};

    fn closed(source: &str) -> LedgerEvent {
        LedgerEvent::Windows(WindowsEvent::WindowClosed {
            source: source.into(),
            window: 5,
            epoch: 1,
            accepted: 0,
            disputed: vec!["BTC.USD/trades".into()],
            uncovered: vec!["BTC.USD/book".into()],
            missing: Vec::new(),
            height: 9,
        })
    }

    #[test]
    fn windows_of_a_source_that_has_left_the_register_have_their_times() {
        let spec = SourceSpec {
            id: "gone".into(),
            exchange: "venue".into(),
            kind: SourceKind::Market,
            symbols: Vec::new(),
            feeds: Vec::new(),
            window_ms: 10_000,
            origin: Origin::Replay,
        };
        let record = SourceRecord {
            spec,
            owner: None,
            registered_height: 1,
            registered_time: Timestamp(0),
            active_from_epoch: 0,
            changed: None,
            retires_from_epoch: Some(1),
        };
        let state = BTreeMap::from([(keys::retired_source("gone"), canonical::encode(&record))]);
        let (mut register, events) = (Register::default(), [closed("gone"), closed("nowhere")]);
        assert_eq!(register.lacking(&events), ["gone", "nowhere"]);
        register.recall(&state, &register.lacking(&events)).unwrap();
        assert_eq!(register.lacking(&events), ["nowhere"]);
        let times = (Timestamp::from_millis(50_000), Timestamp::from_millis(60_000));
        assert_eq!(register.span("gone", 5, Timestamp(7)), times);
        assert_eq!(register.span("nowhere", 5, Timestamp(7)), (Timestamp(7), Timestamp(7)));
    }

    #[test]
    fn a_stream_that_too_few_covered_is_no_dispute() {
        let header = Header {
            version: HEADER_VERSION,
            chain_id: 7,
            height: 9,
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
        let block = Block { header, last_commit: None, transactions: Vec::new() };
        let certificate = Certificate { height: 9, round: 0, block_hash: Digest::ZERO, signatures: Vec::new() };
        let rows = Register::default().rows(&block, &certificate, &[], &[closed("kraken")]);
        let outcomes: Vec<_> = rows.chunks.into_iter().map(|c| (c.stream, c.outcome)).collect();
        assert_eq!(
            outcomes,
            [
                ("BTC.USD/trades".into(), LedgerChunkOutcome::Disputed),
                ("BTC.USD/book".into(), LedgerChunkOutcome::Uncovered)
            ]
        );
    }
}
