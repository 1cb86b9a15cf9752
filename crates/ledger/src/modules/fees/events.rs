//! Events of fees.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Amount, Height};

/// An event of fees.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum FeesEvent {
    /// The fees of a block with account transactions, or with another base fee than the least one, itself or the one after it. A
    /// block without this event had the least base fee, and so has the one after it.
    Collected {
        /// Base fee of a unit of weight in this block.
        base_fee: Amount,
        /// The same in the next one.
        next_base_fee: Amount,
        /// Base fees that were burnt.
        burnt: Amount,
        /// Tips that the proposer got.
        tips: Amount,
        /// Share of the room for account transactions that was taken, in millionths.
        load: u64,
        /// Of the block.
        height: Height,
    },
}
