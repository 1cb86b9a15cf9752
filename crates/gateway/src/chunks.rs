//! Chunks, downloads and proofs.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use openmesh_api as api;
use openmesh_ledger::{self as ledger, Origin, SourceKind, keys};
use openmesh_primitives::{ContentId, Height, Timestamp, canonical};
use openmesh_pythia::Query as Sql;
use openmesh_storage::StoreError;
use serde::Deserialize;

use crate::agreement::{ChunkFilter, chunks_of, chunks_of_window, parse_place, source};
use crate::download::{file, tagged_json};
use crate::error::Refusal;
use crate::index::RecentChunk;
use crate::ledger::parse_address;
use crate::node::Node;
use crate::page::{self, Params, cursor};

/// Version of the proof bundle.
const BUNDLE_VERSION: u16 = 1;

/// Filters of `GET /v1/chunks`.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ChunkQuery {
    /// Source. With it, the list goes back to the network's beginning; without, about an hour.
    source: Option<String>,
    /// Stream (`BTC.USDT/trades`), or a part of it.
    stream: Option<String>,
    /// `accepted` or `disputed`.
    #[param(value_type = Option<api::ChunkStatus>)]
    status: Option<String>,
    /// Validator that attested it.
    attester: Option<String>,
    /// First window.
    from: Option<u64>,
    /// Last window.
    to: Option<u64>,
    /// Items wanted, 50 where absent.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// Chunks, newest first. Of all sources: the recent ones (older ones are in the table `ledger_chunks`). Of one source: all.
#[utoipa::path(get, path = "/v1/chunks", tag = "data", params(ChunkQuery), responses((status = 200, body = api::Page<api::ChunkInfo>), (status = 404, body = api::ErrorBody)))]
pub async fn chunks(
    State(node): State<Node>,
    Params(query): Params<ChunkQuery>,
) -> Result<Json<api::Page<api::ChunkInfo>>, Refusal> {
    let limit = page::limit(query.limit)?;
    let accepted = match query.status.as_deref() {
        None => None,
        Some("accepted") => Some(true),
        Some("disputed") => Some(false),
        Some(other) => {
            return Err(Refusal::bad(
                "bad_status",
                format!("{other:.40?} is no status of a chunk"),
                "accepted or disputed",
            ));
        }
    };
    let filter = ChunkFilter {
        stream: query.stream,
        accepted,
        attester: query.attester.as_deref().map(parse_address).transpose()?,
        from: query.from,
        to: query.to,
    };
    match query.source {
        Some(id) => {
            let place = cursor(query.cursor.as_deref(), parse_place)?;
            node.blocking(move |node| {
                let state = node.store().state()?;
                let record = source(&state, &id)?;
                let (found, next) = chunks_of(&state, &record, &filter, place, limit)?;
                let items = found.iter().map(|c| node.chunk_info(c)).collect();
                Ok(Json(api::Page { items, next }))
            })
            .await
        }
        None => {
            let place = query.cursor.as_deref().filter(|text| text.contains(':')).and_then(parse_place);
            if place.is_some() {
                return Err(Refusal::not_found(
                    "foreign_cursor",
                    "this cursor is of the list of one source",
                    "name the source too, as for the page before",
                ));
            }
            let after = cursor(query.cursor.as_deref(), |text| text.parse().ok())?;
            let found: Vec<RecentChunk> =
                node.index().chunks(after).filter(|c| filter.fits(c)).take(limit + 1).cloned().collect();
            let next = (found.len() > limit).then(|| found[limit - 1].number.to_string());
            let items = found.iter().take(limit).map(|c| node.chunk_info(c)).collect();
            Ok(Json(api::Page { items, next }))
        }
    }
}

/// The accepted chunk of a CID.
#[utoipa::path(get, path = "/v1/chunks/{cid}", tag = "data", params(("cid" = String, Path, description = "bafkrei and 52 more characters")), responses((status = 200, body = api::ChunkInfo), (status = 404, body = api::ErrorBody)))]
pub async fn chunk(State(node): State<Node>, Path(cid): Path<String>, headers: HeaderMap) -> Result<Response, Refusal> {
    let chunk = find(&node, &parse_cid(&cid)?).await?;
    tagged_json(&headers, &node.chunk_info(&chunk))
}

