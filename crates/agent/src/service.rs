//! Requests of people to a machine.

mod catalogues;
mod costs;
mod deploy;
mod given;
mod made;
mod restart;
mod terms;
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use openmesh_blueprint::document::{Name, PortRange};
use openmesh_blueprint::generation::{Cause, Disposal, VolumeId};
use openmesh_blueprint::inventory::Holder;
use openmesh_blueprint::resolve::{Allocations, LineChoices};
use openmesh_blueprint::step::{Rubbish, Step};
use openmesh_blueprint::{Document, Generation, Plan, Returning, return_to, rollback};
use openmesh_image::pull;
use openmesh_primitives::Timestamp;
use openmesh_xnode::{Agent, Machine, Paths, marks, open};
use rustix::fs::{FlockOperation, flock};
use tokio::sync::Notify;

pub(crate) use terms::Terms;
pub(crate) use told::with_lines;

use crate::acme::{Issuer, Wishes, machine_clock};
use crate::alerts::Alerts;
use crate::backups::Backups;
use crate::declared::Given;
use crate::drain::refuse as refuse_drained;
use crate::error::AgentError;
use crate::history::History;
use crate::lending::Lending;
use crate::machines::Machines;
use crate::moves::Moves;
use crate::outcomes::{self, AGENT, Outcome};
use crate::publishers::Publishers;
use crate::secrets::{Shared, Vault};
use crate::settings::Settings;
use crate::views::{self, EventKind};
use crate::{belongs, doors, ids, programs};

/// Name of a machine that has none.
const NODE: &str = "xnode";

/// Longest wait for locks that nobody keeps: a program that is being started has every file of its parent open, locks too, until it is executed.
const MOMENT: Duration = Duration::from_secs(5);
/// Pause between two looks at them.
const LOOK: Duration = Duration::from_millis(20);

/// The service of an agent.
pub struct Service {
    settings: Settings,
    agent: Agent,
    /// The door's process; none without a program of one.
    doors: Option<doors::Keeper>,
    vault: Arc<Vault>,
    history: History,
    first_id: u32,
    /// Held while a generation is made: numbers are given once.
    change: tokio::sync::Mutex<()>,
    /// Woken where there is something to do.
    wake: Notify,
    left: std::sync::atomic::AtomicBool,
    work: Arc<Mutex<views::Work>>,
    processes: crate::exec::Processes,
    looks: crate::processes::Looks,
    backups: Backups,
    lending: Lending,
    machines: Machines,
    moves: Moves,
    alerts: Alerts,
    publishers: Publishers,
    wishes: Wishes,
    given: Given,
    _lock: File,
}

/// A change that is asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Whoever asks.
    pub by: String,
    /// Reason, a line for people.
    pub reason: String,
    /// Number of the wanted generation that the caller had seen; none where it does not matter.
    pub expected: Option<u64>,
}

impl Service {
    /// Opens an agent. Blocks, for a moment also where another one holds its locks: one that has just ended.
    ///
    /// # Errors
    /// Another agent of this name runs, a program is missing, or a store cannot be opened.
    pub fn open(settings: Settings) -> Result<Service, AgentError> {
        let begun = Instant::now();
        loop {
            match Service::open_once(settings.clone()) {
                Err(error) if error.is_held() && begun.elapsed() < MOMENT => std::thread::sleep(LOOK),
                opened => return opened,
            }
        }
    }

