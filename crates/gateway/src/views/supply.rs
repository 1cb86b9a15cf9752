//! The supply, its pools, and estimates of fees.

use openmesh_api as api;
use openmesh_ledger::{FeeEstimate, GROUPS, Pool, PoolSpec, SUPPLY_CAP, Supply};
use openmesh_primitives::Amount;

/// The supply after a block, with its pools by group.
pub fn info(height: u64, supply: &Supply, pools: &[(&'static PoolSpec, Pool)]) -> api::SupplyInfo {
    let pool = |(spec, pool): &(&'static PoolSpec, Pool)| api::PoolInfo {
        name: spec.name.into(),
        title: spec.title.into(),
        allocated: pool.allocated.to_string(),
        balance: pool.balance.to_string(),
    };
    let groups = GROUPS.iter().map(|group| api::PoolGroup {
        name: group.name.into(),
        title: group.title.into(),
        pools: pools.iter().filter(|(spec, _)| spec.group == group.name).map(pool).collect(),
    });
    api::SupplyInfo {
        height,
        cap: SUPPLY_CAP.to_string(),
        pools: supply.pools.to_string(),
        accounts: supply.accounts.to_string(),
        deposits: supply.deposits.to_string(),
        burnt: supply.burnt.to_string(),
        groups: groups.collect(),
    }
}

/// An estimate of the fees of an action that spends so much itself.
pub fn estimate(estimate: &FeeEstimate, spends: Amount) -> api::EstimateInfo {
    api::EstimateInfo {
        weight: estimate.weight,
        base_fee: estimate.base_fee.to_string(),
        burnt: estimate.burnt.to_string(),
        tip: estimate.tip.to_string(),
        max_fee: estimate.max_fee.to_string(),
        deposit: estimate.deposit.to_string(),
        spends: spends.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use openmesh_ledger::POOLS;

    use super::*;

    #[test]
    fn every_pool_stands_in_its_group_once() {
        let pools: Vec<(&'static PoolSpec, Pool)> =
            POOLS.iter().map(|spec| (spec, Pool { allocated: spec.amount(), balance: spec.amount() })).collect();
        let supply = Supply { pools: SUPPLY_CAP, ..Supply::default() };
        let info = info(7, &supply, &pools);
        let sum: u128 =
            info.groups.iter().flat_map(|group| &group.pools).map(|pool| pool.balance.parse::<u128>().unwrap()).sum();
        assert_eq!(sum, SUPPLY_CAP.0);
        assert_eq!(info.groups.iter().map(|group| group.pools.len()).collect::<Vec<_>>(), [7, 7, 6, 5]);
    }
}
