//! Questions to the chain that strangers cause: whoever wants to be a contract wallet has the chain asked about it, and whoever pays for the chain's answers pays for them.
//!
//! A question whose answer is a yes was somebody's sign-in, and is taken back: what is counted are the others. Bounds hold for a source, so that one cannot keep others
//! from signing in, and for all of them. A wallet that is a key needs no question.

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
/// Sources from which on those are forgotten that have asked nothing for a day: more than can ask within one.
const SOURCES_MAX: u64 = 2 * PER_DAY_MAX;

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
    /// [`Refusal::ChainBusy`], where the source or all of them have asked too often; then nothing is counted.
    pub fn take(&mut self, source: &str, now: &Moment) -> Result<(), Refusal> {
        if !self.all.has_room(now, PER_MINUTE_MAX, PER_DAY_MAX) {
            return Err(Refusal::ChainBusy);
        }
        if self.sources.len() as u64 >= SOURCES_MAX {
            self.sources.retain(|_, count| !count.is_over(now));
        }
        let count = self.sources.entry(source.into()).or_default();
        if !count.has_room(now, OF_SOURCE_PER_MINUTE_MAX, OF_SOURCE_PER_DAY_MAX) {
            return Err(Refusal::ChainBusy);
        }
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
