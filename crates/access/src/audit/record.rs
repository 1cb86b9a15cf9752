//! A record, its line in a file, and its hash.

use openmesh_primitives::{Digest, Timestamp, sha256};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::role::Role;

/// Beginning of what is hashed, so that the hash of a record is that of nothing else.
const DOMAIN: &[u8] = b"openmesh audit 1 ";
/// Text before the hash in a line.
const BEFORE_HASH: &str = "{\"hash\":\"";
/// Text between the hash and the record.
const BEFORE_RECORD: &str = "\",\"record\":";
/// Digits of a hash.
const HASH_CHARS: usize = 64;

/// Kind of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = AuditKind)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A file begins; `previous` is the last hash of the file before.
    File,
    /// The line before was cut by a power cut or a death; its bytes and hash are named.
    Torn,
    /// A change begins.
    Begun,
    /// A change has ended, with a status of HTTP.
    Ended,
    /// A request was refused before it began.
    Refused,
}

/// A record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = AuditRecord)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Number, from 1.
    pub sequence: u64,
    /// Moment, by the wall clock.
    #[schema(value_type = String, format = "seconds")]
    pub at: Timestamp,
    /// Kind.
    pub kind: Kind,
    /// Whoever asked: a wallet, a key, root, or nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// Their role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Place from which they asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Method of HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Path, without its query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Number of the record with which it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<u64>,
    /// Status of HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Stable word of a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Refusals before this one that were too many to be recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unrecorded: Option<u64>,
    /// Number of the file that begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<u64>,
    /// Bytes of the line that was cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Hash (SHA-256) of the line that was cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "sha256")]
    pub cut: Option<Digest>,
    /// Hash of the record before; zeros for the first.
    #[schema(value_type = String, format = "sha256")]
    pub previous: Digest,
}

impl Record {
    /// A record of a kind, with nothing in it.
    pub(crate) fn new(after: &Head, at: Timestamp, kind: Kind) -> Record {
        Record {
            sequence: after.sequence.saturating_add(1),
            at,
            kind,
            who: None,
            role: None,
            from: None,
            method: None,
            path: None,
            of: None,
            status: None,
            code: None,
            unrecorded: None,
            file: None,
            bytes: None,
            cut: None,
            previous: after.hash,
        }
    }

    /// Its line, with the break at its end, and the head of a log that ends with it.
    pub(crate) fn line(&self) -> (String, Head) {
        let record = serde_json::to_string(self).unwrap_or_default();
        let hash = sha256(&[DOMAIN, record.as_bytes()]);
        (format!("{BEFORE_HASH}{hash}{BEFORE_RECORD}{record}}}\n"), Head { sequence: self.sequence, hash })
    }

    /// Reads a line without its break: the record, and the hash that the line has. None where it is not of the form, or the hash is not the record's.
    pub(crate) fn parse(line: &[u8]) -> Option<(Record, Head)> {
        let text = std::str::from_utf8(line).ok()?;
        let (hash, rest) = text.strip_prefix(BEFORE_HASH)?.split_at_checked(HASH_CHARS)?;
        let record = rest.strip_prefix(BEFORE_RECORD)?.strip_suffix('}')?;
        let found = sha256(&[DOMAIN, record.as_bytes()]);
        if found.to_string() != hash {
            return None;
        }
        let record: Record = serde_json::from_str(record).ok()?;
        let head = Head { sequence: record.sequence, hash: found };
        Some((record, head))
    }
}

/// End of a log: number and hash of its last record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = AuditHead)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Number; 0 before the first record.
    pub sequence: u64,
    /// Hash; zeros before the first record.
    #[schema(value_type = String, format = "sha256")]
    pub hash: Digest,
}

impl Head {
    /// Size of its file, bytes: one that never changes, so that it is written in its place and within one sector.
    pub(crate) const FILE_BYTES: usize = 96;

    /// Content of its file.
    pub(crate) fn to_file(self) -> String {
        let text = format!("{:020} {}", self.sequence, self.hash);
        format!("{text:<width$}\n", width = Head::FILE_BYTES - 1)
    }

    /// Reads the content of its file.
    pub(crate) fn of_file(bytes: &[u8]) -> Option<Head> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (sequence, hash) = text.trim_end().split_once(' ')?;
        Some(Head { sequence: sequence.parse().ok()?, hash: hash.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_back_and_no_other_one_is() {
        let mut record = Record::new(&Head::default(), Timestamp::from_millis(5), Kind::Begun);
        record.who = Some("0xf39F".into());
        record.path = Some("/v1/xnode/applications/web".into());
        let (line, head) = record.line();
        assert!(line.ends_with("}\n") && !line[..line.len() - 1].contains('\n'));
        let bytes = line.trim_end().as_bytes();
        assert_eq!(Record::parse(bytes), Some((record, head)));
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.to_vec();
                changed[at] ^= 1 << bit;
                assert_eq!(Record::parse(&changed), None, "byte {at}, bit {bit}");
            }
            assert_eq!(Record::parse(&bytes[..at]), None);
        }
    }

    #[test]
    fn the_format_is_the_one_of_the_specification() {
        let mut record = Record::new(&Head::default(), Timestamp::from_millis(1_500), Kind::File);
        record.file = Some(1);
        let zeros = "0".repeat(64);
        let json = format!("{{\"sequence\":1,\"at\":\"1.5\",\"kind\":\"file\",\"file\":1,\"previous\":\"{zeros}\"}}");
        let hash = sha256(&[DOMAIN, json.as_bytes()]);
        assert_eq!(record.line().0, format!("{{\"hash\":\"{hash}\",\"record\":{json}}}\n"));
    }

    #[test]
    fn a_head_has_one_size() {
        for sequence in [0, 7, u64::MAX] {
            let head = Head { sequence, hash: sha256(&[b"x"]) };
            assert_eq!(head.to_file().len(), Head::FILE_BYTES);
            assert_eq!(Head::of_file(head.to_file().as_bytes()), Some(head));
        }
        assert_eq!(Head::of_file(b""), None);
        assert_eq!(Head::of_file(&[0; Head::FILE_BYTES]), None);
    }
}
