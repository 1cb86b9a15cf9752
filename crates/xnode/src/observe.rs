//! The machine as it is found.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use openmesh_blueprint::Generation;
use openmesh_blueprint::document::Name;
use openmesh_blueprint::generation::Revision;
use openmesh_blueprint::inventory::{
    ImageState, InstanceId, InstanceState, Inventory, ObservedApplication, ObservedInstance, Traffic, Verdict,
};
use openmesh_primitives::Timestamp;
use openmesh_shim::protocol::{State, Status};
use openmesh_volume::Id;

use crate::applications::{self, Instances, Made};
use crate::error::XnodeError;
use crate::events::Finding;
use crate::marks::{
    self, Clock, DoorMark, FAILED_JOB, JobsMark, OVER, RESTART, RestartMark, STARTED, StartedMark, Trial,
};
use crate::paths::instance_name;
use crate::shims::{self, Shim};
use crate::{Machine, door, host, words};

mod volumes;

/// First pause after a failed gate of an instance that has traffic, or is of the version that serves; it doubles with each try.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// Longest such pause.
const TRY_AGAIN_MAX: Duration = Duration::from_secs(300);

/// A machine with everything that was read of it.
pub(crate) struct Seen {
    /// For the planner.
    pub inventory: Inventory,
    /// Instances with what they were made of.
    pub instances: Instances,
    /// Last words of their shims, living or not.
    pub statuses: BTreeMap<(Name, InstanceId), Status>,
    /// Those of them whose shims live.
    pub watched: BTreeSet<(Name, InstanceId)>,
    /// Lines of each volume that the generations have.
    pub needed: BTreeMap<Id, BTreeSet<u32>>,
    /// Something of volumes that was broken off lies beside them.
    pub has_remains: bool,
    /// Everything that is not as it should be and holds nobody, for events.
    pub findings: Vec<Finding>,
    /// Applications that were not seen whole, or are not served, each with the cause.
    pub faults: BTreeMap<Name, String>,
}

/// Looks at everything of an agent.
pub(crate) fn observe(machine: &Machine, generations: &[&Generation]) -> Result<Seen, XnodeError> {
    let applications::Read { instances, unread } = applications::read(&machine.paths)?;
    let doors = door::Observed::of(machine, generations);
    let current = marks::pointer(&machine.paths.current())?;
    let serving = generations.iter().find(|generation| generation.number == current);
    let (mut observed, mut asked) = (BTreeMap::new(), Shims::default());
    let mut faults: BTreeMap<Name, String> =
        unread.into_iter().filter_map(|(name, errors)| Some((name, errors.into_values().next()?))).collect();
    for (name, found) in &instances {
        let serves = serving.and_then(|serving| serving.revision(name));
        match application(machine, &doors, (name, serves.as_ref()), found, &mut asked) {
            Ok(found) => drop(observed.insert(name.clone(), found)),
            // What is not known is not changed.
            Err(error) => {
                observed.insert(name.clone(), ObservedApplication::default());
                faults.entry(name.clone()).or_insert_with(|| error.to_string());
            }
        }
    }
    let mut findings = Vec::new();
    let ports = host::ports(machine, &mut findings)?;
    let volumes = volumes::look(machine, generations, &observed, &mut findings)?;
    let mut seen = Seen {
        inventory: Inventory {
            taken: Timestamp::now(),
            current,
            host: host::host(machine, &mut findings),
            images: images(machine, generations),
            applications: observed,
            volumes: volumes.observed,
            ports,
        },
        instances,
        statuses: asked.statuses,
        watched: asked.watched,
        needed: volumes.needed,
        has_remains: volumes.has_remains,
        findings,
        faults: BTreeMap::new(),
    };
    seen.findings.extend(endings(&seen.statuses, &seen.inventory));
    seen.add_faults(faults);
    Ok(seen)
}

/// Shims that were asked.
#[derive(Default)]
struct Shims {
    statuses: BTreeMap<(Name, InstanceId), Status>,
    watched: BTreeSet<(Name, InstanceId)>,
}

impl Seen {
    /// Adds applications that cannot be served to those that the planner holds.
    pub fn add_faults(&mut self, faults: BTreeMap<Name, String>) {
        for (name, cause) in faults {
            self.inventory.applications.entry(name.clone()).or_default().fault.get_or_insert_with(|| cause.clone());
            self.faults.entry(name).or_insert(cause);
        }
    }
}

/// States of the images that the generations name.
fn images(machine: &Machine, generations: &[&Generation]) -> BTreeMap<openmesh_primitives::Digest, ImageState> {
    let named: BTreeSet<_> = generations
        .iter()
        .flat_map(|generation| generation.portable.applications.values())
        .map(|resolved| resolved.image.digest)
        .collect();
    named.into_iter().filter_map(|digest| Some((digest, machine.images.state(&digest)?))).collect()
}

/// A part of a mark; an error where it is not of its form, since nobody knows then what it says.
fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(path: &Path, text: &str) -> Result<T, XnodeError> {
    text.parse().map_err(|error: T::Err| XnodeError::Mark { path: path.into(), words: error.to_string() })
}

