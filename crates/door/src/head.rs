//! Strict reading of the head of a request by HTTP/1 (RFC 9112): one meaning or none.
//!
//! Smuggling lives from two parsers that read one text in two ways. So this reader refuses whatever RFC 9112 lets a recipient repair:
//! bare line feeds, folded lines, spaces around names, lists of lengths, several codings, a second host.

use std::fmt;

use crate::host::Authority;
use crate::limits::{FIELDS_MAX, HEAD_BYTES_MAX, TARGET_BYTES_MAX};

/// Length of a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// As many bytes.
    Fixed(u64),
    /// Chunks.
    Chunked,
}

/// A head that has one meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Length of the body.
    pub length: Length,
    /// It asks for another protocol, which is not HTTP/2, and has no body.
    pub upgrade: bool,
}

/// Fault of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A line that does not end with CR LF, or a CR or LF in a line.
    LineEnd,
    /// A field that goes on in a second line.
    Folded,
    /// A request line other than `METHOD TARGET HTTP/1.1`.
    RequestLine,
    /// A version other than HTTP/1.0 and HTTP/1.1.
    Version,
    /// CONNECT.
    Connect,
    /// A target that is no path, no URL of HTTP, or has characters that must be encoded.
    Target,
    /// A target above [`TARGET_BYTES_MAX`].
    TargetTooLong,
    /// A head above [`HEAD_BYTES_MAX`] or [`FIELDS_MAX`].
    HeadTooLarge,
    /// A field whose name is no token, or whose value has control characters.
    Field,
    /// No `Host`.
    NoHost,
    /// More than one `Host`.
    TwoHosts,
    /// A `Host` that is no host.
    BadHost,
    /// A `Host` other than the target's.
    OtherHost,
    /// A `Content-Length` that is not one number.
    Length,
    /// `Content-Length` and `Transfer-Encoding`.
    LengthAndCoding,
    /// A `Transfer-Encoding` other than `chunked`.
    Coding,
    /// A chunk or a trailer that is malformed.
    Chunk,
}

impl Fault {
    /// Status of the answer.
    pub fn status(self) -> u16 {
        match self {
            Fault::TargetTooLong => 414,
            Fault::HeadTooLarge => 431,
            Fault::Version => 505,
            Fault::Connect => 405,
            Fault::Coding => 501,
            _ => 400,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::LineEnd => "a line of the request does not end with CR LF",
            Fault::Folded => "a field of the request goes on in a second line; send it in one",
            Fault::RequestLine => "the first line is no `METHOD TARGET HTTP/1.1`",
            Fault::Version => "only HTTP/1.0, HTTP/1.1 and HTTP/2 are spoken here",
            Fault::Connect => "CONNECT is not possible: this is no forward proxy",
            Fault::Target => "the target has characters that must be percent-encoded, or is neither a path nor a URL",
            Fault::TargetTooLong => "the target is longer than 16 KiB",
            Fault::HeadTooLarge => "the head has more than 64 KiB or 128 fields",
            Fault::Field => "a field has a malformed name or control characters in its value",
            Fault::NoHost => "the request has no Host field",
            Fault::TwoHosts => "the request has more than one Host field",
            Fault::BadHost => "the Host field is no host",
            Fault::OtherHost => "the Host field differs from the host of the target",
            Fault::Length => "the Content-Length is not one number",
            Fault::LengthAndCoding => "Content-Length and Transfer-Encoding exclude each other",
            Fault::Coding => "the only Transfer-Encoding of requests is `chunked`",
            Fault::Chunk => "a chunk or trailer of the body is malformed",
        })
    }
}

#[derive(Default)]
struct Fields<'a> {
    count: usize,
    host: Option<&'a str>,
    length: Option<u64>,
    chunked: bool,
    asks_upgrade: bool,
    protocol: Option<&'a str>,
}

/// Reads a head from its first byte to the empty line.
///
/// # Errors
/// The first fault found.
pub fn read(head: &[u8]) -> Result<Head, Fault> {
    if head.len() > HEAD_BYTES_MAX {
        return Err(Fault::HeadTooLarge);
    }
    let text = head.strip_suffix(b"\r\n\r\n").ok_or(Fault::LineEnd)?;
    let mut lines = Lines(Some(text));
    let (http11, authority) = request_line(lines.next().ok_or(Fault::RequestLine)??)?;
    let mut fields = Fields::default();
    for line in lines {
        field(line?, http11, &mut fields)?;
    }
    let host = Authority::parse(fields.host.ok_or(Fault::NoHost)?).ok_or(Fault::BadHost)?;
    if authority.is_some_and(|authority| authority != host) {
        return Err(Fault::OtherHost);
    }
    let length = match (fields.length, fields.chunked) {
        (Some(_), true) => return Err(Fault::LengthAndCoding),
        (None, true) => Length::Chunked,
        (length, false) => Length::Fixed(length.unwrap_or(0)),
    };
    let protocol = fields.protocol.filter(|protocol| !names_http2(protocol));
    let upgrade = http11 && fields.asks_upgrade && protocol.is_some() && length == Length::Fixed(0);
    Ok(Head { length, upgrade })
}

