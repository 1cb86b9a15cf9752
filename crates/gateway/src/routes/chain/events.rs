//! Events of the ledger.

use axum::Json;
use axum::extract::State;
use openmesh_api as api;

use crate::error::Refusal;
use crate::http::request::{self, Params, cursor, pair};
use crate::node::Node;
use crate::reads::blocks::Place;
use crate::reads::events::{self, EventFilter};

/// Events of the ledger, newest first: of the blocks that this node keeps.
#[utoipa::path(get, path = api::path::EVENTS, tag = "ledger", params(api::EventQuery), responses((status = 200, body = api::Page<api::EventInfo>)))]
pub async fn events(
    State(node): State<Node>,
    Params(query): Params<api::EventQuery>,
) -> Result<Json<api::Page<api::EventInfo>>, Refusal> {
    let limit = request::limit(query.limit)?;
    let from = cursor(query.cursor.as_deref(), pair)?.map(|(height, index)| Place { height, index });
    let usual = |text: Option<&str>| text.map(request::address).transpose().map(|a| a.map(|a| a.to_string()));
    let (account, validator) = (usual(query.account.as_deref())?, usual(query.validator.as_deref())?);
    let filter = EventFilter { kind: query.kind, source: query.source, account, validator, height: query.height };
    node.scan(move |node, budget| {
        let mut items = Vec::new();
        let next = events::newest(node.store(), from, &filter, budget, |info| {
            let wanted = items.len() < limit;
            items.extend(wanted.then_some(info));
            wanted
        })?;
        Ok(Json(api::Page { items, next: next.map(|place| format!("{}-{}", place.height, place.index)) }))
    })
    .await
}
