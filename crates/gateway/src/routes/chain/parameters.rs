//! Parameters of the network.

use axum::Json;
use axum::extract::State;
use openmesh_api as api;
use openmesh_ledger as ledger;

use crate::error::Refusal;
use crate::node::Node;
use crate::views;

/// Parameters of the network as the ledger has them now, by name.
#[utoipa::path(get, path = api::path::PARAMETERS, tag = "ledger", responses((status = 200, body = Vec<api::ParameterInfo>)))]
pub async fn parameters(State(node): State<Node>) -> Result<Json<Vec<api::ParameterInfo>>, Refusal> {
    node.read(|node| Ok(Json(views::parameters::list(&ledger::params(&node.store().state()?)?)))).await
}
