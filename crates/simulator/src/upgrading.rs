//! Upgrades of a simulated network: what validators vote, who gets which program, and what must hold.

use openmesh_engine::EngineError;
use openmesh_engine::machine::Input;
use openmesh_ledger::{
    AccountTransaction, Action, Params, RulesError, StateError, Transaction, Upcoming, UpgradeBallot, UpgradeVote,
    account, ballot_count, params, plan, plans_at, rules_in_force, validator_record, validators,
};
use openmesh_trial::{BLOCK_TRANSACTIONS_MAX, MARK, note, read_note, rule_sets};

use crate::check::Violation;
use crate::event::Event;
use crate::network::MS;
use crate::plan::VALIDATORS;
use crate::upgrades::NEWEST;
use crate::workload::{CHAIN_ID, account_key, validator};
use crate::world::World;

/// Pause between two looks of the validators at their plans.
const BALLOTS_PAUSE: u64 = 300 * MS;
/// A validator whose program has stopped gets another one within so much.
const INSTALL_DELAY: u64 = 4_000 * MS;
/// Number of the account that sets notes; it sends nothing else.
const WRITER: u64 = 9;

fn fault(validator: usize, what: impl Into<String>) -> Violation {
    Violation::Upgrade { validator, what: what.into() }
}

impl World {
    /// A validator's process has ended by itself. A program that does not know the rules of the next height must; any other error
    /// is a fault.
    pub(crate) fn ended(&mut self, number: usize, error: EngineError) -> Result<(), Violation> {
        let newest = self.nodes[number].config.rule_sets.newest().version;
        let EngineError::Rules(RulesError::Unknown { version, height, newest: known, .. }) = &error else {
            return Err(Violation::Failed { validator: number, error });
        };
        if *known != newest || *version <= newest || *height < self.nodes[number].committed + 1 {
            return Err(Violation::Failed { validator: number, error });
        }
        let node = &mut self.nodes[number];
        node.machine = None;
        node.tearing = false;
        self.history.report.stops += 1;
        self.disturbed = self.disturbed.max(self.now + INSTALL_DELAY);
        let after = self.random.below(INSTALL_DELAY);
        self.at(after, Event::Install { node: number });
        Ok(())
    }

    /// Gives a validator the program that knows every rule set, if there are any on trial, and starts it.
    pub(crate) fn install(&mut self, number: usize) -> Result<(), Violation> {
        if self.plan.upgrades.is_some() {
            let sets = rule_sets(NEWEST).map_err(|error| fault(number, error.to_string()))?;
            self.nodes[number].config.rule_sets = sets;
        }
        let is_absent = !self.healed && self.plan.upgrades.as_ref().is_some_and(|u| u.absent == Some(number));
        match self.nodes[number].machine {
            // Which starts it again.
            Some(_) => self.crash(number),
            None if is_absent => {}
            None => self.start(number)?,
        }
        Ok(())
    }

    /// Validators look at the plans and cast ballots, and an account sets a note.
    pub(crate) fn ballots(&mut self) -> Result<(), Violation> {
        self.plan_upgrades()?;
        for number in 0..VALIDATORS {
            if let Some(bytes) = self.ballot(number)? {
                self.submit_ballot(number, bytes)?;
            }
        }
        let node = self.random.below(VALIDATORS as u64) as usize;
        if let Some(bytes) = self.note(node)? {
            self.tell(node, Input::Submit(bytes))?;
        }
        self.at(BALLOTS_PAUSE, Event::Ballots);
        Ok(())
    }

    fn plan_upgrades(&mut self) -> Result<(), Violation> {
        let mut newest = (0, 1);
        for machine in self.nodes.iter().filter_map(|node| node.machine.as_ref()) {
            let state = machine.store().state().map_err(StateError::from)?;
            newest = newest.max((machine.store().tip().height, rules_in_force(&state)?.version));
        }
        if let Some(upgrades) = &mut self.plan.upgrades {
            upgrades.plan(newest.0, newest.1, &mut self.random);
        }
        Ok(())
    }

    /// The ballot that a validator casts now: for the next plan, and seldom against it again.
    fn ballot(&mut self, number: usize) -> Result<Option<Vec<u8>>, Violation> {
        let withdraws = self.random.permille(30);
        let (Some(machine), Some(upgrades)) = (&self.nodes[number].machine, &self.plan.upgrades) else {
            return Ok(None);
        };
        let state = machine.store().state().map_err(StateError::from)?;
        let (key, tip) = (validator(number), machine.store().tip().height);
        let address = key.public().address();
        let next = upgrades.next(rules_in_force(&state)?.version).filter(|next| next.height > tip + 1);
        let Some(next) = next else { return Ok(None) };
        let (height, id) = (next.height, next.id());
        let approved = plan(&state, height, &id)?.is_some_and(|record| record.approvals.contains_key(&address));
        let vote = match (approved, withdraws) {
            (false, _) => UpgradeVote::Approve(next),
            (true, true) => UpgradeVote::Withdraw { height, plan: id },
            (true, false) => return Ok(None),
        };
        let ballot = UpgradeBallot::sign(&key, CHAIN_ID, ballot_count(&state, &address)?.next, vote);
        Ok(Some(Transaction::Upgrade(ballot).encode()))
    }

