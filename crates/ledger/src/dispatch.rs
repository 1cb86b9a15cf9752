//! The way of a transaction to the module that it belongs to. One line for each module with actions, in check and effect.

use openmesh_primitives::{Address, Amount};

use crate::action::Action;
use crate::context::Context;
use crate::error::CheckError;
use crate::modules::accounts;
use crate::modules::evidence;
use crate::modules::sources;
use crate::modules::upgrades::{self, UpgradesError};
use crate::modules::windows;
use crate::registered::RegisteredAction;
use crate::rule_set::{RegisteredCall, RegisteredRules};
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
    rules.action(&transaction.action)?;
    let lost = accounts::check_sender(&rules.params, transaction, sender, account)?;
    match &transaction.action {
        Action::Accounts(action) => accounts::check(rules, state, sender, action)?,
        Action::Sources(action) => sources::check(rules, state, sender, action)?,
        Action::Registered(action) => (registered(rules, action)?.check)(state, &call(rules, sender, action))?,
    }
    Ok(lost)
}

/// The rules of a registered action. A rule set that has the action has them as well.
fn registered(rules: &Rules, action: &RegisteredAction) -> Result<RegisteredRules, UpgradesError> {
    let (tag, version) = (action.tag, rules.version);
    rules.registered().ok_or(UpgradesError::ActionNotInForce { tag, version })
}

fn call<'a>(rules: &Rules, sender: Address, action: &'a RegisteredAction) -> RegisteredCall<'a> {
    RegisteredCall { sender, height: rules.height, version: rules.version, action }
}

/// Lets a transaction take effect, or leaves everything as it was.
pub(crate) fn apply(context: &mut Context<'_>, verified: &VerifiedTransaction) -> Result<(), CheckError> {
    context.rules.size(verified.bytes())?;
    context.transaction = verified.hash();
    match verified.transaction() {
        Transaction::Account(transaction) => apply_account_transaction(context, transaction, verified),
        Transaction::Attestation(attestation) => windows::apply(context, attestation, verified.sender()),
        Transaction::Evidence(shown) => evidence::apply(context, shown, verified.hash()),
        Transaction::Upgrade(ballot) => upgrades::apply(context, ballot, verified.sender()),
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
        Action::Registered(action) => {
            let rules = registered(&context.rules, action)?;
            let call = call(&context.rules, sender, action);
            Ok((rules.apply)(&mut context.state, &call)?)
        }
    }
}
