//! State of the door as it serves now: by its own report, else by the document that it keeps for its next start. Pure.

use std::collections::BTreeMap;

use openmesh_blueprint::document::Name;
use openmesh_blueprint::generation::Revision;
use openmesh_blueprint::inventory::{Door as ObservedDoor, InstanceId, Traffic as ObservedTraffic};
use openmesh_door::document::{Admission, Document, Traffic};
use openmesh_door::report::Report;

use super::document::is_route_of;

/// Routes of a door.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Served {
    routes: BTreeMap<String, ServedRoute>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct ServedRoute {
    admission: Admission,
    /// Traffic of each instance, and its open requests and connections.
    instances: BTreeMap<String, (Traffic, u64)>,
}

impl From<&Report> for Served {
    fn from(report: &Report) -> Served {
        let routes = report.routes.iter().map(|(name, route)| {
            let instances =
                route.instances.iter().map(|(name, found)| (name.clone(), (found.traffic, found.counts.open)));
            (name.clone(), ServedRoute { admission: route.admission, instances: instances.collect() })
        });
        Served { routes: routes.collect() }
    }
}

impl Served {
    /// The routes of a door that does not answer, by the document that it keeps. One that is dead has nothing open; at one that may be late only
    /// (`is_late`), every instance may have something open.
    pub fn kept(document: &Document, is_late: bool) -> Served {
        let open = u64::from(is_late);
        let routes = document.routes.iter().map(|(name, route)| {
            let instances = route.instances.iter().map(|instance| (instance.name.clone(), (instance.traffic, open)));
            (name.clone(), ServedRoute { admission: route.admission, instances: instances.collect() })
        });
        Served { routes: routes.collect() }
    }

    /// Adds what is open at a door that leaves: the one that serves does not count it.
    pub fn add_open(&mut self, leaving: &Served) {
        for (name, route) in &leaving.routes {
            let Some(own) = self.routes.get_mut(name) else { continue };
            for (instance, (_, open)) in &route.instances {
                if let Some((_, sum)) = own.instances.get_mut(instance) {
                    *sum = sum.saturating_add(*open);
                }
            }
        }
    }

    fn of<'a>(&'a self, application: &'a Name) -> impl Iterator<Item = &'a ServedRoute> {
        self.routes.iter().filter(move |(name, _)| is_route_of(name, application)).map(|(_, route)| route)
    }

    /// Returns true where a route of an application is served.
    pub fn has(&self, application: &Name) -> bool {
        self.of(application).next().is_some()
    }

    /// Traffic of an application as the door treats it: what is open is open, whatever else waits.
    pub fn door(&self, application: &Name) -> ObservedDoor {
        let open = self.of(application).filter(|route| route.admission == Admission::Open);
        let instances = open.flat_map(|route| &route.instances);
        let mut admitted = instances.filter(|(_, (traffic, _))| *traffic == Traffic::Admit);
        let revision: Option<Revision> = admitted.find_map(|(name, _)| Some(name.parse::<InstanceId>().ok()?.revision));
        if let Some(revision) = revision {
            return ObservedDoor::Open(revision);
        }
        let some = |admission: Admission| self.of(application).any(|route| route.admission == admission);
        match () {
            () if some(Admission::Hold) => ObservedDoor::Holding,
            () if some(Admission::Maintenance) => ObservedDoor::Maintenance,
            () => ObservedDoor::Closed,
        }
    }

