//! Backups: keys, places, what was made, what is under way; backups, drills and restores on demand.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{delete, get, post};
use axum::{Extension, Json, Router};
use futures::stream;
use openmesh_access::Principal;
use openmesh_backup::{BadKey, Identity, NodePublicKey, Recipient};
use openmesh_blueprint::generation::PlacedVolume;
use openmesh_volume::Asker;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::common::{Change, Shared, blocking, lines, name};
use crate::backups::{self, BackupsError};
use crate::error::AgentError;
use crate::service::{Service, names};
use crate::views::EventKind;
use crate::views::backups::{Backup, Job, Keys, Line, MachinePlan, MachineRequest, Overview, RestoreRequest};

/// Pause between two looks at an act that is followed: a bar that moves three times a second looks alive.
const FOLLOW_PAUSE: Duration = Duration::from_millis(300);

/// Routes of this area.
pub(super) fn routes() -> Router<Arc<Service>> {
    Router::new()
        .route("/v1/xnode/backups", get(overview))
        .route("/v1/xnode/backups/key", get(keys).put(set_owner))
        .route("/v1/xnode/backups/targets/{name}/join", post(join))
        .route("/v1/xnode/backups/jobs/{number}", get(job).delete(cancel))
        .route("/v1/xnode/backups/machine", post(restore_machine))
        .route("/v1/xnode/backups/machine/plan", post(plan_machine))
        .route("/v1/xnode/applications/{name}/backups", get(list).post(back_up))
        .route("/v1/xnode/applications/{name}/backups/drill", post(drill))
        .route("/v1/xnode/applications/{name}/backups/restore", post(restore))
        .route("/v1/xnode/applications/{name}/lines", get(data_lines))
        .route("/v1/xnode/applications/{name}/lines/{volume}/{line}", delete(drop_line))
}

async fn overview(State(service): Shared) -> Result<Json<Overview>, AgentError> {
    Ok(Json(blocking(&service, backups::overview).await?))
}

async fn keys(State(service): Shared) -> Result<Json<Keys>, AgentError> {
    Ok(Json(blocking(&service, |service| Ok(backups::overview(service)?.keys)).await?))
}

/// Query of a new owner's key.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Owner {
    /// Another key that is set is replaced.
    #[serde(default)]
    replace: bool,
    /// Key by which the owner reads at lenders.
    #[serde(default)]
    reading: Option<String>,
    /// Whoever asks, where root asks for somebody.
    #[serde(default)]
    by: Option<String>,
}

async fn set_owner(
    State(service): Shared,
    Extension(principal): Extension<Principal>,
    Query(query): Query<Owner>,
    text: String,
) -> Result<Json<Keys>, AgentError> {
    let owner: Recipient = text.trim().parse()?;
    let by = query.by.filter(|_| principal.is_root()).unwrap_or_else(|| principal.to_string());
    let wrong = |cause: BadKey| BackupsError::Value(format!("`reading` is {cause}"));
    let reading = query.reading.as_deref().map(str::parse::<NodePublicKey>).transpose().map_err(wrong)?;
    let set = blocking(&service, move |service| {
        service.backups().keys.set_owner(owner, reading, query.replace)?;
        let text = format!("{by} set {owner} as the owner's key of backups");
        service.history().note(EventKind::Secret, service.wanted()?, None, text);
        service.backups().look_now();
        Ok(backups::overview(service)?.keys)
    });
    Ok(Json(set.await?))
}

/// Lets this machine into the repository of a target: with the owner's identity, which is not kept.
async fn join(
    State(service): Shared,
    Path(text): Path<String>,
    change: Change,
    identity: String,
) -> Result<Json<String>, AgentError> {
    let target = name(&text)?;
    let identity: Identity = identity.parse()?;
    let by = change.asked("").by;
    let joined = blocking(&service, move |service| {
        let wanted = service.wanted()?;
        let document = if wanted == 0 { None } else { Some(service.document(wanted)?) };
        let stores = document.map(|document| document.machine.backups).unwrap_or_default();
        let missing = || BackupsError::Target {
            target: target.to_string(),
            why: format!("the document has no place of this name; there are {}", names(stores.keys())),
        };
        let store = stores.get(&target).ok_or_else(missing)?;
        let id = backups::open_target(service, &target, store)?.join(service, &identity)?;
        let text = format!("{by} let this machine into repository {id} of `{target}`");
        service.history().note(EventKind::Secret, wanted, None, text);
        service.backups().look_now();
        Ok(id.to_string())
    });
    Ok(Json(joined.await?))
}

/// Query of an act.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Follow {
    /// The act is told again and again, until it has ended.
    #[serde(default)]
    follow: bool,
}

async fn job(
    State(service): Shared,
    Path(number): Path<u64>,
    Query(query): Query<Follow>,
) -> Result<Response, AgentError> {
    let job = service.backups().jobs.find(number)?;
    let end = job.follow();
    let begin = (service, job, end, query.follow, true);
    let told = stream::unfold(begin, |(service, job, mut end, follows, is_first)| async move {
        if !is_first {
            if !follows || service.is_leaving() {
                return None;
            }
            let _over = tokio::time::timeout(FOLLOW_PAUSE, end.wait_for(Option::is_some)).await.is_ok();
        }
        let view = job.view();
        let follows = follows && view.ended.is_none();
        Some((view, (service, job, end, follows, false)))
    });
    Ok(lines(told))
}

