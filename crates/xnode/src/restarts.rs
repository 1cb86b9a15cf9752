//! Restarts: instances of an application started anew, without a new version.
//!
//! A restart is a wish, and so it is one mark beside the application: who asked, and the number of the last start of each instance that is meant. An instance
//! is due as long as that is still its last one. So the planner finds after any death which are left, nothing has to be taken back, and an instance that was
//! started meanwhile for another reason is started no second time.

pub(crate) mod ended;
pub mod refusal;

use std::collections::{BTreeMap, BTreeSet};

use openmesh_blueprint::Generation;
use openmesh_blueprint::document::{Name, SwitchKind, Wish};
use openmesh_blueprint::inventory::InstanceId;
use openmesh_blueprint::plan::wanted;
use openmesh_primitives::Timestamp;

pub use refusal::NoRestart;

use crate::Door;
use crate::agent::Agent;
use crate::error::XnodeError;
use crate::guard::lock;
use crate::look::Look;
use crate::marks::{self, RESTART, RestartEnd, RestartMark, STARTED, StartedMark};

/// Way of a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// One instance after another; the others have the traffic meanwhile.
    Rolling,
    /// All at once, while requests wait at the door.
    Held,
}

/// A restart that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restart {
    /// Its number among those of the application, from 1.
    pub number: u64,
    /// Instances that it starts anew.
    pub instances: BTreeSet<InstanceId>,
    /// Its way.
    pub way: Way,
}

/// Whoever asks for a restart, and why.
#[derive(Clone, Copy, Debug)]
pub struct Wished<'a> {
    /// Whoever asks.
    pub by: &'a str,
    /// Reason.
    pub reason: &'a str,
    /// Name of the one instance that is meant, or its number; none for all.
    pub instance: Option<&'a str>,
}

/// Instances that a restart starts anew, with its way; or the reason for which there is none.
///
/// # Errors
/// See [`NoRestart`].
pub fn meant(look: &Look, name: &Name, instance: Option<&str>) -> Result<(BTreeSet<InstanceId>, Way), NoRestart> {
    let generation = look.wanted.as_ref();
    let resolved = generation.and_then(|wanted| Some((wanted, wanted.portable.applications.get(name)?)));
    let Some((generation, resolved)) = resolved else {
        let known = generation.into_iter().flat_map(|wanted| wanted.portable.applications.keys());
        return Err(NoRestart::NoApplication { name: name.clone(), known: names(known) });
    };
    let application = &resolved.application;
    if application.wish != Wish::Running {
        return Err(NoRestart::NotRunning { name: name.clone(), wish: application.wish });
    }
    check_settled(look, generation, name)?;
    if let Some(cause) = held(look, name) {
        return Err(NoRestart::Held { name: name.clone(), cause });
    }
    let observed = look.inventory.applications.get(name);
    let there = |id: &InstanceId| observed.is_some_and(|found| found.instances.contains_key(id));
    let all: BTreeSet<InstanceId> = wanted(generation, name).into_iter().filter(there).collect();
    let is_meant =
        |id: &InstanceId| instance.is_none_or(|asked| asked == id.to_string() || asked.parse() == Ok(id.index));
    let chosen: BTreeSet<InstanceId> = all.iter().filter(|id| is_meant(id)).cloned().collect();
    if chosen.is_empty() {
        let instance = instance.unwrap_or("any").to_string();
        return Err(NoRestart::NoInstance { name: name.clone(), instance, known: names(all.iter()) });
    }
    let rolls = application.instances > 1 && application.switch_kind() == SwitchKind::Overlap;
    Ok((chosen, if rolls { Way::Rolling } else { Way::Held }))
}

/// Fails where a version of an application is on its way: it starts anew with that, and what was let in to it is counted from its admission on.
fn check_settled(look: &Look, generation: &Generation, name: &Name) -> Result<(), NoRestart> {
    let current = look.inventory.current;
    let before = look.serving.as_ref().and_then(|serving| serving.revision(name));
    match before {
        _ if generation.number == current => Ok(()),
        Some(before) if generation.revision(name) == Some(before.clone()) => Ok(()),
        Some(_) => Err(NoRestart::OnItsWay { name: name.clone(), wanted: generation.number, serves: current }),
        None => Err(NoRestart::First { name: name.clone(), wanted: generation.number }),
    }
}

/// Cause for which an application is held.
fn held(look: &Look, name: &Name) -> Option<String> {
    let refusals = match look.plan.as_ref()? {
        Ok(plan) => &plan.held,
        Err(refusals) => refusals,
    };
    refusals.iter().find(|refusal| refusal.application() == Some(name)).map(ToString::to_string)
}

fn names<T: ToString>(names: impl Iterator<Item = T>) -> String {
    let names: Vec<String> = names.map(|name| name.to_string()).collect();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

impl Agent {
    /// Lets instances of an application be started anew. What was asked for before and is not done yet stays asked for.
    ///
    /// # Errors
    /// A refusal; or a mark cannot be read or written, and then nothing was asked for.
    pub fn restart(&self, look: &Look, name: &Name, wished: Wished<'_>, door: Door<'_>) -> Result<Restart, XnodeError> {
        let (instances, way) = meant(look, name, wished.instance)?;
        let paths = &self.machine().paths;
        let path = paths.application(name).join(RESTART);
        let before: Option<RestartMark> = marks::find(&path)?;
        let number = before.as_ref().map_or(0, |before| before.number) + 1;
        let mut after = BTreeMap::new();
        for id in wanted_of(look, name) {
            let started: Option<StartedMark> = marks::find(&paths.instance(name, &id).join(STARTED))?;
            let is_left = before.as_ref().is_some_and(|before| before.is_due(&id, started.as_ref()));
            if is_left || instances.contains(&id) {
                after.insert(id.to_string(), started.map_or(0, |started| started.number));
            }
        }
        let (by, reason) = (wished.by.to_string(), wished.reason.to_string());
        let mark = RestartMark { number, by, reason, at: Timestamp::now(), after, is_told: false };
        marks::write(&path, &mark, "restart.mark", door)?;
        Ok(Restart { number, instances, way })
    }

    /// Takes the restarts that are over. One comes again until [`Agent::restart_is_told`] was heard of it: whoever takes it may die before it is written down.
    pub fn take_restarts(&self) -> BTreeMap<Name, RestartEnd> {
        std::mem::take(&mut *lock(&self.machine().memory.restarts))
    }

    /// Notes that the end of a restart was told. A later one stays as it is.
    ///
    /// # Errors
    /// The mark cannot be read or written.
    pub fn restart_is_told(&self, name: &Name, number: u64, door: Door<'_>) -> Result<(), XnodeError> {
        let path = self.machine().paths.application(name).join(RESTART);
        match marks::find::<RestartMark>(&path)? {
            Some(mark) if mark.number == number && !mark.is_told => {
                marks::write(&path, &RestartMark { is_told: true, ..mark }, "restart.told", door)
            }
            _ => Ok(()),
        }
    }
}

fn wanted_of(look: &Look, name: &Name) -> BTreeSet<InstanceId> {
    look.wanted.as_ref().map(|generation| wanted(generation, name)).unwrap_or_default()
}
