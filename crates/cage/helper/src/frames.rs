//! Frames between whoever asks for a process beside the first one and this program (X-91).
//!
//! A kind of one byte, a length of four in network order, so many bytes. The first frame is the request. The end of the asker's stream is the
//! asker's end: whoever only has no more input says so by a frame.

use std::io::{self, Read, Write};

use serde_json::Value;

/// Longest payload, bytes: what a pipe holds, so that one reading fits.
pub const FRAME_BYTES_MAX: usize = 64 << 10;
/// Bytes before a payload.
pub const HEAD_BYTES: usize = 5;

/// Kinds of the frames that come.
pub mod from_asker {
    /// The request, in JSON.
    pub const REQUEST: u8 = 0;
    /// Input.
    pub const INPUT: u8 = 1;
    /// No more input.
    pub const END_OF_INPUT: u8 = 2;
    /// Columns and rows of the terminal, two bytes each.
    pub const WINDOW: u8 = 3;
    /// Number of a signal, one byte.
    pub const SIGNAL: u8 = 4;
}

/// Kinds of the frames that go.
pub mod to_asker {
    /// Output; all of it where there is a terminal.
    pub const OUTPUT: u8 = 0x11;
    /// Error output.
    pub const ERROR_OUTPUT: u8 = 0x12;
    /// It has ended: four bytes of its code, which is 128 and the number of the signal where one ended it.
    pub const ENDED: u8 = 0x13;
    /// It was not started: a sentence.
    pub const REFUSED: u8 = 0x14;
    /// It has started: four bytes of its number on the host.
    pub const STARTED: u8 = 0x15;
}

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its kind.
    pub kind: u8,
    /// Its payload.
    pub payload: Vec<u8>,
}

/// Bytes of which frames are taken as they become whole.
#[derive(Debug, Default)]
pub struct Frames {
    bytes: Vec<u8>,
}

impl Frames {
    /// Adds bytes that have come.
    pub fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes the next whole frame; none where more has to come.
    ///
    /// # Errors
    /// Its length is beyond [`FRAME_BYTES_MAX`].
    pub fn take(&mut self) -> io::Result<Option<Frame>> {
        let Some((head, rest)) = self.bytes.split_first_chunk::<HEAD_BYTES>() else { return Ok(None) };
        let [kind, a, b, c, d] = *head;
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        if length > FRAME_BYTES_MAX {
            return Err(io::Error::other(format!("a frame of {length} bytes, at most {FRAME_BYTES_MAX} are taken")));
        }
        let Some(payload) = rest.get(..length).map(<[u8]>::to_vec) else { return Ok(None) };
        self.bytes.drain(..HEAD_BYTES + length);
        Ok(Some(Frame { kind, payload }))
    }
}

/// Writes one frame, at most [`FRAME_BYTES_MAX`] of its payload.
///
/// # Errors
/// The reader has gone.
pub fn write(to: &mut impl Write, kind: u8, payload: &[u8]) -> io::Result<()> {
    let payload = payload.get(..FRAME_BYTES_MAX).unwrap_or(payload);
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(HEAD_BYTES + payload.len());
    bytes.push(kind);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(payload);
    to.write_all(&bytes)?;
    to.flush()
}

/// Process that is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Variables beside those of the bundle, `NAME=value`.
    pub environment: Vec<String>,
    /// Working directory; the bundle's without one.
    pub folder: Option<String>,
    /// Columns and rows of its terminal; none without a terminal.
    pub terminal: Option<(u16, u16)>,
}

impl Request {
    /// Reads a request.
    ///
    /// # Errors
    /// It is no request, or holds what cannot be passed to a program.
    pub fn parse(bytes: &[u8]) -> Result<Request, String> {
        let value: Value = serde_json::from_slice(bytes).map_err(|cause| format!("no request: {cause}"))?;
        let texts = |key: &str| -> Result<Vec<String>, String> {
            let items = value.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
            let text = |item: &Value| item.as_str().filter(|text| !text.contains('\0')).map(str::to_string);
            items.iter().map(|item| text(item).ok_or_else(|| format!("`{key}` holds what is no text"))).collect()
        };
        let number = |value: &Value| value.as_u64().and_then(|number| u16::try_from(number).ok());
        let pair = |value: &Value| Some((number(value.get(0)?)?, number(value.get(1)?)?));
        let request = Request {
            command: texts("command")?,
            environment: texts("environment")?,
            folder: value.get("folder").and_then(Value::as_str).map(str::to_string),
            terminal: value.get("terminal").and_then(pair),
        };
        if request.command.first().is_none_or(String::is_empty) {
            return Err("the command is empty".into());
        }
        if request.folder.as_ref().is_some_and(|folder| !folder.starts_with('/') || folder.contains('\0')) {
            return Err("the working directory has to begin with /".into());
        }
        if request.environment.iter().any(|line| line.split_once('=').is_none_or(|(name, _)| name.is_empty())) {
            return Err("a variable is NAME=value".into());
        }
        Ok(request)
    }
}

/// Reads frames from a stream until the request has come.
///
/// # Errors
/// The stream ended before, or began with something else.
pub fn request(from: &mut impl Read, frames: &mut Frames) -> Result<Request, String> {
    let mut part = [0; 4 << 10];
    loop {
        if let Some(frame) = frames.take().map_err(|cause| cause.to_string())? {
            return match frame.kind {
                from_asker::REQUEST => Request::parse(&frame.payload),
                kind => Err(format!("the first frame is of kind {kind}, and no request")),
            };
        }
        match from.read(&mut part) {
            Ok(0) => return Err("whoever asks has ended before the request was whole".into()),
            Ok(count) => frames.add(part.get(..count).unwrap_or_default()),
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(cause.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_whole_whatever_the_pieces() {
        let mut bytes = Vec::new();
        write(&mut bytes, from_asker::INPUT, b"abc").unwrap();
        write(&mut bytes, from_asker::END_OF_INPUT, b"").unwrap();
        for size in 1..bytes.len() {
            let (mut frames, mut found) = (Frames::default(), Vec::new());
            for piece in bytes.chunks(size) {
                frames.add(piece);
                while let Some(frame) = frames.take().unwrap() {
                    found.push(frame);
                }
            }
            assert_eq!(found.len(), 2);
            assert_eq!(found[0], Frame { kind: from_asker::INPUT, payload: b"abc".to_vec() });
            assert_eq!(found[1].kind, from_asker::END_OF_INPUT);
        }
        let mut frames = Frames::default();
        frames.add(&[1, 0xff, 0xff, 0xff, 0xff]);
        assert!(frames.take().is_err());
    }

    #[test]
    fn a_request_is_checked() {
        let parse = |text: &str| Request::parse(text.as_bytes());
        let whole = parse(r#"{"command":["sh"],"environment":["A=b"],"folder":"/tmp","terminal":[80,24]}"#).unwrap();
        assert_eq!((whole.command, whole.terminal), (vec!["sh".to_string()], Some((80, 24))));
        for text in [
            "{}",
            r#"{"command":[]}"#,
            r#"{"command":[""]}"#,
            r#"{"command":["a\u0000"]}"#,
            r#"{"command":["a"],"folder":"tmp"}"#,
            r#"{"command":["a"],"environment":["x"]}"#,
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
