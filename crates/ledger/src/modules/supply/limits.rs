//! Limits of the supply.

use openmesh_primitives::Amount;

/// All OPEN that there is and ever will be, in units of 10^-18: nothing is minted, so the genesis holds the whole of it.
pub const SUPPLY_CAP: Amount = Amount::open(1_000_000_000);

/// Most grants of a genesis: what a file of some megabytes holds, and a node reads at its first start.
pub const GRANTS_MAX: usize = 65_536;
