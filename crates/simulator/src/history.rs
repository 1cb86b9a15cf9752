//! The history that all honest validators must share, and the checks of each block.

use std::collections::{BTreeMap, BTreeSet};

use openmesh_engine::CommittedBlock;
use openmesh_ledger::{IncidentKind, LedgerEvent, WindowsEvent};
use openmesh_primitives::{Address, Digest, Height};

use crate::check::{Report, Violation};
use crate::workload::honest_chunk;

/// Heights that are remembered below the newest: more than any validator is ever behind.
const HEIGHTS_KEPT: Height = 20_000;
/// Windows of each source that are remembered below the newest: more than stay open.
const WINDOWS_KEPT: u64 = 2_000;

/// Blocks and states by height, agreed chunks, and the report of the run.
pub struct History {
    /// Block and state after it.
    chain: BTreeMap<Height, (Digest, Digest)>,
    /// Chunks by window, source and stream.
    accepted: BTreeSet<(u64, String, String)>,
    liar: Option<Address>,
    pub report: Report,
}

impl History {
    /// An empty history of a network with this liar.
    pub fn new(liar: Option<Address>) -> History {
        let report = Report {
            height: 0,
            messages: 0,
            crashes: 0,
            round: 0,
            late: 0,
            equivocations: 0,
            windows: 0,
            chunks: 0,
            transfers: 0,
            trace: Digest::ZERO,
        };
        History { chain: BTreeMap::new(), accepted: BTreeSet::new(), liar, report }
    }

    /// Notes the block of an honest validator at a height, and its state where it is known.
    ///
    /// Fails if another honest validator has another one.
    pub fn same(
        &mut self,
        validator: usize,
        height: Height,
        block: Digest,
        state: Option<Digest>,
    ) -> Result<(), Violation> {
        match self.chain.get(&height) {
            Some((known, root)) if *known != block || state.is_some_and(|state| state != *root) => {
                Err(Violation::Fork { height, validator, block, state: state.unwrap_or(Digest::ZERO) })
            }
            Some(_) => Ok(()),
            None => {
                if let Some(state) = state {
                    self.chain.insert(height, (block, state));
                    while self.chain.first_key_value().is_some_and(|(first, _)| first + HEIGHTS_KEPT < height) {
                        self.chain.pop_first();
                    }
                }
                Ok(())
            }
        }
    }

    /// Notes a block that an honest validator committed, and judges it if it is the first to do so.
    ///
    /// Fails if the block is not as it must be.
    pub fn committed(&mut self, validator: usize, block: &CommittedBlock) -> Result<(), Violation> {
        let height = block.block.header.height;
        let first = !self.chain.contains_key(&height);
        self.same(validator, height, block.hash, Some(block.state_root))?;
        if !first {
            return Ok(());
        }
        if block.block.last_commit.is_some() != (height > 1) {
            return Err(Violation::NoCommit(height));
        }
        self.report.round = self.report.round.max(block.certificate.round);
        self.report.late += u64::from(block.certificate.round > 0);
        self.report.transfers += block.receipts.iter().filter(|r| r.ok() && r.nonce.is_some()).count() as u64;
        block.events.iter().try_for_each(|event| self.judge(event))
    }

    fn judge(&mut self, event: &LedgerEvent) -> Result<(), Violation> {
        match event {
            LedgerEvent::Windows(WindowsEvent::ChunkAccepted { source, window, stream, cid, .. }) => {
                self.report.chunks += 1;
                let new = self.accepted.insert((*window, source.clone(), stream.clone()));
                while self.accepted.first().is_some_and(|(first, ..)| first + WINDOWS_KEPT < *window) {
                    self.accepted.pop_first();
                }
                if *cid != honest_chunk(source, *window, stream) || !new {
                    return Err(Violation::Chunk { window: *window });
                }
            }
            LedgerEvent::Windows(WindowsEvent::WindowClosed { .. }) => self.report.windows += 1,
            LedgerEvent::Incident(incident) => match incident.kind {
                IncidentKind::Equivocation | IncidentKind::Differing
                    if incident.validator != self.liar || self.liar.is_none() =>
                {
                    return Err(Violation::Slander(incident.detail.clone()));
                }
                IncidentKind::Equivocation => self.report.equivocations += 1,
                _ => {}
            },
            _ => {}
        }
        Ok(())
    }
}
