//! Effects on accounts, which a block keeps decoded until its end.

use openmesh_primitives::{Address, Amount};

use super::action::AccountsAction;
use super::error::AccountsError;
use super::events::AccountsEvent;
use super::keys;
use super::records::Account;
use crate::context::Context;
use crate::error::CheckError;
use crate::modules::fees::Charge;
use crate::state::{StateError, read};

/// An account as the block has it now; `None` if it never received anything.
pub(crate) fn load(context: &mut Context<'_>, address: Address) -> Result<Option<Account>, StateError> {
    if let Some(known) = context.accounts.get(&address) {
        return Ok(*known);
    }
    let account: Option<Account> = read(&context.state, &keys::account(&address))?;
    context.accounts.insert(address, account);
    context.balances_before.insert(address, account.unwrap_or_default().balance);
    Ok(account)
}

fn change(context: &mut Context<'_>, address: Address, account: Account) {
    context.accounts.insert(address, Some(account));
    context.accounts_changed.insert(address);
}

/// Takes from the sender what its transaction costs, and raises its nonce. Fee, deposit and what the action spends leave the account
/// here; the action puts the last two where they go.
pub(crate) fn charge(context: &mut Context<'_>, sender: Address, charge: &Charge) -> Result<(), CheckError> {
    let before = load(context, sender)?.unwrap_or_default();
    let lost = charge.total();
    let balance = before.balance.checked_sub(lost).ok_or(AccountsError::Overdraft {
        account: sender,
        balance: before.balance,
        needed: lost,
    })?;
    change(context, sender, Account { balance, nonce: before.nonce + 1 });
    Ok(())
}

/// Adds to an account, which begins to exist if it did not.
pub(crate) fn pay(context: &mut Context<'_>, to: Address, amount: Amount) -> Result<(), StateError> {
    let account = load(context, to)?.unwrap_or_default();
    let account = context.rules.credit(account, amount)?;
    change(context, to, account);
    Ok(())
}

/// Lets an action take effect for which the sender was charged.
pub(crate) fn apply(context: &mut Context<'_>, sender: Address, action: &AccountsAction) -> Result<(), CheckError> {
    match action {
        AccountsAction::Transfer { to, amount } => {
            // The receiver may be the sender itself, whose balance was lowered before.
            pay(context, *to, *amount)?;
            let (from, to, amount) = (sender, *to, *amount);
            let (transaction, height) = (context.transaction, context.height);
            context.emit(AccountsEvent::Transferred { from, to, amount, transaction, height });
            Ok(())
        }
    }
}

/// Writes the accounts that the block has changed, and adds up their balances before and after it.
pub(crate) fn store(context: &mut Context<'_>) {
    let (mut before, mut after) = (0u128, 0u128);
    for address in std::mem::take(&mut context.accounts_changed) {
        if let Some(Some(account)) = context.accounts.get(&address) {
            // Saturating: a sum beyond 128 bits is not the supply either, and the end of the block says so.
            before = before.saturating_add(context.balances_before.get(&address).map_or(0, |balance| balance.0));
            after = after.saturating_add(account.balance.0);
            context.state.put(keys::account(&address), account);
        }
    }
    (context.moved.accounts_before, context.moved.accounts_after) = (Amount(before), Amount(after));
}
