//! Appending to manifests.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use openmesh_primitives::{ContentId, Timestamp, ValidatorKey};

use super::{Day, ManifestError, ManifestReader, SegmentManifest, SignedLine, days};

/// Lines after which the position is remembered: so many are verified again after a crash, in some milliseconds.
const REMEMBER_LINES: u64 = 64;

/// Nanoseconds of a day.
const DAY_NANOS: i64 = 86_400_000_000_000;

/// Segments that are read at once when the manifests are opened.
const READ_MAX: usize = 1_024;

/// The manifests of a source, open for appending.
#[derive(Debug)]
pub(crate) struct ManifestWriter {
    dir: PathBuf,
    source: String,
    reader: ManifestReader,
    file: Option<(Day, File)>,
    /// Length of the file.
    length: u64,
    unremembered: u64,
}

impl ManifestWriter {
    /// Opens them where the last run left them. A line that a crash cut off is removed; files that are not ours (another key,
    /// or damaged) are set aside and a new chain is begun, because a signed chain cannot go on over a hole. Fails where
    /// the file system refuses.
    pub(crate) fn open(dir: &Path, source: &str, key: &ValidatorKey) -> Result<ManifestWriter, ManifestError> {
        fs::create_dir_all(dir).map_err(|e| ManifestError::io(dir, e))?;
        let remembered = dir.join(format!("{source}.position"));
        let reader = ManifestReader::open(dir, source, &remembered)?;
        let (dir, source) = (dir.to_path_buf(), source.to_owned());
        let mut writer = ManifestWriter { dir, source, reader, file: None, length: 0, unremembered: 0 };
        if !writer.read_all(key)? {
            writer.set_aside()?;
            let _ = fs::remove_file(&remembered);
            writer.reader = ManifestReader::open(&writer.dir, &writer.source, &remembered)?;
        }
        if let Some(at) = writer.reader.position() {
            let day = at.day.clone();
            writer.length = at.next;
            writer.open_day(day)?;
            writer.remember();
        }
        Ok(writer)
    }

    /// Verifies what was written since the remembered position; false where that is not ours to go on with.
    fn read_all(&mut self, key: &ValidatorKey) -> Result<bool, ManifestError> {
        loop {
            match self.reader.read(READ_MAX) {
                Ok(segments) if segments.is_empty() => {
                    return Ok(self.reader.position().is_none_or(|at| at.collector == key.public()));
                }
                Ok(_) => {}
                // Whether it is whole is not known: to begin another would end a chain that may hold.
                Err(error @ ManifestError::Io { .. }) => return Err(error),
                Err(error) => {
                    tracing::warn!(source = self.source, %error, "manifests are damaged");
                    return Ok(false);
                }
            }
        }
    }

    fn set_aside(&self) -> Result<(), ManifestError> {
        tracing::warn!(source = self.source, "manifests of another key or damaged are set aside; a new chain begins");
        for day in days(&self.dir, &self.source)? {
            let path = day.path(&self.dir, &self.source);
            let aside = path.with_extension(format!("aside-{}", Timestamp::now().nanos()));
            fs::rename(&path, aside).map_err(|e| ManifestError::io(&path, e))?;
        }
        Ok(())
    }

    /// Opens the file of a day, and takes a line off its end that is not whole.
    fn open_day(&mut self, day: Day) -> Result<(), ManifestError> {
        let path = day.path(&self.dir, &self.source);
        let io = |source| ManifestError::io(&path, source);
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(io)?;
        file.set_len(self.length).map_err(io)?;
        // A new name is durable only with its folder.
        File::open(&self.dir).and_then(|folder| folder.sync_all()).map_err(io)?;
        self.file = Some((day, file));
        Ok(())
    }

    /// Number of the next segment.
    pub(crate) fn next(&self) -> u64 {
        self.reader.position().map_or(0, |at| at.sequence + 1)
    }

    /// CID of the last segment.
    pub(crate) fn last(&self) -> Option<ContentId> {
        self.reader.position().map(|at| at.cid)
    }

    /// Signs and appends a segment, durably; returns true where it begins a day. Fails where the file system refuses; then the
    /// writer is to be opened again, since the end of the file is not known.
    pub(crate) fn append(&mut self, segment: SegmentManifest, key: &ValidatorKey) -> Result<bool, ManifestError> {
        // A clock that went back must not write into a day that is over.
        let open = self.file.as_ref().map(|(day, _)| day.clone());
        let day = open.clone().map_or(Day::of(segment.last), |open| open.max(Day::of(segment.last)));
        let begins = open.as_ref() != Some(&day);
        if begins {
            self.length = 0;
            self.open_day(day.clone())?;
        }
        let path = day.path(&self.dir, &self.source);
        let io = |source| ManifestError::io(&path, source);
        let line = SignedLine::sign(segment.clone(), key).map_err(|e| io(e.into()))?;
        let Some((_, file)) = &mut self.file else { return Ok(false) };
        file.write_all(&line).and_then(|()| file.sync_data()).map_err(io)?;
        let next = self.length + line.len() as u64;
        self.reader.pass(&day, self.length, next, &segment);
        self.length = next;
        self.unremembered += 1;
        if begins || self.unremembered >= REMEMBER_LINES {
            self.remember();
        }
        Ok(begins)
    }

    /// Remembers the position. That this fails costs time at the next start, and no more.
    fn remember(&mut self) {
        self.unremembered = 0;
        if let Err(error) = self.reader.remember() {
            tracing::debug!(source = self.source, %error, "a position is not remembered");
        }
    }

    /// Removes the files of days of which no segment is held any more: those more than a day before the oldest was kept, since
    /// a segment may have waited for room. The last two days always stay, for readers that are behind. Fails where the file system refuses.
    pub(crate) fn prune(&self, oldest: Option<Timestamp>) -> Result<(), ManifestError> {
        let days = days(&self.dir, &self.source)?;
        let over = &days[..days.len().saturating_sub(2)];
        let first = oldest.map(|oldest| Day::of(Timestamp(oldest.nanos().saturating_sub(DAY_NANOS))));
        for day in over.iter().filter(|day| first.as_ref().is_none_or(|first| *day < first)) {
            let path = day.path(&self.dir, &self.source);
            fs::remove_file(&path).map_err(|e| ManifestError::io(&path, e))?;
        }
        Ok(())
    }
}
