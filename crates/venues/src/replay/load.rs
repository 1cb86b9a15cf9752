//! Reading recordings: sets of `frames.jsonl.gz`, and the `<nanoseconds> <message>` files of the hftbacktest project.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use openmesh_dialect::emulate::{
    Channel, Class, Conversation, Endpoint, Frame, Listing, ReadError, Step, Topic, cut_at_sequence, read_class,
};
use openmesh_dialect::recording::{Line, LineError};
use openmesh_primitives::Timestamp;

/// Name of a set's file.
const FRAMES_FILE: &str = "frames.jsonl.gz";

/// Longest line of a recording, in bytes: a whole book of Coinbase is a few millions.
const LINE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Frames of one set that are read; the largest known has a hundred thousand.
const SET_FRAMES_MAX: usize = 5_000_000;

/// Reason that a recording is not served.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file or folder cannot be read.
    #[error("cannot read the recording {path}")]
    Read {
        /// File or folder.
        path: PathBuf,
        /// Cause.
        source: std::io::Error,
    },
    /// A line is not one of a recording.
    #[error("line {line} of {path} is not one of a recording")]
    Line {
        /// File.
        path: PathBuf,
        /// Number of the line, from 1.
        line: u64,
        /// Cause.
        source: LineError,
    },
    /// A line without time and message.
    #[error("line {line} of {path} is not `<nanoseconds> <message>`")]
    Pair {
        /// File.
        path: PathBuf,
        /// Number of the line, from 1.
        line: u64,
    },
    /// A message that the venue's dialect does not know.
    #[error("line {line} of {path} holds a message that cannot be told to a stream")]
    Message {
        /// File.
        path: PathBuf,
        /// Number of the line, from 1.
        line: u64,
        /// Cause.
        source: ReadError,
    },
    /// A set is larger than what is read.
    #[error("{path} has more than {frames_max} frames: cut it into several sets")]
    Large {
        /// File.
        path: PathBuf,
        /// Limit.
        frames_max: usize,
    },
    /// No set that could be served.
    #[error("no recording of a venue that is served lies in {path} (wanted: {wanted})")]
    Nothing {
        /// Folder.
        path: PathBuf,
        /// Sets that were asked for, or `any`.
        wanted: String,
    },
}

/// A frame and when it is due.
#[derive(Clone, Debug)]
pub(super) struct RecordedFrame {
    /// Nanoseconds since the beginning of the set.
    pub at: u64,
    pub endpoint: Endpoint,
    /// Streams, by index into [`Recording::topics`].
    pub topics: Vec<u32>,
    pub frame: Frame,
}

/// An answer over HTTP as recorded.
#[derive(Clone, Debug)]
pub(super) struct RecordedAnswer {
    pub at: u64,
    pub host: String,
    pub path: String,
    pub query: String,
    pub body: String,
}

/// A recording in memory.
#[derive(Clone, Debug)]
pub struct Recording {
    /// Name: that of its folder.
    pub name: String,
    pub(super) frames: Vec<RecordedFrame>,
    pub(super) answers: Vec<RecordedAnswer>,
    /// In the loose form.
    pub(super) topics: Vec<Topic>,
    /// The same, as recorded.
    pub(super) recorded_topics: Vec<Topic>,
    /// By the topic as acknowledged.
    pub(super) acknowledgements: BTreeMap<Topic, String>,
    pub(super) first_venue_time: Option<Timestamp>,
    pub(super) last_venue_time: Option<Timestamp>,
    /// Nanoseconds from the beginning to the last frame.
    pub(super) length: u64,
}

/// Folders of recordings: `dir` itself where it is one, else those in it, by name.
pub fn recorded_sets(dir: &Path) -> Result<Vec<PathBuf>, LoadError> {
    if is_set(dir) {
        return Ok(vec![dir.to_owned()]);
    }
    let failed = |source| LoadError::Read { path: dir.to_owned(), source };
    let mut sets = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if is_set(&path) {
            sets.push(path);
        }
    }
    sets.sort();
    Ok(sets)
}

fn is_set(dir: &Path) -> bool {
    dir.join(FRAMES_FILE).is_file() || !pair_files(dir).is_empty()
}

/// The `<symbol>_<yyyymmdd>.gz` files of a folder, in order of their dates, and their endpoint.
fn pair_files(dir: &Path) -> Vec<PathBuf> {
    if pair_endpoint(dir).is_none() {
        return Vec::new();
    }
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries
        .filter_map(|e| e.ok().map(|e| e.path()))
        .filter(|p| p.is_file() && p.extension().is_some_and(|e| e == "gz"))
        .filter(|p| !p.ends_with(FRAMES_FILE))
        .collect();
    files.sort();
    files
}

/// Files of pairs do not say where they come from; their folder's name does.
fn pair_endpoint(dir: &Path) -> Option<Endpoint> {
    let name = dir.file_name()?.to_str()?;
    match name {
        n if n.starts_with("hft-binance-spot-") => Some(Endpoint::BinanceSpot),
        n if n.starts_with("hft-binance-usdm-") => Some(Endpoint::BinanceUsdm),
        _ => None,
    }
}

