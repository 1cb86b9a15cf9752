//! Instances made, started, tried, stopped and removed.

use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use openmesh_blueprint::document::{Name, Period};
use openmesh_blueprint::inventory::InstanceId;
use openmesh_cage::bundle;
use openmesh_cage::space::{RootFolders, remove_root};
use openmesh_shim::protocol::{Action, Ending, State, Status};

use super::{Work, ends, room};
use crate::error::XnodeError;
use crate::events::EventKind;
use crate::gpus::{self, Asker, Given, give};
use crate::instance::Wanted;
use crate::marks::{self, Clock, MADE, OVER, STARTED, StartedMark, Trial};
use crate::paths::instance_name;
use crate::progress::Progress;
use crate::shims::{self, Shim};
use crate::{Door, Machine, applications, health, machine, network, texts};

/// Time beyond an instance's own grace in which its shim must have ended it.
const STOP_SLACK: Duration = Duration::from_secs(30);
/// Longest time that a pause on purpose may hold up the end of an instance: a clone of its data takes seconds, and one that is broken is refused.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Shortest time between two starts of an instance's shim: one that ends at once costs no busy loop, and nobody notices a second.
const START_AGAIN: Duration = Duration::from_secs(1);
/// Pause before an instance is asked again whether it is healthy or has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

