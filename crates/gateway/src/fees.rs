//! Gas and its prices: what the ledger charges, in the words of wallets. Clauses 10 and 11 of `docs/spec/rpc.md`.
//!
//! The one place that knows how weights and fees of the ledger become gas and prices. A rule of fees that changes in the ledger changes here, and
//! nothing else of the gateway.

use openmesh_ledger::{AccountsAction, Action, Params, block_fees, estimate_fee};
use openmesh_primitives::{Address, Amount};
use openmesh_storage::StoredBlock;

/// Gas of one unit of weight: what Ethereum takes for a transfer, which here has weight 1.
const GAS_PER_WEIGHT: u64 = 21_000;

/// Gas of so much weight.
pub const fn gas(weight: u64) -> u64 {
    weight.saturating_mul(GAS_PER_WEIGHT)
}

/// Price of gas for which so much was bought with a fee, rounded down.
pub fn price(fee: Amount, gas: u64) -> u128 {
    fee.0.checked_div(u128::from(gas)).unwrap_or(0)
}

/// Price of gas for which so much costs a fee at least, rounded up: gas times price is never less than the ledger takes.
fn price_at_least(fee: Amount, gas: u64) -> u128 {
    fee.0.div_ceil(u128::from(gas.max(1)))
}

/// Prices of gas under a network's parameters and the base fee of its next block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fees {
    transfer_gas: u64,
    /// A tip for a transfer that is worth a proposer's while.
    transfer_tip: Amount,
    gas_limit: u64,
    /// Base fee of a unit of weight in the next block.
    next: Amount,
    /// Least base fee of a unit of weight, which blocks have that say nothing of theirs.
    lowest: Amount,
}

impl Fees {
    /// Prices under these parameters, where `next` is the base fee of a unit of weight in the next block.
    pub fn of(params: &Params, next: Amount) -> Fees {
        let transfer = Action::Accounts(AccountsAction::Transfer { to: Address::default(), amount: Amount::ZERO });
        let estimate = estimate_fee(&transfer, next, params);
        Fees {
            transfer_gas: gas(u64::from(estimate.weight)),
            transfer_tip: estimate.tip,
            gas_limit: gas(params.blocks.block_transactions_max),
            next,
            lowest: params.accounts.fee_min,
        }
    }

    /// Base fee of gas in a block and in the one after it; `None` in the block of a snapshot, which came without what it did.
    pub fn base_fees_per_gas(&self, stored: &StoredBlock) -> Option<(u128, u128)> {
        let fees = stored.has_receipts().then(|| block_fees(&stored.events, self.lowest))?;
        let of_unit = |base_fee| price_at_least(base_fee, GAS_PER_WEIGHT);
        Some((of_unit(fees.base_fee), of_unit(fees.next_base_fee)))
    }

    /// Base fee of gas in the block after the newest one.
    pub fn next_base_fee_per_gas(&self) -> u128 {
        price_at_least(self.next, GAS_PER_WEIGHT)
    }

    /// Price of gas beside the base fee that is worth a proposer's while.
    pub fn priority_fee_per_gas(&self) -> u128 {
        price_at_least(self.transfer_tip, self.transfer_gas)
    }

    /// Price of gas with which a transfer is taken into the next block.
    pub fn gas_price(&self) -> u128 {
        self.next_base_fee_per_gas().saturating_add(self.priority_fee_per_gas())
    }

    /// Gas that fits into a block.
    pub const fn gas_limit(&self) -> u64 {
        self.gas_limit
    }

    /// Gas of a transfer.
    pub const fn transfer_gas(&self) -> u64 {
        self.transfer_gas
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Chain;
    use openmesh_ledger::BASE_FEE_MAX;

    #[test]
    fn gas_times_price_is_what_the_ledger_takes() {
        for next in [0, 1, 20_999, 21_000, 1_000_000_000_000, BASE_FEE_MAX.0] {
            let fees = Fees::of(&Params::default(), Amount(next));
            assert_eq!((fees.transfer_gas(), fees.gas_limit()), (21_000, 21_000 * 20_000));
            let gas = u128::from(fees.transfer_gas());
            assert!((next..next + gas).contains(&(fees.next_base_fee_per_gas() * gas)), "{next}");
            let offered = fees.gas_price() * gas;
            assert!((next + next / 10..next + next / 10 + 2 * gas).contains(&offered), "{next}: with a tip of a tenth");
        }
        assert_eq!((price(Amount(41_999), 21_000), price(Amount(5), 0)), (1, 0));
    }

    #[test]
    fn a_block_has_the_base_fee_that_it_says_or_the_least() {
        let mut chain = Chain::new();
        [1, 0].into_iter().for_each(|transfers| chain.transfers(transfers));
        let fees = Fees::of(&Params::default(), Amount(42_000));
        let least = 1_000_000_000_000u128.div_ceil(21_000);
        for height in [1, 2] {
            let mut stored = chain.store.block(height).unwrap().unwrap();
            assert_eq!(fees.base_fees_per_gas(&stored), Some((least, least)), "{height}");
            if height == 1 {
                stored.receipts.clear();
                assert_eq!(fees.base_fees_per_gas(&stored), None, "the block of a snapshot");
            }
        }
        assert_eq!(fees.next_base_fee_per_gas(), 2);
    }
}
