//! The check of a transaction that waits for a block: the same rules as for the execution, against the last state.

use openmesh_primitives::{Address, Amount, Digest, Height};

use crate::action::Action;
use crate::dispatch::check_account_transaction;
use crate::error::{CheckError, TransactionError};
use crate::keys;
use crate::modules::accounts::{self, AccountsError};
use crate::modules::evidence::{self, EVIDENCE_AGE_BLOCKS_MAX};
use crate::modules::fees::Charge;
use crate::modules::upgrades::{self, RulesInForce};
use crate::modules::windows;
use crate::params::Params;
use crate::rule_set::{RuleSets, RulesError};
use crate::rules::Rules;
use crate::state::{StateError, StateRead, read};
use crate::transaction::{AccountTransaction, Class, Transaction};
use crate::verify::{VerifiedTransaction, verify_stateless};

/// A transaction that may take effect, as a mempool wants to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// SHA-256 of the bytes.
    pub hash: Digest,
    /// Its class.
    pub class: Class,
    /// Account or validator; of evidence, the validator that it names.
    pub sender: Address,
    /// Of an account's transaction.
    pub nonce: Option<u64>,
    /// Of an account's transaction, the fee in the next block; zero for an attestation.
    pub fee: Amount,
    /// Length of the bytes.
    pub bytes: u64,
    /// The last height that may still include it, where it is known.
    pub expires_after_height: Option<Height>,
}

/// Checks a transaction for the mempool: its signature, then against the state.
pub fn check_transaction(state: &dyn StateRead, bytes: &[u8]) -> Result<Checked, CheckError> {
    check_verified(state, &verify_stateless(bytes)?)
}

/// The part against the state. Hand in an [`crate::Overlay`] to check against what waits already.
pub fn check_verified(state: &dyn StateRead, verified: &VerifiedTransaction) -> Result<Checked, CheckError> {
    MempoolRules::of(state)?.check(state, verified)
}

/// The rules for all transactions that wait for the next block, read once for each block, not for each of them.
#[derive(Clone, Debug)]
pub struct MempoolRules {
    rules: Rules,
    /// First height that was executed by the rule set in force.
    since: Height,
}

impl MempoolRules {
    /// After the state's last block, by the rule sets of this crate. Fails if the store does, or if the state is of another rule set.
    pub fn of(state: &dyn StateRead) -> Result<MempoolRules, StateError> {
        Ok(MempoolRules::under(&RuleSets::built_in(), state)?)
    }

    /// The same by these rule sets. Fails if the store does, or if none of them is in force.
    pub fn under(sets: &RuleSets, state: &dyn StateRead) -> Result<MempoolRules, RulesError> {
        let RulesInForce { since, .. } = upgrades::rules_in_force(state)?;
        Ok(MempoolRules { rules: Rules::of_mempool(sets, state)?, since })
    }

    /// The network's parameters.
    pub const fn params(&self) -> &Params {
        &self.rules.params
    }

    /// Returns true where the block of a height or a later one brought another rule set: what waited before that block was checked by
    /// other rules.
    pub const fn changed_since(&self, height: Height) -> bool {
        self.since > 0 && self.since >= height
    }

    /// Base fee of a unit of weight in the next block.
    pub const fn base_fee(&self) -> Amount {
        self.rules.base_fee
    }

    /// Everything that a transaction would take from its sender in the next block, whatever its nonce. Fails by fee or balance.
    pub fn charge(
        &self,
        transaction: &AccountTransaction,
        sender: Address,
        balance: Amount,
    ) -> Result<Charge, AccountsError> {
        accounts::check_charge(&self.rules.params, self.rules.base_fee, transaction, sender, balance)
    }

    /// Checks what of an action depends on no state, for a transaction that waits for those of its sender before it: its bytes are
    /// carried and kept until then. Fails by the action.
    pub fn check_form(&self, action: &Action) -> Result<(), TransactionError> {
        self.rules.action(action)?;
        action.check_form()
    }

    /// [`check_verified`] against the state that these rules were read from.
    pub fn check(&self, state: &dyn StateRead, verified: &VerifiedTransaction) -> Result<Checked, CheckError> {
        let MempoolRules { rules, .. } = self;
        rules.size(verified.bytes())?;
        let sender = verified.sender();
        let checked = |nonce, fee, expires_after_height| Checked {
            hash: verified.hash(),
            class: verified.class(),
            sender,
            nonce,
            fee,
            bytes: verified.bytes().len() as u64,
            expires_after_height,
        };
        match verified.transaction() {
            Transaction::Account(transaction) => {
                let account = read(state, &keys::account(&sender))?;
                let charge = check_account_transaction(rules, state, transaction, sender, account)?;
                Ok(checked(Some(transaction.nonce), charge.fee.total(), None))
            }
            Transaction::Attestation(attestation) => {
                let admission = windows::check(rules, state, attestation, sender)?;
                // The first of a window must come in its own epoch or the next one, whose end is a time and not a height.
                let last = (!admission.opens).then_some(admission.window.closes_at);
                Ok(checked(None, Amount::ZERO, last))
            }
            Transaction::Commitment(commitment) => {
                let admission = windows::check_commitment(rules, state, commitment, sender)?;
                let last = (!admission.opens).then_some(admission.window.commits_until);
                Ok(checked(None, Amount::ZERO, last))
            }
            Transaction::Evidence(shown) => {
                evidence::check(rules, state, shown)?;
                let last = shown.height.saturating_add(EVIDENCE_AGE_BLOCKS_MAX);
                Ok(checked(None, Amount::ZERO, Some(last)))
            }
            Transaction::Upgrade(ballot) => {
                upgrades::check(rules, state, ballot, sender)?;
                Ok(checked(None, Amount::ZERO, None))
            }
        }
    }
}
