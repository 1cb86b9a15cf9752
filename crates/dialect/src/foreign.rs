//! Recordings that others wrote down in their own form: without a header that names the venue, and without what was
//! asked over HTTP. What they are is told from their first line.
//!
//! - `<nanoseconds> <message>`: the collector of hftbacktest. A REST book stands among the messages without its address,
//!   so the address is made from the instrument that the other lines name.
//! - a message of Bybit's order book archive, which holds no time of capture: the venue's own `ts` stands in for it.

use openmesh_market::event::Exchange;
use openmesh_primitives::Timestamp;
use serde_json::Value;

use crate::recording::{Line, LineError};

/// The reason for which a recording cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// The line has none of the forms that are read.
    #[error(
        "neither a line of frames.jsonl, nor `<nanoseconds> <message>`, nor a message of Bybit's order book archive"
    )]
    Form,
    /// The venue's protocol is not spoken here, or the line does not tell the venue.
    #[error("{0} is not spoken here")]
    Venue(String),
}

/// The form of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// Our own: [`Line::parse`].
    Frames,
    /// `<nanoseconds> <message>`.
    Timed {
        /// Venue.
        exchange: Exchange,
        /// Address of the REST books in it.
        book_url: String,
    },
    /// Bybit's order book archive.
    Archived,
}

impl Form {
    /// The form of the recording that begins with `line`.
    pub fn of(line: &str) -> Result<Form, FormError> {
        if let Some((at, message)) = line.split_once(' ')
            && !at.is_empty()
            && at.bytes().all(|b| b.is_ascii_digit())
        {
            let message: Value = serde_json::from_str(message).map_err(|_| FormError::Form)?;
            return timed(&message);
        }
        let message: Value = serde_json::from_str(line).map_err(|_| FormError::Form)?;
        match (message["t"].is_string(), message["topic"].as_str()) {
            (true, _) => Ok(Form::Frames),
            (_, Some(topic)) if topic.starts_with("orderbook.") => Ok(Form::Archived),
            _ => Err(FormError::Form),
        }
    }

    /// Reads a line.
    pub fn line(&self, line: &str) -> Result<Line, LineError> {
        match self {
            Form::Frames => Line::parse(line),
            Form::Timed { book_url, .. } => Line::parse_timed(line, book_url),
            Form::Archived => archived(line),
        }
    }

    /// The venue, where the form tells it; a header does otherwise.
    pub fn exchange(&self) -> Option<Exchange> {
        match self {
            Form::Frames => None,
            Form::Timed { exchange, .. } => Some(*exchange),
            Form::Archived => Some(Exchange::Bybit),
        }
    }
}

/// Spot and futures of Binance write the same messages with small differences, by which they are told apart.
fn timed(message: &Value) -> Result<Form, FormError> {
    let data = message.get("data").unwrap_or(message);
    let has = |field: &str| data.get(field).is_some();
    let unknown = || {
        let channel = message["channel"].as_str().or(message["topic"].as_str()).unwrap_or("a message of unknown form");
        FormError::Venue(format!("the venue of this recording ({channel})"))
    };
    let Some(name) = message["stream"].as_str().and_then(|s| s.split('@').next()).map(str::to_ascii_uppercase) else {
        return Err(unknown());
    };
    // Contracts that are margined in coin are named after the dollar: BTCUSD_PERP.
    let coin = name.contains("USD_");
    let futures = match data["e"].as_str() {
        None if has("A") && has("B") => false,
        Some("bookTicker" | "markPriceUpdate" | "forceOrder") => true,
        Some("depthUpdate") => has("pu"),
        Some("trade" | "aggTrade") => !has("M"),
        _ => return Err(unknown()),
    };
    let (exchange, rest) = match (coin, futures) {
        (true, _) => (Exchange::BinanceDelivery, "https://dapi.binance.com/dapi/v1"),
        (false, true) => (Exchange::BinanceFutures, "https://fapi.binance.com/fapi/v1"),
        (false, false) => (Exchange::Binance, "https://api.binance.com/api/v3"),
    };
    Ok(Form::Timed { exchange, book_url: format!("{rest}/depth?symbol={name}&limit=1000") })
}

/// The version of a venue's protocol that is spoken, where an address in a recording is that of another.
pub fn other_version(exchange: Exchange, url: &str) -> Option<&'static str> {
    match exchange.protocol() {
        Exchange::Bybit if !url.contains("/v5/") => Some("Bybit v5"),
        Exchange::Okx if !url.contains("/v5/") => Some("OKX v5"),
        Exchange::Coinbase if url.contains("ws-feed") => Some("Coinbase Advanced Trade"),
        _ => None,
    }
}

