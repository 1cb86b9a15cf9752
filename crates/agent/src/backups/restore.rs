//! A backup restored: to a new line of each volume and a generation that chooses it, or to an application of another name (B-59).
//!
//! Nothing is written over data in use. What is restored lies beside them until all of it is there and read back; then it is a line, and then a generation
//! chooses that line. So a restore is undone as every change is: by choosing the line before.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use openmesh_backup::{Owners, Repository, Restoration, open};
use openmesh_blueprint::Document;
use openmesh_blueprint::document::{Application, Name, Wish};
use openmesh_blueprint::generation::{IDS_OF_APPLICATION, Placed};
use openmesh_blueprint::resolve::LineChoices;
use openmesh_primitives::Timestamp;
use openmesh_volume::{Asker, Id as VolumeId, Keeper, RestoredLine};
use openmesh_xnode::marks;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use crate::backups::error::BackupsError;
use crate::backups::find;
use crate::backups::head::{self, Opened, Part};
use crate::backups::jobs::{Done, Job};
use crate::backups::subject::{self, volume_id};
use crate::backups::views::RestoreRequest;
use crate::backups::{room, scratch};
use crate::error::AgentError;
use crate::service::{Asked, Service, Terms, names};
use crate::views::{Deployment, EventKind};

/// Name of restored data in a volume before they are a line.
const RESTORED: &str = "restore";
/// Numbers that are left free before that of a restored line: versions that somebody deploys meanwhile get the next ones.
const LINE_GAP: u32 = 10;

/// A line that restored data became, before a generation chose it: after a death it goes again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Intent {
    volume: String,
    line: u32,
}

/// Lines that were restored, by application and volume, with the ids of the volumes.
pub(crate) type Restored = BTreeMap<(Name, Name), (VolumeId, u32)>;

/// Restores a backup of an application.
///
/// # Errors
/// Whatever stands in its way; then the application is as it was.
pub(crate) fn restore(
    service: &Service,
    runtime: &Handle,
    job: &Job,
    name: &Name,
    request: &RestoreRequest,
) -> Result<Done, AgentError> {
    let subject = subject::find(service, name)?;
    job.say("opens the target");
    let target = find::target(service, &subject)?;
    let repository = target.repository(service)?.metered(job.meter.clone());
    let backup = find::one(service, &repository, name, request.backup.as_deref())?;
    job.say("restores the description");
    let place = head::scratch(service, &format!("{name}.restore"));
    let opened = head::read(&repository, find::id(&backup)?, service.backups().keys.node(), &place)?;
    let reason = format!("backup {} of {name} is restored", backup.id.get(..12).unwrap_or(&backup.id));
    let asked = Asked { by: job.by.clone(), reason, expected: None };
    // What cannot be is refused before anything is made.
    let parts = chosen(&opened, name, &request.volumes)?;
    let to = match &request.as_name {
        Some(text) => plant(service, runtime, job, &opened, &crate::api::name(text)?, &asked)?,
        None => name.clone(),
    };
    let restored = fill_application(service, job, &repository, &opened, &to, &parts)?;
    job.say("makes the generation that chooses the restored data");
    let mut taken = choose(service, runtime, &restored, &asked)?;
    if request.as_name.is_some() {
        runtime.block_on(committed(service, job, &taken))?;
        taken = begin(service, runtime, &opened, &to, &asked)?;
    }
    let text = format!(
        "backup {} of {} is restored to {to}, and generation {} chooses it",
        backup.id.get(..12).unwrap_or(&backup.id),
        backup.at.to_rfc3339(),
        taken.generation
    );
    Ok(Done { text, backup: Some(backup.id), generation: Some((taken.generation, taken.events)) })
}