fn names_http2(protocols: &str) -> bool {
    protocols.split(',').any(|protocol| protocol.trim().eq_ignore_ascii_case("h2c"))
}

/// Lines between CR LF; a lone CR or LF is an error.
struct Lines<'a>(Option<&'a [u8]>);

impl<'a> Iterator for Lines<'a> {
    type Item = Result<&'a [u8], Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.0?;
        let end = rest.iter().position(|byte| *byte == b'\r' || *byte == b'\n');
        let Some(end) = end else {
            self.0 = None;
            return Some(Ok(rest));
        };
        if !rest[end..].starts_with(b"\r\n") {
            self.0 = None;
            return Some(Err(Fault::LineEnd));
        }
        self.0 = Some(&rest[end + 2..]);
        Some(Ok(&rest[..end]))
    }
}

/// Returns true for HTTP/1.1, and the authority of an absolute target.
fn request_line(line: &[u8]) -> Result<(bool, Option<Authority>), Fault> {
    let line = std::str::from_utf8(line).map_err(|_| Fault::Target)?;
    let mut parts = line.split(' ');
    let (Some(method), Some(target), Some(version), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Fault::RequestLine);
    };
    if method.is_empty() || method.len() > 32 || !method.bytes().all(is_token) {
        return Err(Fault::RequestLine);
    }
    let http11 = match version {
        "HTTP/1.1" => true,
        "HTTP/1.0" => false,
        _ if version.starts_with("HTTP/") => return Err(Fault::Version),
        _ => return Err(Fault::RequestLine),
    };
    if method == "CONNECT" {
        return Err(Fault::Connect);
    }
    if target.len() > TARGET_BYTES_MAX {
        return Err(Fault::TargetTooLong);
    }
    if target.is_empty() || !target.bytes().all(|byte| (0x21..=0x7e).contains(&byte) && byte != b'#') {
        return Err(Fault::Target);
    }
    Ok((http11, authority_of(method, target)?))
}

fn authority_of(method: &str, target: &str) -> Result<Option<Authority>, Fault> {
    if target.starts_with('/') || (target == "*" && method == "OPTIONS") {
        return Ok(None);
    }
    let lower = target.get(..8).unwrap_or(target).to_ascii_lowercase();
    let scheme = ["http://", "https://"].into_iter().find(|scheme| lower.starts_with(scheme)).ok_or(Fault::Target)?;
    let rest = &target[scheme.len()..];
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    Authority::parse(&rest[..end]).map(Some).ok_or(Fault::BadHost)
}

fn field<'a>(line: &'a [u8], http11: bool, fields: &mut Fields<'a>) -> Result<(), Fault> {
    fields.count += 1;
    if fields.count > FIELDS_MAX {
        return Err(Fault::HeadTooLarge);
    }
    let (name, value) = split_field(line)?;
    // Values that matter for framing are ASCII; others may have any byte above 0x7f.
    let text = || std::str::from_utf8(value).map_err(|_| Fault::Field);
    if name.eq_ignore_ascii_case(b"host") {
        if fields.host.replace(text()?).is_some() {
            return Err(Fault::TwoHosts);
        }
    } else if name.eq_ignore_ascii_case(b"content-length") {
        if fields.length.replace(number(value)?).is_some() {
            return Err(Fault::Length);
        }
    } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
        if !value.eq_ignore_ascii_case(b"chunked") || fields.chunked || !http11 {
            return Err(Fault::Coding);
        }
        fields.chunked = true;
    } else if name.eq_ignore_ascii_case(b"connection") {
        fields.asks_upgrade |= text()?.split(',').any(|word| word.trim().eq_ignore_ascii_case("upgrade"));
    } else if name.eq_ignore_ascii_case(b"upgrade") && fields.protocol.replace(text()?).is_some() {
        return Err(Fault::Field);
    }
    Ok(())
}

/// Name and value of a field line, without the space around the value.
///
/// # Errors
/// [`Fault::Folded`] and [`Fault::Field`].
pub(crate) fn split_field(line: &[u8]) -> Result<(&[u8], &[u8]), Fault> {
    if line.first().is_some_and(|byte| *byte == b' ' || *byte == b'\t') {
        return Err(Fault::Folded);
    }
    let colon = line.iter().position(|byte| *byte == b':').ok_or(Fault::Field)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let value_is_good = value.iter().all(|byte| *byte == b'\t' || (*byte >= 0x20 && *byte != 0x7f));
    if name.is_empty() || !name.iter().copied().all(is_token) || !value_is_good {
        return Err(Fault::Field);
    }
    Ok((name, value.trim_ascii()))
}

fn number(value: &[u8]) -> Result<u64, Fault> {
    if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
        return Err(Fault::Length);
    }
    Ok(value.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

/// Returns true for a character of a token (RFC 9110, section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
