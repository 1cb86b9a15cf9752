//! The archive as a table: the raw segments that this node wrote, to be found by time and fetched by CID.
//!
//! The collector appends a signed line to a source's manifest for each segment. The lines are read and verified once: a
//! reading goes on where the last one ended, over restarts too. The lake recognises a segment by its CID, so what was read
//! but not remembered before a crash is no row twice. The sources are those of the register as it is at each reading.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use openmesh_collector::{ManifestError, ManifestReader, SegmentManifest};
use openmesh_lake::{Lake, RawSegmentRow};
use openmesh_ledger::{SourceKind, SourceSpec, sources};
use openmesh_primitives::report;
use openmesh_storage::Store;
use tokio_util::sync::CancellationToken;

use crate::work::blocking;

/// Time between two readings: a new segment is in the table as soon as a person looks for it.
const TURN: Duration = Duration::from_secs(10);

/// Segments that are read at once: some milliseconds of signatures.
const READ_MAX: usize = 1_024;

/// The manifests of this node's sources.
pub(crate) struct Segments {
    archive: PathBuf,
    /// Folder of the remembered positions.
    remembered: PathBuf,
    store: Store,
    lake: Lake,
    /// Readers at the positions that were reached, by source; none after an error, so that it is opened again.
    readers: BTreeMap<String, ManifestReader>,
}

impl Segments {
    pub(crate) fn new(archive: PathBuf, remembered: PathBuf, store: Store, lake: Lake) -> Segments {
        Segments { archive, remembered, store, lake, readers: BTreeMap::new() }
    }

    /// Adds segments to the table until the node stops.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut turns = tokio::time::interval(TURN);
        turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(turns.tick()).await.is_some() {
            let markets = self.markets().await;
            self.readers.retain(|id, _| markets.iter().any(|source| source.id == *id));
            for source in markets {
                self.keep(&source).await;
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
    async fn keep(&mut self, source: &SourceSpec) {
        loop {
            let (reader, segments) = match self.read(source).await {
                Ok(read) => read,
                // The position stays, and is opened again.
                Err(error) => return tracing::warn!(error = report(&error), "raw segments are not in the table"),
            };
            if segments.is_empty() {
                self.readers.insert(source.id.clone(), reader);
                return;
            }
            if !self.append(source, &segments).await {
                return;
            }
            match blocking(move || reader.remember().map(|()| reader)).await {
                Ok(reader) => self.readers.insert(source.id.clone(), reader),
                Err(error) => return tracing::warn!(error = report(&error), "a position in raw segments is not kept"),
            };
        }
    }

    /// Reads on from the position that was reached.
    async fn read(&mut self, source: &SourceSpec) -> Result<(ManifestReader, Vec<SegmentManifest>), ManifestError> {
        let (archive, id) = (self.archive.clone(), source.id.clone());
        let remembered = self.remembered.join(format!("{id}.position"));
        let reader = self.readers.remove(&id);
        blocking(move || {
            let mut reader = reader.map_or_else(|| ManifestReader::open(&archive, &id, &remembered), Ok)?;
            let segments = reader.read(READ_MAX)?;
            Ok((reader, segments))
        })
        .await
    }

    /// Adds rows of the segments that the lake does not have; false where one could not be added.
    async fn append(&self, source: &SourceSpec, segments: &[SegmentManifest]) -> bool {
        let cids: Vec<_> = segments.iter().map(|segment| segment.cid).collect();
        let new: BTreeSet<_> = match self.lake.missing(&cids) {
            Ok(missing) => missing.into_iter().collect(),
            Err(error) => {
                tracing::error!(error = report(&error), "the tables can not be searched for raw segments");
                return false;
            }
        };
        for segment in segments.iter().filter(|segment| new.contains(&segment.cid)) {
            if let Err(error) = self.lake.append_raw_segment(&row(source, segment)).await {
                tracing::error!(error = report(&error), cid = %segment.cid, "a raw segment is not kept as a row");
                return false;
            }
        }
        true
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
