use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use super::*;
use openmesh_content::Limits;
use openmesh_dialect::recording::Line;
use openmesh_primitives::Timestamp;

fn archive(dir: &Path, key: &ValidatorKey) -> (Archive, mpsc::Receiver<Trouble>, mpsc::Receiver<ClosedWindow>) {
    let store = Arc::new(BlockStore::open(&dir.join("content"), Limits::default()).unwrap());
    archive_in(store, dir, key)
}

fn archive_in(
    store: Arc<BlockStore>,
    dir: &Path,
    key: &ValidatorKey,
) -> (Archive, mpsc::Receiver<Trouble>, mpsc::Receiver<ClosedWindow>) {
    let (windows, from_windows) = mpsc::channel(8);
    let (trouble, from_trouble) = mpsc::channel(8);
    let archive = Archive {
        exchange: Exchange::Kraken,
        raw: store.clone(),
        store,
        key: key.clone(),
        dir: dir.to_path_buf(),
        windows,
        trouble,
        metrics: Metrics::default(),
        held_bytes_max: HELD_BYTES_MAX,
    };
    (archive, from_trouble, from_windows)
}

fn segment(recorder: &mut Recorder, n: i64) -> Segment {
    let at = Timestamp(1_618_678_132_358_447_000 + n);
    recorder.connected("KRAKEN.ws.0", at, "wss://ws.kraken.com");
    recorder.received("KRAKEN.ws.0", at, br#"{"event":"heartbeat"}"#);
    recorder.received("KRAKEN.ws.0", at, &[0xff, 0, b'A']);
    recorder.answered(at, "https://a/b", b"{}");
    recorder.take().unwrap()
}

#[tokio::test]
async fn segments_are_recordings_signed_and_chained_over_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let key = ValidatorKey::from_seed([5; 32]);
    let path = dir.path().join("kraken.manifest.jsonl");
    for run in 0..2 {
        let (archive, mut trouble, _windows) = archive(dir.path(), &key);
        let (work, task) = archive.start();
        let mut recorder = Recorder::new(Exchange::Kraken);
        assert!(recorder.take().is_none());
        for n in 0..2 {
            work.send(Work::Segment(segment(&mut recorder, run * 10 + n))).await.unwrap();
        }
        drop(work);
        task.await.unwrap();
        assert!(trouble.recv().await.is_none());
        // A crash in the middle of a line.
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"collector\":\"ab").unwrap();
    }
    let segments = read_manifests(&path).unwrap();
    assert_eq!(segments.iter().map(|s| s.sequence).collect::<Vec<_>>(), [0, 1, 2, 3]);
    let store = BlockStore::open(&dir.path().join("content"), Limits::default()).unwrap();
    let packed = store.get(&segments[3].cid).unwrap().unwrap();
    let text = String::from_utf8(zstd::stream::decode_all(&packed[..]).unwrap()).unwrap();
    let lines: Vec<Line> = text.lines().map(|l| Line::parse(l).unwrap()).collect();
    assert_eq!(lines[0], Line::Header { exchange: "KRAKEN".into() });
    assert!(matches!(&lines[1], Line::Connect { url, .. } if url == "wss://ws.kraken.com"));
    assert!(matches!(&lines[3], Line::Receive { data, .. } if data == &[0xff, 0, b'A']));
    assert!(matches!(&lines[4], Line::Http { url, .. } if url == "https://a/b"));
    // One changed figure and the manifest is refused.
    let text = std::fs::read_to_string(&path).unwrap().replacen("\"lines\":4", "\"lines\":5", 1);
    std::fs::write(&path, text).unwrap();
    assert!(matches!(read_manifests(&path), Err(ManifestError::Forged { line: 1, .. })));
}

#[tokio::test]
async fn what_was_read_of_a_manifest_is_not_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let key = ValidatorKey::from_seed([5; 32]);
    let path = dir.path().join("kraken.manifest.jsonl");
    let mut position = ManifestPosition::default();
    assert_eq!(read_manifest_from(&path, position).unwrap(), (Vec::new(), position), "before the first segment");
    let mut recorder = Recorder::new(Exchange::Kraken);
    for run in 0..3_u64 {
        let (archive, _trouble, _windows) = archive(dir.path(), &key);
        let (work, task) = archive.start();
        for n in 0..2 {
            work.send(Work::Segment(segment(&mut recorder, run as i64 * 10 + n))).await.unwrap();
        }
        drop(work);
        task.await.unwrap();
        let (segments, next) = read_manifest_from(&path, position).unwrap();
        position = next;
        assert_eq!(segments.iter().map(|s| s.sequence).collect::<Vec<_>>(), [run * 2, run * 2 + 1]);
        assert_eq!(read_manifest_from(&path, position).unwrap(), (Vec::new(), position));
    }
    // Lines before the place may be anything by now: they are neither read nor checked.
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("\"lines\":", "\"LINES\":", 1)).unwrap();
    assert_eq!(read_manifest_from(&path, position).unwrap(), (Vec::new(), position));
    assert!(matches!(read_manifests(&path), Err(ManifestError::Line { line: 1, .. })));
    // Another file in its place is read from its beginning.
    std::fs::write(&path, text.lines().next().unwrap().to_owned() + "\n").unwrap();
    assert_eq!(read_manifest_from(&path, position).unwrap().0.len(), 1);
}

