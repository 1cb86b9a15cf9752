//! Sources, chunks, downloads and proofs.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use openmesh_api as api;
use openmesh_ledger::{self as ledger, Origin, SourceKind, keys};
use openmesh_primitives::{ContentId, Height, Timestamp, canonical};
use serde::Deserialize;

use crate::error::Refusal;
use crate::index::RecentChunk;
use crate::ledger::parse_address;
use crate::node::Node;
use crate::page::PageQuery;

/// Version of the proof bundle.
const BUNDLE_VERSION: u16 = 1;

/// `GET /v1/sources`
#[utoipa::path(get, path = "/v1/sources", tag = "data", responses((status = 200, body = api::Page<api::SourceInfo>)))]
pub async fn sources(State(node): State<Node>) -> Result<Json<api::Page<api::SourceInfo>>, Refusal> {
    node.blocking(|node| {
        let state = node.store().state()?;
        let epoch = ledger::current_epoch(&state)?;
        let mut items = Vec::new();
        for record in ledger::sources(&state)? {
            let spec = record.spec;
            let progress = ledger::source_progress(&state, &spec.id)?;
            let assigned = ledger::assigned(&state, &spec.id, epoch)?;
            let site = node.site(&spec.id);
            items.push(api::SourceInfo {
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
            });
        }
        Ok(Json(api::Page { items, next: None }))
    })
    .await
}

/// Filters of `GET /v1/chunks`.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
pub struct ChunkQuery {
    /// Source.
    source: Option<String>,
    /// Stream (`BTC.USDT/trades`), or a part of it.
    stream: Option<String>,
    /// `accepted` or `disputed`.
    status: Option<String>,
    /// Validator that attested it.
    attester: Option<String>,
    /// First window.
    from: Option<u64>,
    /// Last window.
    to: Option<u64>,
    /// Items wanted.
    limit: Option<usize>,
    /// From the page before.
    cursor: Option<String>,
}

/// `GET /v1/chunks`: the recent ones; older ones are in the table `ledger_chunks`.
#[utoipa::path(get, path = "/v1/chunks", tag = "data", params(ChunkQuery), responses((status = 200, body = api::Page<api::ChunkInfo>)))]
pub async fn chunks(
    State(node): State<Node>,
    Query(query): Query<ChunkQuery>,
) -> Result<Json<api::Page<api::ChunkInfo>>, Refusal> {
    let page = PageQuery { limit: query.limit, cursor: query.cursor.clone() };
    let attester = query.attester.as_deref().map(parse_address).transpose()?;
    let accepted = match query.status.as_deref() {
        None => None,
        Some("accepted") => Some(true),
        Some("disputed") => Some(false),
        Some(other) => {
            return Err(Refusal::bad("bad_status", format!("{other:?} is no status of a chunk: accepted or disputed")));
        }
    };
    let wanted = |chunk: &RecentChunk| {
        query.source.as_ref().is_none_or(|s| *s == chunk.source)
            && query.stream.as_ref().is_none_or(|s| chunk.stream.contains(s.as_str()))
            && accepted.is_none_or(|a| a == chunk.accepted.is_some())
            && attester.is_none_or(|a| chunk.attesters.contains(&a))
            && query.from.is_none_or(|w| chunk.window >= w)
            && query.to.is_none_or(|w| chunk.window <= w)
    };
    let found: Vec<RecentChunk> =
        node.index().chunks(page.after()?).filter(|c| wanted(c)).take(page.limit() + 1).cloned().collect();
    let next = (found.len() > page.limit()).then(|| found[page.limit() - 1].number.to_string());
    let items = found.iter().take(page.limit()).map(|c| node.chunk_info(c)).collect();
    Ok(Json(api::Page { items, next }))
}

/// `GET /v1/chunks/{cid}`
#[utoipa::path(get, path = "/v1/chunks/{cid}", tag = "data", params(("cid" = String, Path)), responses((status = 200, body = api::ChunkInfo), (status = 404, body = api::ErrorBody)))]
pub async fn chunk(State(node): State<Node>, Path(cid): Path<String>) -> Result<Json<api::ChunkInfo>, Refusal> {
    let cid = parse_cid(&cid)?;
    let chunk = node.index().chunk(&cid).cloned().ok_or_else(|| unknown_chunk(&cid))?;
    Ok(Json(node.chunk_info(&chunk)))
}

/// `GET /v1/chunks/{cid}/raw`: the canonical bytes.
#[utoipa::path(get, path = "/v1/chunks/{cid}/raw", tag = "data", params(("cid" = String, Path)), responses((status = 200, content_type = "application/octet-stream"), (status = 404, body = api::ErrorBody)))]
pub async fn raw(State(node): State<Node>, Path(cid): Path<String>) -> Result<Response, Refusal> {
    let cid = parse_cid(&cid)?;
    let bytes = node.content(cid).await?;
    Ok(download(bytes, "application/octet-stream", &format!("{cid}.chunk")))
}

