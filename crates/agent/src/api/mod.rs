//! The agent's API: HTTP over its Unix socket, JSON, streams as one JSON value a line.
//!
//! Whoever can open the socket is root: the file's permissions are the sign-in there. People come through the face ([`crate::face`]), which stands in front of the same routes.

pub mod access;
mod alerts;
pub mod applications;
mod backups;
mod catalogues;
mod common;
mod costs;
pub mod doors;
mod drain;
pub mod exec;
mod export;
pub mod files;
pub mod gpus;
pub mod import;
pub mod jobs;
mod loans;
mod machines;
mod moves;
pub mod processes;
mod templates;
pub mod upgrade;
pub mod usage;
pub mod visit;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures::{StreamExt as _, stream};
use openmesh_access::{Refusal, Role};
use openmesh_blueprint::document::{Name, schema};
use openmesh_blueprint::generation::{Disposal, Generation};
use openmesh_blueprint::inventory::Feature;
use openmesh_blueprint::resolve::LineChoices;
use openmesh_blueprint::{Document, diff};
use openmesh_shim::log::{Filter, Stream as LogStream};
use openmesh_xnode::marks;
use serde::Deserialize;

use applications::views_of;
use common::{Change, LOG_PAUSE, Shared, lines};
pub(crate) use common::{blocking, name};

use crate::error::AgentError;
use crate::logs::{LINES_MAX, Logs};
use crate::outcomes::{self, Outcome};
use crate::reach;
use crate::service::{Service, Terms, names};
use crate::uninstall::Holdings;
use crate::views;

/// Largest document, bytes: hundreds of applications with their files.
const DOCUMENT_BYTES_MAX: usize = 4 << 20;
/// Longest words of a refusal that the router or an extractor makes, bytes: a sentence with a part of what it refuses.
const REFUSAL_BYTES_MAX: usize = 64 << 10;

/// The routes.
pub fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route("/v1/xnode", get(node))
        .route("/openapi.json", get(described))
        .route("/v1/xnode/openapi.json", get(described))
        .route("/v1/xnode/schema", get(published_schema))
        .route("/v1/xnode/holdings", get(holdings))
        .route("/v1/xnode/applications", get(applications).post(deploy))
        .route("/v1/xnode/applications/{name}", get(application).delete(remove))
        .route("/v1/xnode/applications/{name}/logs", get(logs))
        .route("/v1/xnode/applications/{name}/restart", post(restart))
        .route("/v1/xnode/generations", get(generations))
        .route("/v1/xnode/generations/{number}", get(document))
        .route("/v1/xnode/generations/{number}/diff/{other}", get(difference))
        .route("/v1/xnode/generations/{number}/restore", post(roll_back))
        .route("/v1/xnode/events", get(events))
        .route("/v1/xnode/secrets", get(secrets))
        .route("/v1/xnode/secrets/{name}", axum::routing::put(set_secret).delete(remove_secret))
        .merge(backups::routes())
        .merge(catalogues::routes())
        .merge(access::routes())
        .merge(alerts::routes())
        .merge(costs::routes())
        .merge(doors::routes())
        .merge(drain::routes())
        .merge(exec::routes())
        .merge(export::routes())
        .merge(files::routes())
        .merge(import::routes())
        .merge(jobs::routes())
        .merge(loans::routes())
        .merge(machines::routes())
        .merge(moves::routes())
        .merge(processes::routes())
        .merge(usage::routes())
        .merge(templates::routes())
        .merge(upgrade::routes())
        .merge(visit::routes())
        .layer(DefaultBodyLimit::max(DOCUMENT_BYTES_MAX))
        .layer(map_response(one_shape))
        .with_state(service)
}

/// Gives a refusal that was made before a handler saw the request the form of all others.
async fn one_shape(response: Response) -> Response {
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !(status.is_client_error() || status.is_server_error()) || kind.starts_with("application/json") {
        return response;
    }
    let code = match status {
        StatusCode::NOT_FOUND => "no_endpoint",
        StatusCode::METHOD_NOT_ALLOWED => "method",
        StatusCode::PAYLOAD_TOO_LARGE => "too_large",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "media_type",
        StatusCode::UPGRADE_REQUIRED => "upgrade",
        _ if status.is_server_error() => "machine",
        _ => "malformed",
    };
    let (mut parts, body) = response.into_parts();
    let words = axum::body::to_bytes(body, REFUSAL_BYTES_MAX).await.unwrap_or_default();
    let words = String::from_utf8_lossy(&words).trim().to_string();
    let message = if words.is_empty() { status.to_string() } else { words };
    for header in [header::CONTENT_TYPE, header::CONTENT_LENGTH] {
        parts.headers.remove(header);
    }
    let failure = Json(views::Failure { code: code.into(), message });
    (status, parts.headers, failure).into_response()
}

