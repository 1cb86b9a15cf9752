//! Restore drills: a backup is proved by restoring it (B-36, B-58).
//!
//! The data go into volumes of their own, as large as those they are of, which are gone afterwards; the description is opened with its document and its
//! secrets. Every file is read back and held against the manifest.

use std::time::Instant;

use openmesh_backup::{Owners, Repository, open};
use openmesh_blueprint::document::Name;
use openmesh_primitives::Timestamp;
use openmesh_volume::{Id as VolumeId, NewVolume, Owner, Volumes};

use crate::backups::find;
use crate::backups::head::{self, Opened, Part};
use crate::backups::jobs::{Done, Job};
use crate::backups::records::Drilled;
use crate::backups::subject;
use crate::error::AgentError;
use crate::service::Service;

/// Owner of a scratch volume's first line: nobody looks into it.
const OWNER: Owner = Owner { user: 0, group: 0, mode: 0o700 };
/// Maker of scratch volumes, in marks.
const AGENT: &str = "agent";

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
    let proved = opened.and_then(|opened| prove(service, job, &repository, &opened));
    let at = Timestamp::now();
    let fault = proved.as_ref().err().map(ToString::to_string);
    // One that somebody stopped says nothing about the backup.
    job.check()?;
    let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let bytes = *proved.as_ref().unwrap_or(&0);
    let drilled = Drilled { backup: backup.id.clone(), of: backup.at, at, bytes, took_ms, fault };
    service.backups().records.change(name, |record| record.drilled = Some(drilled))?;
    let bytes = proved?;
    let text = format!(
        "backup {} of {} was restored and read back: {} MiB, document and secrets, in {} s",
        backup.id.get(..12).unwrap_or(&backup.id),
        backup.at.to_rfc3339(),
        bytes.div_ceil(1 << 20),
        took_ms / 1_000
    );
    Ok(Done { text, backup: Some(backup.id), generation: None })
}

/// Restores every volume of a backup, one after the other, and returns the bytes.
fn prove(service: &Service, job: &Job, repository: &Repository<'_>, opened: &Opened) -> Result<u64, AgentError> {
    let volumes = scratch_volumes(service)?;
    job.expect(opened.head.bytes());
    let mut bytes = 0;
    for (name, part) in &opened.head.volumes {
        job.say(format!("restores the volume {name} to a scratch place"));
        let id = fresh_id()?;
        let proved = prove_one(&volumes, repository, id, part, &opened.head.application);
        // Its room is the host's: it goes whatever came of it.
        volumes.erase(id, &openmesh_volume::open)?;
        bytes += proved?;
    }
    Ok(bytes)
}

fn prove_one(
    volumes: &Volumes,
    repository: &Repository<'_>,
    id: VolumeId,
    part: &Part,
    application: &str,
) -> Result<u64, AgentError> {
    let new = NewVolume {
        id,
        application,
        name: "drill",
        bytes: part.size_bytes,
        owner: OWNER,
        by: AGENT,
        at: Timestamp::now(),
    };
    volumes.make(&new, &openmesh_volume::open)?;
    let place = volumes.scratch_place(id, "drill", &openmesh_volume::open)?;
    let read_back =
        |_: &std::path::Path| -> Result<String, String> { Ok("every file is as it was backed up".to_string()) };
    let drill = repository.drill(part.snapshot()?, &place, Owners::Kept, &read_back, &open)?;
    Ok(drill.restored.bytes)
}

/// A fresh id of a scratch volume.
fn fresh_id() -> Result<VolumeId, AgentError> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|cause| AgentError::Randomness(cause.to_string()))?;
    Ok(VolumeId::new(bytes))
}

fn scratch_volumes(service: &Service) -> Result<Volumes, AgentError> {
    let root = service.backups().folder().join("drill");
    let name = service.settings().name.as_str();
    Ok(Volumes::open(&root, &format!("{name}-drill"))?)
}

/// Removes the scratch volumes that a dead agent has left.
///
/// # Errors
/// Somebody uses one, or a call failed.
pub(crate) fn tidy(service: &Service) -> Result<(), AgentError> {
    if !service.backups().folder().join("drill").is_dir() {
        return Ok(());
    }
    let volumes = scratch_volumes(service)?;
    volumes.tidy(&openmesh_volume::open)?;
    for id in volumes.ids()? {
        volumes.erase(id, &openmesh_volume::open)?;
    }
    Ok(())
}
