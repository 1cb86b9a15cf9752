//! The archive of a source: raw frames as received, and closed windows, made durable before anyone hears of them.
//!
//! Raw frames differ from node to node, so nobody can agree on them; what they are good for is to show later what a
//! node saw. They are therefore kept in the format of recordings (`dialect::recording`), in segments that can be read
//! one by one, each under its CID, with a line in a manifest that the collector signs. Each line names the segment
//! before it, so that none can be left out unnoticed.
//!
//! One task for each source writes, windows first, on a blocking thread. The source never waits for it: what is not
//! written yet waits in a bounded [`Backlog`].
//!
//! # When the disk takes nothing more
//! A window whose chunk cannot be kept is not vouched for. Raw segments are held back and written, in their order, as soon
//! as there is room: it is tried each second. Beyond the backlog's bound the oldest go, and the next line of the manifest
//! says, signed, how many lines are missing before it. The source's liveness says all of that while it lasts.

mod backlog;
mod manifest;
mod recorder;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use openmesh_content::{BlockStore, ContentError, Reason as Purpose};
use openmesh_market::Exchange;
use openmesh_market::window::{ClosedWindow, Reason};
use openmesh_primitives::{ContentId, ValidatorKey, report};
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub(crate) use self::backlog::{Backlog, Bounds, Lost};
use self::manifest::ManifestWriter;
pub use self::manifest::{ManifestError, ManifestReader, SegmentManifest, read_manifest};
pub(crate) use self::recorder::{Recorder, Segment};
use crate::liveness::LivenessCell;
use crate::metrics::SourceMetrics;
use crate::output::{DRAIN, Outbox};

/// Compression of segments: JSON shrinks tenfold at this level for a few milliseconds a megabyte.
const ZSTD_LEVEL: i32 = 3;

/// Pause before a disk that took nothing is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Panics upon one segment before it is given up: one may be the machine's, two are the segment's.
const PANICS_MAX: u32 = 2;

/// Places and keys of a source's archive.
#[derive(Clone)]
pub(crate) struct Archive {
    pub(crate) source: Arc<str>,
    pub(crate) exchange: Exchange,
    /// Store of chunks.
    pub(crate) store: Arc<BlockStore>,
    /// Store of raw segments.
    pub(crate) raw: Arc<BlockStore>,
    pub(crate) key: ValidatorKey,
    pub(crate) dir: PathBuf,
    pub(crate) metrics: SourceMetrics,
    pub(crate) liveness: LivenessCell,
    /// Called before a segment is written, so that a test can have a bug there.
    #[cfg(test)]
    pub(crate) before_segment: Option<fn(&Segment)>,
}

/// The archive's task.
struct Archiving {
    archive: Arc<Archive>,
    backlog: Backlog,
    outbox: Outbox<ClosedWindow>,
    /// The manifests, while they are in order.
    manifest: Option<ManifestWriter>,
    /// Time of the next attempt, while segments cannot be written.
    retry: Option<Instant>,
    /// Panics upon the oldest segment.
    panics: u32,
    segments_trouble: Option<String>,
    chunks_trouble: Option<String>,
}

/// Outcome of writing a segment: the manifests, where they are in order, and the cause where it was not written.
type Written = (Option<ManifestWriter>, Result<(), String>);

impl Archive {
    /// Starts the task; it ends when the backlog is closed and everything in it is written, or cannot be.
    pub(crate) fn start(self, backlog: Backlog, outbox: Outbox<ClosedWindow>) -> JoinHandle<()> {
        let archiving = Archiving {
            archive: Arc::new(self),
            backlog,
            outbox,
            manifest: None,
            retry: None,
            panics: 0,
            segments_trouble: None,
            chunks_trouble: None,
        };
        tokio::spawn(archiving.run())
    }

    /// Compresses, stores and signs a segment.
    fn keep_segment(&self, segment: &Segment, lost: u64, manifest: Option<ManifestWriter>) -> Written {
        #[cfg(test)]
        if let Some(before) = self.before_segment {
            before(segment);
        }
        let mut manifest = match manifest.map_or_else(|| ManifestWriter::open(&self.dir, &self.source, &self.key), Ok) {
            Ok(manifest) => manifest,
            Err(error) => return (None, Err(report(&error))),
        };
        match self.write_segment(segment, lost, &mut manifest) {
            Ok(()) => (Some(manifest), Ok(())),
            Err(why) => (None, Err(why)),
        }
    }

