//! Stored blocks and their transactions, newest first.

use openmesh_ledger::{Class, Receipt};
use openmesh_primitives::{Address, Digest, Height};
use openmesh_storage::{Store, StoredBlock};

use crate::error::Refusal;
use crate::work::Budget;

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
    /// True where a transaction is wanted; `receiver` finds the receiver, which stands only in the transaction itself.
    fn fits(&self, receipt: &Receipt, receiver: impl FnOnce() -> Option<Address>) -> bool {
        self.class.is_none_or(|c| c == receipt.class)
            && self.ok.is_none_or(|ok| ok == receipt.ok())
            && self
                .account
                .is_none_or(|a| receipt.sender == Some(a) || (receipt.class == Class::Account && receiver() == Some(a)))
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

/// Looks through blocks from a place downwards and hands each wanted transaction to `found`, which returns false where it has
/// enough; that one is not seen yet. Returns the place to go on from; `None` at the beginning. Each block takes one row of the
/// budget. Fails where a block cannot be read.
pub fn transactions(
    store: &Store,
    from: Option<Place>,
    filter: &TransactionFilter,
    receiver: impl Fn(&[u8]) -> Option<Address>,
    budget: &mut Budget,
    mut found: impl FnMut(&StoredBlock, usize) -> bool,
) -> Result<Option<Place>, Refusal> {
    let tip = store.tip().height;
    let (mut height, mut below) = match from {
        Some(place) => (place.height.min(tip), Some(place.index)),
        None => (tip, None),
    };
    while height > 0 {
        if !budget.take() {
            // Everything in the block above has been seen.
            return Ok(Some(Place { height: height + 1, index: 0 }));
        }
        if let Some(stored) = store.block(height)? {
            let wanted = of_block(&stored, filter, &receiver, below);
            for index in wanted {
                if !found(&stored, index) {
                    let index = u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1);
                    return Ok(Some(Place { height, index }));
                }
            }
        }
        below = None;
        height -= 1;
    }
    Ok(None)
}

/// Positions of the wanted transactions of a block, last first, below a position.
fn of_block<'a>(
    stored: &'a StoredBlock,
    filter: &'a TransactionFilter,
    receiver: &'a impl Fn(&[u8]) -> Option<Address>,
    below: Option<u32>,
) -> impl Iterator<Item = usize> + 'a {
    let both = stored.block.transactions.iter().zip(&stored.receipts).enumerate().rev();
    both.filter(move |(_, (bytes, receipt))| {
        below.is_none_or(|b| receipt.index < b) && filter.fits(receipt, || receiver(bytes))
    })
    .map(|(at, _)| at)
}

/// The block and position of a committed transaction. Fails where the ledger cannot be read.
pub fn committed(store: &Store, hash: &Digest) -> Result<Option<(StoredBlock, usize)>, Refusal> {
    let Some((height, index)) = store.transaction(hash)? else { return Ok(None) };
    Ok(store.block(height)?.map(|stored| (stored, index as usize)))
}
