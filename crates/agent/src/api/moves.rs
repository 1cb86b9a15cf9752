//! Moves of applications between machines: those that a person asks for here, and the words of another machine that brings one.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post, put};
use axum::{Extension, Json, Router};
use openmesh_access::Principal;
use serde::de::DeserializeOwned;

use super::common::{Change, Shared, blocking, name};
use crate::error::AgentError;
use crate::moves::{self, MovesError};
use crate::service::Service;
use crate::views::moves::{ArrivalOrder, ArrivalWish, Move, MoveArrival, MoveWish, Moves};

/// Routes of this area.
pub(super) fn routes() -> Router<Arc<Service>> {
    Router::new()
        .route("/v1/xnode/moves", get(all))
        .route("/v1/xnode/applications/{name}/move", post(begin).delete(forget))
        .route("/v1/xnode/applications/{name}/move/undo", post(undo))
        .route("/v1/xnode/arrivals/{id}", put(open).get(look))
        .route("/v1/xnode/arrivals/{id}/orders", post(hear))
}

/// Reads the body of a request.
fn body<T: DeserializeOwned>(bytes: &Bytes) -> Result<T, MovesError> {
    serde_json::from_slice(bytes).map_err(|cause| MovesError::Value(format!("the request cannot be read: {cause}")))
}

async fn all(State(service): Shared) -> Result<Json<Moves>, AgentError> {
    Ok(Json(blocking(&service, moves::list).await?))
}

async fn begin(
    State(service): Shared,
    Path(text): Path<String>,
    change: Change,
    bytes: Bytes,
) -> Result<Json<Move>, AgentError> {
    let (name, wish, by) = (name(&text)?, body::<MoveWish>(&bytes)?, change.asked("").by);
    Ok(Json(moves::begin(&service, &name, wish, &by).await?))
}

async fn undo(State(service): Shared, Path(text): Path<String>, change: Change) -> Result<Json<Move>, AgentError> {
    let (name, by) = (name(&text)?, change.asked("").by);
    Ok(Json(blocking(&service, move |service| moves::undo(service, &name, &by)).await?))
}

async fn forget(State(service): Shared, Path(text): Path<String>, change: Change) -> Result<StatusCode, AgentError> {
    let (name, by) = (name(&text)?, change.asked("").by);
    blocking(&service, move |service| moves::forget(service, &name, &by)).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn open(
    State(service): Shared,
    Extension(principal): Extension<Principal>,
    Path(id): Path<String>,
    change: Change,
    bytes: Bytes,
) -> Result<Json<MoveArrival>, AgentError> {
    let (wish, by) = (body::<ArrivalWish>(&bytes)?, change.asked("").by);
    Ok(Json(blocking(&service, move |service| moves::open(service, &id, &wish, (&by, &principal))).await?))
}

async fn look(State(service): Shared, Path(id): Path<String>) -> Result<Json<MoveArrival>, AgentError> {
    Ok(Json(blocking(&service, move |service| moves::look(service, &id)).await?))
}

async fn hear(State(service): Shared, Path(id): Path<String>, bytes: Bytes) -> Result<Json<MoveArrival>, AgentError> {
    let told: ArrivalOrder = body(&bytes)?;
    Ok(Json(blocking(&service, move |service| moves::hear(service, &id, told)).await?))
}
