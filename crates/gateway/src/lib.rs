//! The node's door for people and programs: HTTP and WebSocket over the other rooms' handles.
//!
//! # What it owns
//! The routes of the contract (crate `api`), sign-in, limits on requests, and Studio's files. It computes nothing that another
//! room could: a handler reads a handle, and words the answer.
//!
//! # Why it is shaped so
//! One state ([`Node`]) with the handles; one function for each route; one shape of refusal. Every answer, also a refused
//! one, carries where the market data comes from, in a header that one layer sets, so that no handler can forget it.
//!
//! # On failure
//! A fault of this node is logged where it is consumed and answered as `internal` without its details. A client that is
//! slow, greedy or gone costs only its own task: bodies, times, messages and queues have limits.

mod agreement;
mod auth;
mod body;
mod chunks;
mod contract;
mod download;
mod error;
mod headers;
mod history;
mod incidents;
mod index;
mod ledger;
mod live;
mod market;
mod node;
mod page;
mod serve;
pub mod sessions;
mod sources;
mod sql;
mod stream;
mod studio;
mod transactions;
mod waiting;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use error::Refusal;
pub use node::{Deps, Fetch, Node};

/// Largest body of a request, in bytes: the longest query, or a transaction, in JSON.
const BODY_BYTES_MAX: usize = 1 << 20;
/// How long open connections may go on after the node was asked to stop.
const DRAIN_SECONDS_MAX: u64 = 3;

fn api_routes() -> OpenApiRouter<Node> {
    OpenApiRouter::with_openapi(contract::Contract::openapi())
        .routes(routes!(ledger::status))
        .routes(routes!(ledger::blocks))
        .routes(routes!(ledger::block))
        .routes(routes!(ledger::validators))
        .routes(routes!(incidents::incidents))
        .routes(routes!(history::transactions, transactions::send))
        .routes(routes!(history::transaction))
        .routes(routes!(ledger::account))
        .routes(routes!(transactions::typed_data))
        .routes(routes!(sources::sources))
        .routes(routes!(sources::source))
        .routes(routes!(agreement::agreement))
        .routes(routes!(chunks::chunks))
        .routes(routes!(chunks::chunk))
        .routes(routes!(chunks::raw))
        .routes(routes!(chunks::parquet))
        .routes(routes!(chunks::proof))
        .routes(routes!(market::book))
        .routes(routes!(market::candles))
        .routes(routes!(market::trades))
        .routes(routes!(sql::query))
        .routes(routes!(sql::cancel))
        .routes(routes!(sql::catalogue))
        .routes(routes!(auth::nonce))
        .routes(routes!(auth::sign_in))
        .routes(routes!(auth::session, auth::sign_out))
        .routes(routes!(stream::connect))
}

/// The OpenAPI description as JSON, the text of `openapi/openmesh.json`.
pub fn openapi() -> String {
    let (_, description) = api_routes().split_for_parts();
    format!("{:#}\n", contract::complete(description))
}

fn router(node: Node) -> Router {
    let (api, description) = api_routes().split_for_parts();
    let known = Arc::new(contract::Known::of(&contract::complete(description)));
    // Streams must not sit in a compressor's buffer; content is compressed already.
    let compress = CompressionLayer::new().compress_when(
        SizeAbove::new(1_024)
            .and(NotForContentType::const_new("application/vnd.apache.parquet"))
            .and(NotForContentType::const_new("application/octet-stream")),
    );
    let text = openapi().into_bytes();
    let described = move |headers: HeaderMap| async move {
        download::tagged(&headers, "application/json", download::ASK_AGAIN, text.clone())
    };
    let inner = api
        .route("/openapi.json", get(described))
        .route("/metrics", get(metrics))
        .route("/healthz", get(health))
        .fallback(studio::serve)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn(body::bounded))
        .layer(middleware::from_fn_with_state(known, contract::known_parameters))
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| {
            Refusal::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "this node failed on the request",
                "ask another node; the operator finds the reason in this node's log",
            )
            .into_response()
        }))
        .layer(middleware::map_response(headers::one_shape))
        .layer(middleware::from_fn_with_state(node.clone(), headers::label))
        .layer(compress)
        .with_state(node);
    Router::new().fallback_service(inner).layer(middleware::from_fn(headers::across_origins))
}

/// Prometheus' text format.
async fn metrics(State(node): State<Node>) -> Result<Response, Refusal> {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, node.registry())
        .map_err(|e| Refusal::internal("writing the metrics", &e))?;
    Ok(([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response())
}

/// Alive, and not behind.
async fn health(State(node): State<Node>) -> Response {
    if node.engine().status().syncing {
        Refusal::unavailable("syncing", "this node is behind its peers", "it catches up by itself").into_response()
    } else {
        "ok\n".into_response()
    }
}

/// A running gateway.
#[derive(Debug, Clone, Copy)]
pub struct Handle {
    /// Where it listens.
    pub address: SocketAddr,
}

/// Why the gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be had.
    #[error("the API cannot listen on {address}")]
    Listen {
        /// Address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The ledger cannot be read.
    #[error("the ledger cannot be read")]
    Store(#[from] openmesh_storage::StoreError),
}

/// Starts to serve.
pub async fn start(
    address: SocketAddr,
    deps: Deps,
    cancel: CancellationToken,
) -> Result<(Handle, JoinHandle<()>), StartError> {
    // Subscribed before the stored blocks are read, so that no block falls between.
    let committed = deps.engine.committed();
    let listen = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    let node = tokio::task::spawn_blocking(move || Node::new(deps, address))
        .await
        .map_err(|e| StartError::Listen { address, source: std::io::Error::other(e) })??;
    tokio::spawn(live::follow(node.clone(), committed, cancel.clone()));
    let app = router(node);
    let serving = tokio::spawn(async move {
        let server = serve::serve(listener, app, serve::Limits::default(), cancel.clone());
        let deadline = async {
            cancel.cancelled().await;
            tokio::time::sleep(Duration::from_secs(DRAIN_SECONDS_MAX)).await;
        };
        tokio::select! {
            () = server => {}
            () = deadline => tracing::info!("open connections were cut off at the drain's deadline"),
        }
    });
    Ok((Handle { address }, serving))
}
