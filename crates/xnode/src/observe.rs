//! The machine as it is found.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openmesh_blueprint::Generation;
use openmesh_blueprint::document::Name;
use openmesh_blueprint::inventory::{
    Door as BlueprintDoor, Holder, ImageState, InstanceId, InstanceState, Inventory, ObservedApplication,
    ObservedInstance, Traffic, Verdict,
};
use openmesh_primitives::Timestamp;
use openmesh_shim::protocol::{Cause, State, Status};

use crate::applications::{self, Instances};
use crate::error::XnodeError;
use crate::marks::{self, Clock, DoorMark, JobsMark, STARTED, StartedMark, Trial};
use crate::paths::instance_name;
use crate::shims::{self, Shim};
use crate::{Machine, host, network};

/// First pause after a failed gate of an instance that has traffic; it doubles with each try.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// Longest such pause.
const TRY_AGAIN_MAX: Duration = Duration::from_secs(300);

/// A machine with everything that was read of it.
pub(crate) struct Seen {
    /// For the planner.
    pub inventory: Inventory,
    /// Instances with what they were made of.
    pub instances: Instances,
    /// Applications that were not seen whole, or are not served, each with the cause.
    pub faults: BTreeMap<Name, String>,
}

/// Looks at everything of an agent.
pub(crate) fn observe(machine: &Machine, generations: &[&Generation]) -> Result<Seen, XnodeError> {
    let applications::Read { instances, unread } = applications::read(&machine.paths)?;
    let mut observed = BTreeMap::new();
    let mut faults: BTreeMap<Name, String> =
        unread.into_iter().filter_map(|(name, errors)| Some((name, errors.into_values().next()?))).collect();
    for (name, found) in &instances {
        match application(machine, name, found) {
            Ok(found) => drop(observed.insert(name.clone(), found)),
            // What is not known is not changed.
            Err(error) => {
                observed.insert(name.clone(), ObservedApplication::default());
                faults.entry(name.clone()).or_insert_with(|| error.to_string());
            }
        }
    }
    let mut ports = host::foreign_ports();
    for published in network::published(machine)? {
        let parsed = (published.application.parse(), published.name.parse());
        if let (Ok(application), Ok(port)) = parsed {
            ports.insert(published.at(), Holder::Ours { application, port });
        }
    }
    let mut volumes = BTreeMap::new();
    for (id, found) in machine.volumes.observe()?.volumes {
        if let Ok(id) = id.to_string().parse() {
            volumes.insert(id, found.as_blueprint(None));
        }
    }
    let mut seen = Seen {
        inventory: Inventory {
            taken: Timestamp::now(),
            current: marks::pointer(&machine.paths.current())?,
            host: host::host(machine),
            images: images(machine, generations),
            applications: observed,
            volumes,
            ports,
        },
        instances,
        faults: BTreeMap::new(),
    };
    seen.add_faults(faults);
    Ok(seen)
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

fn application(
    machine: &Machine,
    name: &Name,
    found: &BTreeMap<InstanceId, Option<applications::Made>>,
) -> Result<ObservedApplication, XnodeError> {
    let folder = machine.paths.application(name);
    let door: DoorMark = marks::read(&folder.join("door.json"))?;
    let jobs: JobsMark = marks::read(&folder.join("jobs.json"))?;
    let probation: Option<Trial> = marks::find(&folder.join("probation.json"))?;
    let mut instances = BTreeMap::new();
    for (id, made) in found {
        // One that is half made is not there: making it goes on where it broke off.
        if made.is_some() {
            instances.insert(id.clone(), instance(machine, name, id, &door)?);
        }
    }
    let jobs = jobs.into_iter().filter_map(|(revision, job)| Some((revision.parse().ok()?, job.parse().ok()?)));
    Ok(ObservedApplication {
        door: match &door {
            DoorMark::Closed => BlueprintDoor::Closed,
            DoorMark::Open { revision, .. } => revision.parse().map_or(BlueprintDoor::Closed, BlueprintDoor::Open),
            DoorMark::Holding => BlueprintDoor::Holding,
            DoorMark::Maintenance => BlueprintDoor::Maintenance,
        },
        instances,
        jobs: jobs.collect(),
        probation: probation.and_then(|trial| Some((trial.of.parse().ok()?, verdict(trial.failed)))),
        fault: None,
    })
}

fn verdict(failed: Option<String>) -> Verdict {
    failed.map_or(Verdict::Passed, Verdict::Failed)
}

fn instance(machine: &Machine, name: &Name, id: &InstanceId, door: &DoorMark) -> Result<ObservedInstance, XnodeError> {
    let folder = machine.paths.instance(name, id);
    let shim = shims::find(&folder)?;
    let group = machine.group(&instance_name(name, id));
    let state = match &shim {
        Shim::None => InstanceState::Created,
        // What still runs has no parent: it is ended by the next shim, or when the instance is stopped. Until then it writes, so it is no ended one.
        Shim::Ended(_) if !group.processes()?.is_empty() => InstanceState::Created,
        Shim::Ended(status) => ended(status),
        Shim::Living(status) => living(status, group.frozen()?),
    };
    let admitted = matches!(door, DoorMark::Open { revision, instances }
        if *revision == id.revision.to_string() && id.index < *instances);
    let traffic = if admitted { Traffic::Admitted } else { Traffic::None };
    let gate = if matches!(shim, Shim::Living(_)) { gate(&folder, admitted)? } else { None };
    Ok(ObservedInstance { state, gate, traffic, altered: None })
}

/// Verdict on the present start of an instance. A failed one of an instance that had its traffic already is tried again after a while: there is nothing
/// to return to.
fn gate(folder: &std::path::Path, admitted: bool) -> Result<Option<Verdict>, XnodeError> {
    let Some(trial) = marks::find::<Trial>(&folder.join("gate.json"))? else { return Ok(None) };
    let started: Option<StartedMark> = marks::find(&folder.join(STARTED))?;
    // A start of an earlier run of the machine is none of the present shim.
    let started = started.filter(|started| started.clock.elapsed().is_some());
    if started.is_none_or(|started| started.of() != trial.of) {
        return Ok(None);
    }
    let pause = TRY_AGAIN.saturating_mul(1 << trial.attempts.min(16)).min(TRY_AGAIN_MAX);
    let waited = trial.at.as_ref().and_then(Clock::elapsed).is_none_or(|waited| waited >= pause);
    Ok(if trial.failed.is_some() && admitted && waited { None } else { Some(verdict(trial.failed)) })
}

/// State of an instance without a shim: as one that was stopped, or that has to be started again.
fn ended(status: &Status) -> InstanceState {
    if status.wanted { InstanceState::Created } else { exited(status) }
}

fn exited(status: &Status) -> InstanceState {
    let code = status.ends.last().map(|end| match &end.cause {
        Cause::Exited { code } => *code,
        _ => 128,
    });
    InstanceState::Exited(code.unwrap_or(0))
}

fn living(status: &Status, frozen: bool) -> InstanceState {
    let stopped_by = status.first.as_ref().is_some_and(|first| first.stopped_by.is_some());
    if (frozen || stopped_by) && status.paused.is_none() {
        return InstanceState::Frozen;
    }
    match status.state {
        State::Stopped => exited(status),
        _ if status.wanted => InstanceState::Running,
        // It is being stopped.
        _ => InstanceState::Running,
    }
}
