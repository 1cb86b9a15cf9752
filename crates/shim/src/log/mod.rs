//! Logs of an instance: records in files of bounded size.
//!
//! # Format
//! A record is one line, `SEQUENCE MICROSECONDS STREAM PART TEXT`, that ordinary tools read too: `1842 1764374254123456 o. listening`. The sequence
//! rises by one for each record of the instance, over rotations, restarts and shims, and a number that is missing is a record that was
//! dropped or removed. The stream is `o`, `e`, or `s` for words of the shim; the part is `.` where the line ends here and `+` where it goes on
//! in the stream's next record. The text is what the application wrote, byte by byte, without its newline.
//!
//! # Files
//! A file is named by the sequence of its first record, in twenty digits, and never renamed: a reader finds its place by name and by
//! bisection. A new file begins where the present one would exceed an eighth of the bound, and the oldest is removed before that.
//!
//! # On failure
//! A written record reaches the kernel at once, so the death of a shim loses nothing. After a power cut the last seconds can be missing; a torn
//! last record is cut off when the next shim opens the file, and readers never hand it out. While a write fails, lines are dropped, counted, and
//! the count is written as a record of the shim before the next line.

mod reader;
mod record;
mod split;
#[cfg(test)]
mod tests;
mod writer;

pub use reader::{Batch, Filter, LogReader, Owned, Position, ReadError, tail};
pub use record::{LINE_BYTES_MAX, Record, Stream};
pub use split::{PARTIAL_MS_MAX, Splitter};
pub use writer::{Dropped, FILES_MAX, LogError, LogWriter};

use std::path::Path;

/// Ending of a log file's name.
const SUFFIX: &str = ".log";

/// Name of the file whose first record has a sequence.
fn file_name(first: u64) -> String {
    format!("{first:020}{SUFFIX}")
}

/// First sequences of the files of a folder, in order; other files are no logs.
fn files(directory: &Path) -> std::io::Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        let digits = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
        if let Some(digits) = digits.filter(|digits| digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit())) {
            found.extend(digits.parse::<u64>());
        }
    }
    found.sort_unstable();
    Ok(found)
}
