//! What is collected, from where, and within which limits.

use std::path::PathBuf;

use openmesh_market::window::{LATENESS_MS, WINDOW_MS, WindowConfig};
use openmesh_market::{Exchange, Feed};
use openmesh_primitives::Symbol;
use serde::{Deserialize, Serialize};

/// Age at which the first connections are given up for new ones, in milliseconds: 12 h. Young enough that those which were
/// opened together are spread over half a day.
pub const CONNECTION_MS_MIN: u64 = 12 * 3_600_000;

/// Age at which the last are, in milliseconds: 23 h. Binance ends a connection after 24 h, those of all validators that began
/// together at the same moment, and nobody would see the windows of that moment.
pub const CONNECTION_MS_MAX: u64 = 23 * 3_600_000;

/// Longest wait before a source's first connection, in milliseconds. Venues count connections and messages of an address by the
/// second, and the validators of a machine start together: this spreads four of them so that no second has two.
pub const START_MS_MAX: u64 = 5_000;

/// One venue with what is wanted from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// Venue.
    pub exchange: Exchange,
    /// Instruments.
    pub symbols: Vec<Symbol>,
    /// Feeds.
    pub feeds: Vec<Feed>,
}

/// A collector's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Sources; at most one for each venue.
    pub sources: Vec<SourceConfig>,
    /// Where the venues are reached instead of at their own addresses: the base of a venues server, `http://HOST:PORT`.
    pub gateway: Option<String>,
    /// Folder of the manifests of raw segments.
    pub archive_dir: PathBuf,
    /// Whether raw frames are archived.
    pub archive: bool,
    /// Length of a window, in milliseconds of the venue's time. The same for everyone who is to agree.
    pub window_ms: u32,
    /// Allowed lateness, in milliseconds.
    pub lateness_ms: u32,
    /// First pause before a connection is opened again, in milliseconds; doubles each time, give or take half.
    pub reconnect_ms_min: u64,
    /// Longest such pause, in milliseconds.
    pub reconnect_ms_max: u64,
    /// A connection is given up for a new one at an age between this, in milliseconds,
    pub connection_ms_min: u64,
    /// and this: at which, nobody can foretell, so that the validators do not lose a venue together.
    pub connection_ms_max: u64,
    /// Longest wait before a source's first connection, in milliseconds; there is none before a gateway, which is our own.
    pub start_ms_max: u64,
    /// A connection that says nothing for so long is given up, in milliseconds. Sessions know their venue's heartbeat
    /// and are quicker; this catches what they do not.
    pub silence_ms_max: u64,
    /// A connection or a request that is not answered within this is given up, in milliseconds.
    pub answer_ms_max: u64,
    /// Live events that a slow reader may lag behind before it misses some.
    pub events_waiting_max: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            sources: Vec::new(),
            gateway: None,
            archive_dir: PathBuf::from("archive"),
            archive: true,
            window_ms: WINDOW_MS,
            lateness_ms: LATENESS_MS,
            reconnect_ms_min: 250,
            reconnect_ms_max: 30_000,
            connection_ms_min: CONNECTION_MS_MIN,
            connection_ms_max: CONNECTION_MS_MAX,
            start_ms_max: START_MS_MAX,
            silence_ms_max: 60_000,
            answer_ms_max: 15_000,
            events_waiting_max: 16_384,
        }
    }
}

/// Why a configuration is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Nothing asked for.
    #[error("the source {0} names no symbols or no feeds: name at least one of each")]
    Empty(Exchange),
    /// A venue of which there are recordings only.
    #[error(
        "{0} can be read from recordings, but is not collected from: name one of binance, binance_futures, coinbase, kraken, bybit, okx"
    )]
    NotCollected(Exchange),
    /// Two sources of one venue.
    #[error("{0} is named by two sources: put their symbols and feeds together")]
    Twice(Exchange),
    /// A number that makes no sense.
    #[error("{field} is {value}, but must be {rule}")]
    Number {
        /// Field.
        field: &'static str,
        /// What it is.
        value: u64,
        /// What it must be.
        rule: &'static str,
    },
    /// No address of a server.
    #[error("gateway {0:?} is no address like http://127.0.0.1:8080")]
    Gateway(String),
}

impl Config {
    /// Whether it makes sense.
    pub fn check(&self) -> Result<(), ConfigError> {
        for (at, source) in self.sources.iter().enumerate() {
            if source.symbols.is_empty() || source.feeds.is_empty() {
                return Err(ConfigError::Empty(source.exchange));
            }
            if !Exchange::ALL.contains(&source.exchange) {
                return Err(ConfigError::NotCollected(source.exchange));
            }
            if self.sources[..at].iter().any(|other| other.exchange == source.exchange) {
                return Err(ConfigError::Twice(source.exchange));
            }
        }
        let number = |field, value: u64, good: bool, rule| {
            if good { Ok(()) } else { Err(ConfigError::Number { field, value, rule }) }
        };
        number("window_ms", self.window_ms.into(), (100..=3_600_000).contains(&self.window_ms), "100 to 3600000")?;
        number("lateness_ms", self.lateness_ms.into(), (10..=60_000).contains(&self.lateness_ms), "10 to 60000")?;
        number("reconnect_ms_min", self.reconnect_ms_min, self.reconnect_ms_min > 0, "above 0")?;
        let ordered = self.reconnect_ms_max >= self.reconnect_ms_min;
        number("reconnect_ms_max", self.reconnect_ms_max, ordered, "at least reconnect_ms_min")?;
        number("connection_ms_min", self.connection_ms_min, self.connection_ms_min > 0, "above 0")?;
        let ordered = self.connection_ms_max >= self.connection_ms_min;
        number("connection_ms_max", self.connection_ms_max, ordered, "at least connection_ms_min")?;
        number("silence_ms_max", self.silence_ms_max, self.silence_ms_max > 0, "above 0")?;
        number("answer_ms_max", self.answer_ms_max, self.answer_ms_max > 0, "above 0")?;
        let waiting = self.events_waiting_max;
        number("events_waiting_max", waiting as u64, (16..=1 << 20).contains(&waiting), "16 to 1048576")?;
        match &self.gateway {
            Some(gateway) if rewrite("https://a.b/", Some(gateway)).is_none() => {
                Err(ConfigError::Gateway(gateway.clone()))
            }
            _ => Ok(()),
        }
    }

