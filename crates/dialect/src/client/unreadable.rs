//! The error of a frame that cannot be read.

use openmesh_primitives::{DecimalError, TimestampError};

/// Characters of a frame that are quoted in an incident: enough to recognise the message, short enough for a log line.
const EXCERPT_CHARS_MAX: usize = 160;

/// The reason for which a frame could not be read; the text is for people and ends in an incident's detail.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unreadable(pub String);

impl From<serde_json::Error> for Unreadable {
    fn from(error: serde_json::Error) -> Unreadable {
        Unreadable(error.to_string())
    }
}

impl From<DecimalError> for Unreadable {
    fn from(error: DecimalError) -> Unreadable {
        Unreadable(error.to_string())
    }
}

impl From<TimestampError> for Unreadable {
    fn from(error: TimestampError) -> Unreadable {
        Unreadable(error.to_string())
    }
}
/// The beginning of a message, for an incident's detail.
pub(crate) fn excerpt(data: &[u8]) -> String {
    let head = &data[..data.len().min(EXCERPT_CHARS_MAX * 4)];
    let text = String::from_utf8_lossy(head);
    let mut short: String = text.chars().take(EXCERPT_CHARS_MAX).collect();
    if short.len() < text.len() || head.len() < data.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpts_are_short() {
        let long = excerpt(&[b'x'; 10_000]);
        assert_eq!(long.chars().count(), EXCERPT_CHARS_MAX + 1);
        assert_eq!(excerpt(&[0xff, b'a']), "\u{fffd}a");
    }
}
