//! Backups that are kept, and the care of a repository: what nobody needs goes, and what is there is read (B-26 to B-32, B-56, B-57).

use std::collections::{BTreeMap, BTreeSet};

use openmesh_backup::{Checked, Data, GRACE_MS, Id, Kind, Repository, Snapshot, open, retention};
use openmesh_blueprint::document::{Keep, Name};
use openmesh_primitives::Timestamp;

use crate::backups::head::{APPLICATION, BACKUP, GENERATION, HEAD, Head, MACHINE, PART, label, number};
use crate::backups::jobs::{Done, Job};
use crate::backups::records::FINDINGS_MAX;
use crate::backups::targets::Target;
use crate::error::AgentError;
use crate::service::Service;

/// Packs in a thousand whose data are read with each check: with one a day, all of them within a month or so.
const CHECKED_PER_MILLE: u32 = 50;
/// Time between two checks of a target, nanoseconds: a day, which is also the grace of a sweep.
pub(crate) const TEND_NANOS: i64 = 86_400 * 1_000_000_000;

/// Snapshots of one machine's application.
fn own<'a>(
    found: &'a BTreeMap<Id, Snapshot>,
    machine: &'a str,
    application: &'a str,
) -> impl Iterator<Item = (Id, &'a Snapshot)> {
    let is_own =
        move |snapshot: &Snapshot| label(snapshot, MACHINE) == machine && label(snapshot, APPLICATION) == application;
    found.iter().filter(move |(_, snapshot)| is_own(snapshot)).map(|(id, snapshot)| (*id, snapshot))
}

/// Snapshots that go: those of the backups that are not kept, descriptions first, and parts without a description. Pure.
fn goes(
    found: &BTreeMap<Id, Snapshot>,
    (machine, application): (&str, &str),
    keep: &Keep,
    pinned: &BTreeSet<Id>,
) -> (Vec<Id>, u64) {
    let heads: Vec<(Id, &Snapshot)> =
        own(found, machine, application).filter(|(_, snapshot)| label(snapshot, PART) == HEAD).collect();
    let times: Vec<(Id, Timestamp)> = heads.iter().map(|(id, snapshot)| (*id, snapshot.time)).collect();
    // The last ones by their order stay too, whatever the clocks were.
    let mut newest: Vec<(u64, Timestamp, Id)> =
        heads.iter().map(|(id, snapshot)| (number(snapshot), snapshot.time, *id)).collect();
    newest.sort_unstable_by(|a, b| b.cmp(a));
    let last = newest.iter().take(keep.last.max(1) as usize).map(|(_, _, id)| *id);
    let kept = retention::kept(&times, keep, &pinned.iter().copied().chain(last).collect());
    let stay: BTreeSet<&str> =
        heads.iter().filter(|(id, _)| kept.contains(id)).map(|(_, snapshot)| label(snapshot, BACKUP)).collect();
    let mut going: Vec<Id> = heads.iter().map(|(id, _)| *id).filter(|id| !kept.contains(id)).collect();
    let backups = going.len() as u64;
    let parts = own(found, machine, application)
        .filter(|(_, snapshot)| label(snapshot, PART) != HEAD && !stay.contains(label(snapshot, BACKUP)));
    going.extend(parts.map(|(id, _)| id));
    (going, backups)
}

/// Removes the backups of an application that are not kept any more, and returns their number. Those that are pinned stay whatever their age: the one that
/// was just made, since a clock may be wrong, and the last one that a drill has proved, since newer ones may not be good.
///
/// # Errors
/// The repository fails; what is done stays done.
pub(crate) fn retain(
    service: &Service,
    target: &Name,
    repository: &Repository<'_>,
    head: &Head,
    keep: &Keep,
    pinned: &BTreeSet<Id>,
) -> Result<u64, AgentError> {
    let found = repository.snapshots()?.found;
    let (going, backups) = goes(&found, (head.machine.as_str(), head.application.as_str()), keep, pinned);
    // Texts of templates that the documents of these name are not collected.
    let noted = service.publishers().note_heads(target.as_str(), generations(&found, &head.machine, &going));
    if let Err(error) = noted {
        tracing::warn!(place = %target, %error, "the generations of which backups are kept are noted until the agent ends");
    }
    repository.forget(going, &open)?;
    Ok(backups)
}

