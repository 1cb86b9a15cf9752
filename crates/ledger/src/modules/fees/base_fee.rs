//! The base fee, which follows the load of the blocks. Clause FE-3 of `docs/spec/fees.md`. Pure.
//!
//! Source: EIP-1559, with the load in millionths of the room in place of gas, and bounds on both sides.

use openmesh_primitives::Amount;

use super::limits::{BASE_FEE_MAX, LOAD_WHOLE};
use crate::block::BlockLimits;
use crate::params::Params;

/// Room that the account transactions of a block take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockLoad {
    /// Sum of their weights.
    pub weight: u64,
    /// Sum of their bytes.
    pub bytes: u64,
}

impl BlockLoad {
    /// Share of the room that is taken, in millionths: of the weights or of the bytes, whichever is scarcer.
    pub fn share(&self, limits: &BlockLimits) -> u64 {
        let share = |used: u64, room: u64| match room {
            0 => LOAD_WHOLE,
            _ => u64::try_from(u128::from(used) * u128::from(LOAD_WHOLE) / u128::from(room)).unwrap_or(u64::MAX),
        };
        let of_weight = share(self.weight, limits.transactions_max);
        let of_bytes = if self.bytes == 0 { 0 } else { share(self.bytes, limits.account_bytes_max()) };
        of_weight.max(of_bytes).min(LOAD_WHOLE)
    }
}

/// The base fee of a unit of weight in the next block, after one with this base fee and this share of its room taken, in
/// millionths. It rises above the target and falls below it, as far away from it as the load is: at no load by one part in
/// `change_denominator`. It stays between [`crate::AccountsParams::fee_min`] and [`BASE_FEE_MAX`].
pub fn next_base_fee(base_fee: Amount, share: u64, params: &Params) -> Amount {
    let (Amount(lowest), Amount(highest)) = (params.accounts.fee_min, BASE_FEE_MAX);
    let base_fee = base_fee.0.min(highest);
    let target = u128::from(params.fees.target_percent.max(1)) * u128::from(LOAD_WHOLE) / 100;
    let share = u128::from(share.min(LOAD_WHOLE));
    // At most 10^24 times 10^6, which fits in 128 bits by far.
    let change = |distance: u128| base_fee * distance / target / u128::from(params.fees.change_denominator.max(1));
    let next = match share.checked_sub(target) {
        Some(0) => base_fee,
        Some(above) => base_fee + change(above).max(1),
        None => base_fee - change(target - share),
    };
    Amount(next.min(highest).max(lowest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIGA: u128 = 1_000_000_000;

    fn next(base_fee: u128, share: u64) -> u128 {
        let mut params = Params::default();
        params.accounts.fee_min = Amount(7);
        next_base_fee(Amount(base_fee), share, &params).0
    }

    /// The figures of EIP-1559's own rule with a target of half: an eighth up when full, an eighth down when empty.
    #[test]
    fn it_moves_by_an_eighth_at_most() {
        assert_eq!(next(8 * GIGA, 500_000), 8 * GIGA);
        assert_eq!(next(8 * GIGA, 1_000_000), 9 * GIGA);
        assert_eq!(next(8 * GIGA, 0), 7 * GIGA);
        assert_eq!(next(8 * GIGA, 750_000), 8 * GIGA + GIGA / 2);
        assert_eq!(next(8 * GIGA, 250_000), 8 * GIGA - GIGA / 2);
    }

    /// A full block is four times as far from a target of a fifth as an empty one.
    #[test]
    fn it_moves_by_the_distance_from_the_target() {
        let mut params = Params::default();
        params.fees.target_percent = 20;
        let next = |share| next_base_fee(Amount(8_000 * GIGA), share, &params).0;
        assert_eq!((next(0), next(200_000)), (7_000 * GIGA, 8_000 * GIGA));
        assert_eq!((next(400_000), next(1_000_000)), (9_000 * GIGA, 12_000 * GIGA));
    }

    #[test]
    fn it_stays_between_its_bounds_and_always_rises_under_load() {
        assert_eq!(next(7, 0), 7);
        assert_eq!(next(7, 500_001), 8, "by one at least");
        assert_eq!(next(BASE_FEE_MAX.0, 1_000_000), BASE_FEE_MAX.0);
        assert_eq!(next(u128::MAX, u64::MAX), BASE_FEE_MAX.0);
        assert_eq!(next(0, 0), 7, "a higher floor is reached at once");
    }

    #[test]
    fn a_block_is_as_full_as_its_scarcer_room() {
        let limits = BlockLimits { bytes_max: 1_500, attestation_bytes_reserved: 500, transactions_max: 100 };
        let share = |weight, bytes| BlockLoad { weight, bytes }.share(&limits);
        assert_eq!((share(0, 0), share(50, 100), share(10, 900)), (0, 500_000, 900_000));
        assert_eq!((share(u64::MAX, 0), share(0, u64::MAX)), (LOAD_WHOLE, LOAD_WHOLE));
        let none = BlockLimits { bytes_max: 1, attestation_bytes_reserved: 1, transactions_max: 0 };
        assert_eq!(BlockLoad::default().share(&none), LOAD_WHOLE);
    }
}
