//! A machine that is emptied: its state, and whoever changes it.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};

use super::common::{Change, Shared, blocking};
use crate::drain::{self, DrainView};
use crate::error::AgentError;
use crate::service::Service;

/// The routes.
pub(super) fn routes() -> Router<Arc<Service>> {
    Router::new().route("/v1/xnode/drain", get(state).put(begin).delete(end))
}

async fn state(State(service): Shared) -> Result<Json<DrainView>, AgentError> {
    let drained = blocking(&service, |service| drain::find(service.settings())).await?;
    Ok(Json(DrainView { drained, deployment: None }))
}

async fn begin(State(service): Shared, change: Change) -> Result<Json<DrainView>, AgentError> {
    Ok(Json(service.drain(&change.asked("the machine is emptied"), !change.plan).await?))
}

async fn end(State(service): Shared, change: Change) -> Result<Json<DrainView>, AgentError> {
    Ok(Json(service.end_drain(&change.asked("the machine takes deployments again"), !change.plan).await?))
}
