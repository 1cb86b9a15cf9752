//! Manifests of a source's raw segments: one signed line each, every one naming the segment before it, so that none can
//! be left out unnoticed.
//!
//! There is one file for each source and day, `SOURCE.YYYY-MM-DD.manifest.jsonl`; the chain goes on from one to the next.
//! A file is verified from its beginning once: who reads or writes it remembers the last verified line in a small file
//! of its own ([`ManifestReader`]) and goes on from there. Days of which no segment is held any more are removed.

mod reader;
mod writer;

use std::fs;
use std::path::{Path, PathBuf};

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_market::Exchange;
use openmesh_primitives::{ContentId, Timestamp, ValidatorKey, ValidatorPublicKey, ValidatorSignature, canonical};
use serde::{Deserialize, Serialize};

pub use self::reader::{ManifestReader, read_manifest};
pub(crate) use self::writer::ManifestWriter;

/// Longest line of a manifest that is read, in bytes: five times what the longest names make.
const MANIFEST_LINE_BYTES_MAX: u64 = 4_096;

/// Says that a signature is of a segment and of nothing else.
const SIGNED_AS: &[u8] = b"openmesh raw segment v2\n";

const SUFFIX: &str = ".manifest.jsonl";

/// A raw segment, as signed by the collector that saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, BorshSerialize, BorshDeserialize)]
pub struct SegmentManifest {
    /// Collector that captured it.
    pub collector: ValidatorPublicKey,
    /// Source id.
    pub source: String,
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
    /// CID of the segment before it.
    pub previous: Option<ContentId>,
    /// Lines before it that this node could not keep, for want of room; nearly always 0.
    pub lost: u64,
}

impl SegmentManifest {
    /// Returns the bytes that are signed.
    fn message(&self) -> Vec<u8> {
        [SIGNED_AS, &canonical::encode(self)].concat()
    }
}

/// A line of a manifest: the segment and the signature over it.
#[derive(Debug, Serialize, Deserialize)]
struct SignedLine {
    #[serde(flatten)]
    segment: SegmentManifest,
    signature: ValidatorSignature,
}

impl SignedLine {
    /// Signs a segment; returns the line with its line break.
    fn sign(segment: SegmentManifest, key: &ValidatorKey) -> Result<Vec<u8>, serde_json::Error> {
        let signature = key.sign(&segment.message());
        let mut line = serde_json::to_vec(&SignedLine { segment, signature })?;
        line.push(b'\n');
        Ok(line)
    }
}

/// Errors of reading and writing manifests.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The file system refused.
    #[error("the manifest {path} cannot be read or written")]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A line is not a signed segment.
    #[error("the line at byte {offset} of {path} is no signed segment")]
    Line {
        /// The file.
        path: PathBuf,
        /// First byte of the line.
        offset: u64,
    },
    /// The signature is not the collector's, or the segment does not follow the one before it.
    #[error("the line at byte {offset} of {path}: the signature or the order does not hold")]
    Forged {
        /// The file.
        path: PathBuf,
        /// First byte of the line.
        offset: u64,
    },
}

impl ManifestError {
    fn io(path: &Path, source: std::io::Error) -> ManifestError {
        ManifestError::Io { path: path.to_path_buf(), source }
    }
}

/// A day in UTC as `YYYY-MM-DD`; days compare as their names do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Day(String);

impl Day {
    pub(super) fn of(time: Timestamp) -> Day {
        let (year, month, day) = time.date();
        Day(format!("{year:04}-{month:02}-{day:02}"))
    }

    fn path(&self, dir: &Path, source: &str) -> PathBuf {
        dir.join(format!("{source}.{}{SUFFIX}", self.0))
    }
}

/// Returns the days of which a source has manifests, ascending; none where the folder does not exist. Fails where it cannot
/// be read.
fn days(dir: &Path, source: &str) -> Result<Vec<Day>, ManifestError> {
    let listed = match fs::read_dir(dir) {
        Ok(listed) => listed,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(ManifestError::io(dir, error)),
    };
    let mut days = Vec::new();
    for entry in listed {
        let name = entry.map_err(|e| ManifestError::io(dir, e))?.file_name();
        // A source id has no dot, so nothing else begins like this.
        let day = name.to_str().and_then(|n| n.strip_prefix(source)?.strip_prefix('.')?.strip_suffix(SUFFIX));
        let digits = |day: &&str| day.len() == 10 && day.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        days.extend(day.filter(digits).map(|day| Day(day.to_owned())));
    }
    days.sort();
    Ok(days)
}
