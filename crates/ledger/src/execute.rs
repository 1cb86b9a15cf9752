//! The execution of a block: begin (epoch), transactions in order, end (windows that close, fees, validators).
//!
//! Everything goes through one [`Executor`], which the proposer uses too when it picks transactions, so that what is
//! proposed is what will take effect.

use std::sync::Arc;

use crate::block::{Block, BlockError, BlockLimits, Certificate, Header};
use crate::checked::CheckedBlock;
use crate::context::Context;
use crate::dispatch;
use crate::error::CheckError;
use crate::event::{Execution, LedgerEvent, Receipt};
use crate::keys;
use crate::modules::{accounts, epochs, sources, validators, windows};
use crate::params::params;
use crate::retention;
use crate::rules::{BlockMeta, Rules};
use crate::state::{StateError, StateRead};
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
}

/// Executes a block, verifying its signatures. Fails if the block must not have been decided, or if the store does.
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
    execute_checked(state, block.hashed().check(&BlockLimits::of(&params(state)?), verified)?)
}

/// Executes a block whose form was checked against the limits of this state. Fails as [`execute_block`].
pub fn execute_checked(state: &dyn StateRead, checked: CheckedBlock<'_>) -> Result<Execution, ExecuteError> {
    let block = checked.block();
    let mut executor = Executor::begin(state, &block.header, block.last_commit.as_ref())?;
    for transaction in checked.into_transactions() {
        executor.execute(transaction)?;
    }
    Ok(executor.finish()?)
}

/// One block's execution in progress.
pub(crate) struct Executor<'a> {
    context: Context<'a>,
    /// Events of the block before its transactions.
    before: Vec<LedgerEvent>,
    /// Receipts and events of the transactions, in the order in which they were tried.
    executed: Vec<(Receipt, Vec<LedgerEvent>)>,
}

impl<'a> Executor<'a> {
    /// Begins the block: a new epoch begins with its first block, and the last block's signers are counted.
    pub fn begin(
        state: &'a dyn StateRead,
        header: &Header,
        last_commit: Option<&Certificate>,
    ) -> Result<Executor<'a>, ExecuteError> {
        let rules = Rules::of_block(state, header.height, header.time)?;
        let set = validators::validators(state)?;
        if set.get(&header.proposer).is_none() {
            return Err(BlockError::Proposer(header.proposer).into());
        }
        let mut context = Context::new(state, rules, header.proposer);
        if epochs::begin(&mut context, &header.parent, &set)? {
            sources::remove_retired(&mut context)?;
        }
        validators::count_signers(&mut context, last_commit)?;
        validators::note_failed_turns(&mut context, last_commit)?;
        let before = std::mem::take(&mut context.events);
        Ok(Executor { context, before, executed: Vec::new() })
    }

    /// Executes a transaction of the block and writes its receipt.
    fn execute(&mut self, transaction: Result<Arc<VerifiedTransaction>, Box<Unsigned>>) -> Result<(), StateError> {
        let refused = match transaction {
            Ok(verified) => match self.apply(&verified) {
                Ok(()) => return Ok(()),
                Err(CheckError::Refused(error)) => Receipt::of(&verified, Some(error)),
                Err(CheckError::State(error)) => return Err(error),
            },
            Err(unsigned) => Receipt::unverified(*unsigned),
        };
        self.executed.push((refused, Vec::new()));
        Ok(())
    }

    /// Lets a transaction take effect and writes its receipt, or leaves everything as it was, without a receipt.
    pub fn apply(&mut self, verified: &VerifiedTransaction) -> Result<(), CheckError> {
        dispatch::apply(&mut self.context, verified)?;
        let events = std::mem::take(&mut self.context.events);
        self.executed.push((Receipt::of(verified, None), events));
        Ok(())
    }

    /// Ends the block. A proposer tries transactions in another order than that of the classes in the block, which is the
    /// order of receipts and events.
    pub fn finish(self) -> Result<Execution, StateError> {
        let Executor { mut context, before: mut events, mut executed } = self;
        executed.sort_by_key(|(receipt, _)| receipt.class.rank());
        let mut receipts = Vec::with_capacity(executed.len());
        for (index, (receipt, of_transaction)) in executed.into_iter().enumerate() {
            receipts.push(Receipt { index: index as u32, ..receipt });
            events.extend(of_transaction);
        }
        windows::close_due(&mut context)?;
        retention::prune(&mut context)?;
        let earner = validators::count_proposal(&mut context)?;
        accounts::pay_fees(&mut context, earner)?;
        accounts::store(&mut context);
        let meta = BlockMeta { height: context.height, time: context.rules.time };
        context.state.put(keys::BLOCK.to_vec(), &meta);
        validators::rotate_passed_over(&mut context)?;
        validators::store_presence(&mut context)?;
        validators::rotate(&mut context)?;
        let first_fact = epochs::append_facts(&mut context)?;
        events.append(&mut context.events);
        let (epoch, facts) = (context.rules.epoch, context.facts);
        Ok(Execution { writes: context.state.into_writes(), receipts, events, epoch, first_fact, facts })
    }
}
