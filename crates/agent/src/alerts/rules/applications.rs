//! Applications that are down, and conditions of those that run.

use std::time::Duration;

use openmesh_alerts::Finding;

use super::facts::ApplicationFacts;
use super::finding::{FULL_LASTS, Findings, OTHER_LASTS, key};
use crate::alerts::views::{AlertKind, Severity};
use crate::views::ApplicationState;

/// Time for which an application is down before somebody is woken: a switch or a restart by its policy is shorter.
const DOWN_LASTS: Duration = Duration::from_secs(30);
/// Time for which it starts: what loads a database into memory needs minutes.
const STARTING_LASTS: Duration = Duration::from_secs(300);

/// An application that does not do what is wished of it.
pub fn down(application: &ApplicationFacts, found: &mut Findings) {
    let name = &application.name;
    let (words, lasts, remedy) = match application.state {
        ApplicationState::Running | ApplicationState::Stopped | ApplicationState::Leaving => return,
        ApplicationState::Starting => ("does not come up", STARTING_LASTS, format!("openmesh app logs {name}")),
        ApplicationState::CrashLoop => ("ends again and again", DOWN_LASTS, format!("openmesh app logs {name}")),
        ApplicationState::Frozen => ("is frozen", DOWN_LASTS, format!("openmesh app why {name}")),
        ApplicationState::Ended => ("has ended", DOWN_LASTS, format!("openmesh app logs {name}")),
        ApplicationState::Failed => ("did not pass its gate", DOWN_LASTS, "openmesh app history".into()),
        ApplicationState::Held => ("is left as it is", DOWN_LASTS, format!("openmesh app why {name}")),
    };
    let cause = application.cause.as_ref().map(|cause| format!(": {cause}")).unwrap_or_default();
    let finding =
        Finding { severity: Severity::Critical, cause: format!("{name} {words}{cause}"), remedy: look(&remedy), lasts };
    found.insert(key(AlertKind::Down, Some(name), None), finding);
}

/// Words for a command that tells more.
fn look(command: &str) -> String {
    format!("`{command}` tells more; `openmesh app rollback GENERATION` goes back to a version that ran")
}

/// Conditions of an application, each of one of its instances.
pub fn conditions(application: &ApplicationFacts, found: &mut Findings) {
    let name = application.name.as_str();
    for (kind, index, text) in &application.conditions {
        let subject = index.to_string();
        let (kind, severity, lasts, remedy) = match kind.as_str() {
            "disk_full" => (
                AlertKind::VolumeFull,
                Severity::Critical,
                FULL_LASTS,
                format!("raise the `size` of its volumes, or remove files: `openmesh app files {name}`"),
            ),
            "out_of_memory" => (
                AlertKind::OutOfMemory,
                Severity::Warning,
                OTHER_LASTS,
                format!("raise `limits.memory` of {name}; `openmesh app usage {name}` shows what it needs"),
            ),
            // Waiting for a processor by a limit that a person chose wakes nobody.
            _ => continue,
        };
        let finding = Finding { severity, cause: format!("{name} {subject}: {text}"), remedy, lasts };
        found.insert(key(kind, Some(name), Some(&subject)), finding);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{application, only};
    use super::super::{Facts, findings};
    use super::*;

    #[test]
    fn an_application_that_is_down_is_told_with_its_cause() {
        for state in [
            ApplicationState::CrashLoop,
            ApplicationState::Frozen,
            ApplicationState::Ended,
            ApplicationState::Failed,
            ApplicationState::Held,
            ApplicationState::Starting,
        ] {
            let facts = Facts { applications: vec![application(state)], ..Facts::default() };
            let (key, finding) = only(&facts);
            assert_eq!((key.kind, key.application.as_deref()), (AlertKind::Down, Some("web")));
            assert!(finding.cause.contains("it says why") && finding.remedy.contains("openmesh app"), "{finding:?}");
            let lasts = if state == ApplicationState::Starting { STARTING_LASTS } else { DOWN_LASTS };
            assert_eq!(finding.lasts, lasts);
        }
    }

    #[test]
    fn full_volumes_and_killed_processes_are_told_and_slow_ones_not() {
        let mut web = application(ApplicationState::Running);
        web.conditions = vec![
            ("disk_full".into(), 0, "at 99.0 %".into()),
            ("out_of_memory".into(), 1, "killed 2".into()),
            ("throttled".into(), 0, "waited".into()),
        ];
        let all = findings(&Facts { applications: vec![web], ..Facts::default() });
        let kinds: Vec<(AlertKind, Option<&str>)> = all.keys().map(|key| (key.kind, key.subject.as_deref())).collect();
        assert_eq!(kinds, [(AlertKind::VolumeFull, Some("0")), (AlertKind::OutOfMemory, Some("1"))]);
    }
}