    fn open_once(settings: Settings) -> Result<Service, AgentError> {
        if !rustix::process::geteuid().is_root() {
            return Err(AgentError::NotRoot);
        }
        belongs::check_begin(&settings)?;
        for folder in [&settings.state, &settings.run] {
            fs::create_dir_all(folder).map_err(AgentError::file("making", folder))?;
        }
        let lock = lock(&settings)?;
        let first_id = ids::first(&settings.ids, &settings.state)?;
        let programs = programs::install(&settings.programs, &settings.state.join("programs"), settings.runc.clone())?;
        let vault = Arc::new(Vault::open(&settings.state)?);
        let history = History::open(&settings.state)?;
        let paths = Paths::new(&settings.state, &settings.run);
        let client = pull::Client::new(pull::Settings::default())?;
        let secrets = Box::new(Shared(vault.clone()));
        let mut machine = Machine::open(settings.name.clone(), paths, programs, client, secrets, &open)?;
        // Its name is held by now: nobody else writes the note.
        belongs::note(&settings)?;
        let backups = Backups::open(&settings.state)?;
        let alerts = Alerts::open(&settings.state)?;
        let publishers = Publishers::open(&settings.state);
        let work = Arc::new(Mutex::new(views::Work::default()));
        let noted = work.clone();
        machine.follow = Box::new(move |bytes| {
            noted.lock().unwrap_or_else(PoisonError::into_inner).bytes = Some((bytes.done, bytes.bytes));
        });
        let issuer = Arc::new(Issuer::open(&settings.state, vault.clone(), machine_clock())?);
        let doors = doors::open(&settings, &machine, first_id, issuer)?;
        let lending = Lending::open(&settings, &machine.paths.programs(), first_id)?;
        Ok(Service {
            given: Given::new(settings.document.clone()),
            machines: Machines::new(&settings.state, vault.clone()),
            moves: Moves::new(&settings.state, vault.clone()),
            settings,
            agent: Agent::new(machine),
            doors,
            vault,
            history,
            first_id,
            change: tokio::sync::Mutex::new(()),
            wake: Notify::new(),
            left: std::sync::atomic::AtomicBool::new(false),
            work,
            processes: crate::exec::Processes::default(),
            looks: crate::processes::Looks::default(),
            backups,
            lending,
            alerts,
            publishers,
            wishes: Wishes::default(),
            _lock: lock,
        })
    }

    /// Its settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The way from generations to the machine.
    pub fn agent(&self) -> &Agent {
        &self.agent
    }

    /// The door's process; none without a program of one.
    pub(crate) fn doors(&self) -> Option<&doors::Keeper> {
        self.doors.as_ref()
    }

    /// The history.
    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    /// Backups.
    pub(crate) fn backups(&self) -> &Backups {
        &self.backups
    }

    /// Room for the backups of other machines.
    pub(crate) fn lending(&self) -> &Lending {
        &self.lending
    }

    /// Machines that join this one, and this one with regard to another Xnode.
    pub(crate) fn machines(&self) -> &Machines {
        &self.machines
    }

    /// Moves of applications between this machine and others.
    pub(crate) fn moves(&self) -> &Moves {
        &self.moves
    }

    /// Holds every change up as long as it is kept.
    pub(crate) async fn hold(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.change.lock().await
    }

    /// Alerts.
    pub(crate) fn alerts(&self) -> &Alerts {
        &self.alerts
    }

    /// Wishes about certificates.
    pub(crate) fn wishes(&self) -> &Wishes {
        &self.wishes
    }

    /// Woken where there is something to do.
    pub(crate) fn wake(&self) -> &Notify {
        &self.wake
    }

