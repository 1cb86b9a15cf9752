//! A backup of an application: stills of its volumes, their snapshots, and the description last (B-54, B-55).

use std::path::Path;
use std::time::{Duration, Instant};

use openmesh_backup::{BackupError, Order, Report, Repository, Special, open};
use openmesh_blueprint::document::Name;
use openmesh_primitives::Timestamp;
use openmesh_volume::{Still, StillOf, Writers};

use crate::backups::error::BackupsError;
use crate::backups::head::{self, HEAD, Head, Part};
use crate::backups::jobs::{Done, Job};
use crate::backups::keys::fresh_mark;
use crate::backups::pause::Pauser;
use crate::backups::records::Made;
use crate::backups::subject::{self, Subject};
use crate::backups::targets::{self, Target};
use crate::backups::{retain, room, runs, scratch};
use crate::error::AgentError;
use crate::service::Service;

/// Name of the stills of backups in volumes.
pub(crate) const STILL: &str = "backup";

/// A volume whose still is read.
struct Source {
    name: Name,
    id: openmesh_volume::Id,
    size_bytes: u64,
    /// Moment of the removal by whose mark it was set aside before the still was made.
    removed: Option<Timestamp>,
    still: Still,
}

/// Sums over the snapshots of one backup.
#[derive(Default)]
struct Sums {
    stored_bytes: u64,
    left_out: u64,
    first_left_out: Option<String>,
}

/// A copy of an application's data that was stored, with its description.
pub(crate) struct Copied {
    /// The description.
    pub head: Head,
    /// Id of the description's snapshot, which is that of the copy.
    pub id: String,
    sums: Sums,
    sources: Vec<Source>,
    /// Time for which the application stood still.
    still: Duration,
}

impl Copied {
    /// Bytes that were stored for it.
    pub fn stored_bytes(&self) -> u64 {
        self.sums.stored_bytes
    }

    /// The first of the pipes, sockets and devices that were left out; none where everything was taken.
    pub fn left_out(&self) -> Option<&str> {
        self.sums.first_left_out.as_deref()
    }
}

/// Writes the tree of a description into a folder, which is made anew.
pub(crate) type Describe<'a> = &'a dyn Fn(&Head, &Path) -> Result<(), AgentError>;

/// Makes a backup of an application, and removes those that are not kept any more.
///
/// # Errors
/// Whatever stands in its way; then there is no such backup, and what was stored is used by the next one.
pub(crate) fn make(service: &Service, job: &Job, name: &Name) -> Result<Done, AgentError> {
    let begun = Instant::now();
    let subject = subject::find(service, name)?;
    let (target_name, store) = subject.target()?;
    job.say(format!("opens {}", targets::words(store)));
    let target = targets::open_target(service, target_name, store)?;
    let repository = target.repository(service)?.metered(job.meter.clone());
    // One without a volume has nothing to keep.
    subject.volumes()?;
    let unprepared = runs::prepare(service, job, name)?;
    let describe = |head: &Head, folder: &Path| head::write(service, head, folder);
    let Copied { head, id, sums, sources, still } = copy(service, job, &repository, &subject, &describe)?;
    let made = Made {
        backup: id.clone(),
        target: target_name.to_string(),
        at: head.at,
        bytes: head.bytes(),
        stored_bytes: sums.stored_bytes,
        took_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        still_ms: u64::try_from(still.as_millis()).unwrap_or(u64::MAX),
        left_out: sums.left_out,
    };
    note(service, &subject, &sources, &made)?;
    target.note_room(service);
    job.say("removes backups that are not kept any more");
    let proved = service.backups().records.application(name)?.proved;
    let pinned = [Some(id.as_str()), proved.as_deref()]
        .into_iter()
        .flatten()
        .filter_map(|id| id.parse::<openmesh_backup::Id>().ok());
    // The backup is there: what cannot be removed makes it no failure, and is said.
    let removed = retain::retain(service, target_name, &repository, &head, &subject.keep, &pinned.collect());
    if let Err(error) = &removed {
        let cause = format!("backups that are not kept any more could not be removed: {error}");
        service.backups().records.change_target(target_name, |record| record.cause = Some(cause))?;
    }
    let mut text = words(&target, &made, &sums, removed.unwrap_or(0));
    if let Some(fault) = unprepared {
        text +=
            &format!("; the application's own preparation failed, so that its data are as after a power cut: {fault}");
    }
    Ok(Done { text, backup: Some(id), generation: None })
}

