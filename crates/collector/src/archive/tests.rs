use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::liveness::SourceLiveness;
use crate::metrics::Metrics;
use crate::output::{OfSource, WINDOWS_WAITING_BYTES_MAX};
use openmesh_content::Limits;
use openmesh_dialect::recording::Line;
use openmesh_market::Feed;
use openmesh_market::window::{Chunk, ChunkHeader, Class, Stream, WindowIndex, WindowLength, Withdrawn};
use openmesh_primitives::{Symbol, Timestamp};
use tokio::sync::mpsc;

/// The archive of one source at work.
struct Bench {
    backlog: Backlog,
    task: JoinHandle<()>,
    liveness: LivenessCell,
    windows: mpsc::Receiver<OfSource<ClosedWindow>>,
}

fn store(dir: &Path, limits: Limits) -> Arc<BlockStore> {
    Arc::new(BlockStore::open(&dir.join("content"), limits).unwrap())
}

fn key() -> ValidatorKey {
    ValidatorKey::from_seed([5; 32])
}

fn start(store: Arc<BlockStore>, dir: &Path, bounds: Bounds, before_segment: Option<fn(&Segment)>) -> Bench {
    let (to, windows) = mpsc::channel(8);
    let (source, exchange): (Arc<str>, _) = ("kraken-1".into(), Exchange::Kraken);
    let liveness = LivenessCell::new(SourceLiveness::new(&source, exchange));
    let archive = Archive {
        source: source.clone(),
        exchange,
        raw: store.clone(),
        store,
        key: key(),
        dir: dir.join("archive"),
        metrics: SourceMetrics::new(Metrics::default(), source.clone(), exchange),
        liveness: liveness.clone(),
        before_segment,
    };
    let backlog = Backlog::new(bounds);
    let task = archive.start(backlog.clone(), Outbox::new(to, source, exchange, WINDOWS_WAITING_BYTES_MAX));
    Bench { backlog, task, liveness, windows }
}

impl Bench {
    /// Waits until the liveness is as wanted, for the retries of a full disk at most.
    async fn until(&self, wanted: impl FnMut(&SourceLiveness) -> bool) -> SourceLiveness {
        let mut liveness = self.liveness.subscribe();
        let waiting = tokio::time::timeout(Duration::from_secs(30), liveness.wait_for(wanted));
        waiting.await.expect("within 30 s").unwrap().clone()
    }

    async fn stop(self) -> mpsc::Receiver<OfSource<ClosedWindow>> {
        self.backlog.close();
        tokio::time::timeout(Duration::from_secs(30), self.task).await.expect("it ends").unwrap();
        self.windows
    }
}

/// Capture time of the n-th segment, on 2021-04-17.
const BEGAN: i64 = 1_618_678_132_358_447_000;

const DAY: i64 = 86_400_000_000_000;

