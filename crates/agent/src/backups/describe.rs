//! The description of the machine alone: document and secrets, stored whenever one of them has changed (B-67).
//!
//! Backups of applications have it too; this one makes the repository know of what was deployed since, and of machines whose applications have no data.

use std::collections::BTreeSet;

use openmesh_backup::Id;
use openmesh_blueprint::document::{Keep, Name, Store};
use openmesh_primitives::{Timestamp, sha256};

use crate::backups::head::{self, HEAD, Head};
use crate::backups::jobs::{Done, Job};
use crate::backups::keys::fresh_mark;
use crate::backups::records::TargetRecord;
use crate::backups::{make, open_target, retain, subject, targets};
use crate::error::AgentError;
use crate::service::Service;

/// Descriptions that are kept: each is some kilobytes, and one of each of the last days tells who changed what.
const KEEP: Keep = Keep { last: 10, daily: 14, weekly: 8, monthly: 12 };

/// Hash of what a description would say now; none before the first generation.
///
/// # Errors
/// The generations or secrets cannot be read.
pub(crate) fn fingerprint(service: &Service) -> Result<Option<String>, AgentError> {
    let Some(present) = subject::present(service)? else { return Ok(None) };
    let secrets = service.secrets()?.into_iter().map(|secret| format!("{} {}\n", secret.name, secret.version));
    // Secrets are sealed for the owner: another one needs a description of his own.
    let owner = service.backups().keys.owner()?.map(|owner| owner.to_string()).unwrap_or_default();
    let text = format!("{}\n{owner}\n{}", present.number, secrets.collect::<String>());
    Ok(Some(sha256(&[b"openmesh description 1", text.as_bytes()]).to_string()))
}

/// Returns true where a place does not have the present description.
pub(crate) fn is_due(store: &Store, record: &TargetRecord, fingerprint: Option<&str>) -> bool {
    let has = record.place == targets::words(store) && record.described.as_deref() == fingerprint;
    fingerprint.is_some() && !has
}

/// Stores the present description in a place.
///
/// # Errors
/// The place cannot be used, or the document cannot be had.
pub(crate) fn describe(service: &Service, job: &Job, name: &Name, store: &Store) -> Result<Done, AgentError> {
    let (Some(present), Some(fingerprint)) = (subject::present(service)?, fingerprint(service)?) else {
        return Ok(Done {
            text: "there is no generation yet, so there is nothing to describe".into(),
            ..Done::default()
        });
    };
    job.say(format!("opens {}", targets::words(store)));
    let target = open_target(service, name, store)?;
    let repository = target.repository(service)?.metered(job.meter.clone());
    job.say("stores document and secrets");
    let (machine, node) = (service.backups().keys.machine()?, present.placement.node.to_string());
    let mut head = Head::of_machine(machine, node, present.number, Timestamp::now());
    head.number = head::next_number(&repository, &head.machine)?;
    let folder = head::scratch(service, &format!("{name}.description"));
    head::write(service, &head, &folder)?;
    let report = make::snapshot(service, &repository, &head, &fresh_mark()?, HEAD, &folder);
    head::clear(&folder)?;
    let id: Id = report?.snapshot;
    service.backups().records.change_target(name, |record| record.described = Some(fingerprint))?;
    retain::retain(service, name, &repository, &head, &KEEP, &BTreeSet::from([id]))?;
    let text = format!("document and secrets of generation {} are in {}", present.number, target.place);
    Ok(Done { text, backup: Some(id.to_string()), generation: None })
}

#[cfg(test)]
mod tests {
    use openmesh_blueprint::Document;

    use super::*;

    #[test]
    fn a_place_is_described_once_for_each_change() {
        let text = "version: 1\nmachine: {backups: {disk: {kind: folder, address: /mnt/a}}}\napplications: {}\n";
        let stores = Document::parse(text).unwrap().machine.backups;
        let disk = stores.values().next().unwrap();
        let mut record = TargetRecord::default();
        assert!(is_due(disk, &record, Some("a")) && !is_due(disk, &record, None));
        record.described = Some("a".into());
        assert!(is_due(disk, &record, Some("a")), "of another place");
        record.place = "folder /mnt/a".into();
        assert!(!is_due(disk, &record, Some("a")) && is_due(disk, &record, Some("b")));
    }
}
