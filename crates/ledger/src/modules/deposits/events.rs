//! Events of deposits.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Address, Amount, Height};

/// An event of deposits.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum DepositsEvent {
    /// An amount is held for a record from now on.
    Held {
        /// The account that gave it.
        owner: Address,
        /// In units of 10^-18 OPEN.
        amount: Amount,
        /// Of the block.
        height: Height,
    },
    /// A record went, and the account has its amount back.
    Returned {
        /// The account that gave it.
        owner: Address,
        /// In units of 10^-18 OPEN.
        amount: Amount,
        /// Of the block.
        height: Height,
    },
}