    /// Changes the note of the present work.
    pub(crate) fn note_work(&self, change: impl FnOnce(&mut views::Work)) {
        change(&mut self.work.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Counts of processes beside the first ones of instances.
    pub(crate) fn processes(&self) -> &crate::exec::Processes {
        &self.processes
    }

    /// Last looks at the processes of applications.
    pub(crate) fn looks(&self) -> &crate::processes::Looks {
        &self.looks
    }

    /// Values of secrets that the processes of an application may have, which nobody is shown.
    pub(crate) fn secret_values(&self, name: &Name) -> Result<Vec<Vec<u8>>, AgentError> {
        Ok(self.vault.values(self.agent.secret_names(name)?.as_ref()))
    }

    /// The present work.
    pub fn work(&self) -> views::Work {
        self.work.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends the worker after its present step.
    pub fn leave(&self) {
        self.left.store(true, std::sync::atomic::Ordering::SeqCst);
        self.wake.notify_one();
        self.backups.leave();
        self.lending.look_now();
    }

    /// True once the agent leaves.
    pub(crate) fn is_leaving(&self) -> bool {
        self.left.load(std::sync::atomic::Ordering::SeqCst)
    }

    /// Number of the wanted generation; 0 before the first.
    ///
    /// # Errors
    /// The pointer cannot be read.
    pub fn wanted(&self) -> Result<u64, AgentError> {
        Ok(marks::pointer(&self.agent.machine().paths.target())?)
    }

    fn document_file(&self, number: u64) -> PathBuf {
        self.settings.state.join("documents").join(format!("{number}.yaml"))
    }

    /// The document of a generation.
    ///
    /// # Errors
    /// It is not here, or cannot be read.
    pub fn document(&self, number: u64) -> Result<Document, AgentError> {
        let path = self.document_file(number);
        let text = match fs::read_to_string(&path) {
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
                return Err(AgentError::NoDocument { number });
            }
            text => text.map_err(AgentError::file("reading", &path))?,
        };
        Document::parse(&text).map_err(|problems| AgentError::Document { problems })
    }

    /// Facts of this machine from which is chosen.
    fn allocations(&self, disposals: BTreeMap<Name, Disposal>) -> Result<Allocations, AgentError> {
        let look = self.agent.look()?;
        let foreign = look.inventory.ports.iter().filter_map(|(at, holder)| match holder {
            Holder::Foreign(by) => Some(((at.port, at.protocol), by.clone())),
            Holder::Ours { .. } => None,
        });
        let hostname = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let node = [hostname.trim().to_lowercase(), NODE.to_string()].iter().find_map(|name| name.parse().ok());
        let highest = marks::numbers(&self.agent.machine().paths)?.last().copied().unwrap_or(0);
        Ok(Allocations {
            node: node.ok_or_else(|| AgentError::Name(format!("`{NODE}` is no name")))?,
            taken: foreign.collect(),
            busy: self.agent.busy()?,
            highest,
            first_id: self.first_id,
            id_ranges: ids::RANGES,
            secrets: self.secret_versions(),
            committed: look.inventory.current,
            disposals,
            gone: self.gone()?,
            gpus: self.agent.gpus()?,
        })
    }

    /// Volumes that the wanted generation has set aside and of which this machine knows nothing any more.
    fn gone(&self) -> Result<BTreeSet<VolumeId>, AgentError> {
        let wanted = self.wanted()?;
        if wanted == 0 {
            return Ok(BTreeSet::new());
        }
        let machine = self.agent.machine();
        let retired = marks::generation(&machine.paths, wanted)?.placement.retired;
        let found = machine.volumes.observe().map_err(openmesh_xnode::XnodeError::from)?;
        let is_known = |id: &VolumeId| {
            let id = openmesh_volume::Id::try_from(id);
            id.is_ok_and(|id| found.volumes.contains_key(&id) || found.lost.contains(&id))
        };
        Ok(retired.into_keys().filter(|id| !is_known(id)).collect())
    }

    fn cause(asked: &Asked) -> Cause {
        Cause { by: asked.by.clone(), reason: asked.reason.clone(), at: Timestamp::now() }
    }

    fn check_expected(&self, asked: &Asked) -> Result<Option<Generation>, AgentError> {
        let wanted = self.wanted()?;
        match asked.expected {
            Some(expected) if expected != wanted => Err(AgentError::Changed { expected, wanted }),
            _ if wanted == 0 => Ok(None),
            _ => Ok(Some(marks::generation(&self.agent.machine().paths, wanted)?)),
        }
    }

    /// Refuses a change that meets a move of an application between machines, unless that move makes it.
    fn check_moves(&self, previous: Option<&Generation>, document: &Document, terms: &Terms) -> Result<(), AgentError> {
        if self.moves.is_idle()? {
            return Ok(());
        }
        let before = previous.map(|previous| self.document(previous.number)).transpose()?;
        self.moves.check(before.as_ref(), document, terms.of_move)
    }

    /// The generation that serves; none where none does.
    fn serving(&self) -> Result<Option<Generation>, AgentError> {
        let Some((wanted, serving)) = self.agent.generations()? else { return Ok(None) };
        if serving.is_some() {
            return Ok(serving);
        }
        let current = marks::pointer(&self.agent.machine().paths.current())?;
        Ok((current == wanted.number).then_some(wanted))
    }

    /// Plans a generation, and lets it be the wanted one.
    fn want(
        &self,
        generation: &Generation,
        previous: Option<&Generation>,
        document: &Document,
        does: bool,
    ) -> Result<views::Deployment, AgentError> {
        let plan: Plan = self.agent.plan(generation, self.serving()?.as_ref())?;
        let (_, events) = self.history.since(u64::MAX);
        if does {
            self.publishers.keep(document)?;
            self.take(generation, document)?;
            self.publishers.wake().notify_one();
            crate::backups::stop_removed(&self.backups, previous, generation);
        }
        let applications = changed(generation, previous);
        let (cost, line) = self.cost_of(generation, previous, document).unzip();
        let told = self.told(&plan.to_string(), document, &applications);
        let told = with_lines(&told, &line.into_iter().collect::<Vec<String>>());
        Ok(views::Deployment {
            generation: generation.number,
            after: generation.parent,
            plan: self.given.noticed(told, &generation.cause.by, document),
            applications,
            steps: plan.steps.len() as u64,
            destroys: lost(&plan).filter_map(Step::destroys).collect(),
            loses_data: lost(&plan).any(Step::loses_data),
            events,
            cost,
        })
    }

    /// Lets a generation be the wanted one, its document first.
    fn take(&self, generation: &Generation, document: &Document) -> Result<(), AgentError> {
        let path = self.document_file(generation.number);
        marks::replace(&path, document.to_yaml().as_bytes()).map_err(AgentError::file("writing", &path))?;
        self.agent.want(generation, &open)?;
        let Cause { by, reason, .. } = &generation.cause;
        let text = format!("generation {} is wanted by {by}: {reason}", generation.number);
        self.history.note(EventKind::Wanted, generation.number, None, text);
        self.wake.notify_one();
        Ok(())
    }

    /// Lets the next generation bring back what a failed one has changed. Nothing happens where another one is wanted by now. False where
    /// somebody's change is under way: the machine is attended meanwhile, and that change may be the end of the failed one.
    ///
    /// # Errors
    /// The documents or generations cannot be read, there is no such generation, or it cannot be written.
    pub(crate) fn go_back(&self, failed: u64, way: &Returning) -> Result<bool, AgentError> {
        let Ok(_change) = self.change.try_lock() else { return Ok(false) };
        let paths = &self.agent.machine().paths;
        let current = marks::pointer(&paths.current())?;
        if self.wanted()? != failed || current == 0 {
            return Ok(true);
        }
        let (new, old) = (marks::generation(paths, failed)?, marks::generation(paths, current)?);
        let mut document = self.document(current)?;
        document.applications = way.document(&self.document(failed)?.applications, &document.applications);
        let causes = way.causes();
        let reason = format!("generation {failed} has failed: {causes}");
        let cause = Cause { by: AGENT.into(), reason, at: Timestamp::now() };
        let (portable, allocations) = (way.portable(&new, &old), self.allocations(BTreeMap::new())?);
        let made = return_to(&new, portable, &old.placement, &way.lines, &allocations, &document.machine.ports, cause);
        let generation = made.map_err(|reasons| AgentError::Unresolved { reasons })?;
        self.agent.plan(&generation, Some(&old))?;
        let by_name = way.failed.iter().map(|(name, failure)| (name.to_string(), failure.to_string())).collect();
        let outcome = Outcome { cause: causes.clone(), returned_by: generation.number, causes: by_name };
        outcomes::note(&self.settings.state, failed, &outcome)?;
        let text = format!(
            "generation {failed} has failed: {causes}. Generation {} follows: {}",
            generation.number,
            way.consequences(&new, &old)
        );
        self.history.note(EventKind::Returned, failed, way.failed.keys().next().map(ToString::to_string), text);
        self.take(&generation, &document)?;
        Ok(true)
    }

    /// Makes a new generation with the content of an old one, with the present data but for the lines that are named.
    ///
    /// # Errors
    /// The old one is not here; or as [`Service::deploy`].
    pub async fn roll_back(
        &self,
        to: u64,
        lines: &LineChoices,
        asked: &Asked,
        does: bool,
    ) -> Result<views::Deployment, AgentError> {
        self.roll_back_on(to, lines, &Terms::default(), asked, does).await
    }

    /// As [`Service::roll_back`], on terms.
    ///
    /// # Errors
    /// As [`Service::roll_back`].
    pub(crate) async fn roll_back_on(
        &self,
        to: u64,
        lines: &LineChoices,
        terms: &Terms,
        asked: &Asked,
        does: bool,
    ) -> Result<views::Deployment, AgentError> {
        let _change = self.change.lock().await;
        if does && !terms.although_drained {
            refuse_drained(&self.settings)?;
        }
        let paths = &self.agent.machine().paths;
        let old = marks::generation(paths, to)?;
        let Some(present) = self.check_expected(asked)? else {
            return Err(openmesh_xnode::XnodeError::NoGeneration { number: to }.into());
        };
        // The machine stays as it is: applications alone go back.
        let before = self.document(present.number)?;
        let document = Document { applications: self.document(to)?.applications, ..before.clone() };
        tokio::task::block_in_place(|| {
            self.check_moves(Some(&present), &document, terms)?;
            self.moves.check_back(&before, &document)?;
            self.moves.check_lines(lines.keys().map(|(name, _)| name), terms.of_move)?;
            let allocations = self.allocations(BTreeMap::new())?;
            let ports: &PortRange = &document.machine.ports;
            let made = rollback(&present, &old, lines, &allocations, ports, Self::cause(asked));
            let generation = made.map_err(|reasons| AgentError::Unresolved { reasons })?;
            self.want(&generation, Some(&present), &document, does)
        })
    }

    /// Versions of a secret that generations name which are kept: going back to one needs them.
    fn needed(&self, name: &Name) -> Result<BTreeSet<u32>, AgentError> {
        let paths = &self.agent.machine().paths;
        let mut needed = BTreeSet::new();
        for number in marks::numbers(paths)? {
            let generation = marks::generation(paths, number)?;
            needed.extend(generation.placement.applications.values().filter_map(|placed| placed.secrets.get(name)));
        }
        Ok(needed)
    }

    /// Sets a secret, and returns its version. Applications get it by the next deployment. Blocks: not for an asynchronous task.
    ///
    /// # Errors
    /// It is empty or too large, or cannot be written.
    pub fn set_secret(&self, name: &Name, value: &[u8]) -> Result<u32, AgentError> {
        let _change = self.change.blocking_lock();
        let version = self.vault.set(name, value, &self.needed(name)?)?;
        let text = format!("version {version} of the secret `{name}` was set");
        self.history.note(EventKind::Secret, self.wanted()?, None, text);
        Ok(version)
    }

    /// Removes a secret that no application and no part of the machine has. Blocks: not for an asynchronous task.
    ///
    /// # Errors
    /// It is not there, or in use.
    pub fn remove_secret(&self, name: &Name) -> Result<(), AgentError> {
        let _change = self.change.blocking_lock();
        let used = self.secrets()?.into_iter().find(|secret| secret.name == name.as_str());
        if let Some(secret) = used.filter(|secret| !secret.used_by.is_empty()) {
            return Err(AgentError::SecretUsed { name: name.clone(), by: names(secret.used_by.keys()) });
        }
        self.vault.remove(name)?;
        self.history.note(EventKind::Secret, self.wanted()?, None, format!("the secret `{name}` was removed"));
        Ok(())
    }

    /// Secrets without their values.
    ///
    /// # Errors
    /// The generations cannot be read.
    pub fn secrets(&self) -> Result<Vec<views::Secret>, AgentError> {
        let generations = self.agent.generations()?;
        let generations: Vec<&Generation> =
            generations.iter().flat_map(|(wanted, serving)| [wanted].into_iter().chain(serving)).collect();
        let mut told = self.alerts.secrets(self)?;
        told.extend(self.wishes.secrets(self)?);
        let view = |(name, (version, at)): (Name, (u32, Timestamp))| {
            let placed = generations.iter().flat_map(|generation| &generation.placement.applications);
            let applications =
                placed.filter_map(|(user, placed)| Some((user.to_string(), *placed.secrets.get(&name)?)));
            let machine = generations.iter().flat_map(|generation| generation.portable.machine_secrets());
            let machine = machine.filter(|(_, secret)| **secret == name).map(|(user, _)| (user, version));
            let told = told.iter().filter(|(_, secret)| *secret == name);
            let told = told.map(|(user, _)| (user.clone(), version));
            let used_by = applications.chain(machine).chain(told).collect();
            views::Secret { name: name.to_string(), version, at, used_by }
        };
        Ok(self.vault.list().into_iter().map(view).collect())
    }
}

/// Applications that a generation changes.
fn changed(generation: &Generation, previous: Option<&Generation>) -> Vec<String> {
    let of = |generation: &Generation, name: &Name| {
        let resolved = generation.portable.applications.get(name).cloned();
        (resolved, generation.revision(name))
    };
    let before = previous.into_iter().flat_map(|previous| previous.portable.applications.keys());
    let all: BTreeSet<&Name> = generation.portable.applications.keys().chain(before).collect();
    let changes = |name: &&Name| previous.is_none_or(|previous| of(previous, name) != of(generation, name));
    all.into_iter().filter(changes).map(ToString::to_string).collect()
}

/// Steps of a plan by which something may be lost, but for an instance's files outside of volumes: every new version loses them, and they are in its memory alone.
fn lost(plan: &Plan) -> impl Iterator<Item = &Step> {
    plan.steps
        .iter()
        .map(|planned| &planned.step)
        .filter(|step| !matches!(step, Step::Collect(Rubbish::Instance { .. })))
}

/// Names in a row, for people.
pub(crate) fn names<T: ToString>(names: impl Iterator<Item = T>) -> String {
    let names: Vec<String> = names.map(|name| name.to_string()).collect();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

/// The agent's lock, for as long as it lives.
fn lock(settings: &Settings) -> Result<File, AgentError> {
    let path = Settings::lock_in(&settings.state);
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(AgentError::file("opening", &path))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(AgentError::Running { name: settings.name.clone(), lock: path }),
        Err(errno) => Err(AgentError::file("locking", &path)(errno.into())),
    }
}
