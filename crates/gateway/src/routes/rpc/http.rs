//! JSON-RPC over HTTP. Clauses 1 and 5 of `docs/spec/rpc.md`.

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use openmesh_api as api;

use super::answers::answers;
use crate::error::Refusal;
use crate::http::request::JsonBytes;
use crate::node::Node;

/// Answers a wallet: one request of JSON-RPC 2.0, or a list of up to 100. Errors of JSON-RPC have the status 200.
#[utoipa::path(post, path = api::path::RPC, tag = "wallets", request_body = api::RpcRequest, responses((status = 200, description = "An answer, or a list of them", body = api::RpcAnswer), (status = 204, description = "Nobody waits for an answer"), (status = 408, description = "The body came too slowly", body = api::RpcAnswer), (status = 413, description = "The body is too long", body = api::RpcAnswer), (status = 415, description = "The body is not said to be JSON", body = api::RpcAnswer), (status = 503, description = "This node does not serve yet", body = api::RpcAnswer)))]
pub async fn rpc(State(node): State<Node>, body: Result<JsonBytes, Refusal>) -> Response {
    let bytes = match body {
        Ok(JsonBytes(bytes)) => bytes,
        Err(refusal) => return refusal.into_rpc(),
    };
    match answers(&node, &bytes, None).await {
        Some(text) => ([(CONTENT_TYPE, "application/json")], text).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    }
}
