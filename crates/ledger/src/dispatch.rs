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
use crate::rule_set::{MigrationWrites, RegisteredCall, RegisteredRules, of_accounts, of_consensus};
use crate::rules::Rules;
use crate::state::{Overlay, StateRead};
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
    rules.action(&transaction.action)?;
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

/// Lets a registered action take effect beside the state. Returns its writes. Those to what this ledger keeps by itself are refused: to
/// consensus' keys, and to accounts, of which the block has newer ones than the state that the action sees.
fn registered_writes(
    context: &Context<'_>,
    sender: Address,
    action: &RegisteredAction,
) -> Result<MigrationWrites, CheckError> {
    let rules = registered(&context.rules, action)?;
    let mut own = Overlay::new(&context.state as &dyn StateRead);
    (rules.apply)(&mut own, &call(&context.rules, sender, action))?;
    let writes = own.into_writes();
    match of_consensus(&writes).or_else(|| of_accounts(&writes)) {
        None => Ok(writes),
        Some(key) => {
            let reason = format!("the action would write {key:?}, which no registered action may");
            Err(UpgradesError::RegisteredRefused { reason }.into())
        }
    }
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
    // Before the fee is taken: what is refused leaves everything as it was.
    let writes = match &transaction.action {
        Action::Registered(action) => registered_writes(context, sender, action)?,
        _ => MigrationWrites::new(),
    };
    accounts::charge(context, sender, lost, transaction.fee)?;
    match &transaction.action {
        Action::Accounts(action) => accounts::apply(context, sender, action),
        Action::Sources(action) => sources::apply(context, sender, action),
        Action::Registered(_) => {
            context.state.absorb(writes);
            Ok(())
        }
    }
}
