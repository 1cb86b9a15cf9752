//! What the agent knows, for the rules.

use openmesh_primitives::Timestamp;

use crate::alerts::Wished;
use crate::alerts::rules::{ApplicationFacts, Facts};
use crate::api::applications_now;
use crate::backups;
use crate::error::AgentError;
use crate::service::Service;

/// End of the path of a program whose file was removed or replaced. Source: proc_pid_exe(5).
const REPLACED: &str = " (deleted)";

/// Everything that rules look at, as it is now.
pub(super) fn of(service: &Service, wished: &Wished) -> Result<Facts, AgentError> {
    let applications = applications_now(service)?.into_iter().map(|view| ApplicationFacts {
        name: view.name,
        state: view.state,
        cause: view.cause,
        conditions: view.conditions.into_iter().map(|one| (one.kind, one.index, one.text)).collect(),
    });
    let saved = backups::overview(service)?;
    let troubles = service.work().troubles.into_iter().filter(|trouble| trouble.application.is_none());
    let returned = wished.returned.as_ref().map(|(failed, cause)| (*failed, wished.number, cause.clone()));
    Ok(Facts {
        now_s: u64::try_from(Timestamp::now().nanos().div_euclid(1_000_000_000)).unwrap_or(0),
        applications: applications.collect(),
        machine: troubles.map(|trouble| (trouble.cause, trouble.attempts)).collect(),
        backups: saved.applications,
        targets: saved.targets,
        disk: disk(service),
        certificates: certificates(service)?,
        returned,
        is_replaced: is_replaced(),
    })
}

/// Bytes of the disk with the agent's folder that people can have, and those of them that are free.
fn disk(service: &Service) -> Option<(u64, u64)> {
    let about = rustix::fs::statvfs(&service.settings().state).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(about.f_frsize);
    let free = bytes(about.f_bavail);
    // As `df` has it: what is kept for root counts neither as used nor as free.
    Some((bytes(about.f_blocks.saturating_sub(about.f_bfree)).saturating_add(free), free))
}

/// Names with certificates whose end is known.
fn certificates(service: &Service) -> Result<Vec<(String, u64)>, AgentError> {
    let Some(doors) = service.doors() else { return Ok(Vec::new()) };
    let known = doors.cabinet().list()?.into_iter();
    Ok(known.filter_map(|(name, until)| Some((name, until?))).collect())
}

fn is_replaced() -> bool {
    std::env::current_exe().is_ok_and(|path| path.to_string_lossy().ends_with(REPLACED))
}
