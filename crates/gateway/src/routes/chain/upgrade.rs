//! Upgrades, and copies of the state for their rehearsals.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use openmesh_api as api;
use openmesh_api::ErrorCode;
use openmesh_ledger as ledger;
use openmesh_primitives::{Height, canonical};
use openmesh_storage::StoreError;

use crate::error::Refusal;
use crate::http::download::{ASK_AGAIN, tagged};
use crate::node::Node;
use crate::views::upgrades::{self, Facts};

/// Blocks by which the mean time between two is told.
const BLOCKS_MEASURED: Height = 50;

/// The rules in force, plans, who approves them and who is ready.
#[utoipa::path(get, path = api::path::UPGRADE, tag = "ledger", responses((status = 200, body = api::UpgradeInfo)))]
pub async fn upgrade(State(node): State<Node>) -> Result<Json<api::UpgradeInfo>, Refusal> {
    node.read(|node| {
        let state = node.store().state()?;
        let set = ledger::validators(&state)?;
        let addresses: Vec<_> = set.iter().map(|validator| validator.address).collect();
        let mut ballots = Vec::with_capacity(addresses.len());
        for address in &addresses {
            ballots.push(ledger::ballot_count(&state, address)?);
        }
        let facts = Facts {
            height: state.tip().height,
            rules: ledger::rules_in_force(&state)?,
            sets: node.deps().engine.rule_sets().clone(),
            block_ms: block_ms(&node, state.tip().height)?,
            plans: ledger::plans(&state)?,
            done: ledger::upgrades(&state)?,
            lapsed: ledger::last_lapsed(&state)?,
            roots: node.store().migrated_roots()?,
            set,
            ballots,
        };
        Ok(Json(upgrades::info(&facts)))
    })
    .await
}

/// Mean time between the last blocks, milliseconds.
fn block_ms(node: &Node, tip: Height) -> Result<Option<u64>, Refusal> {
    let from = tip.saturating_sub(BLOCKS_MEASURED).max(node.store().oldest_block()).max(1);
    if tip <= from {
        return Ok(None);
    }
    let (Some(first), Some(last)) = (node.store().block(from)?, node.store().block(tip)?) else { return Ok(None) };
    let passed = last.block.header.time.millis().saturating_sub(first.block.header.time.millis());
    Ok(u64::try_from(passed).ok().map(|passed| passed / (tip - from)))
}

/// The newest state, to be copied in chunks: for rehearsals of upgrades.
#[utoipa::path(get, path = api::path::STATE, tag = "ledger", responses((status = 200, body = api::StateCopyInfo), (status = 404, body = api::ErrorBody)))]
pub async fn state(State(node): State<Node>) -> Result<Json<api::StateCopyInfo>, Refusal> {
    node.read(|node| {
        let store = node.store();
        let tip = store.state()?.tip();
        let height = tip.height;
        let stored = store.block(height)?.ok_or_else(|| {
            let hint = "a network that has made no block yet has the state of its genesis";
            Refusal::new(ErrorCode::UnknownBlock, format!("there is no block of height {height} here"), hint)
        })?;
        Ok(Json(api::StateCopyInfo {
            height,
            state_root: tip.state_root.to_string(),
            depth: store.snapshot_depth(height)?,
            genesis: hex::encode(canonical::encode(store.genesis()?)),
            block: hex::encode(canonical::encode(&stored.block)),
            certificate: hex::encode(canonical::encode(&stored.certificate)),
            validators: hex::encode(canonical::encode(&store.validators_at(height + 1)?)),
        }))
    })
    .await
}

/// A chunk of the state after a height, in its canonical bytes with its proof.
#[utoipa::path(get, path = api::path::STATE_CHUNK, tag = "ledger", params(("height" = u64, Path, description = "Height of the state"), ("depth" = u32, Path, description = "Digits of the chunk's number"), ("index" = u32, Path, description = "The chunk's number")), responses((status = 200, content_type = "application/octet-stream", body = Vec<u8>), (status = 404, body = api::ErrorBody)))]
pub async fn state_chunk(
    State(node): State<Node>,
    Path((height, depth, index)): Path<(Height, u8, u32)>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let bytes = node
        .read(move |node| match node.store().snapshot_chunk(height, depth, index) {
            Ok(chunk) => Ok(canonical::encode(&chunk)),
            Err(error @ (StoreError::Pruned { .. } | StoreError::Beyond { .. } | StoreError::NoChunk { .. })) => {
                let hint = "/v1/state names the newest height and the depth of its chunks";
                Err(Refusal::new(ErrorCode::UnknownChunk, error.to_string(), hint))
            }
            Err(error) => Err(error.into()),
        })
        .await?;
    Ok(tagged(&headers, "application/octet-stream", ASK_AGAIN, bytes))
}
