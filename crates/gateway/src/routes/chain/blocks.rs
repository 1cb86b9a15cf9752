//! Blocks.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use openmesh_api as api;
use openmesh_api::ErrorCode;
use openmesh_primitives::Height;

use crate::error::Refusal;
use crate::http::download::tagged_json;
use crate::http::request::{self, Params, cursor};
use crate::node::Node;
use crate::views;

/// Blocks, newest first.
#[utoipa::path(get, path = api::path::BLOCKS, tag = "ledger", params(api::BlockQuery), responses((status = 200, body = api::Page<api::BlockSummary>)))]
pub async fn blocks(
    State(node): State<Node>,
    Params(query): Params<api::BlockQuery>,
) -> Result<Json<api::Page<api::BlockSummary>>, Refusal> {
    let proposer = query.proposer.as_deref().map(request::address).transpose()?;
    let limit = request::limit(query.limit)?;
    let tip = node.store().tip().height;
    let newest = match cursor(query.cursor.as_deref(), |text| text.parse::<Height>().ok())? {
        Some(height) => height.saturating_sub(1).min(tip),
        None => tip,
    };
    node.scan(move |node, budget| {
        let mut items = Vec::new();
        let (mut height, oldest) = (newest, node.store().oldest_block().max(1));
        while height >= oldest && items.len() < limit && budget.take() {
            if let Some(stored) = node.store().block(height)?
                && views::blocks::fits(&query, proposer, &stored.block)
            {
                items.push(views::blocks::summary(&stored.block, &stored.certificate));
            }
            height -= 1;
        }
        let next = (height >= oldest).then(|| (height + 1).to_string());
        Ok(Json(api::Page { items, next }))
    })
    .await
}

/// A block with its transactions and its certificate.
#[utoipa::path(get, path = api::path::BLOCK, tag = "ledger", params(("height" = u64, Path, description = "From 1 on")), responses((status = 200, body = api::BlockDetail), (status = 404, body = api::ErrorBody)))]
pub async fn block(
    State(node): State<Node>,
    Path(height): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let height: Height = height.parse().map_err(|_| {
        let message = format!("{height:.40?} is not a height");
        Refusal::new(ErrorCode::BadHeight, message, "a whole number from 1 on")
    })?;
    node.read(move |node| {
        let (oldest, tip) = (node.store().oldest_block(), node.store().tip().height);
        let stored = node.store().block(height)?.ok_or_else(|| {
            let hint = match height < oldest {
                true => format!("this node holds blocks {oldest} to {tip}; ask one that keeps all (storage.archive in its node.toml)"),
                false => format!("this node holds blocks {oldest} to {tip}"),
            };
            Refusal::new(ErrorCode::UnknownBlock, format!("no block {height} here"), hint)
        })?;
        let lowest = openmesh_ledger::params(&node.store().state()?)?.accounts.fee_min;
        tagged_json(&headers, &views::blocks::detail(&stored, lowest))
    })
    .await
}
