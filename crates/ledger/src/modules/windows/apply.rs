//! Effects of an attestation: its window opens, and streams are decided.

use openmesh_primitives::Address;

use super::attestation::{Attestation, ChunkClaim};
use super::check::{Admission, check};
use super::events::WindowsEvent;
use super::facts::WindowsFact;
use super::keys;
use super::limits::DIFFERING_INCIDENTS_MAX;
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

/// Lets an attestation take effect. Fails as the check does.
pub(crate) fn apply(
    context: &mut Context<'_>,
    attestation: &Attestation,
    validator: Address,
) -> Result<(), CheckError> {
    let Admission { source, window: mut record, opens } =
        check(&context.rules, &context.state, attestation, validator)?;
    let (id, number) = (&attestation.source, attestation.window);
    if opens {
        record.opened_height = context.height;
        record.closes_at = context.height + context.rules.params.windows.window_close_blocks;
        context.state.put(keys::closing(record.closes_at, id, number), &());
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
    let statements = statements(&context.state, id, number, &record)?;
    let mut attested = Attested { source: &source, number, record, statements };
    for stream in claimed(&attested.statements) {
        attested.decide(context, &stream)?;
    }
    context.state.put(keys::window(id, number), &attested.record);
    let (source, height) = (id.clone(), context.height);
    let abstained = attestation.abstained.clone();
    context.emit(WindowsEvent::Attested { source, window: number, validator, abstained, height });
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