impl Work<'_> {
    /// Makes everything of an instance but its processes: namespaces, root, control group, files, bundle, link. The note of what it was made of comes
    /// before the link, which is made for whatever has a note; the bundle is written first, so that a noted instance can be started.
    pub(super) fn create(&self, name: &Name, id: &InstanceId) -> Result<(), XnodeError> {
        let (machine, door) = (self.machine, self.door);
        let wanted = Wanted::of(machine, self.generation, name, id)?;
        let (instance, folder) = (wanted.instance_name(), wanted.folder());
        let mut instances = applications::read(&machine.paths)?.instances;
        self.check_moved(name, &instances)?;
        for folder in [
            machine.paths.application(name),
            machine.paths.instances(name),
            folder.clone(),
            machine.paths.shim(&instance),
        ] {
            marks::through(door, "instance.folder", || machine::make_folder(&folder))
                .map_err(XnodeError::file("making", &folder))?;
        }
        // The one that an earlier version kept on the disk is made in memory now, and nothing is left of it.
        marks::sweep(&folder, door)?;
        let old = folder.join("bundle");
        if old.exists() {
            marks::remove(&old, "instance.bundle.remove", door)?;
        }
        let image = wanted.image()?;
        let namespaces = machine.namespaces(&instance);
        let parent = machine.paths.namespaces(&instance);
        machine::make_folder(&parent).map_err(XnodeError::file("making", &parent))?;
        namespaces.make(&machine.programs.cage, wanted.ids(), door)?;
        let gpus = wanted.gpus();
        let asker = Asker { application: name, folder: &folder, first_id: wanted.ids().first, gpus: &gpus };
        let given = give(machine, &asker, door)?;
        self.make_root(&wanted, &image, &given)?;
        let made = wanted.made()?;
        instances.entry(name.clone()).or_default().insert(id.clone(), Some(made.clone()));
        // What is left out of its own network is said when it is settled.
        let gathered = crate::door::Gathered::read(machine, &instances)?;
        let (net, _) = network::wanted(machine, network::subnet(self.generation), &instances, gathered.as_ref())?;
        let hosts = texts::hosts(&net, &texts::named(machine, &instances), made.address).unwrap_or_default();
        let resolv_conf = openmesh_links::texts::resolv_conf(&machine.resolvers());
        let passed = || XnodeError::file("writing the files of", &folder);
        door("instance.files").map_err(passed())?;
        let binds = wanted.write_files(&hosts, &resolv_conf, &wanted.identity(&image)?)?;
        door("instance.files").map_err(passed())?;
        let mut config = bundle::config(&wanted.instance(&image, binds, given)?)
            .map_err(|error| XnodeError::Instance { application: name.clone(), words: error.to_string() })?;
        // Many machines mount their memory file system so, where the kernel lets nobody bind it in another way; it is the same on all of them.
        let sealed = wanted.sealed_files();
        let of_secrets =
            config.mounts.iter_mut().filter(|mount| std::path::Path::new(&mount.source).starts_with(&sealed));
        of_secrets.for_each(|mount| mount.options.push("noexec".into()));
        let at = machine.parts(&instance, &folder).join("bundle");
        machine::make_folder(&at).map_err(XnodeError::file("making", &at))?;
        bundle::write(&config, &at, door).map_err(XnodeError::file("writing", &at))?;
        let group = machine.group(&instance);
        group.make(door)?;
        group.limit(&config.linux.resources, door)?;
        marks::write(&shims::config_file(&folder), &wanted.shim(), "shim.config", door)?;
        marks::write(&folder.join(applications::NOTE), &made, "instance.note", door)?;
        self.settle_network(name)?;
        marks::write(&machine.paths.shim(&instance).join(MADE), &true, "instance.made", door)
    }

    /// Fails as long as the network is another one than the generation's: its instances go before anything is made in the new one.
    fn check_moved(&self, name: &Name, instances: &applications::Instances) -> Result<(), XnodeError> {
        let subnet = network::subnet(self.generation);
        let in_force = network::in_force(subnet, instances);
        if in_force == subnet {
            return Ok(());
        }
        let is_outside = |found: &std::collections::BTreeMap<InstanceId, Option<applications::Made>>| {
            found.values().flatten().any(|made| !subnet.contains(made.address))
        };
        let left: Vec<&str> =
            instances.iter().filter(|(_, found)| is_outside(found)).map(|(name, _)| name.as_str()).collect();
        let words =
            format!("it waits for the network to move from {in_force} to {subnet}: {} is still in it", left.join(", "));
        Err(XnodeError::Instance { application: name.clone(), words })
    }

    fn make_root(
        &self,
        wanted: &Wanted<'_>,
        image: &openmesh_image::store::Image,
        given: &Given,
    ) -> Result<(), XnodeError> {
        let (machine, door, instance) = (self.machine, self.door, wanted.instance_name());
        let at = machine.paths.root(&instance);
        // One of an earlier try may have other layers.
        remove_root(&at, &machine.programs.cage, door)?;
        let mut lowers = machine.images.lowers(image)?.folders;
        let passed = || XnodeError::file("writing the places of", wanted.folder());
        door("instance.places").map_err(passed())?;
        lowers.push(wanted.write_places(given)?);
        door("instance.places").map_err(passed())?;
        let application = &wanted.resolved.application;
        let upper = match (&application.root, &application.limits.disk) {
            (openmesh_blueprint::document::Root::ReadOnly, _) => None,
            (_, Some(disk)) => Some(room::make(machine, &instance, &wanted.folder(), disk.0, door)?),
            (_, None) => {
                let words = "the generation has no limit on its writable root".into();
                return Err(XnodeError::Instance { application: wanted.name.clone(), words });
            }
        };
        let root = RootFolders { at, lowers, upper };
        Ok(root.make(&machine.programs.cage, &machine.namespaces(&instance).user, door)?)
    }

    /// Returns true where everything that `create` makes on the memory file system and in the kernel is there. The last of it is a mark of this run of
    /// the machine: the note beside it is from the run before. Its shim is told where its bundle is, which may have been another place.
    fn is_whole(&self, instance: &str, folder: &std::path::Path) -> Result<bool, XnodeError> {
        let (machine, root) = (self.machine, self.machine.paths.root(instance));
        let bundle = shims::config(folder)?.map(|config| config.bundle);
        if !bundle.is_some_and(|bundle| bundle.join("config.json").exists()) {
            return Ok(false);
        }
        let device = |path: &std::path::Path| std::fs::metadata(path).ok().map(|about| about.dev());
        let mounted = device(&root).is_some_and(|own| root.parent().and_then(device) != Some(own));
        let made = machine.paths.shim(instance).join(MADE).exists();
        Ok(made && mounted && machine.namespaces(instance).are_there() && machine.group(instance).exists())
    }

    /// Starts the shim of an instance, or asks the one that lives. Whatever was made on the memory file system is made again first where the machine
    /// has started anew. What still runs without a shim is ended before.
    pub(super) fn start(&self, name: &Name, id: &InstanceId) -> Result<Progress, XnodeError> {
        let (machine, folder) = (self.machine, self.machine.paths.instance(name, id));
        match shims::find(&folder)? {
            Shim::Living(status) if shims::is_up(&status) => {}
            Shim::Living(_) => {
                if let Some(config) = shims::config(&folder)? {
                    if !gpus::keep(machine, name, &folder, self.door)? {
                        // It is made anew once nobody holds what it was made of.
                        leave(&config, self.door)?;
                        return Ok(Progress::Wait(LOOK_AGAIN));
                    }
                    self.note_start(&folder)?;
                    self.ask(&config, "shim.ask.start", Action::Start)?;
                }
            }
            Shim::None | Shim::Ended(_) => {
                let last = marks::find::<StartedMark>(&folder.join(STARTED))?.filter(|last| !last.is_due);
                let since = last.and_then(|last| last.clock.elapsed());
                if let Some(pause) = since.and_then(|since| START_AGAIN.checked_sub(since)) {
                    return Ok(Progress::Wait(pause.max(LOOK_AGAIN)));
                }
                let instance = instance_name(name, id);
                machine.group(&instance).kill_all(self.door)?;
                if !self.is_whole(&instance, &folder)? || !gpus::keep(machine, name, &folder, self.door)? {
                    self.create(name, id)?;
                }
                self.note_start(&folder)?;
                shims::begin(machine, &folder, self.door)?;
            }
        }
        Ok(Progress::Done)
    }

    /// Asks a living shim, between two passages of the door.
    fn ask(&self, config: &openmesh_shim::Config, effect: &str, action: Action) -> Result<(), XnodeError> {
        let passed = || XnodeError::file("asking", &config.socket);
        (self.door)(effect).map_err(passed())?;
        shims::ask(config, action)?;
        (self.door)(effect).map_err(passed())
    }

    /// Notes a start with its moment; the verdict of an earlier one is gone before.
    fn note_start(&self, folder: &std::path::Path) -> Result<(), XnodeError> {
        let path = folder.join(STARTED);
        let before: Option<StartedMark> = marks::find(&path)?;
        marks::remove(&folder.join("gate.json"), "gate.remove", self.door)?;
        marks::remove(&folder.join(OVER), "over.remove", self.door)?;
        let number = before.map_or(0, |before| before.number) + 1;
        marks::write(&path, &StartedMark { clock: Clock::now(), number, is_due: false }, "start.mark", self.door)
    }

    /// Tries an instance once; the verdict is a mark for its present start. One that has come to rest by itself is not waited for.
    pub(super) fn gate(&self, name: &Name, id: &InstanceId, within: Period) -> Result<Progress, XnodeError> {
        let wanted = Wanted::of(self.machine, self.generation, name, id)?;
        let folder = wanted.folder();
        let policy = shims::policy(wanted.resolved.application.restart);
        let (status, is_over) = match shims::find(&folder)? {
            Shim::Living(status) => {
                let is_over = shims::over(policy, &status).is_some();
                (status, is_over)
            }
            Shim::Ended(status) if shims::over(policy, &status).is_some() => (status, true),
            Shim::None | Shim::Ended(_) => return Ok(Progress::Wait(LOOK_AGAIN)),
        };
        let Some(started) = marks::find::<StartedMark>(&folder.join(STARTED))? else {
            // It was started before starts were noted: its time begins now.
            self.note_start(&folder)?;
            return Ok(Progress::Wait(LOOK_AGAIN));
        };
        let failed = match self.try_once(&wanted, &status) {
            Ok(()) => None,
            Err(cause) if is_over => {
                Some(format!("{cause}, and its policy starts it no more{}", last_words(&wanted, &status)))
            }
            Err(_) if started.clock.elapsed().is_some_and(|waited| waited < Duration::from_millis(within.0)) => {
                return Ok(Progress::Wait(health::pause(&wanted.resolved.application)));
            }
            Err(cause) => Some(format!("not healthy within {within}: {cause}{}", last_words(&wanted, &status))),
        };
        let path = folder.join("gate.json");
        let before = marks::find::<Trial>(&path)?.filter(|trial| trial.of == started.of());
        let attempts = before.map_or(0, |before| before.attempts) + 1;
        let trial = Trial { of: started.of(), failed, at: Some(Clock::now()), attempts };
        marks::write(&path, &trial, "gate.mark", self.door)?;
        Ok(Progress::Done)
    }

    /// One test of an instance's health.
    pub(super) fn try_once(&self, wanted: &Wanted<'_>, status: &Status) -> Result<(), String> {
        match status.state {
            State::Running => health::test(wanted, status),
            // Its work is done, and nothing says that it has to answer.
            State::Stopped if is_done(wanted, status) => Ok(()),
            _ => Err(match status.ends.last() {
                Some(end) => format!("its first process {}", crate::words::end(end)),
                None => "it does not run yet".to_string(),
            }),
        }
    }

    /// Asks an instance to end; it is waited for by asking again. What is frozen is let go on, since it can neither end in its own words nor be killed.
    pub(super) fn stop(&self, name: &Name, id: &InstanceId, kill_after: Period) -> Result<Progress, XnodeError> {
        let folder = self.machine.paths.instance(name, id);
        let Some(config) = shims::config(&folder)? else {
            // Its removal was broken off, or it never got so far that it could run.
            self.collect(name, id)?;
            return Ok(Progress::Done);
        };
        let instance = instance_name(name, id);
        ends::end_beside(self.machine, name, id, self.door)?;
        match shims::find(&folder)? {
            Shim::Living(status) if status.state == State::Stopped && !status.wanted => {}
            Shim::Living(status) => {
                if !self.is_free(name, id, &config, &status)? {
                    return Ok(Progress::Wait(LOOK_AGAIN));
                }
                if shims::is_up(&status) {
                    let ending = Ending { signal: None, grace_ms: Some(kill_after.0) };
                    self.ask(&config, "shim.stop", Action::Stop(ending))?;
                }
                return self.wait_for_end(name, &instance, &status, kill_after);
            }
            Shim::Ended(status) => self.end_orphan(&config, *status, &instance)?,
            // It never ran, or nobody knows how it ended: whatever is left of it is ended with it.
            Shim::None => self.collect(name, id)?,
        }
        Ok(Progress::Done)
    }

    /// Waits for an instance that was asked to end. Its shim kills it after its grace, so that a longer time has a cause that is said.
    fn wait_for_end(
        &self,
        name: &Name,
        instance: &str,
        status: &Status,
        kill_after: Period,
    ) -> Result<Progress, XnodeError> {
        let waited = self.machine.memory.since.lasts(&of_run("stop", instance, status));
        let limit = Duration::from_millis(kill_after.0).saturating_add(STOP_SLACK);
        if waited <= limit {
            return Ok(Progress::Wait(LOOK_AGAIN));
        }
        let words = format!("{instance} does not end {} s after it was asked to, killed or not", waited.as_secs());
        Err(XnodeError::Instance { application: name.clone(), words })
    }

    /// Lets an instance go on that stands still, so that it can end. One that was paused on purpose is left alone for a while: whoever paused it, as for a
    /// clone of its data, is about to let it go on. Returns true where it can be asked to end.
    fn is_free(
        &self,
        name: &Name,
        id: &InstanceId,
        config: &openmesh_shim::Config,
        status: &Status,
    ) -> Result<bool, XnodeError> {
        let (group, instance) = (self.machine.group(&instance_name(name, id)), instance_name(name, id));
        let told = |words: &str| {
            let cause = format!("instance {id} {words}, and is to end: it goes on until it has");
            self.machine.memory.events.tell(EventKind::Repaired, Some(name), cause);
        };
        if let Some(note) = &status.paused {
            if self.machine.memory.since.lasts(&of_run("pause", &instance, status)) < PAUSE_MAX {
                return Ok(false);
            }
            if group.frozen()? {
                group.thaw(self.door)?;
            }
            self.ask(config, "shim.ask.resume", Action::Resume)?;
            told(&format!("was paused ({note})"));
            return Ok(true);
        }
        if group.frozen()? {
            group.thaw(self.door)?;
            told("was frozen");
        }
        if status.first.as_ref().is_some_and(|first| first.stopped_by.is_some()) && shims::is_up(status) {
            let ending = Ending { signal: Some("CONT".into()), grace_ms: None };
            self.ask(config, "shim.ask.continue", Action::Stop(ending))?;
            told("was stopped by a signal");
        }
        Ok(true)
    }

    /// Ends what a dead shim left: its first process, told by its start, and whatever else is in the control group.
    fn end_orphan(&self, config: &openmesh_shim::Config, mut status: Status, instance: &str) -> Result<(), XnodeError> {
        let file = || XnodeError::file("writing", config.state_file());
        let group = self.machine.group(instance);
        // A signal does not reach what is frozen.
        if group.frozen()? {
            group.thaw(self.door)?;
        }
        (self.door)("orphan.end").map_err(file())?;
        openmesh_shim::state::end_orphan(&status)?;
        group.kill_all(self.door)?;
        (self.door)("orphan.end").map_err(file())?;
        // What it had wanted is no longer so: the next look takes it for stopped.
        status.wanted = false;
        marks::through(self.door, "shim.state.write", || openmesh_shim::state::write(&config.state_file(), &status))
            .map_err(file())
    }

    /// Removes everything of an instance, and what the network has of it.
    pub(crate) fn collect(&self, name: &Name, id: &InstanceId) -> Result<(), XnodeError> {
        collect(self.machine, name, id, self.door)?;
        self.settle_network(name)
    }
}

