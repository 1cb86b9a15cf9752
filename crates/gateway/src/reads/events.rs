//! Events of the ledger, newest first, read from the blocks that this node keeps.

use openmesh_api as api;
use openmesh_primitives::Height;
use openmesh_storage::{Store, StoredBlock};

use super::blocks::Place;
use crate::error::Refusal;
use crate::views;
use crate::work::Budget;

/// Events that are wanted; `None` is no filter.
#[derive(Debug, Default, Clone)]
pub struct EventFilter {
    /// Of this kind.
    pub kind: Option<api::EventKind>,
    /// About this source.
    pub source: Option<String>,
    /// About this account, in its usual form.
    pub account: Option<String>,
    /// About this validator, in its usual form.
    pub validator: Option<String>,
    /// Of this block.
    pub height: Option<Height>,
}

impl EventFilter {
    fn fits(&self, info: &api::EventInfo) -> bool {
        self.kind.is_none_or(|kind| kind == info.kind)
            && self.source.as_ref().is_none_or(|source| info.source.as_ref() == Some(source))
            && self.account.as_ref().is_none_or(|account| info.accounts.contains(account))
            && self.validator.as_ref().is_none_or(|validator| info.validators.contains(validator))
    }
}

/// Looks through events before a place, newest first, and hands each wanted one to `found`, which returns false where it has enough;
/// that one is not seen yet. Returns the place to go on from; `None` at the beginning of what this node keeps. Each block takes one row
/// of the budget. Fails where the ledger cannot be read.
pub fn newest(
    store: &Store,
    from: Option<Place>,
    filter: &EventFilter,
    budget: &mut Budget,
    mut found: impl FnMut(api::EventInfo) -> bool,
) -> Result<Option<Place>, Refusal> {
    let (first, last) = match filter.height {
        Some(height) => (height.max(1), height),
        None => (store.oldest_block().max(1), store.tip().height),
    };
    let (mut height, mut below) = match from {
        // All of that block has been seen: reading it again would use up the first row.
        Some(Place { height, index: 0 }) => (height.saturating_sub(1).min(last), None),
        Some(place) => (place.height.min(last), Some(place.index)),
        None => (last, None),
    };
    while height >= first {
        if !budget.take() {
            // Everything in the block above has been seen.
            return Ok(Some(Place { height: height + 1, index: 0 }));
        }
        if let Some(stored) = store.block(height)? {
            for info in of_block(&stored).rev() {
                let wanted = below.is_none_or(|below| info.number < below) && filter.fits(&info);
                let number = info.number;
                if wanted && !found(info) {
                    return Ok(Some(Place { height, index: number.saturating_add(1) }));
                }
            }
        }
        below = None;
        height -= 1;
    }
    Ok(None)
}

/// The events of a block.
fn of_block(stored: &StoredBlock) -> impl DoubleEndedIterator<Item = api::EventInfo> + '_ {
    let header = &stored.block.header;
    let numbered = stored.events.iter().enumerate();
    numbered.map(move |(at, event)| {
        let number = u32::try_from(at).unwrap_or(u32::MAX);
        views::events::info(event, header.height, number, header.time)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Chain, receiver, sender};
    use crate::work::SCAN_ROWS_MAX;
    use openmesh_primitives::sha256;
    use std::time::Duration;
    use tokio_util::sync::CancellationToken;

    /// All events that a filter lets through, in pages of two with so many rows each.
    fn all(chain: &Chain, filter: &EventFilter, rows: usize) -> Vec<String> {
        let (mut found, mut place) = (Vec::new(), None);
        loop {
            let mut budget = Budget::new(rows, Duration::from_secs(3_600), CancellationToken::new());
            let mut items = Vec::new();
            place = newest(&chain.store, place, filter, &mut budget, |info| {
                let wanted = items.len() < 2;
                items.extend(wanted.then_some(info.id));
                wanted
            })
            .unwrap();
            found.extend(items);
            if place.is_none() {
                return found;
            }
        }
    }

    #[test]
    fn events_come_newest_first_and_are_filtered() {
        let mut chain = Chain::new();
        chain.transfers(2);
        chain.stamps(&[(sha256(&[b"a"]), "a")]);
        chain.transfers(1);
        let of = |kind, account, height| EventFilter { kind, account, height, ..EventFilter::default() };
        for rows in [1, 2, SCAN_ROWS_MAX] {
            let transfers = of(Some(api::EventKind::Transferred), None, None);
            assert_eq!(all(&chain, &transfers, rows), ["3-0", "1-1", "1-0"]);
            let stamped = of(Some(api::EventKind::Stamped), None, None);
            assert_eq!(all(&chain, &stamped, rows), ["2-0"]);
            let received = of(None, Some(receiver().to_string()), None);
            assert_eq!(all(&chain, &received, rows), ["3-0", "1-1", "1-0"]);
            // Two transfers, and the fees of the block.
            assert_eq!(all(&chain, &of(None, None, Some(1)), rows), ["1-2", "1-1", "1-0"]);
            let held = of(Some(api::EventKind::DepositHeld), Some(sender().to_string()), None);
            assert_eq!(all(&chain, &held, rows), ["2-1"]);
            assert_eq!(all(&chain, &of(None, None, Some(9)), rows), [""; 0]);
        }
    }
}
