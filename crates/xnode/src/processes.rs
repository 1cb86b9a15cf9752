//! Processes of an application's instances and of the runs of its jobs at one moment, and the secrets whose values they may have in their arguments.

use std::collections::BTreeSet;
use std::fmt;

use openmesh_blueprint::document::Name;
use openmesh_blueprint::inventory::InstanceId;
use openmesh_cage::processes::{Bounds, look};

pub use openmesh_cage::processes::{Look, Process, State, TICK_MS};

use crate::agent::Agent;
use crate::error::XnodeError;
use crate::paths::instance_name;
use crate::{applications, marks};

/// Owner of processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// An instance.
    Instance(InstanceId),
    /// A run of a job.
    Run {
        /// The job.
        job: Name,
        /// Number of the run.
        number: u64,
    },
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Owner::Instance(id) => write!(f, "{id}"),
            Owner::Run { job, number } => write!(f, "job {job} run {number}"),
        }
    }
}

/// Processes of one owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    /// The owner.
    pub owner: Owner,
    /// None of them goes on: they are paused, or somebody froze them.
    pub is_frozen: bool,
    /// The processes.
    pub look: Look,
}

impl Agent {
    /// Looks at the processes of an application, owner by owner; one without a process is left out.
    ///
    /// # Errors
    /// The notes of instances or runs, or a control group cannot be read.
    pub fn look_at_processes(&self, name: &Name) -> Result<Vec<Looked>, XnodeError> {
        let machine = self.machine();
        let found = applications::read(&machine.paths)?.instances.remove(name).unwrap_or_default();
        let instances = found.into_keys().map(|id| (instance_name(name, &id), Owner::Instance(id)));
        let runs = self.run_names(name)?.into_iter();
        let runs = runs.map(|(job, number, instance)| (instance, Owner::Run { job, number }));
        let (mut looked, mut bounds) = (Vec::new(), Bounds::default());
        for (instance, owner) in instances.chain(runs) {
            let group = machine.group(&instance);
            let look = look(&group, &mut bounds)?;
            if !look.processes.is_empty() || look.left_out > 0 {
                looked.push(Looked { owner, is_frozen: group.frozen()?, look });
            }
        }
        Ok(looked)
    }

    /// Names of the secrets of an application: those that it has in the wanted generation, in the one that serves, and in those for which its present instances
    /// were made. None where one of these is not kept any more, so that nobody knows.
    ///
    /// # Errors
    /// A generation or the notes of instances cannot be read.
    pub fn secret_names(&self, name: &Name) -> Result<Option<BTreeSet<Name>>, XnodeError> {
        let paths = &self.machine().paths;
        let found = applications::read(paths)?.instances.remove(name).unwrap_or_default();
        let mut numbers: BTreeSet<u64> = found.into_values().flatten().map(|made| made.generation).collect();
        // A note of an earlier version does not say it.
        if numbers.contains(&0) {
            return Ok(None);
        }
        let pointers = [marks::pointer(&paths.current())?, marks::pointer(&paths.target())?];
        numbers.extend(pointers.into_iter().filter(|number| *number != 0));
        let mut names = BTreeSet::new();
        for number in numbers {
            let generation = match marks::generation(paths, number) {
                Err(XnodeError::NoGeneration { .. }) => return Ok(None),
                generation => generation?,
            };
            let placed = generation.placement.applications.get(name);
            names.extend(placed.into_iter().flat_map(|placed| placed.secrets.keys().cloned()));
        }
        Ok(Some(names))
    }
}
