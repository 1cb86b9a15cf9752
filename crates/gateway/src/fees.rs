//! Gas and its prices: what the ledger charges, in the words of wallets. Clauses 10 and 11 of `docs/spec/rpc.md`.
//!
//! The one place that knows how weights and fees of the ledger become gas and prices. A rule of fees that changes in the ledger changes here, and
//! nothing else of the gateway.

use openmesh_ledger::{AccountsAction, Action, Header, Params};
use openmesh_primitives::{Address, Amount};

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

/// Prices of gas under a network's parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fees {
    transfer_gas: u64,
    transfer_fee: Amount,
    gas_limit: u64,
}

impl Fees {
    /// Prices under these parameters.
    pub fn of(params: &Params) -> Fees {
        let transfer = Action::Accounts(AccountsAction::Transfer { to: Address::default(), amount: Amount::ZERO });
        Fees {
            transfer_gas: gas(u64::from(transfer.descriptor().weight)),
            transfer_fee: transfer.fee_min(params),
            gas_limit: gas(params.blocks.block_transactions_max),
        }
    }

    /// Price of gas that is the same for all transactions of a block. The ledger has none today.
    pub const fn base_fee_per_gas(&self, _block: &Header) -> u128 {
        0
    }

    /// The same of the block after the newest one.
    pub const fn next_base_fee_per_gas(&self) -> u128 {
        0
    }

    /// Price of gas beside the base fee with which a transfer is taken: its least fee by its gas, rounded up.
    pub fn priority_fee_per_gas(&self) -> u128 {
        self.transfer_fee.0.div_ceil(u128::from(self.transfer_gas.max(1)))
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

    #[test]
    fn gas_times_price_is_what_the_ledger_takes() {
        for fee_min in [0, 1, 20_999, 21_000, 1_000_000_000_000, u128::MAX] {
            let mut params = Params::default();
            params.accounts.fee_min = Amount(fee_min);
            let fees = Fees::of(&params);
            assert_eq!((fees.transfer_gas(), fees.gas_limit()), (21_000, 21_000 * 20_000));
            let offered = fees.gas_price().checked_mul(u128::from(fees.transfer_gas()));
            assert!(offered.is_none_or(|offered| (fee_min..fee_min + 21_000).contains(&offered)), "{fee_min}");
        }
        assert_eq!((price(Amount(41_999), 21_000), price(Amount(5), 0)), (1, 0));
    }
}
