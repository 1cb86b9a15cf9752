//! The place of a transaction in the pool, by the rules of the ledger and the state after the last block.

use openmesh_ledger::{
    AccountsError, CheckError, MempoolRules, StateError, StateRead, Transaction, TransactionError, VerifiedTransaction,
    account, tip_of_weight,
};
use openmesh_primitives::{Address, Amount};

use super::accounts::{Standing, Terms};
use super::error::SubmitError;
use super::pool::Place;

/// Checks a transaction against the state. A nonce that is at most `ahead_max` ahead of its turn is allowed to wait for
/// those before it, if what it does is well formed: otherwise whoever pays for one transfer could have every node carry and keep a
/// mebibyte that can never be in a block.
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
    match checked {
        Ok(_) => {}
        Err(CheckError::Refused(TransactionError::Accounts(AccountsError::NonceGap { expected, got })))
            if got - expected <= ahead_max =>
        {
            rules.check_form(&transaction.action)?;
        }
        Err(error) => return Err(error.into()),
    }
    let standing = standing(state, &verified.sender())?;
    // Of a transaction ahead of its turn the check has stopped at the nonce: fee and balance are asked here.
    let charge = rules.charge(transaction, verified.sender(), standing.balance).map_err(TransactionError::from)?;
    let (offer, weight) = (transaction.offer, transaction.action.descriptor().weight);
    let tip = tip_of_weight(offer, weight, rules.base_fee());
    let base_fee_max = Amount(offer.max_fee.0 / u128::from(weight.max(1)));
    let terms = Terms { nonce: transaction.nonce, tip, max_fee: offer.max_fee, base_fee_max, cost: charge.reserved };
    Ok(Place::Account(terms, standing))
}

/// An account after the last block.
///
/// Fails if the state cannot be read.
pub(crate) fn standing(state: &dyn StateRead, sender: &Address) -> Result<Standing, StateError> {
    let account = account(state, sender)?;
    Ok(Standing { next: account.nonce, balance: account.balance })
}