/// The canonical bytes.
#[utoipa::path(get, path = "/v1/chunks/{cid}/raw", tag = "data", params(("cid" = String, Path, description = "bafkrei and 52 more characters")), responses((status = 200, content_type = "application/octet-stream", body = Vec<u8>), (status = 206, description = "The range that was asked for", content_type = "application/octet-stream", body = Vec<u8>), (status = 404, body = api::ErrorBody), (status = 416, description = "The range lies outside"), (status = 503, body = api::ErrorBody)))]
pub async fn raw(State(node): State<Node>, Path(cid): Path<String>, headers: HeaderMap) -> Result<Response, Refusal> {
    let cid = parse_cid(&cid)?;
    find(&node, &cid).await?;
    let bytes = node.content(cid).await?;
    Ok(file(&headers, bytes, "application/octet-stream", &format!("{cid}.chunk")))
}

/// The window's rows as Parquet, with the proof inside.
#[utoipa::path(get, path = "/v1/chunks/{cid}/parquet", tag = "data", params(("cid" = String, Path, description = "bafkrei and 52 more characters")), responses((status = 200, content_type = "application/vnd.apache.parquet", body = Vec<u8>), (status = 206, description = "The range that was asked for", content_type = "application/vnd.apache.parquet", body = Vec<u8>), (status = 404, body = api::ErrorBody), (status = 416, description = "The range lies outside"), (status = 503, body = api::ErrorBody)))]
pub async fn parquet(
    State(node): State<Node>,
    Path(cid): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let cid = parse_cid(&cid)?;
    let chunk = find(&node, &cid).await?;
    let bytes = node.content(cid).await?;
    let written = node
        .blocking(move |node| {
            let proof = bundle(&node, &cid, chunk)?;
            let json = serde_json::to_string(&proof).map_err(|e| Refusal::internal("writing the proof", &e))?;
            openmesh_lake::window_parquet(&bytes, Some(&json))
                .map_err(|e| Refusal::internal("writing the Parquet file", &e))
        })
        .await?;
    Ok(file(&headers, written, "application/vnd.apache.parquet", &format!("{cid}.parquet")))
}

/// Everything needed to check a chunk offline.
#[utoipa::path(get, path = "/v1/chunks/{cid}/proof", tag = "data", params(("cid" = String, Path, description = "bafkrei and 52 more characters")), responses((status = 200, body = api::ProofBundle), (status = 404, body = api::ErrorBody), (status = 503, body = api::ErrorBody)))]
pub async fn proof(State(node): State<Node>, Path(cid): Path<String>, headers: HeaderMap) -> Result<Response, Refusal> {
    let cid = parse_cid(&cid)?;
    let chunk = find(&node, &cid).await?;
    node.blocking(move |node| tagged_json(&headers, &bundle(&node, &cid, chunk)?)).await
}

/// An accepted chunk: from memory, or through the table of all chunks from the state.
async fn find(node: &Node, cid: &ContentId) -> Result<RecentChunk, Refusal> {
    if let Some(chunk) = node.index().chunk(cid).cloned() {
        return Ok(chunk);
    }
    // A CID is letters and digits: nothing of a stranger's text gets into the query.
    let sql = format!("select source, \"window\", stream from ledger_chunks where cid = '{cid}' limit 1");
    let result = node.own_queries().query(Sql::new(sql)).await.map_err(crate::sql::refuse)?;
    let unknown = || unknown_chunk(cid);
    let row = result.rows.into_iter().next().ok_or_else(unknown)?;
    let text = |at: usize| match row.get(at) {
        Some(serde_json::Value::String(text)) => Some(text.clone()),
        Some(other) => Some(other.to_string()),
        None => None,
    };
    let place = (text(0), text(1).and_then(|w| w.parse::<u64>().ok()), text(2));
    let (Some(id), Some(window), Some(stream)) = place else { return Err(unknown()) };
    let cid = *cid;
    node.blocking(move |node| {
        let state = node.store().state()?;
        let record = source(&state, &id)?;
        let Some(seen) = ledger::window(&state, &id, window)? else { return Err(unknown_chunk(&cid)) };
        chunks_of_window(&state, &record, window, &seen)?
            .into_iter()
            .find(|c| c.stream == stream && c.accepted.is_some_and(|(known, _, _)| known == cid))
            .ok_or_else(|| unknown_chunk(&cid))
    })
    .await
}

