//! Events of stamps.

use borsh::{BorshDeserialize, BorshSerialize};

use super::records::StampRecord;

/// An event of stamps.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum StampsEvent {
    /// A hash was stamped.
    Stamped(StampRecord),
}
