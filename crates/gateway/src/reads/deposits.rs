//! Deposits that are held, in the order of the keys of their records.

use openmesh_ledger::{Deposit, StateRead, keys};
use openmesh_primitives::{Address, canonical};
use openmesh_storage::StateView;

use crate::error::Refusal;
use crate::work::Budget;

/// Deposits read at once.
const BATCH: usize = 128;

/// Deposits with the keys of their records, and the key behind which the list goes on; `None` at the end.
pub type Held = (Vec<(Vec<u8>, Deposit)>, Option<Vec<u8>>);

/// Looks through the deposits behind the key of a record. Returns at most `limit` of them, of one account where it is named. Each
/// deposit takes one row of the budget. Fails where the ledger cannot be read.
pub fn held(
    state: &StateView,
    account: Option<Address>,
    mut behind: Option<Vec<u8>>,
    limit: usize,
    budget: &mut Budget,
) -> Result<Held, Refusal> {
    let mut items = Vec::new();
    loop {
        // The first key that may come after it.
        let from = behind.as_ref().map(|record| [keys::deposit(record).as_slice(), &[0]].concat());
        let batch = state.scan(keys::DEPOSITS, from.as_deref(), BATCH)?;
        let ended = batch.len() < BATCH;
        for (key, value) in batch {
            if items.len() >= limit || !budget.take() {
                return Ok((items, behind));
            }
            let deposit: Deposit = canonical::decode(&value).map_err(|e| Refusal::internal("reading a deposit", &e))?;
            let record = key.get(keys::DEPOSITS.len()..).unwrap_or_default().to_vec();
            behind = Some(record.clone());
            if account.is_none_or(|account| account == deposit.owner) {
                items.push((record, deposit));
            }
        }
        if ended {
            return Ok((items, None));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Chain, receiver, sender};
    use openmesh_ledger::Params;
    use openmesh_primitives::{Digest, sha256};
    use std::time::Duration;
    use tokio_util::sync::CancellationToken;

    #[test]
    fn deposits_come_each_once_in_pages_and_of_one_account() {
        let mut chain = Chain::new();
        let hashes: Vec<Digest> = (0..5u8).map(|n| sha256(&[&[n]])).collect();
        hashes.iter().for_each(|hash| chain.stamps(&[(*hash, "a")]));
        let state = chain.store.state().unwrap();
        let pages = |account: Option<Address>, limit: usize, rows: usize| {
            let (mut all, mut behind) = (Vec::new(), None);
            loop {
                let mut budget = Budget::new(rows, Duration::from_secs(3_600), CancellationToken::new());
                let (items, next) = held(&state, account, behind, limit, &mut budget).unwrap();
                assert!(items.len() <= limit);
                all.extend(items);
                if next.is_none() {
                    return all;
                }
                behind = next;
            }
        };
        let mut expected: Vec<Vec<u8>> = hashes.iter().map(|hash| keys::stamp(hash, "a", &sender())).collect();
        expected.sort_unstable();
        let amount = Params::default().stamps.stamp_deposit;
        for (limit, rows) in [(1, 1), (2, 3), (5, 50), (50, 1)] {
            let all = pages(Some(sender()), limit, rows);
            assert_eq!(all.iter().map(|(record, _)| record.clone()).collect::<Vec<_>>(), expected, "{limit}, {rows}");
            assert!(all.iter().all(|(_, deposit)| *deposit == Deposit { owner: sender(), amount }));
            assert_eq!(pages(None, limit, rows), all);
            assert!(pages(Some(receiver()), limit, rows).is_empty());
        }
    }
}
