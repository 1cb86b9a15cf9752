//! Effects of the steps of a plan.

pub(crate) mod ends;
mod images;
mod instances;
pub(crate) mod jobs;
mod probation;
mod room;
mod runs;
mod traffic;
mod volumes;

use std::collections::{BTreeMap, BTreeSet};

use openmesh_blueprint::document::Name;
use openmesh_blueprint::generation::Generation;
use openmesh_blueprint::plan::wanted;
use openmesh_blueprint::step::{Rubbish, Step};

pub(crate) use images::lease;
pub(crate) use instances::collect;
pub(crate) use probation::{forget, forget_in};
pub(crate) use room::{Room, usage as room_usage};

use crate::error::XnodeError;
use crate::instance::Wanted;
use crate::observe::Seen;
use crate::progress::Progress;
use crate::{Door, Machine, applications, marks, network};

/// Surroundings of a step.
pub(crate) struct Work<'a> {
    /// The machine.
    pub machine: &'a Machine,
    /// The wanted generation.
    pub generation: &'a Generation,
    /// The machine as it was found.
    pub seen: &'a Seen,
    /// Door of effects.
    pub door: Door<'a>,
}

impl Work<'_> {
    /// Does a step, or goes on with it.
    pub async fn step(&self, step: &Step) -> Result<Progress, XnodeError> {
        match step {
            Step::Fetch { image, .. } => self.fetch(image).await?,
            Step::Unpack { image, .. } => self.unpack(image)?,
            Step::MakeVolume { volume, size } => self.make_volume(volume, *size)?,
            Step::Mount { volume } => self.mount(volume)?,
            Step::Mend { volume, .. } => self.mend(volume)?,
            Step::Revive { volume } => self.revive(volume)?,
            Step::Retire { volume, disposal } => self.retire(volume, *disposal)?,
            Step::Grow { volume, size } => self.grow(volume, *size)?,
            Step::Snapshot { volume, from, to } => {
                // A run beside would write to a line that is cloned at this moment.
                let words = "its application was switched to another version";
                ends::end_runs(self.machine, &volume.application, words, self.door)?;
                self.snapshot(volume, *from, *to)?;
            }
            Step::Restore { volume, to, .. } => self.restore(volume, *to)?,
            Step::Run { application, revision, job } => return self.run_job(application, revision, job),
            Step::Create { application, instance } => self.create(application, instance)?,
            Step::Start { application, instance } => return self.start(application, instance),
            Step::Gate { application, instance, within } => return self.gate(application, instance, *within),
            Step::Admit { application, revision, instances, lines } => {
                return self.admit(application, revision, *instances, lines);
            }
            Step::Hold { application, .. } => return self.set_door(application, &marks::DoorMark::Holding),
            Step::Withdraw { application, instance, instances } => {
                return self.withdraw(application, instance, *instances);
            }
            Step::Shut { application, page } => {
                let door = if *page { marks::DoorMark::Maintenance } else { marks::DoorMark::Closed };
                return self.set_door(application, &door);
            }
            Step::Drain { application, instance, .. } => return self.drain(application, instance),
            Step::Stop { application, instance, kill_after } => return self.stop(application, instance, *kill_after),
            Step::Publish { application, port, at } => return self.publish(application, port, *at),
            Step::Retract { application, at } => return self.retract(application, *at),
            Step::Probation { application, revision, time } => return self.watch(application, revision, *time),
            Step::Commit { number } => {
                marks::point(&self.machine.paths.current(), *number, "generation.commit", self.door)?;
            }
            Step::Collect(Rubbish::Instance { application, instance, .. }) => self.collect(application, instance)?,
            Step::Collect(Rubbish::Line { volume, line }) => self.drop_line(volume, *line)?,
            Step::Collect(Rubbish::Volume { volume }) => self.collect_volume(volume)?,
        }
        Ok(Progress::Done)
    }

    /// Removes instances that were begun or removed halfway, and that no generation of these wants: no inventory shows them. True where there was one.
    /// Errors are each application's own.
    pub fn clear_half_made(&self, generations: &[&Generation]) -> (bool, BTreeMap<Name, String>) {
        let (mut cleared, mut faults) = (false, BTreeMap::new());
        for (name, found) in &self.seen.instances {
            let wanted: BTreeSet<_> = generations.iter().flat_map(|generation| wanted(generation, name)).collect();
            for id in found.iter().filter(|(id, made)| made.is_none() && !wanted.contains(*id)).map(|(id, _)| id) {
                match self.collect(name, id) {
                    Ok(()) => cleared = true,
                    Err(error) => drop(faults.insert(name.clone(), format!("removing {id}: {error}"))),
                }
            }
        }
        (cleared, faults)
    }

    /// Brings the network to what instances and marks ask for now. Returns the applications that are not served.
    pub fn settle_all(&self) -> Result<BTreeMap<Name, String>, XnodeError> {
        let read = applications::read(&self.machine.paths)?;
        let mut instances = read.instances;
        // One whose note cannot be read keeps the link that its generation says.
        for (name, ids) in read.unread {
            for id in ids.into_keys().filter(|id| self.generation.revision(&name).as_ref() == Some(&id.revision)) {
                if let Ok(made) = Wanted::of(self.machine, self.generation, &name, &id).and_then(|one| one.made()) {
                    instances.entry(name.clone()).or_default().insert(id, Some(made));
                }
            }
        }
        let settled = network::settle(self.machine, network::subnet(self.generation), &instances, self.door)?;
        Ok(settled.faults)
    }

    /// The same for one application: the trouble of another one is not its own.
    pub fn settle_network(&self, name: &Name) -> Result<(), XnodeError> {
        match self.settle_all()?.remove(name) {
            Some(words) => Err(XnodeError::Instance { application: name.clone(), words }),
            None => Ok(()),
        }
    }
}
