//! Access: signing in and out, sessions, members, API keys, the audit log (X-80 to X-82; `docs/spec/access.md`).
//!
//! The table of rights has let a request in by the time that it is here; these handlers add whom one may touch.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use axum::{Extension, Json, Router};
use openmesh_access::audit::{Filter, Head, Record, Report};
use openmesh_access::{Access, Attempt, KeyWish, Principal, Refusal, SESSION_MS, Tick, views};
use openmesh_primitives::{Address, Digest};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::common::Shared;
use crate::error::AgentError;
use crate::face::{COOKIE, Circumstances, Gate, SignedInAs, tick};
use crate::service::Service;
use crate::visits;

/// Largest request of a sign-in, bytes: the longest message and signature as JSON, with room to spare. Strangers send it.
const SIGN_IN_BYTES_MAX: usize = 64 << 10;

/// A change of members that is made, and of which the door does not know yet: it lets people in as before until it is told again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Untaken {
    /// Word of the door.
    pub cause: String,
}

/// The gate, as a handler gets it.
type Held = Extension<Arc<Gate>>;
/// Whoever asks, as a handler gets them.
type Asks = Extension<Principal>;

/// The routes of this area.
pub(super) fn routes() -> Router<Arc<Service>> {
    let of_strangers: Router<Arc<Service>> = Router::new().route("/v1/xnode/access/sign-in", post(sign_in));
    Router::new()
        .merge(of_strangers.layer(DefaultBodyLimit::max(SIGN_IN_BYTES_MAX)))
        .route("/v1/xnode/access/nonce", get(nonce))
        .route("/v1/xnode/access/me", get(me))
        .route("/v1/xnode/access/session", delete(sign_out))
        .route("/v1/xnode/access/sessions", get(sessions))
        .route("/v1/xnode/access/sessions/{id}", delete(end_session))
        .route("/v1/xnode/access/members", get(members))
        .route("/v1/xnode/access/members/{wallet}", put(set_member).delete(remove_member))
        .route("/v1/xnode/access/members/{wallet}/sessions", delete(end_sessions))
        .route("/v1/xnode/access/roles", get(roles))
        .route("/v1/xnode/access/roles/{name}", put(set_role).delete(remove_role))
        .route("/v1/xnode/access/keys", get(keys).post(make_key))
        .route("/v1/xnode/access/keys/{id}", delete(end_key))
        .route("/v1/xnode/access/audit", get(audit))
        .route("/v1/xnode/access/audit/verify", get(verify))
        .route("/v1/xnode/access/code", post(code))
}

/// Does what writes files on a thread for that.
async fn blocking<T: Send + 'static>(
    gate: &Gate,
    does: impl FnOnce(&Access, &Tick) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, AgentError> {
    let access = gate.access().clone();
    let done = tokio::task::spawn_blocking(move || does(&access, &tick()));
    Ok(done.await.map_err(|_| AgentError::Worker)??)
}

/// Does what changes members, of whom the door hears at once. Whoever has asked hears where it has not taken that yet.
async fn of_members(
    service: &Arc<Service>,
    gate: &Arc<Gate>,
    does: impl FnOnce(&Access, &Tick) -> Result<(), Refusal> + Send + 'static,
) -> Result<Response, AgentError> {
    blocking(gate, does).await?;
    Ok(match told(service, gate).await? {
        None => StatusCode::NO_CONTENT.into_response(),
        Some(cause) => (StatusCode::ACCEPTED, Json(Untaken { cause })).into_response(),
    })
}

/// Tells the door who the members are, and gives the reason for which it does not know of them yet.
pub(super) async fn told(service: &Arc<Service>, gate: &Arc<Gate>) -> Result<Option<String>, AgentError> {
    let (service, gate) = (service.clone(), gate.clone());
    tokio::task::spawn_blocking(move || visits::tell(&service, gate.access(), gate.key()))
        .await
        .map_err(|_| AgentError::Worker)
}

/// A wallet in a path.
fn wallet(text: &str) -> Result<Address, AgentError> {
    text.parse::<Address>()
        .map_err(|error| AgentError::Name(format!("`{}`: {error}", text.chars().take(64).collect::<String>())))
}

async fn nonce(
    Extension(gate): Held,
    Extension(circumstances): Extension<Circumstances>,
) -> Result<Json<views::Nonce>, AgentError> {
    Ok(Json(gate.access().nonce(&circumstances.host, &tick())?))
}

