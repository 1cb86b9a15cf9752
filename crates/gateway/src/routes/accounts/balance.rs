//! Balance and nonce of an account.

use axum::Json;
use axum::extract::{Path, State};
use openmesh_api as api;
use openmesh_ledger as ledger;

use crate::error::Refusal;
use crate::http::request;
use crate::node::Node;

/// Balance and nonce of an account. One that never received anything has neither, which is an answer too.
#[utoipa::path(get, path = api::path::ACCOUNT, tag = "ledger", params(("address" = String, Path, description = "0x and 40 hexadecimal digits")), responses((status = 200, body = api::AccountInfo), (status = 400, body = api::ErrorBody)))]
pub async fn account(State(node): State<Node>, Path(address): Path<String>) -> Result<Json<api::AccountInfo>, Refusal> {
    let address = request::address(&address)?;
    node.read(move |node| {
        let account = ledger::account(&node.store().state()?, &address)?;
        Ok(Json(api::AccountInfo {
            address: address.to_string(),
            balance: account.balance.to_string(),
            nonce: account.nonce,
        }))
    })
    .await
}
