//! The execution of a block: begin (epoch), transactions in order, end (windows that close, fees, validators).
//!
//! Everything goes through one [`Executor`], which the proposer uses too when it picks transactions, so that what is
//! proposed is what will take effect. Accounts are kept decoded for the length of a block, because a busy block
//! touches some of them thousands of times.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use openmesh_primitives::{Address, Amount, Height, sha256};

use crate::admit::{Rules, source_count};
use crate::state::read;
use crate::verify::verify_decoded;
use crate::{
    Account, AccountTransaction, Action, Block, BlockError, BlockLimits, BlockMeta, Certificate, CheckError,
    EPOCHS_KEPT, EpochRecord, Execution, Header, LedgerEvent, Overlay, Receipt, SourceRecord, SourceSpec, StateError,
    StateRead, Transaction, TransactionError, ValidatorRecord, VerifiedTransaction, epoch_first_height, epoch_seed,
    keys, last_validators, next_validators, params, validator_record, validators,
};

/// Why a block cannot be executed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExecuteError {
    /// The block is invalid and must never have been decided.
    #[error("the block is invalid")]
    Block(#[from] BlockError),
    /// This node's store is broken.
    #[error(transparent)]
    State(#[from] StateError),
}

/// One block's execution in progress.
pub(crate) struct Executor<S> {
    pub state: Overlay<S>,
    pub rules: Rules,
    pub height: Height,
    pub events: Vec<LedgerEvent>,
    pub incidents: u32,
    proposer: Address,
    accounts: BTreeMap<Address, Option<Account>>,
    fees: Amount,
    receipts: Vec<Receipt>,
}

/// Executes a block, verifying its signatures.
pub fn execute_block(state: &impl StateRead, block: &Block) -> Result<Execution, ExecuteError> {
    execute_block_verified(state, block, &[])
}

/// Executes a block of which some transactions were verified before. An entry that is not of the transaction at its
/// position is ignored, and missing ones are verified here: the result does not depend on them.
pub fn execute_block_verified(
    state: &impl StateRead,
    block: &Block,
    verified: &[Option<Arc<VerifiedTransaction>>],
) -> Result<Execution, ExecuteError> {
    let decoded = block.verify_basic(&BlockLimits::of(&params(state)?))?;
    let mut executor = Executor::begin(state, &block.header)?;
    executor.count_signers(block.last_commit.as_ref())?;
    for (index, (bytes, transaction)) in block.transactions.iter().zip(decoded).enumerate() {
        let known = verified.get(index).and_then(Option::as_deref).filter(|known| known.bytes() == bytes);
        executor.execute(bytes, transaction, known)?;
    }
    Ok(executor.finish()?)
}

impl<S: StateRead> Executor<S> {
    /// Opens the block: a new epoch begins with its first block.
    pub fn begin(state: S, header: &Header) -> Result<Executor<S>, ExecuteError> {
        let rules = Rules::of_block(&state, header.height, header.time)?;
        let set = validators(&state)?;
        if set.get(&header.proposer).is_none() {
            return Err(BlockError::Proposer(header.proposer).into());
        }
        let mut state = Overlay::new(state);
        let epoch = rules.epoch;
        if epoch > 0 && header.height == epoch_first_height(epoch, rules.params.epoch_blocks) {
            let seed = epoch_seed(&header.parent, epoch);
            state.put(keys::epoch(epoch), &EpochRecord { seed, first_height: header.height, validators: set });
            if let Some(old) = epoch.checked_sub(EPOCHS_KEPT) {
                state.delete(keys::epoch(old));
            }
        }
        Ok(Executor {
            state,
            rules,
            height: header.height,
            events: Vec::new(),
            incidents: 0,
            proposer: header.proposer,
            accounts: BTreeMap::new(),
            fees: Amount::ZERO,
            receipts: Vec::new(),
        })
    }

    /// Executes a transaction of the block and writes its receipt.
    fn execute(
        &mut self,
        bytes: &[u8],
        transaction: Transaction,
        known: Option<&VerifiedTransaction>,
    ) -> Result<(), StateError> {
        let class = transaction.class();
        let (nonce, offered) = match &transaction {
            Transaction::Account(inner) => (Some(inner.nonce), inner.fee),
            Transaction::Attestation(_) | Transaction::Evidence(_) => (None, Amount::ZERO),
        };
        let fresh;
        let verified = match known {
            Some(known) => Ok(known),
            None => {
                fresh = verify_decoded(bytes, transaction);
                fresh.as_ref().map_err(Clone::clone)
            }
        };
        let sender = verified.as_ref().ok().map(|v| v.sender());
        let hash = verified.as_ref().map_or_else(|_| sha256(&[bytes]), |v| v.hash());
        let error = match verified.map_err(CheckError::from).and_then(|v| self.apply(v)) {
            Ok(()) => None,
            Err(CheckError::Refused(error)) => Some(error),
            Err(CheckError::State(error)) => return Err(error),
        };
        let fee = if error.is_none() { offered } else { Amount::ZERO };
        let index = self.receipts.len() as u32;
        self.receipts.push(Receipt { hash, index, class, sender, nonce, fee, error });
        Ok(())
    }

    /// Lets a transaction take effect, or leaves everything as it was.
    pub fn apply(&mut self, verified: &VerifiedTransaction) -> Result<(), CheckError> {
        self.rules.size(verified.bytes())?;
        match verified.transaction() {
            Transaction::Account(transaction) => self.apply_account(transaction, verified),
            Transaction::Attestation(attestation) => self.attest(attestation, verified.sender()),
            Transaction::Evidence(evidence) => self.accuse(evidence, verified.hash()),
        }
    }

    fn apply_account(
        &mut self,
        transaction: &AccountTransaction,
        verified: &VerifiedTransaction,
    ) -> Result<(), CheckError> {
        let sender = verified.sender();
        let account = self.account(sender)?;
        let lost = self.rules.account(&self.state, transaction, sender, account)?;
        let before = account.unwrap_or_default();
        let balance = before.balance.checked_sub(lost).ok_or(TransactionError::Overdraft {
            account: sender,
            balance: before.balance,
            needed: lost,
        })?;
        self.accounts.insert(sender, Some(Account { balance, nonce: before.nonce + 1 }));
        self.fees = Amount(self.fees.0.saturating_add(transaction.fee.0));
        match &transaction.action {
            Action::Transfer { to, amount } => self.transfer(sender, *to, *amount, verified),
            Action::RegisterSource(spec) => self.register(sender, spec),
        }
    }

    fn transfer(
        &mut self,
        from: Address,
        to: Address,
        amount: Amount,
        verified: &VerifiedTransaction,
    ) -> Result<(), CheckError> {
        // Read after the sender's balance was lowered: it may be the same account.
        let receiver = self.account(to)?.unwrap_or_default();
        let receiver = self.rules.credit(receiver, amount)?;
        self.accounts.insert(to, Some(receiver));
        let (transaction, height) = (verified.hash(), self.height);
        self.events.push(LedgerEvent::Transferred { from, to, amount, transaction, height });
        Ok(())
    }

    fn register(&mut self, owner: Address, spec: &SourceSpec) -> Result<(), CheckError> {
        let active_from_epoch = self.rules.epoch + 1;
        let record =
            SourceRecord { spec: spec.clone(), owner: Some(owner), registered_height: self.height, active_from_epoch };
        let count = source_count(&self.state)?;
        self.state.put(keys::source(&spec.id), &record);
        self.state.put(keys::SOURCE_COUNT.to_vec(), &(count + 1));
        let (id, height) = (spec.id.clone(), self.height);
        self.events.push(LedgerEvent::SourceRegistered { id, owner, active_from_epoch, height });
        Ok(())
    }

    fn account(&mut self, address: Address) -> Result<Option<Account>, StateError> {
        if let Some(known) = self.accounts.get(&address) {
            return Ok(*known);
        }
        let account = read(&self.state, &keys::account(&address))?;
        self.accounts.insert(address, account);
        Ok(account)
    }

    /// Changes what the ledger remembers about a validator.
    pub fn update_validator(
        &mut self,
        validator: &Address,
        change: impl FnOnce(&mut ValidatorRecord),
    ) -> Result<(), StateError> {
        if let Some(mut record) = validator_record(&self.state, validator)? {
            change(&mut record);
            self.state.put(keys::validator(validator), &record);
        }
        Ok(())
    }

    /// Closes the block.
    pub fn finish(mut self) -> Result<Execution, StateError> {
        self.close_windows()?;
        let proposer = self.proposer;
        self.update_validator(&proposer, |record| record.proposed += 1)?;
        self.pay_proposer()?;
        for (address, account) in std::mem::take(&mut self.accounts) {
            if let Some(account) = account {
                self.state.put(keys::account(&address), &account);
            }
        }
        self.state.put(keys::BLOCK.to_vec(), &BlockMeta { height: self.height, time: self.rules.time });
        self.rotate_validators()?;
        Ok(Execution { writes: self.state.into_writes(), receipts: self.receipts, events: self.events })
    }

    fn pay_proposer(&mut self) -> Result<(), StateError> {
        if self.fees == Amount::ZERO {
            return Ok(());
        }
        let earner = validator_record(&self.state, &self.proposer)?.map_or(self.proposer, |record| record.earner());
        let account = self.account(earner)?.unwrap_or_default();
        let account = self.rules.credit(account, self.fees)?;
        self.accounts.insert(earner, Some(account));
        Ok(())
    }

    /// Remembers whose signature the last block's commit lacks, as this block has it.
    fn count_signers(&mut self, last_commit: Option<&Certificate>) -> Result<(), StateError> {
        let (Some(commit), Some(set)) = (last_commit, last_validators(&self.state)?) else { return Ok(()) };
        let signed: BTreeSet<&Address> = commit.signatures.iter().map(|(address, _)| address).collect();
        for validator in set.iter().filter(|v| !signed.contains(&v.address)) {
            self.update_validator(&validator.address, |record| record.unsigned += 1)?;
        }
        Ok(())
    }

    /// What was the next set becomes the current one: a change written in block H is in force from H + 2.
    fn rotate_validators(&mut self) -> Result<(), StateError> {
        let (current, next) = (validators(&self.state)?, next_validators(&self.state)?);
        if last_validators(&self.state)?.as_ref() != Some(&current) {
            self.state.put(keys::VALIDATORS_LAST.to_vec(), &current);
        }
        if current != next {
            self.state.put(keys::VALIDATORS_CURRENT.to_vec(), &next);
        }
        Ok(())
    }
}
