//! The closing of windows whose time has come.

use std::collections::BTreeSet;

use openmesh_primitives::Address;

use super::apply::statements;
use super::events::WindowsEvent;
use super::keys;
use super::limits::GAP_WINDOWS_MAX;
use super::quorum::{Statement, describe_claim, streams, tally};
use super::records::{WindowRecord, chunk, source_progress, window};
use crate::context::Context;
use crate::modules::incidents::{self, IncidentKind, Subject};
use crate::modules::validators::{self, more_than_one_third};
use crate::state::{StateError, StateRead, readable};

/// Closes the windows whose time has come.
pub(crate) fn close_due(context: &mut Context<'_>) -> Result<(), StateError> {
    let prefix = keys::closing_at(context.height);
    // As many as were opened in one block, which its size bounds.
    let due = context.state.scan(&prefix, None, usize::MAX)?;
    for (key, _) in due {
        let parts = keys::closing_parts(&key);
        let (id, number) = parts.ok_or_else(|| StateError::Damaged {
            key: readable(&key),
            reason: "not the key of a closing window".to_string(),
        })?;
        context.state.delete(key);
        close(context, &id, number)?;
    }
    Ok(())
}

fn close(context: &mut Context<'_>, id: &str, number: u64) -> Result<(), StateError> {
    let absent = || StateError::Absent(readable(&keys::window(id, number)));
    let mut record = window(&context.state, id, number)?.ok_or_else(absent)?;
    let said = statements(&context.state, id, number, &record)?;
    record.closed = true;
    let missing = record.not_attested();
    // With less than that, everybody who attested may be lying: then nobody else is named.
    let credible = more_than_one_third(record.attested_power(), record.assigned_power());
    if credible {
        close_credible(context, id, number, &mut record, &said, &missing)?;
    } else {
        let (power, total) = (record.attested_power(), record.assigned_power());
        let detail = format!("closed with attestations of power {power} of {total} only");
        record.disputed = streams(&said).into_iter().collect();
        incidents::record(context, IncidentKind::Disputed, Subject::window(id, number), detail);
    }
    for validator in &record.attested {
        context.state.delete(keys::attestation(id, number, validator));
    }
    validators::update(context, &record.opened_by, |v| v.open_windows = v.open_windows.saturating_sub(1))?;
    update_progress(context, id, number, &record, credible)?;
    context.state.put(keys::window(id, number), &record);
    context.emit(WindowsEvent::WindowClosed {
        source: id.to_string(),
        window: number,
        epoch: record.epoch,
        accepted: record.accepted,
        disputed: record.disputed,
        missing,
        height: context.height,
    });
    Ok(())
}

/// Names the streams without agreement and the validators that said nothing.
fn close_credible(
    context: &mut Context<'_>,
    id: &str,
    number: u64,
    record: &mut WindowRecord,
    statements: &[Statement],
    missing: &[Address],
) -> Result<(), StateError> {
    for stream in streams(statements) {
        let decided = record.absent.contains(&stream) || chunk(&context.state, id, number, &stream)?.is_some();
        if decided {
            continue;
        }
        let said: Vec<String> = tally(&stream, statements)
            .iter()
            .map(|(claim, power)| format!("power {power}: {}", describe_claim(*claim)))
            .collect();
        let detail = format!("of assigned power {}, {}", record.assigned_power(), said.join("; "));
        incidents::record(context, IncidentKind::Disputed, Subject::window(id, number).stream(&stream), detail);
        record.disputed.push(stream);
    }
    name_uncovered(context, id, number, &streams(statements))?;
    for validator in missing {
        validators::update(context, validator, |v| v.missing += 1)?;
        let detail = format!("assigned in epoch {} and sent nothing", record.epoch);
        incidents::record(context, IncidentKind::Missing, Subject::window(id, number).validator(*validator), detail);
    }
    Ok(())
}

/// Names the streams that were agreed on in the window before and of which nobody has a chunk in this one: a hole begins
/// there, while other streams of the source go on, so that the window itself is not missing.
fn name_uncovered(
    context: &mut Context<'_>,
    id: &str,
    number: u64,
    spoken_of: &BTreeSet<String>,
) -> Result<(), StateError> {
    let Some(before) = number.checked_sub(1) else { return Ok(()) };
    let prefix = keys::chunks_of(id, before);
    // No more than the source has streams.
    for (key, _) in context.state.scan(&prefix, None, usize::MAX)? {
        let stream = String::from_utf8_lossy(key.get(prefix.len()..).unwrap_or_default()).into_owned();
        if !spoken_of.contains(&stream) {
            let detail = format!("agreed on in window {before}, covered by nobody from this one on");
            incidents::record(context, IncidentKind::Missing, Subject::window(id, number).stream(&stream), detail);
        }
    }
    Ok(())
}

fn update_progress(
    context: &mut Context<'_>,
    id: &str,
    number: u64,
    record: &WindowRecord,
    credible: bool,
) -> Result<(), StateError> {
    let mut progress = source_progress(&context.state, id)?;
    progress.windows_closed += 1;
    progress.chunks_accepted += u64::from(record.accepted);
    progress.streams_disputed += record.disputed.len() as u64;
    if credible && progress.last_window.is_none_or(|last| last < number) {
        if let Some(last) = progress.last_window {
            name_gaps(context, id, last + 1, number)?;
        }
        progress.last_window = Some(number);
    }
    context.state.put(keys::progress(id), &progress);
    Ok(())
}

/// Names the windows of `from..to` that nobody has attested, so that none is silently missing. Windows follow each
/// other without a hole in every source: a window in which nothing happened is attested too, without claims.
fn name_gaps(context: &mut Context<'_>, id: &str, from: u64, to: u64) -> Result<(), StateError> {
    let prefix = keys::windows_of(id);
    let known = context.state.scan(&prefix, Some(&keys::window(id, from)), GAP_WINDOWS_MAX)?;
    let numbers: BTreeSet<u64> = known.iter().filter_map(|(key, _)| keys::window_number(key)).collect();
    // Beyond what was looked at nothing is said.
    let to = if numbers.len() == GAP_WINDOWS_MAX { numbers.last().map_or(to, |last| to.min(*last)) } else { to };
    let mut next = from;
    for number in numbers.into_iter().filter(|n| *n < to).chain([to]) {
        if number > next {
            let detail = format!("windows {next} to {} were attested by nobody", number - 1);
            incidents::record(context, IncidentKind::Missing, Subject::window(id, next), detail);
        }
        // The last number of all has none after it.
        next = number.saturating_add(1);
    }
    Ok(())
}
