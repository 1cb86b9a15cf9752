//! Backups in repositories, found by what a person says of them.

use openmesh_backup::{Id, Repository};
use openmesh_blueprint::document::Name;

use crate::backups::error::BackupsError;
use crate::backups::head::{self, APPLICATION, MACHINE, label};
use crate::backups::records::Made;
use crate::backups::subject::{self, Subject};
use crate::backups::targets::{self, Target};
use crate::backups::views;
use crate::error::AgentError;
use crate::service::Service;

/// Backups that an error names: the newest ones, of which one is meant.
const NAMED_MAX: usize = 5;

/// Backups of an application in its target, the newest first.
///
/// # Errors
/// The target cannot be used.
pub(crate) fn list(service: &Service, name: &Name) -> Result<Vec<views::Backup>, AgentError> {
    let subject = subject::find(service, name)?;
    let target = target(service, &subject)?;
    let Some(repository) = target.reading(service)? else { return Ok(Vec::new()) };
    let mut found = of_application(service, &repository, name, target.name.as_str())?;
    let last = service.backups().records.application(name)?.last;
    for backup in &mut found {
        if let Some(made) = last.as_ref().filter(|made| made.backup == backup.id) {
            (backup.stored_bytes, backup.still_ms) = (Some(made.stored_bytes), Some(made.still_ms));
        }
    }
    Ok(found)
}

/// The open target of an application.
///
/// # Errors
/// It has none, or it cannot be used.
pub(crate) fn target(service: &Service, subject: &Subject) -> Result<Target, AgentError> {
    let (name, store) = subject.target()?;
    targets::open_target(service, name, store)
}

/// Backups of this machine's application, the newest first.
fn of_application(
    service: &Service,
    repository: &Repository<'_>,
    name: &Name,
    target: &str,
) -> Result<Vec<views::Backup>, AgentError> {
    let machine = service.backups().keys.machine()?;
    let snapshots = repository.snapshots()?.found;
    let own = snapshots
        .iter()
        .filter(|(_, snapshot)| label(snapshot, APPLICATION) == name.as_str() && label(snapshot, MACHINE) == machine);
    let mut found: Vec<views::Backup> = own.filter_map(|(id, snapshot)| head::view(*id, snapshot, target)).collect();
    // By their order, whatever the clocks were when they were made.
    found.sort_by(|a, b| (b.number, b.at, &b.id).cmp(&(a.number, a.at, &a.id)));
    Ok(found)
}

/// The backup that a person means: by its id or the first digits of it; the newest one without a word.
///
/// # Errors
/// None is meant, or more than one.
pub(crate) fn one(
    service: &Service,
    repository: &Repository<'_>,
    name: &Name,
    wanted: Option<&str>,
) -> Result<views::Backup, AgentError> {
    let found = of_application(service, repository, name, "")?;
    pick(&found, name.as_str(), wanted)
}

/// Picks a backup out of a list, the newest first. Pure.
pub(crate) fn pick(
    found: &[views::Backup],
    application: &str,
    wanted: Option<&str>,
) -> Result<views::Backup, AgentError> {
    let none = |why: &str| {
        let newest = found
            .iter()
            .take(NAMED_MAX)
            .map(|one| format!("{} of {}", one.id.get(..12).unwrap_or(&one.id), one.at.to_rfc3339()));
        let named: Vec<String> = newest.collect();
        let known = match named.is_empty() {
            true => "there is none yet".to_string(),
            false => format!("{why}the newest are {}", named.join(", ")),
        };
        BackupsError::NoBackup {
            application: application.into(),
            wanted: wanted.unwrap_or("(the newest)").into(),
            known,
        }
    };
    let Some(wanted) = wanted else { return Ok(found.first().ok_or_else(|| none(""))?.clone()) };
    let mut meant = found.iter().filter(|backup| !wanted.is_empty() && backup.id.starts_with(wanted));
    match (meant.next(), meant.next()) {
        (Some(backup), None) => Ok(backup.clone()),
        (Some(_), Some(_)) => Err(none("more than one begins so; ").into()),
        (None, _) => Err(none("").into()),
    }
}

/// Id of a backup as the repository has it.
///
/// # Errors
/// It is none.
pub(crate) fn id(backup: &views::Backup) -> Result<Id, AgentError> {
    let wrong = |_| BackupsError::Value(format!("{} is no id of a backup", backup.id));
    Ok(backup.id.parse::<Id>().map_err(wrong)?)
}

/// The last backup that was made, as it is noted here.
pub(crate) fn made_view(made: &Made, name: &Name, node: &str) -> views::Backup {
    views::Backup {
        id: made.backup.clone(),
        application: name.to_string(),
        target: made.target.clone(),
        node: node.into(),
        generation: 0,
        number: 0,
        at: made.at,
        volumes: std::collections::BTreeMap::new(),
        bytes: made.bytes,
        stored_bytes: Some(made.stored_bytes),
        still_ms: Some(made.still_ms),
    }
}

#[cfg(test)]
mod tests {
    use openmesh_primitives::Timestamp;

    use super::*;

    fn backup(id: &str, at: i64) -> views::Backup {
        let made = Made { backup: id.into(), at: Timestamp(at), ..Made::default() };
        made_view(&made, &"web".parse().unwrap(), "node")
    }

    #[test]
    fn a_backup_is_named_by_the_first_digits_of_its_id() {
        let found = [backup("ab12", 3), backup("ab34", 2), backup("cd56", 1)];
        let picked = |wanted: Option<&str>| pick(&found, "web", wanted).map(|backup| backup.id);
        assert_eq!(picked(None).unwrap(), "ab12");
        assert_eq!(picked(Some("ab3")).unwrap(), "ab34");
        assert_eq!(picked(Some("cd56")).unwrap(), "cd56");
        for (wanted, part) in [("ab", "more than one"), ("ef", "the newest are ab12"), ("", "the newest are")] {
            let refused = picked(Some(wanted)).unwrap_err().to_string();
            assert!(refused.contains(part), "{wanted}: {refused}");
        }
        assert!(pick(&[], "web", None).unwrap_err().to_string().contains("there is none yet"));
    }
}
