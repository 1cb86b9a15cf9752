//! Restore drills: a backup is proved by restoring it (B-58).
//!
//! The data go into volumes of their own, as large as those they are of, which are gone afterwards; the description is opened with its document and its
//! secrets. Every file is read back and held against the manifest. Where the application has a job named `drill` and runs, that is its own check: it runs
//! beside the application with the restored data in place of its own.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use openmesh_backup::{Owners, Repository, Restoration, open};
use openmesh_blueprint::document::{Name, Wish};
use openmesh_blueprint::generation::IDS_OF_APPLICATION;
use openmesh_primitives::Timestamp;
use openmesh_volume::{Id as VolumeId, Keeper, NewVolume, Owner, RestoredLine, Volumes};

use crate::backups::error::BackupsError;
use crate::backups::find;
use crate::backups::head::{self, Opened, Part};
use crate::backups::jobs::{Done, Job};
use crate::backups::records::Drilled;
use crate::backups::runs::end_of;
use crate::backups::subject::{self, Subject, volume_id};
use crate::error::AgentError;
use crate::service::Service;

/// Owner of a scratch volume's first line: nobody looks into it.
const OWNER: Owner = Owner { user: 0, group: 0, mode: 0o700 };
/// Line of a scratch volume that the restored data become.
const LINE: u32 = 2;
/// Maker of scratch volumes and of runs, in marks.
const AGENT: &str = "restore drill";
/// Name of the job that is an application's own check.
pub(crate) const CHECK: &str = "drill";

/// Findings of a drill.
struct Proved {
    bytes: u64,
    /// The application's own check was run, and passed; none where it has none.
    checked: Option<bool>,
    /// Secrets that are for a key which this machine had not then.
    closed: usize,
}

/// Restores a backup to a scratch place and tries it. A fault of the backup is a result, and an error as well, so that nobody takes it for a success.
///
/// # Errors
/// The backup has a fault, or the machine cannot restore one: no room, no target.
pub(crate) fn drill(service: &Service, job: &Job, name: &Name, wanted: Option<&str>) -> Result<Done, AgentError> {
    let begun = Instant::now();
    let subject = subject::find(service, name)?;
    job.say("opens the target");
    let target = find::target(service, &subject)?;
    let repository = target.repository(service)?.metered(job.meter.clone());
    let backup = find::one(service, &repository, name, wanted)?;
    job.say("restores the description");
    let scratch = head::scratch(service, &format!("{name}.drill"));
    let opened = head::read(&repository, find::id(&backup)?, service.backups().keys.node(), &scratch);
    let proved = opened.and_then(|opened| prove(service, job, &repository, &subject, &opened));
    let at = Timestamp::now();
    let fault = proved.as_ref().err().map(ToString::to_string);
    // One that somebody stopped says nothing about the backup.
    job.check()?;
    let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let bytes = proved.as_ref().map_or(0, |proved| proved.bytes);
    let drilled = Drilled { backup: backup.id.clone(), of: backup.at, at, bytes, took_ms, fault };
    service.backups().records.change(name, |record| {
        if drilled.fault.is_none() {
            record.proved = Some(drilled.backup.clone());
        }
        record.drilled = Some(drilled);
    })?;
    let proved = proved?;
    let check = match proved.checked {
        Some(true) => ", and the application's own check passed",
        Some(false) => "; its own check was not run, since it does not run or has none of the volumes",
        None => "",
    };
    let closed = match proved.closed {
        0 => String::new(),
        closed => format!("; {closed} secrets are for a key of before, and were not opened"),
    };
    let text = format!(
        "backup {} of {} was restored and read back: {} MiB, document and secrets, in {} s{check}{closed}",
        backup.id.get(..12).unwrap_or(&backup.id),
        backup.at.to_rfc3339(),
        proved.bytes.div_ceil(1 << 20),
        took_ms / 1_000
    );
    Ok(Done { text, backup: Some(backup.id), generation: None })
}

/// Proves a copy by restoring it, with the application's own check beside it, and says what was found.
///
/// # Errors
/// The copy has a fault, or the machine cannot restore one: no room.
pub(crate) fn prove_copy(
    service: &Service,
    job: &Job,
    repository: &Repository<'_>,
    subject: &Subject,
    opened: &Opened,
) -> Result<u64, AgentError> {
    Ok(prove(service, job, repository, subject, opened)?.bytes)
}

/// Restores every volume of a backup to a scratch volume and lets the application check them; then they are gone.
fn prove(
    service: &Service,
    job: &Job,
    repository: &Repository<'_>,
    subject: &Subject,
    opened: &Opened,
) -> Result<Proved, AgentError> {
    if opened.head.volumes.is_empty() {
        let why = "it has no volume, so there is nothing to prove".into();
        return Err(BackupsError::Description { backup: opened.id.to_string(), why }.into());
    }
    // Of one key all are, or none.
    if !opened.secrets.is_empty() {
        opened.all_open()?;
    }
    let volumes = scratch_volumes(service)?;
    check_room(service, &volumes, opened)?;
    job.expect(opened.head.bytes());
    let mut made = BTreeMap::new();
    let proved = prove_in(service, job, repository, (subject, opened), &volumes, &mut made);
    let mut gone = Ok(());
    for id in made.into_values() {
        // Its room is the host's: it goes whatever came of it, now or when the agent begins the next time.
        gone = volumes.erase(id, &openmesh_volume::open).and(gone);
    }
    let proved = proved?;
    gone?;
    Ok(proved)
}

