//! The archive of a source: raw frames as received, and closed windows, made durable before anyone hears of them.
//!
//! Raw frames differ from site to site, so nobody can agree on them; what they are good for is to show later what a
//! site saw. They are therefore kept in the format of recordings (`dialect::recording`), in segments that can be read
//! one by one, each under its CID, with a line in a manifest that the collector signs. Each line names the segment
//! before it, so that none can be left out unnoticed.
//!
//! One task for each source writes, in order, on a blocking thread. Where it is slower than the venue, the source
//! waits: better a slow source than a hole in what it says it saw.
//!
//! # When the disk takes nothing more
//! The source goes on, since those who read live need not suffer. A window whose chunk cannot be kept is not vouched for.
//! Raw segments are held back in memory, up to [`HELD_BYTES_MAX`], and written, in their order, as soon as there is room;
//! beyond that the oldest go, and the next line of the manifest says, signed, how many lines are missing before it.

mod manifest;
mod recorder;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use openmesh_content::{BlockStore, ContentError};
use openmesh_market::Exchange;
use openmesh_market::window::{ClosedWindow, Reason};
use openmesh_primitives::{ContentId, ValidatorKey};
use tokio::sync::mpsc;

use self::manifest::Manifest;
pub use self::manifest::{ManifestError, ManifestPosition, SegmentManifest, read_manifest_from, read_manifests};
pub(crate) use self::recorder::{Recorder, Segment};
use crate::metrics::Metrics;

/// Segments and windows that wait for the disk.
const WAITING_MAX: usize = 64;

/// Raw bytes of one source that are held back while the disk takes nothing: some minutes of a busy venue, and for six
/// venues no more than a small machine can spare.
pub(crate) const HELD_BYTES_MAX: usize = 32 << 20;

/// Compression of segments: JSON shrinks tenfold at this level for a few milliseconds a megabyte.
const ZSTD_LEVEL: i32 = 3;

/// Work for the archive.
#[derive(Debug)]
pub(crate) enum Work {
    /// Keep a raw segment.
    Segment(Segment),
    /// Keep the chunks of a window, then pass it on.
    Window(Box<ClosedWindow>),
}

/// How archiving goes, where that changes; shown with the source.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Something was not kept, and what to do.
    Began(String),
    /// Everything that waited is kept.
    Over,
}

/// The archive's end of a source.
pub(crate) struct Archive {
    pub(crate) exchange: Exchange,
    /// Where chunks are kept.
    pub(crate) store: Arc<BlockStore>,
    /// Where raw segments are kept.
    pub(crate) raw: Arc<BlockStore>,
    pub(crate) key: ValidatorKey,
    pub(crate) dir: PathBuf,
    pub(crate) windows: mpsc::Sender<ClosedWindow>,
    pub(crate) trouble: mpsc::Sender<Trouble>,
    pub(crate) metrics: Metrics,
    /// Raw bytes that are held back at most, [`HELD_BYTES_MAX`] but in tests.
    pub(crate) held_bytes_max: usize,
}

/// Segments that are not written yet, and the manifest that they belong to.
#[derive(Default)]
struct Held {
    segments: VecDeque<Segment>,
    bytes: usize,
    /// Lines that had to go since the last line of the manifest.
    lost: u64,
    manifest: Option<Manifest>,
    /// Why the last attempt failed.
    failing: Option<String>,
}

impl Held {
    fn push(&mut self, segment: Segment) {
        self.bytes += segment.text.len();
        self.segments.push_back(segment);
    }

    /// Takes the first off, written or not.
    fn pop(&mut self) -> Option<Segment> {
        let segment = self.segments.pop_front()?;
        self.bytes -= segment.text.len();
        Some(segment)
    }
}

