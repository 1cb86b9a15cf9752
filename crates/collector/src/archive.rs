//! The archive of a source: raw frames as received, and closed windows, made durable before anyone hears of them.
//!
//! Raw frames differ from site to site, so nobody can agree on them; what they are good for is to show later what a
//! site saw. They are therefore kept in the format of recordings (`market::recording`), in segments that can be read
//! one by one, each under its CID, with a line in a manifest that the collector signs. Each line names the segment
//! before it, so that none can be left out unnoticed.
//!
//! One task for each source writes, in order, on a blocking thread. Where it is slower than the venue, the source
//! waits: better a slow source than a hole in what it says it saw.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_content::{BlockStore, ContentError};
use openmesh_market::Exchange;
use openmesh_market::window::{ClosedWindow, Reason};
use openmesh_primitives::{ContentId, Timestamp, ValidatorKey, ValidatorPublicKey, ValidatorSignature, canonical};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use crate::metrics::Metrics;

/// A segment is closed beyond this many raw bytes.
const SEGMENT_BYTES_MAX: usize = 1 << 20;

/// Segments and windows that wait for the disk.
const WAITING_MAX: usize = 64;

/// Compression of segments: JSON shrinks tenfold at this level for a few milliseconds a megabyte.
const ZSTD_LEVEL: i32 = 3;

/// Longest line of a manifest that is read, in bytes.
const MANIFEST_LINE_BYTES_MAX: u64 = 4_096;

/// Says that a signature is of a segment and of nothing else.
const SIGNED_AS: &[u8] = b"openmesh raw segment v1\n";

/// A raw segment, as signed by the collector that saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, BorshSerialize, BorshDeserialize)]
pub struct SegmentManifest {
    /// Who saw it.
    pub collector: ValidatorPublicKey,
    /// Venue.
    pub exchange: Exchange,
    /// Number of the segment of this source, from 0.
    pub sequence: u64,
    /// Capture time of the first line.
    pub first: Timestamp,
    /// Capture time of the last line.
    pub last: Timestamp,
    /// Lines, without the header line.
    pub lines: u64,
    /// Bytes before compression.
    pub raw_bytes: u64,
    /// CID of the zstd-compressed JSON lines.
    pub cid: ContentId,
    /// The segment before it.
    pub previous: Option<ContentId>,
}

/// A line of a manifest: the segment and the signature over it.
#[derive(Debug, Serialize, Deserialize)]
struct SignedLine {
    #[serde(flatten)]
    segment: SegmentManifest,
    signature: ValidatorSignature,
}

/// Why a manifest is not to be trusted.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The file cannot be read.
    #[error("the manifest {path} cannot be read")]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A line that is none.
    #[error("line {line} of {path} is no signed segment")]
    Line {
        /// Where.
        path: PathBuf,
        /// Which, from 1.
        line: usize,
    },
    /// The signature is not the collector's, or the segment does not follow the one before it.
    #[error("line {line} of {path}: the signature or the order does not hold")]
    Forged {
        /// Where.
        path: PathBuf,
        /// Which, from 1.
        line: usize,
    },
}

impl SegmentManifest {
    fn message(&self) -> Vec<u8> {
        [SIGNED_AS, &canonical::encode(self)].concat()
    }
}

/// Reads a manifest, checking every signature and that no segment is missing. A last line that a crash cut off is left
/// out; it was never acknowledged.
pub fn read_manifests(path: &Path) -> Result<Vec<SegmentManifest>, ManifestError> {
    let io = |source| ManifestError::Io { path: path.to_path_buf(), source };
    let mut reader = BufReader::new(File::open(path).map_err(io)?);
    let mut segments: Vec<SegmentManifest> = Vec::new();
    loop {
        let number = segments.len() + 1;
        let mut line = Vec::new();
        let read = reader.by_ref().take(MANIFEST_LINE_BYTES_MAX).read_until(b'\n', &mut line).map_err(io)?;
        if read == 0 || line.last() != Some(&b'\n') && read < MANIFEST_LINE_BYTES_MAX as usize {
            return Ok(segments);
        }
        let signed: SignedLine = serde_json::from_slice(&line)
            .map_err(|_| ManifestError::Line { path: path.to_path_buf(), line: number })?;
        let segment = signed.segment;
        let follows = segments.last().map_or(segment.sequence == 0 && segment.previous.is_none(), |before| {
            segment.sequence == before.sequence + 1 && segment.previous == Some(before.cid)
        });
        let valid = segment.collector.verify(&segment.message(), &signed.signature).is_ok();
        if !follows || !valid {
            return Err(ManifestError::Forged { path: path.to_path_buf(), line: number });
        }
        segments.push(segment);
    }
}

