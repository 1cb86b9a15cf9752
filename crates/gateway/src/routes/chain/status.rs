//! Status of the node, health, metrics.

use std::net::SocketAddr;

use axum::Json;
use axum::extract::{ConnectInfo, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use openmesh_api as api;
use openmesh_api::ErrorCode;
use prometheus_client::registry::Registry;

use crate::error::Refusal;
use crate::http::request::is_asked_here;
use crate::node::Node;

/// Status of this node and its network.
#[utoipa::path(get, path = api::path::STATUS, tag = "ledger", responses((status = 200, body = api::Status)))]
pub async fn status(State(node): State<Node>) -> Json<api::Status> {
    Json(node.status())
}

/// State of this node for its operator: its signatures, its machine, its alerts.
#[utoipa::path(get, path = api::path::NODE, tag = "ledger", responses((status = 200, body = api::NodeState)))]
pub async fn operator_state(
    State(node): State<Node>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    uri: Uri,
) -> Json<api::NodeState> {
    let state = (node.deps().operator_state)();
    Json(if is_asked_here(peer, &headers, &uri) { state } else { state.for_others() })
}

/// Metrics in Prometheus' text format.
pub async fn metrics(State(node): State<Node>) -> Result<Response, Refusal> {
    metrics_of(&node.deps().registry)
}

/// Content of a registry, as `/metrics` answers.
pub fn metrics_of(registry: &Registry) -> Result<Response, Refusal> {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, registry)
        .map_err(|e| Refusal::internal("writing the metrics", &e))?;
    Ok(([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response())
}

/// `ok` where the node is alive and not behind.
pub async fn health(State(node): State<Node>) -> Response {
    if node.deps().engine.status().syncing {
        Refusal::new(ErrorCode::Syncing, "this node is behind its peers", "it catches up by itself").into_response()
    } else {
        "ok\n".into_response()
    }
}
