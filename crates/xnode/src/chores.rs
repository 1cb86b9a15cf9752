//! Chores of an agent beside its plans: what is found is told, time passes for what was set aside, running instances are read back, and what nobody needs
//! any more goes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use openmesh_blueprint::document::Name;
use openmesh_blueprint::generation::Revision;
use openmesh_blueprint::inventory::{Holder, InstanceId, InstanceState, Traffic, Verdict};
use openmesh_blueprint::{Generation, retention};
use openmesh_primitives::Timestamp;
use openmesh_shim::protocol::End;

use crate::applications::names;
use crate::error::XnodeError;
use crate::events::{EventKind, Finding};
use crate::execute::ends::end_runs;
use crate::instance::volume_id;
use crate::marks::{self, OVER};
use crate::memory::lock;
use crate::observe::Seen;
use crate::paths::instance_name;
use crate::restarts::ended;
use crate::{Door, Machine, readback, words};

/// Time between two rounds of what is done once a minute. A tick of a volume adds at most a minute, so that a little less loses nothing of it.
const MINUTE: Duration = Duration::from_secs(50);
/// Time for which remains of volumes have to lie there before they are removed: whoever makes one has them for that long.
const REMAINS: Duration = Duration::from_secs(15);
/// Bytes of the logs that are kept of the instances of one application that are gone: four of the largest. The last one is kept whatever its size.
const LOGS_BYTES_MAX: u64 = 256 << 20;

/// Does what is due. What fails is told, holds up nobody, and is tried again with the next look.
pub(crate) fn round(machine: &Machine, seen: &mut Seen, generations: &[&Generation], door: Door<'_>) {
    machine.memory.events.lasting("look", seen.findings.drain(..));
    tell_ends(machine, seen);
    ended::look(machine, seen, generations);
    let mut failed: Vec<Finding> = Vec::new();
    let mut note = |name: Option<&Name>, done: Result<(), XnodeError>| {
        failed.extend(done.err().map(|error| Finding::new(name, error.to_string())));
    };
    for (name, id) in over(seen) {
        note(Some(&name), note_over(machine, seen, &name, &id, door));
    }
    for name in gone(seen, generations) {
        note(Some(&name), forget(machine, seen, &name, door));
    }
    if let Some(passed) = minute(machine) {
        note(None, tick(machine, seen, passed, door));
        note(None, clear_logs(machine, seen, generations, door));
    }
    if seen.has_remains && machine.memory.since.lasts("remains of volumes") >= REMAINS {
        note(None, machine.volumes.tidy(door).map_err(XnodeError::from));
    }
    let unread = readback::look(machine, &seen.statuses);
    failed.extend(unread.into_iter().map(|(name, cause)| Finding::new(Some(&name), cause)));
    machine.memory.events.lasting("chores", failed);
    alter(machine, seen);
}

/// Lets what was read back now be seen by the plan of this turn.
fn alter(machine: &Machine, seen: &mut Seen) {
    for ((name, id), status) in &seen.statuses {
        let found = seen.inventory.applications.get_mut(name).and_then(|found| found.instances.get_mut(id));
        if let Some(found) = found {
            found.altered = machine.memory.checks.altered(&instance_name(name, id), status);
        }
    }
}

/// Tells each end of a first process that nobody asked for, once. Those of a crash loop are one finding.
fn tell_ends(machine: &Machine, seen: &Seen) {
    let mut told = lock(&machine.memory.ends);
    for ((name, id), status) in &seen.statuses {
        let instance = instance_name(name, id);
        let last = status.ends.last().map_or(0, |end| end.run);
        // What ended before this agent began was told by the one before it.
        let Some(before) = told.insert(instance, last) else { continue };
        let is_new = |end: &&End| end.run > before && !end.asked && !status.crash_loop;
        for end in status.ends.iter().filter(is_new) {
            let cause = format!("instance {id} {}; its policy says what comes next", words::end(end));
            machine.memory.events.tell(EventKind::Found, Some(name), cause);
        }
    }
    let there: BTreeSet<String> = seen.statuses.keys().map(|(name, id)| instance_name(name, id)).collect();
    told.retain(|instance, _| there.contains(instance));
}

