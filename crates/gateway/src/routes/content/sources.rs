//! Sources: the register, and the liveness of each at this site.

use axum::Json;
use axum::extract::{Path, State};
use openmesh_api as api;
use openmesh_api::limits::PAGE_ITEMS_MAX;
use openmesh_ledger::{self as ledger, SourceRecord};
use openmesh_primitives::{Address, Timestamp};
use openmesh_storage::StateView;

use crate::error::Refusal;
use crate::http::request::{Params, cursor, limited};
use crate::node::Node;
use crate::reads::windows;
use crate::views;

/// Sources by id.
#[utoipa::path(get, path = api::path::SOURCES, tag = "data", params(api::SourceQuery), responses((status = 200, body = api::Page<api::SourceInfo>)))]
pub async fn sources(
    State(node): State<Node>,
    Params(query): Params<api::SourceQuery>,
) -> Result<Json<api::Page<api::SourceInfo>>, Refusal> {
    let limit = limited("limit", query.limit, PAGE_ITEMS_MAX, PAGE_ITEMS_MAX)?;
    let after = cursor(query.cursor.as_deref(), |id| Some(id.to_string()))?;
    node.read(move |node| {
        let state = node.store().state()?;
        let epoch = ledger::current_epoch(&state)?;
        let mut items: Vec<api::SourceInfo> = Vec::new();
        for record in ledger::sources(&state)? {
            if after.as_ref().is_some_and(|a| record.spec.id <= *a) {
                continue;
            }
            let info = info(&node, &state, record, epoch)?;
            if !views::sources::fits(&query, &info) {
                continue;
            }
            if items.len() == limit {
                let next = items.last().map(|s| s.id.clone());
                return Ok(Json(api::Page { items, next }));
            }
            items.push(info);
        }
        Ok(Json(api::Page { items, next: None }))
    })
    .await
}

/// One source.
#[utoipa::path(get, path = api::path::SOURCE, tag = "data", params(("id" = String, Path)), responses((status = 200, body = api::SourceInfo), (status = 404, body = api::ErrorBody)))]
pub async fn source(State(node): State<Node>, Path(id): Path<String>) -> Result<Json<api::SourceInfo>, Refusal> {
    node.read(move |node| {
        let state = node.store().state()?;
        let record = windows::source(&state, &id)?;
        let epoch = ledger::current_epoch(&state)?;
        info(&node, &state, record, epoch).map(Json)
    })
    .await
}

fn info(node: &Node, state: &StateView, record: SourceRecord, epoch: u64) -> Result<api::SourceInfo, Refusal> {
    let id = &record.spec.id;
    let progress = ledger::source_progress(state, id)?;
    let assigned: Vec<Address> = ledger::assigned(state, id, epoch)?.iter().map(|v| v.address).collect();
    let site = node.activity(id);
    let liveness = node.deps().collector.watch_liveness(id).map(|watch| watch.borrow().clone());
    let collection = liveness.map(|liveness| views::sources::collection(liveness, &site, Timestamp::now()));
    Ok(views::sources::info(record.spec, &progress, &assigned, epoch, site, collection))
}