/// Generations of which a machine keeps backups, whatever application they are of. Pure.
fn generations(found: &BTreeMap<Id, Snapshot>, machine: &str, going: &[Id]) -> BTreeSet<u64> {
    let heads = found.iter().filter(|(id, snapshot)| {
        label(snapshot, MACHINE) == machine && label(snapshot, PART) == HEAD && !going.contains(id)
    });
    heads.filter_map(|(_, snapshot)| label(snapshot, GENERATION).parse().ok()).collect()
}

/// Removes what no backup needs, and checks: every object, and the data of a part of the packs. Damage is mended, so that the next backup is whole.
///
/// # Errors
/// The repository fails.
pub(crate) fn tend(service: &Service, job: &Job, target: &Target) -> Result<Done, AgentError> {
    let repository = target.repository(service)?.metered(job.meter.clone());
    let now = Timestamp::now();
    job.say("removes what no backup needs");
    let marked = repository.mark(now, &open)?;
    let swept = repository.sweep(now, GRACE_MS, &open)?;
    job.check()?;
    job.say("checks the repository");
    let packs: u64 = target.store().list(Kind::Pack)?.iter().map(|pack| pack.bytes).sum();
    job.expect(packs / 1_000 * u64::from(CHECKED_PER_MILLE));
    let checked = repository.check(Data::Part { per_mille: CHECKED_PER_MILLE, seed: now.nanos().unsigned_abs() })?;
    let findings = in_words(&checked);
    let mut text = format!(
        "{}: {} of {} packs were read, {} went, {} go in a day",
        target.place, checked.packs_read, checked.packs, swept.removed, marked.packs
    );
    if !findings.is_empty() {
        job.say("mends what is damaged");
        let mended = repository.mend(&open)?;
        text += &format!(
            "; {} faults were found: {} damaged packs were replaced, {} pieces saved, {} lost until a backup brings them back",
            findings.len(),
            mended.packs,
            mended.saved,
            mended.lost
        );
    }
    service.backups().records.change_target(&target.name, |record| {
        record.tended = Some(now);
        record.findings = findings;
    })?;
    target.note_room(service);
    Ok(Done { text, backup: None, generation: None })
}

/// Faults in words, a bounded number of them.
fn in_words(checked: &Checked) -> Vec<String> {
    let broken = checked.broken.iter().map(|(id, why)| format!("snapshot {id} cannot be restored whole: {why}"));
    let found = checked.findings.iter().map(|finding| format!("{}: {}", finding.object, finding.what));
    broken.chain(found).take(FINDINGS_MAX).collect()
}