/// The description of this API.
async fn described() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], crate::contract::openapi())
}

async fn node(State(service): Shared) -> Result<Json<views::Node>, AgentError> {
    let seen = blocking(&service, |service| {
        let drained = crate::drain::find(service.settings())?;
        // A list that cannot be read is told to whoever wants a GPU of it.
        let gpus = gpus::views_of(&service.agent().gpus().unwrap_or_default());
        Ok((service.agent().look()?, crate::backups::troubles(service)?, drained, gpus))
    });
    let (look, unsaved, drained, gpus) = seen.await?;
    let host = &look.inventory.host;
    let mut work = service.work();
    work.troubles.extend(unsaved);
    let lacks = Feature::ALL.iter().filter(|feature| !host.features.contains(feature));
    Ok(Json(views::Node {
        agent: service.settings().name.to_string(),
        version: env!("CARGO_PKG_VERSION").into(),
        node: look.wanted.as_ref().map(|wanted| wanted.placement.node.to_string()).unwrap_or_default(),
        current: look.inventory.current,
        wanted: look.wanted.as_ref().map_or(0, |wanted| wanted.number),
        work,
        memory_bytes: host.memory.0,
        disk_free_bytes: host.disk_free.0,
        in_use: views::InUse::read(&service.settings().state),
        gpus,
        lacks: lacks.map(|feature| format!("{feature}: {}", feature.remedy())).collect(),
        drained,
        declared: service.given().view(),
    }))
}

async fn holdings(State(service): Shared) -> Result<Json<Holdings>, AgentError> {
    Ok(Json(blocking(&service, Holdings::of).await?))
}

async fn published_schema() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/schema+json")], schema().to_json())
}

/// Refuses a document that does more than run applications to whoever may only do that; what it was compared with is expected to be there still.
async fn check_reach(service: &Arc<Service>, change: &mut Change, after: Document) -> Result<(), AgentError> {
    let Some(role) = change.principal.as_ref().map(|principal| principal.role).filter(|role| *role < Role::Admin)
    else {
        return Ok(());
    };
    let compared = blocking(service, move |service| {
        let wanted = service.wanted()?;
        let before = if wanted == 0 { None } else { Some(service.document(wanted)?) };
        Ok((wanted, reach::least(before.as_ref(), &after)))
    });
    let (wanted, least) = compared.await?;
    if role < least {
        return Err(Refusal::Role { least, role }.into());
    }
    change.expected.get_or_insert(wanted);
    Ok(())
}

async fn deploy(
    State(service): Shared,
    mut change: Change,
    text: String,
) -> Result<Json<views::Deployment>, AgentError> {
    let document = Document::parse(&text).map_err(|problems| AgentError::Document { problems })?;
    check_reach(&service, &mut change, document.clone()).await?;
    let asked = change.asked("a document was deployed");
    let makes = if change.make_secrets { service.makeable(&document).await? } else { BTreeMap::new() };
    let terms = Terms { refresh: change.refresh, makes, ..Terms::default() };
    Ok(Json(service.deploy_on(&document, &terms, &asked, !change.plan).await?))
}

async fn remove(
    State(service): Shared,
    Path(text): Path<String>,
    change: Change,
) -> Result<Json<views::Deployment>, AgentError> {
    let name = name(&text)?;
    let disposal = match change.data.as_deref() {
        Some("keep") | None => Disposal::Keep,
        Some("backup") => Disposal::Backup,
        Some("wipe") => Disposal::Wipe,
        Some(other) => return Err(AgentError::Name(format!("`{other}` is no fate of data; keep, backup or wipe is"))),
    };
    Ok(Json(service.remove(&name, disposal, &change.asked(&format!("{name} is removed")), !change.plan).await?))
}

async fn restart(
    State(service): Shared,
    Path(text): Path<String>,
    change: Change,
) -> Result<Json<views::Restarting>, AgentError> {
    let name = name(&text)?;
    let asked = change.asked("it was asked for");
    let restart = move |service: &Service| service.restart(&name, change.instance.as_deref(), &asked);
    Ok(Json(blocking(&service, restart).await?))
}

