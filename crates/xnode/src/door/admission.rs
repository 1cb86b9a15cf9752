//! Traffic that the door has let in since a version was admitted: from a mark with its counts, written before the admission.

use std::collections::{BTreeMap, BTreeSet};

use openmesh_blueprint::Generation;
use openmesh_blueprint::document::{Application, Name, Port, Protocol};
use openmesh_blueprint::generation::Revision;
use openmesh_blueprint::probation::Admitted;
use openmesh_door::document::Document;
use openmesh_door::report::Report;
use openmesh_door::switch::Given;
use serde::{Deserialize, Serialize};

use super::document::{is_route_of, route_name};
use crate::error::XnodeError;
use crate::marks;
use crate::{Door, Machine};

/// File of the mark, in an application's folder.
const FILE: &str = "admission.json";

/// Mark beside an application: the door's counts before a revision was admitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdmissionMark {
    /// The revision.
    pub revision: String,
    /// Number of the door's process; none where it did not answer.
    pub door: Option<u64>,
    /// All that it had given to instances by each route of the application. Not as one sum: a route that goes would hide as much of another one.
    pub routes: BTreeMap<String, Given>,
}

impl AdmissionMark {
    /// The counts of a report.
    fn of(revision: &str, name: &Name, report: Option<&Report>) -> AdmissionMark {
        let all = report.into_iter().flat_map(|report| &report.routes);
        let own = all.filter(|(route, _)| is_route_of(route, name));
        AdmissionMark {
            revision: revision.to_string(),
            door: report.map(|report| report.door),
            routes: own.map(|(route, about)| (route.clone(), about.given)).collect(),
        }
    }

    /// Difference of a later report to this mark, for some routes; none where one of them is not there, or the counts began anew in between.
    fn since(&self, routes: &BTreeSet<String>, report: &Report) -> Option<Admitted> {
        if self.door != Some(report.door) {
            return None;
        }
        let mut sum = Admitted::default();
        for route in routes {
            let now = report.routes.get(route)?.given;
            // One that began after the mark began at zero.
            let before = self.routes.get(route).copied().unwrap_or_default();
            let add = |sum: u64, now: u64, before: u64| sum.checked_add(now.checked_sub(before)?);
            sum.connections = add(sum.connections, now.connections, before.connections)?;
            sum.writing_requests = add(sum.writing_requests, now.writing_requests, before.writing_requests)?;
            sum.reading_requests = add(sum.reading_requests, now.reading_requests, before.reading_requests)?;
        }
        Some(sum)
    }
}

/// Notes the door's counts before an admission. Those of the first admission of a revision stay, until another one was admitted.
///
/// # Errors
/// The mark cannot be written.
pub fn note_admission(machine: &Machine, name: &Name, revision: &str, door: Door<'_>) -> Result<(), XnodeError> {
    let path = machine.paths.application(name).join(FILE);
    // One that cannot be read is written anew.
    let before: Option<AdmissionMark> = marks::find(&path).unwrap_or_default();
    if before.is_some_and(|before| before.revision == revision) {
        return Ok(());
    }
    let report = machine.doors.get().and_then(|carrier| carrier.report().ok());
    let mark = AdmissionMark::of(revision, name, report.as_ref());
    marks::write(&path, &mark, "admission.mark", door)
}

/// Forgets the counts of applications of which the door is about to have no route any more: it counts from zero where one comes back. So this is done before
/// the document is told.
///
/// # Errors
/// A mark cannot be removed.
pub(super) fn forget_counts(
    machine: &Machine,
    names: &BTreeSet<&Name>,
    document: &Document,
    door: Door<'_>,
) -> Result<(), XnodeError> {
    for name in names.iter().filter(|name| !document.routes.keys().any(|route| is_route_of(route, name))) {
        let path = machine.paths.application(name).join(FILE);
        let mark: Option<AdmissionMark> = marks::find(&path).unwrap_or_default();
        if mark.is_some_and(|mark| !mark.routes.is_empty()) {
            marks::remove(&path, "admission.remove", door)?;
        }
    }
    Ok(())
}

/// Traffic that was let in to a version since it was admitted. None means that nobody knows, and then all of it counts as writing: the door was started
/// anew since, does not answer, is not the only way to the application, or has admitted another version last.
pub fn admitted(machine: &Machine, name: &Name, revision: &Revision) -> Option<Admitted> {
    let mark: AdmissionMark = marks::find(&machine.paths.application(name).join(FILE)).ok()??;
    if mark.revision != revision.to_string() {
        return None;
    }
    let routes = only_ways(machine, name, revision)?;
    mark.since(&routes, &machine.doors.get()?.report().ok()?)
}

