//! Refusal of bodies that are too large by their header.

use std::time::Duration;

use axum::extract::Request;
use axum::http::header::CONTENT_LENGTH;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use openmesh_api::limits::BODY_BYTES_MAX;
use openmesh_api::{ErrorCode, path};

use crate::error::Refusal;

/// Bytes of a refused body that are read and forgotten: most clients read no answer before they have sent all, and a
/// connection that is closed on unread bytes is reset, which takes the answer away from them.
const DRAINED_BYTES_MAX: usize = 16 << 20;
/// Time for which that goes on, in seconds: a slow line brings most of it.
const DRAIN_SECONDS_MAX: u64 = 10;

/// Refuses a body whose length, as its header says, is beyond [`BODY_BYTES_MAX`], so that the sender gets to read why. What is
/// sent in pieces is bounded where it is read.
pub async fn bounded(request: Request, next: Next) -> Response {
    let is_rpc = request.uri().path() == path::RPC;
    let length = request.headers().get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    match length {
        Some(length) if length > BODY_BYTES_MAX => {
            if length <= DRAINED_BYTES_MAX {
                let mut body = request.into_body().into_data_stream();
                let drain = async { while matches!(body.next().await, Some(Ok(_))) {} };
                // A sender that is slower than that loses the answer, not we the memory.
                let _ = tokio::time::timeout(Duration::from_secs(DRAIN_SECONDS_MAX), drain).await;
            }
            let refusal = Refusal::new(
                ErrorCode::BodyTooLarge,
                format!("the body has {length} bytes, at most {BODY_BYTES_MAX} are taken"),
                "send less: the limits stand in /openapi.json under x-limits",
            );
            if is_rpc { refusal.into_rpc() } else { refusal.into_response() }
        }
        _ => next.run(request).await,
    }
}
