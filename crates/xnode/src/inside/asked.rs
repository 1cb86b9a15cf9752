//! The place of a process that a person asks for.

use openmesh_blueprint::document::Name;
use openmesh_blueprint::inventory::InstanceId;
use openmesh_shim::protocol::State;

use super::{Inside, command};
use crate::agent::Agent;
use crate::applications;
use crate::error::XnodeError;
use crate::marks::{self, DoorMark};
use crate::shims::{self, Shim};

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
