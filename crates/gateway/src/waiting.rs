//! Answers of a node that cannot serve yet, because it joins the network or waits for room on its disk: every path is refused with
//! the reason, and `/metrics` goes on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Uri;
use axum::response::IntoResponse;
use axum::routing::{any, get};
use openmesh_api::{ErrorCode, path};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::StartError;
use crate::error::Refusal;
use crate::http::serve;
use crate::routes::chain::status::metrics_of;

/// Time between two attempts to listen on an address that the draining node may still hold, in milliseconds.
const LISTEN_AGAIN_MS: u64 = 100;
/// Longest wait for that address, in seconds: longer than the API drains.
const LISTEN_SECONDS_MAX: u64 = 8;

/// Reason for which a node does not serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The kind of reason.
    pub code: ErrorCode,
    /// The thing that it waits for, or does.
    pub message: String,
    /// Advice to the operator.
    pub hint: String,
}

/// Answers everything with the newest reason until it is stopped; whoever keeps a connection open is cut off then. Returns the
/// address that it listens on, which is free when the task has ended, and the task.
///
/// Fails where the address cannot be listened on within some seconds.
pub async fn answer_waiting(
    address: SocketAddr,
    reason: impl Fn() -> Waiting + Clone + Send + Sync + 'static,
    registry: Arc<Registry>,
    stop: CancellationToken,
) -> Result<(SocketAddr, tokio::task::JoinHandle<()>), StartError> {
    let listen = |source| StartError::Listen { address, source };
    let listener = listen_again(address).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    let refuse = move |uri: Uri| {
        let Waiting { code, message, hint } = reason();
        let refusal = Refusal::new(code, message, hint);
        // A wallet asks again after this status, and shows these words.
        let response = if uri.path() == path::RPC { refusal.into_rpc() } else { refusal.into_response() };
        std::future::ready(response)
    };
    let metrics = move || std::future::ready(metrics_of(&registry));
    let app = Router::new().route("/metrics", get(metrics)).fallback(any(refuse));
    let serving = async move {
        tokio::select! {
            () = serve::serve(listener, app, serve::Limits::default(), stop.clone()) => {}
            () = stop.cancelled() => {}
        }
    };
    Ok((address, tokio::spawn(serving)))
}

async fn listen_again(address: SocketAddr) -> std::io::Result<TcpListener> {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(LISTEN_SECONDS_MAX);
    loop {
        match TcpListener::bind(address).await {
            Err(_) if tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(LISTEN_AGAIN_MS)).await;
            }
            bound => return bound,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn ask(address: SocketAddr, path: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn every_path_says_what_the_node_waits_for() {
        let waiting =
            |message: &str| Waiting { code: ErrorCode::DiskFull, message: message.into(), hint: "make some".into() };
        let (said, reason) = tokio::sync::watch::channel(waiting("no room"));
        let (mut registry, stop) = (Registry::with_prefix("openmesh"), CancellationToken::new());
        let gauge: prometheus_client::metrics::gauge::Gauge = Default::default();
        registry.register("disk_waiting", "Waits for room", gauge.clone());
        gauge.set(1);
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let (address, task) =
            answer_waiting(any_port, move || reason.borrow().clone(), Arc::new(registry), stop.clone()).await.unwrap();
        for path in ["/v1/status", "/v1/sources", "/"] {
            let answer = ask(address, path).await;
            assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: "), "{answer}");
            assert!(answer.contains("\"disk_full\"") && answer.contains("no room"), "{answer}");
        }
        let wallet = ask(address, path::RPC).await;
        assert!(wallet.starts_with("HTTP/1.1 503") && wallet.contains("retry-after: "), "{wallet}");
        let said_so = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32002,"message":"no room""#;
        assert!(wallet.contains(said_so), "{wallet}");
        said.send_replace(waiting("still none"));
        assert!(ask(address, "/v1/status").await.contains("still none"), "the newest reason");
        assert!(ask(address, "/metrics").await.contains("openmesh_disk_waiting 1"));
        stop.cancel();
        task.await.unwrap();
    }
}
