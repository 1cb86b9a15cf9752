//! The tree of the supply: groups, and the named pools in them, with their shares of the cap. Clause SU-1 of
//! `docs/spec/supply.md`.

use openmesh_primitives::Amount;

use super::limits::SUPPLY_CAP;

/// A group of pools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupSpec {
    /// Name in files and in the API: `core`.
    pub name: &'static str,
    /// Title for people.
    pub title: &'static str,
}

/// A pool of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolSpec {
    /// Name in files, in the API and in the state: `node-operators`.
    pub name: &'static str,
    /// Title for people.
    pub title: &'static str,
    /// Name of its group.
    pub group: &'static str,
    /// Share of the cap, in thousandths.
    pub share: u16,
}

/// Thousandths of the whole.
const WHOLE: u16 = 1_000;

const fn group(name: &'static str, title: &'static str) -> GroupSpec {
    GroupSpec { name, title }
}

const fn pool(group: &'static str, name: &'static str, title: &'static str, share: u16) -> PoolSpec {
    PoolSpec { name, title, group, share }
}

/// The groups, in the order of files and pictures.
pub static GROUPS: [GroupSpec; 4] = [
    group("core", "Core, network, security, node operators"),
    group("research", "Research and development"),
    group("ecosystem", "Ecosystem"),
    group("reserves", "Fundraising and reserves"),
];

/// The pools, those of a group one after another, in the order of the groups.
pub static POOLS: [PoolSpec; 25] = [
    pool("core", "node-operators", "Node operators", 200),
    pool("core", "early-validators", "Early node validators", 80),
    pool("core", "early-validators-bonus", "Bonus of early node validators", 20),
    pool("core", "infrastructure", "Infrastructure", 20),
    pool("core", "resource-providers", "Verified resource providers", 20),
    pool("core", "data-providers", "Data providers, indexers, validators", 10),
    pool("core", "staking", "Staking", 10),
    pool("research", "team", "Core team, advisers, supporters", 200),
    pool("research", "openrd-contributors", "Verified contributors of OpenR&D", 80),
    pool("research", "achievements", "Achievements", 10),
    pool("research", "support", "Support", 5),
    pool("research", "grants", "Grants", 10),
    pool("research", "circle", "Circle", 5),
    pool("research", "bug-bounties", "Bug bounties", 10),
    pool("ecosystem", "cloud-initiative", "Decentralized Cloud Initiative", 50),
    pool("ecosystem", "content", "Content", 10),
    pool("ecosystem", "circle-reserve", "Circle reserve", 20),
    pool("ecosystem", "partnerships", "Partnerships", 20),
    pool("ecosystem", "user-acquisition", "User acquisition", 20),
    pool("ecosystem", "community", "Community and marketing", 80),
    pool("reserves", "fundraising", "Fundraising", 50),
    pool("reserves", "reserve", "Reserve", 30),
    pool("reserves", "liquidity", "Liquidity", 20),
    pool("reserves", "administration", "Governance and administration", 10),
    pool("reserves", "operations", "Operations", 10),
];

impl PoolSpec {
    /// Its amount by the tree. The cap is a multiple of a thousand units, so nothing is rounded.
    pub const fn amount(&self) -> Amount {
        Amount(SUPPLY_CAP.0 / WHOLE as u128 * self.share as u128)
    }

    /// A pool of the tree by its name.
    pub fn of(name: &str) -> Option<&'static PoolSpec> {
        POOLS.iter().find(|pool| pool.name == name)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The figures of the mission's table, by group.
    #[test]
    fn the_shares_are_those_of_the_table_and_sum_to_the_last_unit() {
        let share = |group: &str| POOLS.iter().filter(|pool| pool.group == group).map(|pool| pool.share).sum::<u16>();
        assert_eq!(GROUPS.map(|group| share(group.name)), [360, 320, 200, 120]);
        assert_eq!(POOLS.iter().map(|pool| pool.amount().0).sum::<u128>(), SUPPLY_CAP.0);
        assert_eq!(SUPPLY_CAP.0, 10u128.pow(27));
        assert_eq!(POOLS.iter().map(|pool| pool.name).collect::<BTreeSet<_>>().len(), POOLS.len());
        let order: Vec<&str> = POOLS.iter().map(|pool| pool.group).collect();
        let mut groups = order.clone();
        groups.dedup();
        assert_eq!(groups, GROUPS.map(|group| group.name), "pools of a group stand together");
    }
}