/// A store with room for nothing but the block that fills it.
fn full(dir: &Path) -> (Arc<BlockStore>, ContentId) {
    let limits = Limits { store_bytes_max: 4_000, ..Limits::default() };
    let store = Arc::new(BlockStore::open(&dir.join("content"), limits).unwrap());
    let filler = store.put(&[7; 3_990]).unwrap();
    (store, filler)
}

/// Waits for the next word about the archive.
async fn next(trouble: &mut mpsc::Receiver<Trouble>) -> String {
    let waiting = tokio::time::timeout(std::time::Duration::from_secs(30), trouble.recv());
    match waiting.await.expect("a word within 30 s") {
        Some(Trouble::Began(why)) => why,
        Some(Trouble::Over) => "over".to_owned(),
        None => "ended".to_owned(),
    }
}

#[tokio::test]
async fn a_full_disk_holds_segments_back_until_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let key = ValidatorKey::from_seed([5; 32]);
    let (store, filler) = full(dir.path());
    let (archive, mut trouble, _windows) = archive_in(store.clone(), dir.path(), &key);
    let (work, task) = archive.start();
    let mut recorder = Recorder::new(Exchange::Kraken);
    for waiting in 1..=3 {
        work.send(Work::Segment(segment(&mut recorder, waiting))).await.unwrap();
        let why = next(&mut trouble).await;
        assert!(why.contains("limits.content_bytes_max") && why.contains("make room"), "{why}");
        assert!(why.contains(&format!("{waiting} segments wait in memory, 0 lines are lost")), "{why}");
    }
    store.remove(&filler).unwrap();
    work.send(Work::Segment(segment(&mut recorder, 4))).await.unwrap();
    assert_eq!(next(&mut trouble).await, "over");
    drop(work);
    task.await.unwrap();
    assert_eq!(next(&mut trouble).await, "ended");
    let segments = read_manifests(&dir.path().join("kraken.manifest.jsonl")).unwrap();
    let found: Vec<_> = segments.iter().map(|s| (s.sequence, s.first.nanos() % 1_000, s.lines, s.lost)).collect();
    assert_eq!(found, [(0, 1, 4, 0), (1, 2, 4, 0), (2, 3, 4, 0), (3, 4, 4, 0)], "in their order, none missing");
    assert!(segments.iter().all(|s| store.has(&s.cid)));
}

#[tokio::test]
async fn what_memory_cannot_hold_is_counted_and_signed() {
    let dir = tempfile::tempdir().unwrap();
    let key = ValidatorKey::from_seed([5; 32]);
    let (store, filler) = full(dir.path());
    let (mut archive, mut trouble, _windows) = archive_in(store.clone(), dir.path(), &key);
    let mut recorder = Recorder::new(Exchange::Kraken);
    let first = segment(&mut recorder, 1);
    archive.held_bytes_max = 2 * first.text.len() + 20;
    let (work, task) = archive.start();
    work.send(Work::Segment(first)).await.unwrap();
    next(&mut trouble).await;
    for n in 2..=5 {
        work.send(Work::Segment(segment(&mut recorder, n))).await.unwrap();
        let why = next(&mut trouble).await;
        let lost = 4 * (n - 2).max(0);
        assert!(why.contains(&format!("2 segments wait in memory, {lost} lines are lost")), "{why}");
    }
    store.remove(&filler).unwrap();
    work.send(Work::Segment(segment(&mut recorder, 6))).await.unwrap();
    assert_eq!(next(&mut trouble).await, "over");
    drop(work);
    task.await.unwrap();
    let path = dir.path().join("kraken.manifest.jsonl");
    let found: Vec<_> = read_manifests(&path).unwrap().iter().map(|s| (s.first.nanos() % 1_000, s.lost)).collect();
    assert_eq!(found, [(4, 12), (5, 0), (6, 0)]);
    // That lines were lost cannot be left out either.
    let text = std::fs::read_to_string(&path).unwrap().replacen(",\"lost\":12", "", 1);
    std::fs::write(&path, text).unwrap();
    assert!(matches!(read_manifests(&path), Err(ManifestError::Forged { line: 1, .. })));
}