/// The volumes of a backup that a person wants.
fn chosen<'a>(opened: &'a Opened, name: &Name, wanted: &[String]) -> Result<Vec<(Name, &'a Part)>, AgentError> {
    let all = &opened.head.volumes;
    if let Some(volume) = wanted.iter().find(|volume| !all.contains_key(*volume)) {
        let (application, volume, known) = (name.to_string(), volume.clone(), names(all.keys()));
        return Err(BackupsError::NoVolume { application, volume, here: " in this backup", known }.into());
    }
    let parts = all.iter().filter(|(volume, _)| wanted.is_empty() || wanted.contains(volume));
    let named = |(volume, part): (&String, &'a Part)| -> Result<(Name, &'a Part), AgentError> {
        Ok((crate::api::name(volume)?, part))
    };
    parts.map(named).collect()
}

/// Restores volumes of a backup to new lines of an application's volumes. Either all of them are lines then, or none.
///
/// # Errors
/// The application is not wanted, has no volume of a name, there is no room, or the repository fails.
pub(crate) fn fill_application(
    service: &Service,
    job: &Job,
    repository: &Repository<'_>,
    opened: &Opened,
    to: &Name,
    parts: &[(Name, &Part)],
) -> Result<Restored, AgentError> {
    let wanted = service.agent().generations()?.map(|(wanted, _)| wanted);
    let placed = wanted.as_ref().and_then(|wanted| wanted.placement.applications.get(to));
    let known = wanted.iter().flat_map(|wanted| wanted.placement.applications.keys());
    let missing = || AgentError::NoApplication { name: to.to_string(), known: names(known) };
    let placed = placed.ok_or_else(missing)?;
    let mut volumes = Vec::new();
    for (volume, part) in parts {
        volumes.push((volume, volume_of(to, placed, volume)?, *part));
    }
    let resolved = wanted.as_ref().and_then(|wanted| wanted.portable.applications.get(to));
    if resolved.is_some_and(|resolved| resolved.application.wish == Wish::Running) {
        for (volume, id, part) in &volumes {
            room::check_beside(service, to, (*volume, *id), part.bytes)?;
        }
    }
    job.expect(parts.iter().map(|(_, part)| part.bytes).sum());
    let mut restored = Restored::new();
    for (volume, id, part) in volumes {
        job.say(format!("restores the volume {volume}"));
        match fill(service, repository, opened, placed.first_id, (id, part), &job.by) {
            Ok(line) => drop(restored.insert((to.clone(), volume.clone()), (id, line))),
            Err(error) => {
                discard(service, &restored);
                return Err(error);
            }
        }
    }
    Ok(restored)
}

/// Id of an application's volume.
fn volume_of(application: &Name, placed: &Placed, volume: &Name) -> Result<VolumeId, AgentError> {
    let missing = || BackupsError::NoVolume {
        application: application.to_string(),
        volume: volume.to_string(),
        here: "",
        known: names(placed.volumes.keys()),
    };
    volume_id(placed.volumes.get(volume).ok_or_else(missing)?)
}

/// Restores one volume of a backup to a new line, and returns its number. Whatever comes of it, nothing is left beside the lines.
fn fill(
    service: &Service,
    repository: &Repository<'_>,
    opened: &Opened,
    first_id: u32,
    (id, part): (VolumeId, &Part),
    by: &str,
) -> Result<u32, AgentError> {
    scratch::mark(service, id, RESTORED)?;
    let line = line_of(service, repository, opened, first_id, (id, part), by);
    if let Err(error) = scratch::clear(service, id, RESTORED) {
        tracing::warn!(%error, "what a restore has left in a volume is not gone yet");
    }
    line
}