/// Clones the data of an application as it is now, and stores them with the description that is written then. One without volumes has a description alone.
///
/// # Errors
/// Whatever stands in its way; then there is no such copy.
pub(crate) fn copy(
    service: &Service,
    job: &Job,
    repository: &Repository<'_>,
    subject: &Subject,
    describe: Describe<'_>,
) -> Result<Copied, AgentError> {
    let (at, name) = (Timestamp::now(), &subject.name);
    let pauser = Pauser::new(service, name);
    let sources = match subject.volumes.is_empty() {
        true => Vec::new(),
        false => stills(service, job, subject, &pauser)?,
    };
    let volumes: Vec<(Name, openmesh_volume::Id)> =
        sources.iter().map(|source| (source.name.clone(), source.id)).collect();
    let storing = || store_all(service, job, repository, subject, (sources.as_slice(), at), describe);
    let stored = room::while_there_is(service, job, (name, volumes.as_slice()), storing);
    for source in &sources {
        // The room is the application's; what does not go now goes with the next still, or when the agent begins.
        if let Err(error) = scratch::clear(service, source.id, STILL) {
            tracing::warn!(application = %name, %error, "the clone of a volume for its backup is not gone yet");
        }
    }
    let (head, id, sums) = stored?;
    Ok(Copied { head, id, sums, sources, still: pauser.took() })
}

/// Clones the lines in use, all within one pause of the application.
fn stills(service: &Service, job: &Job, subject: &Subject, pauser: &Pauser<'_>) -> Result<Vec<Source>, AgentError> {
    job.say("clones the data");
    let volumes = &service.agent().machine().volumes;
    let (mut lines, mut named) = (Vec::new(), Vec::new());
    for (name, id, placed) in subject.volumes()? {
        match subject.removed {
            Some(_) => volumes.mount_for_backup(id, &openmesh_volume::open)?,
            None => volumes.mount(id, &openmesh_volume::open)?,
        }
        let found = volumes.observe_one(id);
        let chosen = found.lines.contains_key(&placed.line).then_some(placed.line).filter(|_| !subject.runs);
        lines.push(StillOf { volume: id, line: chosen.or(found.in_use).unwrap_or(placed.line) });
        let removed = found.removal.map(|removal| removal.at);
        named.push((name, id, found.record.map_or(0, |record| record.bytes), removed));
    }
    job.check()?;
    for still in &lines {
        scratch::mark(service, still.volume, STILL)?;
    }
    let (pause, resume) = (|| pauser.pause(), || pauser.resume());
    let writers = Writers::Paused { pause: &pause, resume: &resume };
    let stills = volumes.stills(&lines, STILL, writers, &openmesh_volume::open)?;
    let mut sources = Vec::new();
    for (name, id, size_bytes, removed) in named {
        let still = stills.iter().find(|still| still.volume == id).cloned();
        let missing = || BackupsError::Value(format!("there is no clone of the volume {name}"));
        sources.push(Source { still: still.ok_or_else(missing)?, name, id, size_bytes, removed });
    }
    job.expect(sources.iter().map(|source| source.still.bytes).sum());
    Ok(sources)
}

