//! The accepted chunk of a CID.

use openmesh_api::ErrorCode;
use openmesh_ledger as ledger;
use openmesh_primitives::ContentId;
use openmesh_pythia::Query as Sql;

use super::windows::{chunks_of_window, source_of_windows};
use crate::error::Refusal;
use crate::memory::RecentChunk;
use crate::node::Node;

/// Finds an accepted chunk: in memory, or through the table of all chunks in the state. Fails where there is none, or where
/// something cannot be read.
pub async fn find(node: &Node, cid: &ContentId) -> Result<RecentChunk, Refusal> {
    if let Some(chunk) = node.memory().index().chunk(cid).cloned() {
        return Ok(chunk);
    }
    // A CID is letters and digits: nothing of a stranger's text gets into the query.
    let sql = format!("select source, \"window\", stream from ledger_chunks where cid = '{cid}' limit 1");
    let result = node.look_up(Sql::new(sql)).await?;
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
    node.read(move |node| {
        let state = node.store().state()?;
        let record = source_of_windows(&state, &id)?;
        let Some(seen) = ledger::window(&state, &id, window)? else { return Err(unknown_chunk(&cid)) };
        chunks_of_window(&state, &record, window, &seen)?
            .into_iter()
            .find(|c| c.stream == stream && c.outcome.cid().is_some_and(|known| known == cid))
            .ok_or_else(|| unknown_chunk(&cid))
    })
    .await
}

/// Reads a CID from a path. Fails where it is none.
pub fn parse_cid(text: &str) -> Result<ContentId, Refusal> {
    text.parse().map_err(|e| {
        Refusal::new(
            ErrorCode::BadCid,
            format!("{text:.80}: {e}"),
            "take the cid from /v1/chunks: bafkrei and 52 more characters",
        )
    })
}

/// Refusal of a CID that the network did not agree on.
pub fn unknown_chunk(cid: &ContentId) -> Refusal {
    Refusal::new(
        ErrorCode::UnknownChunk,
        format!("{cid} is no chunk that this network agreed on"),
        "/v1/chunks?source=<source> lists a source's chunks, the table ledger_chunks all",
    )
}
