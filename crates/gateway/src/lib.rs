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

mod auth;
mod chunks;
mod error;
mod index;
mod ledger;
mod live;
mod market;
mod node;
mod page;
pub mod sessions;
mod sql;
mod stream;
mod studio;
mod transactions;

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{CONTENT_TYPE, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{self, Next};
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

/// The contract's head; paths and types are gathered from the routes.
#[derive(OpenApi)]
#[openapi(info(
    title = "Openmesh",
    description = "Market and chain data that a network agreed on: live, historic, in SQL, with proof. Every answer carries the header \
                   openmesh-origin: live, simulated or replay. Decimals and integers above 2^53 are strings; times are RFC 3339 in UTC.",
    license(name = "Apache-2.0", identifier = "Apache-2.0")
))]
struct Contract;

fn api_routes() -> OpenApiRouter<Node> {
    OpenApiRouter::with_openapi(Contract::openapi())
        .routes(routes!(ledger::status))
        .routes(routes!(ledger::blocks))
        .routes(routes!(ledger::block))
        .routes(routes!(ledger::validators))
        .routes(routes!(ledger::incidents))
        .routes(routes!(ledger::transaction))
        .routes(routes!(ledger::account))
        .routes(routes!(transactions::send))
        .routes(routes!(transactions::typed_data))
        .routes(routes!(chunks::sources))
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
    let (_, mut description) = api_routes().split_for_parts();
    description.info.version = "1".into();
    // A description that does not serialise would be a bug of the generator; an empty text shows it in the golden test.
    let mut text = description.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

fn router(node: Node) -> Router {
    let (api, _) = api_routes().split_for_parts();
    // Streams must not sit in a compressor's buffer; content is compressed already.
    let compress = CompressionLayer::new().compress_when(
        SizeAbove::new(1_024)
            .and(NotForContentType::const_new("application/vnd.apache.parquet"))
            .and(NotForContentType::const_new("application/octet-stream")),
    );
    api.route("/openapi.json", get(|| async { ([(CONTENT_TYPE, "application/json")], openapi()) }))
        .route("/metrics", get(metrics))
        .route("/healthz", get(health))
        .fallback(studio::serve)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::map_response(one_shape))
        .layer(middleware::from_fn_with_state(node.clone(), label))
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| {
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "this node failed on the request")
                .into_response()
        }))
        .layer(compress)
        .with_state(node)
}

/// Sets what every answer carries.
async fn label(State(node): State<Node>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let word = match node.origin() {
        openmesh_api::Origin::Live => "live",
        openmesh_api::Origin::Simulated => "simulated",
        openmesh_api::Origin::Replay => "replay",
    };
    let headers = response.headers_mut();
    headers.insert(HeaderName::from_static(openmesh_api::ORIGIN_HEADER), HeaderValue::from_static(word));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// The framework refuses malformed requests in plain text: put into the one shape.
async fn one_shape(response: Response) -> Response {
    let status = response.status();
    let plain = response.headers().get(CONTENT_TYPE).is_some_and(|t| t.as_bytes().starts_with(b"text/plain"));
    if !(status.is_client_error() || status.is_server_error()) || !plain {
        return response;
    }
    let code = match status {
        StatusCode::PAYLOAD_TOO_LARGE => "body_too_large",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "not_json",
        StatusCode::METHOD_NOT_ALLOWED => "wrong_method",
        StatusCode::UNPROCESSABLE_ENTITY | StatusCode::BAD_REQUEST => "bad_json",
        _ => "refused",
    };
    // The framework's text says what it did not understand; it is short and holds nothing of ours.
    let text = axum::body::to_bytes(response.into_body(), 4_096).await.unwrap_or_default();
    let message = String::from_utf8_lossy(&text).trim().to_string();
    let message = if message.is_empty() { status.to_string() } else { message };
    Refusal::new(status, code, message).hint("the API is described at /openapi.json").into_response()
}

/// Prometheus' text format.
async fn metrics(State(node): State<Node>) -> Result<Response, Refusal> {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, node.registry())
        .map_err(|e| Refusal::internal("writing the metrics", &e))?;
    Ok(([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response())
}

/// Alive, and not behind.
async fn health(State(node): State<Node>) -> (StatusCode, &'static str) {
    if node.engine().status().syncing {
        (StatusCode::SERVICE_UNAVAILABLE, "syncing\n")
    } else {
        (StatusCode::OK, "ok\n")
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
    let node = tokio::task::spawn_blocking(move || Node::new(deps))
        .await
        .map_err(|e| StartError::Listen { address, source: std::io::Error::other(e) })??;
    let listen = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    tokio::spawn(live::follow(node.clone(), committed, cancel.clone()));
    let app = router(node);
    let serving = tokio::spawn(async move {
        let stop = cancel.clone();
        let server = axum::serve(listener, app).with_graceful_shutdown(async move { stop.cancelled().await });
        let deadline = async {
            cancel.cancelled().await;
            tokio::time::sleep(Duration::from_secs(DRAIN_SECONDS_MAX)).await;
        };
        tokio::select! {
            outcome = server => if let Err(error) = outcome { tracing::error!(%error, "the API stopped") },
            () = deadline => tracing::info!("open connections were cut off at the drain's deadline"),
        }
    });
    Ok((Handle { address }, serving))
}

/// For extractors that want the framework's rejection in our shape.
impl From<JsonRejection> for Refusal {
    fn from(rejection: JsonRejection) -> Refusal {
        Refusal::new(rejection.status(), "bad_json", rejection.body_text())
    }
}
