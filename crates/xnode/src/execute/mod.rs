//! Effects of the steps of a plan.

mod images;
mod instances;
mod traffic;
mod volumes;

use openmesh_blueprint::document::Name;
use openmesh_blueprint::generation::Generation;
use openmesh_blueprint::step::{Rubbish, Step};

use crate::agent::Progress;
use crate::error::XnodeError;
use crate::observe::Seen;
use crate::{Door, Machine, marks, network};

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
            Step::Grow { volume, size } => self.grow(volume, *size)?,
            Step::Snapshot { volume, from, to } => self.snapshot(volume, *from, *to)?,
            Step::Restore { volume, to, .. } => self.restore(volume, *to)?,
            Step::Run { application, .. } => return Err(unsupported(application, "a job of a switch")),
            Step::Create { application, instance } => self.create(application, instance)?,
            Step::Start { application, instance } => return self.start(application, instance),
            Step::Gate { application, instance, within } => return self.gate(application, instance, *within),
            Step::Admit { application, revision, instances, lines } => {
                self.admit(application, revision, *instances, lines)?;
            }
            Step::Hold { application, .. } => self.set_door(application, &marks::DoorMark::Holding)?,
            Step::Shut { application, page } => {
                let door = if *page { marks::DoorMark::Maintenance } else { marks::DoorMark::Closed };
                self.set_door(application, &door)?;
            }
            Step::Drain { .. } => {}
            Step::Stop { application, instance, kill_after } => return self.stop(application, instance, *kill_after),
            Step::Publish { application, port, at } => self.publish(application, port, *at)?,
            Step::Retract { at, .. } => self.retract(*at)?,
            Step::Probation { application, revision, .. } => self.pass_probation(application, revision)?,
            Step::Commit { number } => {
                marks::point(&self.machine.paths.current(), *number, "generation.commit", self.door)?;
            }
            Step::Collect(Rubbish::Instance { application, instance, .. }) => self.collect(application, instance)?,
            Step::Collect(Rubbish::Line { volume, line }) => self.drop_line(volume, *line)?,
            Step::Collect(Rubbish::Volume { volume }) => self.collect_volume(volume)?,
        }
        Ok(Progress::Done)
    }

    /// Removes an instance that was begun or removed halfway, and that the generation does not want: no inventory shows it. True where there was one.
    pub fn clear_half_made(&self) -> Result<bool, XnodeError> {
        for (name, found) in &self.seen.instances {
            let wanted = self.generation.revision(name);
            for (id, _) in found.iter().filter(|(_, made)| made.is_none()) {
                if Some(&id.revision) != wanted.as_ref() {
                    self.collect(name, id)?;
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Brings the network to what instances and marks ask for now.
    pub fn settle_network(&self) -> Result<(), XnodeError> {
        let instances = crate::applications::read(&self.machine.paths)?;
        network::settle(self.machine, network::subnet(self.generation), &instances, self.door).map(drop)
    }
}

fn unsupported(application: &Name, what: &'static str) -> XnodeError {
    XnodeError::Unsupported { application: application.clone(), what }
}