fn application(
    machine: &Machine,
    doors: &door::Observed,
    (name, serves): (&Name, Option<&Revision>),
    found: &BTreeMap<InstanceId, Option<Made>>,
    asked: &mut Shims,
) -> Result<ObservedApplication, XnodeError> {
    let folder = machine.paths.application(name);
    let (door_file, jobs_file) = (folder.join("door.json"), folder.join("jobs.json"));
    let door: DoorMark = marks::read(&door_file)?;
    if let DoorMark::Open { revision, .. } = &door {
        parsed::<Revision>(&door_file, revision)?;
    }
    let mut jobs = BTreeSet::new();
    for (revision, job) in marks::read::<JobsMark>(&jobs_file)? {
        jobs.insert((parsed(&jobs_file, &revision)?, parsed(&jobs_file, &job)?));
    }
    let failed_file = folder.join(FAILED_JOB);
    let failed_job = match marks::find::<Trial>(&failed_file)? {
        Some(Trial { of, failed: Some(cause), .. }) => Some((parsed(&failed_file, &of)?, cause)),
        _ => None,
    };
    let probation = match marks::find::<Trial>(&folder.join("probation.json"))? {
        Some(trial) => Some((parsed(&folder.join("probation.json"), &trial.of)?, verdict(trial.failed))),
        None => None,
    };
    let restart: Option<RestartMark> = marks::find(&folder.join(RESTART))?;
    let mut instances = BTreeMap::new();
    for (id, made) in found {
        // One that is half made is not there: making it goes on where it broke off.
        let Some(made) = made else { continue };
        let traffic = doors.traffic(name, id, &door);
        let serves = serves == Some(&id.revision);
        let (mut instance, shim) = instance(machine, (name, id), restart.as_ref(), traffic, serves)?;
        instance.address = Some(made.address);
        if matches!(shim, Shim::Living(_)) {
            asked.watched.insert((name.clone(), id.clone()));
        }
        if let Shim::Living(status) | Shim::Ended(status) = shim {
            asked.statuses.insert((name.clone(), id.clone()), *status);
        }
        instances.insert(id.clone(), instance);
    }
    Ok(ObservedApplication { door: doors.door(name, &door), instances, jobs, failed_job, probation, fault: None })
}

fn verdict(failed: Option<String>) -> Verdict {
    failed.map_or(Verdict::Passed, Verdict::Failed)
}

fn instance(
    machine: &Machine,
    (name, id): (&Name, &InstanceId),
    restart: Option<&RestartMark>,
    traffic: Traffic,
    serves: bool,
) -> Result<(ObservedInstance, Shim), XnodeError> {
    let (folder, instance) = (machine.paths.instance(name, id), instance_name(name, id));
    let policy = shims::config(&folder)?.map(|config| config.restart.policy);
    let started: Option<StartedMark> = marks::find(&folder.join(STARTED))?;
    let is_due = restart.is_some_and(|restart| restart.is_due(id, started.as_ref()));
    // What is wanted again, or is to be started anew, is no longer over.
    let policy = policy.filter(|_| !is_due && started.is_none_or(|started| !started.is_due));
    let over = |status: &Status| policy.and_then(|policy| shims::over(policy, status));
    let (shim, group) = (ask(machine, &instance, &folder)?, machine.group(&instance));
    let state = match &shim {
        // What still runs has no parent: it is ended by the next shim, or when the instance is stopped. Until then it writes, so it is no ended one.
        Shim::None | Shim::Ended(_) if !group.processes()?.is_empty() => InstanceState::Created,
        Shim::None if is_due => InstanceState::Created,
        Shim::None => marks::find::<i32>(&folder.join(OVER))?.map_or(InstanceState::Created, InstanceState::Over),
        Shim::Ended(status) => over(status).map_or_else(|| ended(status), InstanceState::Over),
        Shim::Living(status) => living(status, group.frozen()?, over(status)),
    };
    let is_over = matches!(state, InstanceState::Over(_));
    let gate = match &shim {
        // The mark of what is over was made after its gate, in an earlier run of the machine.
        Shim::None => is_over.then_some(Verdict::Passed),
        Shim::Ended(_) if !is_over => None,
        // Nobody starts what is over again, so that another try would find the same.
        Shim::Ended(_) | Shim::Living(_) => gate(&folder, !is_over && (serves || traffic == Traffic::Admitted))?,
    };
    let altered = match &shim {
        Shim::None => None,
        Shim::Living(status) | Shim::Ended(status) => machine.memory.checks.altered(&instance, status),
    };
    Ok((ObservedInstance { state, gate, traffic, address: None, altered, is_due }, shim))
}

/// Asks for an instance's shim. One that lives and gives no answer is left alone for a while, so that it holds up the look at the others but seldom.
fn ask(machine: &Machine, instance: &str, folder: &Path) -> Result<Shim, XnodeError> {
    if let Some(words) = machine.memory.silent.recent(instance) {
        return Err(XnodeError::Machine(words));
    }
    let found = shims::find(folder);
    if let Err(error @ XnodeError::Shim(_)) = &found {
        machine.memory.silent.note(instance, error.to_string());
    }
    found
}