/// The recorder's word for a venue, so that a segment is read as any recording is.
const fn recorded_name(exchange: Exchange) -> &'static str {
    match exchange {
        Exchange::Binance => "BINANCE",
        Exchange::BinanceFutures => "BINANCE_FUTURES",
        Exchange::Coinbase => "COINBASE",
        Exchange::Kraken => "KRAKEN",
        Exchange::Bybit => "BYBIT",
        Exchange::Okx => "OKX",
    }
}

/// Raw lines of a source on their way into a segment.
#[derive(Debug)]
pub(crate) struct Recorder {
    exchange: Exchange,
    text: String,
    lines: u64,
    first: Timestamp,
    last: Timestamp,
}

/// A full segment.
#[derive(Debug)]
pub(crate) struct Segment {
    text: String,
    lines: u64,
    first: Timestamp,
    last: Timestamp,
}

#[derive(Serialize)]
struct RawLine<'a> {
    t: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    conn: Option<&'a str>,
    ts: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    addr: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    b64: Option<String>,
}

impl Recorder {
    pub(crate) fn new(exchange: Exchange) -> Recorder {
        let mut recorder =
            Recorder { exchange, text: String::new(), lines: 0, first: Timestamp(0), last: Timestamp(0) };
        recorder.begin();
        recorder
    }

    fn begin(&mut self) {
        let name = recorded_name(self.exchange);
        self.text.push_str(&format!("{{\"t\":\"header\",\"format\":2,\"exchange\":\"{name}\",\"config\":{{}}}}\n"));
    }

    pub(crate) fn received(&mut self, connection: &str, at: Timestamp, data: &[u8]) {
        self.line("recv", Some(connection), at, None, None, Some(data));
    }

    pub(crate) fn sent(&mut self, connection: &str, at: Timestamp, text: &str) {
        self.line("send", Some(connection), at, None, None, Some(text.as_bytes()));
    }

    pub(crate) fn connected(&mut self, connection: &str, at: Timestamp, url: &str) {
        self.line("connect", Some(connection), at, Some(url), None, None);
    }

    pub(crate) fn answered(&mut self, at: Timestamp, url: &str, body: &[u8]) {
        self.line("http", None, at, None, Some(url), Some(body));
    }

    fn line(
        &mut self,
        t: &str,
        conn: Option<&str>,
        at: Timestamp,
        addr: Option<&str>,
        url: Option<&str>,
        data: Option<&[u8]>,
    ) {
        let text = data.map(std::str::from_utf8);
        let b64 = data.filter(|_| text.as_ref().is_some_and(Result::is_err)).map(base64);
        // As raw text: a JSON number made from a float would lose the last digits.
        let Ok(ts) = RawValue::from_string(at.to_string()) else { return };
        let line = RawLine { t, conn, ts: &ts, addr, url, data: text.and_then(Result::ok), b64 };
        if let Ok(line) = serde_json::to_string(&line) {
            self.text.push_str(&line);
            self.text.push('\n');
            if self.lines == 0 {
                self.first = at;
            }
            self.last = at;
            self.lines += 1;
        }
    }

    /// Whether the segment is large enough to be closed.
    pub(crate) fn is_full(&self) -> bool {
        self.text.len() >= SEGMENT_BYTES_MAX
    }

