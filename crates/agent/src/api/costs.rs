//! Costs of applications by the operator's prices.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};

use super::common::{Shared, blocking};
use crate::costs::Costs;
use crate::error::AgentError;
use crate::service::Service;

/// The routes of this area.
pub(super) fn routes() -> Router<Arc<Service>> {
    Router::new().route("/v1/xnode/costs", get(costs))
}

async fn costs(State(service): Shared) -> Result<Json<Costs>, AgentError> {
    Ok(Json(blocking(&service, Service::costs).await?))
}
