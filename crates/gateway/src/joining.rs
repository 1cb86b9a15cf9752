//! The API of a node that has no state yet: it says so, and how far it is.

use std::net::SocketAddr;

use axum::Router;
use openmesh_api::ErrorCode;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::StartError;
use crate::error::Refusal;
use crate::http;

/// Answers every request with what the node does until it is told to stop; the address is free when the task has ended. Fails where the
/// address cannot be listened on.
pub async fn joining(
    address: SocketAddr,
    progress: impl Fn() -> String + Clone + Send + Sync + 'static,
    stop: CancellationToken,
) -> Result<JoinHandle<()>, StartError> {
    let listener = TcpListener::bind(address).await.map_err(|source| StartError::Listen { address, source })?;
    let app = Router::new().fallback(move || {
        let progress = progress.clone();
        async move {
            let hint = "ask another node, or ask again when it has joined";
            Refusal::new(ErrorCode::Joining, format!("this node joins the network: {}", progress()), hint)
        }
    });
    Ok(tokio::spawn(async move {
        tokio::select! {
            () = http::serve::serve(listener, app, http::serve::Limits::default(), stop.clone()) => {}
            // Whoever keeps a connection open is cut off.
            () = stop.cancelled() => {}
        }
    }))
}