/// Verdict on the present start of an instance. A failed one of an instance that had its traffic already, or is of the version that serves, as after a
/// return, is tried again after a while: there is nothing to return to.
fn gate(folder: &Path, tries_again: bool) -> Result<Option<Verdict>, XnodeError> {
    let Some(trial) = marks::find::<Trial>(&folder.join("gate.json"))? else { return Ok(None) };
    let started: Option<StartedMark> = marks::find(&folder.join(STARTED))?;
    // A start of an earlier run of the machine is none of the present shim.
    let started = started.filter(|started| started.clock.elapsed().is_some());
    if started.is_none_or(|started| started.of() != trial.of) {
        return Ok(None);
    }
    let pause = TRY_AGAIN.saturating_mul(1 << trial.attempts.min(16)).min(TRY_AGAIN_MAX);
    let waited = trial.at.as_ref().and_then(Clock::elapsed).is_none_or(|waited| waited >= pause);
    Ok(if trial.failed.is_some() && tries_again && waited { None } else { Some(verdict(trial.failed)) })
}

/// State of an instance without a shim: as one that was stopped, or that has to be started again.
fn ended(status: &Status) -> InstanceState {
    if status.wanted { InstanceState::Created } else { exited(status) }
}

fn exited(status: &Status) -> InstanceState {
    InstanceState::Exited(status.ends.last().map_or(0, |end| shims::code(&end.cause)))
}

fn living(status: &Status, frozen: bool, over: Option<i32>) -> InstanceState {
    let stopped_by = status.first.as_ref().is_some_and(|first| first.stopped_by.is_some());
    if (frozen || stopped_by) && status.paused.is_none() {
        return InstanceState::Frozen;
    }
    match status.state {
        State::Stopped => over.map_or_else(|| exited(status), InstanceState::Over),
        // It runs, is brought to run, or is being stopped.
        _ => InstanceState::Running,
    }
}

/// Findings of instances that go on, or have come to rest, otherwise than somebody would wish.
fn endings(statuses: &BTreeMap<(Name, InstanceId), Status>, inventory: &Inventory) -> Vec<Finding> {
    let mut found = Vec::new();
    for ((name, id), status) in statuses {
        let mut add = |what: &str, cause: String| {
            found.push(Finding { application: Some(name.clone()), key: format!("{what} {id}"), cause });
        };
        if status.crash_loop {
            let end = status.ends.last().map(words::end).unwrap_or_default();
            add("crash loop", format!("instance {id} is in a crash loop, and tried once a minute: it {end}"));
        }
        if let Some(reason) = &status.log.dropping {
            add("log", format!("lines of instance {id} are not in its log: {reason}"));
        }
        let observed = inventory.applications.get(name).and_then(|found| found.instances.get(id));
        if let Some(InstanceState::Over(code)) = observed.map(|observed| observed.state)
            && code != 0
        {
            add("over", format!("instance {id} has ended with code {code}, and its policy starts it no more"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of an instance with its first start and a trial of it, so long ago.
    fn tried(failed: Option<&str>, attempts: u32, ago: Duration) -> tempfile::TempDir {
        let (folder, now) = (tempfile::tempdir().unwrap(), Clock::now());
        let started = StartedMark { clock: now.clone(), number: 1, is_due: false };
        let at = Clock { ms: now.ms.saturating_sub(u64::try_from(ago.as_millis()).unwrap()), ..now };
        let trial = Trial { of: started.of(), failed: failed.map(str::to_string), at: Some(at), attempts };
        marks::write(&folder.path().join(STARTED), &started, "test", &crate::open).unwrap();
        marks::write(&folder.path().join("gate.json"), &trial, "test", &crate::open).unwrap();
        folder
    }

    #[test]
    fn a_failed_gate_of_what_serves_is_tried_again_after_a_pause() {
        let failed = Some(Verdict::Failed("503".into()));
        let short = tried(Some("503"), 16, Duration::ZERO);
        assert_eq!(gate(short.path(), true).unwrap(), failed, "not at once");
        // However often it was tried, the pause has a bound; a machine that has just started has not waited for so long.
        let long = tried(Some("503"), 40, TRY_AGAIN_MAX);
        let has_run = Clock::now().ms >= u64::try_from(TRY_AGAIN_MAX.as_millis()).unwrap();
        assert_eq!(gate(long.path(), true).unwrap().is_none(), has_run);
        assert_eq!(gate(long.path(), false).unwrap(), failed, "a version that was never served is not tried again");
        let passed = tried(None, 1, TRY_AGAIN_MAX);
        assert_eq!(gate(passed.path(), true).unwrap(), Some(Verdict::Passed));
        let none = tempfile::tempdir().unwrap();
        assert_eq!(gate(none.path(), true).unwrap(), None);
    }
}
