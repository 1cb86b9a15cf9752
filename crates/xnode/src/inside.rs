//! Processes beside the first one of an instance: the instance in which one is begun, and the command that makes it.

use openmesh_blueprint::document::Name;
use openmesh_blueprint::inventory::InstanceId;
use openmesh_cage::exec;
use openmesh_shim::protocol::{State, Status};

pub use openmesh_cage::exec::{ExecError, Finished, Hearing, Request, Said, Window, Word, run};

use crate::agent::Agent;
use crate::error::XnodeError;
use crate::marks::{self, DoorMark};
use crate::paths::instance_name;
use crate::shims::{self, Shim};
use crate::{Machine, applications};

/// A running instance with the command of the helper that makes a process in it. The command reads [`Word`]s and says [`Said`]s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inside {
    /// The instance.
    pub instance: InstanceId,
    /// Program and arguments.
    pub command: Vec<String>,
}

impl Agent {
    /// The place of a process in an application: in the instance that is named, else in the first running one of the version that has its traffic.
    ///
    /// # Errors
    /// There is no such instance, or it does not run or is frozen.
    pub fn inside(&self, name: &Name, wanted: Option<&InstanceId>) -> Result<Inside, XnodeError> {
        let machine = self.machine();
        let wrong = |words: String| XnodeError::Instance { application: name.clone(), words };
        let found = applications::read(&machine.paths)?.instances.remove(name).unwrap_or_default();
        let mut there: Vec<InstanceId> =
            found.into_iter().filter(|(_, made)| made.is_some()).map(|(id, _)| id).collect();
        if let Some(wanted) = wanted.filter(|wanted| !there.contains(wanted)) {
            let known: Vec<String> = there.iter().map(ToString::to_string).collect();
            return Err(wrong(format!("there is no instance {wanted}; there are {}", known.join(", "))));
        }
        let door: DoorMark = marks::read(&machine.paths.application(name).join("door.json"))?;
        let serves =
            |id: &InstanceId| matches!(&door, DoorMark::Open { revision, .. } if *revision == id.revision.to_string());
        there.retain(|id| wanted.is_none_or(|wanted| wanted == id));
        there.sort_by_key(|id| (!serves(id), id.index));
        let mut reason = "it has no instance".to_string();
        for instance in there {
            match shims::find(&machine.paths.instance(name, &instance))? {
                Shim::Living(status) if status.state == State::Running => {
                    let command = command(machine, name, &instance, &status)?;
                    return Ok(Inside { instance, command });
                }
                _ => reason = format!("instance {instance} does not run"),
            }
        }
        Err(wrong(format!("{reason}, and a process needs one that runs; `openmesh app why {name}` tells more")))
    }
}

/// Command of a process in an instance whose shim says that it runs.
///
/// # Errors
/// It is frozen, or its first process has gone.
pub(crate) fn command(
    machine: &Machine,
    name: &Name,
    id: &InstanceId,
    status: &Status,
) -> Result<Vec<String>, XnodeError> {
    let wrong =
        |words: &str| XnodeError::Instance { application: name.clone(), words: format!("instance {id} {words}") };
    let first = status.first.as_ref().ok_or_else(|| wrong("has no first process at this moment"))?;
    let instance = instance_name(name, id);
    let group = machine.group(&instance);
    if status.paused.is_some() || group.frozen()? {
        return Err(wrong("is frozen, and so would be every process in it"));
    }
    let container = machine.container(&instance, &machine.paths.instance(name, id));
    let first = exec::First { pid: first.pid, start_ticks: first.start_ticks };
    Ok(exec::command(&machine.programs.cage, &*machine.driver, &container, &group, first))
}
