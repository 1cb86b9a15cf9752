//! The work of a simulated network: what clients and collectors bring, and what validators do about it.

use openmesh_duties::{Submitted, WindowFacts, WindowName};
use openmesh_engine::machine::Input;
use openmesh_ledger::{LedgerEvent, StateError};
use openmesh_primitives::Height;

use crate::check::Violation;
use crate::event::Event;
use crate::network::MS;
use crate::plan::VALIDATORS;
use crate::workload::{copied, lie, nuisance, stamp, transfer};
use crate::world::World;

/// A validator that copies looks that often.
const COPY_PAUSE: u64 = 100 * MS;
/// A collector closes a window within so much of its end.
const CLOSE_DELAY: u64 = 1_000 * MS;

impl World {
    pub(crate) fn hand_in_transfer(&mut self) -> Result<(), Violation> {
        let node = self.random.below(VALIDATORS as u64) as usize;
        if let Some(machine) = &self.nodes[node].machine
            && let Some(bytes) = transfer(machine, &mut self.random)?
        {
            self.tell(node, Input::Submit(bytes))?;
        }
        if self.plan.nuisances
            && let Some(machine) = &self.nodes[node].machine
            && let Some(bytes) = nuisance(machine, &mut self.random)?
        {
            self.tell(node, Input::Submit(bytes))?;
        }
        if self.plan.stamps
            && let Some(machine) = &self.nodes[node].machine
            && let Some(bytes) = stamp(machine, &mut self.random)?
        {
            self.tell(node, Input::Submit(bytes))?;
        }
        let after = self.random.below(2 * self.plan.work);
        self.at(after, Event::Transfer);
        Ok(())
    }

    pub(crate) fn end_window(&mut self, number: u64) {
        for node in 0..VALIDATORS {
            for source in 0..self.plan.sources.names.len() {
                let delay = self.random.below(CLOSE_DELAY);
                self.at(delay, Event::Close { node, source, number });
            }
        }
        if self.now < self.plan.length {
            let length = self.plan.sources.window_ms * MS;
            self.at(length, Event::Window { number: number + 1 });
        }
    }

    /// A collector closes a window: an honest validator owes an attestation of it then, a liar says what it likes.
    pub(crate) fn close(&mut self, number: usize, source: usize, window: u64) -> Result<(), Violation> {
        let honest = self.plan.sources.honest(source, window);
        let node = &mut self.nodes[number];
        let Some(machine) = &node.machine else { return Ok(()) };
        if self.plan.liar == Some(number) && self.plan.copies {
            return self.copy(number, source, window);
        }
        if self.plan.liar == Some(number) {
            for word in lie(machine, number, &honest)? {
                self.tell(number, Input::Submit(word))?;
            }
            return Ok(());
        }
        self.history.ended(self.plan.sources.names[source], window);
        let missed = self.plan.missed_permille;
        if missed > 0 && self.random.permille(missed) {
            return Ok(());
        }
        for chunk in &honest.chunks {
            node.tables.held.insert(chunk.cid);
        }
        node.attester.closed(honest, machine.store().tip().height);
        self.attest(number)
    }

    /// Looks at the windows that are due, as the service of duties does after each change.
    pub(crate) fn attest(&mut self, number: usize) -> Result<(), Violation> {
        let node = &self.nodes[number];
        let Some(machine) = node.machine.as_ref() else { return Ok(()) };
        let names = node.attester.due(machine.store().tip().height, usize::MAX);
        if names.is_empty() {
            return Ok(());
        }
        let (state, height) = (machine.store().state().map_err(StateError::from)?, machine.store().tip().height);
        let all = WindowFacts::read(&state, &node.attester.validator(), &names)?;
        for (name, facts) in names.iter().zip(&all) {
            if let Some(bytes) = self.nodes[number].attester.decide(name, facts) {
                self.keep(number, name);
                self.submit_own(number, name, height, bytes)?;
            }
        }
        let node = &mut self.nodes[number];
        for name in node.attester.take_done() {
            node.kept.remove(&name);
        }
        Ok(())
    }

    /// Writes a statement to the disk before its commitment is handed in, as the service of duties does.
    fn keep(&mut self, number: usize, name: &WindowName) {
        let node = &mut self.nodes[number];
        if let Some(statement) = node.attester.to_keep(name) {
            node.kept.insert(name.clone(), statement);
        }
    }

    /// A validator that saw nothing repeats what it finds: another's seal, as long as commitments are taken, and what another has said,
    /// as soon as it can be read. It looks again until the window has closed.
    pub(crate) fn copy(&mut self, number: usize, source: usize, window: u64) -> Result<(), Violation> {
        let name = self.plan.sources.names[source];
        let Some(machine) = &self.nodes[number].machine else { return Ok(()) };
        let (words, closed) = copied(machine, number, name, window)?;
        for word in words {
            self.tell(number, Input::Submit(word))?;
        }
        if !closed && self.now < self.plan.length {
            self.at(COPY_PAUSE, Event::Copy { node: number, source, number: window });
        }
        Ok(())
    }

    pub(crate) fn submit_own(
        &mut self,
        number: usize,
        name: &WindowName,
        height: Height,
        bytes: Vec<u8>,
    ) -> Result<(), Violation> {
        let now = self.clock(number);
        self.trace(number, 98, &bytes);
        let Some(machine) = &mut self.nodes[number].machine else { return Ok(()) };
        let (outcome, handled) = machine.submit_own(bytes, now);
        let outcome = if outcome.is_ok() { Submitted::Accepted } else { Submitted::Later };
        self.nodes[number].attester.submitted(name, height, outcome);
        self.handled(number, handled)
    }

    /// Fills a node's tables up to its last block, as the service of ingestion does; `newest` are the events of a block
    /// that it has just committed.
    pub(crate) fn ingest(&mut self, number: usize, newest: Option<(Height, &[LedgerEvent])>) {
        let mut tables = std::mem::take(&mut self.nodes[number].tables);
        if let Some(machine) = &self.nodes[number].machine {
            let tip = machine.store().tip().height;
            while let Some(height) = tables.next_scan().filter(|height| *height <= tip) {
                match newest.filter(|(newest, _)| *newest == height) {
                    Some((_, events)) => tables.scanned(height, events),
                    // A block that cannot be read is scanned another time.
                    None => match machine.store().block(height) {
                        Ok(Some(block)) => tables.scanned(height, &block.events),
                        _ => break,
                    },
                }
            }
            let reachable = |n: &usize| *n != number && self.plan.network.joins(number, *n);
            let peers: Vec<usize> = (0..VALIDATORS).filter(reachable).collect();
            tables.fill(tip, |cid| {
                peers.iter().any(|n| self.nodes[*n].machine.is_some() && self.nodes[*n].tables.held.contains(cid))
            });
        }
        self.nodes[number].tables = tables;
    }
}