    /// What was recorded since the last time; `None` where that is nothing.
    pub(crate) fn take(&mut self) -> Option<Segment> {
        if self.lines == 0 {
            return None;
        }
        let text = std::mem::take(&mut self.text);
        let segment = Segment { text, lines: self.lines, first: self.first, last: self.last };
        self.lines = 0;
        self.begin();
        Some(segment)
    }
}

/// Standard base64 with padding (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let held = three.iter().fold(0u32, |held, byte| held << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for at in 0..4 {
            let digit = DIGITS[(held >> (18 - 6 * at)) as usize & 63];
            text.push(if at <= three.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

/// Work for the archive.
#[derive(Debug)]
pub(crate) enum Work {
    /// Keep a raw segment.
    Segment(Segment),
    /// Keep the chunks of a window, then pass it on.
    Window(Box<ClosedWindow>),
}

/// What went wrong while archiving; the source makes an incident of it.
#[derive(Debug)]
pub(crate) struct Trouble(pub(crate) String);

/// The archive's end of a source.
pub(crate) struct Archive {
    pub(crate) exchange: Exchange,
    pub(crate) store: Arc<BlockStore>,
    pub(crate) key: ValidatorKey,
    pub(crate) dir: PathBuf,
    pub(crate) windows: mpsc::Sender<ClosedWindow>,
    pub(crate) trouble: mpsc::Sender<Trouble>,
    pub(crate) metrics: Metrics,
}

impl Archive {
    /// Starts the task; it ends when the sender is dropped and all is written.
    pub(crate) fn start(self) -> (mpsc::Sender<Work>, tokio::task::JoinHandle<()>) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        (sender, tokio::spawn(self.run(receiver)))
    }

    async fn run(self, mut work: mpsc::Receiver<Work>) {
        let archive = Arc::new(self);
        let mut manifest: Option<Manifest> = None;
        while let Some(work) = work.recv().await {
            match work {
                Work::Segment(segment) => {
                    let (own, held) = (archive.clone(), manifest.take());
                    let bytes = segment.text.len() as u64;
                    let kept = tokio::task::spawn_blocking(move || own.keep(segment, held)).await;
                    match kept {
                        Ok(Ok(held)) => {
                            manifest = Some(held);
                            let labels = Metrics::labels(archive.exchange, "");
                            archive.metrics.archived_bytes.get_or_create(&labels).inc_by(bytes);
                        }
                        Ok(Err(why)) => archive.report(why),
                        Err(error) => archive.report(format!("the archive failed on a segment: {error}")),
                    }
                }
                Work::Window(window) => {
                    let own = archive.clone();
                    match tokio::task::spawn_blocking(move || own.keep_window(*window)).await {
                        // Nobody listening is fine: then nobody attests.
                        Ok(window) => drop(archive.windows.send(window).await),
                        Err(error) => archive.report(format!("the archive failed on a window: {error}")),
                    }
                }
            }
        }
    }

    fn report(&self, why: String) {
        // A source that is behind with its troubles has heard enough of them.
        let _ = self.trouble.try_send(Trouble(why));
    }

    /// Compresses, stores and signs a segment.
    fn keep(&self, segment: Segment, manifest: Option<Manifest>) -> Result<Manifest, String> {
        let say = |error: &dyn std::error::Error| format!("a raw segment was not archived: {}", chain(error));
        let mut manifest = match manifest {
            Some(manifest) => manifest,
            None => Manifest::open(&self.dir, self.exchange, &self.key).map_err(|e| say(&e))?,
        };
        let packed = zstd::bulk::compress(segment.text.as_bytes(), ZSTD_LEVEL).map_err(|e| say(&e))?;
        let cid = self.store.put(&packed).map_err(|e| say(&e))?;
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
        };
        manifest.append(described, &self.key).map_err(|e| say(&e))?;
        Ok(manifest)
    }

    /// Stores the chunks; those that cannot be kept are not vouched for.
    fn keep_window(&self, mut window: ClosedWindow) -> ClosedWindow {
        let mut lost: Vec<ContentId> = Vec::new();
        for chunk in &window.chunks {
            if let Err(error) = self.store.put(&chunk.bytes) {
                let full = matches!(error, ContentError::Full { .. });
                self.report(format!("{} window {} was not kept: {}", chunk.stream(), window.index, chain(&error)));
                lost.push(chunk.cid);
                if full {
                    tracing::error!(exchange = %self.exchange, "the content store is full: windows are not vouched for");
                }
            }
        }
        let (kept, unkept) = std::mem::take(&mut window.chunks).into_iter().partition(|c| !lost.contains(&c.cid));
        window.chunks = kept;
        window.not_covered.extend(unkept.into_iter().map(|c| (c.header.stream, Reason::NotKept)));
        window.not_covered.sort();
        window
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

/// The manifest of a source, open for appending.
#[derive(Debug)]
struct Manifest {
    file: File,
    path: PathBuf,
    next: u64,
    last: Option<ContentId>,
}

impl Manifest {
    /// Opens it where the last run left it. A line that a crash cut off is removed; a file that is not ours (another key, or
    /// damaged) is set aside and a new one begun, because a signed chain cannot go on over a hole.
    fn open(dir: &Path, exchange: Exchange, key: &ValidatorKey) -> Result<Manifest, ManifestError> {
        let path = dir.join(format!("{exchange}.manifest.jsonl"));
        let io = |source| ManifestError::Io { path: path.clone(), source };
        std::fs::create_dir_all(dir).map_err(io)?;
        let mut segments = Vec::new();
        if path.exists() {
            match read_manifests(&path) {
                Ok(read) if read.iter().all(|s| s.collector == key.public()) => segments = read,
                other => {
                    let aside = dir.join(format!("{exchange}.manifest.{}.jsonl", crate::source::now()));
                    tracing::warn!(?aside, error = ?other.err(), "a manifest of another key or damaged is set aside");
                    std::fs::rename(&path, aside).map_err(io)?;
                }
            }
        }
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(io)?;
        let whole: u64 = if segments.is_empty() { 0 } else { whole_lines(&path).map_err(io)? };
        file.set_len(whole).map_err(io)?;
        let next = segments.last().map_or(0, |s| s.sequence + 1);
        let last = segments.last().map(|s| s.cid);
        Ok(Manifest { file, path, next, last })
    }

    fn append(&mut self, segment: SegmentManifest, key: &ValidatorKey) -> Result<(), ManifestError> {
        let signature = key.sign(&segment.message());
        let (cid, next) = (segment.cid, segment.sequence + 1);
        let signed = SignedLine { segment, signature };
        let mut line = serde_json::to_vec(&signed)
            .map_err(|e| ManifestError::Io { path: self.path.clone(), source: std::io::Error::other(e) })?;
        line.push(b'\n');
        let written = self.file.write_all(&line).and_then(|()| self.file.sync_data());
        written.map_err(|source| ManifestError::Io { path: self.path.clone(), source })?;
        (self.next, self.last) = (next, Some(cid));
        Ok(())
    }
}

/// Length of a file up to its last line break.
fn whole_lines(path: &Path) -> std::io::Result<u64> {
    let bytes = std::fs::read(path)?;
    Ok(bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at as u64 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use openmesh_content::Limits;
    use openmesh_market::recording::Line;

    fn archive(dir: &Path, key: &ValidatorKey) -> (Archive, mpsc::Receiver<Trouble>, mpsc::Receiver<ClosedWindow>) {
        let store = Arc::new(BlockStore::open(&dir.join("content"), Limits::default()).unwrap());
        let (windows, from_windows) = mpsc::channel(8);
        let (trouble, from_trouble) = mpsc::channel(8);
        let archive = Archive {
            exchange: Exchange::Kraken,
            store,
            key: key.clone(),
            dir: dir.to_path_buf(),
            windows,
            trouble,
            metrics: Metrics::default(),
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

    #[test]
    fn base64_vectors() {
        for (plain, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }
}
