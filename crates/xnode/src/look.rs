//! The machine and its applications for people: what is wanted, what is there, and the way from the one to the other.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::PathBuf;

use openmesh_blueprint::document::Name;
use openmesh_blueprint::inventory::InstanceId;
use openmesh_blueprint::plan::Plan;
use openmesh_blueprint::refusal::Refusal;
use openmesh_blueprint::{Generation, Inventory, plan};
use openmesh_shim::protocol::Status;

use crate::agent::{Agent, distinct};
use crate::error::XnodeError;
use crate::events::Event;
use crate::marks::{self, RESTART, RestartMark};
use crate::observe::observe;
use crate::paths::instance_name;
use crate::shims::{self, Shim};
use crate::{Machine, applications};

/// An instance with what its shim says.
#[derive(Clone, Debug)]
pub struct InstanceLook {
    /// Its address.
    pub address: Ipv4Addr,
    /// Its shim's last word; none before it ran.
    pub status: Option<Status>,
    /// The shim lives.
    pub is_watched: bool,
    /// Folder of its log.
    pub logs: PathBuf,
}

/// A machine at one moment.
#[derive(Clone, Debug)]
pub struct Look {
    /// As it was found.
    pub inventory: Inventory,
    /// Instances by application. One that is half made is not among them.
    pub instances: BTreeMap<Name, BTreeMap<InstanceId, InstanceLook>>,
    /// Last restart of each application that was asked for.
    pub restarts: BTreeMap<Name, RestartMark>,
    /// The wanted generation; none before the first.
    pub wanted: Option<Generation>,
    /// The one that serves, where there is one.
    pub serving: Option<Generation>,
    /// The way to the wanted one, or every refusal; none without a wanted one.
    pub plan: Option<Result<Plan, Vec<Refusal>>>,
}

/// Last word of the shim of an instance, and whether it lives. One that does not answer is a fault of its application, which the plan names.
fn ask(machine: &Machine, name: &Name, id: &InstanceId) -> (Option<Status>, bool) {
    let is_silent = machine.memory.silent.recent(&instance_name(name, id)).is_some();
    let folder = machine.paths.instance(name, id);
    let shim = if is_silent { Shim::None } else { shims::find(&folder).unwrap_or(Shim::None) };
    match shim {
        Shim::None => (None, false),
        Shim::Living(status) => (Some(*status), true),
        Shim::Ended(status) => (Some(*status), false),
    }
}

impl Agent {
    /// Looks at the machine, and changes nothing.
    ///
    /// # Errors
    /// A pointer, a mark or a store cannot be read.
    pub fn look(&self) -> Result<Look, XnodeError> {
        let machine = self.machine();
        let (wanted, serving) = match self.present()? {
            Some((wanted, serving)) => (Some(wanted), serving),
            None => (None, None),
        };
        let generations = distinct(wanted.as_deref(), serving.as_deref());
        let mut seen = observe(machine, &generations)?;
        let mut instances: BTreeMap<Name, BTreeMap<InstanceId, InstanceLook>> = BTreeMap::new();
        for (name, found) in &seen.instances {
            for (id, made) in found {
                let Some(made) = made else { continue };
                let key = (name.clone(), id.clone());
                let (status, is_watched) = match seen.statuses.remove(&key) {
                    Some(status) => (Some(status), seen.watched.contains(&key)),
                    // It was not asked yet, since another one of its application was not seen whole.
                    None => ask(machine, name, id),
                };
                let logs = machine.paths.log(name, id);
                let look = InstanceLook { address: made.address, status, is_watched, logs };
                instances.entry(name.clone()).or_default().insert(id.clone(), look);
            }
        }
        // One that cannot be read is its application's fault, which the plan names.
        let restart = |name: &Name| marks::find(&machine.paths.application(name).join(RESTART)).ok().flatten();
        let restarts = instances.keys().filter_map(|name| Some((name.clone(), restart(name)?))).collect();
        let plan = wanted.as_deref().map(|wanted| plan(&seen.inventory, wanted, serving.as_deref()));
        let (wanted, serving) = (wanted.as_deref().cloned(), serving.as_deref().cloned());
        Ok(Look { inventory: seen.inventory, instances, restarts, wanted, serving, plan })
    }

    /// Folders of the logs of an application's instances: those that are there, and those of versions that were replaced, as long as a generation that
    /// has them is kept.
    ///
    /// # Errors
    /// Their notes, or the folder of logs, cannot be read.
    pub fn logs(&self, name: &Name) -> Result<BTreeMap<InstanceId, PathBuf>, XnodeError> {
        let paths = &self.machine().paths;
        let found = applications::read(paths)?.instances.remove(name).unwrap_or_default();
        let kept = applications::names(&paths.logs(name))?.into_iter().filter_map(|folder| folder.parse().ok());
        Ok(found.into_keys().chain(kept).map(|id| (id.clone(), paths.log(name, &id))).collect())
    }

    /// Lists of nft that were made so far, each by a program: as long as nobody changes a rule on this machine no look makes one.
    pub fn lists_made(&self) -> u64 {
        self.machine().memory.listings.made()
    }

    /// Takes the events that came up since they were last taken, oldest first: what was found and repaired beside the steps of plans, and what lasts or is
    /// over. They are kept for one taker, and the oldest are dropped where nobody takes them.
    pub fn take_events(&self) -> Vec<Event> {
        self.machine().memory.events.take()
    }

    /// Everything that is not as it should be at present and holds nobody, in words, by application.
    pub fn findings(&self) -> BTreeSet<(Option<Name>, String)> {
        self.machine().memory.events.last()
    }
}
