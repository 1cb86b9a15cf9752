//! The loop of an agent: look, plan, do the first step.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use openmesh_blueprint::document::Name;
use openmesh_blueprint::inventory::InstanceId;
use openmesh_blueprint::plan::{NextStep, Plan};
use openmesh_blueprint::probation::Admitted;
use openmesh_blueprint::{Generation, Refusal, Returning, plan, returning};

use crate::begun::begun;
use crate::error::XnodeError;
use crate::execute::ends::end_runs;
use crate::execute::{Work, collect, forget, forget_in, lease};
use crate::long::attended;
use crate::observe::{Seen, observe};
use crate::paths::instance_name;
use crate::progress::Progress;
use crate::{Door, Machine, applications, chores, door, marks};

/// A step that is about to be done, and what is said beside it.
#[derive(Clone, Copy, Debug)]
pub struct Turn<'a> {
    /// The plan that is executed.
    pub plan: &'a Plan,
    /// The step; none where nothing is left to do now.
    pub next: Option<&'a NextStep<'a>>,
    /// Refusals of the wanted generation, when the plan is that of the one that serves.
    pub refused: &'a [Refusal],
    /// The way back, where the wanted generation has failed: whoever asked for the step makes it the wanted one.
    pub returning: Option<&'a Returning>,
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
        forget(&self.machine, generation, door)?;
        marks::point(&self.machine.paths.target(), generation.number, "generation.target", door)
    }

    /// The wanted generation, and the one that serves where it is another one; none before the first.
    ///
    /// # Errors
    /// A pointer or a generation cannot be read.
    pub fn generations(&self) -> Result<Option<(Generation, Option<Generation>)>, XnodeError> {
        let found = self.present()?;
        Ok(found.map(|(wanted, serving)| (Generation::clone(&wanted), serving.as_deref().cloned())))
    }

    /// The same as they are kept in memory, for looks.
    ///
    /// # Errors
    /// See [`Agent::generations`].
    pub(crate) fn present(&self) -> Result<Option<Present>, XnodeError> {
        let paths = &self.machine.paths;
        let (target, current) = (marks::pointer(&paths.target())?, marks::pointer(&paths.current())?);
        if target == 0 {
            return Ok(None);
        }
        let generation = |number| self.machine.memory.generations.generation(paths, number);
        let serving = if current == 0 { None } else { Some(generation(current)?) };
        Ok(Some((generation(target)?, serving)))
    }

    /// Addresses of the instances that are there, for the resolver of the next generation.
    ///
    /// # Errors
    /// Their notes cannot be read.
    pub fn busy(&self) -> Result<BTreeMap<Ipv4Addr, (Name, InstanceId)>, XnodeError> {
        let mut busy = BTreeMap::new();
        for (name, found) in applications::read(&self.machine.paths)?.instances {
            for (id, made) in found {
                busy.extend(made.map(|made| (made.address, (name.clone(), id))));
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
        let read = applications::read(&self.machine.paths)?;
        for id in read.instances.get(name).into_iter().flatten().map(|(id, _)| id) {
            pids.extend(self.machine.group(&instance_name(name, id)).processes()?);
        }
        Ok(pids)
    }

    /// Ends every instance and takes everything of the agent away from the machine, its data, images and generations apart: volumes are unmounted and kept.
    ///
    /// # Errors
    /// The first failure; asking again goes on.
    pub async fn remove_everything(&self, door: Door<'_>) -> Result<(), XnodeError> {
        let (machine, paths) = (&self.machine, &self.machine.paths);
        let read = applications::read(paths)?;
        for (name, found) in &read.instances {
            end_runs(machine, name, "the agent was removed from this machine", door)?;
            let unread = read.unread.get(name).into_iter().flatten().map(|(id, _)| id);
            for id in found.keys().chain(unread) {
                collect(machine, name, id, door)?;
            }
            marks::remove(&paths.application(name).join("door.json"), "door.remove", door)?;
        }
        for id in machine.volumes.observe()?.volumes.into_keys() {
            machine.volumes.unmount(id, door)?;
        }
        marks::remove(&paths.published(), "published.remove", door)?;
        let listings = &machine.memory.listings;
        let context = openmesh_links::Context { marks: &paths.network_marks(), listings, effect: door };
        openmesh_links::remove(&machine.agent, context)?;
        if let Some(carrier) = machine.doors.get() {
            door("door.retire").map_err(XnodeError::file("ending", "the door"))?;
            // One that does not answer is not waited for.
            let _ = carrier.retire(Duration::from_secs(1));
            door("door.retire").map_err(XnodeError::file("ending", "the door"))?;
        }
        Ok(())
    }

    /// The plan for a generation from the machine as it is now.
    ///
    /// # Errors
    /// Every refusal; or the machine cannot be looked at.
    pub fn plan(&self, generation: &Generation, serving: Option<&Generation>) -> Result<Plan, XnodeError> {
        let generations: Vec<&Generation> = [generation].into_iter().chain(serving).collect();
        let mut seen = observe(&self.machine, &generations)?;
        // A generation that is not wanted yet has failed at nothing.
        if generation.number > marks::pointer(&self.machine.paths.target())? {
            forget_in(&mut seen.inventory, generation);
        }
        plan(&seen.inventory, generation, serving).map_err(|refusals| XnodeError::Refused { refusals })
    }

    /// Looks at the machine, plans, and does the first step of the plan.
    ///
    /// # Errors
    /// Every refusal, when nothing is left to do for the generation that serves; or the step has failed, and is first in the next plan.
    pub async fn step(&self, door: Door<'_>) -> Result<Progress, XnodeError> {
        let mut refused = Vec::new();
        let done = self.step_beside(&BTreeSet::new(), &mut |turn| refused = turn.refused.to_vec(), door).await?;
        match done {
            Progress::Rest if !refused.is_empty() => Err(XnodeError::Refused { refusals: refused }),
            done => Ok(done),
        }
    }

    /// As [`Agent::step`], but passes over steps of the applications that are named and of those that depend on them: one that cannot go on now holds up
    /// no other, nor does one that has to be waited for. `begins` hears of each step that is about to be done, or that there is none. A wanted generation
    /// that is refused leaves the one that serves attended: its plan is executed, but for what the wanted one has begun to change.
    ///
    /// # Errors
    /// See [`Agent::step`]; refusals are an error where no generation serves, and else in the turn.
    pub async fn step_beside(
        &self,
        held_up: &BTreeSet<Name>,
        begins: &mut (dyn FnMut(&Turn<'_>) + Send),
        door: Door<'_>,
    ) -> Result<Progress, XnodeError> {
        let Some((target, serving)) = self.present()? else { return Ok(Progress::Rest) };
        let (target, serving): (&Generation, Option<&Generation>) = (&target, serving.as_deref());
        let generations = distinct(Some(target), serving);
        let shut = AtomicBool::new(false);
        let watched = |name: &str| door(name).inspect_err(|_| shut.store(true, Ordering::SeqCst));
        let mut seen = observe(&self.machine, &generations)?;
        chores::round(&self.machine, &mut seen, &generations, &watched);
        // Marks come before their effects, so the network is brought to them first: what a death or somebody else left is repaired.
        let work = Work { machine: &self.machine, generation: target, seen: &seen, door: &watched };
        let mut faults = work.settle_all()?;
        let (cleared, half_made) = work.clear_half_made(&generations);
        if shut.load(Ordering::SeqCst) {
            let mut words = vec!["an effect beside the plan was refused".to_string()];
            words.extend(half_made.into_values());
            return Err(XnodeError::Machine(words.join("; ")));
        }
        if cleared {
            return Ok(Progress::Done);
        }
        faults.extend(half_made);
        seen.add_faults(faults);
        // A disk that takes no lease holds up no repair; it is said when nothing else is left.
        let leased = lease(&self.machine, &generations, seen.inventory.current, door);
        let way = way(&self.machine, &seen, (target, serving), held_up)?;
        let work = Work { machine: &self.machine, generation: way.generation, seen: &seen, door };
        let mut passed: BTreeSet<Name> = held_up.union(&way.left).cloned().collect();
        let mut pause: Option<Duration> = None;
        loop {
            let next = way.plan.next(&seen.inventory, way.generation, &passed);
            if next.is_none() && pause.is_some() {
                break;
            }
            let returning = way.returning.as_ref();
            begins(&Turn { plan: &way.plan, next: next.as_ref(), refused: &way.refused, returning });
            let Some(next) = next else {
                leased?;
                break;
            };
            match attended(&work, &next, (target, serving), &passed).await? {
                // The others go on meanwhile.
                Progress::Wait(time) if !next.applications.is_empty() => {
                    passed.extend(next.applications);
                    pause = Some(pause.map_or(time, |before| before.min(time)));
                }
                progress => return Ok(progress),
            }
        }
        Ok(pause.map_or(Progress::Rest, Progress::Wait))
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

/// The generation that is wanted, and the one that serves; the same one twice where they are one.
pub(crate) type Present = (Arc<Generation>, Option<Arc<Generation>>);

/// The generations that count, each once.
pub(crate) fn distinct<'a>(wanted: Option<&'a Generation>, serving: Option<&'a Generation>) -> Vec<&'a Generation> {
    let other = serving.filter(|serving| wanted.is_none_or(|wanted| wanted.number != serving.number));
    wanted.into_iter().chain(other).collect()
}

/// The plan that is executed.
struct Way<'a> {
    plan: Plan,
    /// Its generation.
    generation: &'a Generation,
    /// Refusals of the wanted generation, where that is another one.
    refused: Vec<Refusal>,
    /// Applications that are left as they are.
    left: BTreeSet<Name>,
    /// The way back, where the wanted one has failed.
    returning: Option<Returning>,
}

/// The plan for the wanted generation; that for the one that serves where it is refused, or is a move of the network that waits for one that is held up.
fn way<'a>(
    machine: &Machine,
    seen: &Seen,
    (target, serving): (&'a Generation, Option<&'a Generation>),
    held_up: &BTreeSet<Name>,
) -> Result<Way<'a>, XnodeError> {
    let other = serving.filter(|serving| serving.number != target.number);
    let refused = match plan(&seen.inventory, target, serving) {
        Ok(mut plan) => {
            if !plan.move_with_all(held_up) || other.is_none() {
                let (refused, left) = (Vec::new(), BTreeSet::new());
                return Ok(Way { plan, generation: target, refused, left, returning: None });
            }
            Vec::new()
        }
        Err(refused) => refused,
    };
    let Some(serving) = other else {
        return Err(XnodeError::Refused { refusals: refused });
    };
    let plan = plan(&seen.inventory, serving, Some(serving)).map_err(|refusals| XnodeError::Refused { refusals })?;
    let returning = returning(&seen.inventory, target, serving, &|name| admitted(machine, target, name));
    Ok(Way { plan, generation: serving, refused, left: begun(&seen.inventory, target, serving), returning })
}

/// Traffic that the door has let in to the version of a generation. What it does not know it may have let in.
fn admitted(machine: &Machine, generation: &Generation, name: &Name) -> Admitted {
    let unknown = Admitted { connections: 1, writing_requests: 1, reading_requests: 0 };
    let Some(revision) = generation.revision(name) else { return unknown };
    door::admitted(machine, name, &revision).unwrap_or(unknown)
}
