//! The way of a transaction to the module that it belongs to. One line for each module with actions, in check and effect.

use openmesh_primitives::{Address, Amount};

use crate::action::Action;
use crate::context::Context;
use crate::error::CheckError;
use crate::modules::accounts;
use crate::modules::evidence;
use crate::modules::sources;
use crate::modules::windows;
use crate::rules::Rules;
use crate::state::StateRead;
use crate::transaction::{AccountTransaction, Transaction};
use crate::verify::VerifiedTransaction;

/// Checks an account's transaction. Returns the amount that the sender loses, fee included.
pub(crate) fn check_account_transaction(
    rules: &Rules,
    state: &dyn StateRead,
    transaction: &AccountTransaction,
    sender: Address,
    account: Option<accounts::Account>,
) -> Result<Amount, CheckError> {
    rules.chain(transaction.chain_id)?;
    let lost = accounts::check_sender(&rules.params, transaction, sender, account)?;
    match &transaction.action {
        Action::Accounts(action) => accounts::check(rules, state, sender, action)?,
        Action::Sources(action) => sources::check(rules, state, sender, action)?,
    }
    Ok(lost)
}

/// Lets a transaction take effect, or leaves everything as it was.
pub(crate) fn apply(context: &mut Context<'_>, verified: &VerifiedTransaction) -> Result<(), CheckError> {
    context.rules.size(verified.bytes())?;
    context.transaction = verified.hash();
    match verified.transaction() {
        Transaction::Account(transaction) => apply_account_transaction(context, transaction, verified),
        Transaction::Attestation(attestation) => windows::apply(context, attestation, verified.sender()),
        Transaction::Commitment(commitment) => windows::apply_commitment(context, commitment, verified.sender()),
        Transaction::Evidence(shown) => evidence::apply(context, shown, verified.hash()),
    }
}

fn apply_account_transaction(
    context: &mut Context<'_>,
    transaction: &AccountTransaction,
    verified: &VerifiedTransaction,
) -> Result<(), CheckError> {
    let sender = verified.sender();
    let account = accounts::load(context, sender)?;
    let lost = check_account_transaction(&context.rules, &context.state, transaction, sender, account)?;
    accounts::charge(context, sender, lost, transaction.fee)?;
    match &transaction.action {
        Action::Accounts(action) => accounts::apply(context, sender, action),
        Action::Sources(action) => sources::apply(context, sender, action),
    }
}