fn line_of(
    service: &Service,
    repository: &Repository<'_>,
    opened: &Opened,
    first_id: u32,
    (id, part): (VolumeId, &Part),
    by: &str,
) -> Result<u32, AgentError> {
    let volumes = &service.agent().machine().volumes;
    volumes.mount(id, &openmesh_volume::open)?;
    let place = volumes.scratch_place(id, RESTORED, &openmesh_volume::open)?;
    let owners = Owners::Shifted { from: opened.head.first_id, to: first_id, count: IDS_OF_APPLICATION };
    let order = Restoration { snapshot: part.snapshot()?, target: &place, owners, verify: true };
    repository.restore(&order, &open)?;
    let number = next_line(service, id)?;
    note_intent(service, id, number)?;
    let reason = format!("backup of {} restored", opened.head.at.to_rfc3339());
    let line = RestoredLine { number, reason: &reason, by, at: Timestamp::now(), keeper: Keeper::Person };
    volumes.adopt(id, RESTORED, &line, &openmesh_volume::open)?;
    Ok(number)
}

/// A number that no line has, and that no version which is deployed meanwhile gets.
fn next_line(service: &Service, id: VolumeId) -> Result<u32, AgentError> {
    let generations = service.agent().generations()?;
    let all = generations.iter().flat_map(|(wanted, serving)| serving.iter().chain([wanted]));
    let placed = all.flat_map(|generation| generation.placement.applications.values());
    let given =
        placed.flat_map(|placed| placed.volumes.values()).filter(|volume| VolumeId::try_from(&volume.id) == Ok(id));
    let given = given.map(|volume| volume.last_line.max(volume.line)).max().unwrap_or(0);
    let there = service.agent().machine().volumes.observe_one(id).lines.into_keys().max().unwrap_or(0);
    Ok(given.max(there).saturating_add(LINE_GAP))
}

/// Lets a new generation, with the content of the wanted one, choose restored lines. Where there is none, the lines go again.
///
/// # Errors
/// There is no way to such a generation.
pub(crate) fn choose(
    service: &Service,
    runtime: &Handle,
    restored: &Restored,
    asked: &Asked,
) -> Result<Deployment, AgentError> {
    choose_on(service, runtime, restored, &Terms::default(), asked)
}

/// As [`choose`], on terms.
///
/// # Errors
/// As [`choose`].
pub(crate) fn choose_on(
    service: &Service,
    runtime: &Handle,
    restored: &Restored,
    terms: &Terms,
    asked: &Asked,
) -> Result<Deployment, AgentError> {
    let lines: LineChoices = restored.iter().map(|(at, (_, line))| (at.clone(), *line)).collect();
    let taken = loop {
        let wanted = service.wanted()?;
        let asked = Asked { expected: Some(wanted), ..asked.clone() };
        match runtime.block_on(service.roll_back_on(wanted, &lines, terms, &asked, true)) {
            // Somebody changed something meanwhile: theirs stays, and the data come to it.
            Err(AgentError::Changed { .. }) => {}
            taken => break taken,
        }
    };
    if taken.is_err() {
        discard(service, restored);
        return taken;
    }
    for (id, line) in restored.values() {
        forget_intent(service, *id, *line)?;
    }
    taken
}

/// Drops restored lines that no generation chose. What cannot be dropped now is when the next agent begins.
fn discard(service: &Service, restored: &Restored) {
    let dropped = used_lines(service).and_then(|used| {
        let drop =
            |(id, line): &(VolumeId, u32)| drop_unchosen(service, *id, *line, used.contains(&(id.to_string(), *line)));
        restored.values().map(drop).fold(Ok(()), Result::and)
    });
    if let Err(error) = dropped {
        tracing::warn!(%error, "a restored line that nobody chose is not gone yet");
    }
}

/// Lines that the wanted and the serving generation have, by the ids of their volumes; those of applications that were removed too: their data stay as they
/// are.
fn used_lines(service: &Service) -> Result<BTreeSet<(String, u32)>, AgentError> {
    let generations = service.agent().generations()?;
    let all = generations.iter().flat_map(|(wanted, serving)| serving.iter().chain([wanted]));
    let volumes = all.flat_map(|generation| {
        let placed = generation.placement.applications.values().flat_map(|placed| placed.volumes.values());
        placed.chain(generation.placement.retired.values().map(|retired| &retired.volume))
    });
    Ok(volumes.map(|volume| (volume.id.to_string(), volume.line)).collect())
}