fn segment(n: i64) -> Segment {
    let (mut recorder, at) = (Recorder::new(Exchange::Kraken), Timestamp(BEGAN + n));
    recorder.connected("KRAKEN.ws.0", at, "wss://ws.kraken.com");
    recorder.received("KRAKEN.ws.0", at, br#"{"event":"heartbeat"}"#);
    recorder.received("KRAKEN.ws.0", at, &[0xff, 0, b'A']);
    recorder.answered(at, "https://a/b", b"{}");
    recorder.take().unwrap()
}

/// Everything in the manifests, in order, with the position in a file of its own.
fn read_all(dir: &Path) -> Vec<SegmentManifest> {
    let remembered = tempfile::tempdir().unwrap();
    ManifestReader::open(&dir.join("archive"), "kraken-1", &remembered.path().join("x")).unwrap().read(1_000).unwrap()
}

fn day_file(dir: &Path, day: &str) -> PathBuf {
    dir.join("archive").join(format!("kraken-1.{day}.manifest.jsonl"))
}

#[tokio::test]
async fn segments_are_recordings_signed_and_chained_over_restarts_and_days() {
    let dir = tempfile::tempdir().unwrap();
    for run in 0..2 {
        let bench = start(store(dir.path(), Limits::default()), dir.path(), Bounds::default(), None);
        for n in 0..2 {
            bench.backlog.push_segment(segment(run * 10 + n * DAY));
        }
        bench.stop().await;
        // A crash in the middle of a line.
        let path = day_file(dir.path(), "2021-04-18");
        OpenOptions::new().append(true).open(path).unwrap().write_all(b"{\"collector\":\"ab").unwrap();
    }
    let segments = read_all(dir.path());
    assert_eq!(segments.iter().map(|s| s.sequence).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!(read_manifest(&day_file(dir.path(), "2021-04-17")).unwrap(), segments[..1]);
    // A clock that went back writes into the day that is open.
    assert_eq!(read_manifest(&day_file(dir.path(), "2021-04-18")).unwrap(), segments[1..]);
    let store = store(dir.path(), Limits::default());
    let packed = store.get(&segments[3].cid).unwrap().unwrap();
    let text = String::from_utf8(zstd::stream::decode_all(&packed[..]).unwrap()).unwrap();
    let lines: Vec<Line> = text.lines().map(|l| Line::parse(l).unwrap()).collect();
    assert_eq!(lines[0], Line::Header { exchange: "KRAKEN".into() });
    assert!(matches!(&lines[1], Line::Connect { url, .. } if url == "wss://ws.kraken.com"));
    assert!(matches!(&lines[3], Line::Receive { data, .. } if data == &[0xff, 0, b'A']));
    assert!(matches!(&lines[4], Line::Http { url, .. } if url == "https://a/b"));
    // One changed figure and the manifest is refused.
    let path = day_file(dir.path(), "2021-04-18");
    let text = std::fs::read_to_string(&path).unwrap().replacen("\"lines\":4", "\"lines\":5", 1);
    std::fs::write(&path, text).unwrap();
    assert!(matches!(read_manifest(&path), Err(ManifestError::Forged { offset: 0, .. })));
}

#[tokio::test]
async fn a_reader_verifies_each_line_once() {
    let dir = tempfile::tempdir().unwrap();
    let (archive, remembered) = (dir.path().join("archive"), dir.path().join("reader.position"));
    let content = store(dir.path(), Limits::default());
    let write = |from: i64, to: i64| {
        let (content, dir) = (content.clone(), dir.path().to_path_buf());
        async move {
            let bench = start(content, &dir, Bounds::default(), None);
            (from..to).for_each(|n| {
                bench.backlog.push_segment(segment(n));
            });
            bench.stop().await;
        }
    };
    let open = || ManifestReader::open(&archive, "kraken-1", &remembered).unwrap();
    assert!(open().read(10).unwrap().is_empty(), "nothing is there before the first segment");
    write(0, 5).await;
    let mut reader = open();
    assert_eq!(reader.read(3).unwrap().len(), 3);
    reader.remember().unwrap();
    // What was read before the position is not looked at again: damage there is not found, damage behind it is.
    let path = day_file(dir.path(), "2021-04-17");
    let whole = std::fs::read_to_string(&path).unwrap();
    let spoil = |number: usize| {
        let lines: Vec<String> = whole.lines().map(str::to_owned).collect();
        let spoilt = |(at, line): (usize, &String)| {
            if at == number { line.replace("\"lines\":4", "\"lines\":3") } else { line.clone() }
        };
        std::fs::write(&path, lines.iter().enumerate().map(|line| spoilt(line) + "\n").collect::<String>()).unwrap();
    };
    spoil(0);
    assert_eq!(open().read(10).unwrap().iter().map(|s| s.sequence).collect::<Vec<_>>(), [3, 4]);
    spoil(4);
    let mut reader = open();
    assert_eq!(reader.read(10).unwrap().len(), 1, "what comes before the damage is given");
    assert!(matches!(reader.read(10), Err(ManifestError::Forged { .. })));
    // Another line at the position: everything is read again.
    spoil(2);
    assert!(matches!(open().read(10), Ok(segments) if segments.len() == 2 && segments[0].sequence == 0));
    std::fs::write(&path, &whole).unwrap();
    std::fs::write(&remembered, b"{\"day\":").unwrap();
    assert_eq!(open().read(10).unwrap().len(), 5, "a position that a crash has spoilt is none");
    // A day that went with its segments is passed over.
    let mut reader = open();
    reader.read(10).unwrap();
    reader.remember().unwrap();
    write(DAY, DAY + 1).await;
    write(2 * DAY, 2 * DAY + 1).await;
    assert!(!path.exists());
    assert_eq!(open().read(10).unwrap().iter().map(|s| s.sequence).collect::<Vec<_>>(), [5, 6]);
}

#[tokio::test]
async fn manifests_of_another_key_are_set_aside_and_old_days_go_with_their_segments() {
    let dir = tempfile::tempdir().unwrap();
    let content = store(dir.path(), Limits::default());
    let bench = start(content.clone(), dir.path(), Bounds::default(), None);
    (0..4).for_each(|day| {
        bench.backlog.push_segment(segment(day * DAY));
    });
    bench.stop().await;
    let days = || {
        let names = std::fs::read_dir(dir.path().join("archive")).unwrap().map(|e| e.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().ends_with(".manifest.jsonl")).count()
    };
    // The store holds segments kept today, so days of 2021 are over; the last two stay for readers that are behind.
    assert_eq!(days(), 2);
    let writer = ManifestWriter::open(&dir.path().join("archive"), "kraken-1", &key()).unwrap();
    assert_eq!(writer.next(), 4, "the chain goes on although its beginning is gone");
    let other =
        ManifestWriter::open(&dir.path().join("archive"), "kraken-1", &ValidatorKey::from_seed([6; 32])).unwrap();
    assert_eq!((other.next(), other.last(), days()), (0, None, 0));
}

/// A store with room for nothing but the block that fills it, which is held.
fn full(dir: &Path) -> (Arc<BlockStore>, ContentId) {
    let store = store(dir, Limits { store_bytes_max: 4_200, reserve_percent: 0, ..Limits::default() });
    let filler = store.put(&[7; 3_990], Purpose::Window).unwrap();
    (store, filler)
}

#[tokio::test]
async fn a_full_disk_holds_segments_back_until_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let (content, filler) = full(dir.path());
    let bench = start(content.clone(), dir.path(), Bounds::default(), None);
    bench.backlog.push_segment(segment(1));
    let why = bench.until(|l| l.archive_trouble.is_some()).await.archive_trouble.unwrap();
    assert!(why.contains("limits.content_bytes_max") && why.contains("make room"), "{why}");
    (2..=4).for_each(|n| {
        bench.backlog.push_segment(segment(n));
    });
    bench.until(|l| l.archive_trouble.as_ref().is_some_and(|why| why.contains("4 segments wait"))).await;
    // It recovers by itself: nothing new has to come.
    content.remove(&filler).unwrap();
    bench.until(|l| l.archive_trouble.is_none()).await;
    bench.stop().await;
    let segments = read_all(dir.path());
    let found: Vec<_> = segments.iter().map(|s| (s.sequence, s.first.nanos() % 1_000, s.lines, s.lost)).collect();
    assert_eq!(found, [(0, 1, 4, 0), (1, 2, 4, 0), (2, 3, 4, 0), (3, 4, 4, 0)], "in their order, none missing");
    assert!(segments.iter().all(|s| content.has(&s.cid).unwrap()));
}

#[tokio::test]
async fn what_memory_cannot_hold_is_counted_and_signed() {
    let dir = tempfile::tempdir().unwrap();
    let (content, filler) = full(dir.path());
    let bounds = Bounds { segment_bytes: 2 * segment(1).text.len() + 20, ..Bounds::default() };
    let bench = start(content.clone(), dir.path(), bounds, None);
    bench.backlog.push_segment(segment(1));
    bench.until(|l| l.archive_trouble.is_some()).await;
    let lost: u64 = (2..=5).map(|n| bench.backlog.push_segment(segment(n)).lines).sum();
    assert_eq!(lost, 12);
    content.remove(&filler).unwrap();
    bench.until(|l| l.archive_trouble.is_none()).await;
    bench.backlog.push_segment(segment(6));
    bench.stop().await;
    let found: Vec<_> = read_all(dir.path()).iter().map(|s| (s.first.nanos() % 1_000, s.lost)).collect();
    assert_eq!(found, [(4, 12), (5, 0), (6, 0)]);
    // That lines were lost cannot be left out either.
    let path = day_file(dir.path(), "2021-04-17");
    let text = std::fs::read_to_string(&path).unwrap().replacen("\"lost\":12", "\"lost\":0", 1);
    std::fs::write(&path, text).unwrap();
    assert!(matches!(read_manifest(&path), Err(ManifestError::Forged { offset: 0, .. })));
}

/// Calls of the bug below.
static PANICS: AtomicUsize = AtomicUsize::new(0);

/// A bug that the third segment brings about each time, and the first once.
fn bug(segment: &Segment) {
    let n = segment.first.nanos() % 1_000;
    let calls = PANICS.fetch_add(1, Ordering::SeqCst);
    assert!(n != 3 && (n != 1 || calls > 0), "as the test wants it");
}

#[tokio::test]
async fn a_panic_while_writing_loses_no_segment_uncounted_and_its_trouble_ends() {
    let dir = tempfile::tempdir().unwrap();
    let bench = start(store(dir.path(), Limits::default()), dir.path(), Bounds::default(), Some(bug));
    (1..=4).for_each(|n| {
        bench.backlog.push_segment(segment(n));
    });
    bench.until(|l| l.archive_trouble.as_ref().is_some_and(|why| why.contains("bug"))).await;
    bench.until(|l| l.lines_lost == 4 && l.archive_trouble.is_none()).await;
    bench.stop().await;
    let found: Vec<_> = read_all(dir.path()).iter().map(|s| (s.first.nanos() % 1_000, s.lost)).collect();
    assert_eq!(found, [(1, 0), (2, 0), (4, 4)], "the one that cannot be written is counted, the others are there");
}

fn window(index: i64, bytes: usize) -> ClosedWindow {
    let stream = Stream { exchange: Exchange::Kraken, symbol: Symbol::spot("BTC", "USD"), feed: Feed::Trades };
    let bytes = [vec![0; bytes.saturating_sub(8)], index.to_le_bytes().to_vec()].concat();
    let (start, length) = (Timestamp(index * 1_000_000_000), WindowLength::from_ms(1_000));
    let index = WindowIndex(index);
    let header = ChunkHeader { version: 1, stream, start, length, class: Class::Sequenced };
    let chunk = Chunk { header, cid: ContentId::of(&bytes), bytes, events: 1 };
    let exchange = Exchange::Kraken;
    ClosedWindow { exchange, index, start, length, chunks: vec![chunk], not_covered: vec![], skipped_before: 0 }
}

fn reasons(window: &ClosedWindow) -> Vec<Reason> {
    window.not_covered.iter().map(|(_, reason)| *reason).collect()
}

#[test]
fn windows_that_wait_too_long_lose_their_chunks_oldest_first_and_withdrawn_ones_at_once() {
    let backlog = Backlog::new(Bounds { chunk_bytes: 250, ..Bounds::default() });
    assert_eq!((0..2).map(|n| backlog.push_window(window(n, 100)).chunks).sum::<u64>(), 0);
    assert_eq!(backlog.push_window(window(2, 100)), Lost { chunks: 1, ..Lost::default() });
    let stream = window(1, 8).chunks[0].header.stream.clone();
    backlog.withdraw(&Withdrawn { stream, index: WindowIndex(1), reason: Reason::Gap });
    assert_eq!(backlog.push_window(window(3, 100)), Lost::default(), "what was withdrawn has made room");
    let waiting: Vec<_> = std::iter::from_fn(|| backlog.take_window()).collect();
    assert_eq!(waiting.iter().map(|w| w.index.0).collect::<Vec<_>>(), [0, 1, 2, 3], "every window is heard of");
    let reasons: Vec<_> = waiting.iter().map(reasons).collect();
    assert_eq!(reasons, [vec![Reason::NotKept], vec![Reason::Gap], vec![], vec![]]);
}

#[tokio::test]
async fn a_chunk_that_is_not_kept_is_not_vouched_for_and_raw_segments_yield_to_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { store_bytes_max: 1_500, reserve_percent: 50, ..Limits::default() };
    let content = store(dir.path(), limits);
    let bench = start(content.clone(), dir.path(), Bounds::default(), None);
    bench.backlog.push_window(window(0, 2_000));
    bench.until(|l| l.archive_trouble.as_ref().is_some_and(|why| why.contains("not kept"))).await;
    let segment = content.put(&[1; 400], Purpose::Segment).unwrap();
    (1..4).for_each(|n| {
        bench.backlog.push_window(window(n, 300));
    });
    bench.until(|l| l.archive_trouble.is_none()).await;
    let mut windows = bench.stop().await;
    let mut found = Vec::new();
    while let Some(OfSource { source, value, .. }) = windows.recv().await {
        assert_eq!(&*source, "kraken-1");
        assert!(value.chunks.iter().all(|chunk| content.has(&chunk.cid).unwrap()), "what is vouched for is kept");
        found.push((value.index.0, reasons(&value)));
    }
    assert_eq!(found, [(0, vec![Reason::NotKept]), (1, vec![]), (2, vec![]), (3, vec![])]);
    assert!(!content.has(&segment).unwrap());
}