fn archived(line: &str) -> Result<Line, LineError> {
    #[derive(serde::Deserialize)]
    struct Stamp {
        ts: i64,
    }
    let stamp: Stamp = serde_json::from_str(line)?;
    let at = Timestamp::from_millis(stamp.ts);
    Ok(Line::Receive { at, connection: "archive".to_owned(), data: line.as_bytes().to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timed(message: &str) -> Result<Form, FormError> {
        Form::of(&format!("1723161253937085768 {message}"))
    }

    #[test]
    fn forms_are_told_by_a_first_line() {
        let spot = Form::Timed {
            exchange: Exchange::Binance,
            book_url: "https://api.binance.com/api/v3/depth?symbol=BTCUSDT&limit=1000".into(),
        };
        let futures = Form::Timed {
            exchange: Exchange::BinanceFutures,
            book_url: "https://fapi.binance.com/fapi/v1/depth?symbol=BTCUSDT&limit=1000".into(),
        };
        let coin = Form::Timed {
            exchange: Exchange::BinanceDelivery,
            book_url: "https://dapi.binance.com/dapi/v1/depth?symbol=BTCUSD_PERP&limit=1000".into(),
        };
        for (message, expected) in [
            (r#"{"stream":"btcusd_perp@trade","data":{"e":"trade","s":"BTCUSD_PERP","X":"MARKET"}}"#, &coin),
            (r#"{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":1,"u":2}}"#, &spot),
            (r#"{"stream":"btcusdt@depth@0ms","data":{"e":"depthUpdate","s":"BTCUSDT","u":2,"pu":1}}"#, &futures),
            (r#"{"stream":"btcusdt@bookTicker","data":{"u":1,"s":"BTCUSDT","b":"1","B":"1","a":"2","A":"1"}}"#, &spot),
            (r#"{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":1,"s":"BTCUSDT"}}"#, &futures),
            (r#"{"stream":"btcusdt@trade","data":{"e":"trade","s":"BTCUSDT","m":true,"M":true}}"#, &spot),
            (r#"{"stream":"btcusdt@trade","data":{"e":"trade","s":"BTCUSDT","X":"MARKET","m":true}}"#, &futures),
        ] {
            assert_eq!(timed(message).as_ref(), Ok(expected), "{message}");
        }
        assert_eq!(Form::of(r#"{"t":"header","exchange":"KRAKEN"}"#), Ok(Form::Frames));
        assert_eq!(Form::of(r#"{"topic":"orderbook.500.XRPUSDT","ts":1}"#), Ok(Form::Archived));
    }

    #[test]
    fn what_is_not_spoken_is_named() {
        let other = timed(r#"{"channel":"l2Book","data":{"coin":"BTC"}}"#);
        assert_eq!(other.unwrap_err().to_string(), "the venue of this recording (l2Book) is not spoken here");
        for line in ["", "{", "12 {", "no json", r#"{"a":1}"#] {
            assert_eq!(Form::of(line), Err(FormError::Form), "{line}");
        }
    }

    #[test]
    fn versions_are_told_by_the_address() {
        for (exchange, url, spoken) in [
            (Exchange::Bybit, "wss://stream.bybit.com/realtime", Some("Bybit v5")),
            (Exchange::Bybit, "wss://stream.bybit.com/v5/public/linear", None),
            (Exchange::Coinbase, "wss://ws-feed.pro.coinbase.com", Some("Coinbase Advanced Trade")),
            (Exchange::Coinbase, "wss://advanced-trade-ws.coinbase.com", None),
            (Exchange::Okx, "wss://real.okex.com:8443/ws/v3", Some("OKX v5")),
            (Exchange::Okx, "wss://ws.okx.com:8443/ws/v5/public", None),
            (Exchange::Kraken, "wss://ws.kraken.com", None),
        ] {
            assert_eq!(other_version(exchange, url), spoken, "{url}");
        }
    }

    #[test]
    fn the_archive_is_timed_by_the_venue() {
        let line = r#"{"topic":"orderbook.500.XRPUSDT","type":"delta","ts":1733011200693,"data":{}}"#;
        let expected = Line::Receive {
            at: Timestamp::from_millis(1_733_011_200_693),
            connection: "archive".into(),
            data: line.as_bytes().to_vec(),
        };
        assert_eq!(Form::Archived.line(line).unwrap(), expected);
        assert!(Form::Archived.line("{}").is_err());
    }
}
