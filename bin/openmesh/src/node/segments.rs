//! The archive as a table: which raw segments this site wrote, so that they can be found by time and fetched by CID.
//!
//! The collector appends a signed line to a source's manifest for each segment. The lines are read and checked here,
//! and handed to the lake, which recognises a segment by its CID: a start reads a manifest from its beginning and adds
//! what is new.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use openmesh_collector::{SegmentManifest, read_manifests};
use openmesh_lake::{Lake, RawSegmentRow};
use openmesh_ledger::{Genesis, Origin, SourceKind};

use super::chain_of;

/// Least time between two readings, in seconds: each checks every signature of a manifest that has grown.
const EVERY_SECONDS: u64 = 10;

/// The manifests of this site's sources.
pub struct Segments {
    manifests: Vec<Manifest>,
    read: Option<Instant>,
}

struct Manifest {
    path: PathBuf,
    source: String,
    origin: Origin,
    /// Length up to which it was read, in bytes.
    length: u64,
}

impl Segments {
    /// Of the market sources of a network, in the folder where the collector archives.
    pub fn new(archive: &Path, genesis: &Genesis) -> Segments {
        let markets = genesis.sources.iter().filter(|s| s.kind == SourceKind::Market);
        let manifest = |spec: &openmesh_ledger::SourceSpec| Manifest {
            path: archive.join(format!("{}.manifest.jsonl", spec.exchange)),
            source: spec.id.clone(),
            origin: spec.origin,
            length: 0,
        };
        Segments { manifests: markets.map(manifest).collect(), read: None }
    }

    /// Adds segments that were written since the last time, where that is some time ago.
    pub async fn keep(&mut self, lake: &Lake) {
        if self.read.is_some_and(|read| read.elapsed().as_secs() < EVERY_SECONDS) {
            return;
        }
        self.read = Some(Instant::now());
        for manifest in &mut self.manifests {
            manifest.keep(lake).await;
        }
    }
}

impl Manifest {
    async fn keep(&mut self, lake: &Lake) {
        // Nothing is there before the first segment.
        let length = tokio::fs::metadata(&self.path).await.map_or(0, |file| file.len());
        if length == self.length {
            return;
        }
        self.length = length;
        let path = self.path.clone();
        let segments = match tokio::task::spawn_blocking(move || read_manifests(&path)).await {
            Ok(Ok(segments)) => segments,
            Ok(Err(error)) => return tracing::warn!(error = chain_of(&error), "raw segments are not in the table"),
            Err(error) => return tracing::warn!(%error, "raw segments are not in the table"),
        };
        let cids: Vec<_> = segments.iter().map(|segment| segment.cid).collect();
        let new: BTreeSet<_> = lake.missing(&cids).into_iter().collect();
        for segment in segments.iter().filter(|segment| new.contains(&segment.cid)) {
            if let Err(error) = lake.append_raw_segment(&self.row(segment)).await {
                tracing::error!(error = chain_of(&error), cid = %segment.cid, "a raw segment is not kept as a row");
            }
        }
    }

    fn row(&self, segment: &SegmentManifest) -> RawSegmentRow {
        RawSegmentRow {
            source: self.source.clone(),
            origin: self.origin.as_str().to_string(),
            site: segment.collector.address().to_string(),
            sequence: segment.sequence,
            cid: segment.cid,
            start: segment.first,
            stop: segment.last,
            frames: segment.lines,
            lost: segment.lost,
            bytes: segment.raw_bytes,
        }
    }
}
