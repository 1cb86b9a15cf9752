//! Headers of every answer: provenance of the data, what a browser may do with it, and who may read it.
//!
//! Pages of other origins may read everything that is public, without a visitor's cookie: then they learn what anybody
//! could ask for. They get nothing of `/v1/auth`, where the cookie is what matters.

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use openmesh_api::{ErrorCode, Origin};

use crate::error::Refusal;

/// Content policy of a page of ours: load only from here, and be framed by nobody.
pub const PAGE_POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     connect-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'";
/// Content policy of anything else, should a browser take it for a page: nothing.
const DATA_POLICY: &str = "default-src 'none'; frame-ancestors 'none'";
/// Powers of a browser that no page of ours uses.
const POWERS: &str = "camera=(), geolocation=(), microphone=(), payment=(), usb=()";
/// Headers that pages of other origins may send.
const SENT: &str = "content-type, range, if-range, if-none-match";
/// Headers that they may read.
const READ: &str = "openmesh-origin, etag, content-range, content-disposition, retry-after";
/// Time for which a browser may remember that it may ask, in seconds.
const ASKED_SECONDS: &str = "600";

/// Sets the headers that every answer carries.
pub fn label(origin: Origin, mut response: Response) -> Response {
    let word = match origin {
        Origin::Live => "live",
        Origin::Simulated => "simulated",
        Origin::Replay => "replay",
    };
    response.headers_mut().insert(HeaderName::from_static(openmesh_api::ORIGIN_HEADER), HeaderValue::from_static(word));
    guard(response.headers_mut());
    response
}

fn guard(headers: &mut HeaderMap) {
    for (name, value) in [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), POWERS),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(DATA_POLICY));
    // What says nothing about keeping it is about now: a cache must not make it silently old.
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

/// Says that an answer depends on `accept-encoding`, also where it was not compressed and on 304: a cache must not give the
/// bytes of one encoding to a client of another. Source: RFC 9110, 12.5.5 and 15.4.5.
pub async fn vary(mut response: Response) -> Response {
    let said = response.headers().get_all(VARY).iter().any(|value| {
        value.to_str().is_ok_and(|text| text.split(',').any(|word| word.trim().eq_ignore_ascii_case("accept-encoding")))
    });
    if !said {
        response.headers_mut().append(VARY, HeaderValue::from_static("accept-encoding"));
    }
    response
}

/// Answers `OPTIONS`, and tells browsers that pages of other origins may read what is public. Stands around the whole
/// router: only there does a refused method carry the list of those that are allowed. tower-http's `CorsLayer` does not fit:
/// it answers each preflight itself, with one list of methods for all paths and without `allow`.
pub async fn across_origins(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let public = (path.starts_with("/v1/") && !path.starts_with("/v1/auth/")) || path == "/openapi.json";
    let asks = request.method() == Method::OPTIONS;
    let mut response = next.run(request).await;
    let allowed = response.headers().get(ALLOW).cloned();
    // A path that exists refuses the method and names those it has: that is the answer.
    if asks && let Some(allowed) = allowed {
        *response.status_mut() = StatusCode::NO_CONTENT;
        *response.body_mut() = Body::empty();
        let headers = response.headers_mut();
        for of_the_body in [CONTENT_TYPE, CONTENT_LENGTH, CONTENT_ENCODING] {
            headers.remove(of_the_body);
        }
        if public {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, allowed);
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(SENT));
            headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(ASKED_SECONDS));
        }
    }
    if public {
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(READ));
    }
    response
}

