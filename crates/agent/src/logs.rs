//! Logs of an application's instances, read from their files: they can be read while a shim or the agent is dead.

use std::collections::BTreeMap;
use std::path::PathBuf;

use openmesh_primitives::Timestamp;
use openmesh_shim::log::{Filter, LogReader, Position, Stream, tail};

use crate::error::AgentError;
use crate::views::LogLine;

/// Most lines of one instance that are sent before new ones: a person scrolls no further, and a program follows.
pub const LINES_MAX: usize = 10_000;

/// Readers of an application's instances.
pub struct Logs {
    filter: Filter,
    readers: BTreeMap<String, LogReader>,
}

fn failed(error: &impl ToString) -> AgentError {
    AgentError::Damaged { path: "the log".into(), words: error.to_string() }
}

impl Logs {
    /// The last lines of each instance that is there, in the order of their times, and readers that go on after them.
    ///
    /// # Errors
    /// A log cannot be read.
    pub fn open(
        folders: &BTreeMap<String, PathBuf>,
        lines: usize,
        filter: &Filter,
    ) -> Result<(Logs, Vec<LogLine>), AgentError> {
        let (mut found, mut readers) = (Vec::new(), BTreeMap::new());
        for (instance, folder) in folders {
            let records = tail(folder, filter.clone(), lines.min(LINES_MAX)).map_err(|error| failed(&error))?;
            let next = records.last().map_or(Position::Oldest, |last| Position::Sequence(last.sequence + 1));
            // Lines that were asked not to be sent are not sent later either.
            let from = if records.is_empty() && lines == 0 { Position::Newest } else { next };
            readers.insert(instance.clone(), LogReader::new(folder, from, filter.clone()));
            found.extend(records.into_iter().map(|record| line(instance, record)));
        }
        found.sort_by_key(|line: &LogLine| line.at);
        found.drain(..found.len().saturating_sub(lines));
        Ok((Logs { filter: filter.clone(), readers }, found))
    }

    /// Lines that have come since, also of instances that are new.
    ///
    /// # Errors
    /// A log cannot be read.
    pub fn more(&mut self, folders: &BTreeMap<String, PathBuf>) -> Result<Vec<LogLine>, AgentError> {
        let mut found = Vec::new();
        self.readers.retain(|instance, _| folders.contains_key(instance));
        for (instance, folder) in folders {
            let fresh = || LogReader::new(folder, Position::Oldest, self.filter.clone());
            let reader = self.readers.entry(instance.clone()).or_insert_with(fresh);
            let batch = reader.read().map_err(|error| failed(&error))?;
            found.extend(batch.records.into_iter().map(|record| line(instance, record)));
        }
        found.sort_by_key(|line| line.at);
        Ok(found)
    }
}

fn line(instance: &str, record: openmesh_shim::log::Owned) -> LogLine {
    LogLine {
        instance: instance.to_string(),
        sequence: record.sequence,
        at: Timestamp::from_micros(i64::try_from(record.time_us).unwrap_or(i64::MAX)),
        stream: match record.stream {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
            Stream::Shim => "shim",
        }
        .to_string(),
        text: String::from_utf8_lossy(&record.text).into_owned(),
    }
}