/// Returns true where an application has ended well, by a policy that leaves it so, and has no test of its health.
fn is_done(wanted: &Wanted<'_>, status: &Status) -> bool {
    let application = &wanted.resolved.application;
    application.health.is_none() && shims::over(shims::policy(application.restart), status) == Some(0)
}

/// Key of something that lasts in one run of an instance: in its next run, soon after, it begins anew.
fn of_run(what: &str, instance: &str, status: &Status) -> String {
    format!("{what} {instance} {} {}", status.shim_pid, status.run)
}

/// Last lines of an instance for a verdict; nothing where it wrote none.
fn last_words(wanted: &Wanted<'_>, status: &Status) -> String {
    let last = status.ends.last().filter(|_| status.first.is_none());
    let (first, next) = last.map_or((status.log.oldest, status.log.next), |end| (end.log_first, end.log_next));
    let words = shims::last_words(&wanted.machine.paths.log(wanted.name, wanted.id), first, next);
    if words.is_empty() { String::new() } else { format!("; its last words:\n{}", words.join("\n")) }
}

/// Lets a shim end its instance, and then itself.
fn leave(config: &openmesh_shim::Config, door: Door<'_>) -> Result<(), XnodeError> {
    let passed = || XnodeError::file("asking", &config.socket);
    door("shim.leave").map_err(passed())?;
    // It says nothing once it has gone.
    let _ = shims::ask(config, Action::Leave(Ending { signal: None, grace_ms: Some(0) }))?;
    let _ = shims::wait(config, STOP_SLACK, |_| false);
    door("shim.leave").map_err(passed())
}

