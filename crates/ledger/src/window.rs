//! The life of a window: opened by its first attestation, decided stream by stream, closed some blocks later.
//! Clauses A, Q and W of `docs/spec/transactions.md`.

use std::collections::BTreeSet;

use openmesh_primitives::Address;

use crate::admit::Admission;
use crate::execute::Executor;
use crate::quorum::{Statement, Verdict, streams, tally, verdict};
use crate::state::{read, readable};
use crate::validators::more_than_one_third;
use crate::{
    AcceptedChunk, Attestation, CheckError, ChunkClaim, Differing, INCIDENT_DETAIL_BYTES_MAX, IncidentKind,
    LedgerEvent, LedgerIncident, SourceRecord, StateError, StateRead, WindowRecord, chunk, keys, source_progress,
    window,
};

/// Most windows that are looked at when a gap is searched: all that some validators may have open.
const GAP_WINDOWS_MAX: usize = 8_192;

impl<S: StateRead> Executor<S> {
    /// Lets an attestation take effect.
    pub fn attest(&mut self, attestation: &Attestation, validator: Address) -> Result<(), CheckError> {
        let Admission { source, mut window, opens } = self.rules.attestation(&self.state, attestation, validator)?;
        let (id, number) = (&attestation.source, attestation.window);
        if opens {
            window.opened_height = self.height;
            window.closes_at = self.height + self.rules.params.window_close_blocks;
            self.state.put(keys::closing(window.closes_at, id, number), &());
        }
        self.update_validator(&validator, |record| {
            record.attested += 1;
            record.open_windows += u32::from(opens);
        })?;
        self.state.put(keys::attestation(id, number, &validator), &attestation.chunks);
        window.attested.push(validator);
        let statements = self.statements(id, number, &window)?;
        for stream in streams(&statements) {
            self.decide(&source, number, &mut window, &stream, &statements, validator)?;
        }
        self.state.put(keys::window(id, number), &window);
        let (source, height) = (id.clone(), self.height);
        self.events.push(LedgerEvent::Attested { source, window: number, validator, height });
        Ok(())
    }

    /// What all validators that attested said, in the order of inclusion.
    fn statements(&self, source: &str, number: u64, window: &WindowRecord) -> Result<Vec<Statement>, StateError> {
        let statement = |validator: &Address| {
            let key = keys::attestation(source, number, validator);
            let claims = read(&self.state, &key)?.ok_or_else(|| StateError::Absent(readable(&key)))?;
            let power = window.power_of(validator).unwrap_or(0);
            Ok(Statement { validator: *validator, power, claims })
        };
        window.attested.iter().map(statement).collect()
    }

