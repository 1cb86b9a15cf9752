//! The rule of a route: which instance gets a request, who waits, who is refused, and when an instance is drained or cut.
//!
//! Pure: time comes in as milliseconds of a monotonic clock, and whatever is to be done goes out as an [`Outcome`]. Each arrival has exactly
//! one end: it goes to an admitted instance, it is refused, or its client leaves. It is counted for its instance in the moment at which it is
//! given to it, before a byte is sent: a count of zero says that nothing was let in.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::document::{Admission, Route, Traffic};
use crate::limits::{HELD_REQUESTS_MAX, HOLD_MS_MAX};

/// Name of an instance.
pub type InstanceName = Arc<str>;

/// Kind of an arrival, by its power to change data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A request by GET, HEAD or OPTIONS that is no upgrade.
    Reading,
    /// Any other request.
    Writing,
    /// A connection of raw TCP.
    Connection,
}

/// First answer to an arrival.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It goes to this instance.
    Go(InstanceName),
    /// It waits; an [`Outcome`] follows.
    Wait,
    /// It is refused.
    Refuse(Refusal),
}

/// Reason of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// [`HELD_REQUESTS_MAX`] wait already.
    QueueFull,
    /// It waited for its whole time.
    HeldTooLong,
    /// The maintenance page answers.
    Maintenance,
    /// The application is stopped.
    Closed,
    /// No instance is admitted.
    Nobody,
}

/// Act that follows from a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A waiting arrival goes to an instance.
    Released(u64, InstanceName),
    /// A waiting arrival is refused.
    Refused(u64, Refusal),
    /// The connections of an instance are asked to end within this many milliseconds.
    Ask(InstanceName, u64),
    /// The connections of an instance are cut.
    Cut(InstanceName),
    /// An instance that drains has no open request and no connection. Said once for each drain.
    Drained(InstanceName),
}

/// Counts of one instance since the door first knew its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Open requests and connections.
    pub open: u64,
    /// Requests by GET, HEAD and OPTIONS.
    pub reading_requests: u64,
    /// Other requests.
    pub writing_requests: u64,
    /// Connections of raw TCP.
    pub connections: u64,
    /// Requests and connections that were cut.
    pub cut: u64,
}

/// Counts of all that a route has given to instances, in their life and after it. They begin with the route, and never go back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Given {
    /// Requests by GET, HEAD and OPTIONS.
    pub reading_requests: u64,
    /// Other requests.
    pub writing_requests: u64,
    /// Connections of raw TCP.
    pub connections: u64,
}

#[derive(Debug)]
struct Load {
    traffic: Traffic,
    /// In the document.
    named: bool,
    /// Moment of its last drain.
    since: u64,
    deadline: u64,
    asked_to_cut: bool,
    drained: bool,
    counts: Counts,
}

#[derive(Debug)]
struct Waiting {
    id: u64,
    class: Class,
    since: u64,
    until: u64,
}

/// The state of one route.
#[derive(Debug)]
pub struct Switch {
    admission: Admission,
    hold_ms: u64,
    instances: BTreeMap<InstanceName, Load>,
    given: Given,
    waiting: VecDeque<Waiting>,
    held: u64,
    refused: u64,
    longest_hold_ms: u64,
}

impl Default for Switch {
    fn default() -> Switch {
        Switch {
            admission: Admission::Closed,
            hold_ms: HOLD_MS_MAX,
            instances: BTreeMap::new(),
            given: Given::default(),
            waiting: VecDeque::new(),
            held: 0,
            refused: 0,
            longest_hold_ms: 0,
        }
    }
}

