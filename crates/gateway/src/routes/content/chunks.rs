//! Chunks.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use openmesh_api as api;
use openmesh_api::ErrorCode;

use crate::error::Refusal;
use crate::http::download::tagged_json;
use crate::http::request::{self, Params, cursor};
use crate::memory::{ChunkFilter, RecentChunk};
use crate::node::Node;
use crate::reads::{chunk, windows};

/// Chunks, newest first. Of all sources: the recent ones (older ones are in the table `ledger_chunks`). Of one source: all.
#[utoipa::path(get, path = api::path::CHUNKS, tag = "data", params(api::ChunkQuery), responses((status = 200, body = api::Page<api::ChunkInfo>), (status = 404, body = api::ErrorBody)))]
pub async fn chunks(
    State(node): State<Node>,
    Params(query): Params<api::ChunkQuery>,
) -> Result<Json<api::Page<api::ChunkInfo>>, Refusal> {
    let limit = request::limit(query.limit)?;
    let filter = ChunkFilter {
        stream: query.stream,
        status: query.status,
        attester: query.attester.as_deref().map(request::address).transpose()?,
        from: query.from,
        to: query.to,
    };
    match query.source {
        Some(id) => of_source(&node, id, filter, query.cursor.as_deref(), limit).await,
        None => recent(&node, &filter, query.cursor.as_deref(), limit).await,
    }
}

async fn of_source(
    node: &Node,
    id: String,
    filter: ChunkFilter,
    after: Option<&str>,
    limit: usize,
) -> Result<Json<api::Page<api::ChunkInfo>>, Refusal> {
    let place = cursor(after, windows::parse_place)?;
    node.scan(move |node, budget| {
        let state = node.store().state()?;
        let record = windows::source_of_windows(&state, &id)?;
        let (found, next) = windows::chunks_of(&state, &record, &filter, place, limit, budget)?;
        let items = found.iter().map(|c| node.chunk_info(c)).collect();
        Ok(Json(api::Page { items, next }))
    })
    .await
}

async fn recent(
    node: &Node,
    filter: &ChunkFilter,
    after: Option<&str>,
    limit: usize,
) -> Result<Json<api::Page<api::ChunkInfo>>, Refusal> {
    if after.filter(|text| text.contains(':')).and_then(windows::parse_place).is_some() {
        return Err(Refusal::new(
            ErrorCode::ForeignCursor,
            "this cursor is of the list of one source",
            "name the source too, as for the page before",
        ));
    }
    let after = cursor(after, |text| text.parse().ok())?;
    let found: Vec<RecentChunk> =
        node.memory().index().chunks(after).filter(|c| filter.fits(c)).take(limit + 1).cloned().collect();
    let next = (found.len() > limit).then(|| found[limit - 1].number.to_string());
    let items = node.read(move |node| Ok(found.iter().take(limit).map(|c| node.chunk_info(c)).collect())).await?;
    Ok(Json(api::Page { items, next }))
}

/// The accepted chunk of a CID.
#[utoipa::path(get, path = api::path::CHUNK, tag = "data", params(("cid" = String, Path, description = "bafkrei and 52 more characters")), responses((status = 200, body = api::ChunkInfo), (status = 404, body = api::ErrorBody)))]
pub async fn chunk(State(node): State<Node>, Path(cid): Path<String>, headers: HeaderMap) -> Result<Response, Refusal> {
    let chunk = chunk::find(&node, &chunk::parse_cid(&cid)?).await?;
    let info = node.read(move |node| Ok(node.chunk_info(&chunk))).await?;
    tagged_json(&headers, &info)
}