fn prove_in(
    service: &Service,
    job: &Job,
    repository: &Repository<'_>,
    (subject, opened): (&Subject, &Opened),
    volumes: &Volumes,
    made: &mut BTreeMap<String, VolumeId>,
) -> Result<Proved, AgentError> {
    // On a machine that gave the application other ids, and where these are not known any more, nothing has to be run as it.
    let owners = match (opened.head.first_id, subject.first_id) {
        (from, to) if from == to || subject.removed.is_some() => Owners::Kept,
        (from, to) => Owners::Shifted { from, to, count: IDS_OF_APPLICATION },
    };
    let mut bytes = 0;
    for (name, part) in &opened.head.volumes {
        job.say(format!("restores the volume {name} to a scratch place"));
        let id = fresh_id()?;
        made.insert(name.clone(), id);
        bytes += restore_one(volumes, repository, id, part, &opened.head.application, owners)?;
    }
    let checked = own_check(service, job, &subject.name, volumes, made)?;
    Ok(Proved { bytes, checked, closed: opened.closed.len() })
}

/// Fails where the scratch volumes would take what the document reserves of the disk: the agent and its images need that.
fn check_room(service: &Service, volumes: &Volumes, opened: &Opened) -> Result<(), AgentError> {
    let need: u64 = opened.head.volumes.values().map(|part| part.size_bytes).sum();
    let reserve = subject::present(service)?.map_or(0, |present| present.placement.reserve.disk.0);
    let stat = rustix::fs::statvfs(volumes.root());
    let stat = stat.map_err(|errno| AgentError::file("reading", volumes.root())(errno.into()))?;
    let have = stat.f_bavail.saturating_mul(stat.f_frsize).saturating_sub(reserve);
    if need > have { Err(BackupsError::NoRoom { need, have }.into()) } else { Ok(()) }
}

fn restore_one(
    volumes: &Volumes,
    repository: &Repository<'_>,
    id: VolumeId,
    part: &Part,
    application: &str,
    owners: Owners,
) -> Result<u64, AgentError> {
    let at = Timestamp::now();
    let new = NewVolume { id, application, name: CHECK, bytes: part.size_bytes, owner: OWNER, by: AGENT, at };
    volumes.make(&new, &openmesh_volume::open)?;
    let place = volumes.scratch_place(id, CHECK, &openmesh_volume::open)?;
    let order = Restoration { snapshot: part.snapshot()?, target: &place, owners, verify: true };
    let restored = repository.restore(&order, &open)?;
    if (restored.entries, restored.bytes) != (part.entries, part.bytes) {
        let why = format!("{} entries with {} bytes are in it", restored.entries, restored.bytes);
        return Err(BackupsError::Description { backup: part.snapshot.clone(), why }.into());
    }
    let line = RestoredLine { number: LINE, reason: AGENT, by: AGENT, at, keeper: Keeper::Machine };
    volumes.adopt(id, CHECK, &line, &openmesh_volume::open)?;
    Ok(restored.bytes)
}

/// Runs the application's own check on restored data; false where it has one that is not run, since the application does not run or has none of the volumes.
/// None where it has none.
fn own_check(
    service: &Service,
    job: &Job,
    name: &Name,
    volumes: &Volumes,
    restored: &BTreeMap<String, VolumeId>,
) -> Result<Option<bool>, AgentError> {
    let Some(present) = subject::present(service)? else { return Ok(None) };
    let Some(resolved) = present.portable.applications.get(name) else { return Ok(None) };
    let application = &resolved.application;
    let Some(check) = application.jobs.keys().find(|job| job.as_str() == CHECK) else { return Ok(None) };
    let placed = present.placement.applications.get(name).filter(|_| application.wish == Wish::Running);
    let Some(placed) = placed else { return Ok(Some(false)) };
    let live = &service.agent().machine().volumes;
    let mut data: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    for (volume, id) in restored {
        let Some((_, own)) = placed.volumes.iter().find(|(name, _)| name.as_str() == volume) else { continue };
        data.insert(live.line_folder(volume_id(own)?, own.line), volumes.line_folder(*id, LINE));
    }
    if data.is_empty() {
        return Ok(Some(false));
    }
    job.say("runs the application's own check on the restored data");
    let run = service.agent().begin_job_on(name, check, AGENT, &data, &openmesh_xnode::open)?;
    let end = end_of(service, job, name, check, run.number)?;
    match end.is_success() {
        true => Ok(Some(true)),
        false => {
            let (words, run) = (end.words, run.number);
            Err(BackupsError::Check { application: name.clone(), words, run }.into())
        }
    }
}

/// A fresh id of a scratch volume.
fn fresh_id() -> Result<VolumeId, AgentError> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|cause| AgentError::Randomness(cause.to_string()))?;
    Ok(VolumeId::new(bytes))
}

/// Folder of the scratch volumes: beside the agent's others, since the ids of an application have to find their way through.
fn folder(service: &Service) -> PathBuf {
    service.settings().state.join("drills")
}

fn scratch_volumes(service: &Service) -> Result<Volumes, AgentError> {
    let name = service.settings().name.as_str();
    Ok(Volumes::open(&folder(service), &format!("{name}-drill"))?)
}

/// Removes the scratch volumes that a dead agent has left.
///
/// # Errors
/// Somebody uses one, or a call failed.
pub(crate) fn tidy(service: &Service) -> Result<(), AgentError> {
    if !folder(service).is_dir() {
        return Ok(());
    }
    let volumes = scratch_volumes(service)?;
    volumes.tidy(&openmesh_volume::open)?;
    for id in volumes.ids()? {
        volumes.erase(id, &openmesh_volume::open)?;
    }
    Ok(())
}
