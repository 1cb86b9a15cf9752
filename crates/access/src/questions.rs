//! Questions to the chain that strangers cause: whoever wants to be a contract wallet has the chain asked about it, and whoever pays for the chain's answers pays for them.
//!
//! A question whose answer is a yes was somebody's sign-in, and is taken back: what is counted are the others. Bounds hold for a source and for all of them, and most of
//! the latter is kept for sources that have asked little: so neither one source nor a few keep others from signing in. A wallet that is a key needs no question.

use std::collections::BTreeMap;

use crate::count::Count;
use crate::error::Refusal;
use crate::moment::Moment;

/// Questions of a source in a minute: somebody who picks the wrong wallet, a few times over.
const OF_SOURCE_PER_MINUTE_MAX: u64 = 5;
/// Questions of a source in a day: many such mistakes of many people behind one address.
const OF_SOURCE_PER_DAY_MAX: u64 = 50;
/// Questions of all sources in a minute: far below what the smallest plans of providers allow.
const PER_MINUTE_MAX: u64 = 30;
/// Questions of all sources in a day: a hundred sources that do nothing else.
const PER_DAY_MAX: u64 = 5_000;
/// Questions of all sources in a minute that are kept for those which have asked nothing in theirs: to use them up takes as many sources.
const KEPT_PER_MINUTE: u64 = 20;
/// Questions of all sources in a day that are kept for those which have asked little in theirs.
const KEPT_PER_DAY: u64 = 4_000;
/// Questions of a source in a day from which on it has not asked little any more: to use up what is kept takes hundreds of sources.
const LITTLE_PER_DAY: u64 = 10;
/// Sources from which on those are forgotten that have asked nothing for a day: more than can ask within one.
const SOURCES_MAX: u64 = 2 * PER_DAY_MAX;

/// Returns true where a source may have the chain asked once more. Numbers are those of questions in its minute and its day, and in those of all sources. Pure.
fn has_share(own: (u64, u64), all: (u64, u64)) -> bool {
    let is_new = own.0 == 0;
    let per_minute_max = if is_new { PER_MINUTE_MAX } else { PER_MINUTE_MAX - KEPT_PER_MINUTE };
    let per_day_max = if own.1 < LITTLE_PER_DAY { PER_DAY_MAX } else { PER_DAY_MAX - KEPT_PER_DAY };
    let has_own = own.0 < OF_SOURCE_PER_MINUTE_MAX && own.1 < OF_SOURCE_PER_DAY_MAX;
    has_own && all.0 < per_minute_max && all.1 < per_day_max
}

/// Questions of a run of an agent.
#[derive(Debug, Default)]
pub struct Questions {
    all: Count,
    /// By source. Each that is here has one in the count of all, but for those of a day before.
    sources: BTreeMap<String, Count>,
}

impl Questions {
    /// Counts a question of a source.
    ///
    /// # Errors
    /// [`Refusal::ChainBusy`], where the source has asked too often, or too often for what others have left; then nothing is counted.
    pub fn take(&mut self, source: &str, now: &Moment) -> Result<(), Refusal> {
        let own = self.sources.get(source).map_or((0, 0), |count| count.numbers(now));
        if !has_share(own, self.all.numbers(now)) {
            return Err(Refusal::ChainBusy);
        }
        if self.sources.len() as u64 >= SOURCES_MAX {
            self.sources.retain(|_, count| !count.is_over(now));
        }
        let count = self.sources.entry(source.into()).or_default();
        count.add(now);
        self.all.add(now);
        Ok(())
    }

    /// Takes a question back that was answered with a yes.
    pub fn take_back(&mut self, source: &str, now: &Moment) {
        self.all.take_back();
        let Some(count) = self.sources.get_mut(source) else { return };
        count.take_back();
        if count.is_over(now) {
            self.sources.remove(source);
        }
    }
}

#[cfg(test)]
mod tests {
    use openmesh_primitives::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::count::{DAY_MS, MINUTE_MS};

    fn at(ran_ms: u64) -> Moment {
        Moment { wall: Timestamp(0), ran_ms }
    }

    #[test]
    fn a_source_has_its_share_and_takes_nobodys() {
        let mut questions = Questions::default();
        for _ in 0..OF_SOURCE_PER_MINUTE_MAX {
            assert_eq!(questions.take("1.2.3.4", &at(0)), Ok(()));
        }
        for _ in 0..PER_MINUTE_MAX {
            assert_eq!(questions.take("1.2.3.4", &at(1)), Err(Refusal::ChainBusy));
        }
        assert_eq!(questions.take("5.6.7.8", &at(1)), Ok(()), "what is refused counts nothing");
        assert_eq!(questions.take("1.2.3.4", &at(MINUTE_MS)), Ok(()));
        // A day of it.
        let asked = (2 * MINUTE_MS..DAY_MS).step_by(1_000).filter(|ms| questions.take("1.2.3.4", &at(*ms)).is_ok());
        assert_eq!(asked.count() as u64, OF_SOURCE_PER_DAY_MAX - OF_SOURCE_PER_MINUTE_MAX - 1);
        assert_eq!(questions.take("1.2.3.4", &at(DAY_MS)), Ok(()));
    }

