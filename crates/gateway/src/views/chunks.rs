//! Chunks.

use openmesh_api as api;
use openmesh_ledger::{SourceKind, SourceSpec};
use openmesh_primitives::Timestamp;

use super::words;
use crate::memory::{Outcome, RecentChunk};

/// First moment of a window in RFC 3339; empty for a chain's, whose windows are block numbers without times of their own.
pub fn window_time(kind: SourceKind, window_ms: u64, window: u64) -> String {
    match kind {
        SourceKind::Chain => String::new(),
        SourceKind::Market => {
            let millis = i64::try_from(window.saturating_mul(window_ms)).unwrap_or(i64::MAX);
            Timestamp::from_millis(millis).to_rfc3339()
        }
    }
}

/// A chunk. Without a specification of its source nobody knows the length of its windows, and their times stay empty.
pub fn info(chunk: &RecentChunk, spec: Option<&SourceSpec>, held: bool) -> api::ChunkInfo {
    let time = |window: u64| spec.map_or_else(String::new, |spec| window_time(spec.kind, spec.window_ms, window));
    let (bytes, events) = match chunk.outcome {
        Outcome::Accepted { bytes, events, .. } => (bytes, events),
        Outcome::Disputed | Outcome::Uncovered => (0, 0),
    };
    api::ChunkInfo {
        cid: chunk.outcome.cid().map(|cid| cid.to_string()),
        source: chunk.source.clone(),
        origin: words::origin(chunk.origin),
        window: chunk.window,
        window_start: time(chunk.window),
        window_end: time(chunk.window.saturating_add(1)),
        stream: chunk.stream.clone(),
        status: chunk.outcome.status(),
        events,
        bytes,
        height: chunk.height,
        attesters: chunk.attesters.iter().map(ToString::to_string).collect(),
        differing: chunk.differing.iter().map(ToString::to_string).collect(),
        held,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openmesh_ledger::Origin;

    #[test]
    fn a_chunk_has_the_times_of_its_sources_windows_or_none() {
        let chunk = RecentChunk {
            number: 1,
            source: "s".into(),
            window: 3,
            stream: "BTC.USD/trades".into(),
            origin: Origin::Replay,
            outcome: Outcome::Disputed,
            attesters: Vec::new(),
            differing: Vec::new(),
            height: 9,
        };
        let spec = |kind| SourceSpec {
            id: "s".into(),
            exchange: "kraken".into(),
            kind,
            symbols: Vec::new(),
            feeds: Vec::new(),
            window_ms: 10_000,
            origin: Origin::Replay,
        };
        let shown = info(&chunk, Some(&spec(SourceKind::Market)), false);
        assert_eq!(shown.window_start, "1970-01-01T00:00:30Z");
        assert_eq!((shown.status, shown.origin), (api::ChunkStatus::Disputed, api::Origin::Replay));
        assert_eq!(info(&chunk, Some(&spec(SourceKind::Chain)), false).window_start, "");
        assert_eq!(info(&chunk, None, false).window_start, "", "not 1970");
        let uncovered = RecentChunk { outcome: Outcome::Uncovered, ..chunk };
        assert_eq!(info(&uncovered, None, false).status, api::ChunkStatus::Uncovered);
    }
}
