//! Recordings of a venue's traffic: one JSON object a line, in order of time.
//!
//! `t` is `header`, `http` (`url`, `data`), `connect` (`addr`), `send` or `recv`; `conn` names the connection; `ts` is
//! the time of capture in seconds; `data` is the exact text of the message, `b64` a binary frame.

use openmesh_primitives::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

/// One line of a recording.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// First line: the venue's name and what was subscribed to, in the recorder's own words.
    Header {
        /// The recorder's name of the venue: `KRAKEN`, `BINANCE_FUTURES`.
        exchange: String,
    },
    /// An answer over HTTP.
    Http {
        /// Time of capture.
        at: Timestamp,
        /// Address.
        url: String,
        /// Body.
        data: Vec<u8>,
    },
    /// A connection was opened.
    Connect {
        /// Time of capture.
        at: Timestamp,
        /// Connection.
        connection: String,
        /// Address.
        url: String,
    },
    /// A message was sent.
    Send {
        /// Time of capture.
        at: Timestamp,
        /// Connection.
        connection: String,
        /// Text.
        text: String,
    },
    /// A message was received.
    Receive {
        /// Time of capture.
        at: Timestamp,
        /// Connection.
        connection: String,
        /// Bytes.
        data: Vec<u8>,
    },
}

/// Why a line is not one of a recording.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// Not the JSON that is expected.
    #[error("not a line of a recording: {0}")]
    Json(#[from] serde_json::Error),
    /// A field that this kind of line must have is absent or not what it should be.
    #[error("a {kind:?} line without a usable {field:?}")]
    Field {
        /// Kind of line.
        kind: String,
        /// Field.
        field: &'static str,
    },
    /// A kind that is not known.
    #[error("{0:?} is no kind of line: header, http, connect, send, recv are")]
    Kind(String),
}

#[derive(Deserialize)]
struct Raw<'a> {
    t: String,
    #[serde(borrow)]
    ts: Option<&'a RawValue>,
    conn: Option<String>,
    addr: Option<String>,
    url: Option<String>,
    data: Option<String>,
    b64: Option<String>,
    exchange: Option<String>,
}

impl Line {
    /// Reads one line.
    pub fn parse(line: &str) -> Result<Line, LineError> {
        let raw: Raw<'_> = serde_json::from_str(line)?;
        let kind = raw.t.clone();
        let missing = |field: &'static str| LineError::Field { kind: kind.clone(), field };
        // The recorder's clock is printed as a float: digits below a nanosecond carry nothing and are cut off.
        let at = || {
            let text = raw.ts.map(RawValue::get).ok_or_else(|| missing("ts"))?;
            let cut = text.find('.').map_or(text, |dot| &text[..text.len().min(dot + 10)]);
            Timestamp::parse_seconds(cut.as_bytes()).map_err(|_| missing("ts"))
        };
        let connection = || raw.conn.clone().ok_or_else(|| missing("conn"));
        let bytes = || match (&raw.data, &raw.b64) {
            (Some(data), _) => Ok(data.clone().into_bytes()),
            (None, Some(b64)) => decode_base64(b64).ok_or_else(|| missing("b64")),
            (None, None) => Err(missing("data")),
        };
        match raw.t.as_str() {
            "header" => Ok(Line::Header { exchange: raw.exchange.clone().ok_or_else(|| missing("exchange"))? }),
            "http" => Ok(Line::Http { at: at()?, url: raw.url.clone().ok_or_else(|| missing("url"))?, data: bytes()? }),
            "connect" => Ok(Line::Connect {
                at: at()?,
                connection: connection()?,
                url: raw.addr.clone().ok_or_else(|| missing("addr"))?,
            }),
            "send" => Ok(Line::Send {
                at: at()?,
                connection: connection()?,
                text: raw.data.clone().ok_or_else(|| missing("data"))?,
            }),
            "recv" => Ok(Line::Receive { at: at()?, connection: connection()?, data: bytes()? }),
            other => Err(LineError::Kind(other.chars().take(20).collect())),
        }
    }
}

/// Standard base64 with padding (RFC 4648, section 4).
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut held) = (0u32, 0u32);
    for byte in text.bytes() {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(six);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    Some(bytes)
}