    /// Decides a stream, or compares the newest statement with what was decided before.
    fn decide(
        &mut self,
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
            return self.name_differing(id, number, window, stream, None, &only_newest);
        }
        if let Some(accepted) = chunk(&self.state, id, number, stream)? {
            let AcceptedChunk { cid, bytes, events, .. } = accepted;
            let claim = ChunkClaim { stream: stream.to_string(), cid, bytes, events };
            return self.name_differing(id, number, window, stream, Some(&claim), &only_newest);
        }
        let everybody: Vec<&Statement> = statements.iter().collect();
        match verdict(stream, statements, window.assigned_power()) {
            Verdict::Open => Ok(()),
            Verdict::Absent => {
                window.absent.push(stream.to_string());
                self.name_differing(id, number, window, stream, None, &everybody)
            }
            Verdict::Accepted(claim) => {
                self.accept(source, number, window, &claim, statements);
                self.name_differing(id, number, window, stream, Some(&claim), &everybody)
            }
        }
    }

    fn accept(
        &mut self,
        source: &SourceRecord,
        number: u64,
        window: &mut WindowRecord,
        claim: &ChunkClaim,
        statements: &[Statement],
    ) {
        let ChunkClaim { stream, cid, bytes, events } = claim.clone();
        let accepted = AcceptedChunk { cid, bytes, events, height: self.height };
        self.state.put(keys::chunk(&source.spec.id, number, &stream), &accepted);
        window.accepted += 1;
        let agreeing = statements.iter().filter(|s| s.about(&stream) == Some(claim));
        self.events.push(LedgerEvent::ChunkAccepted {
            source: source.spec.id.clone(),
            origin: source.spec.origin,
            window: number,
            attesters: agreeing.map(|s| s.validator).collect(),
            stream,
            cid,
            bytes,
            events,
            height: self.height,
        });
    }

    /// Names those of `statements` that say something else about a stream than what was decided.
    fn name_differing(
        &mut self,
        source: &str,
        number: u64,
        window: &mut WindowRecord,
        stream: &str,
        decided: Option<&ChunkClaim>,
        statements: &[&Statement],
    ) -> Result<(), StateError> {
        for statement in statements.iter().filter(|s| s.about(stream) != decided) {
            let validator = statement.validator;
            let detail = format!("said {}; decided: {}", told(statement.about(stream)), told(decided));
            window.differing.push(Differing { stream: stream.to_string(), validator });
            self.update_validator(&validator, |record| record.differing += 1)?;
            self.incident(IncidentKind::Differing, source, number, Some(stream), Some(validator), detail);
        }
        Ok(())
    }

    /// Closes the windows whose time has come.
    pub fn close_windows(&mut self) -> Result<(), StateError> {
        let prefix = keys::closing_at(self.height);
        // As many as were opened in one block, which its size bounds.
        let due = self.state.scan(&prefix, None, usize::MAX)?;
        for (key, _) in due {
            let parts = keys::closing_parts(&key);
            let (id, number) = parts.ok_or_else(|| StateError::Damaged {
                key: readable(&key),
                reason: "not the key of a closing window".to_string(),
            })?;
            self.state.delete(key);
            self.close(&id, number)?;
        }
        Ok(())
    }

    fn close(&mut self, id: &str, number: u64) -> Result<(), StateError> {
        let absent = || StateError::Absent(readable(&keys::window(id, number)));
        let mut record = window(&self.state, id, number)?.ok_or_else(absent)?;
        let statements = self.statements(id, number, &record)?;
        record.closed = true;
        let missing = record.not_attested();
        // With less than that, everybody who attested may be lying: then nobody else is named.
        let credible = more_than_one_third(record.attested_power(), record.assigned_power());
        if credible {
            self.close_credible(id, number, &mut record, &statements, &missing)?;
        } else {
            let (power, total) = (record.attested_power(), record.assigned_power());
            let detail = format!("closed with attestations of power {power} of {total} only");
            record.disputed = streams(&statements).into_iter().collect();
            self.incident(IncidentKind::Disputed, id, number, None, None, detail);
        }
        for validator in &record.attested {
            self.state.delete(keys::attestation(id, number, validator));
        }
        self.update_validator(&record.opened_by, |v| v.open_windows = v.open_windows.saturating_sub(1))?;
        self.update_progress(id, number, &record, credible)?;
        self.state.put(keys::window(id, number), &record);
        self.events.push(LedgerEvent::WindowClosed {
            source: id.to_string(),
            window: number,
            epoch: record.epoch,
            accepted: record.accepted,
            disputed: record.disputed,
            missing,
            height: self.height,
        });
        Ok(())
    }

    /// Names the streams without agreement and the validators that said nothing.
    fn close_credible(
        &mut self,
        id: &str,
        number: u64,
        record: &mut WindowRecord,
        statements: &[Statement],
        missing: &[Address],
    ) -> Result<(), StateError> {
        for stream in streams(statements) {
            let decided = record.absent.contains(&stream) || chunk(&self.state, id, number, &stream)?.is_some();
            if decided {
                continue;
            }
            let said: Vec<String> = tally(&stream, statements)
                .iter()
                .map(|(claim, power)| format!("power {power}: {}", told(*claim)))
                .collect();
            let detail = format!("of assigned power {}, {}", record.assigned_power(), said.join("; "));
            self.incident(IncidentKind::Disputed, id, number, Some(&stream), None, detail);
            record.disputed.push(stream);
        }
        self.name_uncovered(id, number, &streams(statements))?;
        for validator in missing {
            self.update_validator(validator, |v| v.missing += 1)?;
            let detail = format!("assigned in epoch {} and sent nothing", record.epoch);
            self.incident(IncidentKind::Missing, id, number, None, Some(*validator), detail);
        }
        Ok(())
    }

    /// Names the streams that were agreed on in the window before and of which nobody has a chunk in this one: a hole begins
    /// there, while other streams of the source go on, so that the window itself is not missing.
    fn name_uncovered(&mut self, id: &str, number: u64, spoken_of: &BTreeSet<String>) -> Result<(), StateError> {
        let Some(before) = number.checked_sub(1) else { return Ok(()) };
        let prefix = keys::chunks_of(id, before);
        // No more than the source has streams.
        for (key, _) in self.state.scan(&prefix, None, usize::MAX)? {
            let stream = String::from_utf8_lossy(key.get(prefix.len()..).unwrap_or_default()).into_owned();
            if !spoken_of.contains(&stream) {
                let detail = format!("agreed on in window {before}, covered by nobody from this one on");
                self.incident(IncidentKind::Missing, id, number, Some(&stream), None, detail);
            }
        }
        Ok(())
    }

    fn update_progress(
        &mut self,
        id: &str,
        number: u64,
        record: &WindowRecord,
        credible: bool,
    ) -> Result<(), StateError> {
        let mut progress = source_progress(&self.state, id)?;
        progress.windows_closed += 1;
        progress.chunks_accepted += u64::from(record.accepted);
        progress.streams_disputed += record.disputed.len() as u64;
        if credible && progress.last_window.is_none_or(|last| last < number) {
            if let Some(last) = progress.last_window {
                self.name_gaps(id, last + 1, number)?;
            }
            progress.last_window = Some(number);
        }
        self.state.put(keys::progress(id), &progress);
        Ok(())
    }

    /// Names the windows of `from..to` that nobody has attested, so that none is silently missing. Windows follow each
    /// other without a hole in every source: a window in which nothing happened is attested too, without claims.
    fn name_gaps(&mut self, id: &str, from: u64, to: u64) -> Result<(), StateError> {
        let prefix = keys::windows_of(id);
        let known = self.state.scan(&prefix, Some(&keys::window(id, from)), GAP_WINDOWS_MAX)?;
        let numbers: BTreeSet<u64> = known.iter().filter_map(|(key, _)| keys::window_number(key)).collect();
        // Beyond what was looked at nothing is said.
        let to = if numbers.len() == GAP_WINDOWS_MAX { numbers.last().map_or(to, |last| to.min(*last)) } else { to };
        let mut next = from;
        for number in numbers.into_iter().filter(|n| *n < to).chain([to]) {
            if number > next {
                let detail = format!("windows {next} to {} were attested by nobody", number - 1);
                self.incident(IncidentKind::Missing, id, next, None, None, detail);
            }
            // The last number of all has none after it.
            next = number.saturating_add(1);
        }
        Ok(())
    }

    /// Writes an incident down, in the state and among the events.
    pub fn incident(
        &mut self,
        kind: IncidentKind,
        source: &str,
        window: u64,
        stream: Option<&str>,
        validator: Option<Address>,
        detail: String,
    ) {
        let incident = LedgerIncident {
            kind,
            source: source.to_string(),
            window,
            stream: stream.map(str::to_string),
            validator,
            detail: shortened(detail),
            height: self.height,
            number: self.incidents,
        };
        self.incidents += 1;
        self.state.put(keys::incident(incident.height, incident.number), &incident);
        self.events.push(LedgerEvent::Incident(incident));
    }
}

fn told(claim: Option<&ChunkClaim>) -> String {
    claim.map_or_else(
        || "no chunk".to_string(),
        |claim| format!("{} ({} bytes, {} events)", claim.cid, claim.bytes, claim.events),
    )
}

/// Cuts at a boundary of characters.
fn shortened(mut detail: String) -> String {
    if detail.len() > INCIDENT_DETAIL_BYTES_MAX {
        let cut = (0..=INCIDENT_DETAIL_BYTES_MAX).rev().find(|at| detail.is_char_boundary(*at)).unwrap_or(0);
        detail.truncate(cut);
    }
    detail
}
