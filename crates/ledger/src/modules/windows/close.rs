//! The closing of windows whose time has come. Clause W of `docs/spec/transactions.md`.

use std::collections::BTreeSet;

use openmesh_primitives::Address;

use super::apply::{schedule, statements};
use super::events::WindowsEvent;
use super::facts::WindowsFact;
use super::keys;
use super::limits::{GAP_WINDOWS_MAX, WINDOW_SETTLE_MS};
use super::quorum::{Statement, Undecided, Verdict, describe_claim, spoken_of, tally, undecided, verdict};
use super::records::{Abstention, WindowRecord, source_progress, window};
use crate::context::Context;
use crate::modules::incidents::{self, IncidentKind, Subject};
use crate::modules::sources::{SourceKind, source_or_retired};
use crate::modules::validators::{self, PRESENCE_BLOCKS, more_than_one_third};
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
    if is_early(context, id, number, &record)? {
        return postpone(context, id, number, record);
    }
    let statements = statements(&context.state, id, number, &record)?;
    record.closed = true;
    let spoken_of = spoken_of(&statements);
    note_abstentions(context, &mut record, &statements, &spoken_of)?;
    let missing: Vec<Address> =
        record.not_attested().into_iter().filter(|validator| !record.unopened.contains(validator)).collect();
    // With less than that, everybody who attested may be lying: then nobody else is named.
    let credible = more_than_one_third(record.attested_power(), record.assigned_power());
    if credible {
        close_streams(context, id, number, &mut record, &statements)?;
        name_hole(context, id, number, &spoken_of)?;
        name_missing(context, id, number, &record, &missing)?;
    } else {
        let (power, total) = (record.attested_power(), record.assigned_power());
        let detail = format!("closed with attestations of power {power} of {total} only");
        record.uncovered = spoken_of.into_iter().collect();
        incidents::record(context, IncidentKind::Uncovered, Subject::window(id, number), detail);
    }
    for validator in &record.attested {
        context.state.delete(keys::attestation(id, number, validator));
    }
    let epoch = context.rules.epoch;
    validators::update(context, &record.opened_by, |v| v.closed_window(epoch, credible))?;
    update_progress(context, id, number, &record, credible)?;
    context.state.put(keys::window(id, number), &record);
    context.state.put(keys::closed(epoch, id, number), &());
    context.emit(WindowsEvent::WindowClosed {
        source: id.to_string(),
        window: number,
        epoch: record.epoch,
        accepted: record.accepted,
        disputed: record.disputed.clone(),
        uncovered: record.uncovered.clone(),
        missing,
        height: context.height,
    });
    context.fact(WindowsFact::Closed { source: id.to_string(), window: number, record });
    Ok(())
}

/// Returns true where nobody honest needs to have committed to a market's window yet: it ended only just now, and no more than a third
/// of the power has. Otherwise a liar could open a window as early as it may, and have it closed before the others' collectors are done.
fn is_early(context: &Context<'_>, id: &str, number: u64, record: &WindowRecord) -> Result<bool, StateError> {
    if !context.rules.params.windows.commitments
        || more_than_one_third(record.committed_power(), record.assigned_power())
    {
        return Ok(false);
    }
    let Some(source) = source_or_retired(&context.state, id)? else { return Ok(false) };
    let settled_ms = source.spec.window_end_ms(number) + i128::from(WINDOW_SETTLE_MS);
    Ok(source.spec.kind == SourceKind::Market && i128::from(context.rules.time.millis()) < settled_ms)
}

/// Leaves a window open as long again.
fn postpone(context: &mut Context<'_>, id: &str, number: u64, mut record: WindowRecord) -> Result<(), StateError> {
    let was_over = record.commits_until < record.closes_at;
    record.closes_at = context.height + context.rules.params.windows.window_close_blocks;
    if !was_over {
        record.commits_until = record.closes_at;
    }
    schedule(context, id, number, None, record.closes_at);
    context.state.put(keys::window(id, number), &record);
    Ok(())
}

