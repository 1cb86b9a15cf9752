//! Recordings of a venue's traffic: one JSON object a line, in order of time.
//!
//! `t` is `header`, `http` (`url`, `data`), `connect` (`addr`), `send` or `recv`; `conn` names the connection; `ts` is
//! the time of capture in seconds; `data` is the exact text of the message, `b64` a binary frame.
//!
//! A [`Player`] feeds lines into a session as the collector would have done while they were recorded. What the session
//! wants to send goes nowhere: the recording holds what was sent then, and the answers to that.

use std::collections::{BTreeMap, BTreeSet};

use openmesh_market::ConnectionId;
use openmesh_market::event::Event;
use openmesh_primitives::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::session::{Input, Output, Session};

/// HTTP status of the answers in a recording, which holds no others.
const STATUS: u16 = 200;

/// Plays a recording through a session.
pub struct Player {
    session: Box<dyn Session>,
    connections: BTreeMap<String, ConnectionId>,
    open: BTreeSet<ConnectionId>,
    output: Output,
}

impl Player {
    /// With a session that knows nothing yet; see [`crate::client::for_recording`].
    pub fn new(session: Box<dyn Session>) -> Player {
        Player { session, connections: BTreeMap::new(), open: BTreeSet::new(), output: Output::default() }
    }

    /// Takes the next line in and puts what it leads to at the end of `events`.
    pub fn line(&mut self, line: &Line, events: &mut Vec<Event>) {
        let (at, input) = match line {
            Line::Header { .. } => return,
            Line::Http { at, url, data } => (at, Input::Response { url, status: STATUS, body: data }),
            Line::Connect { at, connection, url } => {
                let connection = self.connection(connection);
                // Recorders write no line when a connection ends; that it is opened anew tells.
                if !self.open.insert(connection) {
                    self.session.handle(Input::Closed { connection }, *at, &mut self.output);
                }
                (at, Input::Opened { connection, url })
            }
            Line::Send { at, connection, text } => (at, Input::Sent { connection: self.connection(connection), text }),
            Line::Receive { at, connection, data } => {
                (at, Input::Frame { connection: self.connection(connection), data })
            }
        };
        self.session.handle(input, *at, &mut self.output);
        events.append(&mut self.output.events);
        self.output.actions.clear();
    }

    /// The session, to look at its books.
    pub fn session(&self) -> &dyn Session {
        &*self.session
    }

    fn connection(&mut self, name: &str) -> ConnectionId {
        if let Some(connection) = self.connections.get(name) {
            return *connection;
        }
        let connection = ConnectionId(self.connections.len() as u32);
        self.connections.insert(name.to_owned(), connection);
        connection
    }
}

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

/// The reason for which a line is not one of a recording.
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
            // Only digits are cut: what else may stand there is refused below, an exponent among it.
            let cut = match text.split_once('.') {
                Some((seconds, digits)) if digits.len() > 9 && digits.bytes().all(|b| b.is_ascii_digit()) => {
                    &text[..seconds.len() + 10]
                }
                _ => text,
            };
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

