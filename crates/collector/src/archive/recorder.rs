//! Raw lines on their way into a segment, in the format of recordings.

use data_encoding::BASE64;
use openmesh_market::Exchange;
use openmesh_primitives::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;

/// A segment is closed beyond this many raw bytes.
const SEGMENT_BYTES_MAX: usize = 1 << 20;

/// Returns the recorder's word for a venue, so that a segment is read as any recording is.
const fn recorded_name(exchange: Exchange) -> &'static str {
    match exchange {
        Exchange::Binance => "BINANCE",
        Exchange::BinanceFutures => "BINANCE_FUTURES",
        Exchange::Coinbase => "COINBASE",
        Exchange::Kraken => "KRAKEN",
        Exchange::Bybit => "BYBIT",
        Exchange::Okx => "OKX",
        Exchange::BinanceUs => "BINANCE_US",
        Exchange::BinanceTr => "BINANCE_TR",
        Exchange::BinanceDelivery => "BINANCE_DELIVERY",
        Exchange::Okcoin => "OKCOIN",
    }
}

/// Raw lines of a source on their way into a segment.
#[derive(Debug)]
pub(crate) struct Recorder {
    exchange: Exchange,
    text: String,
    lines: u64,
    first: Timestamp,
    last: Timestamp,
}

/// A full segment.
#[derive(Debug)]
pub(crate) struct Segment {
    /// JSON lines, a header line first.
    pub(super) text: String,
    pub(super) lines: u64,
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
}

#[derive(Serialize)]
struct RawLine<'a> {
    t: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    conn: Option<&'a str>,
    ts: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    addr: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    b64: Option<String>,
}

impl Recorder {
    pub(crate) fn new(exchange: Exchange) -> Recorder {
        let mut recorder =
            Recorder { exchange, text: String::new(), lines: 0, first: Timestamp(0), last: Timestamp(0) };
        recorder.begin();
        recorder
    }

    fn begin(&mut self) {
        let name = recorded_name(self.exchange);
        self.text.push_str(&format!("{{\"t\":\"header\",\"format\":2,\"exchange\":\"{name}\",\"config\":{{}}}}\n"));
    }

    pub(crate) fn received(&mut self, connection: &str, at: Timestamp, data: &[u8]) {
        self.line("recv", Some(connection), at, None, None, Some(data));
    }

    pub(crate) fn sent(&mut self, connection: &str, at: Timestamp, text: &str) {
        self.line("send", Some(connection), at, None, None, Some(text.as_bytes()));
    }

    pub(crate) fn connected(&mut self, connection: &str, at: Timestamp, url: &str) {
        self.line("connect", Some(connection), at, Some(url), None, None);
    }

    pub(crate) fn answered(&mut self, at: Timestamp, url: &str, body: &[u8]) {
        self.line("http", None, at, None, Some(url), Some(body));
    }

    fn line(
        &mut self,
        t: &str,
        conn: Option<&str>,
        at: Timestamp,
        addr: Option<&str>,
        url: Option<&str>,
        data: Option<&[u8]>,
    ) {
        let text = data.map(std::str::from_utf8);
        let b64 = data.filter(|_| text.as_ref().is_some_and(Result::is_err)).map(|data| BASE64.encode(data));
        // As raw text: a JSON number made from a float would lose the last digits.
        let Ok(ts) = RawValue::from_string(at.to_string()) else { return };
        let line = RawLine { t, conn, ts: &ts, addr, url, data: text.and_then(Result::ok), b64 };
        if let Ok(line) = serde_json::to_string(&line) {
            self.text.push_str(&line);
            self.text.push('\n');
            if self.lines == 0 {
                self.first = at;
            }
            self.last = at;
            self.lines += 1;
        }
    }

    /// Returns true when the segment is large enough to be closed.
    pub(crate) fn is_full(&self) -> bool {
        self.text.len() >= SEGMENT_BYTES_MAX
    }

    /// Returns the lines recorded since the last time; `None` where there are none.
    pub(crate) fn take(&mut self) -> Option<Segment> {
        if self.lines == 0 {
            return None;
        }
        let text = std::mem::take(&mut self.text);
        let segment = Segment { text, lines: self.lines, first: self.first, last: self.last };
        self.lines = 0;
        self.begin();
        Some(segment)
    }
}
