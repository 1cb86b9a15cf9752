//! Signing in over HTTP: EIP-4361, with a cookie for pages under a name that has TLS, with a bearer token for programs and for every other page.
//!
//! Browsers send a cookie of a host to all of its ports, so one of loopback would go to every application on the machine; there is none there.

use std::net::SocketAddr;
use std::time::SystemTime;

use axum::Json;
use axum::extract::{ConnectInfo, State};
use axum::http::header::{AUTHORIZATION, COOKIE, ORIGIN, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use openmesh_api as api;
use openmesh_api::ErrorCode;
use openmesh_primitives::AccountSignature;

use crate::clock::timestamp;
use crate::error::Refusal;
use crate::http::request::{Body, names_loopback};
use crate::node::Node;
use crate::sessions::{Session, SignInError};

/// Cookie of a session. Source of its beginning: RFC 6265bis, 4.1.3.2: over TLS alone, of this host alone, and of all its paths.
const COOKIE_NAME: &str = "__Host-openmesh-session";

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
pub async fn sign_in(
    State(node): State<Node>,
    headers: HeaderMap,
    uri: Uri,
    Body(request): Body<api::SignInRequest>,
) -> Result<Response, Refusal> {
    let signature: AccountSignature = request.signature.parse().map_err(|e| {
        Refusal::new(ErrorCode::BadSignature, format!("signature: {e}"), "65 bytes in hexadecimal are expected")
    })?;
    let (token, session) = node.sessions().sign_in(&request.message, &signature, SystemTime::now()).map_err(refuse)?;
    let cookie = gives_cookie(&headers, &uri).then(|| cookie(&token, &session)).transpose()?;
    let info = api::SessionInfo { token: Some(token), ..info(&session) };
    Ok((cookie.map(|cookie| [(SET_COOKIE, cookie)]), Json(info)).into_response())
}

/// The session of the cookie or bearer token.
#[utoipa::path(get, path = api::path::SESSION, tag = "sign-in", responses((status = 200, body = api::SessionInfo), (status = 401, body = api::ErrorBody)))]
pub async fn session(
    State(node): State<Node>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Json<api::SessionInfo>, Refusal> {
    token(&headers, &uri)
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
pub async fn sign_out(State(node): State<Node>, headers: HeaderMap, uri: Uri) -> Response {
    if let Some(token) = token(&headers, &uri) {
        node.sessions().revoke(&token);
    }
    let gone = keeps_cookies(&headers, &uri)
        .then(|| [(SET_COOKIE, format!("{COOKIE_NAME}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0"))]);
    (StatusCode::NO_CONTENT, gone, ()).into_response()
}

/// True where a cookie stays with this site: one of loopback goes to every port of the machine.
fn keeps_cookies(headers: &HeaderMap, uri: &Uri) -> bool {
    names_loopback(headers, uri) == Some(false)
}

/// True where a browser keeps the cookie of an answer, and gives it to nobody else: a page with TLS asks, under a name that is not loopback's.
fn gives_cookie(headers: &HeaderMap, uri: &Uri) -> bool {
    let is_secure = headers.get(ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https://"));
    is_secure && keeps_cookies(headers, uri)
}

fn token(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    let bearer = headers.get(AUTHORIZATION).and_then(|h| h.to_str().ok()).and_then(|h| h.strip_prefix("Bearer "));
    let cookie = || {
        let cookies = headers.get_all(COOKIE).iter().filter_map(|h| h.to_str().ok());
        cookies.flat_map(|c| c.split(';')).find_map(|c| c.trim().strip_prefix(COOKIE_NAME)?.strip_prefix('='))
    };
    bearer.or_else(|| cookie().filter(|_| keeps_cookies(headers, uri))).map(String::from)
}

fn cookie(token: &str, session: &Session) -> Result<HeaderValue, Refusal> {
    let seconds = session.expires.duration_since(SystemTime::now()).unwrap_or_default().as_secs();
    let text = format!("{COOKIE_NAME}={token}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age={seconds}");
    HeaderValue::from_str(&text).map_err(|e| Refusal::internal("making the cookie", &e))
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

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;
    use axum::http::header::HOST;

    use super::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    /// Applications on other ports of this machine are sent the cookies of loopback.
    #[test]
    fn no_session_lies_in_a_cookie_of_loopback() {
        let here = Uri::from_static("/v1/auth/session");
        let cookie = format!("a=b; {COOKIE_NAME}=t; c=d");
        for host in [
            "localhost:8420",
            "LocalHost.",
            "127.0.0.1:8420",
            "127.9.9.9",
            "[::1]:8420",
            "[::ffff:127.0.0.1]:1",
            "0.0.0.0:8420",
            "x.localhost:8420",
            "",
            "a b",
        ] {
            let asked = headers(&[(HOST, host), (ORIGIN, "https://localhost"), (COOKIE, &cookie)]);
            assert!(!gives_cookie(&asked, &here) && !keeps_cookies(&asked, &here), "{host}");
            assert_eq!(token(&asked, &here), None, "{host}");
        }
        let bearer = headers(&[(HOST, "localhost:8420"), (AUTHORIZATION, "Bearer b"), (COOKIE, &cookie)]);
        assert_eq!(token(&bearer, &here).as_deref(), Some("b"));
    }

    #[test]
    fn a_name_with_tls_has_a_cookie_of_its_own() {
        let here = Uri::from_static("/v1/auth/session");
        let cookie = format!("{COOKIE_NAME}=t");
        for host in ["studio.example", "studio.example:8443", "localhost.example", "192.0.2.1"] {
            let page = |origin| headers(&[(HOST, host), (ORIGIN, origin), (COOKIE, &cookie)]);
            assert!(gives_cookie(&page("https://studio.example"), &here), "{host}");
            // Without TLS a browser would not keep it: the page has the token.
            assert!(!gives_cookie(&page("http://studio.example"), &here) && !gives_cookie(&page("null"), &here));
            assert_eq!(token(&page("https://studio.example"), &here).as_deref(), Some("t"), "{host}");
        }
        // HTTP/2 names the host in the target.
        let target = Uri::from_static("https://studio.example/v1/auth/session");
        assert_eq!(token(&headers(&[(COOKIE, &cookie)]), &target).as_deref(), Some("t"));
        assert_eq!(token(&headers(&[(COOKIE, &cookie)]), &here), None);
        let old = headers(&[(HOST, "studio.example"), (COOKIE, "openmesh-session=t")]);
        assert_eq!(token(&old, &here), None, "a cookie that other hosts can set");
    }

    #[test]
    fn the_cookie_is_of_this_host_and_of_tls_alone() {
        let session = Session { address: openmesh_primitives::Address([7; 20]), expires: SystemTime::now() };
        let made = cookie("t", &session).unwrap();
        let text = made.to_str().unwrap();
        assert!(text.starts_with("__Host-openmesh-session=t; Path=/; Secure; HttpOnly; SameSite=Strict; "), "{text}");
        assert!(!text.contains("Domain"));
    }
}
