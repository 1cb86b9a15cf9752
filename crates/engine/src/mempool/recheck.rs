//! Effects of a committed block on the pool.

use std::collections::BTreeSet;
use std::ops::DerefMut;

use openmesh_ledger::{
    AccountsError, Action, CheckError, Class, MempoolRules, Receipt, StateError, StateRead, Transaction,
    TransactionError, VerifiedTransaction,
};
use openmesh_primitives::{Address, Digest, Height};

use super::place::standing;
use super::pool::Pool;

/// Waiting transactions are searched for expired ones each time so many blocks have passed.
const EXPIRE_BLOCKS: u64 = 64;

/// Takes out what took effect. What the block refused waits on, and is taken in where it comes later: otherwise a proposer could take a
/// transaction away from everybody by including it before its turn. If it will never be fine, [`recheck`] or its age removes it.
pub(crate) fn take_out(pool: &mut Pool, height: Height, receipts: &[Receipt]) {
    for receipt in receipts {
        if let (Some(sender), Some(nonce), true) = (receipt.sender, receipt.nonce, receipt.ok()) {
            pool.accounts.advance(sender, nonce + 1);
        }
    }
    let hashes: Vec<Digest> = receipts.iter().filter(|r| r.ok()).map(|r| r.hash).collect();
    pool.committed(height, &hashes);
    pool.refused(receipts.iter().filter(|r| !r.ok()).map(|r| &r.hash));
}

/// Checks again what the block of a height may have made invalid, against the state after it or after a later one. The pool is locked
/// for single steps only.
///
/// Fails if the state cannot be read.
pub(crate) fn recheck<G: DerefMut<Target = Pool>>(
    rules: &MempoolRules,
    state: &dyn StateRead,
    height: Height,
    receipts: &[Receipt],
    pool: impl Fn() -> G,
) -> Result<(), StateError> {
    // Of refused transactions too: they wait on, and may have become worthless.
    let touched: BTreeSet<Address> =
        receipts.iter().filter(|r| r.class == Class::Account).filter_map(|r| r.sender).collect();
    for sender in &touched {
        let standing = standing(state, sender)?;
        pool().accounts.settle(*sender, standing);
    }
    let mut heads = pool().ready_heads();
    // An empty block although something waits: any of it may be what could not go in. After an upgrade all of it was checked by
    // other rules.
    if !receipts.is_empty() && !rules.changed_since(height) {
        heads.retain(|(sender, head)| touched.contains(sender) || depends_on_others(head));
    }
    for (sender, head) in heads {
        match rules.check(state, &head) {
            // Behind the nonce: gone already. Ahead: cannot be ready.
            Ok(_) | Err(CheckError::Refused(TransactionError::Accounts(AccountsError::NonceLow { .. }))) => {}
            // The base fee may fall again: it waits on, without a place in a block, until its age removes it.
            Err(CheckError::Refused(TransactionError::Accounts(AccountsError::FeeLow { .. }))) => {}
            Err(CheckError::Refused(_)) => pool().remove_sender(&sender),
            Err(CheckError::State(error)) => return Err(error),
        }
    }
    let attestations = pool().waiting_attestations();
    for attestation in attestations {
        match rules.check(state, &attestation) {
            Ok(_) => {}
            Err(CheckError::Refused(_)) => pool().remove(&attestation.hash()),
            Err(CheckError::State(error)) => return Err(error),
        }
    }
    Ok(())
}

/// Returns true where a block without its sender may have made it invalid: somebody may have registered its source. All that a transfer
/// or a stamp stands on is its sender's own. What stayed would be a candidate for each block and go into none, and with a high tip
/// it would take the room of all others.
fn depends_on_others(head: &VerifiedTransaction) -> bool {
    let Transaction::Account(transaction) = head.transaction() else { return true };
    !matches!(transaction.action, Action::Accounts(_) | Action::Stamps(_))
}

/// Drops what has waited too long, from time to time; returns how many that were.
pub(crate) fn expire(pool: &mut Pool, height: Height) -> usize {
    if height.is_multiple_of(EXPIRE_BLOCKS) { pool.expire() } else { 0 }
}