    fn submit_ballot(&mut self, number: usize, bytes: Vec<u8>) -> Result<(), Violation> {
        let now = self.clock(number);
        self.trace(number, 97, &bytes);
        let Some(machine) = &mut self.nodes[number].machine else { return Ok(()) };
        // A refusal says that one like it waits already, or that the block came meanwhile: the next look finds out.
        let (_, handled) = machine.submit_own(bytes, now);
        self.handled(number, handled)
    }

    /// A note of the writer, which validators under rule set 1 refuse.
    fn note(&mut self, number: usize) -> Result<Option<Vec<u8>>, Violation> {
        let text = format!("note {}", self.random.below(100));
        let (Some(machine), Some(key)) = (&self.nodes[number].machine, account_key(WRITER)) else { return Ok(None) };
        let state = machine.store().state().map_err(StateError::from)?;
        let nonce = account(&state, &key.address())?.nonce;
        let fee = Params::default().accounts.fee_min;
        let signed = AccountTransaction::sign(&key, CHAIN_ID, nonce, fee, Action::from(note(&text)));
        Ok(signed.ok().map(|signed| Transaction::Account(signed).encode()))
    }

    /// Judges the rules of the block that a validator has just committed, and predicts the root of a migration that is next.
    pub(crate) fn follow_rules(&mut self, number: usize) -> Result<(), Violation> {
        let (Some(upgrades), Some(machine)) = (&mut self.plan.upgrades, &self.nodes[number].machine) else {
            return Ok(());
        };
        let (state, sets) = (machine.store().state().map_err(StateError::from)?, &self.nodes[number].config.rule_sets);
        let (in_force, newest) = (rules_in_force(&state)?.version, sets.newest().version);
        if in_force > newest {
            return Err(fault(number, format!("it committed a block by rule set {in_force}, and knows {newest}")));
        }
        let next = machine.store().tip().height + 1;
        if plans_at(&state, next)?.is_empty() {
            return Ok(());
        }
        // A program that does not know the rules has stopped before this.
        let upcoming = Upcoming::of(sets, &state, next).map_err(StateError::from)?;
        if let Some(plan) = upcoming.plan() {
            let root = machine.store().root_with(upcoming.writes()).map_err(StateError::from)?;
            let known = upgrades.predicted.entry((plan.version, next)).or_insert(root);
            if *known != root {
                return Err(fault(number, format!("another root after the migration to rule set {}", plan.version)));
            }
        }
        Ok(())
    }

    /// Returns true where every honest validator follows the newest rule set, or none is on trial.
    pub(crate) fn has_upgraded(&self) -> bool {
        let follows = |number: usize| {
            let machine = self.nodes[number].machine.as_ref()?;
            Some(rules_in_force(&machine.store().state().ok()?).ok()?.version == NEWEST)
        };
        let mut honest = (0..VALIDATORS).filter(|number| self.honest(*number));
        self.plan.upgrades.is_none() || honest.all(|number| follows(number) == Some(true))
    }

    /// Judges states and roots at the end.
    pub(crate) fn judge_upgrades(&self) -> Result<(), Violation> {
        let Some(upgrades) = &self.plan.upgrades else { return Ok(()) };
        for (number, node) in self.nodes.iter().enumerate().filter(|(number, _)| self.honest(*number)) {
            let Some(machine) = &node.machine else { continue };
            let state = machine.store().state().map_err(StateError::from)?;
            for validator in &validators(&state)? {
                let record = validator_record(&state, &validator.address)?;
                let marks = record.map_or(0, |record| record.name.matches(MARK).count());
                if marks != 1 {
                    return Err(fault(number, format!("the record of {} was migrated {marks} times", validator.name)));
                }
            }
            if params(&state)?.blocks.block_transactions_max != BLOCK_TRANSACTIONS_MAX {
                return Err(fault(number, "the limit of transactions is not that of the new rules"));
            }
            if let Some(key) = account_key(WRITER) {
                // Fails where a note has the form of the rules before.
                read_note(&state, NEWEST, &key.address())?;
            }
            let roots = machine.store().migrated_roots().map_err(StateError::from)?;
            let versions: Vec<u32> = roots.iter().map(|root| root.version).collect();
            let unpredicted = roots.iter().find(|root| {
                upgrades.predicted.get(&(root.version, root.height)).is_some_and(|predicted| *predicted != root.root)
            });
            if versions != [2, 3] || unpredicted.is_some() {
                return Err(fault(number, format!("its migrated roots {roots:?} are not those that were predicted")));
            }
        }
        Ok(())
    }
}