impl Line {
    /// Reads one line `<nanoseconds> <message>`, as hftbacktest's collector writes them. A REST book stands among the
    /// messages, without its address; `book_url` is what is taken for it.
    pub fn parse_timed(line: &str, book_url: &str) -> Result<Line, LineError> {
        let missing = |field: &'static str| LineError::Field { kind: "timed".to_owned(), field };
        let (at, message) = line.split_once(' ').ok_or_else(|| missing("message"))?;
        let at = Timestamp(at.parse().map_err(|_| missing("nanoseconds"))?);
        let data = message.trim_end().as_bytes().to_vec();
        if message.starts_with(r#"{"lastUpdateId""#) {
            return Ok(Line::Http { at, url: book_url.to_owned(), data });
        }
        Ok(Line::Receive { at, connection: "timed".to_owned(), data })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_every_kind() {
        let at = Timestamp::from_micros(1_618_678_132_358_447);
        let parse = |text: &str| Line::parse(text).unwrap();
        assert_eq!(
            parse(r#"{"t":"header","format":2,"exchange":"KRAKEN","config":{}}"#),
            Line::Header { exchange: "KRAKEN".into() }
        );
        assert_eq!(
            parse(r#"{"t":"http","conn":"x","ts":1618678132.358447,"url":"https://a","data":"{\"b\":1}"}"#),
            Line::Http { at, url: "https://a".into(), data: br#"{"b":1}"#.to_vec() }
        );
        assert_eq!(
            parse(r#"{"t":"recv","conn":"x","ts":1618678132.358447,"b64":"/wBB"}"#),
            Line::Receive { at, connection: "x".into(), data: vec![0xff, 0, b'A'] }
        );
        assert_eq!(
            parse(r#"{"t":"connect","conn":"x","ts":1618678132.358447,"addr":"wss://a"}"#),
            Line::Connect { at, connection: "x".into(), url: "wss://a".into() }
        );
        assert_eq!(
            parse(r#"{"t":"send","conn":"x","ts":1618678132.3584470000123,"addr":"a","data":"hi"}"#),
            Line::Send { at, connection: "x".into(), text: "hi".into() }
        );
    }

    /// A connection that is opened a second time has ended in between, and every book of it is out of step: nobody may
    /// go on with what came before without being told.
    #[test]
    fn opened_again_means_it_had_ended() {
        use openmesh_market::event::{EventKind, IncidentKind};
        let mut player = Player::new(crate::client::for_recording("BINANCE").unwrap());
        let at = Timestamp::from_millis(1);
        let mut events = Vec::new();
        let connection = "ws".to_owned();
        let opened = Line::Connect { at, connection: connection.clone(), url: "wss://stream.binance.com:9443".into() };
        let change = br#"{"stream":"a","data":{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":2,"u":2,"b":[],"a":[]}}"#;
        let book = br#"{"lastUpdateId":1,"bids":[["1","1"]],"asks":[["2","1"]]}"#;
        for line in [
            opened.clone(),
            Line::Receive { at, connection, data: change.to_vec() },
            Line::Http { at, url: "https://a/depth?symbol=BTCUSDT".into(), data: book.to_vec() },
        ] {
            player.line(&line, &mut events);
        }
        assert_eq!((events.len(), player.session().books().len()), (2, 1));
        player.line(&opened, &mut events);
        assert!(player.session().books().is_empty());
        assert!(
            matches!(&events[2].kind, EventKind::Incident(i) if i.kind == IncidentKind::Disconnected),
            "{events:?}"
        );
    }

    /// Found by reading for the fuzzer: a time was cut inside a letter, which stopped the reader; and an exponent was
    /// cut off.
    #[test]
    fn times_that_are_none() {
        for ts in ["\"1.\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\"", "\"1.5\"", "1.2345678901234e11"] {
            let line = format!(r#"{{"t":"recv","conn":"x","ts":{ts},"data":""}}"#);
            let told = Line::parse(&line).map(|l| format!("{l:?}")).unwrap_or_else(|e| e.to_string());
            let expected = [r#"a "recv" line without a usable "ts""#];
            assert!(expected.contains(&told.as_str()), "{ts}: {told}");
        }
    }

    #[test]
    fn timed_lines() {
        let at = Timestamp(1_723_161_254_206_652_067);
        let parse = |text| Line::parse_timed(text, "https://a/depth?symbol=BTCUSDT");
        assert_eq!(
            parse("1723161254206652067 {\"lastUpdateId\":5}\n").unwrap(),
            Line::Http { at, url: "https://a/depth?symbol=BTCUSDT".into(), data: b"{\"lastUpdateId\":5}".to_vec() }
        );
        assert_eq!(
            parse("1723161254206652067 {\"stream\":1}").unwrap(),
            Line::Receive { at, connection: "timed".into(), data: b"{\"stream\":1}".to_vec() }
        );
        assert!(parse("1723161254206652067").is_err() && parse("soon {}").is_err());
    }

    #[test]
    fn says_what_is_wrong_with_a_line() {
        for (text, expected) in [
            (r#"{"t":"recv","conn":"x","ts":1}"#, r#"a "recv" line without a usable "data""#),
            (r#"{"t":"recv","ts":1,"data":"x"}"#, r#"a "recv" line without a usable "conn""#),
            (r#"{"t":"send","conn":"x","ts":"soon","data":"x"}"#, r#"a "send" line without a usable "ts""#),
            (r#"{"t":"what"}"#, r#""what" is no kind of line: header, http, connect, send, recv are"#),
        ] {
            assert_eq!(Line::parse(text).unwrap_err().to_string(), expected);
        }
        assert!(Line::parse("1618678132 {}").unwrap_err().to_string().starts_with("not a line of a recording"));
    }
}
