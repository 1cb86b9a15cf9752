//! The frames of a client's side of an HTTP/1 connection: where heads, bodies, chunks and trailers begin and end.

use crate::fields::WEIGHTY;
use crate::head::{self, Fault, Length};
use crate::limits::{CHUNK_LINE_BYTES_MAX, HEAD_BYTES_MAX, TRAILER_BYTES_MAX};

/// Place in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Between the first and the last byte of a head.
    Head,
    /// In a body, with as many bytes to come.
    Body(u64),
    /// In the coding of a chunked body.
    Coding,
    /// After a head that asks for another protocol, until it is known whether it gets it.
    Undecided,
    /// In another protocol.
    Raw,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    Fixed(u64),
    Size,
    Data(u64),
    DataEnd,
    Trailer,
    Undecided,
    Raw,
}

/// A reader of frames. Bytes of heads, sizes and trailers leave it when they are whole and were found good.
#[derive(Debug)]
pub struct Framing {
    state: State,
    /// Bytes of a line or head that is not whole yet.
    part: Vec<u8>,
    heads: u64,
}

impl Default for Framing {
    fn default() -> Framing {
        Framing { state: State::Head, part: Vec::new(), heads: 0 }
    }
}

impl Framing {
    /// A reader of another protocol: everything passes.
    pub fn raw() -> Framing {
        Framing { state: State::Raw, ..Framing::default() }
    }

    /// Number of good heads so far.
    pub fn heads(&self) -> u64 {
        self.heads
    }

    /// Place in the stream.
    pub fn place(&self) -> Place {
        match self.state {
            State::Head => Place::Head,
            State::Fixed(left) | State::Data(left) => Place::Body(left),
            State::Size | State::DataEnd | State::Trailer => Place::Coding,
            State::Undecided => Place::Undecided,
            State::Raw => Place::Raw,
        }
    }

    /// Takes a step of [`Place::Undecided`]: another protocol begins, or HTTP goes on.
    pub fn decide(&mut self, upgraded: bool) {
        if self.state == State::Undecided {
            self.state = if upgraded { State::Raw } else { State::Head };
        }
    }

    /// Counts bytes of a body that did not pass through [`Framing::push`].
    pub fn passed(&mut self, bytes: u64) {
        match &mut self.state {
            State::Fixed(left) | State::Data(left) => {
                *left = left.saturating_sub(bytes);
                self.leave_body();
            }
            _ => {}
        }
    }

    /// Takes bytes, appends those that may pass to `out`, and returns how many it took: all but those after a head that asks for another
    /// protocol.
    ///
    /// # Errors
    /// The fault of the request; nothing may follow it.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, Fault> {
        let mut taken = 0;
        while taken < input.len() && self.state != State::Undecided {
            let rest = &input[taken..];
            taken += match self.state {
                State::Head => self.head(rest, out)?,
                State::Fixed(left) | State::Data(left) => {
                    let count = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    out.extend_from_slice(&rest[..count]);
                    self.passed(count as u64);
                    count
                }
                State::Size | State::DataEnd | State::Trailer => self.line(rest, out)?,
                State::Undecided => 0,
                State::Raw => {
                    out.extend_from_slice(rest);
                    rest.len()
                }
            };
        }
        Ok(taken)
    }

    fn leave_body(&mut self) {
        match self.state {
            State::Fixed(0) => self.state = State::Head,
            State::Data(0) => self.state = State::DataEnd,
            _ => {}
        }
    }

    fn head(&mut self, rest: &[u8], out: &mut Vec<u8>) -> Result<usize, Fault> {
        let before = self.part.len();
        let take = rest.len().min(HEAD_BYTES_MAX + 1 - before);
        self.part.extend_from_slice(&rest[..take]);
        // The end may lie across both parts.
        let from = before.saturating_sub(3);
        let Some(end) = self.part[from..].windows(4).position(|four| four == b"\r\n\r\n") else {
            return match () {
                () if self.part.len() > HEAD_BYTES_MAX => Err(Fault::HeadTooLarge),
                () if has_lone_end(&self.part[from..]) => Err(Fault::LineEnd),
                () => Ok(take),
            };
        };
        self.part.truncate(from + end + 4);
        let head = head::read(&self.part)?;
        self.heads += 1;
        out.extend_from_slice(&self.part);
        let used = self.part.len() - before;
        self.part.clear();
        self.state = match head.length {
            _ if head.upgrade => State::Undecided,
            Length::Chunked => State::Size,
            Length::Fixed(0) => State::Head,
            Length::Fixed(bytes) => State::Fixed(bytes),
        };
        Ok(used)
    }

    fn line(&mut self, rest: &[u8], out: &mut Vec<u8>) -> Result<usize, Fault> {
        let max = if self.state == State::Trailer { TRAILER_BYTES_MAX } else { CHUNK_LINE_BYTES_MAX };
        let end = rest.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
        let used = end.unwrap_or(rest.len());
        self.part.extend_from_slice(&rest[..used]);
        if self.part.len() > max {
            return Err(Fault::Chunk);
        }
        if end.is_none() {
            return Ok(used);
        }
        let line = self.part.strip_suffix(b"\r\n").ok_or(Fault::Chunk)?;
        if line.contains(&b'\r') {
            return Err(Fault::Chunk);
        }
        self.state = match self.state {
            State::Size => match chunk_size(line)? {
                0 => State::Trailer,
                bytes => State::Data(bytes),
            },
            State::DataEnd if line.is_empty() => State::Size,
            State::Trailer if line.is_empty() => State::Head,
            State::Trailer if is_trailer(line) => State::Trailer,
            _ => return Err(Fault::Chunk),
        };
        out.append(&mut self.part);
        Ok(used)
    }
}

/// Returns true for a line feed without a carriage return before it.
fn has_lone_end(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|two| two[1] == b'\n' && two[0] != b'\r') || bytes == b"\n"
}

/// Size of a chunk: at most 15 hexadecimal digits, then nothing or an extension of visible characters.
fn chunk_size(line: &[u8]) -> Result<u64, Fault> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let extension = &line[digits..];
    let good = extension.is_empty() || extension[0] == b';';
    if digits == 0 || digits > 15 || !good || extension.iter().any(|byte| !(0x20..0x7f).contains(byte)) {
        return Err(Fault::Chunk);
    }
    let digits = std::str::from_utf8(&line[..digits]).map_err(|_| Fault::Chunk)?;
    u64::from_str_radix(digits, 16).map_err(|_| Fault::Chunk)
}

/// Returns true for a field that may be a trailer: none that has a say in framing, routing or rights.
fn is_trailer(line: &[u8]) -> bool {
    head::split_field(line)
        .is_ok_and(|(name, _)| !WEIGHTY.iter().any(|never| name.eq_ignore_ascii_case(never.as_bytes())))
}
