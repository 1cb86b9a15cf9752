//! Jobs of applications: those that there are with their runs, a run on demand, its end, its log.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use futures::{StreamExt as _, stream};
use openmesh_access::Principal;
use openmesh_blueprint::document::{Name, Occasion};
use openmesh_primitives::Timestamp;
use openmesh_shim::log::Filter;
use openmesh_xnode::jobs::{Run, RunOccasion};
use openmesh_xnode::{Planned, XnodeError, open};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::common::{LOG_PAUSE, Shared, blocking, lines, name};
use crate::error::AgentError;
use crate::exec::BeginError;
use crate::jobs::note;
use crate::logs::{LINES_MAX, Logs};
use crate::service::{Service, names};
use crate::views::EventKind;

/// A job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobView {
    /// Its name.
    pub name: String,
    /// Its command.
    pub command: Vec<String>,
    /// `switch`, `schedule` or `demand`.
    pub occasion: String,
    /// Its schedule, five fields of cron in UTC.
    pub schedule: Option<String>,
    /// Its next moment.
    #[schema(value_type = Option<String>, format = "seconds")]
    pub next: Option<Timestamp>,
    /// Time after which a run is ended, milliseconds.
    pub timeout_ms: u64,
    /// Runs that are kept, the newest first.
    pub runs: Vec<JobRun>,
}

/// A run of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobRun {
    /// Its number.
    pub number: u64,
    /// `switch`, `schedule` or `demand`.
    pub occasion: String,
    /// Whoever asked for it.
    pub by: String,
    /// Revision of the application.
    pub revision: String,
    /// Its begin.
    #[schema(value_type = String, format = "seconds")]
    pub at: Timestamp,
    /// It has no end yet.
    pub is_running: bool,
    /// Code of its process; none while it runs, and where it did not end by itself.
    pub code: Option<i32>,
    /// Its end in words.
    pub words: Option<String>,
    /// Time that it took, milliseconds.
    pub lasted_ms: Option<u64>,
}

/// Routes of this area.
pub(super) fn routes() -> Router<Arc<Service>> {
    Router::new()
        .route("/v1/xnode/applications/{name}/jobs", get(jobs))
        .route("/v1/xnode/applications/{name}/jobs/{job}", post(begin).delete(end))
        .route("/v1/xnode/applications/{name}/jobs/{job}/logs", get(logs))
}

/// The answer to a job that cannot be begun now.
fn conflict(error: XnodeError) -> BeginError {
    BeginError::Agent(error.into())
}

fn run_view(run: &Run) -> JobRun {
    JobRun {
        number: run.number,
        occasion: word(run.occasion).into(),
        by: run.by.clone(),
        revision: run.revision.clone(),
        at: run.at,
        is_running: run.end.is_none(),
        code: run.end.as_ref().and_then(|end| end.code),
        words: run.end.as_ref().map(|end| end.words.clone()),
        lasted_ms: run.end.as_ref().map(|end| end.lasted_ms),
    }
}

fn word(occasion: RunOccasion) -> &'static str {
    match occasion {
        RunOccasion::Switch => "switch",
        RunOccasion::Schedule => "schedule",
        RunOccasion::Demand => "demand",
    }
}

fn view(service: &Service, job: Planned) -> Result<JobView, AgentError> {
    let runs = service.agent().runs(&job.application, &job.job)?;
    let occasion = match (&job.wanted.schedule, &job.wanted.occasion) {
        (Some(_), _) => RunOccasion::Schedule,
        (None, Occasion::Switch) => RunOccasion::Switch,
        (None, Occasion::Demand) => RunOccasion::Demand,
    };
    Ok(JobView {
        name: job.job.to_string(),
        command: job.wanted.command,
        occasion: word(occasion).into(),
        schedule: job.wanted.schedule.map(|schedule| schedule.to_string()),
        next: job.next,
        timeout_ms: job.wanted.timeout.0,
        runs: runs.iter().rev().map(|(run, _)| run_view(run)).collect(),
    })
}

/// Jobs of one application that serves.
fn jobs_of(service: &Service, name: &Name) -> Result<Vec<Planned>, AgentError> {
    let all = service.agent().jobs(Timestamp::now(), &open)?;
    let found: Vec<Planned> = all.into_iter().filter(|job| job.application == *name).collect();
    if found.is_empty() {
        let look = service.agent().look()?;
        let serving = look.serving.as_ref().or(look.wanted.as_ref());
        let known = serving.map(|serving| &serving.portable.applications);
        if known.is_none_or(|known| !known.contains_key(name)) {
            let known = names(known.into_iter().flatten().map(|(name, _)| name));
            return Err(AgentError::NoApplication { name: name.to_string(), known });
        }
    }
    Ok(found)
}

