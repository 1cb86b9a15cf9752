//! Results of two looks at each instance.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use openmesh_cage::readback::Difference;
use openmesh_shim::protocol::{First, Status};

use crate::guard::lock;

/// Time between two looks at an instance that is as it was made.
const MINUTE: Duration = Duration::from_secs(60);
/// Time between two looks at one that is not: longer than a process needs to come into an instance, of which a part is seen meanwhile.
const SECOND_LOOK: Duration = Duration::from_secs(5);
/// Differences that are named; the rest is counted.
const NAMED_MAX: usize = 3;

/// An instance as it was read back last.
#[derive(Clone, Debug)]
struct Checked {
    /// Its first process then.
    first: First,
    at: Instant,
    /// Differences of the last look.
    seen: Vec<Difference>,
    /// Those that the look before had shown too.
    confirmed: Vec<Difference>,
}

/// Instances as they were read back last, by their names on this machine.
#[derive(Debug, Default)]
pub(crate) struct Checks(Mutex<BTreeMap<String, Checked>>);

impl Checks {
    /// Words for what is not as it was made in the present run of an instance.
    pub fn altered(&self, instance: &str, status: &Status) -> Option<String> {
        let all = lock(&self.0);
        let checked = all.get(instance).filter(|checked| is_same(&checked.first, status))?;
        words(&checked.confirmed)
    }

    /// Notes a look.
    pub(super) fn note(&self, instance: String, first: First, seen: Vec<Difference>, at: Instant) {
        let mut all = lock(&self.0);
        let before = all.remove(&instance).filter(|before| runs_as(&before.first, &first));
        let before = before.map(|before| before.seen).unwrap_or_default();
        let confirmed = seen.iter().filter(|difference| before.contains(difference)).cloned().collect();
        all.insert(instance, Checked { first, at, seen, confirmed });
    }

    /// Returns true where it is time to look at the present run of an instance.
    pub(super) fn is_due(&self, instance: &str, first: &First, now: Instant) -> bool {
        let all = lock(&self.0);
        let Some(checked) = all.get(instance).filter(|checked| runs_as(&checked.first, first)) else { return true };
        let pause = if checked.seen.is_empty() { MINUTE } else { SECOND_LOOK };
        now.saturating_duration_since(checked.at) >= pause
    }

    pub(super) fn keep(&self, there: &BTreeSet<String>) {
        lock(&self.0).retain(|instance, _| there.contains(instance));
    }
}

fn runs_as(one: &First, other: &First) -> bool {
    (one.pid, one.start_ticks) == (other.pid, other.start_ticks)
}

fn is_same(first: &First, status: &Status) -> bool {
    status.first.as_ref().is_some_and(|now| runs_as(first, now))
}

fn words(differences: &[Difference]) -> Option<String> {
    let named: Vec<String> = differences.iter().take(NAMED_MAX).map(ToString::to_string).collect();
    let more = differences.len().saturating_sub(NAMED_MAX);
    match (named.is_empty(), more) {
        (true, _) => None,
        (false, 0) => Some(named.join("; ")),
        (false, more) => Some(format!("{}; and {more} more differences", named.join("; "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(pid: u32) -> First {
        First { pid, start_ticks: 7, stopped_by: None }
    }

    fn difference(pid: u32) -> Difference {
        Difference::NewPrivileges { pid }
    }

    fn confirmed(checks: &Checks) -> usize {
        lock(&checks.0)["web"].confirmed.len()
    }

    #[test]
    fn a_difference_counts_that_two_looks_have_shown() {
        let (checks, at) = (Checks::default(), Instant::now());
        checks.note("web".into(), first(1), vec![difference(5)], at);
        assert_eq!(confirmed(&checks), 0);
        checks.note("web".into(), first(1), vec![difference(6)], at);
        assert_eq!(confirmed(&checks), 0, "another one");
        checks.note("web".into(), first(1), vec![difference(5), difference(6)], at);
        assert_eq!(confirmed(&checks), 1);
        checks.note("web".into(), first(2), vec![difference(5), difference(6)], at);
        assert_eq!(confirmed(&checks), 0, "another run");
        checks.note("web".into(), first(2), Vec::new(), at);
        assert_eq!(confirmed(&checks), 0);
    }

    #[test]
    fn one_that_differs_is_looked_at_sooner() {
        let (checks, at) = (Checks::default(), Instant::now());
        let due = |seconds: u64| checks.is_due("web", &first(1), at + Duration::from_secs(seconds));
        assert!(due(0));
        checks.note("web".into(), first(1), Vec::new(), at);
        assert_eq!((due(59), due(60)), (false, true));
        assert!(checks.is_due("web", &first(2), at), "another run");
        checks.note("web".into(), first(1), vec![difference(5)], at);
        assert_eq!((due(4), due(5)), (false, true));
        checks.keep(&BTreeSet::new());
        assert!(due(0));
    }

    #[test]
    fn words_are_few() {
        let all: Vec<Difference> = (1..=5).map(difference).collect();
        assert!(words(&all).is_some_and(|text| text.ends_with("; and 2 more differences")));
        assert_eq!(words(&all[..1]), Some(all[0].to_string()));
        assert_eq!(words(&[]), None);
    }
}