impl Switch {
    /// Takes the route of a new document.
    pub fn apply(&mut self, route: &Route, now: u64) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        (self.admission, self.hold_ms) = (route.admission, route.hold_ms.min(HOLD_MS_MAX));
        for load in self.instances.values_mut() {
            load.named = false;
        }
        for instance in &route.instances {
            let name: InstanceName = instance.name.as_str().into();
            let load = self.instances.entry(name.clone()).or_insert_with(|| Load::new(now));
            load.named = true;
            load.turn(&name, instance.traffic, instance.drain_ms, now, &mut outcomes);
        }
        for (name, load) in self.instances.iter_mut().filter(|(_, load)| !load.named) {
            load.turn(name, Traffic::Drain, 0, now, &mut outcomes);
        }
        self.expire(now, &mut outcomes);
        self.settle(now, &mut outcomes);
        self.forget();
        outcomes
    }

    /// Decides on a new request or connection.
    pub fn arrive(&mut self, id: u64, class: Class, now: u64) -> Arrival {
        let refusal = match self.admission {
            Admission::Open => match self.give(class) {
                Some(name) => return Arrival::Go(name),
                None => Refusal::Nobody,
            },
            Admission::Hold if self.waiting.len() >= HELD_REQUESTS_MAX => Refusal::QueueFull,
            Admission::Hold => {
                self.waiting.push_back(Waiting { id, class, since: now, until: now + self.hold_ms });
                self.held += 1;
                return Arrival::Wait;
            }
            Admission::Maintenance => Refusal::Maintenance,
            Admission::Closed => Refusal::Closed,
        };
        self.refused += 1;
        Arrival::Refuse(refusal)
    }

    /// Forgets a waiting arrival whose client left. One that waits no longer is not an error.
    pub fn leave(&mut self, id: u64) {
        self.waiting.retain(|waiting| waiting.id != id);
    }

    /// Takes the end of a request or connection of an instance; `cut` where it did not end by itself.
    pub fn end(&mut self, name: &str, cut: bool) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        if let Some((name, load)) = self.instances.get_key_value(name).map(|(name, _)| name.clone()).and_then(|name| {
            let load = self.instances.get_mut(&name)?;
            Some((name, load))
        }) {
            load.counts.open = load.counts.open.saturating_sub(1);
            load.counts.cut += u64::from(cut);
            load.rest(&name, &mut outcomes);
        }
        self.forget();
        outcomes
    }

    /// Does what the time asks for.
    pub fn tick(&mut self, now: u64) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        self.expire(now, &mut outcomes);
        outcomes
    }

    /// Next moment at which [`Switch::tick`] has something to do.
    pub fn next_deadline(&self) -> Option<u64> {
        let waits = self.waiting.iter().map(|waiting| waiting.until);
        let drains = self.instances.values().filter(|load| load.can_be_cut()).map(|load| load.deadline);
        waits.chain(drains).min()
    }

    /// Counts of the instances that the document names or that have open connections.
    pub fn counts(&self) -> impl Iterator<Item = (&InstanceName, Traffic, Counts)> {
        self.instances.iter().map(|(name, load)| (name, load.traffic, load.counts))
    }

    /// Counts of all that was given to instances so far.
    pub fn given(&self) -> Given {
        self.given
    }

    /// Number of arrivals that wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Number of arrivals that ever waited, of those that were refused, and the longest wait in milliseconds.
    pub fn totals(&self) -> (u64, u64, u64) {
        (self.held, self.refused, self.longest_hold_ms)
    }

    /// Treatment of what is new.
    pub fn admission(&self) -> Admission {
        self.admission
    }

    /// The admitted instance with the fewest open requests gets one more; the one that got least so far among equals.
    fn give(&mut self, class: Class) -> Option<InstanceName> {
        let admitted = self.instances.iter_mut().filter(|(_, load)| load.traffic == Traffic::Admit);
        let (name, load) = admitted.min_by_key(|(_, load)| (load.counts.open, load.counts.total()))?;
        load.counts.add(class);
        self.given.add(class);
        Some(name.clone())
    }

    fn expire(&mut self, now: u64, outcomes: &mut Vec<Outcome>) {
        let (late, rest) = std::mem::take(&mut self.waiting).into_iter().partition(|waiting| waiting.until <= now);
        let late: VecDeque<Waiting> = late;
        self.waiting = rest;
        for waiting in late {
            self.refused += 1;
            self.longest_hold_ms = self.longest_hold_ms.max(now.saturating_sub(waiting.since));
            outcomes.push(Outcome::Refused(waiting.id, Refusal::HeldTooLong));
        }
        for (name, load) in self.instances.iter_mut().filter(|(_, load)| load.can_be_cut() && load.deadline <= now) {
            load.asked_to_cut = true;
            outcomes.push(Outcome::Cut(name.clone()));
        }
    }

    /// Ends the waiting of all, in their order, where they need not wait any longer.
    fn settle(&mut self, now: u64, outcomes: &mut Vec<Outcome>) {
        let refusal = match self.admission {
            Admission::Hold => return,
            Admission::Open => Refusal::Nobody,
            Admission::Maintenance => Refusal::Maintenance,
            Admission::Closed => Refusal::Closed,
        };
        for waiting in std::mem::take(&mut self.waiting) {
            self.longest_hold_ms = self.longest_hold_ms.max(now.saturating_sub(waiting.since));
            let given = if self.admission == Admission::Open { self.give(waiting.class) } else { None };
            outcomes.push(match given {
                Some(name) => Outcome::Released(waiting.id, name),
                None => {
                    self.refused += 1;
                    Outcome::Refused(waiting.id, refusal)
                }
            });
        }
    }

    fn forget(&mut self) {
        self.instances.retain(|_, load| load.named || load.counts.open > 0);
    }
}

impl Load {
    fn new(now: u64) -> Load {
        Load {
            traffic: Traffic::Admit,
            named: true,
            since: now,
            deadline: u64::MAX,
            asked_to_cut: false,
            drained: false,
            counts: Counts::default(),
        }
    }

    fn turn(&mut self, name: &InstanceName, traffic: Traffic, drain_ms: u64, now: u64, outcomes: &mut Vec<Outcome>) {
        let begins = traffic == Traffic::Drain && self.traffic == Traffic::Admit;
        self.traffic = traffic;
        if traffic == Traffic::Admit {
            (self.deadline, self.asked_to_cut, self.drained) = (u64::MAX, false, false);
            return;
        }
        if begins {
            self.since = now;
        }
        self.deadline = self.since.saturating_add(drain_ms);
        if begins && self.counts.open > 0 {
            outcomes.push(Outcome::Ask(name.clone(), self.deadline.saturating_sub(now)));
        }
        self.rest(name, outcomes);
    }

    /// Says that the instance is drained, once.
    fn rest(&mut self, name: &InstanceName, outcomes: &mut Vec<Outcome>) {
        if self.traffic == Traffic::Drain && self.counts.open == 0 && !self.drained {
            self.drained = true;
            outcomes.push(Outcome::Drained(name.clone()));
        }
    }

    fn can_be_cut(&self) -> bool {
        self.traffic == Traffic::Drain && self.counts.open > 0 && !self.asked_to_cut
    }
}

impl Given {
    fn add(&mut self, class: Class) {
        match class {
            Class::Reading => self.reading_requests += 1,
            Class::Writing => self.writing_requests += 1,
            Class::Connection => self.connections += 1,
        }
    }
}

impl Counts {
    fn add(&mut self, class: Class) {
        self.open += 1;
        match class {
            Class::Reading => self.reading_requests += 1,
            Class::Writing => self.writing_requests += 1,
            Class::Connection => self.connections += 1,
        }
    }

    fn total(&self) -> u64 {
        self.reading_requests + self.writing_requests + self.connections
    }
}
