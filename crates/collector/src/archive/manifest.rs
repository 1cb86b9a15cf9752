//! The manifest of a source's raw segments: one signed line each, every one naming the segment before it, so that none can
//! be left out unnoticed.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_market::Exchange;
use openmesh_primitives::{ContentId, Timestamp, ValidatorKey, ValidatorPublicKey, ValidatorSignature, canonical};
use serde::{Deserialize, Serialize};

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
    /// Lines before it that this site could not keep, for want of room; nearly always 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[borsh(skip)]
    pub lost: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
fn is_zero(number: &u64) -> bool {
    *number == 0
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
    /// What is signed. That lines were lost stands behind the rest, and only where it is so.
    fn message(&self) -> Vec<u8> {
        let mut message = [SIGNED_AS, &canonical::encode(self)].concat();
        if self.lost > 0 {
            message.extend(self.lost.to_le_bytes());
        }
        message
    }
}

/// A place in a manifest: everything before it was read and checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ManifestPosition {
    /// Bytes before it.
    offset: u64,
    /// Lines before it.
    lines: usize,
    /// Number and CID of the last segment before it.
    last: Option<(u64, ContentId)>,
}

impl ManifestPosition {
    /// Whether a segment is the one after this place. A chain begins with the number 0.
    fn is_followed_by(&self, segment: &SegmentManifest) -> bool {
        match self.last {
            Some((sequence, cid)) => segment.sequence == sequence + 1 && segment.previous == Some(cid),
            None => segment.sequence == 0 && segment.previous.is_none(),
        }
    }
}

/// Reads a manifest from its beginning, checking every signature and that no segment is missing. A last line that a crash
/// cut off is left out; it was never acknowledged. Fails where the file cannot be read or a line does not hold.
pub fn read_manifests(path: &Path) -> Result<Vec<SegmentManifest>, ManifestError> {
    read_manifest_from(path, ManifestPosition::default()).map(|(segments, _)| segments)
}

/// Reads and checks what was appended to a manifest since a place was reached; returns it with the new place. A file that
/// does not exist yet is empty; one that is shorter than the place is another one, and read from its beginning.
pub fn read_manifest_from(
    path: &Path,
    mut position: ManifestPosition,
) -> Result<(Vec<SegmentManifest>, ManifestPosition), ManifestError> {
    let io = |source| ManifestError::Io { path: path.to_path_buf(), source };
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && position.offset == 0 => {
            return Ok((Vec::new(), position));
        }
        Err(error) => return Err(io(error)),
    };
    if file.metadata().map_err(io)?.len() < position.offset {
        position = ManifestPosition::default();
    }
    file.seek(SeekFrom::Start(position.offset)).map_err(io)?;
    let mut reader = BufReader::new(file);
    let mut segments: Vec<SegmentManifest> = Vec::new();
    loop {
        let number = position.lines + 1;
        let mut line = Vec::new();
        let read = reader.by_ref().take(MANIFEST_LINE_BYTES_MAX).read_until(b'\n', &mut line).map_err(io)?;
        if read == 0 || line.last() != Some(&b'\n') && read < MANIFEST_LINE_BYTES_MAX as usize {
            return Ok((segments, position));
        }
        let signed: SignedLine = serde_json::from_slice(&line)
            .map_err(|_| ManifestError::Line { path: path.to_path_buf(), line: number })?;
        let segment = signed.segment;
        let valid = segment.collector.verify(&segment.message(), &signed.signature).is_ok();
        if !position.is_followed_by(&segment) || !valid {
            return Err(ManifestError::Forged { path: path.to_path_buf(), line: number });
        }
        position = ManifestPosition {
            offset: position.offset + read as u64,
            lines: number,
            last: Some((segment.sequence, segment.cid)),
        };
        segments.push(segment);
    }
}

/// The manifest of a source, open for appending.
#[derive(Debug)]
pub(super) struct Manifest {
    file: File,
    path: PathBuf,
    /// Number of the next segment.
    pub(super) next: u64,
    /// The last segment.
    pub(super) last: Option<ContentId>,
}

impl Manifest {
    /// Opens it where the last run left it. A line that a crash cut off is removed; a file that is not ours (another key, or
    /// damaged) is set aside and a new one begun, because a signed chain cannot go on over a hole.
    pub(super) fn open(dir: &Path, exchange: Exchange, key: &ValidatorKey) -> Result<Manifest, ManifestError> {
        let path = dir.join(format!("{exchange}.manifest.jsonl"));
        let io = |source| ManifestError::Io { path: path.clone(), source };
        std::fs::create_dir_all(dir).map_err(io)?;
        let mut segments = Vec::new();
        if path.exists() {
            match read_manifests(&path) {
                Ok(read) if read.iter().all(|s| s.collector == key.public()) => segments = read,
                // Whether it is whole is not known: to begin another would end a chain that may hold.
                Err(error @ ManifestError::Io { .. }) => return Err(error),
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

    pub(super) fn append(&mut self, segment: SegmentManifest, key: &ValidatorKey) -> Result<(), ManifestError> {
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
