//! The beacon in the state.

use openmesh_primitives::Digest;

use super::keys;
use crate::state::{StateError, StateRead, need};

/// The beacon after the last block. Fails if the store does, or is not of a network.
pub fn beacon(state: &dyn StateRead) -> Result<Digest, StateError> {
    need(state, keys::BEACON)
}
