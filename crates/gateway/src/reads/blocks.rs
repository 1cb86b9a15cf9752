//! Committed transactions, newest first.
//!
//! Those of an account come through the store's index, so that one without any costs a look; without an account blocks are looked
//! through. Either way each block that is read takes one row of the budget.

use openmesh_ledger::{Class, Receipt};
use openmesh_primitives::{Address, Digest, Height};
use openmesh_storage::{Store, StoredBlock};

use crate::error::Refusal;
use crate::work::Budget;

/// Places read from the index at once: a page and its neighbour.
const PLACES: usize = 1_000;

/// Transactions that are wanted.
#[derive(Debug, Default, Clone)]
pub struct TransactionFilter {
    /// Of this class.
    pub class: Option<Class>,
    /// Sent by this account or validator, or received by it as a transfer.
    pub account: Option<Address>,
    /// Took effect (`true`) or were refused (`false`).
    pub ok: Option<bool>,
}

impl TransactionFilter {
    /// True where a transaction of the account, or of any, is wanted.
    fn fits(&self, receipt: &Receipt) -> bool {
        self.class.is_none_or(|c| c == receipt.class) && self.ok.is_none_or(|ok| ok == receipt.ok())
    }
}

/// A place in the chain: before position `index` of block `height`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Height of the block.
    pub height: Height,
    /// Position in the block; 0: all of it has been seen.
    pub index: u32,
}

/// Looks through transactions before a place and hands each wanted one, by its block and position, to `found`, which returns
/// false where it has enough; that one is not seen yet. Returns the place to go on from; `None` at the beginning of what this
/// node keeps. Fails where the ledger cannot be read.
pub fn transactions(
    store: &Store,
    from: Option<Place>,
    filter: &TransactionFilter,
    budget: &mut Budget,
    found: impl FnMut(&StoredBlock, usize) -> bool,
) -> Result<Option<Place>, Refusal> {
    match filter.account {
        Some(account) => of_account(store, &account, from, filter, budget, found),
        None => of_all(store, from, filter, budget, found),
    }
}

fn of_account(
    store: &Store,
    account: &Address,
    from: Option<Place>,
    filter: &TransactionFilter,
    budget: &mut Budget,
    mut found: impl FnMut(&StoredBlock, usize) -> bool,
) -> Result<Option<Place>, Refusal> {
    let mut before = from.map(|place| (place.height, place.index));
    let mut read: Option<StoredBlock> = None;
    loop {
        let places = store.transactions_of(account, before, PLACES)?;
        let ended = places.len() < PLACES;
        for (height, index) in places {
            if read.as_ref().is_none_or(|stored| stored.block.header.height != height) {
                if !budget.take() {
                    return Ok(Some(Place { height, index: index.saturating_add(1) }));
                }
                read = store.block(height)?;
            }
            let at = index as usize;
            let wanted = read.as_ref().filter(|s| s.receipts.get(at).is_some_and(|receipt| filter.fits(receipt)));
            if let Some(stored) = wanted
                && !found(stored, at)
            {
                return Ok(Some(Place { height, index: index.saturating_add(1) }));
            }
            before = Some((height, index));
        }
        if ended {
            return Ok(None);
        }
    }
}

fn of_all(
    store: &Store,
    from: Option<Place>,
    filter: &TransactionFilter,
    budget: &mut Budget,
    mut found: impl FnMut(&StoredBlock, usize) -> bool,
) -> Result<Option<Place>, Refusal> {
    let (tip, oldest) = (store.tip().height, store.oldest_block().max(1));
    let (mut height, mut below) = match from {
        // All of that block has been seen: reading it again would use up the first row, and a page whose time is over with one row
        // would end where it began.
        Some(Place { height, index: 0 }) => (height.saturating_sub(1).min(tip), None),
        Some(place) => (place.height.min(tip), Some(place.index)),
        None => (tip, None),
    };
    while height >= oldest {
        if !budget.take() {
            // Everything in the block above has been seen.
            return Ok(Some(Place { height: height + 1, index: 0 }));
        }
        if let Some(stored) = store.block(height)? {
            for (at, receipt) in stored.receipts.iter().enumerate().rev() {
                let wanted = below.is_none_or(|b| receipt.index < b) && filter.fits(receipt);
                if wanted && !found(&stored, at) {
                    return Ok(Some(Place { height, index: receipt.index.saturating_add(1) }));
                }
            }
        }
        below = None;
        height -= 1;
    }
    Ok(None)
}

