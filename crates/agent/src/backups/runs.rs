//! Jobs of an application within an act about its data: its own preparation of a backup (B-90), and the end of its own check of a drill (B-58).

use std::time::Duration;

use openmesh_blueprint::document::{Name, Wish};
use openmesh_xnode::jobs::{RunEnd, RunOccasion};
use tokio::runtime::Builder;

use crate::backups::error::BackupsError;
use crate::backups::jobs::Job;
use crate::backups::subject;
use crate::error::AgentError;
use crate::service::Service;

/// Time between two looks at a run that is about to be cleared away: that of the clock of jobs.
const LOOK: Duration = Duration::from_secs(2);
/// Name of the job that makes an application's data ready to be cloned.
pub(crate) const PREPARE: &str = "before-backup";
/// Whoever asks for it, in marks.
const ASKER: &str = "backup";

/// Runs the preparation of an application that runs and has one. The words of its failure; none where it ended with 0, or there is none.
///
/// # Errors
/// The act was stopped, or the machine cannot be looked at. A preparation that fails is none: the clone is as good as one after a power cut.
pub(crate) fn prepare(service: &Service, job: &Job, name: &Name) -> Result<Option<String>, AgentError> {
    let Some(present) = subject::present(service)? else { return Ok(None) };
    let Some(resolved) = present.portable.applications.get(name) else { return Ok(None) };
    let application = &resolved.application;
    let found = application.jobs.keys().find(|job| job.as_str() == PREPARE);
    let Some(prepare) = found.filter(|_| application.wish == Wish::Running) else { return Ok(None) };
    job.say("runs the application's own preparation");
    let asked = (RunOccasion::Demand, ASKER);
    let run = match service.agent().begin_job(name, prepare, asked, &openmesh_xnode::open) {
        Ok(run) => run,
        Err(error) => return Ok(Some(error.to_string())),
    };
    match end_of(service, job, name, prepare, run.number) {
        Ok(end) if end.is_success() => Ok(None),
        Ok(end) => Ok(Some(format!("{} (run {})", end.words, run.number))),
        Err(AgentError::Backups(BackupsError::Check { words, .. })) => Ok(Some(words)),
        Err(error) => Err(error),
    }
}

/// Waits for the end of a run, and until nothing of it is left that holds the data.
///
/// # Errors
/// It was removed meanwhile, the act was stopped, or the agent leaves.
pub(crate) fn end_of(
    service: &Service,
    job: &Job,
    name: &Name,
    check: &Name,
    number: u64,
) -> Result<RunEnd, AgentError> {
    let runtime = Builder::new_current_thread().enable_time().build();
    let runtime = runtime.map_err(AgentError::file("making a runtime for", "the jobs of an act"))?;
    runtime.block_on(ended(service, job, name, check, number))
}

/// As [`end_of`]: the clock of jobs looks after the run, and its end is an event.
async fn ended(service: &Service, job: &Job, name: &Name, check: &Name, number: u64) -> Result<RunEnd, AgentError> {
    let mut news = service.history().follow();
    let mut is_asked = false;
    loop {
        let found = service.agent().runs(name, check)?.into_iter().find(|(run, _)| run.number == number);
        let gone = || BackupsError::Check {
            application: name.clone(),
            words: "it was removed before its end".into(),
            run: number,
        };
        let (run, logs) = found.ok_or_else(gone)?;
        let is_cleared = !logs.with_file_name("shim.json").exists();
        match run.end.filter(|_| is_cleared) {
            Some(end) if !is_asked => return Ok(end),
            Some(_) => return Err(BackupsError::Cancelled.into()),
            None if is_asked && service.is_leaving() => return Err(BackupsError::Cancelled.into()),
            None => {}
        }
        tokio::select! {
            changed = news.changed() => {
                if changed.is_err() {
                    return Err(BackupsError::Leaving.into());
                }
            }
            () = job.cancelled(), if !is_asked => {
                service.agent().end_job(name, check, &openmesh_xnode::open)?;
                is_asked = true;
            }
            // What is cleared away late is no event.
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}
