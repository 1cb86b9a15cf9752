//! Loans: room for the backups of other machines (B-74, B-79).

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::de::DeserializeOwned;

use super::common::{Change, Shared, blocking, name};
use crate::error::AgentError;
use crate::lending::{LendingError, Wish};
use crate::service::Service;
use crate::views::EventKind;
use crate::views::lending::{BringBackWish, Lending, LoanWish};

/// Routes of this area.
pub(super) fn routes() -> Router<Arc<Service>> {
    Router::new()
        .route("/v1/xnode/loans", get(loans))
        .route("/v1/xnode/loans/{name}", axum::routing::put(give).delete(forget))
        .route("/v1/xnode/loans/{name}/end", post(end))
        .route("/v1/xnode/loans/{name}/bring-back", post(bring_back))
}

async fn loans(State(service): Shared) -> Result<Json<Lending>, AgentError> {
    Ok(Json(blocking(&service, |service| service.lending().view()).await?))
}

/// Reads the body of a request.
fn body<T: DeserializeOwned>(bytes: &Bytes) -> Result<T, LendingError> {
    serde_json::from_slice(bytes).map_err(|cause| LendingError::Value(format!("the request cannot be read: {cause}")))
}

/// Does as a person wishes with a loan, and answers with what there is then.
async fn changed(service: &Arc<Service>, text: &str, wish: Wish, change: &Change) -> Result<Json<Lending>, AgentError> {
    let (name, by) = (name(text)?, change.asked("").by);
    let done = blocking(service, move |service| {
        let words = service.lending().change(&name, &wish, &by)?;
        service.history().note(EventKind::Done, service.wanted()?, None, words);
        service.lending().view()
    });
    Ok(Json(done.await?))
}

async fn give(
    State(service): Shared,
    Path(text): Path<String>,
    change: Change,
    bytes: Bytes,
) -> Result<Json<Lending>, AgentError> {
    let wish: LoanWish = body(&bytes)?;
    changed(&service, &text, Wish::Give(wish), &change).await
}

async fn end(State(service): Shared, Path(text): Path<String>, change: Change) -> Result<Json<Lending>, AgentError> {
    changed(&service, &text, Wish::End, &change).await
}

async fn bring_back(
    State(service): Shared,
    Path(text): Path<String>,
    change: Change,
    bytes: Bytes,
) -> Result<Json<Lending>, AgentError> {
    let wish: BringBackWish = body(&bytes)?;
    changed(&service, &text, Wish::BringBack(wish.days), &change).await
}

async fn forget(State(service): Shared, Path(text): Path<String>, change: Change) -> Result<Json<Lending>, AgentError> {
    changed(&service, &text, Wish::Forget, &change).await
}
