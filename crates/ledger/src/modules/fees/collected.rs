//! The fees of a block so far.

use openmesh_primitives::Amount;

use super::base_fee::BlockLoad;
use super::charge::Fee;

/// Fees that the transactions of a block have paid so far, and the room that they took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Collected {
    /// Base fees.
    pub burnt: Amount,
    /// Tips.
    pub tips: Amount,
    /// Room taken by account transactions.
    pub load: BlockLoad,
}

impl Collected {
    /// Adds a transaction that took effect. No sum of amounts that accounts had reaches 128 bits: the cap is far below.
    pub fn add(&mut self, fee: Fee, weight: u64, bytes: u64) {
        self.burnt = Amount(self.burnt.0.saturating_add(fee.burnt.0));
        self.tips = Amount(self.tips.0.saturating_add(fee.tip.0));
        self.load.weight = self.load.weight.saturating_add(weight);
        self.load.bytes = self.load.bytes.saturating_add(bytes);
    }
}
