//! The place of a transaction in the pool, by the rules of the ledger and the state after the last block.

use openmesh_ledger::{
    AccountsError, CheckError, MempoolRules, StateError, StateRead, Transaction, TransactionError, VerifiedTransaction,
    account,
};
use openmesh_primitives::{Address, Amount};

use super::accounts::{Standing, Terms};
use super::error::SubmitError;
use super::pool::Place;

/// Checks a transaction against the state. A nonce that is at most `ahead_max` ahead of its turn is allowed to wait for
/// those before it.
///
/// Fails if the ledger would refuse the transaction for another reason than that, or the state cannot be read.
pub(crate) fn place(
    rules: &MempoolRules,
    state: &dyn StateRead,
    verified: &VerifiedTransaction,
    ahead_max: u64,
) -> Result<Place, SubmitError> {
    let checked = rules.check(state, verified);
    let Transaction::Account(transaction) = verified.transaction() else {
        return checked.map(|_| Place::Attestation).map_err(SubmitError::from);
    };
    let is_ahead = match checked {
        Ok(_) => false,
        Err(CheckError::Refused(TransactionError::Accounts(AccountsError::NonceGap { expected, got })))
            if got - expected <= ahead_max =>
        {
            true
        }
        Err(error) => return Err(error.into()),
    };
    let fee = transaction.fee;
    let cost = transaction.action.spends().checked_add(fee).unwrap_or(Amount(u128::MAX));
    let terms = Terms { nonce: transaction.nonce, fee, cost };
    let standing = standing(state, &verified.sender())?;
    if is_ahead {
        let min = transaction.action.fee_min(rules.params());
        affordable(min, verified.sender(), &terms, &standing).map_err(TransactionError::from)?;
    }
    Ok(Place::Account(terms, standing))
}

/// An account after the last block.
///
/// Fails if the state cannot be read.
pub(crate) fn standing(state: &dyn StateRead, sender: &Address) -> Result<Standing, StateError> {
    let account = account(state, sender)?;
    Ok(Standing { next: account.nonce, balance: account.balance })
}

/// The ledger's checks of fee and balance, as if the nonce were next: it stops at the nonce.
fn affordable(min: Amount, sender: Address, terms: &Terms, standing: &Standing) -> Result<(), AccountsError> {
    if terms.fee < min {
        return Err(AccountsError::FeeLow { min, got: terms.fee });
    }
    if terms.cost > standing.balance {
        let (balance, needed) = (standing.balance, terms.cost);
        return Err(AccountsError::Overdraft { account: sender, balance, needed });
    }
    Ok(())
}
