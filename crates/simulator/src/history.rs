//! The history that all honest validators must share, and the checks of each block.

use std::collections::{BTreeMap, BTreeSet};

use openmesh_engine::CommittedBlock;
use openmesh_ledger::{
    Class, Genesis, IncidentKind, LedgerEvent, UpgradesEvent, ValidatorSet, WindowsEvent, first_beacon, light,
};
use openmesh_primitives::{Address, Digest, Height};

use crate::check::{Report, Violation};
use crate::workload::honest_chunk;

/// Heights that are remembered below the newest: more than any validator is ever behind.
const HEIGHTS_KEPT: Height = 20_000;
/// Measures of agreement that are kept: those of a short run.
const MEASURES_MAX: usize = 10_000;
/// Windows of each source that are remembered below the newest: more than stay open.
const WINDOWS_KEPT: u64 = 2_000;

/// Blocks and states by height, agreed chunks, and the report of the run.
pub struct History {
    /// Block and state after it.
    chain: BTreeMap<Height, (Digest, Digest)>,
    /// Chunks by window, source and stream.
    accepted: BTreeSet<(u64, String, String)>,
    liar: Option<Address>,
    copies: bool,
    /// Room that is reserved for validators' words in a block, bytes.
    reserved: u64,
    /// The validators, of whom none joins or leaves.
    validators: Option<ValidatorSet>,
    /// The beacon as a follower of the headers computes it, and the height after which it is that.
    beacon: (Height, Digest),
    /// The last block when the first collector closed a window, by window and source.
    ends: BTreeMap<(u64, String), Height>,
    /// The highest block that any honest validator has committed.
    tip: Height,
    pub report: Report,
}

impl History {
    /// An empty history of a network with this liar; `copies`: it is one that copies.
    pub fn new(genesis: &Genesis, liar: Option<Address>, copies: bool) -> History {
        let report = Report {
            height: 0,
            messages: 0,
            crashes: 0,
            round: 0,
            late: 0,
            equivocations: 0,
            copied: 0,
            agreement_blocks: Vec::new(),
            windows: 0,
            chunks: 0,
            transfers: 0,
            crowded: 0,
            stops: 0,
            upgrades: 0,
            lapses: 0,
            trace: Digest::ZERO,
        };
        let (validators, beacon) = (genesis.validator_set().ok(), (0, first_beacon(&genesis.hash())));
        let (chain, accepted, ends) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
        let reserved = genesis.params.blocks.attestation_bytes_reserved;
        History { chain, accepted, liar, copies, reserved, validators, beacon, ends, tip: 0, report }
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
        self.tip = self.tip.max(height);
        if block.block.last_commit.is_some() != (height > 1) {
            return Err(Violation::NoCommit(height));
        }
        self.follow_beacon(block)?;
        self.report.round = self.report.round.max(block.certificate.round);
        self.report.late += u64::from(block.certificate.round > 0);
        self.report.transfers += block.receipts.iter().filter(|r| r.ok() && r.nonce.is_some()).count() as u64;
        self.report.crowded += u64::from(self.is_crowded(block));
        block.events.iter().try_for_each(|event| self.judge(event))
    }

    fn is_crowded(&self, block: &CommittedBlock) -> bool {
        let all = block.receipts.iter().zip(&block.block.transactions);
        let of_validators = all.filter(|(receipt, _)| receipt.class != Class::Account);
        let bytes: u64 = of_validators.map(|(_, bytes)| bytes.len() as u64).sum();
        bytes > self.reserved && block.events.iter().any(|event| matches!(event, LedgerEvent::Stamps(_)))
    }

    /// Notes that a collector has closed a window.
    pub fn ended(&mut self, source: &str, window: u64) {
        let tip = self.tip;
        self.ends.entry((window, source.to_owned())).or_insert(tip);
        while self.ends.first_key_value().is_some_and(|((first, _), _)| first + WINDOWS_KEPT < window) {
            self.ends.pop_first();
        }
    }

    /// Measures how many blocks a chunk took from the end of its window.
    fn measure_agreement(&mut self, source: &str, window: u64, height: Height) {
        let measures = &mut self.report.agreement_blocks;
        if let Some(end) = self.ends.get(&(window, source.to_owned())).filter(|_| measures.len() < MEASURES_MAX) {
            measures.push(height.saturating_sub(*end));
        }
    }

    /// Takes the beacon's step of a block that follows the last one that was seen.
    fn follow_beacon(&mut self, block: &CommittedBlock) -> Result<(), Violation> {
        let (header, Some(set)) = (&block.block.header, &self.validators) else { return Ok(()) };
        if header.height == self.beacon.0 + 1 {
            let after = light::beacon_after(&self.beacon.1, header, set, set);
            self.beacon = (header.height, after.map_err(|_| Violation::Beacon(header.height))?);
        }
        Ok(())
    }

    fn judge(&mut self, event: &LedgerEvent) -> Result<(), Violation> {
        match event {
            LedgerEvent::Windows(WindowsEvent::ChunkAccepted {
                source,
                window,
                stream,
                cid,
                attesters,
                height,
                ..
            }) => {
                self.report.chunks += 1;
                self.measure_agreement(source, *window, *height);
                // Whoever copies has opened nothing, so its word is behind no chunk.
                if self.copies && self.liar.is_some_and(|liar| attesters.contains(&liar)) {
                    return Err(Violation::CopyCounted { window: *window });
                }
                let new = self.accepted.insert((*window, source.clone(), stream.clone()));
                while self.accepted.first().is_some_and(|(first, ..)| first + WINDOWS_KEPT < *window) {
                    self.accepted.pop_first();
                }
                if *cid != honest_chunk(source, *window, stream) || !new {
                    return Err(Violation::Chunk { window: *window });
                }
            }
            LedgerEvent::Windows(WindowsEvent::WindowClosed { .. }) => self.report.windows += 1,
            LedgerEvent::Upgrades(UpgradesEvent::Upgraded { .. }) => self.report.upgrades += 1,
            LedgerEvent::Upgrades(UpgradesEvent::Lapsed(_)) => self.report.lapses += 1,
            LedgerEvent::Incident(incident) => match incident.kind {
                IncidentKind::Equivocation | IncidentKind::Differing | IncidentKind::Copied
                    if incident.validator != self.liar || self.liar.is_none() =>
                {
                    return Err(Violation::Slander(incident.detail.clone()));
                }
                IncidentKind::Equivocation => self.report.equivocations += 1,
                IncidentKind::Copied => self.report.copied += 1,
                _ => {}
            },
            _ => {}
        }
        Ok(())
    }
}
