//! Times of the system and spans between times.

use std::time::{SystemTime, UNIX_EPOCH};

use openmesh_primitives::Timestamp;

/// A time of the system as a timestamp.
pub fn timestamp(time: SystemTime) -> Timestamp {
    let nanos = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    Timestamp(i64::try_from(nanos).unwrap_or(i64::MAX))
}

/// Milliseconds from one time to another; 0 where the first is not before the second.
pub fn since_ms(at: Timestamp, now: Timestamp) -> u64 {
    u64::try_from(now.nanos().saturating_sub(at.nanos()).max(0) / 1_000_000).unwrap_or(0)
}
