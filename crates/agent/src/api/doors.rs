//! The door: what it listens at, where it leads, what it counts, and its certificates.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, put};
use axum::{Json, Router};
use openmesh_door::document::{Access, Admission, Document, Traffic};
use openmesh_door::host::pattern_of;
use openmesh_door::report::{Report, RouteReport};
use openmesh_xnode::door::{Look, Word};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::common::{Shared, blocking};
use crate::acme;
use crate::doors::{Keeper, Maker, house_renews_at};
use crate::error::AgentError;
use crate::programs;
use crate::service::Service;
use crate::views::EventKind;

/// State of the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DoorState {
    /// It serves what is wanted.
    Serves,
    /// It does not answer, or has not answered yet.
    Waits,
    /// It does not serve what is wanted.
    Fails,
    /// There is no program of one.
    Missing,
}

/// An address at which the door listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DoorListener {
    /// Address and port.
    pub address: String,
    /// With TLS.
    pub tls: bool,
    /// Route to which all of it leads; none where hosts decide.
    pub route: Option<String>,
}

/// A host that the door serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DoorHost {
    /// Its name.
    pub name: String,
    /// Its route.
    pub route: String,
    /// People who may come in: `everybody`, `owner`, `members`, or the number of wallets; `nobody` where it has no certificate, or people have no place to sign in.
    pub access: String,
    /// There is a certificate for it.
    pub is_secure: bool,
}

/// An instance of a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DoorInstance {
    /// Its name.
    pub name: String,
    /// It drains: nothing new comes to it.
    pub drains: bool,
    /// Open requests and connections.
    pub open: u64,
    /// Requests by GET, HEAD and OPTIONS.
    pub reading_requests: u64,
    /// Other requests.
    pub writing_requests: u64,
    /// Requests and connections that were cut.
    pub cut: u64,
}

/// A port of an application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DoorRoute {
    /// Its name, `APPLICATION/PORT`.
    pub name: String,
    /// Treatment of what is new: `open`, `hold`, `maintenance` or `closed`.
    pub admission: String,
    /// Requests that wait now.
    pub waiting: u64,
    /// Requests that ever waited.
    pub held: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// Longest wait, milliseconds.
    pub longest_hold_ms: u64,
    /// Its instances.
    pub instances: Vec<DoorInstance>,
}

/// The door.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Doors {
    /// State.
    pub state: DoorState,
    /// Reason of a state other than `serves`.
    pub cause: Option<String>,
    /// Its program.
    pub program: Option<String>,
    /// Number of its user.
    pub user: Option<u32>,
    /// Number of the document that it serves.
    pub serial: u64,
    /// Open connections from outside.
    pub connections: u64,
    /// Malformed requests.
    pub malformed: u64,
    /// Addresses.
    pub listeners: Vec<DoorListener>,
    /// Hosts.
    pub hosts: Vec<DoorHost>,
    /// Routes.
    pub routes: Vec<DoorRoute>,
    /// Certificates, and names without one.
    pub certificates: Vec<HostCertificate>,
    /// Things that are not served, each with the reason.
    pub remarks: Vec<String>,
}

/// The certificate of a host. Moments are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HostCertificate {
    /// Name or pattern.
    pub name: String,
    /// Its maker; none where there is no certificate.
    pub maker: Option<Maker>,
    /// End of its life.
    pub until: Option<u64>,
    /// Moment from which it is renewed; none for one that a person gave.
    pub renews_at: Option<u64>,
    /// Last attempt to get one that failed, until one succeeds.
    pub failure: Option<CertificateFailure>,
    /// Reason for which none is ordered.
    pub note: Option<String>,
}

/// An attempt to get a certificate that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CertificateFailure {
    /// Attempts in a row.
    pub count: u32,
    /// Moment of the last one.
    pub at: u64,
    /// Moment of the next one.
    pub again: u64,
    /// Cause.
    pub cause: String,
    /// Words that help.
    pub remedy: String,
}

/// A certificate that a person gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DoorCertificate {
    /// Chain as PEM, the host's own first.
    pub chain: String,
    /// Key as PEM.
    pub key: String,
}

/// The routes of this area.
pub(super) fn routes() -> Router<Arc<Service>> {
    Router::new()
        .route("/v1/xnode/doors", get(doors))
        .route("/v1/xnode/doors/authority", get(authority))
        .route("/v1/xnode/doors/certificates/{name}", put(give).delete(forget))
}

async fn doors(State(service): Shared) -> Result<Json<Doors>, AgentError> {
    let view = blocking(&service, |service| {
        let look = service.agent().machine().doors.get().map(openmesh_xnode::door::Carrier::look);
        match service.doors().zip(look) {
            Some((keeper, look)) => view(service, keeper, &look),
            None => Ok(missing()),
        }
    });
    Ok(Json(view.await?))
}

async fn authority(State(service): Shared) -> Result<impl IntoResponse, AgentError> {
    let root = blocking(&service, |service| keeper(service)?.cabinet().root()).await?;
    Ok(([(header::CONTENT_TYPE, "application/x-pem-file")], root))
}