/// Sums up who abstained from what: as they said, everything where they covered nothing, and everything that others spoke of where
/// they never opened what they had committed to. Their seals are not needed any more.
fn note_abstentions(
    context: &mut Context<'_>,
    record: &mut WindowRecord,
    statements: &[Statement],
    spoken_of: &BTreeSet<String>,
) -> Result<(), StateError> {
    for statement in statements.iter().filter(|s| !s.said.abstained.is_empty()) {
        let all = statement.said.abstains_from_all();
        let streams: Vec<String> =
            if all { spoken_of.iter().cloned().collect() } else { statement.said.abstained.clone() };
        record.abstained.push(Abstention { validator: statement.validator, streams });
    }
    let committed = std::mem::take(&mut record.committed);
    let unopened = committed.into_iter().map(|(validator, _)| validator).filter(|v| !record.attested.contains(v));
    record.unopened = unopened.collect();
    for validator in &record.unopened {
        validators::update(context, validator, |of| {
            of.unopened += 1;
            of.abstained += spoken_of.len() as u64;
        })?;
        record.abstained.push(Abstention { validator: *validator, streams: spoken_of.iter().cloned().collect() });
    }
    Ok(())
}

/// Sorts the streams without a decision into disputed and uncovered ones, and names them.
fn close_streams(
    context: &mut Context<'_>,
    id: &str,
    number: u64,
    record: &mut WindowRecord,
    statements: &[Statement],
) -> Result<(), StateError> {
    let before = match number.checked_sub(1) {
        Some(before) => window(&context.state, id, before)?.map(|w| w.uncovered).unwrap_or_default(),
        None => Vec::new(),
    };
    let assigned = record.assigned_power();
    for stream in spoken_of(statements) {
        if verdict(&stream, statements, assigned) != Verdict::Open {
            continue;
        }
        let mut said: Vec<String> = tally(&stream, statements)
            .iter()
            .map(|(claim, power)| format!("power {power}: {}", describe_claim(*claim)))
            .collect();
        said.push("the others abstained or sent nothing".to_string());
        let detail = format!("of assigned power {assigned}, {}", said.join("; "));
        let subject = Subject::window(id, number).stream(&stream);
        match undecided(&stream, statements, assigned) {
            Undecided::Disputed => {
                incidents::record(context, IncidentKind::Disputed, subject, detail);
                record.disputed.push(stream);
            }
            Undecided::Uncovered => {
                // A hole is named where it begins.
                if !before.contains(&stream) {
                    incidents::record(context, IncidentKind::Uncovered, subject, detail);
                }
                record.uncovered.push(stream);
            }
        }
    }
    Ok(())
}

/// Names the streams that were agreed on in the window before and of which everybody says that there is no chunk in this
/// one: a hole begins there, while other streams of the source go on, so that the window itself is not missing.
fn name_hole(context: &mut Context<'_>, id: &str, number: u64, spoken_of: &BTreeSet<String>) -> Result<(), StateError> {
    let Some(before) = number.checked_sub(1) else { return Ok(()) };
    let prefix = keys::chunks_of(id, before);
    // No more than the source has streams.
    for (key, _) in context.state.scan(&prefix, None, usize::MAX)? {
        let stream = String::from_utf8_lossy(key.get(prefix.len()..).unwrap_or_default()).into_owned();
        if !spoken_of.contains(&stream) {
            let detail = format!("agreed on in window {before}, without a chunk from this one on");
            incidents::record(context, IncidentKind::Missing, Subject::window(id, number).stream(&stream), detail);
        }
    }
    Ok(())
}

/// Counts the assigned validators that sent nothing, and names those that were not there at all: one whose attestation a
/// proposer left out is not accused by that.
fn name_missing(
    context: &mut Context<'_>,
    id: &str,
    number: u64,
    record: &WindowRecord,
    missing: &[Address],
) -> Result<(), StateError> {
    for validator in missing {
        validators::update(context, validator, |v| v.missing += 1)?;
        if validators::was_there(context, validator)? {
            continue;
        }
        let detail = format!(
            "assigned in epoch {}; sent nothing, and neither proposed, attested nor signed in {PRESENCE_BLOCKS} heights",
            record.epoch
        );
        incidents::record(context, IncidentKind::Missing, Subject::window(id, number).validator(*validator), detail);
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
    progress.streams_uncovered += record.uncovered.len() as u64;
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
