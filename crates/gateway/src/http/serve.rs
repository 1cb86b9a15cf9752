//! Connections: how many, and how long they may say nothing.
//!
//! The framework's own server accepts without end and waits without end. Here a connection has a place and a time in which
//! its request must begin to come whole; whoever keeps one open for nothing loses it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use openmesh_api::limits::CONNECTIONS_MAX;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::peer;
use crate::places::Places;

/// Pause after the system gave no connection: it lacks something that only time brings, such as file descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_secs(1);
/// Answer to one connection too many. Written at once into its empty buffer, so that it costs neither time nor memory.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n\
connection: close\r\ncontent-length: 132\r\n\r\n\
{\"error\":{\"code\":\"too_many_connections\",\"message\":\"this node has no place for another\",\"hint\":\"wait a second, or ask another node\"}}";

/// Limits of a listener.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections open at once.
    pub connections_max: usize,
    /// Longest time until the head of a request has come, also of the next one on a connection.
    pub head_max: Duration,
}

impl Default for Limits {
    /// A head is one packet: whoever needs longer is gone or means harm, and a connection that is kept for the next request is
    /// opened again at no great cost.
    fn default() -> Limits {
        Limits { connections_max: CONNECTIONS_MAX, head_max: Duration::from_secs(20) }
    }
}

/// Serves until it is told to stop, then waits for the requests that run.
pub async fn serve(listener: TcpListener, app: Router, limits: Limits, stop: CancellationToken) {
    let places = Places::new(limits.connections_max);
    let open = TaskTracker::new();
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "no connection was accepted");
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        let Some(place) = places.take(peer.ip().into()) else {
            refuse(&stream);
            continue;
        };
        let (app, stop) = (app.clone(), stop.clone());
        open.spawn(async move {
            converse(stream, peer, app, limits.head_max, stop).await;
            drop(place);
        });
    }
    open.close();
    open.wait().await;
}

fn refuse(stream: &TcpStream) {
    // It may have left already.
    let _ = stream.try_write(FULL);
}

/// One connection, until either side ends it.
async fn converse(stream: TcpStream, peer: SocketAddr, app: Router, head_max: Duration, stop: CancellationToken) {
    let begun = CancellationToken::new();
    let seen = begun.clone();
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        seen.cancel();
        answer(app.clone(), peer, request)
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(head_max);
    // A peer that has vanished answers no ping.
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(head_max).enable_connect_protocol();
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    // Before the first bytes it is not known which protocol's time-out would hold.
    let mute = async {
        if tokio::time::timeout(head_max, begun.cancelled()).await.is_ok() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        outcome = connection.as_mut() => return log_connection_error(outcome),
        () = mute => return,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    log_connection_error(connection.await);
}

async fn answer(
    app: Router,
    peer: SocketAddr,
    request: hyper::Request<Incoming>,
) -> Result<axum::response::Response, Infallible> {
    let mut request: Request = request.map(Body::new);
    request.extensions_mut().insert(ConnectInfo(peer));
    peer::asked_by(peer.ip(), TowerToHyperService::new(app).call(request)).await
}

/// Logs a fault of a connection, which is the client's affair.
fn log_connection_error(outcome: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = outcome {
        tracing::trace!(%error, "a connection ended badly");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// Long enough for an answer on a busy machine, short enough to wait for.
    const HEAD_MAX: Duration = Duration::from_millis(300);

    async fn listening(connections_max: usize, head_max: Duration) -> (SocketAddr, CancellationToken) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let app = Router::new()
            .route("/", get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { format!("you are {peer}") }));
        tokio::spawn(serve(listener, app, Limits { connections_max, head_max }, stop.clone()));
        (address, stop)
    }

    /// Sends, and reads until the other side closes.
    async fn ask(address: SocketAddr, text: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // A reset is an end too.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    #[tokio::test]
    async fn whoever_says_nothing_loses_the_connection() {
        let (address, _stop) = listening(8, HEAD_MAX).await;
        assert_eq!(ask(address, "").await, "", "nothing at all");
        assert_eq!(ask(address, "PRI * HT").await, "", "half of what announces HTTP/2");
        let half = ask(address, "GET / HTTP/1.1\r\nhost: here\r\n").await;
        assert!(!half.contains("200 OK"), "{half}");
        let idle = ask(address, "GET / HTTP/1.1\r\nhost: here\r\n\r\n").await;
        assert!(idle.contains("200 OK") && idle.contains("you are 127.0.0.1:"), "answered, then closed: {idle}");
    }

    #[tokio::test]
    async fn one_connection_too_many_is_told_so() {
        let (address, stop) = listening(1, Duration::from_secs(60)).await;
        let mut first = TcpStream::connect(address).await.unwrap();
        first.write_all(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n").await.unwrap();
        let mut begin = [0; 15];
        first.read_exact(&mut begin).await.unwrap();
        assert_eq!(&begin, b"HTTP/1.1 200 OK");
        let refused = ask(address, "").await;
        let (head, body) = refused.split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with("HTTP/1.1 503") && head.contains(&format!("content-length: {}", body.len())),
            "{refused}"
        );
        let error: openmesh_api::ErrorBody = serde_json::from_str(body).unwrap();
        assert_eq!(error.error.code, openmesh_api::ErrorCode::TooManyConnections);
        stop.cancel();
        // An idle connection does not hold up the end.
        let mut rest = Vec::new();
        first.read_to_end(&mut rest).await.unwrap();
    }
}