/// Returns true where a target is to be tended. A clock that was set back does not let it wait.
pub(crate) fn is_due(tended: Option<Timestamp>, now: Timestamp) -> bool {
    tended.is_none_or(|tended| now.nanos().saturating_sub(tended.nanos()).unsigned_abs() >= TEND_NANOS.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use openmesh_backup::{Folder, Identity, Order, Special};

    use super::*;

    /// Backups of a repository: machine, application, mark, and time of each.
    fn repository(folder: &std::path::Path, made: &[(&str, &str, &str, i64)]) -> BTreeMap<Id, Snapshot> {
        let store = Folder::open(folder.join("store")).unwrap();
        let owner = Identity::generate().unwrap();
        let repository = Repository::create(&store, &[owner.recipient()], &open).unwrap();
        let tree = folder.join("tree");
        std::fs::create_dir(&tree).unwrap();
        for (machine, application, backup, time) in made {
            for part in ["volume data", HEAD] {
                let labels = [(MACHINE, *machine), (APPLICATION, *application), (BACKUP, *backup), (PART, part)];
                let labels = labels.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
                let time = Timestamp(*time * 1_000_000_000);
                let order = Order { root: &tree, labels, time, writer: "test", special: Special::Refuse };
                repository.backup(&order, &open).unwrap();
            }
        }
        repository.snapshots().unwrap().found
    }

    #[test]
    fn whole_backups_go_and_only_those_of_the_machine_and_the_application() {
        let folder = tempfile::tempdir().unwrap();
        let made = [
            ("m", "web", "1", 100),
            ("m", "web", "2", 200),
            ("m", "web", "3", 300),
            ("n", "web", "4", 50),
            ("m", "db", "5", 60),
        ];
        let mut found = repository(folder.path(), &made);
        let keep = Keep { last: 1, daily: 0, weekly: 0, monthly: 0 };
        let marks = |going: &[Id], found: &BTreeMap<Id, Snapshot>| -> Vec<String> {
            going.iter().map(|id| format!("{} {}", label(&found[id], BACKUP), label(&found[id], PART))).collect()
        };
        let (going, backups) = goes(&found, ("m", "web"), &keep, &BTreeSet::new());
        let mut words = marks(&going, &found);
        assert!(words[..2].iter().all(|word| word.ends_with("head")), "descriptions first: {words:?}");
        words.sort();
        assert_eq!(
            (words, backups),
            (vec!["1 head".into(), "1 volume data".into(), "2 head".into(), "2 volume data".into()], 2)
        );
        // The one that is pinned stays with its parts.
        let pinned = own(&found, "m", "web").find(|(_, one)| label(one, BACKUP) == "1" && label(one, PART) == HEAD);
        let pinned = BTreeSet::from([pinned.unwrap().0]);
        let (going, _) = goes(&found, ("m", "web"), &keep, &pinned);
        assert!(marks(&going, &found).iter().all(|word| word.starts_with('2')));
        // Generations of what stays are noted, of every application of the machine.
        for (number, snapshot) in found.values_mut().enumerate() {
            snapshot.labels.insert(GENERATION.into(), (number + 1).to_string());
        }
        let all = generations(&found, "m", &[]);
        assert_eq!((all.len(), generations(&found, "n", &[]).len()), (4, 1));
        assert_eq!(
            generations(&found, "m", &going).len(),
            all.len() - 1,
            "the second backup goes, with one description"
        );
        // Parts whose description is not there are of a backup that broke off.
        let head = own(&found, "m", "web").find(|(_, one)| label(one, BACKUP) == "3" && label(one, PART) == HEAD);
        let head = head.unwrap().0;
        found.remove(&head);
        let (going, _) = goes(&found, ("m", "web"), &keep, &BTreeSet::new());
        assert!(marks(&going, &found).contains(&"3 volume data".to_string()));
        assert!(!marks(&going, &found).iter().any(|word| word.starts_with('2')), "then the second is the newest");
    }

    #[test]
    fn the_last_backups_by_their_order_stay_whatever_the_clocks_were() {
        let folder = tempfile::tempdir().unwrap();
        // The first one was made by a clock that was ahead by years.
        let made = [("m", "web", "1", 900_000_000), ("m", "web", "2", 200), ("m", "web", "3", 300)];
        let mut found = repository(folder.path(), &made);
        for snapshot in found.values_mut().filter(|snapshot| label(snapshot, PART) == HEAD) {
            let number = label(snapshot, BACKUP).to_string();
            snapshot.labels.insert(crate::backups::head::NUMBER.into(), number);
        }
        let keep = Keep { last: 1, daily: 0, weekly: 0, monthly: 0 };
        let (going, backups) = goes(&found, ("m", "web"), &keep, &BTreeSet::new());
        assert_eq!(backups, 1);
        assert!(going.iter().all(|id| label(&found[id], BACKUP) == "2"), "the newest is the third");
    }

    #[test]
    fn targets_are_tended_once_a_day_by_whatever_clock() {
        let day = |days: i64| Timestamp(days * TEND_NANOS);
        assert!(is_due(None, day(5)) && is_due(Some(day(4)), day(5)) && is_due(Some(day(400)), day(5)));
        assert!(!is_due(Some(day(5)), Timestamp(day(5).nanos() + 1)));
    }
}