/// Instances that are over, with a passed gate and their traffic.
fn over(seen: &Seen) -> Vec<(Name, InstanceId)> {
    let mut over = Vec::new();
    for (name, found) in &seen.inventory.applications {
        let is_over = |instance: &openmesh_blueprint::inventory::ObservedInstance| {
            let passed = instance.gate == Some(Verdict::Passed) && instance.traffic == Traffic::Admitted;
            matches!(instance.state, InstanceState::Over(_)) && passed
        };
        let its = found.instances.iter().filter(|(_, instance)| is_over(instance));
        over.extend(its.map(|(id, _)| (name.clone(), id.clone())));
    }
    over
}

/// Marks that an instance is over, so that it stays so after the machine has started anew.
fn note_over(machine: &Machine, seen: &Seen, name: &Name, id: &InstanceId, door: Door<'_>) -> Result<(), XnodeError> {
    let path = machine.paths.instance(name, id).join(OVER);
    let found = seen.inventory.applications.get(name).and_then(|found| found.instances.get(id));
    let Some(InstanceState::Over(code)) = found.map(|found| found.state) else { return Ok(()) };
    if path.exists() {
        return Ok(());
    }
    marks::write(&path, &code, "over.mark", door)
}

/// Applications of which nothing is left but their folder, and that no generation has.
fn gone(seen: &Seen, generations: &[&Generation]) -> Vec<Name> {
    let has_ports = |name: &Name| {
        let mut holders = seen.inventory.ports.values();
        holders.any(|holder| matches!(holder, Holder::Ours { application, .. } if application == name))
    };
    let wanted = |name: &Name| generations.iter().any(|one| one.portable.applications.contains_key(name));
    let empty = seen.instances.iter().filter(|(_, found)| found.is_empty()).map(|(name, _)| name);
    empty.filter(|name| !wanted(name) && !has_ports(name) && !seen.faults.contains_key(*name)).cloned().collect()
}

/// Removes the folder of an application with its marks: a later one of its name begins anew.
fn forget(machine: &Machine, seen: &mut Seen, name: &Name, door: Door<'_>) -> Result<(), XnodeError> {
    end_runs(machine, name, "its application was removed", door)?;
    marks::remove(&machine.paths.application(name), "application.remove", door)?;
    seen.instances.remove(name);
    seen.inventory.applications.remove(name);
    Ok(())
}

/// Time since the last round of each minute, where one is due: by a clock that nobody sets and that stands still while the machine sleeps.
fn minute(machine: &Machine) -> Option<Duration> {
    let (mut last, now) = (lock(&machine.memory.minute), Instant::now());
    let Some(before) = *last else {
        *last = Some(now);
        return None;
    };
    let passed = now.saturating_duration_since(before);
    (passed >= MINUTE).then(|| {
        *last = Some(now);
        passed
    })
}

/// Lets time pass for the volumes that were set aside.
fn tick(machine: &Machine, seen: &Seen, passed: Duration, door: Door<'_>) -> Result<(), XnodeError> {
    let aside = seen.inventory.volumes.iter().filter(|(_, found)| found.removal.is_some());
    for id in aside.filter_map(|(id, _)| volume_id(&id.to_string())) {
        machine.volumes.tick(id, passed, door)?;
    }
    Ok(())
}

/// A log of an instance that is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
struct OldLog {
    folder: PathBuf,
    bytes: u64,
    /// Its last line was written then.
    last: SystemTime,
    /// A generation that is kept has its revision.
    is_kept: bool,
}

/// Logs that go: those of which no generation is kept, and the oldest of more than [`LOGS_BYTES_MAX`]. The newest one stays as long as its generation does.
fn superfluous(mut logs: Vec<OldLog>) -> Vec<PathBuf> {
    logs.sort_by(|a, b| b.last.cmp(&a.last).then_with(|| a.folder.cmp(&b.folder)));
    let (mut bytes, mut kept, mut going) = (0u64, 0usize, Vec::new());
    for log in logs {
        bytes = bytes.saturating_add(if log.is_kept { log.bytes } else { 0 });
        if log.is_kept && (kept == 0 || bytes <= LOGS_BYTES_MAX) {
            kept += 1;
        } else {
            going.push(log.folder);
        }
    }
    going
}

