//! Times by this node's clock.

use std::time::Duration;

use openmesh_primitives::Timestamp;

/// Returns the time that is so long from now.
pub(crate) fn after(wait: Duration) -> Timestamp {
    let nanos = i64::try_from(wait.as_nanos()).unwrap_or(i64::MAX);
    Timestamp(Timestamp::now().nanos().saturating_add(nanos))
}