    fn write_segment(&self, segment: &Segment, lost: u64, manifest: &mut ManifestWriter) -> Result<(), String> {
        let packed = zstd::bulk::compress(segment.text.as_bytes(), ZSTD_LEVEL).map_err(|e| report(&e))?;
        let cid = self.raw.put(&packed, Purpose::Segment).map_err(|e| report(&e))?;
        let described = SegmentManifest {
            collector: self.key.public(),
            source: self.source.to_string(),
            exchange: self.exchange,
            sequence: manifest.next(),
            first: segment.first,
            last: segment.last,
            lines: segment.lines,
            raw_bytes: segment.text.len() as u64,
            cid,
            previous: manifest.last(),
            lost,
        };
        let begins_day = manifest.append(described, &self.key).map_err(|e| report(&e))?;
        if begins_day {
            let pruned = self.raw.oldest(Purpose::Segment).map_err(|e| report(&e));
            let pruned = pruned.and_then(|oldest| manifest.prune(oldest).map_err(|e| report(&e)));
            if let Err(error) = pruned {
                tracing::warn!(source = %self.source, error, "old manifests are not removed yet");
            }
        }
        Ok(())
    }

    /// Stores the chunks together; where that is refused each for itself, and those that cannot be kept are not vouched for.
    /// Returns the cause, where there are such.
    fn keep_window(&self, mut window: ClosedWindow) -> (ClosedWindow, Option<String>) {
        let chunks: Vec<&[u8]> = window.chunks.iter().map(|chunk| chunk.bytes.as_ref()).collect();
        if self.keep_chunks(&chunks).is_ok() {
            return (window, None);
        }
        let (mut lost, mut why): (Vec<ContentId>, _) = (Vec::new(), None);
        for chunk in &window.chunks {
            if let Err(error) = self.keep_chunks(&[chunk.bytes.as_ref()]) {
                let stream = chunk.stream();
                tracing::error!(%stream, window = %window.index, error = report(&error), "a chunk was not kept");
                why.get_or_insert_with(|| {
                    let more = match error {
                        // It says itself what to do.
                        ContentError::Full { .. } => "",
                        _ => "; make room on the disk",
                    };
                    let index = window.index;
                    format!("{stream} window {index} was not kept, nor vouched for: {}{more}", report(&error))
                });
                lost.push(chunk.cid);
            }
        }
        backlog::not_covered(&mut window, |chunk| lost.contains(&chunk.cid).then_some(Reason::NotKept));
        (window, why)
    }

    /// Stores chunks in one step; where the disk itself is full, raw segments make room for them.
    fn keep_chunks(&self, chunks: &[&[u8]]) -> Result<(), ContentError> {
        match self.store.put_all(chunks, Purpose::Window) {
            Err(ContentError::Full { bytes, .. })
                if !Arc::ptr_eq(&self.store, &self.raw) && self.raw.make_room(bytes)? > 0 =>
            {
                self.store.put_all(chunks, Purpose::Window).map(drop)
            }
            outcome => outcome.map(drop),
        }
    }
}

impl Archiving {
    async fn run(mut self) {
        loop {
            self.outbox.flush();
            if let Some(window) = self.backlog.take_window() {
                self.window(window).await;
                continue;
            }
            let closed = self.backlog.is_closed();
            let due = self.retry.is_none_or(|retry| closed || Instant::now() >= retry);
            if due && let Some((segment, lost)) = self.backlog.take_segment() {
                self.segment(segment, lost).await;
                // The last attempt: nobody waits for room when the process ends.
                if !closed || self.retry.is_none() {
                    continue;
                }
            }
            if closed {
                break;
            }
            self.wait().await;
        }
        self.finish().await;
    }

    /// Waits for work, for the next attempt, or for the reader of windows.
    async fn wait(&self) {
        let retry = self.retry.unwrap_or_else(Instant::now);
        tokio::select! {
            () = self.backlog.news() => {}
            () = tokio::time::sleep_until(retry), if self.retry.is_some() => {}
            () = self.outbox.room(), if !self.outbox.is_empty() => {}
        }
    }

