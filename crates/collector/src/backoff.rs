//! Waiting before trying again.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// Longest wait that a venue may impose, in seconds: the longest ban that one of them speaks of (Binance: "from 2 minutes to
/// 3 days", longer for each who does not wait for its end). What is more is no wait but a mistake, and asked again.
pub(crate) const RETRY_AFTER_S_MAX: u64 = 3 * 86_400;

/// Pauses that double from a least to a most, each give or take half of it, so that collectors that were cut off
/// together do not come back together.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    least: u64,
    most: u64,
    next: u64,
}

impl Backoff {
    /// In milliseconds.
    pub(crate) const fn new(least: u64, most: u64) -> Backoff {
        Backoff { least, most, next: least }
    }

    /// The next pause.
    pub(crate) fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = pause.saturating_mul(2).min(self.most);
        somewhere(pause / 2, pause.saturating_add(pause / 2))
    }

    /// It worked: the next trouble starts from the least.
    pub(crate) const fn reset(&mut self) {
        self.next = self.least;
    }
}

/// A time between two, in milliseconds, that nobody can foretell: what many do at once they do one after the other.
pub(crate) fn somewhere(least: u64, most: u64) -> Duration {
    let choices = most.saturating_sub(least).saturating_add(1);
    Duration::from_millis(least.saturating_add(RandomState::new().build_hasher().finish() % choices))
}

/// What `Retry-After` asks for, in seconds form; dates are rare enough at venues to be taken as "no number given".
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
