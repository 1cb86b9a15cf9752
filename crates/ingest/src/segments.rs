//! The archive as a table: the raw segments that this site wrote, to be found by time and fetched by CID.
//!
//! The collector appends a signed line to a source's manifest for each segment. The lines are read and checked once: a
//! reading goes on where the last one ended. The lake recognises a segment by its CID, so a start reads each manifest from
//! its beginning and adds what is new.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use openmesh_collector::{ManifestPosition, SegmentManifest, read_manifest_from};
use openmesh_lake::{Lake, RawSegmentRow};
use openmesh_primitives::report;
use tokio_util::sync::CancellationToken;

use crate::work::blocking;

/// Time between two readings: a new segment is in the table as soon as a person looks for it.
const TURN: Duration = Duration::from_secs(10);

/// A source that is archived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedSource {
    /// Id of the source.
    pub source: String,
    /// Name of its venue.
    pub exchange: String,
    /// `live`, `simulated` or `replay`.
    pub origin: String,
}

/// The manifests of this site's sources.
pub(crate) struct Segments {
    manifests: Vec<Manifest>,
    lake: Lake,
}

struct Manifest {
    path: PathBuf,
    of: ArchivedSource,
    position: ManifestPosition,
}

impl Segments {
    pub(crate) fn new(archive: &Path, sources: Vec<ArchivedSource>, lake: Lake) -> Segments {
        let manifest = |of: ArchivedSource| Manifest {
            path: archive.join(format!("{}.manifest.jsonl", of.exchange)),
            of,
            position: ManifestPosition::default(),
        };
        Segments { manifests: sources.into_iter().map(manifest).collect(), lake }
    }

    /// Adds segments to the table until the node stops.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut turns = tokio::time::interval(TURN);
        turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(turns.tick()).await.is_some() {
            for manifest in &mut self.manifests {
                manifest.keep(&self.lake).await;
            }
        }
    }
}

impl Manifest {
    /// Adds the segments that were written since the last time.
    async fn keep(&mut self, lake: &Lake) {
        let (path, from) = (self.path.clone(), self.position);
        let (segments, position) = match blocking(move || read_manifest_from(&path, from)).await {
            Ok(read) => read,
            Err(error) => {
                // Another file may stand in its place, which is read from its beginning.
                self.position = ManifestPosition::default();
                return tracing::warn!(error = report(&error), "raw segments are not in the table");
            }
        };
        let cids: Vec<_> = segments.iter().map(|segment| segment.cid).collect();
        let new: BTreeSet<_> = lake.missing(&cids).into_iter().collect();
        for segment in segments.iter().filter(|segment| new.contains(&segment.cid)) {
            if let Err(error) = lake.append_raw_segment(&self.row(segment)).await {
                // The position stays: it is tried again.
                return tracing::error!(error = report(&error), cid = %segment.cid, "a raw segment is not kept as a row");
            }
        }
        self.position = position;
    }

    fn row(&self, segment: &SegmentManifest) -> RawSegmentRow {
        RawSegmentRow {
            source: self.of.source.clone(),
            origin: self.of.origin.clone(),
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
