//! Events: what is found on the machine and is not as it was wanted, and what was done about it beside the steps of a plan.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use openmesh_blueprint::document::Name;

/// Events that wait for whoever takes them: those of a turn, hundreds of times over. The oldest go first, and their number is told.
pub const EVENTS_MAX: usize = 1_024;

/// Kind of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventKind {
    /// Something lasts that is not as it should be. It is told once, when it begins.
    Found,
    /// It is over.
    Over,
    /// Something had gone, and was made again.
    Repaired,
    /// A step of one application, done while a long one of others goes on.
    Done,
    /// A step of one application, failed while a long one of others goes on.
    Failed,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Event {
    /// Its kind.
    pub kind: EventKind,
    /// The application that it is about; none for the machine.
    pub application: Option<Name>,
    /// Words for people, with the cause.
    pub cause: String,
}

/// Something that lasts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// The application that it is about; none for the machine.
    pub application: Option<Name>,
    /// Name of it that stays the same while its figures change.
    pub key: String,
    /// Words for people.
    pub cause: String,
}

impl Finding {
    /// A finding whose words are its name.
    pub fn new(application: Option<&Name>, cause: impl Into<String>) -> Finding {
        let cause = cause.into();
        Finding { application: application.cloned(), key: cause.clone(), cause }
    }
}

/// Findings by application and name, with their words.
type Lasting = BTreeMap<(Option<Name>, String), String>;

#[derive(Debug, Default)]
struct Inner {
    waiting: VecDeque<Event>,
    dropped: u64,
    /// Lasting conditions, by the source that finds it.
    lasting: BTreeMap<&'static str, Lasting>,
}

/// Events that nobody has taken yet, and what lasts.
#[derive(Debug, Default)]
pub(crate) struct Events(Mutex<Inner>);

impl Events {
    /// Tells an event.
    pub fn tell(&self, kind: EventKind, application: Option<&Name>, cause: impl Into<String>) {
        let event = Event { kind, application: application.cloned(), cause: cause.into() };
        Events::push(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner), event);
    }

    /// Takes all that a source finds at one look: what begins is told, and what is over.
    pub fn lasting(&self, source: &'static str, found: impl IntoIterator<Item = Finding>) {
        let found = found.into_iter().map(|finding| ((finding.application, finding.key), finding.cause));
        let found: Lasting = found.collect();
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = inner.lasting.insert(source, found.clone()).unwrap_or_default();
        for ((application, _), cause) in found.iter().filter(|(key, _)| !before.contains_key(*key)) {
            let event = Event { kind: EventKind::Found, application: application.clone(), cause: cause.clone() };
            Events::push(&mut inner, event);
        }
        for ((application, _), cause) in before.iter().filter(|(key, _)| !found.contains_key(*key)) {
            let event = Event { kind: EventKind::Over, application: application.clone(), cause: cause.clone() };
            Events::push(&mut inner, event);
        }
    }

    fn push(inner: &mut Inner, event: Event) {
        if inner.waiting.len() >= EVENTS_MAX {
            inner.waiting.pop_front();
            inner.dropped += 1;
        }
        inner.waiting.push_back(event);
    }

    /// Takes the events that wait, oldest first.
    pub fn take(&self) -> Vec<Event> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let dropped = std::mem::take(&mut inner.dropped);
        let lost = (dropped > 0).then(|| Event {
            kind: EventKind::Found,
            application: None,
            cause: format!("{dropped} earlier events were not taken in time, and are lost"),
        });
        lost.into_iter().chain(inner.waiting.drain(..)).collect()
    }

    /// Words of everything that lasts, by application.
    pub fn last(&self) -> BTreeSet<(Option<Name>, String)> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all = inner.lasting.values().flatten();
        all.map(|((application, _), cause)| (application.clone(), cause.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(events: &Events) -> Vec<(EventKind, String)> {
        events.take().into_iter().map(|event| (event.kind, event.cause)).collect()
    }

    #[test]
    fn what_lasts_is_told_when_it_begins_and_when_it_is_over() {
        let events = Events::default();
        let full = |free: u32| Finding { application: None, key: "full".into(), cause: format!("{free} are free") };
        for free in [9, 8, 7] {
            events.lasting("look", [full(free)]);
        }
        assert_eq!(words(&events), [(EventKind::Found, "9 are free".into())]);
        assert_eq!(events.last(), [(None, "7 are free".to_string())].into());
        // Another source says nothing of it.
        events.lasting("chores", []);
        assert!(words(&events).is_empty());
        events.lasting("look", []);
        assert_eq!(words(&events), [(EventKind::Over, "7 are free".into())]);
        assert!(events.last().is_empty());
    }

    #[test]
    fn events_that_nobody_takes_are_counted() {
        let events = Events::default();
        for number in 0..EVENTS_MAX + 3 {
            events.tell(EventKind::Repaired, None, number.to_string());
        }
        let taken = words(&events);
        assert_eq!(taken.len(), EVENTS_MAX + 1);
        assert!(taken[0].1.starts_with("3 earlier events"), "{:?}", taken[0]);
        assert_eq!(taken[1].1, "3");
        assert!(words(&events).is_empty());
    }
}
