//! Templates: a store of them, a form, and applications made of answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use openmesh_blueprint::Document;
use openmesh_blueprint::document::{Name, PackageVersion, Protocol};
use openmesh_blueprint::inventory::Holder;
use openmesh_blueprint::template::Category;
use openmesh_templates::grade::Grades;
use openmesh_templates::views::{OrderBody, Outcome as Made, Preflight, Sheet, Summary, outcomes, sheet, summary};
use openmesh_templates::{Facts, HeldPort, Order, built_in, compose, preflight};
use serde::Deserialize;

use super::common::{Change, Shared, blocking, name};
use crate::error::AgentError;
use crate::service::{Asked, Service, Terms};
use crate::views;

/// Memory of an application that names none, bytes. Source: clause X-42.
const MEMORY_BYTES: u64 = 512 << 20;

/// The routes of templates.
pub(super) fn routes() -> Router<Arc<Service>> {
    Router::new()
        .route("/v1/xnode/templates", get(list))
        .route("/v1/xnode/templates/{name}", get(show))
        .route("/v1/xnode/templates/{name}/preflight", post(check))
        .route("/v1/xnode/templates/{name}/deploy", post(deploy))
}

/// Query of the store.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Search {
    /// Words that a template has.
    #[serde(default)]
    search: String,
    /// Its category.
    #[serde(default)]
    category: Option<String>,
}

async fn list(Query(query): Query<Search>) -> Result<Json<Vec<Summary>>, AgentError> {
    let category = query.category.as_deref().filter(|word| !word.is_empty()).map(str::parse::<Category>).transpose();
    let category = category.map_err(|error| AgentError::Name(format!("the category {error}")))?;
    let grades = Grades::built_in();
    let found = built_in().search(&query.search, category);
    Ok(Json(found.into_iter().map(|(template, card)| summary(built_in(), &grades, template, card)).collect()))
}

/// Query of one template.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    /// Its version; the newest without it.
    #[serde(default)]
    version: Option<String>,
}

fn version(text: Option<&str>) -> Result<Option<PackageVersion>, AgentError> {
    let parsed = text.map(str::parse::<PackageVersion>).transpose();
    parsed.map_err(|error| AgentError::Name(error.to_string()))
}

async fn show(Path(text): Path<String>, Query(query): Query<Which>) -> Result<Json<Sheet>, AgentError> {
    let (wanted, version) = (name(&text)?, version(query.version.as_deref())?);
    let found = built_in().find(&wanted, version.as_ref());
    let sheet = found.and_then(|template| sheet(built_in(), &Grades::built_in(), template));
    sheet.map(Json).ok_or(AgentError::NoTemplate { name: text })
}

/// An order of a body of JSON.
fn order(template: &str, body: &[u8]) -> Result<Order, AgentError> {
    let body: OrderBody =
        serde_json::from_slice(body).map_err(|error| AgentError::Name(format!("the order cannot be read: {error}")))?;
    let template = name(template)?;
    if built_in().find(&template, None).is_none() {
        return Err(AgentError::NoTemplate { name: template.to_string() });
    }
    let answers = body.answers.into_iter().map(|(option, answer)| Ok((name(&option)?, answer)));
    Ok(Order {
        template,
        version: version(body.version.as_deref())?,
        name: name(&body.name)?,
        answers: answers.collect::<Result<BTreeMap<Name, String>, AgentError>>()?,
    })
}

/// The wanted document with the number of its generation; an empty one before the first.
fn present(service: &Service) -> Result<(u64, Document), AgentError> {
    match service.wanted()? {
        0 => Ok((0, empty()?)),
        wanted => Ok((wanted, service.document(wanted)?)),
    }
}

/// A document without applications.
fn empty() -> Result<Document, AgentError> {
    Document::parse("version: 1\n").map_err(|problems| AgentError::Document { problems })
}

/// Facts of this machine, as the wanted document leaves them.
fn facts(service: &Service, document: &Document) -> Result<Facts, AgentError> {
    let look = service.agent().look()?;
    let (host, reserve) = (&look.inventory.host, &document.machine.reserve);
    let running = look.wanted.iter().flat_map(|wanted| wanted.portable.applications.values());
    let promised: u64 = running
        .map(|resolved| {
            let limits = &resolved.application.limits;
            limits.memory.map_or(MEMORY_BYTES, |memory| memory.0) * u64::from(resolved.application.instances)
        })
        .sum();
    let ports = look.inventory.ports.iter().map(|(at, holder)| HeldPort {
        address: at.address,
        port: at.port,
        is_udp: at.protocol == Protocol::Udp,
        holder: match holder {
            Holder::Ours { application, .. } => format!("the application {application}"),
            Holder::Foreign(by) => by.clone(),
        },
    });
    let domains = document.applications.iter().flat_map(|(name, application)| {
        application.domains.keys().map(|domain| (domain.clone(), name.clone())).collect::<Vec<_>>()
    });
    Ok(Facts {
        memory_free: host.memory.0.saturating_sub(reserve.memory.0).saturating_sub(promised),
        disk_free: host.disk_free.0.saturating_sub(reserve.disk.0),
        architecture: service.agent().machine().images.platform().architecture.clone(),
        release: service.settings().kitchen.suite.clone(),
        applications: document.applications.keys().cloned().collect(),
        ports: ports.collect(),
        domains: domains.collect(),
    })
}

