//! Signing in over HTTP: EIP-4361 through a cookie for browsers, through a bearer token for programs.

use std::net::SocketAddr;
use std::time::SystemTime;

use axum::Json;
use axum::extract::{ConnectInfo, State};
use axum::http::header::{AUTHORIZATION, COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use openmesh_api as api;
use openmesh_api::ErrorCode;
use openmesh_primitives::AccountSignature;

use crate::clock::timestamp;
use crate::error::Refusal;
use crate::http::request::Body;
use crate::node::Node;
use crate::sessions::{Session, SignInError};

const COOKIE_NAME: &str = "openmesh-session";

/// A nonce for one sign-in.
#[utoipa::path(get, path = api::path::NONCE, tag = "sign-in", responses((status = 200, body = api::NonceResponse)))]
pub async fn nonce(
    State(node): State<Node>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
) -> Result<Json<api::NonceResponse>, Refusal> {
    let (nonce, expires) = node.sessions().nonce(peer.ip(), SystemTime::now()).map_err(refuse)?;
    Ok(Json(api::NonceResponse { nonce, expires: rfc3339(expires) }))
}

/// Begins a session with a signed message.
#[utoipa::path(post, path = api::path::SIGN_IN, tag = "sign-in", request_body = api::SignInRequest, responses((status = 200, body = api::SessionInfo), (status = 401, body = api::ErrorBody), (status = 413, description = "The body is too long"), (status = 415, description = "The body is not JSON")))]
pub async fn sign_in(State(node): State<Node>, Body(request): Body<api::SignInRequest>) -> Result<Response, Refusal> {
    let signature: AccountSignature = request.signature.parse().map_err(|e| {
        Refusal::new(ErrorCode::BadSignature, format!("signature: {e}"), "65 bytes in hexadecimal are expected")
    })?;
    let (token, session) = node.sessions().sign_in(&request.message, &signature, SystemTime::now()).map_err(refuse)?;
    let cookie = cookie(&token, &session)?;
    let info = api::SessionInfo { token: Some(token), ..info(&session) };
    Ok(([(SET_COOKIE, cookie)], Json(info)).into_response())
}

/// The session of the cookie or bearer token.
#[utoipa::path(get, path = api::path::SESSION, tag = "sign-in", responses((status = 200, body = api::SessionInfo), (status = 401, body = api::ErrorBody)))]
pub async fn session(State(node): State<Node>, headers: HeaderMap) -> Result<Json<api::SessionInfo>, Refusal> {
    token(&headers)
        .and_then(|token| node.sessions().session(&token, SystemTime::now()))
        .map(|session| Json(info(&session)))
        .ok_or_else(|| {
            Refusal::new(
                ErrorCode::NotSignedIn,
                "no session, or it has ended",
                "sign in through /v1/auth/nonce and /v1/auth/sign-in",
            )
        })
}

/// Ends the session.
#[utoipa::path(delete, path = api::path::SESSION, tag = "sign-in", responses((status = 204)))]
pub async fn sign_out(State(node): State<Node>, headers: HeaderMap) -> Response {
    if let Some(token) = token(&headers) {
        node.sessions().revoke(&token);
    }
    let gone = format!("{COOKIE_NAME}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
    (StatusCode::NO_CONTENT, [(SET_COOKIE, gone)]).into_response()
}

fn token(headers: &HeaderMap) -> Option<String> {
    let bearer = headers.get(AUTHORIZATION).and_then(|h| h.to_str().ok()).and_then(|h| h.strip_prefix("Bearer "));
    let cookie = || {
        let cookies = headers.get_all(COOKIE).iter().filter_map(|h| h.to_str().ok());
        cookies.flat_map(|c| c.split(';')).find_map(|c| c.trim().strip_prefix(COOKIE_NAME)?.strip_prefix('='))
    };
    bearer.or_else(cookie).map(String::from)
}

fn cookie(token: &str, session: &Session) -> Result<HeaderValue, Refusal> {
    let seconds = session.expires.duration_since(SystemTime::now()).unwrap_or_default().as_secs();
    // No `Secure`: a node on one's own machine is reached over plain HTTP; a proxy with TLS may add it.
    HeaderValue::from_str(&format!("{COOKIE_NAME}={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}"))
        .map_err(|e| Refusal::internal("making the cookie", &e))
}

fn info(session: &Session) -> api::SessionInfo {
    api::SessionInfo { address: session.address.to_string(), expires: rfc3339(session.expires), token: None }
}

fn rfc3339(time: SystemTime) -> String {
    timestamp(time).to_rfc3339()
}

fn refuse(error: SignInError) -> Refusal {
    let hint = match error {
        SignInError::Domain { .. } => {
            "open this node under one of its names; its operator adds others in node.toml, public_hosts"
        }
        SignInError::Uri { .. } => "the URI has the message's domain as its host and port",
        SignInError::Chain { .. } => "take chain_id from /v1/status, or 1",
        _ => "take a new nonce from /v1/auth/nonce and sign again",
    };
    let refusal = Refusal::new(error.code(), error.to_string(), hint);
    // A signature that is none is malformed; one of somebody else is not signed in.
    if matches!(error, SignInError::Signature(_)) { refusal.with_status(StatusCode::UNAUTHORIZED) } else { refusal }
}