/// The state after height h stands in the header of h + 1. A chunk is proved in the state of the height that accepted it,
/// so that its proof, and with it the Parquet file, has the same bytes each time; once that state is pruned, in the
/// newest that has a header.
fn bundle(node: &Node, cid: &ContentId, chunk: RecentChunk) -> Result<api::ProofBundle, Refusal> {
    let tip = node.store().tip().height;
    if chunk.height >= tip {
        return Err(Refusal::unavailable(
            "proof_not_ready",
            format!("accepted in block {}, the newest", chunk.height),
            "the next block's header carries the state with it: ask again in a second",
        ));
    }
    let key = keys::chunk(&chunk.source, chunk.window, &chunk.stream);
    let (at, (value, state_proof)) = match node.store().prove(&key, chunk.height) {
        Ok(proved) => (chunk.height, proved),
        Err(StoreError::Pruned { .. }) => {
            let at: Height = tip - 1;
            (at, node.store().prove(&key, at)?)
        }
        Err(error) => return Err(error.into()),
    };
    let value = value.ok_or_else(|| unknown_chunk(cid))?;
    let stored = node.store().block(at + 1)?.ok_or_else(|| unknown_chunk(cid))?;
    let validators = node.store().validators_at(at + 1)?;
    Ok(api::ProofBundle {
        version: BUNDLE_VERSION,
        chain_id: node.chain_id(),
        cid: cid.to_string(),
        source: chunk.source,
        window: chunk.window,
        stream: chunk.stream,
        state_key: hex::encode(&key),
        state_value: hex::encode(&value),
        state_proof: hex::encode(canonical::encode(&state_proof)),
        header: hex::encode(canonical::encode(&stored.block.header)),
        certificate: hex::encode(canonical::encode(&stored.certificate)),
        validators: hex::encode(canonical::encode(&validators)),
    })
}

fn parse_cid(text: &str) -> Result<ContentId, Refusal> {
    text.parse().map_err(|e| {
        Refusal::bad(
            "bad_cid",
            format!("{text:.80}: {e}"),
            "take the cid from /v1/chunks: bafkrei and 52 more characters",
        )
    })
}

fn unknown_chunk(cid: &ContentId) -> Refusal {
    Refusal::not_found(
        "unknown_chunk",
        format!("{cid} is no chunk that this network agreed on"),
        "/v1/chunks?source=<source> lists a source's chunks, the table ledger_chunks all",
    )
}

/// The API's word for an origin.
pub const fn origin(origin: Origin) -> api::Origin {
    match origin {
        Origin::Live => api::Origin::Live,
        Origin::Simulated => api::Origin::Simulated,
        Origin::Replay => api::Origin::Replay,
    }
}

/// The API's word for a kind of source.
pub const fn kind(kind: SourceKind) -> api::SourceKind {
    match kind {
        SourceKind::Market => api::SourceKind::Market,
        SourceKind::Chain => api::SourceKind::Chain,
    }
}

/// The first moment of a window; empty for a chain's, whose windows are block numbers without times of their own.
pub fn window_time(kind: SourceKind, window_ms: u64, window: u64) -> String {
    match kind {
        SourceKind::Chain => String::new(),
        SourceKind::Market => {
            let millis = i64::try_from(window.saturating_mul(window_ms)).unwrap_or(i64::MAX);
            Timestamp::from_millis(millis).to_rfc3339()
        }
    }
}

/// A chunk as the API shows it.
pub fn info(chunk: &RecentChunk, kind: SourceKind, window_ms: u64, held: bool) -> api::ChunkInfo {
    api::ChunkInfo {
        cid: chunk.accepted.map(|(cid, _, _)| cid.to_string()),
        source: chunk.source.clone(),
        origin: origin(chunk.origin),
        window: chunk.window,
        window_start: window_time(kind, window_ms, chunk.window),
        window_end: window_time(kind, window_ms, chunk.window.saturating_add(1)),
        stream: chunk.stream.clone(),
        status: if chunk.accepted.is_some() { "accepted" } else { "disputed" }.into(),
        events: chunk.accepted.map_or(0, |(_, _, events)| events),
        bytes: chunk.accepted.map_or(0, |(_, bytes, _)| bytes),
        height: chunk.height,
        attesters: chunk.attesters.iter().map(ToString::to_string).collect(),
        differing: chunk.differing.iter().map(ToString::to_string).collect(),
        held,
    }
}
