//! Time for which nothing was heard of the machine that an application leaves, by the time in which this one ran: an agent that dies and a clock that
//! is set change nothing of it.

use std::time::{Duration, Instant};

use openmesh_blueprint::moving::Arrival;

/// Silence after which one that was not told to serve lets go, and after which people are told of what nobody fetches.
const LET_GO: Duration = Duration::from_secs(86_400);
/// Silence after which what serves here stays: a machine that is off over a weekend is back within it, and the hour in which it undoes a move is long over where
/// it ran.
const STAYS: Duration = Duration::from_secs(3 * 86_400);
/// Time that is written down at once, milliseconds: so much is lost with an agent.
const COUNT_MS: u64 = 600_000;

/// The time for which nothing was heard.
pub(super) struct Silence {
    /// The part of it that was written down before this run of the agent; none once something was heard.
    before_ms: u64,
    /// Moment of the last word, or the one from which it is looked after.
    since: Instant,
}

impl Silence {
    /// A silence of which so much was written down.
    pub fn new(noted_ms: u64, now: Instant) -> Silence {
        Silence { before_ms: noted_ms, since: now }
    }

    /// Ends at the moment of a word.
    pub fn hear(&mut self, at: Option<Instant>) {
        if let Some(at) = at.filter(|at| *at > self.since) {
            *self = Silence { before_ms: 0, since: at };
        }
    }

    /// All of it.
    pub fn lasts(&self, now: Instant) -> Duration {
        Duration::from_millis(self.before_ms).saturating_add(now.saturating_duration_since(self.since))
    }
}

/// The part of a silence that is to be written down; none where that is written already.
pub(super) fn to_note(lasts: Duration, noted_ms: u64) -> Option<u64> {
    let lasts_ms = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
    let whole_ms = lasts_ms - lasts_ms % COUNT_MS;
    (whole_ms != noted_ms).then_some(whole_ms)
}

/// The mark after a silence.
pub(super) fn after(mark: &Arrival, lasts: Duration) -> Arrival {
    match mark.clone() {
        mark if lasts >= STAYS => mark.expire().settle(),
        mark if lasts >= LET_GO => mark.expire(),
        mark => mark,
    }
}

/// Returns true where nobody fetches what was given back, of which the only copy may be here.
pub(super) fn is_left_lying(mark: &Arrival, lasts: Duration) -> bool {
    matches!(mark, Arrival::Given { .. }) && lasts >= LET_GO
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silence_outlives_the_agent_and_ends_with_a_word() {
        let begun = Instant::now();
        let at = |seconds: u64| begun + Duration::from_secs(seconds);
        let mut silence = Silence::new(1_200_000, begun);
        assert_eq!(silence.lasts(at(60)), Duration::from_secs(1_260));
        // A word of before is no word of this run.
        silence.hear(Some(begun));
        silence.hear(None);
        assert_eq!(silence.lasts(at(60)), Duration::from_secs(1_260));
        silence.hear(Some(at(70)));
        silence.hear(Some(at(65)));
        assert_eq!(silence.lasts(at(100)), Duration::from_secs(30));
        assert_eq!(silence.lasts(begun), Duration::ZERO, "of a moment before it");
    }

    #[test]
    fn it_is_written_down_in_large_parts_and_taken_back_with_a_word() {
        let minutes = |count: u64| Duration::from_secs(count * 60);
        assert_eq!(to_note(minutes(9), 0), None);
        assert_eq!(to_note(minutes(10), 0), Some(600_000));
        assert_eq!(to_note(minutes(19), 600_000), None);
        assert_eq!(to_note(minutes(0), 600_000), Some(0));
    }

    #[test]
    fn what_serves_stays_after_days_and_what_never_did_lets_go_after_one() {
        let days = |count: u64| Duration::from_secs(count * 86_400);
        let arrives = Arrival::Arrives { tried: None };
        assert_eq!(after(&arrives, days(1) - Duration::from_secs(1)), arrives);
        let refused = Arrival::Refused { cause: "no room".into() };
        for mark in [&arrives, &Arrival::Ready { backup: "ab".into() }, &refused] {
            assert_eq!(after(mark, days(1)), Arrival::Dropped, "{mark:?}");
        }
        assert_eq!(after(&Arrival::Serves, days(3) - Duration::from_secs(1)), Arrival::Serves);
        assert_eq!(after(&Arrival::Serves, days(3)), Arrival::Kept);
        let given = Arrival::Given { backup: "ab".into() };
        for mark in [Arrival::Told, Arrival::GivesBack, given.clone()] {
            assert_eq!(after(&mark, days(400)), mark);
        }
        assert!(is_left_lying(&given, days(1)) && !is_left_lying(&given, Duration::from_secs(60)));
        assert!(!is_left_lying(&Arrival::Serves, days(2)));
    }
}