impl Recording {
    /// Reads a set. A set of which nothing can be served (a venue that is not spoken here) has no frames.
    pub fn load(dir: &Path) -> Result<Recording, LoadError> {
        let name = dir.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let mut build = Build::new(name);
        let file = dir.join(FRAMES_FILE);
        if file.is_file() {
            each_line(&file, |line, text| build.line(&file, line, text))?;
        } else if let Some(endpoint) = pair_endpoint(dir) {
            for file in pair_files(dir) {
                each_line(&file, |line, text| build.pair(&file, line, text, endpoint))?;
            }
        }
        Ok(build.done())
    }

    /// Frames that are served.
    pub fn frames(&self) -> usize {
        self.frames.len()
    }

    /// Streams that are served.
    pub fn topics(&self) -> &[Topic] {
        &self.topics
    }
}

/// Calls `each` with number and text of every line that is not empty.
fn each_line(path: &Path, mut each: impl FnMut(u64, &str) -> Result<(), LoadError>) -> Result<(), LoadError> {
    let failed = |source| LoadError::Read { path: path.to_owned(), source };
    let mut reader = BufReader::new(MultiGzDecoder::new(File::open(path).map_err(failed)?));
    let mut text = String::new();
    for number in 1.. {
        text.clear();
        let read = reader.by_ref().take(LINE_BYTES_MAX).read_line(&mut text).map_err(failed)?;
        if read == 0 {
            break;
        }
        let line = text.trim_end_matches(['\n', '\r']);
        if !line.is_empty() {
            each(number, line)?;
        }
    }
    Ok(())
}

/// Listing that knows every topic: what a recorder asked for was there to be asked for, as far as anybody knows.
struct Anything;

impl Listing for Anything {
    fn knows(&self, topic: &Topic) -> bool {
        topic.channel != Channel::Heartbeat
    }
}

/// A recording that is being read.
struct Build {
    recording: Recording,
    /// Capture time of the first line that is served.
    begin: Option<Timestamp>,
    /// The recorded connections; what the recorder said on them tells what it subscribed to.
    conversations: BTreeMap<String, Conversation>,
    index: BTreeMap<Topic, u32>,
}

impl Build {
    fn new(name: String) -> Build {
        Build {
            recording: Recording {
                name,
                frames: Vec::new(),
                answers: Vec::new(),
                topics: Vec::new(),
                recorded_topics: Vec::new(),
                acknowledgements: BTreeMap::new(),
                first_venue_time: None,
                last_venue_time: None,
                length: 0,
            },
            begin: None,
            conversations: BTreeMap::new(),
            index: BTreeMap::new(),
        }
    }

    fn line(&mut self, path: &Path, number: u64, text: &str) -> Result<(), LoadError> {
        let line =
            Line::parse(text).map_err(|source| LoadError::Line { path: path.to_owned(), line: number, source })?;
        match line {
            Line::Header { .. } => Ok(()),
            Line::Connect { connection, url, .. } => {
                if let Some((host, path, query)) = address(&url)
                    && let Some(endpoint) = Endpoint::of_socket(&host, &path)
                {
                    let (conversation, steps) = Conversation::open(endpoint, &path, &query, 0, &Anything);
                    self.conversations.insert(connection, conversation);
                    self.subscribed(steps);
                }
                Ok(())
            }
            Line::Send { at, connection, text } => {
                if let Some(conversation) = self.conversations.get_mut(&connection) {
                    let steps = conversation.receive(&text, at, &Anything);
                    self.subscribed(steps);
                }
                Ok(())
            }
            Line::Http { at, url, data } => {
                if let Some((host, path, query)) = address(&url) {
                    // Lists are asked for before anything else; they do not start the clock.
                    let at = self.begin.map_or(0, |b| nanos_since(b, at));
                    let body = String::from_utf8_lossy(&data).into_owned();
                    self.recording.answers.push(RecordedAnswer { at, host, path, query, body });
                }
                Ok(())
            }
            Line::Receive { at, connection, data } => {
                let endpoint = self.conversations.get(&connection).map(Conversation::endpoint);
                match (endpoint, std::str::from_utf8(&data)) {
                    (Some(endpoint), Ok(text)) => self.frame(path, number, at, endpoint, text),
                    // Another venue's connection, or a binary frame that none of these venues sends.
                    _ => Ok(()),
                }
            }
        }
    }

    /// Streams that were asked for are served even where nothing came of them.
    fn subscribed(&mut self, steps: Vec<Step>) {
        for step in steps {
            if let Step::Begin(topic) = step {
                self.topic(topic);
            }
        }
    }