/// Removes everything of an instance, its folder last: a death on the way leaves one that is collected again. Its log stays.
pub(crate) fn collect(machine: &Machine, name: &Name, id: &InstanceId, door: Door<'_>) -> Result<(), XnodeError> {
    let (instance, folder) = (instance_name(name, id), machine.paths.instance(name, id));
    let group = machine.group(&instance);
    ends::end_beside(machine, name, id, door)?;
    if group.frozen()? {
        group.thaw(door)?;
    }
    if let Shim::Living(_) = shims::find(&folder)?
        && let Some(config) = shims::config(&folder)?
    {
        leave(&config, door)?;
    }
    openmesh_cage::driver::delete(&*machine.driver, &machine.container(&instance, &folder), door)?;
    group.kill_all(door)?;
    group.remove(door)?;
    remove_root(&machine.paths.root(&instance), &machine.programs.cage, door)?;
    room::remove(machine, &instance, door)?;
    machine.namespaces(&instance).remove(&machine.programs.cage, door)?;
    marks::remove(&machine.paths.namespaces(&instance), "namespaces.folder.remove", door)?;
    marks::remove(&machine.paths.shim(&instance), "shim.folder.remove", door)?;
    marks::remove(&folder, "instance.remove", door)?;
    gpus::release(machine, &folder, door)
}
