//! Work of a source that waits for its archive, bounded in memory.
//!
//! Whoever hands over never waits: a disk that stalls must not hold up the live stream. Where too much waits, the oldest raw
//! segments go and are counted for the next line of the manifest, and the oldest windows lose their chunks, which are then
//! not vouched for.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openmesh_market::window::{ClosedWindow, Reason, Withdrawn};
use tokio::sync::Notify;

use super::recorder::Segment;

/// Raw bytes of one source that wait while the disk takes nothing: some minutes of a busy venue, and for six
/// venues no more than a small machine can spare.
pub(crate) const SEGMENT_BYTES_MAX: usize = 32 << 20;

/// Bytes of chunks of one source that wait for the disk: as many, for the same reason.
pub(crate) const CHUNK_BYTES_MAX: usize = 32 << 20;

/// Windows of one source that wait for the disk, chunks or not: more than a catch-up after an outage lists.
const WINDOWS_MAX: usize = 4_096;

/// Bounds of a backlog, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) segment_bytes: usize,
    pub(crate) chunk_bytes: usize,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { segment_bytes: SEGMENT_BYTES_MAX, chunk_bytes: CHUNK_BYTES_MAX }
    }
}

/// Losses of one hand-over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lost {
    /// Lines of raw segments.
    pub(crate) lines: u64,
    /// Chunks that are not vouched for.
    pub(crate) chunks: u64,
    /// Windows that nobody will hear of.
    pub(crate) windows: u64,
}

#[derive(Debug, Default)]
struct Waiting {
    segments: VecDeque<Arc<Segment>>,
    segment_bytes: usize,
    /// Lines that went since the last line of the manifest.
    lost: u64,
    windows: VecDeque<ClosedWindow>,
    chunk_bytes: usize,
    closed: bool,
}

/// The queue between a source and its archive; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Backlog {
    waiting: Arc<Mutex<Waiting>>,
    news: Arc<Notify>,
    bounds: Bounds,
}

impl Backlog {
    pub(crate) fn new(bounds: Bounds) -> Backlog {
        Backlog { waiting: Arc::default(), news: Arc::default(), bounds }
    }

    /// Hands a segment over; returns the lines that went for it.
    pub(crate) fn push_segment(&self, segment: Segment) -> Lost {
        let mut waiting = self.lock();
        waiting.segment_bytes += segment.text.len();
        waiting.segments.push_back(Arc::new(segment));
        let lines = waiting.shed(self.bounds.segment_bytes);
        self.news.notify_one();
        Lost { lines, ..Lost::default() }
    }

    /// Hands a window over; returns the chunks and windows that went for it.
    pub(crate) fn push_window(&self, window: ClosedWindow) -> Lost {
        let mut waiting = self.lock();
        waiting.chunk_bytes += bytes_of(&window);
        waiting.windows.push_back(window);
        let mut lost = Lost::default();
        for at in 0..waiting.windows.len() {
            if waiting.chunk_bytes <= self.bounds.chunk_bytes {
                break;
            }
            let Some(window) = waiting.windows.get_mut(at) else { break };
            let freed = bytes_of(window);
            lost.chunks += window.chunks.len() as u64;
            not_covered(window, |_| Some(Reason::NotKept));
            waiting.chunk_bytes -= freed;
        }
        while waiting.windows.len() > WINDOWS_MAX
            && let Some(window) = waiting.windows.pop_front()
        {
            waiting.chunk_bytes -= bytes_of(&window);
            lost.windows += 1;
        }
        self.news.notify_one();
        lost
    }

    /// Takes a withdrawn chunk off the window that still waits.
    pub(crate) fn withdraw(&self, withdrawn: &Withdrawn) {
        let mut waiting = self.lock();
        let mut freed = 0;
        for window in waiting.windows.iter_mut().filter(|window| window.index == withdrawn.index) {
            let before = bytes_of(window);
            withdraw(window, withdrawn);
            freed += before - bytes_of(window);
        }
        waiting.chunk_bytes -= freed;
    }

