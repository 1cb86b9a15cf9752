//! The catalogue of sources, and how each is doing at this site.

use axum::Json;
use axum::extract::{Path, State};
use openmesh_api as api;
use openmesh_ledger::{self as ledger, SourceRecord};
use openmesh_primitives::Timestamp;
use openmesh_storage::StateView;
use serde::Deserialize;

use crate::chunks::origin;
use crate::error::Refusal;
use crate::node::Node;
use crate::page::{ITEMS_MAX, Params, cursor, limited};

/// Filters of `GET /v1/sources`.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SourceQuery {
    /// Exchange or chain.
    exchange: Option<String>,
    /// `market` or `chain`.
    #[param(value_type = Option<api::SourceKind>)]
    kind: Option<String>,
    /// Only sources with this instrument.
    symbol: Option<String>,
    /// Only sources with this feed.
    feed: Option<String>,
    /// Only those that are silent here (`true`), or that are heard (`false`).
    stale: Option<bool>,
    /// Items wanted, 500 where absent.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

impl SourceQuery {
    fn fits(&self, source: &api::SourceInfo) -> bool {
        self.exchange.as_ref().is_none_or(|e| *e == source.exchange)
            && self.kind.as_ref().is_none_or(|k| *k == source.kind)
            && self.symbol.as_ref().is_none_or(|s| source.symbols.contains(s))
            && self.feed.as_ref().is_none_or(|f| source.feeds.contains(f))
            && self.stale.is_none_or(|s| s == source.stale)
    }
}

/// Sources by id.
#[utoipa::path(get, path = "/v1/sources", tag = "data", params(SourceQuery), responses((status = 200, body = api::Page<api::SourceInfo>)))]
pub async fn sources(
    State(node): State<Node>,
    Params(query): Params<SourceQuery>,
) -> Result<Json<api::Page<api::SourceInfo>>, Refusal> {
    if let Some(kind) = query.kind.as_deref()
        && !["market", "chain"].contains(&kind)
    {
        return Err(Refusal::bad("bad_kind", format!("{kind:.40?} is no kind of source"), "market or chain"));
    }
    let limit = limited("limit", query.limit, ITEMS_MAX, ITEMS_MAX)?;
    let after = cursor(query.cursor.as_deref(), |id| Some(id.to_string()))?;
    node.blocking(move |node| {
        let state = node.store().state()?;
        let epoch = ledger::current_epoch(&state)?;
        let mut items: Vec<api::SourceInfo> = Vec::new();
        for record in ledger::sources(&state)? {
            if after.as_ref().is_some_and(|a| record.spec.id <= *a) {
                continue;
            }
            let info = info(&node, &state, record, epoch)?;
            if !query.fits(&info) {
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
#[utoipa::path(get, path = "/v1/sources/{id}", tag = "data", params(("id" = String, Path)), responses((status = 200, body = api::SourceInfo), (status = 404, body = api::ErrorBody)))]
pub async fn source(State(node): State<Node>, Path(id): Path<String>) -> Result<Json<api::SourceInfo>, Refusal> {
    node.blocking(move |node| {
        let state = node.store().state()?;
        let record = crate::agreement::source(&state, &id)?;
        let epoch = ledger::current_epoch(&state)?;
        info(&node, &state, record, epoch).map(Json)
    })
    .await
}

fn info(node: &Node, state: &StateView, record: SourceRecord, epoch: u64) -> Result<api::SourceInfo, Refusal> {
    let spec = record.spec;
    let progress = ledger::source_progress(state, &spec.id)?;
    let assigned = ledger::assigned(state, &spec.id, epoch)?;
    let site = node.site(&spec.id);
    Ok(api::SourceInfo {
        kind: spec.kind.as_str().into(),
        origin: origin(spec.origin),
        assigned: assigned.iter().map(|v| v.address.to_string()).collect(),
        epoch,
        last_window: progress.last_window,
        last_event_time: site.last_event.map(Timestamp::to_rfc3339),
        silent_ms: site.silent_ms,
        stale: site.stale,
        events_per_second: site.events_per_second,
        incidents: site.incidents,
        id: spec.id,
        exchange: spec.exchange,
        symbols: spec.symbols,
        feeds: spec.feeds,
        window_ms: spec.window_ms,
    })
}