    /// The windows of a source.
    pub fn windows(&self, source: &SourceConfig) -> WindowConfig {
        WindowConfig {
            exchange: source.exchange,
            symbols: source.symbols.clone(),
            feeds: source.feeds.clone(),
            length_ms: self.window_ms,
            lateness_ms: self.lateness_ms,
        }
    }
}

/// The address to dial for one of a venue's: itself, or with a gateway `http://G` in place of the venue `ws://G/HOST/PATH?Q` for
/// `wss://HOST/PATH?Q` and `http://G/HOST/PATH?Q` for `https://HOST/PATH?Q` (HOST with its port where it has one that is
/// not the scheme's). `None` where either is no address.
pub fn rewrite(url: &str, gateway: Option<&str>) -> Option<String> {
    let parsed = url::Url::parse(url).ok()?;
    let Some(gateway) = gateway else { return Some(url.to_owned()) };
    let base = url::Url::parse(gateway).ok()?;
    let scheme = match (parsed.scheme(), base.scheme()) {
        ("wss" | "ws", "http") => "ws",
        ("wss" | "ws", "https") => "wss",
        ("https" | "http", "http") => "http",
        ("https" | "http", "https") => "https",
        _ => return None,
    };
    let authority = |u: &url::Url| {
        let host = u.host_str()?;
        Some(u.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
    };
    let (to, host) = (authority(&base)?, authority(&parsed)?);
    // The rest is taken as text: venues' stream names hold characters that a parser would escape.
    let rest = url.split_once("://")?.1;
    let path = rest.find(['/', '?']).map_or("", |at| &rest[at..]);
    let slash = if path.starts_with('?') { "/" } else { "" };
    Some(format!("{scheme}://{to}{}{host}{slash}{path}", if base.path().ends_with('/') { base.path() } else { "/" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_go_through_the_gateway() {
        let gateway = Some("http://127.0.0.1:80801");
        assert_eq!(rewrite("https://a.b/", gateway), None);
        let gateway = Some("http://127.0.0.1:8080");
        let to = |url| rewrite(url, gateway).unwrap();
        assert_eq!(
            to("wss://stream.binance.com:9443/stream?streams=btcusdt@depth@100ms/ethusdt@aggTrade"),
            "ws://127.0.0.1:8080/stream.binance.com:9443/stream?streams=btcusdt@depth@100ms/ethusdt@aggTrade"
        );
        assert_eq!(to("wss://advanced-trade-ws.coinbase.com"), "ws://127.0.0.1:8080/advanced-trade-ws.coinbase.com");
        assert_eq!(to("wss://ws.kraken.com:443/v2"), "ws://127.0.0.1:8080/ws.kraken.com/v2");
        assert_eq!(
            to("https://api.binance.com/api/v3/depth?symbol=BTCUSDT&limit=1000"),
            "http://127.0.0.1:8080/api.binance.com/api/v3/depth?symbol=BTCUSDT&limit=1000"
        );
        assert_eq!(rewrite("wss://ws.kraken.com", None).unwrap(), "wss://ws.kraken.com");
        assert_eq!(rewrite("ftp://a/b", gateway), None);
    }

    #[test]
    fn senseless_configurations_are_refused() {
        let source = SourceConfig {
            exchange: Exchange::Kraken,
            symbols: vec![Symbol::spot("BTC", "USD")],
            feeds: vec![Feed::Trades],
        };
        let good = Config { sources: vec![source.clone()], ..Config::default() };
        assert_eq!(good.check(), Ok(()));
        let twice = Config { sources: vec![source.clone(), source.clone()], ..Config::default() };
        assert_eq!(twice.check(), Err(ConfigError::Twice(Exchange::Kraken)));
        let other = SourceConfig { exchange: Exchange::BinanceUs, ..source.clone() };
        let other = Config { sources: vec![other], ..Config::default() };
        assert_eq!(other.check(), Err(ConfigError::NotCollected(Exchange::BinanceUs)));
        let empty = Config { sources: vec![SourceConfig { feeds: vec![], ..source }], ..Config::default() };
        assert_eq!(empty.check(), Err(ConfigError::Empty(Exchange::Kraken)));
        let gateway = Config { gateway: Some("localhost".into()), ..good.clone() };
        assert_eq!(gateway.check(), Err(ConfigError::Gateway("localhost".into())));
        let hasty = Config { connection_ms_max: 1, ..good.clone() };
        assert!(matches!(hasty.check(), Err(ConfigError::Number { field: "connection_ms_max", .. })));
        assert!(matches!(Config { window_ms: 0, ..good }.check(), Err(ConfigError::Number { field: "window_ms", .. })));
    }
}
