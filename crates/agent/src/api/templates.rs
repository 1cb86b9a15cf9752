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
use openmesh_primitives::Timestamp;
use openmesh_templates::grade::Grades;
use openmesh_templates::views::{
    BackupOutcome, BackupWish, OrderBody, Outcome as Made, Preflight, Sheet, Summary, outcomes, sheet, summary,
};
use openmesh_templates::{Composition, Facts, Fault, HeldPort, Library, Order, compose, preflight};
use serde::Deserialize;

use super::common::{Change, Shared, blocking, name};
use crate::error::AgentError;
use crate::service::{Asked, Service, Terms, names};
use crate::views;

/// Words for a machine without a place for backups.
const NO_PLACE: &str = "this machine has no place for backups; name one in machine.backups of its document";
/// Words for a machine that nobody's key is set for.
const NO_KEY: &str =
    "no owner's key is set, without which none is made; `openmesh xnode backup-key make FILE` makes one";
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

async fn list(State(service): Shared, Query(query): Query<Search>) -> Result<Json<Vec<Summary>>, AgentError> {
    let category = query.category.as_deref().filter(|word| !word.is_empty()).map(str::parse::<Category>).transpose();
    let category = category.map_err(|error| AgentError::Name(format!("the category {error}")))?;
    let (grades, library) = (Grades::built_in(), blocking(&service, library).await?);
    let found = library.search(&query.search, category);
    Ok(Json(found.into_iter().map(|(template, card)| summary(&library, &grades, template, card)).collect()))
}

/// The store of this machine: the built-in templates, and those of the catalogues that its document names.
fn library(service: &Service) -> Result<Arc<Library>, AgentError> {
    Ok(service.publishers().library(&service.catalogues()?))
}

/// Query of one template.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    /// Its version; the newest without it.
    #[serde(default)]
    version: Option<String>,
    /// Its catalogue; a built-in template without it.
    #[serde(default)]
    catalogue: Option<String>,
}

pub(super) fn version(text: Option<&str>) -> Result<Option<PackageVersion>, AgentError> {
    let parsed = text.map(str::parse::<PackageVersion>).transpose();
    parsed.map_err(|error| AgentError::Name(error.to_string()))
}

async fn show(
    State(service): Shared,
    Path(text): Path<String>,
    Query(query): Query<Which>,
) -> Result<Json<Sheet>, AgentError> {
    let (wanted, version) = (name(&text)?, version(query.version.as_deref())?);
    let catalogue = query.catalogue.as_deref().map(name).transpose()?;
    let library = blocking(&service, library).await?;
    let found = library.find_in(catalogue.as_ref(), &wanted, version.as_ref());
    let sheet = found.and_then(|template| sheet(&library, &Grades::built_in(), template));
    sheet.map(Json).ok_or(AgentError::NoTemplate { name: text })
}

/// An order with a person's wish about backups, which the machine's places decide about.
struct Wished {
    order: Order,
    backup: Option<BackupWish>,
}

/// An order of a body of JSON.
fn order(template: &str, body: &[u8]) -> Result<Wished, AgentError> {
    let body: OrderBody =
        serde_json::from_slice(body).map_err(|error| AgentError::Name(format!("the order cannot be read: {error}")))?;
    let answers = body.answers.into_iter().map(|(option, answer)| Ok((name(&option)?, answer)));
    let order = Order {
        catalogue: body.catalogue.as_deref().map(name).transpose()?,
        template: name(template)?,
        version: version(body.version.as_deref())?,
        name: name(&body.name)?,
        answers: answers.collect::<Result<BTreeMap<Name, String>, AgentError>>()?,
        backup: None,
    };
    Ok(Wished { order, backup: body.backup })
}

/// An order as it is done on this machine, and the store from which it is.
struct Placed {
    order: Order,
    library: Arc<Library>,
    number: u64,
    document: Document,
}