/// Puts the framework's refusals, which are plain text or empty, into the one shape.
pub async fn one_shape(response: Response) -> Response {
    let status = response.status();
    let kind = response.headers().get(CONTENT_TYPE);
    let ours = kind.is_some_and(|t| !t.as_bytes().starts_with(b"text/plain"));
    if !(status.is_client_error() || status.is_server_error()) || ours {
        return response;
    }
    let (code, hint) = match status {
        StatusCode::PAYLOAD_TOO_LARGE => (ErrorCode::BodyTooLarge, "a body may have 1 MiB"),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => (ErrorCode::NotJson, "send content-type: application/json"),
        StatusCode::METHOD_NOT_ALLOWED => (ErrorCode::WrongMethod, "the header allow lists the methods of this path"),
        StatusCode::BAD_REQUEST => (ErrorCode::BadRequest, "the API is described at /openapi.json"),
        StatusCode::UPGRADE_REQUIRED => (ErrorCode::NotAWebsocket, "this path is a WebSocket: connect with ws://"),
        _ => (ErrorCode::Refused, "the API is described at /openapi.json"),
    };
    let allow = response.headers().get(ALLOW).cloned();
    // The framework's text says what it did not understand; it is short and holds nothing of ours.
    let text = axum::body::to_bytes(response.into_body(), 4_096).await.unwrap_or_default();
    let message = String::from_utf8_lossy(&text).trim().to_string();
    let message = if message.is_empty() { status.to_string() } else { message };
    let mut response = Refusal::new(code, message, hint).with_status(status).into_response();
    if let Some(allow) = allow {
        response.headers_mut().insert(ALLOW, allow);
    }
    response
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use axum::Router;
    use axum::middleware::{from_fn, from_fn_with_state, map_response};
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::http::contract::{Known, known_parameters};

    /// Routes as the real ones are, without a node behind them.
    async fn serve() -> SocketAddr {
        let description = serde_json::json!({ "paths": { "/v1/things": { "get": { "parameters": [
            { "in": "query", "name": "limit" }, { "in": "path", "name": "id" } ] } } } });
        let app = Router::new()
            .route("/v1/things", get(|| async { "things" }))
            .route("/v1/auth/session", get(|| async { "mine" }))
            .layer(from_fn_with_state(Arc::new(Known::of(&description)), known_parameters))
            .layer(map_response(one_shape));
        let app = Router::new().fallback_service(app).layer(from_fn(across_origins));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        address
    }

    async fn ask(address: SocketAddr, line: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let text = format!("{line} HTTP/1.1\r\nhost: here\r\norigin: http://elsewhere\r\nconnection: close\r\n\r\n");
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.to_lowercase()
    }

    #[tokio::test]
    async fn options_name_the_methods_and_who_may_read() {
        let address = serve().await;
        let public = ask(address, "OPTIONS /v1/things").await;
        assert!(public.starts_with("http/1.1 204"), "{public}");
        assert!(public.contains("allow: get,head") && public.contains("access-control-allow-origin: *"), "{public}");
        assert!(public.contains("access-control-allow-methods: get,head"), "{public}");
        let session = ask(address, "OPTIONS /v1/auth/session").await;
        assert!(session.starts_with("http/1.1 204") && !session.contains("access-control"), "{session}");
        assert!(!ask(address, "GET /v1/auth/session").await.contains("access-control"));
        assert!(ask(address, "GET /v1/things").await.contains("access-control-allow-origin: *"));
    }

    #[tokio::test]
    async fn what_the_framework_refuses_has_our_shape() {
        let address = serve().await;
        let refused = ask(address, "POST /v1/things").await;
        assert!(refused.starts_with("http/1.1 405") && refused.contains("allow: get,head"), "{refused}");
        assert!(refused.contains(r#""code":"wrong_method""#) && refused.contains(r#""hint":""#), "{refused}");
    }

    #[tokio::test]
    async fn parameters_that_are_not_known_are_refused() {
        let address = serve().await;
        assert!(ask(address, "GET /v1/things?limit=1").await.starts_with("http/1.1 200"));
        for path in ["/v1/things?limt=1", "/v1/things?limit=1&x", "/v1/things?id=1", "/v1/auth/session?x=1"] {
            let answer = ask(address, &format!("GET {path}")).await;
            let known = path.starts_with("/v1/auth");
            assert_eq!(answer.contains(r#""code":"unknown_parameter""#), !known, "{path}: {answer}");
        }
        assert!(ask(address, "GET /v1/things?limt=1").await.contains("this path takes limit"));
    }
}
