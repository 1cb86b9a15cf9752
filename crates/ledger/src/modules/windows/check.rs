//! Checks of attestations and commitments, in the order in which clauses A and K of `docs/spec/transactions.md` list them.

use openmesh_primitives::Address;

use super::attestation::Attestation;
use super::commitment::Commitment;
use super::error::WindowsError;
use super::limits::WINDOW_NUMBER_MAX;
use super::phases::commitments_over;
use super::records::{WindowRecord, source_progress, window};
use crate::error::CheckError;
use crate::modules::epochs::{assign, epoch};
use crate::modules::sources::{SourceKind, SourceRecord, SourcesError, source};
use crate::modules::validators::validator_record;
use crate::rules::Rules;
use crate::state::StateRead;

/// An attestation or commitment that may take effect: its window with the rules that hold for it.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    pub source: SourceRecord,
    pub window: WindowRecord,
    /// True if it is the window's first.
    pub opens: bool,
}

/// A window as a validator's transaction names it.
#[derive(Clone, Copy)]
struct Named<'a> {
    source: &'a SourceRecord,
    window: u64,
    epoch: u64,
    validator: Address,
}

/// Clause A: checks an attestation whose signature was verified.
pub(crate) fn check(
    rules: &Rules,
    state: &dyn StateRead,
    attestation: &Attestation,
    validator: Address,
) -> Result<Admission, CheckError> {
    rules.chain(attestation.chain_id)?;
    let source = known_source(state, &attestation.source)?;
    check_streams(rules, &source, attestation)?;
    let (window, epoch) = (attestation.window, attestation.epoch);
    let (window, opens) = find(rules, state, Named { source: &source, window, epoch, validator })?;
    if window.attested.contains(&validator) {
        return Err(WindowsError::DuplicateAttestation { validator }.into());
    }
    if rules.params.windows.commitments {
        opening(rules, &window, opens, attestation, validator)?;
    } else if opens {
        may_open(rules, state, validator)?;
    }
    Ok(Admission { source, window, opens })
}

/// Clause K: checks a commitment whose signature was verified.
pub(crate) fn check_commitment(
    rules: &Rules,
    state: &dyn StateRead,
    commitment: &Commitment,
    validator: Address,
) -> Result<Admission, CheckError> {
    rules.chain(commitment.chain_id)?;
    if !rules.params.windows.commitments {
        return Err(WindowsError::CommitmentsOff.into());
    }
    let source = known_source(state, &commitment.source)?;
    let (window, epoch) = (commitment.window, commitment.epoch);
    let (window, opens) = find(rules, state, Named { source: &source, window, epoch, validator })?;
    if window.seal_of(&validator).is_some() {
        return Err(WindowsError::DuplicateCommitment { validator }.into());
    }
    if window.attested.contains(&validator) {
        return Err(WindowsError::DuplicateAttestation { validator }.into());
    }
    if !opens && commitments_over(&window, rules) {
        return Err(WindowsError::CommitmentLate.into());
    }
    if opens {
        may_open(rules, state, validator)?;
    }
    Ok(Admission { source, window, opens })
}

/// Clause K: an attestation opens what its validator has committed to, once nobody can commit any more. One that abstains from every
/// stream says nothing that could be copied, and needs no commitment. In front of the mempool the block that makes an attestation
/// right may not have come yet: then it waits.
fn opening(
    rules: &Rules,
    window: &WindowRecord,
    opens: bool,
    attestation: &Attestation,
    validator: Address,
) -> Result<(), WindowsError> {
    let over = !opens && commitments_over(window, rules);
    let may_come = rules.waits && !over;
    match window.seal_of(&validator) {
        None if may_come || (!opens && attestation.abstains_from_all()) => Ok(()),
        None => Err(WindowsError::NoCommitment { validator }),
        Some(committed) => {
            let got = attestation.seal();
            if committed != got {
                return Err(WindowsError::CommitmentMismatch { validator, committed, got });
            }
            if over || rules.waits { Ok(()) } else { Err(WindowsError::CommitmentsOpen) }
        }
    }
}

/// The window that is named, or a new one that it would open: its time has come, and the validator is assigned to it.
fn find(rules: &Rules, state: &dyn StateRead, named: Named<'_>) -> Result<(WindowRecord, bool), CheckError> {
    let Named { source, window: number, epoch, validator } = named;
    window_time(rules, source, number)?;
    let (window, opens) = match window(state, &source.spec.id, number)? {
        Some(window) => (open_window(window, epoch)?, false),
        None => (new_window(rules, state, named)?, true),
    };
    if window.power_of(&validator).is_none() {
        return Err(WindowsError::NotAssigned { validator, epoch: window.epoch }.into());
    }
    Ok((window, opens))
}

