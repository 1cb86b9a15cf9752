//! The execution of a block: begin (upgrade, epoch), transactions in order, end (windows that close, fees, validators).
//!
//! Everything goes through one [`Executor`], which the proposer uses too when it picks transactions, so that what is
//! proposed is what will take effect.

use std::sync::Arc;

use crate::block::{Block, BlockError, Certificate, Header};
use crate::checked::CheckedBlock;
use crate::context::Context;
use crate::dispatch;
use crate::error::CheckError;
use crate::event::{Execution, LedgerEvent, Receipt};
use crate::fact::Fact;
use crate::keys;
use crate::modules::{accounts, beacon, epochs, fees, sources, supply, upgrades, validators, windows};
use crate::retention;
use crate::rule_set::{RuleSets, RulesError};
use crate::rules::{BlockMeta, Rules};
use crate::state::{StateError, StateRead};
use crate::upcoming::{Migration, Upcoming};
use crate::verify::{Unsigned, VerifiedTransaction};

/// A failure to execute a block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExecuteError {
    /// The block is invalid and must never have been decided.
    #[error("the block is invalid")]
    Block(#[from] BlockError),
    /// This node's store is broken.
    #[error(transparent)]
    State(#[from] StateError),
    /// This program has no rules for the block.
    #[error(transparent)]
    Rules(RulesError),
}

impl From<RulesError> for ExecuteError {
    fn from(error: RulesError) -> ExecuteError {
        match error {
            RulesError::State(error) => ExecuteError::State(error),
            other => ExecuteError::Rules(other),
        }
    }
}

/// Executes a block by the rule sets of this crate, verifying its signatures. Fails if the block must not have been decided, or if
/// the store does.
pub fn execute_block(state: &dyn StateRead, block: &Block) -> Result<Execution, ExecuteError> {
    execute_block_verified(state, block, &[])
}

/// Executes a block of which some transactions were verified before. An entry that is not of the transaction at its
/// position is ignored, and missing ones are verified here: the result does not depend on them. Fails as
/// [`execute_block`].
pub fn execute_block_verified(
    state: &dyn StateRead,
    block: &Block,
    verified: &[Option<Arc<VerifiedTransaction>>],
) -> Result<Execution, ExecuteError> {
    let upcoming = Upcoming::of(&RuleSets::built_in(), state, block.header.height)?;
    execute_block_on(&upcoming, state, block, verified)
}

/// [`execute_block_verified`] by the rule set with which the block's height begins: it is that of this state.
pub fn execute_block_on(
    upcoming: &Upcoming,
    state: &dyn StateRead,
    block: &Block,
    verified: &[Option<Arc<VerifiedTransaction>>],
) -> Result<Execution, ExecuteError> {
    execute_checked(upcoming, state, block.hashed().check(upcoming, verified)?)
}

/// Executes a block whose form was checked under the same rule set. Fails as [`execute_block`].
pub fn execute_checked(
    upcoming: &Upcoming,
    state: &dyn StateRead,
    checked: CheckedBlock<'_>,
) -> Result<Execution, ExecuteError> {
    let block = checked.block();
    let mut executor = Executor::begin(upcoming, state, &block.header, block.last_commit.as_ref())?;
    for transaction in checked.into_transactions() {
        executor.execute(transaction)?;
    }
    Ok(executor.finish()?)
}

/// One block's execution in progress.
pub(crate) struct Executor<'a> {
    context: Context<'a>,
    /// Given by the block before its transactions.
    before: Given,
    /// Receipts of the transactions and what each gave, in the order in which they were tried.
    executed: Vec<(Receipt, Given)>,
    migration: Option<Migration>,
}

/// Events and facts, of one transaction or of the block before its transactions. Both stand in the block's order, which is not the
/// one in which a proposer tries.
#[derive(Default)]
struct Given {
    events: Vec<LedgerEvent>,
    facts: Vec<Fact>,
}

impl Given {
    /// All that was given since the last time.
    fn take(context: &mut Context<'_>) -> Given {
        Given { events: std::mem::take(&mut context.events), facts: std::mem::take(&mut context.facts) }
    }
}