/// Routes by which a version is reached, where there is no way past the door: it publishes nothing but HTTP, and no application has a link to it. None where
/// there is one, or its generation is not known.
fn only_ways(machine: &Machine, name: &Name, revision: &Revision) -> Option<BTreeSet<String>> {
    let paths = &machine.paths;
    let pointers = [paths.target(), paths.current()];
    let numbers = pointers.iter().filter_map(|path| marks::pointer(path).ok()).filter(|number| *number > 0);
    let generations: Vec<Generation> =
        numbers.map(|number| marks::generation(paths, number).ok()).collect::<Option<_>>()?;
    let own = generations.iter().filter(|generation| generation.revision(name).as_ref() == Some(revision));
    let own: Vec<&Application> =
        own.filter_map(|own| own.portable.applications.get(name)).map(|resolved| &resolved.application).collect();
    let raw = |port: &Port| port.publish.is_some() && port.protocol != Protocol::Http;
    let published = own.iter().flat_map(|version| version.ports.values()).any(raw);
    let mut all = generations.iter().flat_map(|generation| generation.portable.applications.values());
    let linked = all.any(|resolved| resolved.application.links.contains(name));
    if own.is_empty() || published || linked {
        return None;
    }
    // Generations with one version may differ in what they publish, and in their domains.
    let http = own.iter().flat_map(|version| &version.ports).filter(|(_, about)| about.protocol == Protocol::Http);
    let led = own.iter().flat_map(|version| version.domains.values()).map(|domain| &domain.port);
    Some(http.map(|(port, _)| port).chain(led).map(|port| route_name(name, port)).collect())
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
        let ways: BTreeSet<String> = ["web/http".to_string(), "web/admin".to_string()].into();
        let before = report(7, &[("web/http", [10, 3, 0]), ("web/admin", [1, 1, 0]), ("webs/http", [500, 500, 500])]);
        let mark = AdmissionMark::of("0123456789ab", &web, Some(&before));
        assert_eq!(mark.routes.keys().collect::<Vec<_>>(), ["web/admin", "web/http"]);
        let reads = report(7, &[("web/http", [12, 3, 0]), ("web/admin", [1, 1, 0]), ("webs/http", [900, 900, 900])]);
        let found = mark.since(&ways, &reads).unwrap();
        assert_eq!((found.reading_requests, found.writing_requests, found.connections), (2, 0, 0));
        let writes = report(7, &[("web/http", [10, 4, 0]), ("web/admin", [1, 1, 0])]);
        assert_eq!(mark.since(&ways, &writes).unwrap().writing_requests, 1);
        // Another process, a route that began anew or is not there, and a door that did not answer before: nobody knows.
        assert_eq!(mark.since(&ways, &report(8, &[("web/http", [10, 3, 0]), ("web/admin", [1, 1, 0])])), None);
        assert_eq!(mark.since(&ways, &report(7, &[("web/http", [99, 2, 0]), ("web/admin", [1, 1, 0])])), None);
        assert_eq!(mark.since(&ways, &report(7, &[("web/http", [10, 3, 0])])), None);
        assert_eq!(AdmissionMark::of("0123456789ab", &web, None).since(&ways, &before), None);
    }

    #[test]
    fn a_route_that_goes_hides_no_writing_of_another() {
        let web: Name = "web".parse().unwrap();
        let before = report(7, &[("web/http", [0, 100, 0]), ("web/admin", [0, 50, 0])]);
        let mark = AdmissionMark::of("0123456789ab", &web, Some(&before));
        // The new version has one port less, and as many requests as the other one had ever had.
        let after = report(7, &[("web/http", [0, 150, 0])]);
        let found = mark.since(&["web/http".to_string()].into(), &after).unwrap();
        assert_eq!(found.writing_requests, 50);
        // A port that is new with the version has no count in the mark.
        let after = report(7, &[("web/http", [0, 100, 0]), ("web/new", [0, 2, 0])]);
        let found = mark.since(&["web/http".to_string(), "web/new".to_string()].into(), &after).unwrap();
        assert_eq!(found.writing_requests, 2);
    }
}
