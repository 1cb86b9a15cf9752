//! Prices: the fee that a transaction pays, the amount it reserves, and an estimate beforehand. Clauses FE-4 and FE-8 of
//! `docs/spec/fees.md`. Pure.

use openmesh_primitives::Amount;

use super::offer::FeeOffer;
use crate::action::Action;
use crate::params::Params;

/// The fee of a transaction: the part that is burnt and the part that the proposer gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fee {
    /// The base fee for its weight.
    pub burnt: Amount,
    /// Of the proposer.
    pub tip: Amount,
}

/// Everything that a transaction takes from its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    /// Its fee.
    pub fee: Fee,
    /// Held for the record that it stores.
    pub deposit: Amount,
    /// Amount that the sender spends beside that.
    pub spends: Amount,
    /// Amount that the balance has to cover before it is let in: as if the whole of the offer were taken.
    pub reserved: Amount,
}

/// An estimate for an action that is not signed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeeEstimate {
    /// Weight of the action.
    pub weight: u32,
    /// Base fee of a unit of weight in the next block.
    pub base_fee: Amount,
    /// Amount that is burnt if it is in the next block: the least that its maximum may be.
    pub burnt: Amount,
    /// A tip that is worth a proposer's while: a tenth of that.
    pub tip: Amount,
    /// A maximum under which it is taken for as long as the base fee does not double: five full blocks.
    pub max_fee: Amount,
    /// Deposit, which comes back when the record goes.
    pub deposit: Amount,
}

impl Fee {
    /// Both parts. An offer that fits in 128 bits bounds them.
    pub const fn total(&self) -> Amount {
        Amount(self.burnt.0.saturating_add(self.tip.0))
    }
}

impl Charge {
    /// Amount that the sender loses: fee, deposit, and what it spends. [`Charge::reserved`] is at least that, and was checked to fit
    /// in 128 bits.
    pub const fn total(&self) -> Amount {
        Amount(self.fee.total().0.saturating_add(self.deposit.0).saturating_add(self.spends.0))
    }
}

/// The base fee for a weight. A base fee is at most [`super::limits::BASE_FEE_MAX`], so that it fits.
pub const fn weight_fee(base_fee: Amount, weight: u32) -> Amount {
    Amount(base_fee.0.saturating_mul(weight as u128))
}

/// The fee under an offer, where `burnt` is the base fee for the transaction's weight: the proposer gets the tip, or what is left
/// below the maximum. `None` where the maximum does not reach the base fee.
pub fn fee_of(offer: FeeOffer, burnt: Amount) -> Option<Fee> {
    let left = offer.max_fee.checked_sub(burnt)?;
    Some(Fee { burnt, tip: offer.tip.min(left) })
}

/// The tip that a proposer gets under an offer for each unit of weight; zero where the offer does not reach the base fee. It is what
/// transactions are ordered by.
pub fn tip_of_weight(offer: FeeOffer, weight: u32, base_fee: Amount) -> Amount {
    let tip = fee_of(offer, weight_fee(base_fee, weight)).map_or(Amount::ZERO, |fee| fee.tip);
    Amount(tip.0 / u128::from(weight.max(1)))
}

/// An estimate for an action at the base fee of the next block.
pub fn estimate_fee(action: &Action, base_fee: Amount, params: &Params) -> FeeEstimate {
    let descriptor = action.descriptor();
    let burnt = weight_fee(base_fee, descriptor.weight);
    let tip = Amount(burnt.0 / 10);
    let max_fee = Amount(burnt.0.saturating_mul(2).saturating_add(tip.0));
    FeeEstimate { weight: descriptor.weight, base_fee, burnt, tip, max_fee, deposit: (descriptor.deposit)(params) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proposer_gets_the_tip_or_what_is_left_of_the_maximum() {
        let of = |max_fee, tip, burnt| {
            fee_of(FeeOffer::new(Amount(max_fee), Amount(tip)), Amount(burnt)).map(|fee| (fee.burnt.0, fee.tip.0))
        };
        assert_eq!(of(100, 10, 50), Some((50, 10)));
        assert_eq!(of(100, 10, 95), Some((95, 5)));
        assert_eq!(of(100, 10, 100), Some((100, 0)));
        assert_eq!(of(100, 10, 101), None);
        assert_eq!(of(100, 100, 30), Some((30, 70)), "a plain fee leaves the rest to the proposer");
    }

    #[test]
    fn tips_are_compared_for_a_unit_of_weight() {
        let tip = |max_fee, weight| tip_of_weight(Amount(max_fee).into(), weight, Amount(10)).0;
        assert_eq!((tip(50, 1), tip(50, 4), tip(39, 4), tip(50, 0)), (40, 2, 0, 50));
    }
}