async fn cancel(State(service): Shared, Path(number): Path<u64>) -> Result<Json<Job>, AgentError> {
    let job = service.backups().jobs.find(number)?;
    job.cancel();
    Ok(Json(job.view()))
}

async fn list(State(service): Shared, Path(text): Path<String>) -> Result<Json<Vec<Backup>>, AgentError> {
    let name = name(&text)?;
    Ok(Json(blocking(&service, move |service| backups::list(service, &name)).await?))
}

async fn back_up(State(service): Shared, Path(text): Path<String>, change: Change) -> Result<Json<Job>, AgentError> {
    Ok(Json(backups::back_up(&service, &name(&text)?, &change.asked("").by)?.view()))
}

/// Query of a drill.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DrillQuery {
    /// Id of the backup, or its first digits; the newest one without it.
    #[serde(default)]
    backup: Option<String>,
    /// Whoever asks, where root asks for somebody.
    #[serde(default)]
    by: Option<String>,
}

async fn drill(
    State(service): Shared,
    Extension(principal): Extension<Principal>,
    Path(text): Path<String>,
    Query(query): Query<DrillQuery>,
) -> Result<Json<Job>, AgentError> {
    let by = query.by.filter(|_| principal.is_root()).unwrap_or_else(|| principal.to_string());
    Ok(Json(backups::drill(&service, &name(&text)?, query.backup, &by)?.view()))
}

/// Reads the body of a request.
fn body<T: DeserializeOwned>(bytes: &Bytes) -> Result<T, AgentError> {
    let wrong = |cause: serde_json::Error| BackupsError::Value(format!("the request cannot be read: {cause}"));
    Ok(serde_json::from_slice(bytes).map_err(wrong)?)
}

async fn restore(
    State(service): Shared,
    Path(text): Path<String>,
    change: Change,
    bytes: Bytes,
) -> Result<Json<Job>, AgentError> {
    let request: RestoreRequest = if bytes.is_empty() { RestoreRequest::default() } else { body(&bytes)? };
    Ok(Json(backups::restore(&service, &name(&text)?, request, &change.asked("").by)?.view()))
}

async fn plan_machine(State(service): Shared, bytes: Bytes) -> Result<Json<MachinePlan>, AgentError> {
    let request: MachineRequest = body(&bytes)?;
    Ok(Json(blocking(&service, move |service| backups::plan_machine(service, &request)).await?))
}

async fn restore_machine(State(service): Shared, change: Change, bytes: Bytes) -> Result<Json<Job>, AgentError> {
    let request: MachineRequest = body(&bytes)?;
    blocking(&service, backups::check_fresh).await?;
    Ok(Json(backups::restore_machine(&service, request, &change.asked("").by)?.view()))
}

/// Volumes of an application of the wanted generation.
fn volumes_of(service: &Service, text: &str) -> Result<Vec<(String, openmesh_volume::Id, PlacedVolume)>, AgentError> {
    let wanted = service.agent().generations()?.map(|(wanted, _)| wanted);
    let placed = wanted.as_ref().and_then(|wanted| {
        let found = wanted.placement.applications.iter().find(|(name, _)| name.as_str() == text);
        found.map(|(_, placed)| placed)
    });
    let known = wanted.iter().flat_map(|wanted| wanted.placement.applications.keys());
    let missing = || AgentError::NoApplication { name: text.into(), known: names(known) };
    let placed = placed.ok_or_else(missing)?;
    let with_id = |(name, placed): (&openmesh_blueprint::document::Name, &PlacedVolume)| -> Result<_, AgentError> {
        Ok((name.to_string(), backups::volume_id(placed)?, placed.clone()))
    };
    placed.volumes.iter().map(with_id).collect()
}

async fn data_lines(State(service): Shared, Path(text): Path<String>) -> Result<Json<Vec<Line>>, AgentError> {
    let found = blocking(&service, move |service| {
        let mut all = Vec::new();
        for (volume, id, _) in volumes_of(service, &text)? {
            let found = service.agent().machine().volumes.observe_one(id);
            all.extend(found.lines.into_values().map(|line| Line {
                volume: volume.clone(),
                number: line.number,
                in_use: found.in_use == Some(line.number),
                parent: line.parent,
                reason: line.reason,
                by: line.by,
                at: line.at,
                admitted: line.admitted.is_some(),
            }));
        }
        Ok(all)
    });
    Ok(Json(found.await?))
}

async fn drop_line(
    State(service): Shared,
    Path((application, volume, line)): Path<(String, String, u32)>,
    change: Change,
) -> Result<StatusCode, AgentError> {
    let by = change.asked("").by;
    blocking(&service, move |service| {
        let all = volumes_of(service, &application)?;
        let known = || names(all.iter().map(|(name, _, _)| name));
        let found = all.iter().find(|(name, _, _)| *name == volume);
        let missing = || BackupsError::NoVolume {
            application: application.clone(),
            volume: volume.clone(),
            here: "",
            known: known(),
        };
        let (_, id, placed) = found.ok_or_else(missing)?;
        if placed.line == line {
            let text = format!("line {line} is the one that the wanted generation has; choose another one first");
            return Err(BackupsError::Value(text).into());
        }
        let volumes = &service.agent().machine().volumes;
        volumes.drop_line(*id, line, Asker::Person, &BTreeSet::new(), &openmesh_volume::open)?;
        let text = format!("{by} removed line {line} of the volume {volume} with its data");
        service.history().note(EventKind::Done, service.wanted()?, Some(application.clone()), text);
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}