/// Stores every still, and the description after them.
fn store_all(
    service: &Service,
    job: &Job,
    repository: &Repository<'_>,
    subject: &Subject,
    (sources, at): (&[Source], Timestamp),
    describe: Describe<'_>,
) -> Result<(Head, String, Sums), AgentError> {
    let keys = &service.backups().keys;
    let (backup, machine) = (fresh_mark()?, keys.machine()?);
    let mut head = Head::new(machine, subject.node.clone(), &subject.name, subject.generation, at, subject.first_id);
    head.number = head::next_number(repository, &head.machine)?;
    let mut sums = Sums::default();
    for source in sources {
        job.say(format!("stores the volume {}", source.name));
        let part = format!("volume {}", source.name);
        let report = snapshot(service, repository, &head, &backup, &part, &source.still.folder)?;
        sums.add(&report);
        let part = Part {
            snapshot: report.snapshot.to_string(),
            volume: source.id.to_string(),
            line: source.still.line,
            size_bytes: source.size_bytes,
            bytes: report.bytes,
            entries: report.entries,
        };
        head.volumes.insert(source.name.to_string(), part);
    }
    job.say("stores document and secrets");
    let folder = head::scratch(service, subject.name.as_str());
    describe(&head, &folder)?;
    let report = snapshot(service, repository, &head, &backup, HEAD, &folder);
    head::clear(&folder)?;
    let report = report?;
    sums.add(&report);
    Ok((head, report.snapshot.to_string(), sums))
}

/// Stores one part of a backup.
///
/// # Errors
/// It cannot be read, or the repository fails.
pub(crate) fn snapshot(
    service: &Service,
    repository: &Repository<'_>,
    head: &Head,
    backup: &str,
    part: &str,
    root: &std::path::Path,
) -> Result<Report, AgentError> {
    // Of one writer only one backup runs at a time: the key of the node tells machines apart that share a repository.
    let node = service.backups().keys.node().recipient();
    let writer = format!("{node}/{}/{part}", head.application);
    let order = Order {
        root,
        labels: head::labels(head, backup, part),
        time: head.at,
        writer: &writer,
        special: Special::LeaveOut,
    };
    match repository.backup(&order, &open) {
        // A mark that nobody can read holds up every backup; mending takes it away.
        Err(BackupError::DamagedMark { .. }) => {
            repository.mend(&open)?;
            Ok(repository.backup(&order, &open)?)
        }
        report => Ok(report?),
    }
}

impl Sums {
    fn add(&mut self, report: &Report) {
        self.stored_bytes += report.stored_bytes;
        self.left_out += report.left_out_count;
        if self.first_left_out.is_none() {
            self.first_left_out = report.left_out.first().map(|path| path.display().to_string());
        }
    }
}

/// Notes a backup that was made: beside its volumes, and in the record.
fn note(service: &Service, subject: &Subject, sources: &[Source], made: &Made) -> Result<(), AgentError> {
    let volumes = &service.agent().machine().volumes;
    for source in sources {
        volumes.note_backup(source.id, made.at, source.removed, &openmesh_volume::open)?;
        if source.removed.is_some() {
            // It is as its removal left it; somebody who looks into it now holds up nothing.
            let _ = volumes.unmount(source.id, &openmesh_volume::open);
        }
    }
    service.backups().records.change(&subject.name, |record| record.last = Some(made.clone()))?;
    Ok(())
}

/// A backup in words.
fn words(target: &Target, made: &Made, sums: &Sums, removed: u64) -> String {
    let mebibytes = |bytes: u64| bytes.div_ceil(1 << 20);
    let mut text = format!(
        "backup {} of {} MiB is in {} ({} MiB were new; the application stood still for {} ms)",
        made.backup.get(..12).unwrap_or(&made.backup),
        mebibytes(made.bytes),
        target.place,
        mebibytes(made.stored_bytes),
        made.still_ms
    );
    if let Some(first) = &sums.first_left_out {
        text += &format!("; {} pipes, sockets or devices were left out, as {first}", made.left_out);
    }
    if removed > 0 {
        text += &format!("; {removed} earlier ones are not kept any more");
    }
    text
}
