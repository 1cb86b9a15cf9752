//! The word of this machine on itself, for the Xnode that it has joined and for the list of machines.

use openmesh_primitives::Timestamp;
use openmesh_xnode::InUse;
use serde::Serialize;

use super::views::{MachineReport, NAMED_MAX, TroubledApplication};
use crate::alerts;
use crate::alerts::views::Severity;
use crate::api::applications::views_of;
use crate::error::AgentError;
use crate::moves::node_name;
use crate::service::Service;
use crate::settings::Settings;
use crate::views::{Application, ApplicationState};

/// Port of https that no address names.
const HTTPS: u16 = 443;

/// Name of this machine in letters that every list takes.
///
/// # Errors
/// A generation cannot be read.
pub(super) fn name(service: &Service) -> Result<String, AgentError> {
    let plain = |sign: char| if sign.is_ascii_alphanumeric() || "-._".contains(sign) { sign } else { '-' };
    Ok(node_name(service)?.chars().map(plain).take(63).collect())
}

/// Address of this machine under its first name; none where it has none.
pub(super) fn own_address(settings: &Settings) -> Option<String> {
    let host = settings.people.hosts.first()?;
    Some(match settings.door_ports.https {
        HTTPS => format!("https://{host}"),
        port => format!("https://{host}:{port}"),
    })
}

/// The report, from one look at the machine.
///
/// # Errors
/// The machine or its alerts cannot be looked at.
pub(super) fn of(service: &Service) -> Result<MachineReport, AgentError> {
    let (look, work) = (service.agent().look()?, service.work());
    let applications = views_of(&look, &work);
    let used = InUse::read(&service.settings().state);
    let open = alerts::list(service)?.open;
    let alerts = |severity| count(open.iter().filter(|alert| alert.severity == severity).count());
    let running = applications.iter().filter(|one| one.state == ApplicationState::Running).count();
    Ok(MachineReport {
        name: name(service)?,
        version: env!("CARGO_PKG_VERSION").into(),
        url: own_address(service.settings()),
        at: Timestamp::now(),
        work: word(&work.state),
        processors: used.map_or(0, |used| used.processors),
        load_milli: used.map_or(0, |used| used.load_milli),
        memory_bytes: look.inventory.host.memory.0,
        memory_used_bytes: used.map_or(0, |used| used.memory_bytes),
        disk_bytes: used.map_or(0, |used| used.disk_all_bytes),
        disk_used_bytes: used.map_or(0, |used| used.disk_bytes),
        applications: count(applications.len()),
        running: count(running),
        troubled: applications.iter().filter_map(troubled).take(NAMED_MAX).collect(),
        critical: alerts(Severity::Critical),
        warnings: alerts(Severity::Warning),
    })
}

/// An application that is not as it is wanted.
fn troubled(one: &Application) -> Option<TroubledApplication> {
    match one.state {
        ApplicationState::Running
        | ApplicationState::Starting
        | ApplicationState::Stopped
        | ApplicationState::Leaving => None,
        state => Some(TroubledApplication { name: one.name.clone(), state: word(&state) }),
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Word of a state, as JSON has it.
fn word(state: &impl Serialize) -> String {
    serde_json::to_value(state).ok().and_then(|word| Some(word.as_str()?.to_string())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::WorkState;

    #[test]
    fn states_are_told_in_the_words_of_lists() {
        assert_eq!(
            (word(&WorkState::Rests), word(&ApplicationState::CrashLoop)),
            ("rests".into(), "crash_loop".into())
        );
    }

    #[test]
    fn an_address_names_a_port_that_is_not_its_schemes_own() {
        let mut settings = Settings::usual("default".parse().unwrap()).unwrap();
        assert_eq!(own_address(&settings), None);
        settings.people.hosts = vec!["xnode.lan".into(), "other.lan".into()];
        assert_eq!(own_address(&settings).as_deref(), Some("https://xnode.lan"));
        settings.door_ports.https = 8443;
        assert_eq!(own_address(&settings).as_deref(), Some("https://xnode.lan:8443"));
    }
}