    /// Traffic of an instance.
    pub fn traffic(&self, application: &Name, id: &InstanceId) -> ObservedTraffic {
        let (name, mut draining) = (id.to_string(), false);
        for route in self.of(application) {
            let Some((traffic, open)) = route.instances.get(&name) else { continue };
            if route.admission == Admission::Open && *traffic == Traffic::Admit {
                return ObservedTraffic::Admitted;
            }
            draining |= *open > 0;
        }
        if draining { ObservedTraffic::Draining } else { ObservedTraffic::None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> InstanceId {
        text.parse().unwrap()
    }

    /// A report with one route of `web`.
    fn served(admission: &str, instances: &[(&str, &str, u64)]) -> Served {
        let instances: serde_json::Map<String, serde_json::Value> = instances
            .iter()
            .map(|(name, traffic, open)| {
                let counts = serde_json::json!({
                    "traffic": traffic, "open": open, "reading_requests": 9, "writing_requests": 0, "connections": 0, "cut": 0,
                });
                (name.to_string(), counts)
            })
            .collect();
        let report: Report = serde_json::from_value(serde_json::json!({
            "door": 1, "serial": 1, "retiring": false, "connections": 0, "malformed": 0, "listeners": [],
            "routes": { "web/http": {
                "admission": admission, "waiting": 0, "held": 0, "refused": 0, "longest_hold_ms": 0, "instances": instances,
            } },
        }))
        .unwrap();
        Served::from(&report)
    }

    #[test]
    fn the_door_is_as_it_serves_and_not_as_it_was_told() {
        let (web, other) = ("web".parse().unwrap(), "we".parse().unwrap());
        let (old, new) = ("0123456789ab.0", "ba9876543210.0");
        let open = served("open", &[(old, "admit", 2), (new, "drain", 0)]);
        assert_eq!(open.door(&web), ObservedDoor::Open(id(old).revision));
        assert_eq!(open.traffic(&web, &id(old)), ObservedTraffic::Admitted);
        assert_eq!(open.traffic(&web, &id(new)), ObservedTraffic::None);
        assert!(open.has(&web) && !open.has(&other), "a name that another one begins with");
        let holding = served("hold", &[(old, "drain", 1)]);
        assert_eq!(holding.door(&web), ObservedDoor::Holding);
        assert_eq!(holding.traffic(&web, &id(old)), ObservedTraffic::Draining);
        assert_eq!(served("hold", &[(old, "drain", 0)]).traffic(&web, &id(old)), ObservedTraffic::None);
        // Admitted in a route that is not open: nothing comes to it.
        assert_eq!(served("maintenance", &[(old, "admit", 0)]).traffic(&web, &id(old)), ObservedTraffic::None);
        assert_eq!(served("maintenance", &[]).door(&web), ObservedDoor::Maintenance);
        assert_eq!(served("closed", &[]).door(&web), ObservedDoor::Closed);
        assert_eq!(Served::default().door(&web), ObservedDoor::Closed);
    }

    #[test]
    fn a_late_door_may_have_something_open() {
        let (web, old) = ("web".parse().unwrap(), id("0123456789ab.0"));
        let document: Document = serde_json::from_value(serde_json::json!({
            "version": 1, "serial": 1,
            "routes": { "web/http": {
                "protocol": "http1", "admission": "hold",
                "instances": [{ "name": old.to_string(), "address": "10.9.0.2:80", "traffic": "drain" }],
            } },
        }))
        .unwrap();
        let (dead, late) = (Served::kept(&document, false), Served::kept(&document, true));
        assert_eq!((dead.door(&web), late.door(&web)), (ObservedDoor::Holding, ObservedDoor::Holding));
        assert_eq!(dead.traffic(&web, &old), ObservedTraffic::None);
        assert_eq!(late.traffic(&web, &old), ObservedTraffic::Draining);
    }

    #[test]
    fn what_is_open_at_a_door_that_leaves_counts() {
        let (web, old) = ("web".parse().unwrap(), id("0123456789ab.0"));
        let mut now = served("hold", &[("0123456789ab.0", "drain", 0), ("ba9876543210.0", "drain", 0)]);
        now.add_open(&served("open", &[("0123456789ab.0", "admit", 3), ("000000000000.0", "drain", 1)]));
        assert_eq!(now.traffic(&web, &old), ObservedTraffic::Draining);
        assert_eq!(now.traffic(&web, &id("ba9876543210.0")), ObservedTraffic::None);
        assert_eq!(now.traffic(&web, &id("000000000000.0")), ObservedTraffic::None, "the present document has no such");
        assert_eq!(now.door(&web), ObservedDoor::Holding);
    }
}
