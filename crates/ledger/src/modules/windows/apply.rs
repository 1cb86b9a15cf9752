//! Effects of commitments and attestations: a window opens, and streams are decided.

use std::collections::BTreeSet;

use openmesh_primitives::{Address, Height};

use super::attestation::{Attestation, ChunkClaim};
use super::check::{Admission, check, check_commitment};
use super::commitment::Commitment;
use super::events::WindowsEvent;
use super::facts::WindowsFact;
use super::keys;
use super::limits::DIFFERING_INCIDENTS_MAX;
use super::phases;
use super::quorum::{Statement, Verdict, Word, claimed, describe_claim, verdict};
use super::records::{AcceptedChunk, Differing, Said, WindowRecord, chunk};
use crate::context::Context;
use crate::error::CheckError;
use crate::modules::incidents::{self, IncidentKind, Subject};
use crate::modules::sources::SourceRecord;
use crate::modules::validators;
use crate::state::{StateError, StateRead, need};

/// A window into which an attestation comes.
struct Attested<'a> {
    source: &'a SourceRecord,
    number: u64,
    record: WindowRecord,
    /// All statements, in the order of inclusion; the newest is the last.
    statements: Vec<Statement>,
}

/// Lets a commitment take effect: it opens its window, or moves its times on. Fails as the check does.
pub(crate) fn apply_commitment(
    context: &mut Context<'_>,
    commitment: &Commitment,
    validator: Address,
) -> Result<(), CheckError> {
    let Admission { window: mut record, opens, .. } =
        check_commitment(&context.rules, &context.state, commitment, validator)?;
    let (id, number) = (&commitment.source, commitment.window);
    let closed_at = (!opens).then_some(record.closes_at);
    if opens {
        phases::open(&mut record, context.height, &context.rules.params.windows);
    }
    validators::saw(context, &validator)?;
    validators::update(context, &validator, |of| of.open_windows += u32::from(opens))?;
    let before = record.committed_power();
    record.committed.push((validator, commitment.seal));
    phases::spoken(&mut record, before, &context.rules);
    schedule(context, id, number, closed_at, record.closes_at);
    context.state.put(keys::window(id, number), &record);
    Ok(())
}

/// Writes when a window closes, in the place of when it would have before.
pub(super) fn schedule(context: &mut Context<'_>, id: &str, number: u64, before: Option<Height>, closes_at: Height) {
    if let Some(before) = before.filter(|before| *before != closes_at) {
        context.state.delete(keys::closing(before, id, number));
    }
    context.state.put(keys::closing(closes_at, id, number), &());
}

/// Lets an attestation take effect. Fails as the check does.
pub(crate) fn apply(
    context: &mut Context<'_>,
    attestation: &Attestation,
    validator: Address,
) -> Result<(), CheckError> {
    let Admission { source, window: mut record, opens } =
        check(&context.rules, &context.state, attestation, validator)?;
    let (id, number, height) = (&attestation.source, attestation.window, context.height);
    if opens {
        record.opened_height = height;
        record.closes_at = height + context.rules.params.windows.window_close_blocks;
        schedule(context, id, number, None, record.closes_at);
    }
    validators::saw(context, &validator)?;
    validators::update(context, &validator, |record| {
        record.attested += 1;
        record.abstained += attestation.abstained.len() as u64;
        record.open_windows += u32::from(opens);
    })?;
    let said = Said { chunks: attestation.chunks.clone(), abstained: attestation.abstained.clone() };
    context.state.put(keys::attestation(id, number, &validator), &said);
    record.attested.push(validator);
    if context.rules.params.windows.commitments {
        let power = record.committed_power();
        phases::spoken(&mut record, power, &context.rules);
        name_copies(context, id, number, &record, validator)?;
    }
    let statements = statements(&context.state, id, number, &record)?;
    let mut attested = Attested { source: &source, number, record, statements };
    let claimed = claimed(&attested.statements);
    for stream in &claimed {
        attested.decide(context, stream)?;
    }
    context.state.put(keys::window(id, number), &attested.record);
    let mut abstained = attestation.abstained.clone();
    if attestation.abstains_from_all() {
        abstained = claimed.into_iter().chain(abstained).collect::<BTreeSet<String>>().into_iter().collect();
    }
    context.emit(WindowsEvent::Attested { source: id.clone(), window: number, validator, abstained, height });
    Ok(())
}

