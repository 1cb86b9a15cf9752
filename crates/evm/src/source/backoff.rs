//! Waits after failures.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// Longest wait after the first failure.
pub const BACKOFF_MIN: Duration = Duration::from_millis(500);
/// Longest wait at all: a node that comes back is found within a minute.
pub const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// Longest wait that a node may demand by `Retry-After`; more would be as good as switching us off.
pub const RATE_LIMIT_WAIT_MAX: Duration = Duration::from_secs(600);

/// The wait before attempt `attempt + 1`, from half to all of a time that doubles: several sites that failed together
/// must not come back together. What the node demanded is the least.
pub(super) fn wait(attempt: u32, demanded: Option<Duration>) -> Duration {
    let doubled = BACKOFF_MIN.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(BACKOFF_MAX);
    // Each RandomState has new keys; no more randomness is needed to spread waits.
    let random = RandomState::new().build_hasher().finish();
    let jittered = doubled / 2 + (doubled / 2).mul_f64(random as f64 / u64::MAX as f64);
    demanded.map_or(jittered, |demanded| demanded.min(RATE_LIMIT_WAIT_MAX).max(jittered))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_within_limits_and_heed_the_node() {
        for attempt in 1..200 {
            let most = BACKOFF_MAX.min(BACKOFF_MIN * 2u32.pow(attempt.min(12) - 1));
            let waited = wait(attempt, None);
            assert!(waited >= most / 2 && waited <= most, "{attempt}: {waited:?}");
        }
        assert_eq!(wait(1, Some(Duration::from_secs(30))), Duration::from_secs(30));
        assert_eq!(wait(1, Some(Duration::from_secs(86_400))), RATE_LIMIT_WAIT_MAX);
        assert!(wait(3, Some(Duration::ZERO)) >= BACKOFF_MIN * 2);
    }

    #[test]
    fn waits_are_spread() {
        let waits: std::collections::HashSet<Duration> = (0..16).map(|_| wait(8, None)).collect();
        assert!(waits.len() > 1);
    }
}