/// Finds the template of an order, and the place of its backups.
fn placed(service: &Service, wished: &Wished) -> Result<Placed, AgentError> {
    let (number, document) = present(service)?;
    let library = service.publishers().library(&document.machine.catalogues);
    let mut order = wished.order.clone();
    if let Some(catalogue) = &order.catalogue {
        service.publishers().check_copy(catalogue, &document.machine.catalogues, Timestamp::now())?;
    }
    if library.find_in(order.catalogue.as_ref(), &order.template, None).is_none() {
        return Err(AgentError::NoTemplate { name: Order { version: None, ..order }.words() });
    }
    order.backup = place(wished.backup.as_ref(), &document)?;
    Ok(Placed { order, library, number, document })
}

/// The place of backups that an order gets: the one that is wished for, else the first of the machine.
fn place(wish: Option<&BackupWish>, document: &Document) -> Result<Option<Name>, AgentError> {
    let places = &document.machine.backups;
    let refused = |message: String| {
        Err(AgentError::Order { faults: vec![Fault { option: Some("backup".to_string()), message }] })
    };
    match wish {
        None => Ok(places.keys().next().cloned()),
        Some(BackupWish { on: false, .. }) => Ok(None),
        Some(BackupWish { to: None, .. }) => match places.keys().next() {
            Some(first) => Ok(Some(first.clone())),
            None => refused(NO_PLACE.to_string()),
        },
        Some(BackupWish { to: Some(to), .. }) => match places.keys().find(|place| place.as_str() == to) {
            Some(place) => Ok(Some(place.clone())),
            None => refused(format!("`{to}` is no place of machine.backups; there are {}", names(places.keys()))),
        },
    }
}

/// Backups that an order comes to; none where its templates propose none.
fn backups_of(
    service: &Service,
    placed: &Placed,
    composition: &Composition,
) -> Result<Option<BackupOutcome>, AgentError> {
    if composition.templates.values().all(|template| template.backup.is_none()) {
        return Ok(None);
    }
    let places: Vec<String> = placed.document.machine.backups.keys().map(ToString::to_string).collect();
    let lacks = match &placed.order.backup {
        None if places.is_empty() => Some(NO_PLACE.to_string()),
        None => Some("they are switched off".to_string()),
        Some(_) if service.backups().keys.owner()?.is_none() => Some(NO_KEY.to_string()),
        Some(_) => None,
    };
    Ok(Some(BackupOutcome { to: placed.order.backup.as_ref().map(ToString::to_string), places, lacks }))
}

/// Faults of an order from a catalogue of others, none of a built-in template: a secret that is there under the name of one that is made would be handed to it, whoever it is for.
pub(super) fn faults_of_others(
    service: &Service,
    catalogue: Option<&Name>,
    composition: &Composition,
) -> Result<Vec<Fault>, AgentError> {
    if catalogue.is_none() {
        return Ok(Vec::new());
    }
    let is_made = |secret: &str| composition.secrets.keys().any(|name| name.as_str() == secret);
    let held = service.secrets()?.into_iter().filter(|secret| is_made(&secret.name));
    let fault = |secret: views::Secret| {
        let whose = match secret.used_by.keys().next() {
            Some(user) => format!("would be the one that {user} has"),
            None => "is there already, and nobody has handed it over".to_string(),
        };
        let name = &secret.name;
        let way = format!("take another name for the application, or answer with `secret:{name}` if it is to have it");
        Fault { option: Some("name".to_string()), message: format!("its secret `{name}` {whose}; {way}") }
    };
    Ok(held.map(fault).collect())
}

/// The wanted document with the number of its generation; an empty one before the first.
pub(super) fn present(service: &Service) -> Result<(u64, Document), AgentError> {
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
    let wished = order(&text, &body)?;
    Ok(Json(blocking(&service, move |service| checked(service, &wished)).await?))
}

