//! Downloads of a chunk and its proof.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use openmesh_api as api;
use openmesh_api::ErrorCode;
use openmesh_ledger::{FactProof, keys};
use openmesh_primitives::{ContentId, Height, canonical};
use openmesh_storage::{StateProof, StoreError};

use crate::error::Refusal;
use crate::http::download::{file, tagged_json};
use crate::memory::RecentChunk;
use crate::node::Node;
use crate::reads::chunk;

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
    let written = node
        .read(move |node| {
            let proof = bundle(&node, &cid, chunk)?;
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
    node.read(move |node| tagged_json(&headers, &bundle(&node, &cid, chunk)?)).await
}

/// Entry of the state at a height, with its proof, that shows a chunk.
struct Shown {
    height: Height,
    key: Vec<u8>,
    value: Vec<u8>,
    proof: StateProof,
    fact: Option<FactProof>,
}

/// Makes the proof of a chunk. The state after height h stands in the header of h + 1.
fn bundle(node: &Node, cid: &ContentId, found: RecentChunk) -> Result<api::ProofBundle, Refusal> {
    let tip = node.store().tip().height;
    if found.height >= tip {
        return Err(Refusal::new(
            ErrorCode::ProofNotReady,
            format!("accepted in block {}, the newest", found.height),
            "the next block's header carries the state with it: ask again in a second",
        ));
    }
    let Shown { height: at, key, value, proof: state_proof, fact } = shown(node, cid, &found, tip - 1)?;
    let stored = node.store().block(at + 1)?.ok_or_else(|| chunk::unknown_chunk(cid))?;
    Ok(api::ProofBundle {
        version: api::PROOF_BUNDLE_VERSION,
        chain_id: node.chain_id(),
        cid: cid.to_string(),
        source: found.source,
        window: found.window,
        stream: found.stream,
        state_key: hex::encode(&key),
        state_value: hex::encode(&value),
        state_proof: hex::encode(canonical::encode(&state_proof)),
        header: hex::encode(canonical::encode(&stored.block.header)),
        certificate: hex::encode(canonical::encode(&stored.certificate)),
        fact: fact.map(|fact| hex::encode(canonical::encode(&fact))),
        changes: validator_changes(node, at + 1)?,
    })
}

/// Returns a chunk's entry in the state of the height that accepted it, so that its proof, and with it the Parquet file, has the same
/// bytes each time; once that state is pruned, in the newest that has a header; once the entry has left the state, the chunk's fact and
/// the epoch that it belongs to.
fn shown(node: &Node, cid: &ContentId, found: &RecentChunk, newest: Height) -> Result<Shown, Refusal> {
    let key = keys::chunk(&found.source, found.window, &found.stream);
    let (height, (value, proof)) = match node.store().prove(&key, found.height) {
        Ok(proved) => (found.height, proved),
        Err(StoreError::Pruned { .. }) => (newest, node.store().prove(&key, newest)?),
        Err(error) => return Err(error.into()),
    };
    if let Some(value) = value {
        return Ok(Shown { height, key, value, proof, fact: None });
    }
    let place = node.store().chunk_fact(&found.source, found.window, &found.stream)?;
    let (epoch, position) = place.ok_or_else(|| facts_gone("the epoch"))?;
    let fact = node.store().fact_proof(epoch, position)?.ok_or_else(|| facts_gone(&format!("epoch {epoch}")))?;
    let key = keys::closed_epoch(epoch);
    let (value, proof) = node.store().prove(&key, newest)?;
    let value = value.ok_or_else(|| chunk::unknown_chunk(cid))?;
    Ok(Shown { height: newest, key, value, proof, fact: Some(fact) })
}

fn facts_gone(epoch: &str) -> Refusal {
    let message = format!("this node does not hold the facts of {epoch} in which the chunk was agreed on");
    Refusal::new(
        ErrorCode::ProofPruned,
        message,
        "ask an archive (storage.archive), or a node that keeps more (storage.retain_epochs)",
    )
}

/// Changes of validators from the genesis up to a height, each with the header that announced it.
fn validator_changes(node: &Node, height: Height) -> Result<Vec<api::ProvenValidatorChange>, Refusal> {
    let changes = node.store().validator_changes(height)?;
    let proven = changes.into_iter().map(|(from, validators)| {
        let announced = from.saturating_sub(1);
        let (header, certificate) = node.store().header(announced)?.ok_or_else(|| {
            Refusal::new(
                ErrorCode::ProofPruned,
                format!("this node does not hold header {announced}, in which the validators changed"),
                "ask a node that keeps all blocks",
            )
        })?;
        Ok(api::ProvenValidatorChange {
            header: hex::encode(canonical::encode(&header)),
            certificate: hex::encode(canonical::encode(&certificate)),
            validators: hex::encode(canonical::encode(&validators)),
        })
    });
    proven.collect()
}