impl<'a> Executor<'a> {
    /// Begins the block: first of all a plan that is due takes effect, a new epoch begins with its first block, the beacon takes its
    /// step, and the last block's signers are counted.
    pub fn begin(
        upcoming: &Upcoming,
        state: &'a dyn StateRead,
        header: &Header,
        last_commit: Option<&Certificate>,
    ) -> Result<Executor<'a>, ExecuteError> {
        let migrated = upcoming.state(state);
        let version = upcoming.set().version;
        let rules = Rules::of_block(upcoming.sets(), version, &migrated, header.height, header.time)?;
        let set = validators::validators(&migrated)?;
        if set.get(&header.proposer).is_none() {
            return Err(BlockError::Proposer(header.proposer).into());
        }
        let mut context = Context::new(migrated, rules, header.proposer);
        upgrades::begin(&mut context, upcoming.due(), upcoming.writes().len() as u64)?;
        if epochs::begin(&mut context, &set)? {
            sources::remove_retired(&mut context)?;
        }
        let output = header.beacon_proof.output().ok_or(BlockError::BeaconProof)?;
        // A key that was made when some of the epoch's outputs were known may have been chosen for them.
        if epochs::epoch_validators(&context.state)?.get(&header.proposer).is_some() {
            beacon::advance(&mut context, &output)?;
        }
        validators::count_signers(&mut context, last_commit)?;
        validators::note_failed_turns(&mut context, last_commit)?;
        let before = Given::take(&mut context);
        Ok(Executor { context, before, executed: Vec::new(), migration: upcoming.migration() })
    }

    /// Executes a transaction of the block and writes its receipt.
    fn execute(&mut self, transaction: Result<Arc<VerifiedTransaction>, Box<Unsigned>>) -> Result<(), StateError> {
        let refused = match transaction {
            Ok(verified) => match self.apply(&verified) {
                Ok(()) => return Ok(()),
                Err(CheckError::Refused(error)) => Receipt::of(&verified, Err(error)),
                Err(CheckError::State(error)) => return Err(error),
            },
            Err(unsigned) => Receipt::unverified(*unsigned),
        };
        self.executed.push((refused, Given::default()));
        Ok(())
    }

    /// Lets a transaction take effect and writes its receipt, or leaves everything as it was, without a receipt.
    pub fn apply(&mut self, verified: &VerifiedTransaction) -> Result<(), CheckError> {
        let fee = dispatch::apply(&mut self.context, verified)?;
        let given = Given::take(&mut self.context);
        self.executed.push((Receipt::of(verified, Ok(fee)), given));
        Ok(())
    }

    /// Ends the block. A proposer tries transactions in another order than that of the classes in the block, which is the
    /// order of receipts, events and facts.
    pub fn finish(self) -> Result<Execution, StateError> {
        let Executor { mut context, before: Given { mut events, facts }, mut executed, migration } = self;
        context.facts = facts;
        executed.sort_by_key(|(receipt, _)| receipt.class.rank());
        let mut receipts = Vec::with_capacity(executed.len());
        for (index, (receipt, of_transaction)) in executed.into_iter().enumerate() {
            receipts.push(Receipt { index: index as u32, ..receipt });
            events.extend(of_transaction.events);
            context.facts.extend(of_transaction.facts);
        }
        windows::close_due(&mut context)?;
        retention::prune(&mut context)?;
        let earner = validators::count_proposal(&mut context)?;
        fees::close(&mut context, earner)?;
        accounts::store(&mut context);
        supply::close(&mut context)?;
        let meta = BlockMeta { height: context.height, time: context.rules.time };
        context.state.put(keys::BLOCK.to_vec(), &meta);
        validators::rotate_turns(&mut context)?;
        validators::store_presence(&mut context)?;
        validators::rotate(&mut context)?;
        let first_fact = epochs::append_facts(&mut context)?;
        events.append(&mut context.events);
        let (epoch, facts) = (context.rules.epoch, context.facts);
        let writes = context.state.into_writes();
        Ok(Execution { writes, receipts, events, epoch, first_fact, facts, migration })
    }
}
