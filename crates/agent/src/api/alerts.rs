//! Alerts: the list, whoever knows of one, and tests of webhooks.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};

use super::common::{Change, Shared, blocking, name};
use crate::alerts;
use crate::alerts::views::{Alert, Alerts, WebhookTest};
use crate::error::AgentError;
use crate::service::Service;

/// Routes of this area.
pub(super) fn routes() -> Router<Arc<Service>> {
    Router::new()
        .route("/v1/xnode/alerts", get(list))
        .route("/v1/xnode/alerts/{id}/acknowledge", post(acknowledge))
        .route("/v1/xnode/alerts/webhooks/{webhook}/test", post(test))
}

async fn list(State(service): Shared) -> Result<Json<Alerts>, AgentError> {
    Ok(Json(blocking(&service, alerts::list).await?))
}

async fn acknowledge(
    State(service): Shared,
    Path(text): Path<String>,
    change: Change,
) -> Result<Json<Alert>, AgentError> {
    let by = change.asked("an alert is known").by;
    let id = text.parse::<u64>().ok();
    let found = blocking(&service, move |service| match id {
        Some(id) => alerts::acknowledge(service, id, &by),
        None => Ok(None),
    });
    found.await?.map(Json).ok_or(AgentError::NoAlert { id: text })
}

async fn test(State(service): Shared, Path(text): Path<String>) -> Result<Json<WebhookTest>, AgentError> {
    let webhook = name(&text)?;
    alerts::test(&service, &webhook).await?.map(Json).ok_or(AgentError::NoWebhook { name: text })
}
