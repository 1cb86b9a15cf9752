//! The log of a process that runs for years: one file of a bounded size, and a bounded number of older parts.
//!
//! The process's standard output and error lead into the same file, so that a panic's last words stand where a person looks.
//! That is why the full file is not renamed, as rotating libraries do (what is open would go on into a file that nobody finds):
//! it is copied to a part beside it and cut to nothing, between two lines. All who write to it append.

use std::fs::{File, OpenOptions};
use std::io::{Result, Write};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use flate2::Compression;
use flate2::write::GzEncoder;

/// Bytes of a log, at which it becomes a part: a day or more at the usual pace, and still opened by any editor.
pub const LOG_BYTES_MAX: u64 = 16 << 20;
/// Older parts that are kept, compressed: a few megabytes and usually more than a week.
pub const LOG_PARTS_MAX: usize = 8;

/// Bounds of a log.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Size at which the file becomes a part, in bytes.
    pub bytes_max: u64,
    /// Older parts.
    pub parts_max: usize,
}

/// A log file that is put aside when it is full.
#[derive(Debug)]
pub struct BoundedLog {
    path: PathBuf,
    file: File,
    bounds: Bounds,
    bytes: u64,
    compressing: Option<JoinHandle<()>>,
}

impl BoundedLog {
    /// Opens the log, which begins where there is none.
    ///
    /// # Errors
    /// Where it cannot be opened for appending.
    pub fn open(path: &Path, bounds: Bounds) -> Result<BoundedLog> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let bytes = file.metadata()?.len();
        Ok(BoundedLog { path: path.to_path_buf(), file, bounds, bytes, compressing: None })
    }

    /// Puts what there is aside. Where the disk does not take it, the file may grow to twice its bound and is cut then: a log must
    /// not be what fills a disk.
    fn turn(&mut self) -> Result<()> {
        self.bytes = self.file.metadata()?.len();
        if self.bytes < self.bounds.bytes_max {
            return Ok(());
        }
        let aside = self.put_aside();
        if aside.is_err() && self.bytes < self.bounds.bytes_max.saturating_mul(2) {
            return aside;
        }
        self.file.set_len(0)?;
        self.bytes = 0;
        aside
    }

    fn put_aside(&mut self) -> Result<()> {
        if let Some(before) = self.compressing.take() {
            // A compression that panicked has left its part as it was.
            let _ = before.join();
        }
        let place = |number: usize| self.path.with_added_extension(format!("{number}.gz"));
        for number in (1..self.bounds.parts_max).rev().filter(|number| place(*number).exists()) {
            std::fs::rename(place(number), place(number + 1))?;
        }
        let plain = self.path.with_added_extension("1");
        std::fs::copy(&self.path, &plain)?;
        let packed = place(1);
        self.compressing = Some(std::thread::spawn(move || {
            if let Err(error) = compress(&plain, &packed) {
                tracing::warn!(%error, log = %plain.display(), "a part of the log is not compressed");
            }
        }));
        Ok(())
    }
}

impl Write for BoundedLog {
    fn write(&mut self, line: &[u8]) -> Result<usize> {
        if self.bytes >= self.bounds.bytes_max {
            // The line counts more than the part.
            let _ = self.turn();
        }
        let written = self.file.write(line)?;
        self.bytes = self.bytes.saturating_add(written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> Result<()> {
        self.file.flush()
    }
}

impl Drop for BoundedLog {
    fn drop(&mut self) {
        if let Some(compressing) = self.compressing.take() {
            let _ = compressing.join();
        }
    }
}

fn compress(plain: &Path, packed: &Path) -> Result<()> {
    let mut encoder = GzEncoder::new(File::create(packed)?, Compression::fast());
    std::io::copy(&mut File::open(plain)?, &mut encoder)?;
    encoder.finish()?.sync_all()?;
    std::fs::remove_file(plain)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    const BOUNDS: Bounds = Bounds { bytes_max: 1_000, parts_max: 3 };

    fn unpacked(path: &Path) -> String {
        let mut text = String::new();
        GzDecoder::new(File::open(path).unwrap()).read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn a_log_stays_within_its_bounds_and_loses_no_line_of_what_it_keeps() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.log");
        let mut log = BoundedLog::open(&path, BOUNDS).unwrap();
        let mut all = String::new();
        for number in 0..2_000 {
            let line = format!("line {number}\n");
            log.write_all(line.as_bytes()).unwrap();
            all.push_str(&line);
        }
        drop(log);
        let mut names: Vec<String> =
            std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, ["node.log", "node.log.1.gz", "node.log.2.gz", "node.log.3.gz"]);
        let part = |number: usize| unpacked(&path.with_added_extension(format!("{number}.gz")));
        let kept = [part(3), part(2), part(1), std::fs::read_to_string(&path).unwrap()];
        assert!(kept.iter().all(|text| text.len() < 1_100), "{:?}", kept.each_ref().map(String::len));
        assert!(all.ends_with(&kept.concat()), "the newest lines, in order, none missing");
    }

    #[test]
    fn what_else_appends_to_the_file_goes_on_into_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.log");
        let mut log = BoundedLog::open(&path, BOUNDS).unwrap();
        let mut errors = OpenOptions::new().append(true).open(&path).unwrap();
        log.write_all(&[b'a'; 1_000]).unwrap();
        errors.write_all(b"before\n").unwrap();
        log.write_all(b"the next part\n").unwrap();
        errors.write_all(b"panicked at\n").unwrap();
        drop(log);
        assert!(unpacked(&path.with_added_extension("1.gz")).ends_with("before\n"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "the next part\npanicked at\n");
    }

    #[test]
    fn a_log_that_cannot_be_put_aside_is_cut_at_twice_its_bound() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.log");
        // Nothing can be copied over a folder.
        std::fs::create_dir(path.with_added_extension("1")).unwrap();
        let mut log = BoundedLog::open(&path, BOUNDS).unwrap();
        let mut longest = 0;
        for _ in 0..100 {
            log.write_all(&[b'a'; 100]).unwrap();
            longest = longest.max(std::fs::metadata(&path).unwrap().len());
        }
        assert!((1_900..=2_100).contains(&longest), "{longest}");
    }
}