async fn jobs(State(service): Shared, Path(text): Path<String>) -> Result<Json<Vec<JobView>>, AgentError> {
    let name = name(&text)?;
    let views = blocking(&service, move |service| {
        jobs_of(service, &name)?.into_iter().map(|job| view(service, job)).collect::<Result<Vec<_>, _>>()
    });
    Ok(Json(views.await?))
}

async fn begin(
    State(service): Shared,
    Extension(principal): Extension<Principal>,
    Path((text, job)): Path<(String, String)>,
) -> Result<Json<JobRun>, BeginError> {
    let (name, job, by) = (name(&text)?, name(&job)?, principal.to_string());
    let begun = blocking(&service, move |service| {
        let begun = service.agent().begin_job(&name, &job, (RunOccasion::Demand, &by), &open);
        if let Ok(run) = &begun {
            note(
                service,
                EventKind::Begins,
                &name,
                format!("job {job} of {name} begins for {by} (run {})", run.number),
            );
        }
        Ok(begun)
    });
    Ok(Json(run_view(&begun.await?.map_err(conflict)?)))
}

async fn end(
    State(service): Shared,
    Extension(principal): Extension<Principal>,
    Path((text, job)): Path<(String, String)>,
) -> Result<StatusCode, AgentError> {
    let (name, job, by) = (name(&text)?, name(&job)?, principal.to_string());
    blocking(&service, move |service| {
        if service.agent().end_job(&name, &job, &open)? {
            note(service, EventKind::Done, &name, format!("job {job} of {name} is asked to end by {by}"));
        }
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// Query of a run's log.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LogQuery {
    /// Number of the run; the newest without it.
    #[serde(default)]
    run: Option<u64>,
    /// New lines are wanted too, until it has ended.
    #[serde(default)]
    follow: bool,
    /// Last lines to begin with.
    #[serde(default)]
    lines: Option<usize>,
}

/// A run with the folder of its log, as logs are read.
fn run_of(service: &Service, name: &Name, job: &Name, number: Option<u64>) -> Result<(Run, PathBuf), AgentError> {
    let mut runs = service.agent().runs(name, job)?;
    if let Some(number) = number {
        runs.retain(|(run, _)| run.number == number);
    }
    let missing = || AgentError::Name(format!("job {job} of {name} has no such run; its last ones are kept"));
    runs.pop().ok_or_else(missing)
}

async fn logs(
    State(service): Shared,
    Path((text, job)): Path<(String, String)>,
    Query(query): Query<LogQuery>,
) -> Result<Response, AgentError> {
    let (name, job) = (name(&text)?, name(&job)?);
    let wanted = query.lines.unwrap_or(LINES_MAX);
    let (asked, of) = (name.clone(), job.clone());
    let (number, folders, logs, first) = blocking(&service, move |service| {
        let (run, folder) = run_of(service, &asked, &of, query.run)?;
        let folders = BTreeMap::from([(format!("run {}", run.number), folder)]);
        let (logs, first) = Logs::open(&folders, wanted, &Filter::default())?;
        Ok((run.number, folders, logs, first))
    })
    .await?;
    let begin = (service, Some(logs), Some(first), query.follow);
    let found = stream::unfold(begin, move |(service, mut logs, first, follows)| {
        let (name, job, folders) = (name.clone(), job.clone(), folders.clone());
        async move {
            if let Some(first) = first {
                return Some((stream::iter(first), (service, logs, None, follows)));
            }
            if !follows || service.is_leaving() {
                return None;
            }
            tokio::time::sleep(LOG_PAUSE).await;
            let mut taken = logs.take()?;
            let read = blocking(&service, move |service| {
                // Asked before the lines are read: none comes after an end that was seen.
                let is_over = run_of(service, &name, &job, Some(number)).is_ok_and(|(run, _)| run.end.is_some());
                let found = taken.more(&folders)?;
                Ok((taken, found, is_over))
            });
            let (logs, found, is_over) = read.await.ok()?;
            Some((stream::iter(found), (service, Some(logs), None, !is_over)))
        }
    });
    Ok(lines(found.flatten()))
}