    /// Says that nothing more is handed over.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.news.notify_one();
    }

    pub(super) fn take_window(&self) -> Option<ClosedWindow> {
        let mut waiting = self.lock();
        let window = waiting.windows.pop_front()?;
        waiting.chunk_bytes -= bytes_of(&window);
        Some(window)
    }

    /// Takes the oldest segment, with the number of lines that are missing before it.
    pub(super) fn take_segment(&self) -> Option<(Arc<Segment>, u64)> {
        let mut waiting = self.lock();
        let segment = waiting.segments.pop_front()?;
        waiting.segment_bytes -= segment.text.len();
        Some((segment, std::mem::take(&mut waiting.lost)))
    }

    /// Puts a segment back that was not written; returns the lines that went for it.
    pub(super) fn put_back(&self, segment: Arc<Segment>, lost: u64) -> u64 {
        let mut waiting = self.lock();
        // What went meanwhile came after this one: with this one it goes too, so that what is missing lies before the next.
        if waiting.lost > 0 {
            waiting.lost += lost + segment.lines;
            return segment.lines;
        }
        waiting.lost = lost;
        waiting.segment_bytes += segment.text.len();
        waiting.segments.push_front(segment);
        waiting.shed(self.bounds.segment_bytes)
    }

    /// Counts lines that are given up.
    pub(super) fn lose(&self, lines: u64) {
        self.lock().lost += lines;
    }

    /// Number of segments that wait, and of lines that are lost before them.
    pub(super) fn segments(&self) -> (usize, u64) {
        let waiting = self.lock();
        (waiting.segments.len(), waiting.lost)
    }

    /// Lines that wait or are lost: what the process takes with it when it ends.
    pub(super) fn lines(&self) -> u64 {
        let waiting = self.lock();
        waiting.segments.iter().map(|segment| segment.lines).sum::<u64>() + waiting.lost
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Waits until something is handed over.
    pub(super) async fn news(&self) {
        self.news.notified().await;
    }

    /// The queue is whole after every statement, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Gives up the oldest segments beyond a bound; returns their lines.
    fn shed(&mut self, bytes_max: usize) -> u64 {
        let mut lines = 0;
        while self.segment_bytes > bytes_max
            && let Some(segment) = self.segments.pop_front()
        {
            self.segment_bytes -= segment.text.len();
            lines += segment.lines;
        }
        self.lost += lines;
        lines
    }
}

fn bytes_of(window: &ClosedWindow) -> usize {
    window.chunks.iter().map(|chunk| chunk.bytes.len()).sum()
}

/// Takes a withdrawn chunk off a window that nobody has heard of yet.
pub(super) fn withdraw(window: &mut ClosedWindow, withdrawn: &Withdrawn) {
    if window.index == withdrawn.index {
        not_covered(window, |chunk| (*chunk.stream() == withdrawn.stream).then_some(withdrawn.reason));
    }
}

/// Returns a window that vouches for none of its chunks.
pub(super) fn without_chunks(window: &ClosedWindow, reason: Reason) -> ClosedWindow {
    let mut not_covered = window.not_covered.clone();
    not_covered.extend(window.chunks.iter().map(|chunk| (chunk.header.stream.clone(), reason)));
    not_covered.sort();
    ClosedWindow { chunks: Vec::new(), not_covered, ..*window }
}

/// Moves chunks to the streams that are not covered, each for the given reason.
pub(super) fn not_covered(window: &mut ClosedWindow, why: impl Fn(&openmesh_market::window::Chunk) -> Option<Reason>) {
    for chunk in std::mem::take(&mut window.chunks) {
        match why(&chunk) {
            Some(reason) => window.not_covered.push((chunk.header.stream, reason)),
            None => window.chunks.push(chunk),
        }
    }
    window.not_covered.sort();
}