fn checked(service: &Service, wished: &Wished) -> Result<Preflight, AgentError> {
    let placed = placed(service, wished)?;
    let facts = facts(service, &placed.document)?;
    let mut view = Preflight {
        problems: Vec::new(),
        applications: Vec::new(),
        secrets: Vec::new(),
        memory_bytes: 0,
        memory_free_bytes: facts.memory_free,
        disk_bytes: 0,
        disk_free_bytes: facts.disk_free,
        backups: None,
        document: String::new(),
    };
    match compose(&placed.library, &placed.order) {
        Err(faults) => view.problems = faults,
        Ok(composition) => {
            view.problems = preflight(&composition, &facts);
            view.problems.extend(faults_of_others(service, placed.order.catalogue.as_ref(), &composition)?);
            view.applications = outcomes(&placed.library, &composition);
            view.backups = backups_of(service, &placed, &composition)?;
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

fn ready(service: &Service, wished: &Wished) -> Result<Ready, AgentError> {
    let placed = placed(service, wished)?;
    let composition = compose(&placed.library, &placed.order).map_err(|faults| AgentError::Order { faults })?;
    let mut faults = preflight(&composition, &facts(service, &placed.document)?);
    faults.extend(faults_of_others(service, placed.order.catalogue.as_ref(), &composition)?);
    if !faults.is_empty() {
        return Err(AgentError::Order { faults });
    }
    let (number, mut document) = (placed.number, placed.document);
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
    let wished = order(&text, &body)?;
    let reason = format!("{} is made of the template {}", wished.order.name, wished.order.words());
    let ready = blocking(&service, move |service| ready(service, &wished)).await?;
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
        let body = br#"{"name": "cache", "answers": {"memory": "64 MiB"}, "backup": {"on": true, "to": "disk"}}"#;
        let read = order("redis", body).unwrap();
        assert_eq!((read.order.name.as_str(), read.order.answers.len()), ("cache", 1));
        assert_eq!(read.backup, Some(BackupWish { on: true, to: Some("disk".into()) }));
        let theirs = order("shop", br#"{"name": "till", "catalogue": "acme"}"#).unwrap();
        assert_eq!((theirs.order.words().as_str(), theirs.backup), ("acme/shop", None));
        let code = |template: &str, body: &[u8]| order(template, body).err().unwrap().code();
        assert_eq!(code("redis", br#"{"name": "cache", "anwsers": {}}"#), ("value", 400));
        assert_eq!(code("redis", br#"{"name": "Cache"}"#), ("value", 400));
        assert_eq!(code("redis", br#"{"name": "cache", "catalogue": "../a"}"#), ("value", 400));
        assert_eq!(code("redis", br#"{"name": "cache", "backup": {"to": "disk"}}"#), ("value", 400));
    }

    #[test]
    fn backups_are_made_where_the_machine_has_a_place_unless_a_person_says_otherwise() {
        let with = |backups: &str| {
            Document::parse(&format!("version: 1\nmachine: {{backups: {backups}}}\napplications: {{}}\n")).unwrap()
        };
        let (none, two) = (with("{}"), with("{b: {kind: folder, address: /b}, a: {kind: folder, address: /a}}"));
        let found = |wish: Option<BackupWish>, document: &Document| {
            place(wish.as_ref(), document).map(|place| place.map(|place| place.to_string())).map_err(|e| e.code().0)
        };
        let wish = |on: bool, to: Option<&str>| Some(BackupWish { on, to: to.map(str::to_string) });
        assert_eq!(found(None, &none), Ok(None));
        assert_eq!(found(None, &two), Ok(Some("a".to_string())));
        assert_eq!(found(wish(false, None), &two), Ok(None));
        assert_eq!(found(wish(true, Some("b")), &two), Ok(Some("b".to_string())));
        assert_eq!(found(wish(true, None), &two), Ok(Some("a".to_string())));
        assert_eq!(found(wish(true, None), &none), Err("order"));
        assert_eq!(found(wish(true, Some("c")), &two), Err("order"));
    }
}
