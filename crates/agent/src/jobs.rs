//! The clock of jobs: begins what is due, looks after what runs, and tells how it ended.
//!
//! It has a task of its own, so that a plan that waits for an image holds up no nightly job. All that it knows is in files, so it goes on after any death.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use openmesh_blueprint::document::Name;
use openmesh_primitives::Timestamp;
use openmesh_xnode::jobs::RunOccasion;
use openmesh_xnode::{RunOf, open};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::api::blocking;
use crate::error::AgentError;
use crate::service::Service;
use crate::views::EventKind;

/// Time between two looks: schedules are to the minute, and whoever waits for a run sees its end soon.
const LOOK: Duration = Duration::from_secs(2);
/// Name of whoever asks for a run by schedule.
const SCHEDULE: &str = "schedule";

/// Jobs that could not be begun, each with its cause: one that lasts is told once.
type Troubles = BTreeMap<(Name, Name), String>;

/// Starts the clock. It ends after its present look once the sender of `stays` is gone.
pub(crate) fn start(service: Arc<Service>, mut stays: watch::Receiver<()>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut troubles = Troubles::new();
        loop {
            tokio::select! {
                _ = looks.tick() => {}
                left = stays.changed() => if left.is_err() { return },
            }
            let before = std::mem::take(&mut troubles);
            troubles = match blocking(&service, move |service| look(service, before)).await {
                Ok(troubles) => troubles,
                Err(error) => {
                    tracing::warn!(%error, "jobs cannot be looked at");
                    Troubles::new()
                }
            };
        }
    })
}

/// One look.
fn look(service: &Service, before: Troubles) -> Result<Troubles, AgentError> {
    for ended in service.agent().tend_jobs(&open)? {
        tell_end(service, &ended);
    }
    let now = Timestamp::now();
    let mut troubles = Troubles::new();
    for job in service.agent().jobs(now, &open)?.into_iter().filter(|job| job.is_due) {
        let key = (job.application, job.job);
        match service.agent().begin_job(&key.0, &key.1, (RunOccasion::Schedule, SCHEDULE), &open) {
            Ok(run) => {
                let text = format!("job {} of {} begins by its schedule (run {})", key.1, key.0, run.number);
                note(service, EventKind::Begins, &key.0, text);
            }
            Err(error) => {
                let cause = error.to_string();
                if before.get(&key) != Some(&cause) {
                    note(service, EventKind::Failed, &key.0, format!("job {} is due and cannot begin: {cause}", key.1));
                }
                troubles.insert(key, cause);
            }
        }
    }
    Ok(troubles)
}

fn tell_end(service: &Service, ended: &RunOf) {
    // The plan tells of those of a switch.
    let (Some(end), true) = (&ended.run.end, ended.run.occasion != RunOccasion::Switch) else { return };
    let kind = if end.is_success() { EventKind::Done } else { EventKind::Failed };
    let text = format!(
        "job {} of {}: {} after {} ms (run {})",
        ended.job, ended.application, end.words, end.lasted_ms, ended.run.number
    );
    note(service, kind, &ended.application, text);
}

/// Notes an event of an application.
pub(crate) fn note(service: &Service, kind: EventKind, name: &Name, text: String) {
    let wanted = service.wanted().unwrap_or_default();
    service.history().note(kind, wanted, Some(name.to_string()), text);
}
