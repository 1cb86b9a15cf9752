//! Configuration of a collector: sources, addresses and limits.

use std::collections::BTreeSet;
use std::path::PathBuf;

use openmesh_market::window::{LATENESS_MS, Lateness, WINDOW_MS, WindowConfig, WindowLength};
use openmesh_market::{Exchange, Feed};
use openmesh_primitives::Symbol;
use serde::{Deserialize, Serialize};

use crate::address::rewrite;

/// Sources at once: some for each venue there is, and each has a handful of tasks and connections.
pub const SOURCES_MAX: usize = 256;

/// Bytes of a source id, which names files: as many as the ledger allows.
pub const SOURCE_ID_BYTES_MAX: usize = 64;

/// Age at which the first connections are given up for new ones, in milliseconds: 12 h. Young enough that those which were
/// opened together are spread over half a day.
pub const CONNECTION_MS_MIN: u64 = 12 * 3_600_000;

/// Age at which the last are, in milliseconds: 23 h. Binance ends a connection after 24 h, those of all validators that began
/// together at the same moment, and nobody would see the windows of that moment.
pub const CONNECTION_MS_MAX: u64 = 23 * 3_600_000;

/// Longest wait before a source's first connection, in milliseconds. Venues count connections and messages of an address by the
/// second, and the validators of a machine start together: this spreads four of them so that no second has two.
pub const START_MS_MAX: u64 = 5_000;

/// A source: instruments and feeds of one venue, cut into windows of one length. A venue may have several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// Source id, unique among the sources.
    pub id: String,
    /// Venue.
    pub exchange: Exchange,
    /// Instruments.
    pub symbols: Vec<Symbol>,
    /// Feeds.
    pub feeds: Vec<Feed>,
    /// Length of a window, in milliseconds of the venue's time. The same for everyone who is to agree.
    #[serde(default = "window_ms")]
    pub window_ms: u32,
}

const fn window_ms() -> u32 {
    WINDOW_MS
}

impl SourceConfig {
    /// Checks that it can be collected; fails with the first field that does not hold.
    pub fn check(&self) -> Result<(), ConfigError> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        if self.id.is_empty() || self.id.len() > SOURCE_ID_BYTES_MAX || !self.id.bytes().all(plain) {
            return Err(ConfigError::Id(self.id.clone()));
        }
        if self.symbols.is_empty() || self.feeds.is_empty() {
            return Err(ConfigError::Empty(self.id.clone()));
        }
        if !Exchange::ALL.contains(&self.exchange) {
            return Err(ConfigError::NotCollected(self.exchange));
        }
        let window_ms = self.window_ms;
        number("window_ms", window_ms.into(), (100..=3_600_000).contains(&window_ms), "100 to 3600000")
    }
}

/// A collector's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Sources to begin with; [`Handle::set_sources`](crate::Handle::set_sources) changes them.
    pub sources: Vec<SourceConfig>,
    /// Base address of a venues server (`http://HOST:PORT`), dialled in place of the venues themselves.
    pub gateway: Option<String>,
    /// Folder of the manifests of raw segments.
    pub archive_dir: PathBuf,
    /// Archiving of raw frames.
    pub archive: bool,
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

/// Errors of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Nothing asked for.
    #[error("the source {0} names no symbols or no feeds: name at least one of each")]
    Empty(String),
    /// An id that cannot name files.
    #[error("{0:?} is no source id: use 1 to 64 of a-z, 0-9, - and _")]
    Id(String),
    /// More sources than [`SOURCES_MAX`].
    #[error("{0} sources are too many: at most {SOURCES_MAX} can be collected")]
    TooMany(usize),
    /// A venue of which there are recordings only.
    #[error(
        "{0} can be read from recordings, but is not collected from: name one of binance, binance_futures, coinbase, kraken, bybit, okx"
    )]
    NotCollected(Exchange),
    /// Two sources of one id.
    #[error("two sources have the id {0}: give each its own")]
    Twice(String),
    /// A number that makes no sense.
    #[error("{field} is {value}, but must be {rule}")]
    Number {
        /// Field.
        field: &'static str,
        /// Its value.
        value: u64,
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// No address of a server.
    #[error("gateway {0:?} is no address like http://127.0.0.1:8080")]
    Gateway(String),
}

impl Config {
    /// Checks that it makes sense; fails with the first field that does not.
    pub fn check(&self) -> Result<(), ConfigError> {
        check_sources(&self.sources)?;
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

    /// Returns the windows of a source.
    pub fn windows(&self, source: &SourceConfig) -> WindowConfig {
        WindowConfig {
            exchange: source.exchange,
            symbols: source.symbols.clone(),
            feeds: source.feeds.clone(),
            length: WindowLength::from_ms(source.window_ms),
            lateness: Lateness::from_ms(self.lateness_ms),
        }
    }
}

/// Checks that sources can be collected together; fails with the first that cannot.
pub(crate) fn check_sources(sources: &[SourceConfig]) -> Result<(), ConfigError> {
    if sources.len() > SOURCES_MAX {
        return Err(ConfigError::TooMany(sources.len()));
    }
    let mut ids = BTreeSet::new();
    for source in sources {
        source.check()?;
        if !ids.insert(&source.id) {
            return Err(ConfigError::Twice(source.id.clone()));
        }
    }
    Ok(())
}

const fn number(field: &'static str, value: u64, good: bool, rule: &'static str) -> Result<(), ConfigError> {
    if good { Ok(()) } else { Err(ConfigError::Number { field, value, rule }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senseless_configurations_are_refused() {
        let source = SourceConfig {
            id: "kraken".into(),
            exchange: Exchange::Kraken,
            symbols: vec![Symbol::spot("BTC", "USD")],
            feeds: vec![Feed::Trades],
            window_ms: WINDOW_MS,
        };
        let good = Config { sources: vec![source.clone()], ..Config::default() };
        assert_eq!(good.check(), Ok(()));
        let check =
            |sources: &[&SourceConfig]| check_sources(&sources.iter().map(|s| (*s).clone()).collect::<Vec<_>>());
        let second = SourceConfig { id: "kraken-fast".into(), window_ms: 500, ..source.clone() };
        assert_eq!(check(&[&source, &second]), Ok(()), "a venue may have several sources");
        assert_eq!(check(&[&source, &source]), Err(ConfigError::Twice("kraken".into())));
        let path = SourceConfig { id: "../x".into(), ..source.clone() };
        assert_eq!(check(&[&path]), Err(ConfigError::Id("../x".into())));
        let other = SourceConfig { exchange: Exchange::BinanceUs, ..source.clone() };
        assert_eq!(check(&[&other]), Err(ConfigError::NotCollected(Exchange::BinanceUs)));
        let empty = SourceConfig { feeds: vec![], ..source.clone() };
        assert_eq!(check(&[&empty]), Err(ConfigError::Empty("kraken".into())));
        assert_eq!(check(&vec![&source; SOURCES_MAX + 1]), Err(ConfigError::TooMany(SOURCES_MAX + 1)));
        let hasty = SourceConfig { window_ms: 0, ..source.clone() };
        assert!(matches!(check(&[&hasty]), Err(ConfigError::Number { field: "window_ms", .. })));
        let gateway = Config { gateway: Some("localhost".into()), ..good.clone() };
        assert_eq!(gateway.check(), Err(ConfigError::Gateway("localhost".into())));
        let hasty = Config { connection_ms_max: 1, ..good };
        assert!(matches!(hasty.check(), Err(ConfigError::Number { field: "connection_ms_max", .. })));
    }
}