    fn pair(&mut self, path: &Path, number: u64, text: &str, endpoint: Endpoint) -> Result<(), LoadError> {
        let parsed = text.split_once(' ').and_then(|(at, message)| Some((Timestamp(at.parse().ok()?), message)));
        let Some((at, message)) = parsed else {
            return Err(LoadError::Pair { path: path.to_owned(), line: number });
        };
        if message.starts_with(r#"{"lastUpdateId""#) {
            // The answer of the depth request stands between the frames, without its address. The instrument is that of
            // the streams around it.
            let instrument = self.recording.topics.first().map(|t| t.instrument.clone()).unwrap_or_default();
            let (host, path) = match endpoint {
                Endpoint::BinanceUsdm => ("fapi.binance.com", "/fapi/v1/depth"),
                _ => ("api.binance.com", "/api/v3/depth"),
            };
            self.recording.answers.push(RecordedAnswer {
                at: self.begin.map_or(0, |b| nanos_since(b, at)),
                host: host.to_owned(),
                path: path.to_owned(),
                query: format!("symbol={instrument}&limit=1000"),
                body: message.to_owned(),
            });
            return Ok(());
        }
        self.frame(path, number, at, endpoint, message)
    }

    fn frame(
        &mut self,
        path: &Path,
        number: u64,
        at: Timestamp,
        endpoint: Endpoint,
        text: &str,
    ) -> Result<(), LoadError> {
        let class = read_class(endpoint, text).map_err(|source| LoadError::Message {
            path: path.to_owned(),
            line: number,
            source,
        })?;
        match class {
            Class::Control => {}
            Class::Acknowledgement(topic) => {
                self.recording.acknowledgements.entry(topic).or_insert_with(|| text.to_owned());
            }
            Class::Data { topics, at: venue_time } => {
                if self.recording.frames.len() >= SET_FRAMES_MAX {
                    return Err(LoadError::Large { path: path.to_owned(), frames_max: SET_FRAMES_MAX });
                }
                let begin = *self.begin.get_or_insert(at);
                // The recorder's clock may have gone back; the frames' order is what counts.
                let due = nanos_since(begin, at).max(self.recording.length);
                self.recording.length = due;
                if let Some(time) = venue_time {
                    self.recording.first_venue_time.get_or_insert(time);
                    let last = self.recording.last_venue_time.get_or_insert(time);
                    *last = (*last).max(time);
                }
                let topics = topics.into_iter().map(|t| self.topic(t)).collect();
                let frame = match cut_at_sequence(text).filter(|_| endpoint == Endpoint::Coinbase) {
                    Some((head, tail)) => Frame::numbered(head, tail),
                    None => Frame::whole(Arc::from(text)),
                };
                self.recording.frames.push(RecordedFrame { at: due, endpoint, topics, frame });
            }
        }
        Ok(())
    }

    fn topic(&mut self, recorded: Topic) -> u32 {
        let topic = recorded.loose();
        if let Some(at) = self.index.get(&topic) {
            return *at;
        }
        let at = self.recording.topics.len() as u32;
        self.recording.topics.push(topic.clone());
        self.recording.recorded_topics.push(recorded);
        self.index.insert(topic, at);
        at
    }

    fn done(self) -> Recording {
        self.recording
    }
}

fn nanos_since(begin: Timestamp, at: Timestamp) -> u64 {
    u64::try_from(at.nanos() - begin.nanos()).unwrap_or(0)
}

/// Host with port, path and query of an address.
fn address(url: &str) -> Option<(String, String, String)> {
    let (_, rest) = url.split_once("://")?;
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (host, path) = place.split_once('/').unwrap_or((place, ""));
    Some((host.to_owned(), format!("/{path}"), query.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn write(dir: &Path, name: &str, lines: &[&str]) {
        let mut file =
            flate2::write::GzEncoder::new(File::create(dir.join(name)).unwrap(), flate2::Compression::default());
        for line in lines {
            writeln!(file, "{line}").unwrap();
        }
        file.finish().unwrap();
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let header = r#"{"t":"header","format":2,"exchange":"KRAKEN"}"#;
        let connect = r#"{"t":"connect","conn":"k","ts":1.5,"addr":"wss://ws.kraken.com"}"#;
        write(dir.path(), FRAMES_FILE, &[header, connect, "{}"]);
        let error = Recording::load(dir.path()).unwrap_err();
        assert!(matches!(error, LoadError::Line { line: 3, .. }), "{error}");
        let garbage = r#"{"t":"recv","conn":"k","ts":1.6,"data":"[1,2]"}"#;
        write(dir.path(), FRAMES_FILE, &[header, connect, garbage]);
        let error = Recording::load(dir.path()).unwrap_err();
        assert!(matches!(error, LoadError::Message { line: 3, .. }), "{error}");
        // A venue that is not served leaves an empty recording.
        let other = r#"{"t":"connect","conn":"k","ts":1.5,"addr":"wss://ws.bitmex.com/realtime"}"#;
        write(dir.path(), FRAMES_FILE, &[header, other, garbage]);
        assert_eq!(Recording::load(dir.path()).unwrap().frames(), 0);
    }

    #[test]
    fn addresses() {
        let of = |url: &str| address(url).map(|(h, p, q)| format!("{h} {p} {q}")).unwrap();
        assert_eq!(of("wss://ws.kraken.com"), "ws.kraken.com / ");
        assert_eq!(of("https://a.b:9/c/d?e=f&g"), "a.b:9 /c/d e=f&g");
    }
}
