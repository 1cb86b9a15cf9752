//! Deposits that are held.

use axum::Json;
use axum::extract::State;
use openmesh_api as api;

use crate::error::Refusal;
use crate::http::request::{self, Params, cursor};
use crate::node::Node;
use crate::reads::deposits;
use crate::views;

/// Deposits that are held, by the keys of their records.
#[utoipa::path(get, path = api::path::DEPOSITS, tag = "ledger", params(api::DepositQuery), responses((status = 200, body = api::Page<api::DepositInfo>)))]
pub async fn deposits(
    State(node): State<Node>,
    Params(query): Params<api::DepositQuery>,
) -> Result<Json<api::Page<api::DepositInfo>>, Refusal> {
    let limit = request::limit(query.limit)?;
    let account = query.account.as_deref().map(request::address).transpose()?;
    let behind = cursor(query.cursor.as_deref(), |text| hex::decode(text).ok())?;
    node.scan(move |node, budget| {
        let (held, next) = deposits::held(&node.store().state()?, account, behind, limit, budget)?;
        let items = held.iter().map(|(record, deposit)| views::deposits::info(record, deposit)).collect();
        Ok(Json(api::Page { items, next: next.map(hex::encode) }))
    })
    .await
}
