//! The beacon's step of a block.

use openmesh_primitives::VrfOutput;

use super::chain::next_beacon;
use super::keys;
use super::records::beacon;
use crate::context::Context;
use crate::state::StateError;

/// Mixes the output of the block's proposer in. Fails if the store does.
pub(crate) fn advance(context: &mut Context<'_>, output: &VrfOutput) -> Result<(), StateError> {
    let next = next_beacon(&beacon(&context.state)?, output);
    context.state.put(keys::BEACON.to_vec(), &next);
    Ok(())
}
