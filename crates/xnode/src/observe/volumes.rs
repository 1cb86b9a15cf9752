//! Volumes as they are found, with what the generations need of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openmesh_blueprint::Generation;
use openmesh_blueprint::document::Name;
use openmesh_blueprint::generation::{Disposal, VolumeId};
use openmesh_blueprint::inventory::{ObservedApplication, ObservedRemoval, ObservedVolume};
use openmesh_primitives::Timestamp;
use openmesh_volume::rules::{needed, removable, wait};
use openmesh_volume::{FREEZE_S_MAX, Fate, Finding, FoundVolume, Id, Remedy};

use crate::error::XnodeError;
use crate::{Machine, events};

/// Time for which a volume has to look as if somebody's work on it was broken off before it is mended: longer than a freeze may last, in which a copy of it is
/// made, and long enough that a clone has begun to show.
const MEND_AFTER: Duration = Duration::from_secs(FREEZE_S_MAX + 5);
/// Number that no line has.
const NO_LINE: u32 = 0;

/// Volumes at one look.
pub(super) struct Volumes {
    /// For the planner.
    pub observed: BTreeMap<VolumeId, ObservedVolume>,
    /// Lines of each that the generations have.
    pub needed: BTreeMap<Id, BTreeSet<u32>>,
    /// Something that was broken off lies beside them.
    pub has_remains: bool,
}

/// Looks at all volumes.
pub(super) fn look(
    machine: &Machine,
    generations: &[&Generation],
    applications: &BTreeMap<Name, ObservedApplication>,
    findings: &mut Vec<events::Finding>,
) -> Result<Volumes, XnodeError> {
    let found = machine.volumes.observe()?;
    let mut volumes =
        Volumes { observed: BTreeMap::new(), needed: BTreeMap::new(), has_remains: !found.unfinished.is_empty() };
    for id in found.lost {
        let cause =
            format!("the volume {id} was made here, and its folder is gone; mount its disk or restore a backup");
        findings.push(events::Finding::new(None, cause));
    }
    for (id, found) in &found.volumes {
        let Ok(volume) = id.to_string().parse::<VolumeId>() else { continue };
        let owner: Option<Name> = found.record.as_ref().and_then(|record| record.application.parse().ok());
        let instances = owner.as_ref().and_then(|name| applications.get(name)).map(|found| &found.instances);
        let is_live = instances.is_some_and(|instances| instances.values().any(|instance| !instance.is_ended()));
        let needed = needed(generations.iter().copied(), *id);
        let mut observed = observed(machine, *id, found, &needed, is_live);
        observed.removal = removal(found, generations.iter().any(|one| has(one, &volume)), Timestamp::now());
        volumes.observed.insert(volume, observed);
        volumes.needed.insert(*id, needed);
        say(*id, found, owner.as_ref(), findings);
    }
    Ok(volumes)
}

/// A volume as the planner reads it.
fn observed(machine: &Machine, id: Id, found: &FoundVolume, needed: &BTreeSet<u32>, is_live: bool) -> ObservedVolume {
    let mut observed = found.as_blueprint(None);
    // The line that is in use now may be left: the planner knows which one is then.
    let free = removable(found.lines.values(), NO_LINE, needed);
    for (number, line) in &mut observed.lines {
        line.removable = free.contains(number);
    }
    let mends = mends(found, is_live).filter(|finding| {
        let lasts = machine.memory.since.lasts(&format!("volume {id} {}", word(finding)));
        !may_be_work(finding) || lasts >= MEND_AFTER
    });
    observed.mends = mends.map(ToString::to_string);
    observed
}

/// Returns true where an application of a generation has a volume.
fn has(generation: &Generation, id: &VolumeId) -> bool {
    let mut placed = generation.placement.applications.values().flat_map(|placed| placed.volumes.values());
    placed.any(|volume| volume.id == *id)
}

/// Removal of a volume. One that an application of the wanted generation has is not due: it was taken back, though nothing was done for that yet.
fn removal(found: &FoundVolume, is_wanted: bool, now: Timestamp) -> Option<ObservedRemoval> {
    let removal = found.removal.as_ref()?;
    let is_over = wait(Some(removal), found.backed_up, now).is_none();
    Some(ObservedRemoval { disposal: disposal(removal.fate), is_due: is_over && !is_wanted })
}

