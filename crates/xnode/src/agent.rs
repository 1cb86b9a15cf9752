//! The loop of an agent: look, plan, do the first step.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use openmesh_blueprint::document::Name;
use openmesh_blueprint::generation::Revision;
use openmesh_blueprint::plan::{Plan, PlannedStep};
use openmesh_blueprint::step::Step;
use openmesh_blueprint::{Generation, plan};

use crate::error::XnodeError;
use crate::execute::Work;
use crate::observe::observe;
use crate::paths::instance_name;
use crate::{Door, Machine, applications, marks};

/// Progress of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It is done.
    Done,
    /// It goes on; asking again before has no use.
    Wait(Duration),
    /// Nothing is left to do.
    Rest,
}

/// An agent: a machine with the generation that is wanted for it.
pub struct Agent {
    machine: Machine,
}

impl Agent {
    /// The agent of a machine.
    pub fn new(machine: Machine) -> Agent {
        Agent { machine }
    }

    /// The machine.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Lets a generation be the wanted one. It is kept before it is pointed at.
    ///
    /// # Errors
    /// It is older than the one that serves, or cannot be kept.
    pub fn want(&self, generation: &Generation, door: Door<'_>) -> Result<(), XnodeError> {
        let current = marks::pointer(&self.machine.paths.current())?;
        if generation.number < current {
            return Err(XnodeError::Older { number: generation.number, current });
        }
        marks::keep(&self.machine.paths, generation, door)?;
        marks::point(&self.machine.paths.target(), generation.number, "generation.target", door)
    }

    /// The wanted generation, and the one that serves where it is another one; none before the first.
    ///
    /// # Errors
    /// A pointer or a generation cannot be read.
    pub fn generations(&self) -> Result<Option<(Generation, Option<Generation>)>, XnodeError> {
        let paths = &self.machine.paths;
        let (target, current) = (marks::pointer(&paths.target())?, marks::pointer(&paths.current())?);
        if target == 0 {
            return Ok(None);
        }
        let serving = if current == 0 { None } else { Some(marks::generation(paths, current)?) };
        Ok(Some((marks::generation(paths, target)?, serving)))
    }

    /// Addresses of the instances that are there, for the resolver of the next generation.
    ///
    /// # Errors
    /// Their notes cannot be read.
    pub fn busy(&self) -> Result<BTreeMap<Ipv4Addr, (Name, Revision)>, XnodeError> {
        let mut busy = BTreeMap::new();
        for (name, found) in applications::read(&self.machine.paths)? {
            for (id, made) in found {
                busy.extend(made.map(|made| (made.address, (name.clone(), id.revision))));
            }
        }
        Ok(busy)
    }

    /// Processes of an application's instances.
    ///
    /// # Errors
    /// The control groups cannot be read.
    pub fn processes(&self, name: &Name) -> Result<BTreeSet<u32>, XnodeError> {
        let mut pids = BTreeSet::new();
        for id in applications::read(&self.machine.paths)?.remove(name).unwrap_or_default().into_keys() {
            pids.extend(self.machine.group(&instance_name(name, &id)).processes()?);
        }
        Ok(pids)
    }

    /// Ends every instance and takes everything of the agent away from the machine, its state apart: volumes are unmounted and kept.
    ///
    /// # Errors
    /// The first failure; asking again goes on.
    pub async fn remove_everything(&self, door: Door<'_>) -> Result<(), XnodeError> {
        let instances = applications::read(&self.machine.paths)?;
        if let Some((generation, _)) = self.generations()? {
            let seen = observe(&self.machine, &[&generation])?;
            let work = Work { machine: &self.machine, generation: &generation, seen: &seen, door };
            for (name, found) in &instances {
                for id in found.keys() {
                    work.collect(name, id)?;
                }
            }
        }
        for id in self.machine.volumes.observe()?.volumes.into_keys() {
            self.machine.volumes.unmount(id, door)?;
        }
        let context = openmesh_links::Context { marks: &self.machine.paths.network_marks(), effect: door };
        openmesh_links::remove(&self.machine.agent, context)?;
        Ok(())
    }

