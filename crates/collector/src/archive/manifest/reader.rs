//! Reading manifests, from where they were left.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use openmesh_primitives::{ContentId, ValidatorPublicKey};
use serde::{Deserialize, Serialize};

use super::{Day, MANIFEST_LINE_BYTES_MAX, ManifestError, SegmentManifest, SignedLine, days};

/// The last verified line: what a reader remembers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Position {
    pub(super) day: Day,
    /// First byte of the line.
    line: u64,
    /// First byte after it.
    pub(super) next: u64,
    pub(super) sequence: u64,
    pub(super) cid: ContentId,
    pub(super) collector: ValidatorPublicKey,
}

/// Reads the segments of a source in order, verifying every signature and that none is missing, each line once.
///
/// A last line that a crash cut off is left out until it is whole: it was never acknowledged. Blocking calls.
#[derive(Debug)]
pub struct ManifestReader {
    dir: PathBuf,
    source: String,
    remembered: PathBuf,
    at: Option<Position>,
    /// The position was read from the disk and is not compared with the manifest yet.
    unchecked: bool,
}

impl ManifestReader {
    /// Opens the manifests of a source in the collector's archive folder at the position that is remembered in a file, which
    /// is this reader's own; where there is none, or a crash has spoilt it, from the beginning. Fails where the file
    /// cannot be read.
    pub fn open(dir: &Path, source: &str, remembered: &Path) -> Result<ManifestReader, ManifestError> {
        let at: Option<Position> = match fs::read(remembered) {
            Ok(bytes) => serde_json::from_slice(&bytes).ok(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(ManifestError::io(remembered, error)),
        };
        let (dir, source, remembered) = (dir.to_path_buf(), source.to_owned(), remembered.to_path_buf());
        Ok(ManifestReader { dir, source, remembered, unchecked: at.is_some(), at })
    }

    /// Returns the next verified segments, `count_max` at most, and none where nothing is new. Fails at a line that cannot be
    /// verified; the segments before it are given first, and the reader stays where it is.
    pub fn read(&mut self, count_max: usize) -> Result<Vec<SegmentManifest>, ManifestError> {
        let mut segments = Vec::new();
        // Listed first: a day that another one follows gets no more lines.
        let days = days(&self.dir, &self.source)?;
        self.check_position()?;
        // A day that was removed with its segments: the chain is taken up at the first that is left.
        self.at = self.at.take().filter(|at| days.contains(&at.day));
        let from = self.at.as_ref().map(|at| at.day.clone());
        for day in days.iter().filter(|day| from.as_ref().is_none_or(|from| *day >= from)) {
            match self.read_day(day, count_max, &mut segments) {
                Ok(()) if segments.len() < count_max => {}
                Ok(()) => break,
                Err(_) if !segments.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(segments)
    }

    /// Remembers the position, durably. To be called when what was read is kept elsewhere: what was read since is read again
    /// after a restart. Fails where the file system refuses.
    pub fn remember(&self) -> Result<(), ManifestError> {
        let Some(at) = &self.at else { return Ok(()) };
        let io = |source| ManifestError::io(&self.remembered, source);
        let bytes = serde_json::to_vec(at).map_err(|e| io(e.into()))?;
        let draft = self.remembered.with_extension("draft");
        let folder = self.remembered.parent().unwrap_or(Path::new("."));
        let written = fs::create_dir_all(folder)
            .and_then(|()| File::create(&draft))
            .and_then(|mut file| file.write_all(&bytes).and_then(|()| file.sync_data()))
            .and_then(|()| fs::rename(&draft, &self.remembered));
        written.map_err(io)
    }

    /// Compares the remembered line with the manifest; where that is another, everything is read again.
    fn check_position(&mut self) -> Result<(), ManifestError> {
        let Some(at) = self.at.as_ref().filter(|_| self.unchecked) else { return Ok(()) };
        let path = at.day.path(&self.dir, &self.source);
        if path.exists() {
            let same = match Lines::open(&path, at.line).and_then(|mut lines| lines.next()) {
                Ok(Some((segment, next))) => (segment.sequence, segment.cid, next) == (at.sequence, at.cid, at.next),
                Ok(None) | Err(ManifestError::Line { .. } | ManifestError::Forged { .. }) => false,
                Err(error) => return Err(error),
            };
            if !same {
                self.at = None;
            }
        }
        self.unchecked = false;
        Ok(())
    }

    fn read_day(
        &mut self,
        day: &Day,
        count_max: usize,
        segments: &mut Vec<SegmentManifest>,
    ) -> Result<(), ManifestError> {
        let path = day.path(&self.dir, &self.source);
        let begun = self.at.as_ref().filter(|at| at.day == *day).map_or(0, |at| at.next);
        let mut lines = Lines::open(&path, begun)?;
        while segments.len() < count_max {
            let line = lines.offset;
            let Some((segment, next)) = lines.next()? else { return Ok(()) };
            if !self.follows(&segment, line) {
                return Err(ManifestError::Forged { path, offset: line });
            }
            self.pass(day, line, next, &segment);
            segments.push(segment);
        }
        Ok(())
    }

    /// Returns true where a segment follows the last one. The first line of a file may begin a chain, and the first of all files
    /// is in the middle of one whose days before it were removed.
    fn follows(&self, segment: &SegmentManifest, line: u64) -> bool {
        let begins = line == 0 && segment.sequence == 0 && segment.previous.is_none();
        let goes_on = self.at.as_ref().map_or(line == 0 && segment.previous.is_some(), |at| {
            (segment.sequence, segment.previous, segment.collector) == (at.sequence + 1, Some(at.cid), at.collector)
        });
        segment.source == self.source && (begins || goes_on)
    }

    /// The last verified line.
    pub(super) const fn position(&self) -> Option<&Position> {
        self.at.as_ref()
    }

    /// Moves on over a verified line, or one that this process has written itself.
    pub(super) fn pass(&mut self, day: &Day, line: u64, next: u64, segment: &SegmentManifest) {
        let SegmentManifest { sequence, cid, collector, .. } = *segment;
        self.at = Some(Position { day: day.clone(), line, next, sequence, cid, collector });
    }
}

/// Reads the manifest of one day from its beginning, verifying every signature and that no segment is missing. Fails where
/// it cannot be read or verified.
pub fn read_manifest(path: &Path) -> Result<Vec<SegmentManifest>, ManifestError> {
    let mut lines = Lines::open(path, 0)?;
    let mut segments: Vec<SegmentManifest> = Vec::new();
    loop {
        let offset = lines.offset;
        let Some((segment, _)) = lines.next()? else { return Ok(segments) };
        let follows = segments.last().is_none_or(|before| {
            segment.sequence == before.sequence + 1
                && segment.previous == Some(before.cid)
                && (&segment.source, segment.collector) == (&before.source, before.collector)
        });
        if !follows || (segment.sequence == 0) != segment.previous.is_none() {
            return Err(ManifestError::Forged { path: path.to_path_buf(), offset });
        }
        segments.push(segment);
    }
}

/// The lines of a manifest, each with a signature that holds.
struct Lines {
    reader: BufReader<File>,
    path: PathBuf,
    /// First byte of the next line.
    offset: u64,
}

impl Lines {
    fn open(path: &Path, offset: u64) -> Result<Lines, ManifestError> {
        let io = |source| ManifestError::io(path, source);
        let mut file = File::open(path).map_err(io)?;
        file.seek(SeekFrom::Start(offset)).map_err(io)?;
        Ok(Lines { reader: BufReader::new(file), path: path.to_path_buf(), offset })
    }

    /// Returns the next segment and the first byte after it; `None` at the end, or before a line that is not whole.
    fn next(&mut self) -> Result<Option<(SegmentManifest, u64)>, ManifestError> {
        let mut line = Vec::new();
        let read = self.reader.by_ref().take(MANIFEST_LINE_BYTES_MAX).read_until(b'\n', &mut line);
        let read = read.map_err(|e| ManifestError::io(&self.path, e))? as u64;
        if read == 0 || line.last() != Some(&b'\n') && read < MANIFEST_LINE_BYTES_MAX {
            return Ok(None);
        }
        let (path, offset) = (self.path.clone(), self.offset);
        let Ok(SignedLine { segment, signature }) = serde_json::from_slice(&line) else {
            return Err(ManifestError::Line { path, offset });
        };
        if segment.collector.verify(&segment.message(), &signature).is_err() {
            return Err(ManifestError::Forged { path, offset });
        }
        self.offset += read;
        Ok(Some((segment, self.offset)))
    }
}
