//! Downloads of a chunk and its proof.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use openmesh_api as api;
use openmesh_ledger::keys;
use openmesh_primitives::{ContentId, canonical};

use crate::error::Refusal;
use crate::http::download::{file, tagged_json};
use crate::memory::RecentChunk;
use crate::node::Node;
use crate::reads::chunk;
use crate::reads::proof::{Reach, Shown, Signed, Sought, made, shown, signed};

/// The canonical bytes.
#[utoipa::path(get, path = api::path::CHUNK_RAW, tag = "data", params(("cid" = String, Path, description = "bafkrei and 52 more characters")), responses((status = 200, content_type = "application/octet-stream", body = Vec<u8>), (status = 206, description = "The range that was asked for", content_type = "application/octet-stream", body = Vec<u8>), (status = 404, body = api::ErrorBody), (status = 416, description = "The range lies outside"), (status = 503, body = api::ErrorBody)))]
pub async fn raw(
    State(node): State<Node>,
    Path(cid): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let cid = chunk::parse_cid(&cid)?;
    chunk::find(&node, &cid).await?;
    let bytes = node.content(cid).await?;
    Ok(file(&method, &headers, bytes, "application/octet-stream", &format!("{cid}.chunk")))
}

/// The window's rows as Parquet, with the proof inside.
#[utoipa::path(get, path = api::path::CHUNK_PARQUET, tag = "data", params(("cid" = String, Path, description = "bafkrei and 52 more characters")), responses((status = 200, content_type = "application/vnd.apache.parquet", body = Vec<u8>), (status = 206, description = "The range that was asked for", content_type = "application/vnd.apache.parquet", body = Vec<u8>), (status = 404, body = api::ErrorBody), (status = 416, description = "The range lies outside"), (status = 503, body = api::ErrorBody)))]
pub async fn parquet(
    State(node): State<Node>,
    Path(cid): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let cid = chunk::parse_cid(&cid)?;
    let chunk = chunk::find(&node, &cid).await?;
    let bytes = node.content(cid).await?;
    let proof = made(&node, move |node, reach| bundle(node, &cid, &chunk, reach)).await?;
    let written = node
        .read(move |_| {
            let json = serde_json::to_string(&proof).map_err(|e| Refusal::internal("writing the proof", &e))?;
            openmesh_lake::window_parquet(&bytes, Some(&json))
                .map_err(|e| Refusal::internal("writing the Parquet file", &e))
        })
        .await?;
    Ok(file(&method, &headers, written, "application/vnd.apache.parquet", &format!("{cid}.parquet")))
}

/// Everything needed to check a chunk offline.
#[utoipa::path(get, path = api::path::CHUNK_PROOF, tag = "data", params(("cid" = String, Path, description = "bafkrei and 52 more characters")), responses((status = 200, body = api::ProofBundle), (status = 404, body = api::ErrorBody), (status = 503, body = api::ErrorBody)))]
pub async fn proof(State(node): State<Node>, Path(cid): Path<String>, headers: HeaderMap) -> Result<Response, Refusal> {
    let cid = chunk::parse_cid(&cid)?;
    let chunk = chunk::find(&node, &cid).await?;
    let answer = move |node: &Node, reach| {
        let proof = bundle(node, &cid, &chunk, reach)?;
        proof.map(|proof| tagged_json(&headers, &proof)).transpose()
    };
    made(&node, answer).await
}

/// Makes the proof of a chunk. The state after height h stands in the header of h + 1.
fn bundle(
    node: &Node,
    cid: &ContentId,
    found: &RecentChunk,
    reach: Reach,
) -> Result<Option<api::ProofBundle>, Refusal> {
    let store = node.store();
    let sought = Sought {
        key: keys::chunk(&found.source, found.window, &found.stream),
        since: found.height,
        is_it: &|_| true,
        fact: store.chunk_fact(&found.source, found.window, &found.stream)?,
        what: "the chunk",
    };
    let Some(Shown { height, key, value, proof: state_proof, fact }) = shown(store, sought, reach)? else {
        return Ok(None);
    };
    let Signed { header, certificate, changes } = signed(store, height)?;
    Ok(Some(api::ProofBundle {
        version: api::PROOF_BUNDLE_VERSION,
        chain_id: node.chain_id(),
        cid: cid.to_string(),
        source: found.source.clone(),
        window: found.window,
        stream: found.stream.clone(),
        state_key: hex::encode(&key),
        state_value: hex::encode(&value),
        state_proof: hex::encode(canonical::encode(&state_proof)),
        header,
        certificate,
        fact: fact.map(|fact| hex::encode(canonical::encode(&fact))),
        changes,
    }))
}