/// `GET /v1/chunks/{cid}/parquet`: the window's rows with the proof inside.
#[utoipa::path(get, path = "/v1/chunks/{cid}/parquet", tag = "data", params(("cid" = String, Path)), responses((status = 200, content_type = "application/vnd.apache.parquet"), (status = 404, body = api::ErrorBody)))]
pub async fn parquet(State(node): State<Node>, Path(cid): Path<String>) -> Result<Response, Refusal> {
    let cid = parse_cid(&cid)?;
    let bytes = node.content(cid).await?;
    let file = node
        .blocking(move |node| {
            let proof = bundle(&node, &cid)?;
            let json = serde_json::to_string(&proof).map_err(|e| Refusal::internal("writing the proof", &e))?;
            openmesh_lake::window_parquet(&bytes, Some(&json))
                .map_err(|e| Refusal::internal("writing the Parquet file", &e))
        })
        .await?;
    Ok(download(file, "application/vnd.apache.parquet", &format!("{cid}.parquet")))
}

/// `GET /v1/chunks/{cid}/proof`
#[utoipa::path(get, path = "/v1/chunks/{cid}/proof", tag = "data", params(("cid" = String, Path)), responses((status = 200, body = api::ProofBundle), (status = 404, body = api::ErrorBody), (status = 503, body = api::ErrorBody)))]
pub async fn proof(State(node): State<Node>, Path(cid): Path<String>) -> Result<Json<api::ProofBundle>, Refusal> {
    let cid = parse_cid(&cid)?;
    node.blocking(move |node| bundle(&node, &cid)).await.map(Json)
}

/// The state after height h stands in the header of h + 1, so the newest provable state is that of the block before
/// the tip.
fn bundle(node: &Node, cid: &ContentId) -> Result<api::ProofBundle, Refusal> {
    let chunk = node.index().chunk(cid).cloned().ok_or_else(|| unknown_chunk(cid))?;
    let tip = node.store().tip().height;
    if chunk.height >= tip {
        return Err(Refusal::unavailable("proof_not_ready", format!("accepted in block {}, the newest", chunk.height))
            .hint("the next block's header carries the state with it: ask again in a second"));
    }
    let at: Height = tip - 1;
    let key = keys::chunk(&chunk.source, chunk.window, &chunk.stream);
    let (value, state_proof) = node.store().prove(&key, at)?;
    let value = value.ok_or_else(|| unknown_chunk(cid))?;
    let stored = node.store().block(tip)?.ok_or_else(|| unknown_chunk(cid))?;
    let validators = node.store().validators_at(tip)?;
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

fn download(bytes: Vec<u8>, kind: &'static str, name: &str) -> Response {
    // The name is made of a CID, so it holds nothing that would need quoting.
    let disposition = format!("attachment; filename=\"{name}\"");
    let headers = [
        (header::CONTENT_TYPE, kind.to_string()),
        (header::CONTENT_DISPOSITION, disposition),
        // Named by its content: it never changes.
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable".to_string()),
    ];
    (headers, bytes).into_response()
}

fn parse_cid(text: &str) -> Result<ContentId, Refusal> {
    text.parse().map_err(|e| {
        Refusal::bad("bad_cid", format!("{text:.80}: {e}"))
            .hint("take the cid from /v1/chunks: bafkrei and 52 more characters")
    })
}

fn unknown_chunk(cid: &ContentId) -> Refusal {
    Refusal::not_found("unknown_chunk", format!("{cid} is not among the recently agreed chunks"))
        .hint("older ones are listed in the table ledger_chunks")
}

/// The API's word for an origin.
pub const fn origin(origin: Origin) -> api::Origin {
    match origin {
        Origin::Live => api::Origin::Live,
        Origin::Simulated => api::Origin::Simulated,
        Origin::Replay => api::Origin::Replay,
    }
}

/// A chunk as the API shows it.
pub fn info(chunk: &RecentChunk, kind: SourceKind, window_ms: u64, held: bool) -> api::ChunkInfo {
    // A chain's windows are block numbers: they have no times of their own.
    let at = |window: u64| match kind {
        SourceKind::Chain => String::new(),
        SourceKind::Market => {
            let millis = i64::try_from(window.saturating_mul(window_ms)).unwrap_or(i64::MAX);
            Timestamp::from_millis(millis).to_rfc3339()
        }
    };
    api::ChunkInfo {
        cid: chunk.accepted.map(|(cid, _, _)| cid.to_string()),
        source: chunk.source.clone(),
        origin: origin(chunk.origin),
        window: chunk.window,
        window_start: at(chunk.window),
        window_end: at(chunk.window.saturating_add(1)),
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
