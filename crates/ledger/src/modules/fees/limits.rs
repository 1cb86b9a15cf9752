//! Limits of fees.

use openmesh_primitives::Amount;

/// Highest base fee of a unit of weight: a thousandth of the cap, more than anybody pays, and small enough that a base fee times
/// any weight or share fits in 128 bits.
pub const BASE_FEE_MAX: Amount = Amount::open(1_000_000);

/// A whole room in a block, in millionths: the unit of a block's load.
pub const LOAD_WHOLE: u64 = 1_000_000;
