//! Check of an account's transaction by nonce, fee and balance.

use openmesh_primitives::{Address, Amount};

use super::action::AccountsAction;
use super::error::AccountsError;
use super::records::Account;
use crate::error::CheckError;
use crate::params::Params;
use crate::rules::Rules;
use crate::state::StateRead;
use crate::transaction::AccountTransaction;

/// Checks an action against the state. Nonce, fee and balance, which are all that a transfer needs, were checked before.
pub(crate) fn check(
    _rules: &Rules,
    _state: &dyn StateRead,
    _sender: Address,
    action: &AccountsAction,
) -> Result<(), CheckError> {
    match action {
        AccountsAction::Transfer { .. } => Ok(()),
    }
}

/// Clause T: returns the amount that the sender loses, fee included. Fails by the sender's nonce, fee or balance.
pub(crate) fn check_sender(
    params: &Params,
    transaction: &AccountTransaction,
    sender: Address,
    account: Option<Account>,
) -> Result<Amount, AccountsError> {
    let account = account.ok_or(AccountsError::UnknownSender { account: sender })?;
    let (expected, got) = (account.nonce, transaction.nonce);
    if got < expected {
        return Err(AccountsError::NonceLow { expected, got });
    }
    if got > expected {
        return Err(AccountsError::NonceGap { expected, got });
    }
    let min = transaction.action.fee_min(params);
    if transaction.fee < min {
        return Err(AccountsError::FeeLow { min, got: transaction.fee });
    }
    // A sum beyond 128 bits is beyond any balance as well.
    let needed = transaction.action.spends().checked_add(transaction.fee).unwrap_or(Amount(u128::MAX));
    if needed > account.balance {
        return Err(AccountsError::Overdraft { account: sender, balance: account.balance, needed });
    }
    Ok(needed)
}
