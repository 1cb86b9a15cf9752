//! Newest trades at this site.

use axum::Json;
use axum::extract::{Path, State};
use openmesh_api as api;
use openmesh_api::limits::{TRADES_DEFAULT, TRADES_MAX};

use crate::error::Refusal;
use crate::http::instrument::instrument;
use crate::http::request::{Params, limited};
use crate::node::Node;
use crate::views::{self, words};

/// The newest trades at this site.
#[utoipa::path(get, path = api::path::TRADES, tag = "market", params(("exchange" = String, Path), ("symbol" = String, Path), api::TradeQuery), responses((status = 200, body = api::TradeList), (status = 404, body = api::ErrorBody)))]
pub async fn trades(
    State(node): State<Node>,
    Path((exchange, symbol)): Path<(String, String)>,
    Params(query): Params<api::TradeQuery>,
) -> Result<Json<api::TradeList>, Refusal> {
    let (exchange, symbol) = instrument(&node.memory().register(), &exchange, &symbol)?;
    let limit = limited("limit", query.limit, TRADES_DEFAULT, TRADES_MAX)?;
    let symbol = symbol.to_string();
    let Some(source) = node.source_of(exchange.name(), &symbol) else {
        return Ok(Json(api::TradeList { origin: node.origin(), stale: true, items: Vec::new() }));
    };
    let newest = node.memory().live().trades(&source.id, &symbol).into_iter().rev().take(limit);
    let items = newest.map(views::market::trade).collect();
    let stale = node.activity(&source.id).stale;
    Ok(Json(api::TradeList { origin: words::origin(source.origin), stale, items }))
}
