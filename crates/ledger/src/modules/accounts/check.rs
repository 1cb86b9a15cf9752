//! Check of an account's transaction by nonce, fee and balance.

use openmesh_primitives::{Address, Amount};

use super::action::AccountsAction;
use super::error::AccountsError;
use super::records::Account;
use crate::error::CheckError;
use crate::modules::fees::{Charge, FeeOffer, fee_of, weight_fee};
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

/// Clause T: returns what the transaction takes from its sender. Fails by the sender's nonce, fee or balance.
pub(crate) fn check_sender(
    params: &Params,
    base_fee: Amount,
    transaction: &AccountTransaction,
    sender: Address,
    account: Option<Account>,
) -> Result<Charge, AccountsError> {
    let account = account.ok_or(AccountsError::UnknownSender { account: sender })?;
    let (expected, got) = (account.nonce, transaction.nonce);
    if got < expected {
        return Err(AccountsError::NonceLow { expected, got });
    }
    if got > expected {
        return Err(AccountsError::NonceGap { expected, got });
    }
    check_charge(params, base_fee, transaction, sender, account.balance)
}

/// Clause FE-4: the same without the nonce. The whole of the offer is reserved, with the deposit and what the action spends, so
/// that no base fee and no tip of the block can overdraw the account. Fails by fee or balance, each in its own way.
pub(crate) fn check_charge(
    params: &Params,
    base_fee: Amount,
    transaction: &AccountTransaction,
    sender: Address,
    balance: Amount,
) -> Result<Charge, AccountsError> {
    let FeeOffer { max_fee, tip } = transaction.offer;
    if tip > max_fee {
        return Err(AccountsError::TipHigh { tip, max_fee });
    }
    let descriptor = transaction.action.descriptor();
    let min = weight_fee(base_fee, descriptor.weight);
    let fee = fee_of(transaction.offer, min).ok_or(AccountsError::FeeLow { min, got: max_fee })?;
    let (deposit, spends) = ((descriptor.deposit)(params), transaction.action.spends());
    let reserved = spends.checked_add(max_fee).and_then(|sum| sum.checked_add(deposit));
    let reserved = reserved.ok_or(AccountsError::FeeOverflow { max_fee, spends })?;
    if max_fee > balance {
        return Err(AccountsError::FeeUnaffordable { account: sender, balance, max_fee });
    }
    if reserved > balance {
        return Err(AccountsError::Overdraft { account: sender, balance, needed: reserved });
    }
    Ok(Charge { fee, deposit, spends, reserved })
}