/// The finding that a machine mends. What must be held is left alone, all of it; a file system that has stopped is mended when nobody uses it; one that is
/// not mounted is mounted by a step of its own.
fn mends(found: &FoundVolume, is_live: bool) -> Option<&Finding> {
    if found.remedy() == Some(Remedy::Hold) {
        return None;
    }
    found.findings.iter().find(|finding| match finding {
        Finding::NotMounted => false,
        Finding::Stopped => !is_live,
        other => other.remedy() == Remedy::Repair,
    })
}

/// Returns true where a finding is what somebody's work on the volume looks like at the moment.
fn may_be_work(finding: &Finding) -> bool {
    matches!(finding, Finding::Frozen | Finding::LineUnfinished { .. })
}

/// Kind of a finding, without its figures.
fn word(finding: &Finding) -> String {
    format!("{finding:?}").chars().take_while(|letter| letter.is_ascii_alphanumeric()).collect()
}

/// Adds what a person has to know: everything but what is work of the moment, or a step mounts.
fn say(id: Id, found: &FoundVolume, owner: Option<&Name>, findings: &mut Vec<events::Finding>) {
    let name = found.record.as_ref().map_or_else(|| id.to_string(), |record| record.name.clone());
    let told = found.findings.iter().filter(|finding| **finding != Finding::NotMounted && !may_be_work(finding));
    findings.extend(told.map(|finding| events::Finding {
        application: owner.cloned(),
        key: format!("volume {id} {}", word(finding)),
        cause: format!("volume {name}: {finding}"),
    }));
}

fn disposal(fate: Fate) -> Disposal {
    match fate {
        Fate::Keep => Disposal::Keep,
        Fate::Backup => Disposal::Backup,
        Fate::Wipe => Disposal::Wipe,
    }
}

#[cfg(test)]
mod tests {
    use openmesh_volume::rules::UNDO_MS;
    use openmesh_volume::{Removal, Usage};

    use super::*;

    fn found(findings: Vec<Finding>) -> FoundVolume {
        FoundVolume {
            record: None,
            mounted: true,
            marked: true,
            lines: BTreeMap::new(),
            in_use: Some(1),
            usage: None,
            removal: None,
            backed_up: None,
            findings,
        }
    }

    #[test]
    fn what_is_mended_and_what_is_left() {
        let full = Finding::Full(Usage::default());
        let unreserved = Finding::Unreserved { missing: 5 };
        let mended = |findings: &[Finding], is_live| mends(&found(findings.to_vec()), is_live).cloned();
        assert_eq!(mended(&[full.clone(), Finding::NotMounted], false), None);
        assert_eq!(mended(&[full, unreserved.clone()], true), Some(unreserved.clone()));
        assert_eq!(mended(&[Finding::Stopped], true), None, "its application uses it");
        assert_eq!(mended(&[Finding::Stopped], false), Some(Finding::Stopped));
        assert_eq!(mended(&[unreserved, Finding::ImageMissing], false), None, "held, all of it");
    }

    #[test]
    fn a_removal_that_was_taken_back_is_never_due() {
        let mut volume = found(Vec::new());
        assert_eq!(removal(&volume, false, Timestamp(0)), None);
        let mark = Removal { fate: Fate::Wipe, by: "test".into(), at: Timestamp(0), waited_ms: UNDO_MS };
        volume.removal = Some(mark);
        let day = i64::try_from(UNDO_MS).unwrap() * 1_000_000;
        let is_due = |is_wanted, nanos| removal(&volume, is_wanted, Timestamp(nanos)).unwrap().is_due;
        assert_eq!((is_due(false, day), is_due(true, day), is_due(false, day - 1)), (true, false, false));
    }

    #[test]
    fn figures_are_no_part_of_a_findings_name() {
        assert_eq!(word(&Finding::Unreserved { missing: 5 }), word(&Finding::Unreserved { missing: 6 }));
        assert_eq!(word(&Finding::NotMounted), "NotMounted");
    }
}