    async fn finish(mut self) {
        if tokio::time::timeout(DRAIN, self.outbox.drain()).await.is_err() {
            tracing::error!(source = %self.archive.source, "windows are lost with this process: nobody took them");
        }
        let lines = self.backlog.lines();
        if lines > 0 {
            tracing::error!(source = %self.archive.source, lines, "raw frames are lost with this process: there was no room for them");
        }
    }

    async fn window(&mut self, window: ClosedWindow) {
        let has_chunks = !window.chunks.is_empty();
        let (own, without) = (self.archive.clone(), backlog::without_chunks(&window, Reason::NotKept));
        let (window, failed) = match tokio::task::spawn_blocking(move || own.keep_window(window)).await {
            Ok(kept) => kept,
            Err(error) => (without, Some(format!("the archive failed on a window, which is a bug: {error}"))),
        };
        // A window without chunks tells nothing of the disk.
        if has_chunks {
            self.chunks_trouble = failed;
            self.say();
        }
        let weight = window.chunks.iter().map(|chunk| chunk.bytes.len()).sum();
        let dropped = self.outbox.push(window, weight);
        if dropped > 0 {
            self.dropped(dropped);
        }
    }

    fn dropped(&self, windows: u64) {
        let labels = self.archive.metrics.labels("window");
        self.archive.metrics.all.outputs_dropped.get_or_create(&labels).inc_by(windows);
        tracing::error!(source = %self.archive.source, windows, "closed windows are given up: nobody takes them");
        self.archive.liveness.set(|liveness| liveness.outputs_dropped += windows);
    }

    async fn segment(&mut self, segment: Arc<Segment>, lost: u64) {
        let (own, copy, manifest) = (self.archive.clone(), segment.clone(), self.manifest.take());
        let written = tokio::task::spawn_blocking(move || own.keep_segment(&copy, lost, manifest)).await;
        let failed = match written {
            Ok((manifest, Ok(()))) => {
                self.manifest = manifest;
                self.panics = 0;
                let labels = self.archive.metrics.labels("");
                self.archive.metrics.all.archived_bytes.get_or_create(&labels).inc_by(segment.text.len() as u64);
                None
            }
            Ok((manifest, Err(why))) => {
                self.manifest = manifest;
                self.put_back(segment, lost);
                Some(format!("raw frames are not archived: {why}"))
            }
            Err(error) => {
                self.panics += 1;
                if self.panics < PANICS_MAX {
                    self.put_back(segment, lost);
                } else {
                    self.panics = 0;
                    self.backlog.lose(lost + segment.lines);
                    self.archive.lost(segment.lines);
                }
                Some(format!("the archive failed on raw frames, which is a bug: {error}"))
            }
        };
        self.retry = failed.as_ref().map(|_| Instant::now() + RETRY);
        self.segments_trouble = failed.map(|why| {
            let (waiting, lost) = self.backlog.segments();
            format!("{why}; {waiting} segments wait in memory, {lost} lines are lost: make room on the disk")
        });
        self.say();
    }

    fn put_back(&self, segment: Arc<Segment>, lost: u64) {
        let lines = self.backlog.put_back(segment, lost);
        if lines > 0 {
            self.archive.lost(lines);
        }
    }

    /// Says how it goes, where that has changed.
    fn say(&self) {
        let trouble = self.chunks_trouble.clone().or_else(|| self.segments_trouble.clone());
        let source = &self.archive.source;
        let before = self.archive.liveness.get().archive_trouble;
        if before == trouble {
            return;
        }
        match (&before, &trouble) {
            (None, Some(why)) => tracing::error!(%source, why, "archive"),
            (Some(_), None) => tracing::info!(%source, "the archive has room again: everything that waited is kept"),
            _ => {}
        }
        let labels = self.archive.metrics.labels("");
        self.archive.metrics.all.archive_trouble.get_or_create(&labels).set(trouble.is_some().into());
        self.archive.liveness.set(|liveness| liveness.archive_trouble = trouble);
    }
}

impl Archive {
    /// Counts lines that are lost.
    fn lost(&self, lines: u64) {
        self.metrics.all.lines_lost.get_or_create(&self.metrics.labels("")).inc_by(lines);
        self.liveness.set(|liveness| liveness.lines_lost += lines);
    }
}
