//! Effects of an attestation: its window opens, and streams are decided.

use openmesh_primitives::Address;

use super::attestation::{Attestation, ChunkClaim};
use super::check::{Admission, check};
use super::events::WindowsEvent;
use super::keys;
use super::quorum::{Statement, Verdict, describe_claim, streams, verdict};
use super::records::{AcceptedChunk, Differing, WindowRecord, chunk};
use crate::context::Context;
use crate::error::CheckError;
use crate::modules::incidents::{self, IncidentKind, Subject};
use crate::modules::sources::SourceRecord;
use crate::modules::validators;
use crate::state::{StateError, StateRead, read, readable};

/// Lets an attestation take effect.
pub(crate) fn apply(
    context: &mut Context<'_>,
    attestation: &Attestation,
    validator: Address,
) -> Result<(), CheckError> {
    let Admission { source, mut window, opens } = check(&context.rules, &context.state, attestation, validator)?;
    let (id, number) = (&attestation.source, attestation.window);
    if opens {
        window.opened_height = context.height;
        window.closes_at = context.height + context.rules.params.windows.window_close_blocks;
        context.state.put(keys::closing(window.closes_at, id, number), &());
    }
    validators::update(context, &validator, |record| {
        record.attested += 1;
        record.open_windows += u32::from(opens);
    })?;
    context.state.put(keys::attestation(id, number, &validator), &attestation.chunks);
    window.attested.push(validator);
    let said = statements(&context.state, id, number, &window)?;
    for stream in streams(&said) {
        decide(context, &source, number, &mut window, &stream, &said, validator)?;
    }
    context.state.put(keys::window(id, number), &window);
    let (source, height) = (id.clone(), context.height);
    context.emit(WindowsEvent::Attested { source, window: number, validator, height });
    Ok(())
}

/// What all validators that attested said, in the order of inclusion.
pub(crate) fn statements(
    state: &dyn StateRead,
    source: &str,
    number: u64,
    window: &WindowRecord,
) -> Result<Vec<Statement>, StateError> {
    let statement = |validator: &Address| {
        let key = keys::attestation(source, number, validator);
        let claims = read(state, &key)?.ok_or_else(|| StateError::Absent(readable(&key)))?;
        let power = window.power_of(validator).unwrap_or(0);
        Ok(Statement { validator: *validator, power, claims })
    };
    window.attested.iter().map(statement).collect()
}

/// Decides a stream, or compares the newest statement with what was decided before.
fn decide(
    context: &mut Context<'_>,
    source: &SourceRecord,
    number: u64,
    window: &mut WindowRecord,
    stream: &str,
    statements: &[Statement],
    newest: Address,
) -> Result<(), StateError> {
    let id = &source.spec.id;
    let only_newest: Vec<&Statement> = statements.iter().filter(|s| s.validator == newest).collect();
    if window.absent.iter().any(|s| s == stream) {
        return name_differing(context, id, number, window, stream, None, &only_newest);
    }
    if let Some(accepted) = chunk(&context.state, id, number, stream)? {
        let AcceptedChunk { cid, bytes, events, .. } = accepted;
        let claim = ChunkClaim { stream: stream.to_string(), cid, bytes, events };
        return name_differing(context, id, number, window, stream, Some(&claim), &only_newest);
    }
    let everybody: Vec<&Statement> = statements.iter().collect();
    match verdict(stream, statements, window.assigned_power()) {
        Verdict::Open => Ok(()),
        Verdict::Absent => {
            window.absent.push(stream.to_string());
            name_differing(context, id, number, window, stream, None, &everybody)
        }
        Verdict::Accepted(claim) => {
            accept(context, source, number, window, &claim, statements);
            name_differing(context, id, number, window, stream, Some(&claim), &everybody)
        }
    }
}

fn accept(
    context: &mut Context<'_>,
    source: &SourceRecord,
    number: u64,
    window: &mut WindowRecord,
    claim: &ChunkClaim,
    statements: &[Statement],
) {
    let ChunkClaim { stream, cid, bytes, events } = claim.clone();
    let accepted = AcceptedChunk { cid, bytes, events, height: context.height };
    context.state.put(keys::chunk(&source.spec.id, number, &stream), &accepted);
    window.accepted += 1;
    let agreeing = statements.iter().filter(|s| s.about(&stream) == Some(claim));
    context.emit(WindowsEvent::ChunkAccepted {
        source: source.spec.id.clone(),
        origin: source.spec.origin,
        window: number,
        attesters: agreeing.map(|s| s.validator).collect(),
        stream,
        cid,
        bytes,
        events,
        height: context.height,
    });
}

/// Names those of `statements` that say something else about a stream than what was decided.
fn name_differing(
    context: &mut Context<'_>,
    source: &str,
    number: u64,
    window: &mut WindowRecord,
    stream: &str,
    decided: Option<&ChunkClaim>,
    statements: &[&Statement],
) -> Result<(), StateError> {
    let subject = Subject::window(source, number).stream(stream);
    for statement in statements.iter().filter(|s| s.about(stream) != decided) {
        let validator = statement.validator;
        let detail = format!("said {}; decided: {}", describe_claim(statement.about(stream)), describe_claim(decided));
        window.differing.push(Differing { stream: stream.to_string(), validator });
        validators::update(context, &validator, |record| record.differing += 1)?;
        incidents::record(context, IncidentKind::Differing, subject.validator(validator), detail);
    }
    Ok(())
}
