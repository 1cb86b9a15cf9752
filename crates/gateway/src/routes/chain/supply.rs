//! The supply.

use axum::Json;
use axum::extract::State;
use openmesh_api as api;
use openmesh_ledger as ledger;

use crate::error::Refusal;
use crate::node::Node;
use crate::views;

/// The whole of OPEN by its places, with every pool.
#[utoipa::path(get, path = api::path::SUPPLY, tag = "ledger", responses((status = 200, body = api::SupplyInfo)))]
pub async fn supply(State(node): State<Node>) -> Result<Json<api::SupplyInfo>, Refusal> {
    node.read(|node| {
        let state = node.store().state()?;
        let height = ledger::block_meta(&state)?.height;
        Ok(Json(views::supply::info(height, &ledger::supply(&state)?, &ledger::pools(&state)?)))
    })
    .await
}