/// The block and position of a committed transaction. Fails where the ledger cannot be read.
pub fn committed(store: &Store, hash: &Digest) -> Result<Option<(StoredBlock, usize)>, Refusal> {
    let Some((height, index)) = store.transaction(hash)? else { return Ok(None) };
    Ok(store.block(height)?.map(|stored| (stored, index as usize)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Chain, receiver, sender};
    use crate::work::SCAN_ROWS_MAX;
    use std::time::Duration;
    use tokio_util::sync::CancellationToken;

    fn budget(rows: usize) -> Budget {
        Budget::new(rows, Duration::from_secs(3_600), CancellationToken::new())
    }

    /// Heights and positions of one page, the place that it ends at, and the number of blocks that it read.
    fn page(
        chain: &Chain,
        from: Option<Place>,
        filter: &TransactionFilter,
        rows: usize,
        limit: usize,
    ) -> (Vec<(Height, usize)>, Option<Place>, usize) {
        let (mut items, mut budget) = (Vec::new(), budget(rows));
        let next = transactions(&chain.store, from, filter, &mut budget, |stored, at| {
            let wanted = items.len() < limit;
            items.extend(wanted.then_some((stored.block.header.height, at)));
            wanted
        });
        (items, next.unwrap(), budget.taken())
    }

    /// The kind of the fault: 64 clients that ask for an address without transactions made the node read every block for each.
    #[test]
    fn an_account_without_transactions_costs_no_block() {
        let mut chain = Chain::new();
        (0..30).for_each(|_| chain.transfers(1));
        let unused = TransactionFilter { account: Some(Address([0xee; 20])), ..TransactionFilter::default() };
        assert_eq!(page(&chain, None, &unused, SCAN_ROWS_MAX, 50), (Vec::new(), None, 0));
    }

    #[test]
    fn an_account_sees_what_it_sent_and_received_and_reads_no_other_block() {
        let mut chain = Chain::new();
        for transfers in [2, 0, 0, 1, 0] {
            chain.transfers(transfers);
        }
        for account in [sender(), receiver()] {
            let filter = TransactionFilter { account: Some(account), ..TransactionFilter::default() };
            assert_eq!(page(&chain, None, &filter, 50, 50), (vec![(4, 0), (1, 1), (1, 0)], None, 2));
            let refused = TransactionFilter { ok: Some(false), ..filter };
            assert_eq!(page(&chain, None, &refused, 50, 50).0, []);
        }
    }

    #[test]
    fn a_page_ends_inside_a_block_or_with_its_budget_and_goes_on_there() {
        let mut chain = Chain::new();
        for transfers in [3, 0, 0] {
            chain.transfers(transfers);
        }
        let account = Some(sender());
        for filter in [TransactionFilter::default(), TransactionFilter { account, ..TransactionFilter::default() }] {
            let (items, next, _) = page(&chain, None, &filter, 50, 2);
            assert_eq!(items, [(1, 2), (1, 1)]);
            assert_eq!(page(&chain, next, &filter, 50, 2).0, [(1, 0)]);
        }
        let (items, next, read) = page(&chain, None, &TransactionFilter::default(), 2, 50);
        assert_eq!((items.len(), next, read), (0, Some(Place { height: 2, index: 0 }), 2));
        assert_eq!(page(&chain, next, &TransactionFilter::default(), 2, 50).0.len(), 3, "nothing is left out");
        let (mut all, mut from) = (Vec::new(), None);
        for _ in 0..3 {
            let (items, next, read) = page(&chain, from, &TransactionFilter::default(), 1, 50);
            assert_eq!(read, 1);
            all.extend(items);
            from = next;
        }
        assert_eq!((all.len(), from), (3, None), "a page of one row gets on");
    }
}