    #[test]
    fn all_sources_have_one_bound_and_none_is_kept_for_nothing() {
        let mut questions = Questions::default();
        let sources = |from: u64, count: u64| (from..from + count).map(|n| n.to_string());
        let asked = sources(0, 100).filter(|source| questions.take(source, &at(0)).is_ok());
        assert_eq!(asked.count() as u64, PER_MINUTE_MAX);
        assert_eq!(questions.sources.len() as u64, PER_MINUTE_MAX);
        // Each of them once, for days.
        let mut of_day = [0; 3];
        for second in 0..3 * DAY_MS / 1_000 {
            let now = at(MINUTE_MS + second * 1_000);
            let day = usize::try_from(second * 1_000 / DAY_MS).unwrap();
            of_day[day] += u64::from(questions.take(&second.to_string(), &now).is_ok());
            assert!(questions.sources.len() as u64 <= SOURCES_MAX + 1);
        }
        // Windows of a day begin with a question, and not with this loop.
        assert!(of_day.iter().all(|asked| *asked <= PER_DAY_MAX + PER_MINUTE_MAX), "{of_day:?}");
        assert!(of_day[1] > PER_DAY_MAX / 2, "{of_day:?}");
    }

    /// Two sources have used up what is for everybody: the rest of the minute is for those which have asked nothing yet.
    #[test]
    fn what_is_kept_is_for_sources_that_have_asked_nothing() {
        let mut questions = Questions::default();
        let mut asked = |source: &str, ms: u64| questions.take(source, &at(ms)).is_ok();
        for _ in 0..OF_SOURCE_PER_MINUTE_MAX {
            assert!(asked("1.2.3.4", 0) && asked("5.6.7.8", 0));
        }
        for n in 0..KEPT_PER_MINUTE {
            assert!(asked(&n.to_string(), 1), "{n}");
            assert!(!asked(&n.to_string(), 1), "a second one of {n}");
        }
        assert!(!asked("9.9.9.9", 1), "then all of it is used");
        assert!(asked("9.9.9.9", MINUTE_MS) && asked("1.2.3.4", MINUTE_MS));
    }

    /// A hundred sources that ask all day long leave a day's questions for everybody else.
    #[test]
    fn a_hundred_sources_do_not_use_up_a_day() {
        let mut questions = Questions::default();
        for second in 0..DAY_MS / 1_000 {
            let _ = questions.take(&(second % 100).to_string(), &at(second * 1_000));
        }
        let (_, of_day) = questions.all.numbers(&at(DAY_MS - 1));
        assert!(of_day < PER_DAY_MAX - KEPT_PER_DAY + 100 * LITTLE_PER_DAY + 1, "{of_day}");
        for n in 0..PER_MINUTE_MAX / 3 {
            assert_eq!(questions.take(&format!("new {n}"), &at(DAY_MS - 1)), Ok(()), "{n}");
        }
    }

    proptest! {
        /// Whatever fewer sources ask than are kept for new ones, and whatever of it is answered with a yes: one that has asked nothing in its minute is let in.
        #[test]
        fn a_few_sources_shut_nobody_out(
            acts in proptest::collection::vec((0..KEPT_PER_MINUTE - 1, 0u64..20_000, 0u8..8), 1..400),
        ) {
            let (mut questions, mut ms) = (Questions::default(), 0);
            for (source, pause, kind) in acts {
                // Bursts, with a pause now and then.
                ms += if kind == 0 { pause } else { pause / 1_000 };
                let (source, now) = (source.to_string(), at(ms));
                let taken = questions.take(&source, &now);
                if taken.is_ok() && kind == 1 {
                    questions.take_back(&source, &now);
                }
                prop_assert_eq!(questions.take("somebody", &now), Ok(()));
                questions.take_back("somebody", &now);
            }
        }

        /// More questions of others, or of its own, never give a source what it had not.
        #[test]
        fn a_share_only_shrinks(
            own in (0u64..60, 0u64..60),
            all in (0u64..40, 0u64..6_000),
            more in (0u64..9, 0u64..900),
        ) {
            let later = (all.0 + more.0, all.1 + more.1);
            prop_assert!(!has_share(own, later) || has_share(own, all));
            let busier = (own.0 + more.0, own.1 + more.1);
            prop_assert!(!has_share(busier, all) || has_share(own, all));
        }
    }

    #[test]
    fn a_yes_counts_nothing() {
        let mut questions = Questions::default();
        for n in 0..10 * PER_DAY_MAX {
            assert_eq!(questions.take("1.2.3.4", &at(n)), Ok(()));
            questions.take_back("1.2.3.4", &at(n));
        }
        assert!(questions.sources.is_empty());
    }
}