async fn roll_back(
    State(service): Shared,
    Path(number): Path<u64>,
    mut change: Change,
) -> Result<Json<views::Deployment>, AgentError> {
    let document = blocking(&service, move |service| service.document(number)).await?;
    check_reach(&service, &mut change, document).await?;
    let asked = change.asked(&format!("back to generation {number}"));
    let lines = line_choices(change.lines.as_deref().unwrap_or_default())?;
    Ok(Json(service.roll_back(number, &lines, &asked, !change.plan).await?))
}

/// Lines of data in a query.
fn line_choices(text: &str) -> Result<LineChoices, AgentError> {
    let choice = |part: &str| {
        let wrong = || AgentError::Name(format!("`{part}` is no line of data; APPLICATION/VOLUME:NUMBER is one"));
        let (application, rest) = part.split_once('/').ok_or_else(wrong)?;
        let (volume, line) = rest.split_once(':').ok_or_else(wrong)?;
        Ok(((name(application)?, name(volume)?), line.parse().map_err(|_| wrong())?))
    };
    text.split(',').filter(|part| !part.is_empty()).map(choice).collect()
}

async fn applications(State(service): Shared) -> Result<Json<Vec<views::Application>>, AgentError> {
    let look = blocking(&service, |service| Ok(service.agent().look()?)).await?;
    Ok(Json(with_conditions(&service, views_of(&look, &service.work())).await?))
}

/// Adds what the use of processors, memory and disk says of applications, and what became of versions that failed.
async fn with_conditions(
    service: &Arc<Service>,
    mut all: Vec<views::Application>,
) -> Result<Vec<views::Application>, AgentError> {
    blocking(service, move |service| {
        for view in &mut all {
            view.conditions = usage::present(service, &view.name);
            view.returned = applications::returned(service, &view.name);
        }
        Ok(all)
    })
    .await
}

async fn application(State(service): Shared, Path(text): Path<String>) -> Result<Json<views::Application>, AgentError> {
    let look = blocking(&service, |service| Ok(service.agent().look()?)).await?;
    let all = with_conditions(&service, views_of(&look, &service.work())).await?;
    let known = names(all.iter().map(|view| &view.name));
    let found = all.into_iter().find(|view| view.name == text);
    found.map(Json).ok_or(AgentError::NoApplication { name: text, known })
}

async fn generations(State(service): Shared) -> Result<Json<Vec<views::Generation>>, AgentError> {
    let all = blocking(&service, |service| {
        let paths = &service.agent().machine().paths;
        let (current, wanted) = (marks::pointer(&paths.current())?, service.wanted()?);
        let numbers = marks::numbers(paths)?;
        let state = &service.settings().state;
        let all = numbers.into_iter().rev().map(|number| marks::generation(paths, number));
        let all = all.collect::<Result<Vec<_>, _>>()?;
        let view = |generation: &Generation| {
            let outcome = outcomes::find(state, generation.number);
            let follows = |outcome: &Outcome| all.iter().any(|next| outcome.is_followed_by(generation.number, next));
            let returned_by = outcome.as_ref().filter(|outcome| follows(outcome)).map(|outcome| outcome.returned_by);
            let failed = outcome.map(|outcome| outcome.cause);
            views::Generation { failed, returned_by, ..generation_view(generation, current, wanted) }
        };
        Ok(all.iter().map(view).collect::<Vec<_>>())
    });
    Ok(Json(all.await?))
}

fn generation_view(generation: &Generation, current: u64, wanted: u64) -> views::Generation {
    views::Generation {
        number: generation.number,
        parent: generation.parent,
        by: generation.cause.by.clone(),
        reason: generation.cause.reason.clone(),
        at: generation.cause.at,
        portable: generation.portable.hash().to_string(),
        applications: generation.portable.applications.keys().map(ToString::to_string).collect(),
        serves: generation.number == current,
        is_wanted: generation.number == wanted,
        failed: None,
        returned_by: None,
    }
}

async fn document(State(service): Shared, Path(number): Path<u64>) -> Result<Response, AgentError> {
    let document = blocking(&service, move |service| service.document(number)).await?;
    Ok(([(header::CONTENT_TYPE, "application/yaml")], document.to_yaml()).into_response())
}

async fn difference(
    State(service): Shared,
    Path((before, after)): Path<(u64, u64)>,
) -> Result<Json<Vec<String>>, AgentError> {
    let changes = blocking(&service, move |service| {
        let paths = &service.agent().machine().paths;
        let (before, after) = (marks::generation(paths, before)?, marks::generation(paths, after)?);
        Ok(diff(&before, &after).iter().map(ToString::to_string).collect())
    });
    Ok(Json(changes.await?))
}

