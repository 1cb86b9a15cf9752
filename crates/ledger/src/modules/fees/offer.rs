//! The offer of a transaction: the most that its sender pays, and the tip in it. Clause FE-2 of `docs/spec/fees.md`.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::Amount;
use serde::{Deserialize, Serialize};

/// An offer of fees, in units of 10^-18 OPEN for the whole transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct FeeOffer {
    /// Most that base fee and tip take together.
    pub max_fee: Amount,
    /// Most that the proposer gets of it.
    pub tip: Amount,
}

impl FeeOffer {
    /// An offer.
    pub const fn new(max_fee: Amount, tip: Amount) -> FeeOffer {
        FeeOffer { max_fee, tip }
    }
}

/// All that the base fee leaves is the proposer's, as with a price of gas before EIP-1559.
impl From<Amount> for FeeOffer {
    fn from(max_fee: Amount) -> FeeOffer {
        FeeOffer { max_fee, tip: max_fee }
    }
}
