//! Requests for the Xnode of this machine, passed on to the face of its agent: one Studio shows both. The agent judges them; here nothing of them is read.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::header::{CONNECTION, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, Version};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Time for the face to take a connection: it is on this machine.
const CONNECT: Duration = Duration::from_secs(2);
/// Fields that are about one connection (RFC 9110, 7.6.1), beside those that `Connection` names.
const HOP: [HeaderName; 3] = [CONNECTION, TE, TRANSFER_ENCODING];
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Routes to a face in front of the others; the others alone where there is none.
pub fn in_front(face: Option<SocketAddr>, others: Router) -> Router {
    let Some(face) = face else { return others };
    let pass = move |request: Request| pass(face, request);
    Router::new().route("/v1/xnode", any(pass)).route("/v1/xnode/{*rest}", any(pass)).fallback_service(others)
}

async fn pass(face: SocketAddr, request: Request) -> Response {
    match passed(face, request).await {
        Ok(response) => response,
        Err(words) => {
            let failure = serde_json::json!({
                "code": "no_agent",
                "message": format!("the agent of this machine does not answer at {face}: {words}; `sudo openmesh xnode agent` starts one"),
            });
            (StatusCode::BAD_GATEWAY, axum::Json(failure)).into_response()
        }
    }
}

async fn passed(face: SocketAddr, mut request: Request) -> Result<Response, String> {
    let stream = tokio::time::timeout(CONNECT, TcpStream::connect(face)).await;
    let stream = stream.map_err(|_| "it takes no connection".to_string())?.map_err(words)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(words)?;
    // It ends with the answer, or with what the connection was upgraded to.
    tokio::spawn(async move { connection.with_upgrades().await.is_ok() });
    let upgrade = request.headers().get(UPGRADE).cloned();
    let client = upgrade.as_ref().map(|_| hyper::upgrade::on(&mut request));
    let outward = outward(request, upgrade.as_ref())?;
    let mut answer = sender.send_request(outward).await.map_err(words)?;
    let switched = answer.status() == StatusCode::SWITCHING_PROTOCOLS;
    if let (true, Some(client)) = (switched, client) {
        let agent = hyper::upgrade::on(&mut answer);
        tokio::spawn(carry(client, agent));
    }
    let (mut parts, body) = answer.into_parts();
    let protocol = parts.headers.get(UPGRADE).cloned().filter(|_| switched);
    strip(&mut parts.headers);
    if let Some(protocol) = protocol {
        parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        parts.headers.insert(UPGRADE, protocol);
    }
    Ok(Response::from_parts(parts, Body::new(body)))
}

/// The request as the face gets it: of HTTP/1.1, with the name under which it came.
fn outward(request: Request, upgrade: Option<&HeaderValue>) -> Result<Request, String> {
    let (mut parts, body) = request.into_parts();
    // HTTP/2 has the name in its target.
    if !parts.headers.contains_key(HOST)
        && let Some(authority) = parts.uri.authority()
    {
        let host = HeaderValue::from_str(authority.as_str()).map_err(words)?;
        parts.headers.insert(HOST, host);
    }
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    parts.uri = target.parse::<Uri>().map_err(words)?;
    parts.version = Version::HTTP_11;
    strip(&mut parts.headers);
    if let Some(upgrade) = upgrade {
        parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        parts.headers.insert(UPGRADE, upgrade.clone());
    }
    parts.headers.remove(FORWARDED_FOR);
    if let Some(ConnectInfo(peer)) = parts.extensions.get::<ConnectInfo<SocketAddr>>()
        && let Ok(peer) = HeaderValue::from_str(&peer.ip().to_string())
    {
        parts.headers.insert(FORWARDED_FOR, peer);
    }
    Ok(Request::from_parts(parts, body))
}

/// Takes the fields for one connection away.
fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP).chain([&KEEP_ALIVE, &UPGRADE]) {
        headers.remove(name);
    }
}

/// Carries an upgraded connection until either side ends it.
async fn carry(client: OnUpgrade, agent: OnUpgrade) {
    let (Ok(client), Ok(agent)) = tokio::join!(client, agent) else { return };
    let _: io::Result<_> = tokio::io::copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(agent)).await;
}

fn words(cause: impl std::fmt::Display) -> String {
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// Serves a router on loopback.
    async fn serve(router: Router) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        address
    }

    /// The bytes that come for a request, until the other side ends.
    async fn ask(to: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(to).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// A face that tells what it sees.
    fn face() -> Router {
        let tells = |request: Request| async move {
            let header = |name: &str| {
                request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("-").to_string()
            };
            let names = ["host", "origin", "authorization", "x-forwarded-for", "x-secret", "connection"].map(header);
            format!("{} {} {}", request.method(), request.uri(), names.join(" "))
        };
        Router::new().route("/v1/xnode/{*rest}", any(tells)).route("/v1/xnode", any(tells))
    }

    #[tokio::test]
    async fn requests_are_passed_on_and_the_others_are_not() {
        let face = serve(face()).await;
        let node = serve(in_front(Some(face), Router::new().route("/v1/status", get(async || "node")))).await;
        let answer = ask(
            node,
            "PATCH /v1/xnode/applications/a%2Fb?x=1 HTTP/1.1\r\nHost: localhost:8420\r\nOrigin: http://localhost:8420\r\n\
             Authorization: Bearer t\r\nX-Forwarded-For: 8.8.8.8\r\nX-Secret: s\r\nConnection: close, x-secret\r\n\r\n",
        )
        .await;
        let told = "PATCH /v1/xnode/applications/a%2Fb?x=1 localhost:8420 http://localhost:8420 Bearer t 127.0.0.1 - -";
        assert!(answer.ends_with(told), "{answer}");
        assert!(!answer.to_lowercase().contains("access-control-"), "{answer}");
        let answer = ask(node, "GET /v1/status HTTP/1.1\r\nHost: n\r\nConnection: close\r\n\r\n").await;
        assert!(answer.ends_with("node"), "{answer}");
    }

    #[tokio::test]
    async fn an_agent_that_is_not_there_is_told() {
        // A port that is held, so that nobody else listens there either.
        let gone = tokio::net::TcpSocket::new_v4().unwrap();
        gone.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let node = serve(in_front(Some(gone.local_addr().unwrap()), Router::new())).await;
        let answer = ask(node, "GET /v1/xnode HTTP/1.1\r\nHost: n\r\nConnection: close\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 502 ") && answer.contains("no_agent"), "{answer}");
    }

    #[tokio::test]
    async fn an_upgraded_connection_is_carried_both_ways() {
        let echo = |mut request: Request| async move {
            let upgraded = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let mut stream = TokioIo::new(upgraded.await.unwrap());
                let mut word = [0; 4];
                stream.read_exact(&mut word).await.unwrap();
                stream.write_all(&word).await.unwrap();
                stream.shutdown().await.unwrap();
            });
            (StatusCode::SWITCHING_PROTOCOLS, [(CONNECTION, "upgrade"), (UPGRADE, "echo")])
        };
        let face = serve(Router::new().route("/v1/xnode/terminal", any(echo))).await;
        let node = serve(in_front(Some(face), Router::new())).await;
        let request = "GET /v1/xnode/terminal HTTP/1.1\r\nHost: n\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nping";
        let answer = ask(node, request).await;
        assert!(answer.starts_with("HTTP/1.1 101 ") && answer.ends_with("ping"), "{answer}");
    }
}
