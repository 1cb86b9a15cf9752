//! Memory of an agent: kept as long as it lives, and nothing that cannot be done without. Whoever comes after it finds all of it anew.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use openmesh_blueprint::document::Name;
use openmesh_links::Listings;
use openmesh_links::texts::Resolvers;

pub(crate) use crate::guard::lock;

use crate::events::Events;
use crate::kept::Kept;
use crate::marks::RestartEnd;
use crate::network::Known;
use crate::readback::Checks;

/// Time for which a shim that gave no answer is not asked again by a look: each such look takes as long as the patience with it.
const SILENT: Duration = Duration::from_secs(20);
/// Longest time between two looks at something that still count as one stretch: a few of the agent's own.
const STRETCH: Duration = Duration::from_secs(30);

/// Memory of an agent.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Events that nobody has taken yet.
    pub events: Events,
    /// Moments since which something is so.
    pub since: Since,
    /// The network as it was last brought to what was wanted.
    pub network: Mutex<Option<Known>>,
    /// Generations that were read last.
    pub generations: Kept,
    /// Lists of nft, as long as nobody changes its rules.
    pub listings: Listings,
    /// Instances as they were last read back.
    pub checks: Checks,
    /// Last end of each instance that was told.
    pub ends: Mutex<BTreeMap<String, u64>>,
    /// Resolvers that were read last.
    pub resolvers: Mutex<Resolvers>,
    /// Shims that gave no answer.
    pub silent: Silent,
    /// Restarts that are over, and whose end nobody has taken yet.
    pub restarts: Mutex<BTreeMap<Name, RestartEnd>>,
    /// Moment at which the machine had every feature; none where one lacks.
    pub features: Mutex<Option<Instant>>,
    /// Moment of the last chores of each minute.
    pub minute: Mutex<Option<Instant>>,
}

/// Moments since which something is so: the first and the last look at which it was.
#[derive(Debug, Default)]
pub(crate) struct Since(Mutex<BTreeMap<String, (Instant, Instant)>>);

impl Since {
    /// Time for which something has been so at each look, with this one.
    pub fn lasts(&self, key: &str) -> Duration {
        self.lasts_at(key, Instant::now())
    }

    fn lasts_at(&self, key: &str, now: Instant) -> Duration {
        let mut all = lock(&self.0);
        all.retain(|_, (_, last)| now.saturating_duration_since(*last) <= STRETCH);
        let (first, last) = all.entry(key.to_string()).or_insert((now, now));
        *last = now;
        now.saturating_duration_since(*first)
    }
}

/// Shims that gave no answer, by the names of their instances: the moment, and the error.
#[derive(Debug, Default)]
pub(crate) struct Silent(Mutex<BTreeMap<String, (Instant, String)>>);

impl Silent {
    /// The error of a shim that was asked a short while ago.
    pub fn recent(&self, instance: &str) -> Option<String> {
        let mut all = lock(&self.0);
        all.retain(|_, (at, _)| at.elapsed() < SILENT);
        all.get(instance).map(|(_, error)| error.clone())
    }

    /// Notes that one gave no answer.
    pub fn note(&self, instance: &str, error: String) {
        lock(&self.0).insert(instance.to_string(), (Instant::now(), error));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_begins_anew_after_a_gap() {
        let (since, begin) = (Since::default(), Instant::now());
        let at = |seconds| begin + Duration::from_secs(seconds);
        for seconds in [0, 20, 40] {
            assert_eq!(since.lasts_at("a", at(seconds)), Duration::from_secs(seconds));
        }
        assert_eq!(since.lasts_at("b", at(50)), Duration::ZERO);
        assert_eq!(since.lasts_at("a", at(100)), Duration::ZERO, "it was not so in between");
    }

    #[test]
    fn a_silent_shim_is_left_alone_for_a_while() {
        let silent = Silent::default();
        assert_eq!(silent.recent("web"), None);
        silent.note("web", "it says nothing".into());
        assert_eq!(silent.recent("web").as_deref(), Some("it says nothing"));
        assert_eq!(silent.recent("db"), None);
    }
}
