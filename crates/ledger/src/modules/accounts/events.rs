//! Events of accounts.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Address, Amount, Digest, Height};

/// An event of accounts.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum AccountsEvent {
    /// A transfer took effect.
    Transferred {
        /// Sender.
        from: Address,
        /// Receiver.
        to: Address,
        /// In units of 10^-18 OPEN.
        amount: Amount,
        /// Hash of the transaction.
        transaction: Digest,
        /// Of the block.
        height: Height,
    },
}