async fn give(
    State(service): Shared,
    Path(name): Path<String>,
    Json(given): Json<DoorCertificate>,
) -> Result<StatusCode, AgentError> {
    blocking(&service, move |service| {
        keeper(service)?.cabinet().give(&name, &given.chain, &given.key)?;
        changed(service, format!("a certificate for {name} was given"))
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn forget(State(service): Shared, Path(name): Path<String>) -> Result<StatusCode, AgentError> {
    blocking(&service, move |service| {
        keeper(service)?.cabinet().forget(&name)?;
        changed(service, format!("the certificate for {name} was removed"))
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

fn keeper(service: &Service) -> Result<&Keeper, AgentError> {
    service.doors().ok_or_else(|| AgentError::Program { path: service.settings().programs.join(programs::DOOR) })
}

/// Lets the door get what has changed at once.
fn changed(service: &Service, text: String) -> Result<(), AgentError> {
    service.history().note(EventKind::Agent, service.wanted()?, None, text);
    service.wake().notify_one();
    Ok(())
}

fn missing() -> Doors {
    Doors {
        state: DoorState::Missing,
        cause: Some(format!(
            "{} is missing beside the agent's program; published ports of HTTP and domains are not served",
            programs::DOOR
        )),
        program: None,
        user: None,
        serial: 0,
        connections: 0,
        malformed: 0,
        listeners: Vec::new(),
        hosts: Vec::new(),
        routes: Vec::new(),
        certificates: Vec::new(),
        remarks: Vec::new(),
    }
}

/// Certificates, and names that the door serves without one.
fn certificates(service: &Service, keeper: &Keeper) -> Result<Vec<HostCertificate>, AgentError> {
    let issuer = keeper.cabinet().issuer();
    let held = keeper.cabinet().list()?;
    let machine = acme::machine(service);
    let of_acme = |name: &str| {
        let entry = issuer.entry(name).unwrap_or_default();
        let failure = entry.failure.map(|one| CertificateFailure {
            count: one.count,
            at: one.at_s,
            again: one.again_s,
            cause: one.cause,
            remedy: one.remedy,
        });
        (entry.issued.map(|issued| acme::renew_at(&issued, name, &machine)), failure)
    };
    let mut all: Vec<HostCertificate> = Vec::new();
    for one in held {
        let until = one.life.map(|(_, until)| until);
        let (renews_at, failure) = match one.maker {
            Maker::Given => (None, None),
            Maker::House => (until.map(house_renews_at), None),
            Maker::Acme => of_acme(&one.name),
        };
        all.push(HostCertificate { name: one.name, maker: Some(one.maker), until, renews_at, failure, note: None });
    }
    let has = |name: &String| {
        let covers = |held: &str| held == name || pattern_of(name).is_some_and(|pattern| pattern == held);
        all.iter().any(|one| covers(&one.name))
    };
    let without: Vec<String> = issuer.served().into_iter().flatten().filter(|name| !has(name)).collect();
    for name in without {
        let (failure, note) = (of_acme(&name).1, acme::why_not(service, &name)?);
        all.push(HostCertificate { name, maker: None, until: None, renews_at: None, failure, note });
    }
    Ok(all)
}

fn view(service: &Service, keeper: &Keeper, look: &Look) -> Result<Doors, AgentError> {
    let certificates = certificates(service, keeper)?;
    let (state, cause) = match &look.word {
        Word::Serves => (DoorState::Serves, None),
        Word::None => (DoorState::Waits, Some("no document was wanted of it yet".to_string())),
        Word::Waits(cause) => (DoorState::Waits, Some(cause.clone())),
        Word::Fails(cause) => (DoorState::Fails, Some(cause.clone())),
    };
    let report = look.report.as_ref();
    Ok(Doors {
        state,
        cause,
        program: Some(keeper.program().display().to_string()),
        user: Some(keeper.user().uid),
        serial: report.map_or(0, |report| report.serial),
        connections: report.map_or(0, |report| report.connections),
        malformed: report.map_or(0, |report| report.malformed),
        listeners: look.document.as_ref().map(|document| listeners(document, report)).unwrap_or_default(),
        hosts: look.document.as_ref().map(hosts).unwrap_or_default(),
        routes: report.into_iter().flat_map(|report| &report.routes).map(|(name, about)| route(name, about)).collect(),
        certificates,
        remarks: look.remarks.clone(),
    })
}

/// Listeners of a document, with the addresses that were bound where the report is of the same document.
fn listeners(document: &Document, report: Option<&Report>) -> Vec<DoorListener> {
    let bound = report.filter(|report| report.serial == document.serial).map(|report| report.listeners.as_slice());
    let all = document.listeners.iter().enumerate();
    let one = |(at, listener): (usize, &openmesh_door::document::Listener)| DoorListener {
        address: bound.and_then(|bound| bound.get(at)).unwrap_or(&listener.address).to_string(),
        tls: listener.tls,
        route: listener.route.clone(),
    };
    all.map(one).collect()
}

fn hosts(document: &Document) -> Vec<DoorHost> {
    let secure = |name: &String| document.certificates.iter().any(|certificate| certificate.names.contains(name));
    let one = |(name, host): (&String, &openmesh_door::document::Host)| DoorHost {
        name: name.clone(),
        route: host.route.clone(),
        access: match &host.access {
            Access::Everybody => "everybody".into(),
            _ if host.gate.is_none() => "nobody".into(),
            Access::Owner => "owner".into(),
            Access::Members => "members".into(),
            Access::Wallets(wallets) => format!("{} wallets", wallets.len()),
        },
        is_secure: secure(name),
    };
    document.hosts.iter().map(one).collect()
}

fn route(name: &str, about: &RouteReport) -> DoorRoute {
    let instances = about.instances.iter().map(|(name, one)| DoorInstance {
        name: name.clone(),
        drains: one.traffic == Traffic::Drain,
        open: one.counts.open,
        reading_requests: one.counts.reading_requests,
        writing_requests: one.counts.writing_requests,
        cut: one.counts.cut,
    });
    let admission = match about.admission {
        Admission::Open => "open",
        Admission::Hold => "hold",
        Admission::Maintenance => "maintenance",
        Admission::Closed => "closed",
    };
    DoorRoute {
        name: name.to_string(),
        admission: admission.into(),
        waiting: about.waiting,
        held: about.held,
        refused: about.refused,
        longest_hold_ms: about.longest_hold_ms,
        instances: instances.collect(),
    }
}