fn intents_folder(service: &Service) -> PathBuf {
    service.backups().folder().join("restored")
}

fn intent_file(service: &Service, id: VolumeId, line: u32) -> PathBuf {
    intents_folder(service).join(format!("{id}-{line}.json"))
}

fn note_intent(service: &Service, id: VolumeId, line: u32) -> Result<(), AgentError> {
    let path = intent_file(service, id, line);
    let bytes = serde_json::to_vec(&Intent { volume: id.to_string(), line }).unwrap_or_default();
    marks::replace(&path, &bytes).map_err(AgentError::file("writing", &path))
}

fn forget_intent(service: &Service, id: VolumeId, line: u32) -> Result<(), AgentError> {
    let path = intent_file(service, id, line);
    match std::fs::remove_file(&path) {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(AgentError::file("removing", &path)),
    }
}

/// Drops the restored lines that a dead agent's generations did not come to choose. Called once when an agent begins, before any act.
///
/// # Errors
/// The first line that cannot be dropped; the others are.
pub(crate) fn recover(service: &Service) -> Result<(), AgentError> {
    let folder = intents_folder(service);
    let entries = match std::fs::read_dir(&folder) {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(AgentError::file("reading", &folder))?,
    };
    let used = used_lines(service)?;
    let mut result = Ok(());
    for path in entries.flatten().map(|entry| entry.path()) {
        let Some(intent) = marks::find::<Intent>(&path).ok().flatten() else { continue };
        let Ok(id) = intent.volume.parse::<VolumeId>() else { continue };
        let is_used = used.contains(&(intent.volume.clone(), intent.line));
        result = result.and(drop_unchosen(service, id, intent.line, is_used));
    }
    result
}

/// Drops a restored line, unless it is used, and forgets it.
fn drop_unchosen(service: &Service, id: VolumeId, line: u32, is_used: bool) -> Result<(), AgentError> {
    let volumes = &service.agent().machine().volumes;
    let found = volumes.observe_one(id);
    if !is_used && found.record.is_some() && found.in_use != Some(line) {
        volumes.mount_for_backup(id, &openmesh_volume::open)?;
        volumes.drop_line(id, line, Asker::Person, &BTreeSet::new(), &openmesh_volume::open)?;
        if found.removal.is_some() {
            // One that is set aside is not mounted; somebody who looks into it now holds up nothing.
            let _ = volumes.unmount(id, &openmesh_volume::open);
        }
    }
    forget_intent(service, id, line)
}

/// Deploys the application of a backup under another name, stopped: so that its volumes are there and nothing writes to them. Returns the name.
fn plant(
    service: &Service,
    runtime: &Handle,
    job: &Job,
    opened: &Opened,
    to: &Name,
    asked: &Asked,
) -> Result<Name, AgentError> {
    job.say(format!("makes {to}, stopped"));
    let taken = deploy_changed(service, runtime, asked, |document| {
        if document.applications.contains_key(to) {
            let text = format!("there is an application `{to}` already; choose another name");
            return Err(BackupsError::Value(text).into());
        }
        let application = moved(opened, document)?;
        for secret in application.secrets() {
            if let Some(value) = opened.secrets.get(secret).filter(|_| !has_secret(service, secret)) {
                service.set_secret(secret, value)?;
            }
        }
        document.applications.insert(to.clone(), Application { wish: Wish::Stopped, ..application });
        Ok(())
    })?;
    runtime.block_on(committed(service, job, &taken))?;
    Ok(to.clone())
}

