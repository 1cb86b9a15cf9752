//! Attempts at the acts of a move, and the end of one that is waited for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::backups::Job;

/// First pause after a failure; the next ones double.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest pause after a failure.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Attempts at what comes next.
#[derive(Debug, Default)]
pub(super) struct Retry {
    attempts: u32,
    again: Option<Instant>,
}

impl Retry {
    /// Attempts in a row that have failed.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Notes that something was done.
    pub fn succeed(&mut self) {
        *self = Retry::default();
    }

    /// Notes a failure: the next attempt waits. True for the first one in a row.
    pub fn fail(&mut self) -> bool {
        let pause = PAUSE.saturating_mul(1 << self.attempts.min(16)).min(PAUSE_MAX);
        self.attempts = self.attempts.saturating_add(1);
        self.again = Some(Instant::now() + pause);
        self.attempts == 1
    }

    /// Lets the next attempt wait, without a failure.
    pub fn pause(&mut self, pause: Duration) {
        self.again = Some(Instant::now() + pause);
    }

    /// Returns true where the next attempt waits.
    pub fn waits(&self) -> bool {
        self.again.is_some_and(|again| again > Instant::now())
    }
}

/// Returns true for the stable word of a failure that may pass by itself: a machine that is away, a lender that hears of a loan within a second, acts that are
/// under way, and an agent that has begun and does not see everything yet.
pub(super) fn is_passing(code: &str) -> bool {
    matches!(code, "repository" | "busy" | "no_loan" | "not_quiet")
}

/// Waits for the end of an act; for ever where none is under way.
pub(super) async fn ended_of(job: Option<&Arc<Job>>) {
    match job {
        Some(job) => {
            let mut end = job.follow();
            // The sender lives as long as the act does.
            let _ended = end.wait_for(Option::is_some).await.is_ok();
        }
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_wait_longer_and_longer() {
        let mut retry = Retry::default();
        assert!(!retry.waits() && retry.fail() && retry.waits());
        assert!(!retry.fail() && retry.attempts() == 2);
        for _ in 0..40 {
            let _ = retry.fail();
        }
        assert!(retry.again.is_some_and(|again| again <= Instant::now() + PAUSE_MAX));
        retry.succeed();
        assert!(!retry.waits() && retry.attempts() == 0);
        retry.pause(PAUSE);
        assert!(retry.waits() && retry.attempts() == 0);
    }

    #[test]
    fn what_is_certain_is_not_tried_again() {
        for code in ["repository", "busy", "no_loan"] {
            assert!(is_passing(code));
        }
        for code in ["refused", "no_room", "lent_room", "move_failed", "cancelled", "document", ""] {
            assert!(!is_passing(code), "{code}");
        }
    }
}
