//! Pauses between attempts.

use std::time::Duration;

/// Longest wait that a venue may impose, in seconds: the longest ban that one of them speaks of (Binance: "from 2 minutes to
/// 3 days", longer for each who does not wait for its end). What is more is no wait but a mistake, and asked again.
pub(crate) const RETRY_AFTER_S_MAX: u64 = 3 * 86_400;

/// Pauses that double from a least to a most, each give or take half of it, so that collectors that were cut off
/// together do not come back together.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    min_ms: u64,
    max_ms: u64,
    next_ms: u64,
}

impl Backoff {
    /// Pauses from `min_ms` to `max_ms`, in milliseconds.
    pub(crate) const fn new(min_ms: u64, max_ms: u64) -> Backoff {
        Backoff { min_ms, max_ms, next_ms: min_ms }
    }

    /// Returns the next pause.
    pub(crate) fn pause(&mut self) -> Duration {
        let pause = self.next_ms;
        self.next_ms = pause.saturating_mul(2).min(self.max_ms);
        jitter(pause / 2, pause.saturating_add(pause / 2))
    }

    /// Starts again from the shortest pause.
    pub(crate) const fn reset(&mut self) {
        self.next_ms = self.min_ms;
    }
}

/// A random duration in `min_ms..=max_ms`, so that clients do not retry in step.
pub(crate) fn jitter(min_ms: u64, max_ms: u64) -> Duration {
    let choices = max_ms.saturating_sub(min_ms).saturating_add(1);
    // Without randomness there is nothing better than the middle; every pause still ends.
    let random = getrandom::u64().unwrap_or(choices / 2);
    Duration::from_millis(min_ms.saturating_add(random % choices))
}

/// Returns the wait that a `Retry-After` of whole seconds asks for, within [`RETRY_AFTER_S_MAX`]; else `otherwise`.
pub(crate) fn retry_after(value: Option<&str>, otherwise: Duration) -> Duration {
    let seconds = value.and_then(|v| v.trim().parse::<u64>().ok()).map(|s| s.min(RETRY_AFTER_S_MAX));
    seconds.map_or(otherwise, Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_start_over() {
        let mut backoff = Backoff::new(100, 1_000);
        for expected in [100, 200, 400, 800, 1_000, 1_000] {
            let pause = backoff.pause().as_millis() as u64;
            assert!((expected / 2..=expected * 3 / 2).contains(&pause), "{pause} for {expected}");
        }
        backoff.reset();
        assert!(backoff.pause() <= Duration::from_millis(150));
    }

    #[test]
    fn retry_after_is_bounded() {
        let otherwise = Duration::from_millis(5);
        assert_eq!(retry_after(Some(" 7 "), otherwise), Duration::from_secs(7));
        assert_eq!(retry_after(Some("86400"), otherwise), Duration::from_secs(86_400), "a ban is served to its end");
        assert_eq!(retry_after(Some("999999999"), otherwise), Duration::from_secs(RETRY_AFTER_S_MAX));
        assert_eq!(retry_after(Some("Wed, 21 Oct 2026 07:28:00 GMT"), otherwise), otherwise);
        assert_eq!(retry_after(None, otherwise), otherwise);
    }
}
