//! Facts that the ledger's state holds about attesting a window.

use std::collections::BTreeMap;

use openmesh_ledger::{self as ledger, BlockMeta, StateError, StateRead, WindowRecord, WindowsParams};
use openmesh_primitives::{Address, Digest, Height};

use crate::window::WindowName;

/// The next word that a window takes from a validator, with the next block. Clause K of `docs/spec/transactions.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// An attestation: the network asks for no commitments.
    Attest,
    /// A commitment.
    Commit,
    /// Nothing yet: the validator has committed, and others still may.
    Wait,
    /// The attestation that opens the validator's commitment.
    Open,
    /// Nothing but that it abstains from everything: it has not committed, and nobody can any more.
    Abstain,
}

/// Facts that the state after a block holds about attesting a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowFacts {
    /// Height of that block.
    pub height: Height,
    /// Somebody has committed to the window or attested it, which pinned its epoch.
    pub opened: bool,
    /// The window takes no more attestations.
    pub closed: bool,
    /// The state holds this validator's attestation.
    pub attested: bool,
    /// The epoch that an attestation names: the pinned one, or the current one.
    pub epoch: u64,
    /// This validator is assigned to the source in that epoch.
    pub assigned: bool,
    /// The word that the window takes from this validator next.
    pub step: Step,
    /// The seal under which this validator has committed.
    pub seal: Option<Digest>,
}

impl WindowFacts {
    /// Reads the facts of several windows, in their order. Fails where the state cannot be read.
    pub fn read(
        state: &impl StateRead,
        validator: &Address,
        names: &[WindowName],
    ) -> Result<Vec<WindowFacts>, StateError> {
        let meta = ledger::block_meta(state)?;
        let (height, current) = (meta.height, ledger::current_epoch(state)?);
        let params = ledger::params(state)?.windows;
        // The draw of a source is the same for all its windows of an epoch.
        let mut assigned: BTreeMap<(&str, u64), bool> = BTreeMap::new();
        let mut all = Vec::with_capacity(names.len());
        for name in names {
            let record = ledger::window(state, &name.source, name.number)?;
            let mut facts = WindowFacts {
                height,
                opened: record.is_some(),
                closed: record.as_ref().is_some_and(|r| r.closed),
                attested: record.as_ref().is_some_and(|r| r.attested.contains(validator)),
                epoch: record.as_ref().map_or(current, |r| r.epoch),
                assigned: false,
                step: step(&params, record.as_ref(), validator, &meta),
                seal: record.as_ref().and_then(|r| r.seal_of(validator)),
            };
            if !facts.closed && !facts.attested {
                let draw = (name.source.as_str(), facts.epoch);
                facts.assigned = match assigned.get(&draw) {
                    Some(known) => *known,
                    None => {
                        let drawn = ledger::assigned(state, &name.source, facts.epoch)?;
                        *assigned.entry(draw).or_insert(drawn.iter().any(|v| v.address == *validator))
                    }
                };
            }
            all.push(facts);
        }
        Ok(all)
    }
}

fn step(params: &WindowsParams, record: Option<&WindowRecord>, validator: &Address, last: &BlockMeta) -> Step {
    if !params.commitments {
        return Step::Attest;
    }
    let Some(record) = record else { return Step::Commit };
    // The next block is later than the last one: what is over by its height and that time is over then.
    let over = record.commitments_over(last.height + 1, last.time, params.commit_grace_ms);
    match (record.seal_of(validator).is_some(), over) {
        (false, false) => Step::Commit,
        (true, false) => Step::Wait,
        (true, true) => Step::Open,
        (false, true) => Step::Abstain,
    }
}