/// Query of the history.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Since {
    /// First number that is wanted.
    #[serde(default)]
    from: u64,
    /// New events are wanted too.
    #[serde(default)]
    follow: bool,
}

async fn events(State(service): Shared, Query(query): Query<Since>) -> Response {
    let news = service.history().follow();
    let begin = (service, news, query.from, query.follow, true);
    let events = stream::unfold(begin, |(service, mut news, from, follow, first)| async move {
        if !first && (!follow || service.is_leaving() || news.changed().await.is_err()) {
            return None;
        }
        let (events, next) = service.history().since(from);
        Some((stream::iter(events), (service, news, next, follow, false)))
    });
    lines(events.flatten())
}

/// Query of logs.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LogQuery {
    /// Lines before the new ones.
    #[serde(default)]
    lines: Option<usize>,
    /// New lines are wanted too.
    #[serde(default)]
    follow: bool,
    /// Text that a line has.
    #[serde(default)]
    contains: Option<String>,
    /// Only `stdout`, `stderr` or `shim`.
    #[serde(default)]
    stream: Option<String>,
    /// Earliest moment.
    #[serde(default)]
    since: Option<openmesh_primitives::Timestamp>,
}

fn filter(query: &LogQuery) -> Result<Filter, AgentError> {
    let streams = match query.stream.as_deref() {
        None => Vec::new(),
        Some("stdout") => vec![LogStream::Stdout],
        Some("stderr") => vec![LogStream::Stderr],
        Some("shim") => vec![LogStream::Shim],
        Some(other) => return Err(AgentError::Name(format!("`{other}` is no stream; stdout, stderr and shim are"))),
    };
    let since_us = query.since.and_then(|since| u64::try_from(since.nanos() / 1_000).ok());
    Ok(Filter { since_us, until_us: None, streams, contains: query.contains.clone() })
}

/// Folders of the logs of an application's instances.
fn folders(service: &Service, name: &Name) -> Result<BTreeMap<String, PathBuf>, AgentError> {
    Ok(service.agent().logs(name)?.into_iter().map(|(id, folder)| (id.to_string(), folder)).collect())
}

async fn logs(
    State(service): Shared,
    Path(text): Path<String>,
    Query(query): Query<LogQuery>,
) -> Result<Response, AgentError> {
    let (name, filter) = (name(&text)?, filter(&query)?);
    let wanted = query.lines.unwrap_or(LINES_MAX);
    let asked = name.clone();
    let (logs, first) = blocking(&service, move |service| {
        let folders = folders(service, &asked)?;
        if folders.is_empty() {
            let known = names(service.agent().look()?.instances.keys());
            return Err(AgentError::NoApplication { name: asked.to_string(), known });
        }
        Logs::open(&folders, wanted, &filter)
    })
    .await?;
    let begin = (service, name, Some(logs), Some(first), query.follow);
    let lines_found = stream::unfold(begin, |(service, name, mut logs, first, follow)| async move {
        if let Some(first) = first {
            return Some((stream::iter(first), (service, name, logs, None, follow)));
        }
        if !follow || service.is_leaving() {
            return None;
        }
        tokio::time::sleep(LOG_PAUSE).await;
        let (asked, mut taken) = (name.clone(), logs.take()?);
        let read = blocking(&service, move |service| {
            let found = taken.more(&folders(service, &asked)?)?;
            Ok((taken, found))
        });
        let (logs, found) = read.await.ok()?;
        Some((stream::iter(found), (service, name, Some(logs), None, follow)))
    });
    Ok(lines(lines_found.flatten()))
}

async fn secrets(State(service): Shared) -> Result<Json<Vec<views::Secret>>, AgentError> {
    Ok(Json(blocking(&service, |service| service.secrets()).await?))
}

async fn set_secret(State(service): Shared, Path(text): Path<String>, value: Bytes) -> Result<Json<u32>, AgentError> {
    let name = name(&text)?;
    Ok(Json(blocking(&service, move |service| service.set_secret(&name, &value)).await?))
}

async fn remove_secret(State(service): Shared, Path(text): Path<String>) -> Result<StatusCode, AgentError> {
    let name = name(&text)?;
    blocking(&service, move |service| service.remove_secret(&name)).await?;
    Ok(StatusCode::NO_CONTENT)
}
