//! Attempts at the acts of a move, and the end of one that is waited for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::backups::Job;

/// First pause after a failure; the next ones double.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest pause after a failure, where an attempt leaves nothing.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Stable word of a generation that has failed: it and the one that brings back what it changed are kept.
const GENERATION_FAILED: &str = "move_failed";

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

    /// Notes a failure with its stable word: the next attempt waits, twice as long as the one before. Where a generation has failed it waits for up to
    /// `failed_max`, so that the generations of a start that always fails stay few. True for the first failure in a row.
    pub fn fail(&mut self, code: &str, failed_max: Duration) -> bool {
        let longest = if code == GENERATION_FAILED { failed_max.max(PAUSE_MAX) } else { PAUSE_MAX };
        let pause = PAUSE.saturating_mul(1 << self.attempts.min(17)).min(longest);
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
        let (mut retry, day) = (Retry::default(), Duration::from_secs(86_400));
        assert!(!retry.waits() && retry.fail("busy", day) && retry.waits());
        assert!(!retry.fail("busy", day) && retry.attempts() == 2);
        for _ in 0..40 {
            let _ = retry.fail("busy", day);
        }
        assert!(retry.again.is_some_and(|again| again <= Instant::now() + PAUSE_MAX));
        retry.succeed();
        assert!(!retry.waits() && retry.attempts() == 0);
        retry.pause(PAUSE);
        assert!(retry.waits() && retry.attempts() == 0);
    }

    #[test]
    fn a_start_that_always_fails_makes_few_generations() {
        let (mut retry, day) = (Retry::default(), Duration::from_secs(86_400));
        let mut pauses = Vec::new();
        for _ in 0..40 {
            let before = Instant::now();
            let _ = retry.fail(GENERATION_FAILED, day);
            pauses.push(retry.again.unwrap() - before);
        }
        assert!(pauses[0] < Duration::from_secs(60), "the first ones come soon: {pauses:?}");
        let first_day = pauses.iter().scan(Duration::ZERO, |sum, pause| {
            *sum += *pause;
            Some(*sum)
        });
        assert!(first_day.filter(|at| *at < day).count() < 20, "{pauses:?}");
        assert!(pauses[20..].iter().all(|pause| *pause >= day), "{pauses:?}");
        assert_eq!(super::super::error::MovesError::Failed(String::new()).code().0, GENERATION_FAILED);
        // What leaves nothing goes on to be tried each minute.
        retry.succeed();
        let _ = retry.fail("drained", day);
        assert!(retry.again.is_some_and(|again| again <= Instant::now() + PAUSE_MAX));
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
