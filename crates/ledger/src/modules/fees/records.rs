//! Records of fees.

use openmesh_primitives::Amount;

use super::keys;
use crate::state::{StateError, StateRead, need};

/// The base fee of a unit of weight in the next block, in units of 10^-18 OPEN. Fails if the store does, or is not of a network.
pub fn base_fee(state: &dyn StateRead) -> Result<Amount, StateError> {
    need(state, keys::BASE_FEE)
}
