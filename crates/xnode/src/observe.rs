//! The machine as it is found.

use std::collections::{BTreeMap, BTreeSet};

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
use crate::marks::{self, DoorMark, JobsMark, Trial};
use crate::paths::instance_name;
use crate::shims::{self, Shim};
use crate::{Machine, host, network};

/// A machine with everything that was read of it.
pub(crate) struct Seen {
    /// For the planner.
    pub inventory: Inventory,
    /// Instances with what they were made of.
    pub instances: Instances,
}

/// Looks at everything of an agent.
pub(crate) fn observe(machine: &Machine, generations: &[&Generation]) -> Result<Seen, XnodeError> {
    let instances = applications::read(&machine.paths)?;
    let mut observed = BTreeMap::new();
    for (name, found) in &instances {
        observed.insert(name.clone(), application(machine, name, found)?);
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
    let inventory = Inventory {
        taken: Timestamp::now(),
        current: marks::pointer(&machine.paths.current())?,
        host: host::host(machine),
        images: images(machine, generations),
        applications: observed,
        volumes,
        ports,
    };
    Ok(Seen { inventory, instances })
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
    })
}

fn verdict(failed: Option<String>) -> Verdict {
    failed.map_or(Verdict::Passed, Verdict::Failed)
}

fn instance(machine: &Machine, name: &Name, id: &InstanceId, door: &DoorMark) -> Result<ObservedInstance, XnodeError> {
    let folder = machine.paths.instance(name, id);
    let shim = shims::find(&folder)?;
    let frozen = machine.group(&instance_name(name, id)).frozen().unwrap_or(false);
    let state = match &shim {
        Shim::None => InstanceState::Created,
        // Its orphan is ended by the next shim, or when the instance is stopped.
        Shim::Ended(status) => ended(status),
        Shim::Living(status) => living(status, frozen),
    };
    let gate: Option<Trial> = marks::find(&folder.join("gate.json"))?;
    let run = match &shim {
        Shim::Living(status) => Some(status.shim_pid.to_string()),
        _ => None,
    };
    let gate = gate.filter(|trial| Some(&trial.of) == run.as_ref()).map(|trial| verdict(trial.failed));
    let admitted = matches!(door, DoorMark::Open { revision, instances }
        if *revision == id.revision.to_string() && id.index < *instances);
    let traffic = if admitted { Traffic::Admitted } else { Traffic::None };
    Ok(ObservedInstance { state, gate, traffic, altered: None })
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
