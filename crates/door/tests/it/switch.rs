//! Properties of the rule of a route, over random lives of it.

use std::collections::{BTreeMap, BTreeSet};

use openmesh_door::document::{Admission, Instance, Protocol, Route, Traffic};
use openmesh_door::limits::{HELD_REQUESTS_MAX, HOLD_MS_MAX};
use openmesh_door::switch::{Arrival, Class, InstanceName, Outcome, Refusal, Switch};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Act {
    Apply(Route),
    Arrive(u8, Class),
    End(usize),
    Leave(usize),
    Pass(u64),
}

fn route(admission: Admission, instances: &[(&str, Traffic, u64)]) -> Route {
    let instances = instances.iter().enumerate().map(|(index, (name, traffic, drain_ms))| Instance {
        name: name.to_string(),
        address: ([127, 0, 0, 1], 1_000 + index as u16).into(),
        traffic: *traffic,
        drain_ms: *drain_ms,
    });
    Route { protocol: Protocol::Http1, admission, hold_ms: HOLD_MS_MAX, instances: instances.collect(), page: None }
}

fn any_route() -> impl Strategy<Value = Route> {
    let admission = prop_oneof![
        4 => Just(Admission::Open),
        3 => Just(Admission::Hold),
        1 => Just(Admission::Maintenance),
        1 => Just(Admission::Closed)
    ];
    let traffic = prop_oneof![Just(Traffic::Admit), Just(Traffic::Drain)];
    let instances =
        prop::collection::btree_map(prop::sample::select(vec!["a", "b", "c"]), (traffic, 0..3_000u64), 0..3);
    (admission, instances, 0..HOLD_MS_MAX).prop_map(|(admission, instances, hold_ms)| {
        let list: Vec<_> = instances.into_iter().map(|(name, (traffic, drain))| (name, traffic, drain)).collect();
        Route { hold_ms, ..route(admission, &list) }
    })
}

fn any_act() -> impl Strategy<Value = Act> {
    let class = prop_oneof![Just(Class::Reading), Just(Class::Writing), Just(Class::Connection)];
    prop_oneof![
        2 => any_route().prop_map(Act::Apply),
        4 => (1..200u8, class).prop_map(|(count, class)| Act::Arrive(count, class)),
        4 => any::<usize>().prop_map(Act::End),
        1 => any::<usize>().prop_map(Act::Leave),
        2 => (0..20_000u64).prop_map(Act::Pass),
    ]
}

/// The outside of a route: who waits, who is open, and what was said.
#[derive(Default)]
struct World {
    switch: Switch,
    route: Option<Route>,
    now: u64,
    next: u64,
    waiting: BTreeMap<u64, u64>,
    open: Vec<InstanceName>,
    ended: BTreeSet<u64>,
    draining: BTreeMap<InstanceName, bool>,
}

impl World {
    fn traffic(&self, name: &str) -> Option<Traffic> {
        let route = self.route.as_ref()?;
        route.instances.iter().find(|instance| instance.name == name).map(|instance| instance.traffic)
    }

    fn goes(&mut self, name: InstanceName) {
        assert_eq!(self.traffic(&name), Some(Traffic::Admit), "an arrival went to {name}");
        self.open.push(name);
    }

    fn take(&mut self, outcomes: Vec<Outcome>) {
        let mut last = None;
        for outcome in outcomes {
            match outcome {
                Outcome::Released(id, name) => {
                    assert!(last.replace(id) < Some(id), "released in the order of arrival");
                    assert!(self.waiting.remove(&id).is_some() && self.ended.insert(id));
                    self.goes(name);
                }
                Outcome::Refused(id, refusal) => {
                    let until = self.waiting.remove(&id).expect("waits");
                    assert!(self.ended.insert(id));
                    assert!(refusal != Refusal::HeldTooLong || until <= self.now);
                }
                Outcome::Ask(name, _) => assert!(self.open.contains(&name)),
                Outcome::Cut(name) => self.cut(&name),
                Outcome::Drained(name) => {
                    assert!(!self.open.contains(&name), "{name} is not drained");
                    assert_eq!(self.draining.insert(name, true), Some(false), "said once for each drain");
                }
            }
        }
    }

    fn cut(&mut self, name: &InstanceName) {
        let many = self.open.iter().filter(|open| *open == name).count();
        assert!(many > 0);
        self.open.retain(|open| open != name);
        for _ in 0..many {
            let outcomes = self.switch.end(name, true);
            self.take(outcomes);
        }
    }

    fn apply(&mut self, route: Route) {
        let known: BTreeSet<InstanceName> = self.switch.counts().map(|(name, ..)| name.clone()).collect();
        for instance in &route.instances {
            let name: InstanceName = instance.name.as_str().into();
            match instance.traffic {
                Traffic::Admit => drop(self.draining.remove(&name)),
                Traffic::Drain if known.contains(&name) => drop(self.draining.entry(name).or_insert(false)),
                Traffic::Drain => drop(self.draining.insert(name, false)),
            }
        }
        for name in known {
            if !route.instances.iter().any(|instance| *instance.name == *name) {
                self.draining.entry(name).or_insert(false);
            }
        }
        self.route = Some(route.clone());
        let outcomes = self.switch.apply(&route, self.now);
        self.take(outcomes);
    }

