//! Live order books.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use openmesh_api as api;
use openmesh_api::ErrorCode;
use openmesh_api::limits::{BOOK_LEVELS_DEFAULT, BOOK_LEVELS_MAX};
use openmesh_market::EventKind;
use openmesh_primitives::Timestamp;

use crate::clock::since_ms;
use crate::error::Refusal;
use crate::http::instrument::instrument;
use crate::http::request::{Params, limited};
use crate::node::Node;
use crate::views::{self, words};

/// Longest time in which the collector gives a book. It answers between two frames; one that takes longer waits for its disk, and
/// whoever asks learns that instead of waiting with it.
const BOOK_MAX: Duration = Duration::from_secs(2);

/// The live order book.
#[utoipa::path(get, path = api::path::BOOK, tag = "market", params(("exchange" = String, Path), ("symbol" = String, Path), api::BookQuery), responses((status = 200, body = api::BookView), (status = 404, body = api::ErrorBody), (status = 503, body = api::ErrorBody)))]
pub async fn book(
    State(node): State<Node>,
    Path((exchange, symbol)): Path<(String, String)>,
    Params(query): Params<api::BookQuery>,
) -> Result<Json<api::BookView>, Refusal> {
    let (exchange, symbol) = instrument(&node.memory().register(), &exchange, &symbol)?;
    let out_of_step = || {
        let message = format!("the book of {symbol} at {exchange} is not in step with the venue");
        let hint = "it resynchronises by itself; the reason is among /v1/incidents";
        Refusal::new(ErrorCode::BookOutOfStep, message, hint)
    };
    let depth = limited("depth", query.depth, BOOK_LEVELS_DEFAULT, BOOK_LEVELS_MAX)?;
    let event = in_time(BOOK_MAX, node.deps().collector.book(exchange, &symbol)).await?.ok_or_else(out_of_step)?;
    let EventKind::BookSnapshot(book) = &event.kind else { return Err(out_of_step()) };
    let name = symbol.to_string();
    let source = node.source_of(exchange.name(), &name);
    let [bids, asks] = views::market::sides(book, depth);
    Ok(Json(api::BookView {
        exchange: exchange.name().into(),
        origin: source.as_ref().map_or(node.origin(), |source| words::origin(source.origin)),
        ts_exchange: event.ts_exchange.map(Timestamp::to_rfc3339),
        age_ms: since_ms(event.ts_capture, Timestamp::now()),
        stale: source.is_none_or(|source| node.activity(&source.id).stale),
        symbol: name,
        bids,
        asks,
    }))
}

/// Waits for the collector's answer. Fails where it takes too long.
async fn in_time<T>(longest: Duration, answer: impl Future<Output = T>) -> Result<T, Refusal> {
    tokio::time::timeout(longest, answer).await.map_err(|_| {
        let message = format!("the collector did not give the book within {} s", longest.as_secs());
        Refusal::new(ErrorCode::BookTooSlow, message, "/v1/sources tells what this source waits for")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_collector_that_does_not_answer_is_not_waited_for() {
        assert_eq!(in_time(BOOK_MAX, std::future::ready(7)).await.ok(), Some(7));
        let refused = in_time(Duration::from_millis(1), std::future::pending::<()>()).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::BookTooSlow);
    }
}
