//! The history of what was done: events with their causes, in a file of bounded size and for whoever follows.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use openmesh_primitives::Timestamp;
use tokio::sync::watch;

use crate::error::AgentError;
use crate::views::{Event, EventKind};

/// Size at which the file begins anew, bytes; the one before is kept: together the events of weeks.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Events in memory: those of some deployments, for whoever follows one. Older ones are in the files.
const EVENTS_KEPT: usize = 4_096;

struct Inner {
    file: File,
    bytes: u64,
    next: u64,
    recent: VecDeque<Event>,
}

/// The history of an agent.
pub struct History {
    path: PathBuf,
    inner: Mutex<Inner>,
    news: watch::Sender<u64>,
}

impl History {
    /// Opens the history in a folder.
    ///
    /// # Errors
    /// A file cannot be read or made.
    pub fn open(folder: &Path) -> Result<History, AgentError> {
        let path = folder.join("events.jsonl");
        let mut recent = VecDeque::new();
        let last = read(&path, 0, |event| {
            recent.push_back(event);
            if recent.len() > EVENTS_KEPT {
                recent.pop_front();
            }
        });
        // The last line may have been cut by a death: whoever followed has seen its number, which is not given again.
        let (mut file, mut bytes) = append(&path)?;
        let is_cut = bytes > 0 && !last.ends_with_newline;
        let next = recent.back().map_or(1, |event: &Event| event.sequence + 1) + u64::from(is_cut);
        if is_cut {
            file.write_all(b"\n").map_err(AgentError::file("writing", &path))?;
            bytes += 1;
        }
        let inner = Mutex::new(Inner { file, bytes, next, recent });
        Ok(History { path, inner, news: watch::Sender::new(next) })
    }

    /// Notes an event. A disk that is full loses it for the file, and nobody waits for it.
    pub fn note(&self, kind: EventKind, generation: u64, application: Option<String>, text: impl Into<String>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let event =
            Event { sequence: inner.next, at: Timestamp::now(), kind, generation, application, text: text.into() };
        inner.next += 1;
        if let Err(error) = self.write(&mut inner, &event) {
            tracing::warn!(%error, "an event is not in the history's file");
        }
        inner.recent.push_back(event);
        if inner.recent.len() > EVENTS_KEPT {
            inner.recent.pop_front();
        }
        let next = inner.next;
        drop(inner);
        self.news.send_replace(next);
    }

    fn write(&self, inner: &mut Inner, event: &Event) -> Result<(), AgentError> {
        let mut line = serde_json::to_vec(event).unwrap_or_default();
        line.push(b'\n');
        if inner.bytes + line.len() as u64 > FILE_BYTES_MAX {
            // The new file is there before the old one moves: a full disk leaves the history as it is.
            let beside = self.path.with_extension("new.jsonl");
            let (file, bytes) = append(&beside)?;
            fs::rename(&self.path, older(&self.path)).map_err(AgentError::file("turning", &self.path))?;
            fs::rename(&beside, &self.path).map_err(AgentError::file("turning", &self.path))?;
            (inner.file, inner.bytes) = (file, bytes);
        }
        inner.file.write_all(&line).map_err(AgentError::file("writing", &self.path))?;
        inner.bytes += line.len() as u64;
        Ok(())
    }

    /// Events from a sequence on, and the sequence after them. Those that are no longer in memory are read from the files.
    pub fn since(&self, sequence: u64) -> (Vec<Event>, u64) {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let first = inner.recent.front().map_or(inner.next, |event| event.sequence);
        let mut events = Vec::new();
        if sequence < first {
            read(&self.path, sequence, |event| {
                if event.sequence < first {
                    events.push(event);
                }
            });
        }
        events.extend(inner.recent.iter().filter(|event| event.sequence >= sequence).cloned());
        (events, inner.next)
    }

    /// Hears of new events.
    pub fn follow(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }
}

/// End of the files that were read.
struct Last {
    ends_with_newline: bool,
}

/// Reads the events from a sequence on, oldest first. Lines that are cut or of another version are passed over.
fn read(path: &Path, from: u64, mut takes: impl FnMut(Event)) -> Last {
    let mut last = Last { ends_with_newline: true };
    for file in [older(path), path.to_path_buf()] {
        let Ok(file) = File::open(&file) else { continue };
        let mut reader = BufReader::new(file);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
            last.ends_with_newline = line.ends_with(b"\n");
            if let Ok(event) = serde_json::from_slice::<Event>(&line)
                && event.sequence >= from
            {
                takes(event);
            }
            line.clear();
        }
    }
    last
}

fn older(path: &Path) -> PathBuf {
    path.with_extension("1.jsonl")
}

fn append(path: &Path) -> Result<(File, u64), AgentError> {
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    let file = file.map_err(AgentError::file("opening", path))?;
    let bytes = file.metadata().map_err(AgentError::file("reading", path))?.len();
    Ok((file, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_numbered_kept_and_survive_a_cut_line() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::open(folder.path()).unwrap();
        for n in 0..3 {
            history.note(EventKind::Done, 1, Some("web".into()), format!("step {n}"));
        }
        let (events, next) = history.since(2);
        assert_eq!((events.len(), events[0].text.as_str(), next), (2, "step 1", 4));
        drop(history);
        let path = folder.path().join("events.jsonl");
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 10]).unwrap();
        let history = History::open(folder.path()).unwrap();
        history.note(EventKind::Rest, 1, None, "rests");
        drop(history);
        let (events, next) = History::open(folder.path()).unwrap().since(0);
        let texts: Vec<&str> = events.iter().map(|event| event.text.as_str()).collect();
        assert_eq!((texts, next), (vec!["step 0", "step 1", "rests"], 5));
        let numbers: Vec<u64> = events.iter().map(|event| event.sequence).collect();
        assert_eq!(numbers, [1, 2, 4], "the number of the cut line is not given again");
    }

    #[test]
    fn events_that_left_the_memory_are_read_from_the_files() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::open(folder.path()).unwrap();
        let all = EVENTS_KEPT as u64 + 10;
        (0..all).for_each(|n| history.note(EventKind::Done, 1, None, format!("step {n}")));
        let (events, next) = history.since(3);
        assert_eq!(
            (events.first().map(|event| event.sequence), events.len() as u64, next),
            (Some(3), all - 2, all + 1)
        );
        assert!(events.windows(2).all(|pair| pair[0].sequence + 1 == pair[1].sequence));
    }

    #[test]
    fn the_files_are_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::open(folder.path()).unwrap();
        for _ in 0..1_500 {
            history.note(EventKind::Failed, 1, None, "x".repeat(8_000));
        }
        let sizes =
            ["events.jsonl", "events.1.jsonl"].map(|name| fs::metadata(folder.path().join(name)).unwrap().len());
        assert!(sizes.iter().all(|size| (1..=FILE_BYTES_MAX).contains(size)), "{sizes:?}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