    fn arrive(&mut self, class: Class) {
        self.next += 1;
        let id = self.next;
        let hold_ms = self.route.as_ref().map_or(0, |route| route.hold_ms);
        match self.switch.arrive(id, class, self.now) {
            Arrival::Go(name) => {
                assert!(self.ended.insert(id));
                self.goes(name);
            }
            Arrival::Wait => {
                assert!(self.waiting.len() < HELD_REQUESTS_MAX);
                self.waiting.insert(id, self.now + hold_ms);
            }
            Arrival::Refuse(refusal) => {
                assert!(self.ended.insert(id));
                assert!(refusal != Refusal::QueueFull || self.waiting.len() == HELD_REQUESTS_MAX);
            }
        }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Apply(route) => self.apply(route),
            Act::Arrive(count, class) => (0..count).for_each(|_| self.arrive(class)),
            Act::End(which) if !self.open.is_empty() => {
                let name = self.open.swap_remove(which % self.open.len());
                let outcomes = self.switch.end(&name, false);
                self.take(outcomes);
            }
            Act::Leave(which) if !self.waiting.is_empty() => {
                let id = *self.waiting.keys().nth(which % self.waiting.len()).expect("there");
                self.waiting.remove(&id);
                self.ended.insert(id);
                self.switch.leave(id);
            }
            Act::Pass(time) => {
                let end = self.now + time;
                while let Some(next) = self.switch.next_deadline().filter(|next| *next <= end) {
                    self.now = self.now.max(next);
                    let outcomes = self.switch.tick(self.now);
                    assert!(!outcomes.is_empty(), "a deadline is for something");
                    self.take(outcomes);
                }
                self.now = end;
            }
            Act::End(_) | Act::Leave(_) => {}
        }
        self.check();
    }

    fn check(&self) {
        assert_eq!(self.switch.waiting(), self.waiting.len());
        assert!(self.waiting.values().all(|until| *until > self.now || *until + HOLD_MS_MAX > self.now));
        let open: u64 = self.switch.counts().map(|(_, _, counts)| counts.open).sum();
        assert_eq!(open, self.open.len() as u64);
        assert_eq!(self.ended.len() + self.waiting.len(), self.next as usize, "each arrival has one end");
        let holds = self.route.as_ref().is_some_and(|route| route.admission == Admission::Hold);
        assert!(holds || self.waiting.is_empty(), "nobody waits for nothing");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn each_arrival_has_one_end(acts in prop::collection::vec(any_act(), 1..60)) {
        let mut world = World::default();
        for act in acts {
            world.act(act);
        }
        world.act(Act::Pass(2 * HOLD_MS_MAX));
        prop_assert!(world.waiting.is_empty());
        let unfinished = world.draining.iter().find(|(name, done)| !**done && world.open.contains(name));
        prop_assert!(unfinished.is_none(), "{unfinished:?} is neither drained nor cut");
    }
}

#[test]
fn a_single_writer_is_switched_with_latency_and_no_error() {
    let mut switch = Switch::default();
    let old = [("old", Traffic::Admit, 5_000)];
    assert!(switch.apply(&route(Admission::Open, &old), 0).is_empty());
    assert_eq!(switch.arrive(1, Class::Writing, 1), Arrival::Go("old".into()));
    let drain = [("old", Traffic::Drain, 5_000)];
    assert_eq!(switch.apply(&route(Admission::Hold, &drain), 10), [Outcome::Ask("old".into(), 5_000)]);
    assert_eq!(switch.arrive(2, Class::Reading, 11), Arrival::Wait);
    assert_eq!(switch.arrive(3, Class::Writing, 12), Arrival::Wait);
    assert_eq!(switch.end("old", false), [Outcome::Drained("old".into())]);
    let new = [("new", Traffic::Admit, 5_000)];
    let released = [Outcome::Released(2, "new".into()), Outcome::Released(3, "new".into())];
    assert_eq!(switch.apply(&route(Admission::Open, &new), 900), released);
    assert_eq!(switch.totals(), (2, 0, 889));
    let (_, _, counts) = switch.counts().next().expect("new");
    assert_eq!((counts.open, counts.reading_requests, counts.writing_requests, counts.connections), (2, 1, 1, 0));
}

#[test]
fn a_drain_that_does_not_end_is_cut_at_its_deadline_and_not_before() {
    let mut switch = Switch::default();
    switch.apply(&route(Admission::Open, &[("a", Traffic::Admit, 100)]), 0);
    switch.arrive(1, Class::Connection, 0);
    switch.apply(&route(Admission::Open, &[("a", Traffic::Drain, 100), ("b", Traffic::Admit, 100)]), 50);
    assert_eq!(switch.next_deadline(), Some(150));
    assert!(switch.tick(149).is_empty());
    assert_eq!(switch.tick(150), [Outcome::Cut("a".into())]);
    assert!(switch.tick(10_000).is_empty(), "said once");
    assert_eq!(switch.end("a", true), [Outcome::Drained("a".into())]);
    // Taken back in time, it is not cut.
    switch.arrive(2, Class::Reading, 200);
    switch.apply(&route(Admission::Open, &[("b", Traffic::Drain, 100), ("c", Traffic::Admit, 0)]), 200);
    switch.apply(&route(Admission::Open, &[("b", Traffic::Admit, 100), ("c", Traffic::Admit, 0)]), 250);
    assert!(switch.tick(1_000).is_empty());
    // One that the document does not name any more is cut at once.
    let outcomes = switch.apply(&route(Admission::Open, &[("c", Traffic::Admit, 0)]), 1_000);
    assert_eq!(outcomes, [Outcome::Ask("b".into(), 0), Outcome::Cut("b".into())]);
}