/// Names those who committed under the seal of a validator that has just opened it. Only now is it known whose seal it is: whoever
/// repeats another's may come first in a block.
fn name_copies(
    context: &mut Context<'_>,
    id: &str,
    number: u64,
    record: &WindowRecord,
    opener: Address,
) -> Result<(), StateError> {
    let Some(seal) = record.seal_of(&opener) else { return Ok(()) };
    for (other, _) in record.committed.iter().filter(|(other, of)| *other != opener && *of == seal) {
        validators::update(context, other, |of| of.copied += 1)?;
        let detail = format!("committed to seal {seal}, which is that of {opener}, as its attestation shows");
        let subject = Subject::window(id, number).validator(*other);
        incidents::record(context, IncidentKind::Copied, subject, detail);
    }
    Ok(())
}

/// The statements of all validators that attested an open window, in the order of inclusion.
pub(crate) fn statements(
    state: &dyn StateRead,
    source: &str,
    number: u64,
    window: &WindowRecord,
) -> Result<Vec<Statement>, StateError> {
    let statement = |validator: &Address| {
        let said = need(state, &keys::attestation(source, number, validator))?;
        let power = window.power_of(validator).unwrap_or(0);
        Ok(Statement { validator: *validator, power, said })
    };
    window.attested.iter().map(statement).collect()
}

impl Attested<'_> {
    /// Decides a stream, or compares the newest statement with the decision that was made before.
    fn decide(&mut self, context: &mut Context<'_>, stream: &str) -> Result<(), StateError> {
        let newest = self.statements.len().saturating_sub(1);
        if self.record.absent.iter().any(|s| s == stream) {
            return self.name_differing(context, stream, None, newest);
        }
        if let Some(accepted) = chunk(&context.state, &self.source.spec.id, self.number, stream)? {
            let AcceptedChunk { cid, bytes, events, .. } = accepted;
            let claim = ChunkClaim { stream: stream.to_string(), cid, bytes, events };
            return self.name_differing(context, stream, Some(&claim), newest);
        }
        match verdict(stream, &self.statements, self.record.assigned_power()) {
            Verdict::Open => Ok(()),
            Verdict::Absent => {
                self.record.absent.push(stream.to_string());
                self.name_differing(context, stream, None, 0)
            }
            Verdict::Accepted(claim) => {
                self.accept(context, &claim);
                self.name_differing(context, stream, Some(&claim), 0)
            }
        }
    }

    fn accept(&mut self, context: &mut Context<'_>, claim: &ChunkClaim) {
        let ChunkClaim { stream, cid, bytes, events } = claim.clone();
        let (source, origin, window) = (self.source.spec.id.clone(), self.source.spec.origin, self.number);
        let chunk = AcceptedChunk { cid, bytes, events, height: context.height };
        context.state.put(keys::chunk(&source, window, &stream), &chunk);
        self.record.accepted += 1;
        let agreeing = self.statements.iter().filter(|s| s.word(&stream) == Word::Spoken(Some(claim)));
        let attesters = agreeing.map(|s| s.validator).collect();
        context.fact(WindowsFact::Chunk { source: source.clone(), origin, window, stream: stream.clone(), chunk });
        let height = context.height;
        context.emit(WindowsEvent::ChunkAccepted {
            source,
            origin,
            window,
            stream,
            cid,
            bytes,
            events,
            attesters,
            height,
        });
    }

    /// Names the validators of the statements from `from` on whose word about a stream is another than the decided one.
    /// Abstention is no word.
    fn name_differing(
        &mut self,
        context: &mut Context<'_>,
        stream: &str,
        decided: Option<&ChunkClaim>,
        from: usize,
    ) -> Result<(), StateError> {
        for statement in &self.statements[from..] {
            let Word::Spoken(word) = statement.word(stream) else { continue };
            if word == decided {
                continue;
            }
            let validator = statement.validator;
            let named = self.record.differing.iter().filter(|d| d.validator == validator).count();
            self.record.differing.push(Differing { stream: stream.to_string(), validator });
            validators::update(context, &validator, |record| record.differing += 1)?;
            context.emit(WindowsEvent::Differed {
                source: self.source.spec.id.clone(),
                window: self.number,
                stream: stream.to_string(),
                validator,
                height: context.height,
            });
            if named < DIFFERING_INCIDENTS_MAX {
                let subject = Subject::window(&self.source.spec.id, self.number).stream(stream).validator(validator);
                let detail = format!("said {}; decided: {}", describe_claim(word), describe_claim(decided));
                incidents::record(context, IncidentKind::Differing, subject, detail);
            }
        }
        Ok(())
    }
}