    /// The plan for a generation from the machine as it is now.
    ///
    /// # Errors
    /// Every refusal; or the machine cannot be looked at.
    pub fn plan(&self, generation: &Generation, serving: Option<&Generation>) -> Result<Plan, XnodeError> {
        let generations: Vec<&Generation> = [generation].into_iter().chain(serving).collect();
        let seen = observe(&self.machine, &generations)?;
        plan(&seen.inventory, generation, serving).map_err(|refusals| XnodeError::Refused { refusals })
    }

    /// Looks at the machine, plans, and does the first step of the plan.
    ///
    /// # Errors
    /// Every refusal; or the step has failed, and is first in the next plan.
    pub async fn step(&self, door: Door<'_>) -> Result<Progress, XnodeError> {
        self.step_beside(&BTreeSet::new(), &mut |_, _| (), door).await
    }

    /// As [`Agent::step`], but passes over steps of the applications that are named and of those that depend on them: one that cannot go on now holds up
    /// no other. `begins` hears the plan and the step that is about to be done, if there is one.
    ///
    /// # Errors
    /// See [`Agent::step`].
    pub async fn step_beside(
        &self,
        held_up: &BTreeSet<Name>,
        begins: &mut (dyn FnMut(&Plan, Option<&PlannedStep>) + Send),
        door: Door<'_>,
    ) -> Result<Progress, XnodeError> {
        let Some((generation, serving)) = self.generations()? else { return Ok(Progress::Rest) };
        let generations: Vec<&Generation> = [&generation].into_iter().chain(&serving).collect();
        let seen = observe(&self.machine, &generations)?;
        let work = Work { machine: &self.machine, generation: &generation, seen: &seen, door };
        // Marks come before their effects, so the network is brought to them first: what a death or somebody else left is repaired.
        work.settle_network()?;
        if work.clear_half_made()? {
            return Ok(Progress::Done);
        }
        let plan = plan(&seen.inventory, &generation, serving.as_ref());
        let plan = plan.map_err(|refusals| XnodeError::Refused { refusals })?;
        let next = next_step(&plan, &generation, held_up);
        begins(&plan, next);
        match next {
            Some(planned) => work.step(&planned.step).await,
            None => Ok(Progress::Rest),
        }
    }

    /// Does steps until nothing is left to do.
    ///
    /// # Errors
    /// The first failure, or the time is over.
    pub async fn converge(&self, limit: Duration, door: Door<'_>) -> Result<u32, XnodeError> {
        let (begun, mut steps) = (Instant::now(), 0);
        loop {
            match self.step(door).await? {
                Progress::Rest => return Ok(steps),
                Progress::Done => steps += 1,
                Progress::Wait(pause) => tokio::time::sleep(pause).await,
            }
            if begun.elapsed() > limit {
                return Err(XnodeError::Machine(format!("not at rest after {} s and {steps} steps", limit.as_secs())));
            }
        }
    }
}

/// The first step that needs none of the applications that are held up. A step of no application (an image, the commit) waits for all before it.
fn next_step<'a>(plan: &'a Plan, generation: &Generation, held_up: &BTreeSet<Name>) -> Option<&'a PlannedStep> {
    let mut passed = held_up.clone();
    // As often as there are applications: the longest chain of those that depend on one another.
    for _ in 0..generation.portable.applications.len() {
        for (name, resolved) in &generation.portable.applications {
            let application = &resolved.application;
            if application.links.iter().chain(&application.after).any(|other| passed.contains(other)) {
                passed.insert(name.clone());
            }
        }
    }
    let first = plan.steps.iter().position(|planned| match planned.step.application() {
        Some(name) => !passed.contains(name),
        None => !matches!(planned.step, Step::Commit { .. }) || passed.is_empty(),
    });
    first.and_then(|at| plan.steps.get(at))
}
