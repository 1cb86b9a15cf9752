//! The equation at the end of a block. Clause SU-3 of `docs/spec/supply.md`.

use super::keys;
use super::limits::SUPPLY_CAP;
use super::records::supply;
use crate::context::Context;
use crate::state::{StateError, readable};

/// Notes where OPEN stands after the block, and refuses a block that made or lost some of it. What it costs does not grow with
/// the number of accounts. Fails if the store does, or if the equation does not hold: then this node's rules or its store are
/// broken, and it must stop.
pub(crate) fn close(context: &mut Context<'_>) -> Result<(), StateError> {
    let before = supply(&context.state)?;
    let moved = context.moved;
    match moved.after(&before) {
        // Also where nothing has moved: a node whose places do not sum has nothing to build on.
        Some(after) if after.is_whole() => {
            if after != before {
                context.state.put(keys::SUPPLY.to_vec(), &after);
            }
            Ok(())
        }
        _ => Err(StateError::Damaged {
            key: readable(keys::SUPPLY),
            reason: format!(
                "block {} does not keep the sum of {SUPPLY_CAP}: before it {before:?}, moved {moved:?}",
                context.height
            ),
        }),
    }
}