impl Archive {
    /// Starts the task; it ends when the sender is dropped and all is written, or cannot be.
    pub(crate) fn start(self) -> (mpsc::Sender<Work>, tokio::task::JoinHandle<()>) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        (sender, tokio::spawn(self.run(receiver)))
    }

    async fn run(self, mut work: mpsc::Receiver<Work>) {
        let archive = Arc::new(self);
        let mut held = Held::default();
        // Whether anything, segment or chunk, could not be kept the last time.
        let mut troubled = false;
        while let Some(work) = work.recv().await {
            let own = archive.clone();
            match work {
                Work::Segment(segment) => {
                    held.push(segment);
                    held = match tokio::task::spawn_blocking(move || own.keep(held)).await {
                        Ok(held) => held,
                        Err(error) => {
                            archive.say(Trouble::Began(format!("the archive failed on raw segments: {error}")));
                            Held::default()
                        }
                    };
                    archive.changed(&mut troubled, held.failing.clone());
                }
                Work::Window(window) => {
                    let kept = tokio::task::spawn_blocking(move || own.keep_window(*window)).await;
                    match kept {
                        Ok((window, failed)) => {
                            if failed.is_some() || held.failing.is_none() {
                                archive.changed(&mut troubled, failed);
                            }
                            // Nobody listening is fine: then nobody attests.
                            let _ = archive.windows.send(window).await;
                        }
                        Err(error) => archive.say(Trouble::Began(format!("the archive failed on a window: {error}"))),
                    }
                }
            }
        }
        let lines: u64 = held.segments.iter().map(|segment| segment.lines).sum::<u64>() + held.lost;
        if lines > 0 {
            tracing::error!(exchange = %archive.exchange, lines, "raw frames are lost with this process: there was no room for them");
        }
    }

    /// Says how it goes, where that has changed or is still bad.
    fn changed(&self, troubled: &mut bool, failed: Option<String>) {
        let was = std::mem::replace(troubled, failed.is_some());
        match failed {
            Some(why) => self.say(Trouble::Began(why)),
            None if was => self.say(Trouble::Over),
            None => {}
        }
    }

    fn say(&self, trouble: Trouble) {
        // A source that is behind with its troubles has heard enough of them.
        let _ = self.trouble.try_send(trouble);
    }

    /// Writes what is held, in order, as far as the disk takes it.
    fn keep(&self, mut held: Held) -> Held {
        held.failing = None;
        while let Some(segment) = held.segments.front() {
            match self.keep_one(segment, held.manifest.take(), held.lost) {
                Ok(manifest) => {
                    held.manifest = Some(manifest);
                    held.lost = 0;
                    let labels = Metrics::labels(self.exchange, "");
                    self.metrics.archived_bytes.get_or_create(&labels).inc_by(segment.text.len() as u64);
                    held.pop();
                }
                Err(why) => {
                    held.failing = Some(why);
                    break;
                }
            }
        }
        while held.bytes > self.held_bytes_max
            && let Some(segment) = held.pop()
        {
            held.lost += segment.lines;
        }
        if let Some(why) = &mut held.failing {
            let (segments, lost) = (held.segments.len(), held.lost);
            why.push_str(&format!(
                "; {segments} segments wait in memory, {lost} lines are lost: make room on the disk"
            ));
        }
        held
    }

    /// Compresses, stores and signs a segment.
    fn keep_one(&self, segment: &Segment, manifest: Option<Manifest>, lost: u64) -> Result<Manifest, String> {
        let say = |error: &dyn std::error::Error| format!("raw frames are not archived: {}", chain(error));
        let mut manifest = match manifest {
            Some(manifest) => manifest,
            None => Manifest::open(&self.dir, self.exchange, &self.key).map_err(|e| say(&e))?,
        };
        let packed = zstd::bulk::compress(segment.text.as_bytes(), ZSTD_LEVEL).map_err(|e| say(&e))?;
        let cid = self.raw.put(&packed).map_err(|e| say(&e))?;
        let described = SegmentManifest {
            collector: self.key.public(),
            exchange: self.exchange,
            sequence: manifest.next,
            first: segment.first,
            last: segment.last,
            lines: segment.lines,
            raw_bytes: segment.text.len() as u64,
            cid,
            previous: manifest.last,
            lost,
        };
        manifest.append(described, &self.key).map_err(|e| say(&e))?;
        Ok(manifest)
    }

    /// Stores the chunks; those that cannot be kept are not vouched for. Says why, where there are such.
    fn keep_window(&self, mut window: ClosedWindow) -> (ClosedWindow, Option<String>) {
        let (mut lost, mut why): (Vec<ContentId>, _) = (Vec::new(), None);
        for chunk in &window.chunks {
            if let Err(error) = self.store.put(&chunk.bytes) {
                let stream = chunk.stream();
                tracing::error!(%stream, window = window.index, error = chain(&error), "a chunk was not kept");
                why.get_or_insert_with(|| {
                    let more = match error {
                        // It says itself what to do.
                        ContentError::Full { .. } => "",
                        _ => "; make room on the disk",
                    };
                    let index = window.index;
                    format!("{stream} window {index} was not kept, nor vouched for: {}{more}", chain(&error))
                });
                lost.push(chunk.cid);
            }
        }
        let (kept, unkept) = std::mem::take(&mut window.chunks).into_iter().partition(|c| !lost.contains(&c.cid));
        window.chunks = kept;
        window.not_covered.extend(unkept.into_iter().map(|c| (c.header.stream, Reason::NotKept)));
        window.not_covered.sort();
        (window, why)
    }
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
