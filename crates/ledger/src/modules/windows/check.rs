//! Check of an attestation, in the order in which clause A of `docs/spec/transactions.md` lists it.

use openmesh_primitives::Address;

use super::attestation::Attestation;
use super::error::WindowsError;
use super::limits::WINDOW_NUMBER_MAX;
use super::records::{WindowRecord, source_progress, window};
use crate::error::CheckError;
use crate::modules::epochs::{assign, epoch};
use crate::modules::sources::{SourceKind, SourceRecord, SourcesError, source};
use crate::modules::validators::validator_record;
use crate::rules::Rules;
use crate::state::StateRead;

/// An attestation that may take effect: its window with the rules that hold for it.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    pub source: SourceRecord,
    pub window: WindowRecord,
    /// True if the attestation is the window's first.
    pub opens: bool,
}

/// Clause A: checks an attestation whose signature was verified.
pub(crate) fn check(
    rules: &Rules,
    state: &dyn StateRead,
    attestation: &Attestation,
    validator: Address,
) -> Result<Admission, CheckError> {
    rules.chain(attestation.chain_id)?;
    let source = check_source(rules, state, attestation)?;
    window_time(rules, &source, attestation.window)?;
    let (window, opens) = match window(state, &attestation.source, attestation.window)? {
        Some(window) => (later_attestation(window, attestation)?, false),
        None => (first_attestation(rules, state, &source, attestation, validator)?, true),
    };
    if window.power_of(&validator).is_none() {
        return Err(WindowsError::NotAssigned { validator, epoch: window.epoch }.into());
    }
    if window.attested.contains(&validator) {
        return Err(WindowsError::DuplicateAttestation { validator }.into());
    }
    if opens {
        may_open(rules, state, validator)?;
    }
    Ok(Admission { source, window, opens })
}

/// The source exists and has the streams that are spoken of.
fn check_source(rules: &Rules, state: &dyn StateRead, attestation: &Attestation) -> Result<SourceRecord, CheckError> {
    let unknown = || SourcesError::UnknownSource { id: attestation.source.chars().take(64).collect() };
    let source = source(state, &attestation.source)?.ok_or_else(unknown)?;
    if let Some(reason) = attestation.claims_fault() {
        return Err(WindowsError::Claims { reason: reason.to_string() }.into());
    }
    if let Some(stream) = attestation.streams().find(|stream| !source.has_stream(stream, rules.epoch)) {
        return Err(WindowsError::UnknownStream { stream: stream.chars().take(80).collect() }.into());
    }
    Ok(source)
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
fn later_attestation(window: WindowRecord, attestation: &Attestation) -> Result<WindowRecord, WindowsError> {
    if window.closed {
        return Err(WindowsError::WindowClosed { height: window.closes_at });
    }
    let (pinned, got) = (window.epoch, attestation.epoch);
    if got == pinned { Ok(window) } else { Err(WindowsError::PinnedEpoch { pinned, got }) }
}

/// The first attestation pins the current epoch or the one before.
fn first_attestation(
    rules: &Rules,
    state: &dyn StateRead,
    source: &SourceRecord,
    attestation: &Attestation,
    validator: Address,
) -> Result<WindowRecord, CheckError> {
    let (current, got) = (rules.epoch, attestation.epoch);
    if got > current || current - got > 1 {
        return Err(WindowsError::WrongEpoch { current, got }.into());
    }
    if let Some(from_epoch) = source.retires_from_epoch.filter(|from| got >= *from || current >= *from) {
        return Err(SourcesError::SourceRetired { id: source.spec.id.clone(), from_epoch }.into());
    }
    check_first(rules, state, source, attestation.window)?;
    if got < source.active_from_epoch {
        return Err(WindowsError::SourceNotActive { from_epoch: source.active_from_epoch }.into());
    }
    let record = epoch(state, got)?.ok_or(WindowsError::WrongEpoch { current, got })?;
    let assigned = assign(&record, &attestation.source, rules.params.sources.assigned_per_source);
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