/// Deploys the wanted document with a change. Where somebody changes it in the same moment, theirs stays, and the change is made to it.
fn deploy_changed(
    service: &Service,
    runtime: &Handle,
    asked: &Asked,
    change: impl Fn(&mut Document) -> Result<(), AgentError>,
) -> Result<Deployment, AgentError> {
    loop {
        let wanted = service.wanted()?;
        let mut document = service.document(wanted)?;
        change(&mut document)?;
        let asked = Asked { expected: Some(wanted), ..asked.clone() };
        match deploy(service, runtime, &document, &asked) {
            Err(AgentError::Changed { .. }) => {}
            taken => return taken,
        }
    }
}

fn has_secret(service: &Service, name: &Name) -> bool {
    service.secrets().is_ok_and(|all| all.iter().any(|secret| secret.name == name.as_str()))
}

/// The application of a backup as it can stand beside the one that has its name: with free ports of the host, and without its domains.
fn moved(opened: &Opened, document: &Document) -> Result<Application, AgentError> {
    let lacks = || BackupsError::Description {
        backup: opened.id.to_string(),
        why: format!("its document does not have {}", opened.head.application),
    };
    let found = opened.document.applications.iter().find(|(name, _)| name.as_str() == opened.head.application);
    let mut application = found.map(|(_, application)| application.clone()).ok_or_else(lacks)?;
    application.domains.clear();
    for publish in application.ports.values_mut().filter_map(|port| port.publish.as_mut()) {
        publish.port = None;
    }
    let has_target = |to: &Name| document.machine.backups.contains_key(to);
    application.backup = application.backup.filter(|backup| has_target(&backup.to));
    Ok(application)
}

/// Lets an application that was deployed stopped be what the backup's document wishes.
fn begin(
    service: &Service,
    runtime: &Handle,
    opened: &Opened,
    name: &Name,
    asked: &Asked,
) -> Result<Deployment, AgentError> {
    let before = opened.document.applications.iter().find(|(name, _)| name.as_str() == opened.head.application);
    let wish = before.map_or(Wish::Running, |(_, application)| application.wish);
    deploy_changed(service, runtime, asked, |document| {
        if let Some(application) = document.applications.get_mut(name) {
            application.wish = wish;
        }
        Ok(())
    })
}

/// Deploys a document that was put together here: it is held against every rule as one of a person is.
///
/// # Errors
/// It has problems, or there is no way to it.
pub(crate) fn deploy(
    service: &Service,
    runtime: &Handle,
    document: &Document,
    asked: &Asked,
) -> Result<Deployment, AgentError> {
    let document = Document::parse(&document.to_yaml()).map_err(|problems| AgentError::Document { problems })?;
    runtime.block_on(service.deploy(&document, asked, true))
}

/// Waits until a generation is committed.
///
/// # Errors
/// It is held, or took another's place; or the act was stopped.
pub(crate) async fn committed(service: &Service, job: &Job, taken: &Deployment) -> Result<(), AgentError> {
    committed_from(service, job, taken.generation, taken.events).await
}

/// As [`committed`], by the number of a generation and the sequence of the history from which its events come.
///
/// # Errors
/// As [`committed`].
pub(crate) async fn committed_from(
    service: &Service,
    job: &Job,
    generation: u64,
    mut from: u64,
) -> Result<(), AgentError> {
    let mut news = service.history().follow();
    loop {
        if marks::pointer(&service.agent().machine().paths.current())? >= generation {
            return Ok(());
        }
        let wanted = service.wanted()?;
        if wanted != generation {
            return Err(AgentError::Changed { expected: generation, wanted });
        }
        let (events, next) = service.history().since(from);
        from = next;
        let ours = events.iter().find(|event| event.kind == EventKind::Held && event.generation == generation);
        if let Some(held) = ours {
            return Err(BackupsError::Value(format!("generation {generation} is held: {}", held.text)).into());
        }
        tokio::select! {
            changed = news.changed() => {
                if changed.is_err() {
                    return Err(BackupsError::Leaving.into());
                }
            }
            () = job.cancelled() => return Err(BackupsError::Cancelled.into()),
        }
    }
}
