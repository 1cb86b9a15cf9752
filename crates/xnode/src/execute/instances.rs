//! Instances made, started, tried, stopped and removed.

use std::time::Duration;

use openmesh_blueprint::document::{Name, Period};
use openmesh_blueprint::inventory::InstanceId;
use openmesh_cage::bundle;
use openmesh_cage::space::{RootFolders, remove_root};
use openmesh_shim::protocol::{Action, Ending, State};

use super::Work;
use crate::agent::Progress;
use crate::error::XnodeError;
use crate::instance::Wanted;
use crate::marks::{self, Trial};
use crate::network;
use crate::paths::instance_name;
use crate::shims::{self, Shim};
use crate::{applications, health, machine};

/// Time beyond an instance's own grace in which its shim must have ended it.
const STOP_SLACK: Duration = Duration::from_secs(30);
/// Pause before an instance is asked again whether it is healthy or has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

impl Work<'_> {
    /// Makes everything of an instance but its processes: namespaces, root, control group, files, bundle, link. The note of what it was made of comes
    /// before the link, which is made for whatever has a note; the bundle is written first, so that a noted instance can be started.
    pub(super) fn create(&self, name: &Name, id: &InstanceId) -> Result<(), XnodeError> {
        let (machine, door) = (self.machine, self.door);
        let wanted = Wanted::of(machine, self.generation, name, id)?;
        let (instance, folder) = (wanted.instance_name(), wanted.folder());
        for folder in [
            machine.paths.application(name),
            machine.paths.instances(name),
            folder.clone(),
            machine.paths.shim(&instance),
        ] {
            machine::make_folder(&folder).map_err(XnodeError::file("making", &folder))?;
        }
        let image = wanted.image()?;
        let namespaces = machine.namespaces(&instance);
        let parent = machine.paths.namespaces(&instance);
        machine::make_folder(&parent).map_err(XnodeError::file("making", &parent))?;
        namespaces.make(&machine.programs.cage, wanted.ids(), door)?;
        self.make_root(&wanted, &image)?;
        let made = wanted.made()?;
        let mut instances = applications::read(&machine.paths)?;
        instances.entry(name.clone()).or_default().insert(id.clone(), Some(made.clone()));
        let net = network::wanted(machine, network::subnet(self.generation), &instances)?;
        let hosts = openmesh_links::texts::hosts(&net, made.address).unwrap_or_default();
        let resolv_conf = openmesh_links::texts::resolv_conf(&machine.resolvers);
        let binds = wanted.write_files(&hosts, &resolv_conf, &wanted.identity(&image)?)?;
        let config = bundle::config(&wanted.instance(&image, binds)?)
            .map_err(|error| XnodeError::Instance { application: name.clone(), words: error.to_string() })?;
        let at = folder.join("bundle");
        machine::make_folder(&at).map_err(XnodeError::file("making", &at))?;
        bundle::write(&config, &at, door).map_err(XnodeError::file("writing", &at))?;
        let group = machine.group(&instance);
        group.make(door)?;
        group.limit(&config.linux.resources, door)?;
        marks::write(&shims::config_file(&folder), &wanted.shim(), "shim.config", door)?;
        marks::write(&folder.join("instance.json"), &made, "instance.note", door)?;
        self.settle_network()
    }

    fn make_root(&self, wanted: &Wanted<'_>, image: &openmesh_image::store::Image) -> Result<(), XnodeError> {
        let (machine, door, instance) = (self.machine, self.door, wanted.instance_name());
        if wanted.resolved.application.root == openmesh_blueprint::document::Root::Writable {
            return Err(super::unsupported(wanted.name, "a writable root"));
        }
        let at = machine.paths.root(&instance);
        // One of an earlier try may have other layers.
        remove_root(&at, &machine.programs.cage, door)?;
        let mut lowers = machine.images.lowers(image)?.folders;
        lowers.push(wanted.write_places()?);
        let root = RootFolders { at, lowers, upper: None };
        Ok(root.make(&machine.programs.cage, &machine.namespaces(&instance).user, door)?)
    }

    /// Starts the shim of an instance, or asks the one that lives. Whatever was made on the memory file system is made again first where the machine
    /// has started anew.
    pub(super) fn start(&self, name: &Name, id: &InstanceId) -> Result<Progress, XnodeError> {
        let (machine, folder) = (self.machine, self.machine.paths.instance(name, id));
        match shims::find(&folder)? {
            Shim::Living(status) if shims::is_up(&status) => {}
            Shim::Living(_) => {
                if let Some(config) = shims::config(&folder)? {
                    shims::ask(&config, Action::Start)?;
                }
            }
            Shim::None | Shim::Ended(_) => {
                let there = machine.namespaces(&instance_name(name, id)).are_there();
                if !there || !machine.paths.shim(&instance_name(name, id)).is_dir() {
                    self.create(name, id)?;
                }
                shims::begin(machine, &folder, self.door)?;
            }
        }
        Ok(Progress::Done)
    }

    /// Tries an instance once; the verdict is a mark for the present life of its shim.
    pub(super) fn gate(&self, name: &Name, id: &InstanceId, within: Period) -> Result<Progress, XnodeError> {
        let wanted = Wanted::of(self.machine, self.generation, name, id)?;
        let folder = wanted.folder();
        let Shim::Living(status) = shims::find(&folder)? else { return Ok(Progress::Wait(LOOK_AGAIN)) };
        let verdict = match status.state {
            State::Running => health::test(&wanted.resolved.application, wanted.address()?),
            _ => Err(match status.ends.last() {
                Some(end) => format!("its first process has ended: {:?}", end.cause),
                None => "it does not run yet".to_string(),
            }),
        };
        let since = self.began(&folder, status.shim_pid)?;
        let failed = match verdict {
            Ok(()) => None,
            Err(_) if since.elapsed().is_ok_and(|waited| waited < Duration::from_millis(within.0)) => {
                return Ok(Progress::Wait(LOOK_AGAIN));
            }
            Err(cause) => Some(format!("not healthy within {within}: {cause}")),
        };
        let trial = Trial { of: status.shim_pid.to_string(), failed };
        marks::write(&folder.join("gate.json"), &trial, "gate.mark", self.door)?;
        Ok(Progress::Done)
    }

    /// Moment since which an instance has been tried: that of the lock of its shim, which is taken when the shim begins.
    fn began(&self, folder: &std::path::Path, _shim: u32) -> Result<std::time::SystemTime, XnodeError> {
        let now = std::time::SystemTime::now;
        let Some(config) = shims::config(folder)? else { return Ok(now()) };
        Ok(std::fs::metadata(&config.socket).and_then(|about| about.modified()).unwrap_or_else(|_| now()))
    }

    /// Asks an instance to end, and waits for it within its own grace.
    pub(super) fn stop(&self, name: &Name, id: &InstanceId, kill_after: Period) -> Result<Progress, XnodeError> {
        let folder = self.machine.paths.instance(name, id);
        let Some(config) = shims::config(&folder)? else { return Ok(Progress::Done) };
        match shims::find(&folder)? {
            Shim::Living(status) => {
                if shims::is_up(&status) {
                    let ending = Ending { signal: None, grace_ms: Some(kill_after.0) };
                    marks::through(self.door, "shim.stop", || Ok(())).map_err(XnodeError::file("stopping", &folder))?;
                    shims::ask(&config, Action::Stop(ending))?;
                }
                let limit = Duration::from_millis(kill_after.0) + STOP_SLACK;
                shims::wait(&config, limit, |status| status.state == State::Stopped)?;
            }
            Shim::Ended(status) => {
                openmesh_shim::state::end_orphan(&status)?;
                // What it had wanted is no longer so: the next look takes it for stopped.
                let mut status = *status;
                status.wanted = false;
                openmesh_shim::state::write(&config.state_file(), &status)
                    .map_err(XnodeError::file("writing", config.state_file()))?;
            }
            Shim::None => {
                // It never ran: nothing of it is left to stop.
                self.collect(name, id)?;
            }
        }
        Ok(Progress::Done)
    }

    /// Removes everything of an instance, its note last: a death on the way leaves one that is collected again.
    pub(crate) fn collect(&self, name: &Name, id: &InstanceId) -> Result<(), XnodeError> {
        let (machine, door) = (self.machine, self.door);
        let (instance, folder) = (instance_name(name, id), machine.paths.instance(name, id));
        if let Shim::Living(_) = shims::find(&folder)?
            && let Some(config) = shims::config(&folder)?
        {
            // It ends its instance before itself, and says nothing once it has gone.
            let _ = shims::ask(&config, Action::Leave(Ending { signal: None, grace_ms: Some(0) }))?;
            let _ = shims::wait(&config, STOP_SLACK, |_| false);
        }
        openmesh_cage::driver::delete(&*machine.driver, &machine.container(&instance, &folder), door)?;
        let group = machine.group(&instance);
        group.kill_all(door)?;
        group.remove(door)?;
        remove_root(&machine.paths.root(&instance), &machine.programs.cage, door)?;
        machine.namespaces(&instance).remove(&machine.programs.cage, door)?;
        marks::remove(&machine.paths.namespaces(&instance), "namespaces.folder.remove", door)?;
        marks::remove(&machine.paths.shim(&instance), "shim.folder.remove", door)?;
        marks::remove(&folder, "instance.remove", door)?;
        self.settle_network()
    }
}