/// Those of some secrets that are not there yet.
fn missing(service: &Service, secrets: &BTreeMap<Name, u32>) -> Result<BTreeMap<Name, u32>, AgentError> {
    let there: BTreeSet<String> = service.secrets()?.into_iter().map(|secret| secret.name).collect();
    let wanted = secrets.iter().filter(|(name, _)| !there.contains(name.as_str()));
    Ok(wanted.map(|(name, length)| (name.clone(), *length)).collect())
}

async fn check(State(service): Shared, Path(text): Path<String>, body: Bytes) -> Result<Json<Preflight>, AgentError> {
    let order = order(&text, &body)?;
    Ok(Json(blocking(&service, move |service| checked(service, &order)).await?))
}

fn checked(service: &Service, order: &Order) -> Result<Preflight, AgentError> {
    let (_, document) = present(service)?;
    let facts = facts(service, &document)?;
    let mut view = Preflight {
        problems: Vec::new(),
        applications: Vec::new(),
        secrets: Vec::new(),
        memory_bytes: 0,
        memory_free_bytes: facts.memory_free,
        disk_bytes: 0,
        disk_free_bytes: facts.disk_free,
        document: String::new(),
    };
    match compose(built_in(), order) {
        Err(faults) => view.problems = faults,
        Ok(composition) => {
            view.problems = preflight(&composition, &facts);
            view.applications = outcomes(&composition);
            view.secrets = missing(service, &composition.secrets)?.into_keys().map(|name| name.to_string()).collect();
            let all = |bytes: fn(&Made) -> u64| view.applications.iter().map(bytes).fold(0, u64::saturating_add);
            (view.memory_bytes, view.disk_bytes) = (all(|made| made.memory_bytes), all(|made| made.disk_bytes));
            let part = Document { applications: composition.applications, ..empty()? };
            view.document = part.to_yaml();
        }
    }
    Ok(view)
}

/// A document with the applications of an order, and what it takes to deploy it.
struct Ready {
    number: u64,
    document: Document,
    secrets: BTreeMap<Name, u32>,
}

fn ready(service: &Service, order: &Order) -> Result<Ready, AgentError> {
    let (number, mut document) = present(service)?;
    let composition = compose(built_in(), order).map_err(|faults| AgentError::Order { faults })?;
    let faults = preflight(&composition, &facts(service, &document)?);
    if !faults.is_empty() {
        return Err(AgentError::Order { faults });
    }
    document.applications.extend(composition.applications);
    // What the new applications do together with the old ones is looked at as in any other document.
    let document = Document::parse(&document.to_yaml()).map_err(|problems| AgentError::Document { problems })?;
    Ok(Ready { number, document, secrets: composition.secrets })
}

async fn deploy(
    State(service): Shared,
    Path(text): Path<String>,
    change: Change,
    body: Bytes,
) -> Result<Json<views::Deployment>, AgentError> {
    let order = order(&text, &body)?;
    let reason = format!("{} is made of the template {}", order.name, order.template);
    let ready = blocking(&service, move |service| ready(service, &order)).await?;
    let asked = change.asked(&reason);
    let asked = Asked { expected: Some(asked.expected.unwrap_or(ready.number)), ..asked };
    let terms = Terms { refresh: change.refresh, makes: ready.secrets, ..Terms::default() };
    Ok(Json(service.deploy_on(&ready.document, &terms, &asked, !change.plan).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_of_json_is_strict() {
        let read = order("redis", br#"{"name": "cache", "answers": {"memory": "64 MiB"}}"#).unwrap();
        assert_eq!((read.name.as_str(), read.answers.len()), ("cache", 1));
        let code = |template: &str, body: &[u8]| order(template, body).unwrap_err().code();
        assert_eq!(code("redis", br#"{"name": "cache", "anwsers": {}}"#), ("value", 400));
        assert_eq!(code("redis", br#"{"name": "Cache"}"#), ("value", 400));
        assert_eq!(code("rediss", br#"{"name": "cache"}"#), ("no_template", 404));
    }
}
