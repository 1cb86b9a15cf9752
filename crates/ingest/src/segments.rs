//! The archive as a table: the raw segments that this node wrote, to be found by time and fetched by CID.
//!
//! The collector appends a signed line to a source's manifest for each segment. The lines are read and checked once: a
//! reading goes on where the last one ended. The lake recognises a segment by its CID, so a start reads each manifest from
//! its beginning and adds what is new. The sources are those of the register as it is at each reading.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use openmesh_collector::{ManifestPosition, SegmentManifest, read_manifest_from};
use openmesh_lake::{Lake, RawSegmentRow};
use openmesh_ledger::{SourceKind, SourceSpec, sources};
use openmesh_primitives::report;
use openmesh_storage::Store;
use tokio_util::sync::CancellationToken;

use crate::work::blocking;

/// Time between two readings: a new segment is in the table as soon as a person looks for it.
const TURN: Duration = Duration::from_secs(10);

/// The manifests of this node's sources.
pub(crate) struct Segments {
    archive: PathBuf,
    store: Store,
    lake: Lake,
    /// Places up to which manifests were read, by source.
    positions: BTreeMap<String, ManifestPosition>,
}

impl Segments {
    pub(crate) fn new(archive: PathBuf, store: Store, lake: Lake) -> Segments {
        Segments { archive, store, lake, positions: BTreeMap::new() }
    }

    /// Adds segments to the table until the node stops.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut turns = tokio::time::interval(TURN);
        turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(turns.tick()).await.is_some() {
            for source in self.markets().await {
                self.read(&source).await;
            }
        }
    }

    /// The registered sources that may be archived here.
    async fn markets(&self) -> Vec<SourceSpec> {
        let store = self.store.clone();
        let read = blocking(move || {
            let state = store.state().map_err(|e| report(&e))?;
            sources(&state).map_err(|e| report(&e))
        });
        match read.await {
            Ok(all) => all.into_iter().map(|s| s.spec).filter(|spec| spec.kind == SourceKind::Market).collect(),
            Err(error) => {
                tracing::error!(error, "the register of sources cannot be read");
                Vec::new()
            }
        }
    }

    /// Adds the segments of a source that were written since the last time.
    async fn read(&mut self, source: &SourceSpec) {
        let path = self.archive.join(format!("{}.manifest.jsonl", source.exchange));
        let from = self.positions.get(&source.id).copied().unwrap_or_default();
        let (segments, position) = match blocking(move || read_manifest_from(&path, from)).await {
            Ok(read) => read,
            Err(error) => {
                // Another file may stand in its place, which is read from its beginning.
                self.positions.remove(&source.id);
                return tracing::warn!(error = report(&error), "raw segments are not in the table");
            }
        };
        let cids: Vec<_> = segments.iter().map(|segment| segment.cid).collect();
        let new: BTreeSet<_> = self.lake.missing(&cids).into_iter().collect();
        for segment in segments.iter().filter(|segment| new.contains(&segment.cid)) {
            if let Err(error) = self.lake.append_raw_segment(&row(source, segment)).await {
                // The position stays: it is tried again.
                return tracing::error!(error = report(&error), cid = %segment.cid, "a raw segment is not kept as a row");
            }
        }
        self.positions.insert(source.id.clone(), position);
    }
}

fn row(source: &SourceSpec, segment: &SegmentManifest) -> RawSegmentRow {
    RawSegmentRow {
        source: source.id.clone(),
        origin: source.origin.as_str().to_string(),
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
