//! Traffic that the door has let in since a version was admitted: from a mark with its counts, written before the admission.

use openmesh_blueprint::Generation;
use openmesh_blueprint::document::{Name, Protocol};
use openmesh_blueprint::generation::Revision;
use openmesh_blueprint::probation::Admitted;
use openmesh_door::report::Report;
use serde::{Deserialize, Serialize};

use super::document::is_route_of;
use crate::error::XnodeError;
use crate::marks;
use crate::{Door, Machine};

/// Mark beside an application: the door's counts before a revision was admitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdmissionMark {
    /// The revision.
    pub revision: String,
    /// Number of the door's process; none where it did not answer.
    pub door: Option<u64>,
    /// Connections of raw TCP that it had given to instances.
    pub connections: u64,
    /// Requests by GET, HEAD and OPTIONS.
    pub reading_requests: u64,
    /// Other requests.
    pub writing_requests: u64,
}

impl AdmissionMark {
    /// The counts of a report.
    fn of(revision: &str, name: &Name, report: Option<&Report>) -> AdmissionMark {
        let given = report.map(|report| given(report, name)).unwrap_or_default();
        AdmissionMark {
            revision: revision.to_string(),
            door: report.map(|report| report.door),
            connections: given.connections,
            reading_requests: given.reading_requests,
            writing_requests: given.writing_requests,
        }
    }

    /// Difference of a later report to this mark; none where the counts began anew in between.
    fn since(&self, name: &Name, report: &Report) -> Option<Admitted> {
        if self.door != Some(report.door) {
            return None;
        }
        let now = given(report, name);
        Some(Admitted {
            connections: now.connections.checked_sub(self.connections)?,
            writing_requests: now.writing_requests.checked_sub(self.writing_requests)?,
            reading_requests: now.reading_requests.checked_sub(self.reading_requests)?,
        })
    }
}

/// All that the door has given to instances of an application.
fn given(report: &Report, name: &Name) -> Admitted {
    let own = report.routes.iter().filter(|(route, _)| is_route_of(route, name)).map(|(_, route)| route.given);
    own.fold(Admitted::default(), |sum, route| Admitted {
        connections: sum.connections + route.connections,
        writing_requests: sum.writing_requests + route.writing_requests,
        reading_requests: sum.reading_requests + route.reading_requests,
    })
}

/// Notes the door's counts before an admission. Those of the first admission of a revision stay, until another one was admitted.
///
/// # Errors
/// The mark cannot be written.
pub fn note_admission(machine: &Machine, name: &Name, revision: &str, door: Door<'_>) -> Result<(), XnodeError> {
    let path = machine.paths.application(name).join("admission.json");
    // One that cannot be read is written anew.
    let before: Option<AdmissionMark> = marks::find(&path).unwrap_or_default();
    if before.is_some_and(|before| before.revision == revision) {
        return Ok(());
    }
    let report = machine.doors.get().and_then(|carrier| carrier.report().ok());
    let mark = AdmissionMark::of(revision, name, report.as_ref());
    marks::write(&path, &mark, "admission.mark", door)
}

/// Traffic that was let in to a version since it was admitted. None means that nobody knows, and then all of it counts as writing: the door was started
/// anew since, does not answer, is not the only way to the application, or has admitted another version last.
pub fn admitted(machine: &Machine, name: &Name, revision: &Revision) -> Option<Admitted> {
    let before: AdmissionMark = marks::find(&machine.paths.application(name).join("admission.json")).ok()??;
    if before.revision != revision.to_string() || !is_only_way(machine, name, revision)? {
        return None;
    }
    before.since(name, &machine.doors.get()?.report().ok()?)
}

/// Returns true where nobody reaches an application past the door: it publishes nothing but HTTP, and no application has a link to it. None where its
/// generation is not known.
fn is_only_way(machine: &Machine, name: &Name, revision: &Revision) -> Option<bool> {
    let paths = &machine.paths;
    let pointers = [paths.target(), paths.current()];
    let numbers = pointers.iter().filter_map(|path| marks::pointer(path).ok()).filter(|number| *number > 0);
    let generations: Vec<Generation> =
        numbers.map(|number| marks::generation(paths, number).ok()).collect::<Option<_>>()?;
    let own = generations.iter().find(|generation| generation.revision(name).as_ref() == Some(revision))?;
    let ports = &own.portable.applications.get(name)?.application.ports;
    let published = ports.values().any(|port| port.publish.is_some() && port.protocol != Protocol::Http);
    let mut all = generations.iter().flat_map(|generation| generation.portable.applications.values());
    let linked = all.any(|resolved| resolved.application.links.contains(name));
    Some(!published && !linked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(door: u64, routes: &[(&str, [u64; 3])]) -> Report {
        let routes: serde_json::Map<String, serde_json::Value> = routes
            .iter()
            .map(|(name, [reading, writing, connections])| {
                let route = serde_json::json!({
                    "admission": "open", "waiting": 0, "held": 0, "refused": 0, "longest_hold_ms": 0, "instances": {},
                    "given": { "reading_requests": reading, "writing_requests": writing, "connections": connections },
                });
                (name.to_string(), route)
            })
            .collect();
        serde_json::from_value(serde_json::json!({
            "door": door, "serial": 1, "retiring": false, "connections": 0, "malformed": 0, "listeners": [], "routes": routes,
        }))
        .unwrap()
    }

    #[test]
    fn only_counts_of_one_process_are_compared() {
        let web: Name = "web".parse().unwrap();
        let before = report(7, &[("web/http", [10, 3, 0]), ("web/admin", [1, 1, 0]), ("webs/http", [500, 500, 500])]);
        let mark = AdmissionMark::of("0123456789ab", &web, Some(&before));
        assert_eq!((mark.reading_requests, mark.writing_requests, mark.connections), (11, 4, 0));
        let reads = report(7, &[("web/http", [12, 3, 0]), ("web/admin", [1, 1, 0]), ("webs/http", [900, 900, 900])]);
        let found = mark.since(&web, &reads).unwrap();
        assert_eq!((found.reading_requests, found.writing_requests, found.connections), (2, 0, 0));
        let writes = report(7, &[("web/http", [10, 4, 0]), ("web/admin", [1, 1, 0])]);
        assert_eq!(mark.since(&web, &writes).unwrap().writing_requests, 1);
        // Another process, a route that began anew, and a door that did not answer before: nobody knows.
        assert_eq!(mark.since(&web, &report(8, &[("web/http", [10, 3, 0]), ("web/admin", [1, 1, 0])])), None);
        assert_eq!(mark.since(&web, &report(7, &[("web/http", [99, 2, 0])])), None);
        assert_eq!(AdmissionMark::of("0123456789ab", &web, None).since(&web, &before), None);
    }
}