/// Removes logs of instances that are gone and that nobody will ask for.
fn clear_logs(machine: &Machine, seen: &Seen, generations: &[&Generation], door: Door<'_>) -> Result<(), XnodeError> {
    // Every generation that is kept is read for it: only where there is a log of something that is gone.
    let mut kept: Option<BTreeMap<Name, BTreeSet<Revision>>> = None;
    for application in names(&machine.paths.all_logs())? {
        let Ok(name) = application.parse::<Name>() else { continue };
        let there = seen.instances.get(&name);
        // One that cannot be read may be there.
        if seen.faults.contains_key(&name) {
            continue;
        }
        let mut logs = Vec::new();
        for folder in names(&machine.paths.logs(&name))? {
            let Ok(id) = folder.parse::<InstanceId>() else { continue };
            if there.is_none_or(|there| !there.contains_key(&id)) {
                let kept = match &mut kept {
                    Some(kept) => kept,
                    none => none.insert(revisions(machine, seen.inventory.current, generations)?),
                };
                let is_kept = kept.get(&name).is_some_and(|kept| kept.contains(&id.revision));
                logs.push(old_log(machine.paths.log(&name, &id), is_kept)?);
            }
        }
        let (all, going) = (logs.len(), superfluous(logs));
        for folder in &going {
            marks::remove(folder, "log.remove", door)?;
        }
        if there.is_none() && going.len() == all {
            marks::remove(&machine.paths.logs(&name), "log.remove", door)?;
        }
    }
    Ok(())
}

/// Revisions of each application in the generations that are kept.
fn revisions(
    machine: &Machine,
    current: u64,
    generations: &[&Generation],
) -> Result<BTreeMap<Name, BTreeSet<Revision>>, XnodeError> {
    // One that cannot be read keeps nothing, and is told by whoever needs it.
    let there: Vec<Generation> = marks::numbers(&machine.paths)?
        .into_iter()
        .filter_map(|number| marks::generation(&machine.paths, number).ok())
        .collect();
    let ages: Vec<(u64, Timestamp)> = there.iter().map(|one| (one.number, one.cause.at)).collect();
    let kept = retention::kept(&ages, current, &BTreeSet::new(), Timestamp::now());
    let kept = there.iter().filter(|one| kept.contains(&one.number)).chain(generations.iter().copied());
    let mut revisions: BTreeMap<Name, BTreeSet<Revision>> = BTreeMap::new();
    for generation in kept {
        for name in generation.portable.applications.keys() {
            revisions.entry(name.clone()).or_default().extend(generation.revision(name));
        }
    }
    Ok(revisions)
}

fn old_log(folder: PathBuf, is_kept: bool) -> Result<OldLog, XnodeError> {
    let (mut bytes, mut last) = (0u64, SystemTime::UNIX_EPOCH);
    for file in names(&folder)? {
        // One that is removed meanwhile has no bytes.
        if let Ok(about) = fs::metadata(folder.join(file)) {
            bytes = bytes.saturating_add(about.len());
            last = last.max(about.modified().unwrap_or(SystemTime::UNIX_EPOCH));
        }
    }
    Ok(OldLog { folder, bytes, last, is_kept })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(name: &str, age: u64, bytes: u64, is_kept: bool) -> OldLog {
        let last = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 - age);
        OldLog { folder: name.into(), bytes, last, is_kept }
    }

    fn going(logs: Vec<OldLog>) -> Vec<String> {
        superfluous(logs).iter().map(|folder| folder.display().to_string()).collect()
    }

    #[test]
    fn logs_go_with_their_generation_or_beyond_their_bound() {
        let mib = 1 << 20;
        assert_eq!(going(vec![log("a", 1, mib, false), log("b", 2, mib, true)]), ["a"]);
        let many = (0..6).map(|age| log(&age.to_string(), age, 64 * mib, true)).collect();
        assert_eq!(going(many), ["4", "5"], "the oldest beyond the bound");
        let huge = vec![log("old", 9, mib, true), log("new", 1, 2 * LOGS_BYTES_MAX, true)];
        assert_eq!(going(huge), ["old"], "the last words are kept whatever their size");
        assert_eq!(going(Vec::new()), Vec::<String>::new());
    }
}