fn known_source(state: &dyn StateRead, id: &str) -> Result<SourceRecord, CheckError> {
    let unknown = || SourcesError::UnknownSource { id: id.chars().take(64).collect() };
    Ok(source(state, id)?.ok_or_else(unknown)?)
}

/// The lists are in order, and the source has the streams that are spoken of.
fn check_streams(rules: &Rules, source: &SourceRecord, attestation: &Attestation) -> Result<(), WindowsError> {
    if let Some(reason) = attestation.claims_fault() {
        return Err(WindowsError::Claims { reason: reason.to_string() });
    }
    match attestation.streams().find(|stream| !source.has_stream(stream, rules.epoch)) {
        Some(stream) => Err(WindowsError::UnknownStream { stream: stream.chars().take(80).collect() }),
        None => Ok(()),
    }
}

/// A window of a market must have ended, give or take the clocks' tolerance: a simulated market has this machine's clock, a
/// recording's lies in the past. A chain's windows are blocks, which have numbers and no times.
fn window_time(rules: &Rules, source: &SourceRecord, window: u64) -> Result<(), WindowsError> {
    if source.spec.kind == SourceKind::Chain {
        let max = WINDOW_NUMBER_MAX;
        return if window <= max { Ok(()) } else { Err(WindowsError::WindowNumber { max }) };
    }
    let (end_ms, time_ms) = (source.spec.window_end_ms(window), rules.time.millis());
    let latest = i128::from(time_ms) + i128::from(rules.window_ahead_ms_max);
    if end_ms > latest {
        return Err(WindowsError::WindowAhead { end_ms: u64::try_from(end_ms).unwrap_or(u64::MAX), time_ms });
    }
    Ok(())
}

/// An open window keeps its epoch for as long as it is open, however many epochs begin meanwhile.
fn open_window(window: WindowRecord, got: u64) -> Result<WindowRecord, WindowsError> {
    if window.closed {
        return Err(WindowsError::WindowClosed { height: window.closes_at });
    }
    let pinned = window.epoch;
    if got == pinned { Ok(window) } else { Err(WindowsError::PinnedEpoch { pinned, got }) }
}

/// The first word on a window pins the current epoch or the one before.
fn new_window(rules: &Rules, state: &dyn StateRead, named: Named<'_>) -> Result<WindowRecord, CheckError> {
    let Named { source, window, epoch: got, validator } = named;
    let current = rules.epoch;
    if got > current || current - got > 1 {
        return Err(WindowsError::WrongEpoch { current, got }.into());
    }
    if let Some(from_epoch) = source.retires_from_epoch.filter(|from| got >= *from || current >= *from) {
        return Err(SourcesError::SourceRetired { id: source.spec.id.clone(), from_epoch }.into());
    }
    check_first(rules, state, source, window)?;
    if got < source.active_from_epoch {
        return Err(WindowsError::SourceNotActive { from_epoch: source.active_from_epoch }.into());
    }
    let record = epoch(state, got)?.ok_or(WindowsError::WrongEpoch { current, got })?;
    let assigned = assign(&record, &source.spec.id, rules.params.sources.assigned_per_source);
    Ok(WindowRecord::new(got, assigned.iter().map(|v| (v.address, v.power)).collect(), validator))
}

/// A window that lies too far in the past is not opened: before the registration of a live source, long before the last
/// window, or where the windows may have left the state. So there are not more windows to open than time makes.
fn check_first(rules: &Rules, state: &dyn StateRead, source: &SourceRecord, window: u64) -> Result<(), CheckError> {
    let progress = source_progress(state, &source.spec.id)?;
    let back = rules.params.windows.windows_back_max;
    let near = progress.last_window.map_or(0, |last| last.saturating_sub(back));
    let first = progress.first_window.max(near).max(source.first_window());
    if window < first { Err(WindowsError::WindowPast { first }.into()) } else { Ok(()) }
}

/// Attestations pay no fee, so the number of windows that a liar can open is limited in another way.
fn may_open(rules: &Rules, state: &dyn StateRead, validator: Address) -> Result<(), CheckError> {
    let max = rules.params.windows.open_windows_max;
    let open = validator_record(state, &validator)?.map_or(0, |record| record.windows_alone(rules.epoch));
    if open >= max { Err(WindowsError::OpenWindows { max }.into()) } else { Ok(()) }
}