async fn sign_in(
    Extension(gate): Held,
    State(service): Shared,
    Extension(circumstances): Extension<Circumstances>,
    Json(wish): Json<views::SignIn>,
) -> Result<Response, AgentError> {
    let Circumstances { host, from, source, .. } = &circumstances;
    let attempt = Attempt { wish: &wish, host, from, source };
    let signed_in = gate.access().sign_in(attempt, &tick()).await?;
    if wish.code.is_some() {
        // There is a first owner now, who comes in at the agent whatever the door knows.
        told(&service, &gate).await?;
    }
    let who = SignedInAs(signed_in.wallet.to_string());
    let cookie = cookie(&signed_in.token, SESSION_MS / 1_000).filter(|_| circumstances.takes_cookie);
    let mut response = (Extension(who), Json(signed_in)).into_response();
    if let Some(cookie) = cookie {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// A cookie of this host alone, over TLS alone, for this site's own pages alone.
fn cookie(token: &str, seconds: u64) -> Option<HeaderValue> {
    let text = format!("{COOKIE}={token}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age={seconds}");
    HeaderValue::from_str(&text).ok()
}

async fn me(Extension(principal): Asks) -> Json<views::Me> {
    Json(views::Me {
        who: principal.to_string(),
        role: principal.role,
        only: principal.narrowed_by(),
        from: principal.from.clone(),
        id: principal.credential().map(String::from),
    })
}

async fn sign_out(Extension(gate): Held, Extension(principal): Asks) -> Result<Response, AgentError> {
    let Some(id) = principal.credential().map(String::from) else {
        return Err(Refusal::Missing { what: "session", name: principal.to_string() }.into());
    };
    blocking(&gate, move |access, tick| access.end_session(&principal, &id, tick)).await?;
    let gone = cookie("", 0).map(|cookie| [(header::SET_COOKIE, cookie)]);
    Ok((StatusCode::NO_CONTENT, gone, ()).into_response())
}

async fn sessions(Extension(gate): Held, Extension(principal): Asks) -> Json<Vec<views::Session>> {
    Json(gate.access().sessions(&principal, &tick()))
}

async fn end_session(
    Extension(gate): Held,
    Extension(principal): Asks,
    Path(id): Path<String>,
) -> Result<StatusCode, AgentError> {
    blocking(&gate, move |access, tick| access.end_session(&principal, &id, tick)).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn end_sessions(
    Extension(gate): Held,
    Extension(principal): Asks,
    Path(text): Path<String>,
) -> Result<Json<views::Ended>, AgentError> {
    let wallet = wallet(&text)?;
    Ok(Json(blocking(&gate, move |access, tick| access.end_sessions_of(&principal, &wallet, tick)).await?))
}

async fn members(Extension(gate): Held) -> Json<Vec<views::Member>> {
    Json(gate.access().members())
}

async fn set_member(
    Extension(gate): Held,
    Extension(principal): Asks,
    State(service): Shared,
    Path(text): Path<String>,
    Json(wish): Json<views::MemberWish>,
) -> Result<Response, AgentError> {
    let wallet = wallet(&text)?;
    of_members(&service, &gate, move |access, tick| access.set_member(&principal, wallet, &wish, tick)).await
}

async fn remove_member(
    Extension(gate): Held,
    Extension(principal): Asks,
    State(service): Shared,
    Path(text): Path<String>,
) -> Result<Response, AgentError> {
    let wallet = wallet(&text)?;
    of_members(&service, &gate, move |access, tick| access.remove_member(&principal, &wallet, tick)).await
}

async fn roles(Extension(gate): Held) -> Json<Vec<views::OwnRole>> {
    Json(gate.access().own_roles())
}

async fn set_role(
    Extension(gate): Held,
    Extension(principal): Asks,
    Path(name): Path<String>,
    Json(wish): Json<views::OwnRoleWish>,
) -> Result<StatusCode, AgentError> {
    blocking(&gate, move |access, tick| access.set_own_role(&principal, &name, &wish, tick)).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn remove_role(
    Extension(gate): Held,
    Extension(principal): Asks,
    Path(name): Path<String>,
) -> Result<StatusCode, AgentError> {
    blocking(&gate, move |access, tick| access.remove_own_role(&principal, &name, tick)).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn keys(Extension(gate): Held) -> Json<Vec<views::Key>> {
    Json(gate.access().keys(&tick()))
}

async fn make_key(
    Extension(gate): Held,
    Extension(principal): Asks,
    Json(wish): Json<KeyWish>,
) -> Result<Json<views::MadeKey>, AgentError> {
    Ok(Json(blocking(&gate, move |access, tick| access.make_key(&principal, &wish, tick)).await?))
}

async fn end_key(
    Extension(gate): Held,
    Extension(principal): Asks,
    Path(id): Path<String>,
) -> Result<StatusCode, AgentError> {
    blocking(&gate, move |access, tick| access.end_key(&principal, &id, tick)).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn audit(Extension(gate): Held, Query(filter): Query<Filter>) -> Result<Json<Vec<Record>>, AgentError> {
    let access = gate.access().clone();
    let found = tokio::task::spawn_blocking(move || access.log().list(&filter));
    Ok(Json(found.await.map_err(|_| AgentError::Worker)??))
}

/// Query of a check: a record that somebody noted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Noted {
    /// Its number.
    #[serde(default)]
    sequence: Option<u64>,
    /// Its hash.
    #[serde(default)]
    hash: Option<Digest>,
}

async fn verify(Extension(gate): Held, Query(noted): Query<Noted>) -> Result<Json<Report>, AgentError> {
    let noted = match (noted.sequence, noted.hash) {
        (Some(sequence), Some(hash)) => Some(Head { sequence, hash }),
        (None, None) => None,
        _ => return Err(AgentError::Name("a noted record has a sequence and a hash".into())),
    };
    let access = gate.access().clone();
    let report = tokio::task::spawn_blocking(move || access.log().verify(noted));
    Ok(Json(report.await.map_err(|_| AgentError::Worker)??))
}

async fn code(Extension(gate): Held, Extension(principal): Asks) -> Result<Json<views::Code>, AgentError> {
    Ok(Json(gate.access().code(&principal, &tick())?))
}
