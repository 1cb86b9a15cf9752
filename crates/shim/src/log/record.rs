//! One record: its bytes and back.

use serde::{Deserialize, Serialize};

/// Longest text of one record, bytes; a longer line becomes several. As in the logs of container runtimes.
pub const LINE_BYTES_MAX: usize = 16 << 10;
/// Longest record, bytes: two numbers of twenty digits, three blanks, two letters, a newline, the text.
pub(crate) const RECORD_BYTES_MAX: usize = LINE_BYTES_MAX + 48;

/// Origin of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Standard output of the application.
    Stdout,
    /// Standard error of the application.
    Stderr,
    /// Words of the shim and its helpers.
    Shim,
}

impl Stream {
    fn letter(self) -> u8 {
        match self {
            Stream::Stdout => b'o',
            Stream::Stderr => b'e',
            Stream::Shim => b's',
        }
    }

    fn from_letter(letter: u8) -> Option<Stream> {
        match letter {
            b'o' => Some(Stream::Stdout),
            b'e' => Some(Stream::Stderr),
            b's' => Some(Stream::Shim),
            _ => None,
        }
    }
}

/// Record of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Number in the instance's log.
    pub sequence: u64,
    /// Time at which the shim read it, microseconds since 1970.
    pub time_us: u64,
    /// Origin.
    pub stream: Stream,
    /// The line goes on in the next record of its stream.
    pub goes_on: bool,
    /// Text without a newline, at most [`LINE_BYTES_MAX`] bytes.
    pub text: &'a [u8],
}

impl<'a> Record<'a> {
    /// Appends the record's bytes, its newline included.
    pub fn encode(&self, out: &mut Vec<u8>) {
        decimal(self.sequence, out);
        out.push(b' ');
        decimal(self.time_us, out);
        out.extend_from_slice(&[b' ', self.stream.letter(), if self.goes_on { b'+' } else { b'.' }, b' ']);
        out.extend_from_slice(self.text);
        out.push(b'\n');
    }

    /// Reads a record from a line without its newline; none where the line is no record.
    pub fn decode(line: &'a [u8]) -> Option<Record<'a>> {
        let (sequence, rest) = number(line)?;
        let (time_us, rest) = number(rest)?;
        let (head, text) = rest.split_at_checked(3)?;
        let goes_on = match head[1] {
            b'+' => true,
            b'.' => false,
            _ => return None,
        };
        let stream = Stream::from_letter(head[0])?;
        (head[2] == b' ' && text.len() <= LINE_BYTES_MAX).then_some(Record { sequence, time_us, stream, goes_on, text })
    }
}

/// Appends a number in decimal. The formatting machinery takes five times as long, and this runs a million times a second.
fn decimal(mut value: u64, out: &mut Vec<u8>) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(value % 10).unwrap_or_default();
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Reads a decimal number and the blank after it.
fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (index, byte) in bytes.iter().enumerate() {
        match byte {
            b'0'..=b'9' => value = value.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?,
            b' ' if index > 0 => return Some((value, &bytes[index + 1..])),
            _ => return None,
        }
    }
    None
}
