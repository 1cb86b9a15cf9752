//! Processes beside the first one of an instance: the instance in which one is begun, and the command that makes it.

mod asked;

use openmesh_blueprint::document::Name;
use openmesh_blueprint::inventory::InstanceId;
use openmesh_cage::exec;
use openmesh_shim::protocol::Status;

pub use openmesh_cage::exec::{ExecError, Finished, Hearing, Request, Said, Window, Word, run};

use crate::Machine;
use crate::error::XnodeError;
use crate::paths::instance_name;

/// A running instance with the command of the helper that makes a process in it. The command reads [`Word`]s and says [`Said`]s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inside {
    /// The instance.
    pub instance: InstanceId,
    /// Program and arguments.
    pub command: Vec<String>,
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
