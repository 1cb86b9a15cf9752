//! The way of a transaction to the module that it belongs to. One line for each module with actions, in check and effect.

use openmesh_primitives::Address;

use crate::action::Action;
use crate::context::Context;
use crate::error::CheckError;
use crate::modules::accounts;
use crate::modules::evidence;
use crate::modules::fees::{Charge, Fee};
use crate::modules::sources;
use crate::modules::stamps;
use crate::modules::upgrades::{self, UpgradesError};
use crate::modules::windows;
use crate::registered::RegisteredAction;
use crate::rule_set::{MigrationWrites, RegisteredCall, RegisteredRules, of_consensus, of_supply};
use crate::rules::Rules;
use crate::state::{Overlay, StateRead};
use crate::transaction::{AccountTransaction, Transaction};
use crate::verify::VerifiedTransaction;

/// Checks an account's transaction. Returns what it takes from its sender.
pub(crate) fn check_account_transaction(
    rules: &Rules,
    state: &dyn StateRead,
    transaction: &AccountTransaction,
    sender: Address,
    account: Option<accounts::Account>,
) -> Result<Charge, CheckError> {
    rules.chain(transaction.chain_id)?;
    let charge = accounts::check_sender(&rules.params, rules.base_fee, transaction, sender, account)?;
    rules.action(&transaction.action)?;
    match &transaction.action {
        Action::Accounts(action) => accounts::check(rules, state, sender, action)?,
        Action::Sources(action) => sources::check(rules, state, sender, action)?,
        Action::Stamps(action) => stamps::check(rules, state, sender, action)?,
        Action::Registered(action) => (registered(rules, action)?.check)(state, &call(rules, sender, action))?,
    }
    Ok(charge)
}

/// The rules of a registered action. A rule set that has the action has them as well.
fn registered(rules: &Rules, action: &RegisteredAction) -> Result<RegisteredRules, UpgradesError> {
    let (tag, version) = (action.tag, rules.version);
    rules.registered().ok_or(UpgradesError::ActionNotInForce { tag, version })
}

/// Lets a registered action take effect beside the state. Returns its writes. Those to what this ledger keeps by itself are refused: to
/// consensus' keys, and to those under which OPEN stands: the block has newer accounts than the state that the action sees, and adds up
/// what its own effects change.
fn registered_writes(
    context: &Context<'_>,
    sender: Address,
    action: &RegisteredAction,
) -> Result<MigrationWrites, CheckError> {
    let rules = registered(&context.rules, action)?;
    let mut own = Overlay::new(&context.state as &dyn StateRead);
    (rules.apply)(&mut own, &call(&context.rules, sender, action))?;
    let writes = own.into_writes();
    match of_consensus(&writes).or_else(|| of_supply(&writes)) {
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

/// Lets a transaction take effect, or leaves everything as it was. Returns the fee that it paid: attestations, commitments, evidence
/// and ballots pay none.
pub(crate) fn apply(context: &mut Context<'_>, verified: &VerifiedTransaction) -> Result<Fee, CheckError> {
    context.rules.size(verified.bytes())?;
    context.transaction = verified.hash();
    match verified.transaction() {
        Transaction::Account(transaction) => apply_account_transaction(context, transaction, verified),
        Transaction::Attestation(attestation) => {
            windows::apply(context, attestation, verified.sender()).map(|()| Fee::default())
        }
        Transaction::Evidence(shown) => evidence::apply(context, shown, verified.hash()).map(|()| Fee::default()),
        Transaction::Commitment(commitment) => {
            windows::apply_commitment(context, commitment, verified.sender()).map(|()| Fee::default())
        }
        Transaction::Upgrade(ballot) => upgrades::apply(context, ballot, verified.sender()).map(|()| Fee::default()),
    }
}

fn apply_account_transaction(
    context: &mut Context<'_>,
    transaction: &AccountTransaction,
    verified: &VerifiedTransaction,
) -> Result<Fee, CheckError> {
    let sender = verified.sender();
    let account = accounts::load(context, sender)?;
    let charge = check_account_transaction(&context.rules, &context.state, transaction, sender, account)?;
    // Before the fee is taken: what is refused leaves everything as it was.
    let writes = match &transaction.action {
        Action::Registered(action) => registered_writes(context, sender, action)?,
        _ => MigrationWrites::new(),
    };
    accounts::charge(context, sender, &charge)?;
    let applied = match &transaction.action {
        Action::Accounts(action) => accounts::apply(context, sender, action),
        Action::Sources(action) => sources::apply(context, sender, action),
        Action::Stamps(action) => stamps::apply(context, sender, action),
        Action::Registered(_) => {
            context.state.absorb(writes);
            Ok(())
        }
    };
    applied?;
    let (weight, bytes) = (verified.transaction().weight(), verified.bytes().len() as u64);
    context.fees.add(charge.fee, weight, bytes);
    Ok(charge.fee)
}
