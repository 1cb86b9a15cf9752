//! Facts that the agent knows, for the rules.

use openmesh_door::host::pattern_of;
use openmesh_primitives::Timestamp;
use openmesh_xnode::door::Carrier;

use crate::alerts::rules::{ApplicationFacts, CertificateFacts, DamageFacts, Facts, MoveFacts};
use crate::alerts::state::Wished;
use crate::api::applications::applications_now;
use crate::backups;
use crate::declared::DeclaredState;
use crate::doors::Maker;
use crate::error::AgentError;
use crate::moves;
use crate::publishers::Damage;
use crate::service::Service;

/// End of the path of a program whose file was removed or replaced. Source: proc_pid_exe(5).
const REPLACED: &str = " (deleted)";

/// Everything that rules look at, as it is now. A part that cannot be looked at is named, and the others count.
pub(super) fn of(service: &Service, wished: &Wished) -> Facts {
    let mut unread = Vec::new();
    let applications = part("applications", applications_now(service), &mut unread).unwrap_or_default();
    let saved = part("backups", backups::overview(service), &mut unread);
    let (saved, targets) = saved.map(|saved| (saved.applications, saved.targets)).unwrap_or_default();
    let moves = part("moves", moves_that_wait(service), &mut unread).unwrap_or_default();
    let certificates = part("certificates", certificates(service), &mut unread).unwrap_or_default();
    let applications = applications.into_iter().map(|view| ApplicationFacts {
        name: view.name,
        state: view.state,
        cause: view.cause,
        conditions: view.conditions.into_iter().map(|one| (one.kind, one.index, one.text)).collect(),
    });
    let troubles = service.work().troubles.into_iter().filter(|trouble| trouble.application.is_none());
    Facts {
        now_s: u64::try_from(Timestamp::now().nanos().div_euclid(1_000_000_000)).unwrap_or(0),
        applications: applications.collect(),
        machine: troubles.map(|trouble| (trouble.cause, trouble.attempts)).collect(),
        backups: saved,
        targets,
        lending: part("loans", service.lending().view(), &mut unread),
        moves,
        silent: service.machines().silent(),
        disk: disk(service),
        certificates,
        damages: damages(service),
        members_due: service.agent().machine().doors.get().and_then(Carrier::people_due),
        returned: wished.returned.as_ref().map(|(failed, cause)| (*failed, wished.number, cause.clone())),
        unread,
        is_replaced: is_replaced(),
        refused: refused(service),
    }
}

/// Files of catalogues that could not be read.
fn damages(service: &Service) -> Vec<DamageFacts> {
    let facts = |damage: Damage| DamageFacts {
        what: damage.what,
        file: damage.file.display().to_string(),
        words: damage.words,
    };
    service.publishers().damages().into_iter().map(facts).collect()
}

/// The document of a file that is not taken, with cause and remedy.
fn refused(service: &Service) -> Option<(String, String, String)> {
    let known = service.given().known();
    let why = known.why.filter(|_| known.state == DeclaredState::Refused)?;
    let file = service.given().file()?;
    Some((file.path.display().to_string(), why.cause, why.remedy))
}

/// A part that was looked at; none where that has failed, which is noted.
fn part<T>(name: &str, found: Result<T, AgentError>, unread: &mut Vec<String>) -> Option<T> {
    found.map_err(|error| unread.push(format!("{name} cannot be looked at: {error}"))).ok()
}

/// Moves of applications that do not get further.
fn moves_that_wait(service: &Service) -> Result<Vec<MoveFacts>, AgentError> {
    let waits = moves::list(service)?.moves.into_iter().filter(|one| one.waits_since.is_some());
    let facts = waits.map(|one| MoveFacts {
        application: one.application,
        other: one.other,
        leaves: one.leaves,
        is_down: one.is_down,
        can_undo: one.can_undo,
        cause: one.cause.unwrap_or_default(),
    });
    Ok(facts.collect())
}

/// Bytes of the disk with the agent's folder that people can have, and those of them that are free.
fn disk(service: &Service) -> Option<(u64, u64)> {
    let about = rustix::fs::statvfs(&service.settings().state).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(about.f_frsize);
    let free = bytes(about.f_bavail);
    // As `df` has it: what is kept for root counts neither as used nor as free.
    Some((bytes(about.f_blocks.saturating_sub(about.f_bfree)).saturating_add(free), free))
}

/// Certificates of names that the door serves, and names for which none can be had.
fn certificates(service: &Service) -> Result<Vec<CertificateFacts>, AgentError> {
    let Some(keeper) = service.doors() else { return Ok(Vec::new()) };
    let issuer = keeper.cabinet().issuer();
    let served = issuer.served();
    let is_served = |name: &str| {
        let covers = |one: &String| one == name || pattern_of(one).is_some_and(|pattern| pattern == name);
        served.as_ref().is_none_or(|served| served.iter().any(covers))
    };
    let failure = |name: &str| issuer.entry(name)?.failure.map(|one| (one.count, one.cause, one.remedy));
    let held = keeper.cabinet().list()?;
    let orphans = served.iter().flatten().filter(|name| !held.iter().any(|one| one.name == **name));
    let orphans = orphans.filter_map(|name| {
        Some(CertificateFacts { name: name.clone(), failure: Some(failure(name)?), ..CertificateFacts::default() })
    });
    let orphans: Vec<CertificateFacts> = orphans.collect();
    let held = held.into_iter().filter(|one| is_served(&one.name)).map(|one| CertificateFacts {
        failure: if one.maker == Maker::Acme { failure(&one.name) } else { None },
        renews: one.maker != Maker::Given,
        life: one.life,
        name: one.name,
    });
    Ok(held.filter(|one| one.life.is_some()).chain(orphans).collect())
}

fn is_replaced() -> bool {
    std::env::current_exe().is_ok_and(|path| path.to_string_lossy().ends_with(REPLACED))
}
