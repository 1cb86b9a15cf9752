//! Fees of past blocks, from their events. Clause FE-9 of `docs/spec/fees.md`. Pure.

use openmesh_primitives::Amount;

use super::events::FeesEvent;
use crate::event::LedgerEvent;

/// Fees of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockFees {
    /// Base fee of a unit of weight in the block.
    pub base_fee: Amount,
    /// The same in the next one.
    pub next_base_fee: Amount,
    /// Base fees that were burnt.
    pub burnt: Amount,
    /// Tips that the proposer got.
    pub tips: Amount,
    /// Share of the room for account transactions that was taken, in millionths.
    pub load: u64,
}

/// The fees of a block by its events; `lowest` is the least base fee ([`crate::AccountsParams::fee_min`]) at that time, which a
/// block that says nothing had, and the next one too.
pub fn block_fees(events: &[LedgerEvent], lowest: Amount) -> BlockFees {
    let said = events.iter().find_map(|event| match event {
        LedgerEvent::Fees(FeesEvent::Collected { base_fee, next_base_fee, burnt, tips, load, .. }) => Some(BlockFees {
            base_fee: *base_fee,
            next_base_fee: *next_base_fee,
            burnt: *burnt,
            tips: *tips,
            load: *load,
        }),
        _ => None,
    });
    said.unwrap_or(BlockFees { base_fee: lowest, next_base_fee: lowest, ..BlockFees::default() })
}
