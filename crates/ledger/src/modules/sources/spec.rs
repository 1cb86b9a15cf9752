//! Data sources: what is collected, and how its time is cut into windows. Clause S of `docs/spec/transactions.md`.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::Symbol;
use serde::{Deserialize, Serialize};

use super::limits::{SOURCE_FEEDS_MAX, SOURCE_SYMBOLS_MAX, WINDOW_MS_MAX, WINDOW_MS_MIN};
use crate::limits::NAME_BYTES_MAX;
use crate::modules::evidence::CONSENSUS;

/// The origin of a source's data. It is shown with every answer, so that nobody takes a simulation for the market.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// From the venue itself, now.
    Live,
    /// From our own generator.
    Simulated,
    /// From a recording of real traffic.
    Replay,
}

/// The kind of a source.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum SourceKind {
    /// A trading venue: streams are `<symbol>/<feed>`.
    Market,
    /// A blockchain: streams are `<feed>` or `<symbol>/<feed>`.
    Chain,
}

/// A data source as registered.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceSpec {
    /// Unique name, `a-z`, `0-9`, `-`, `_`: `kraken`.
    pub id: String,
    /// The venue or chain: `kraken`.
    pub exchange: String,
    /// Its kind.
    pub kind: SourceKind,
    /// Symbols in the product's own form, sorted: `BTC.USDT`. May be empty for a chain.
    pub symbols: Vec<String>,
    /// Feeds, sorted: `trades`.
    pub feeds: Vec<String>,
    /// Length of a window of the source's own clock, milliseconds.
    pub window_ms: u64,
    /// Origin of the data.
    pub origin: Origin,
}

/// A fault of a source's description. The text names the field.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, thiserror::Error)]
pub enum SourceError {
    /// A name that does not fit into a state key or a URL.
    #[error("{field} {value:?} is not a name: 1 to {NAME_BYTES_MAX} of a-z, 0-9, - and _ are expected")]
    Name {
        /// `id`, `exchange` or `feeds`.
        field: String,
        /// The name, shortened.
        value: String,
    },
    /// Not a symbol in the product's own form.
    #[error("symbol {0:?} is not in the form BTC.USDT or BTC.USDT-PERP")]
    Symbol(String),
    /// Too many or too few symbols or feeds, or not in ascending order.
    #[error("{field}: {min} to {max} different entries in ascending order are expected")]
    List {
        /// `symbols` or `feeds`.
        field: String,
        /// Fewest.
        min: u32,
        /// Most.
        max: u32,
    },
    /// A name that incidents use for something else.
    #[error("id {0:?} is taken: incidents of consensus stand under it")]
    Reserved(String),
    /// Length of the window out of range.
    #[error("window_ms {0} is out of range: {WINDOW_MS_MIN} to {WINDOW_MS_MAX} ms are expected")]
    Window(u64),
}

impl Origin {
    /// All of them with their names.
    pub const NAMES: &'static [(&'static str, Origin)] =
        &[("live", Origin::Live), ("simulated", Origin::Simulated), ("replay", Origin::Replay)];

    /// `live`, `simulated` or `replay`, as in JSON and in typed data.
    pub const fn as_str(self) -> &'static str {
        match self {
            Origin::Live => "live",
            Origin::Simulated => "simulated",
            Origin::Replay => "replay",
        }
    }
}

impl SourceKind {
    /// All of them with their names.
    pub const NAMES: &'static [(&'static str, SourceKind)] =
        &[("market", SourceKind::Market), ("chain", SourceKind::Chain)];

    /// `market` or `chain`, as in JSON and in typed data.
    pub const fn as_str(self) -> &'static str {
        match self {
            SourceKind::Market => "market",
            SourceKind::Chain => "chain",
        }
    }
}

/// Returns true if a text may stand as a name: in a state key it must hold no `/`.
pub(crate) fn is_name(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed)
}

fn strictly_ascending(list: &[String]) -> bool {
    list.windows(2).all(|pair| pair[0] < pair[1])
}

impl SourceSpec {
    /// Checks names, symbols, feeds and window. Fails with the first fault.
    pub fn validate(&self) -> Result<(), SourceError> {
        let name = |field: &str, value: &str| {
            let shown = || value.chars().take(2 * NAME_BYTES_MAX).collect();
            if is_name(value) { Ok(()) } else { Err(SourceError::Name { field: field.into(), value: shown() }) }
        };
        let list = |field: &str, list: &[String], min: usize, max: usize| {
            if (min..=max).contains(&list.len()) && strictly_ascending(list) {
                return Ok(());
            }
            Err(SourceError::List { field: field.into(), min: min as u32, max: max as u32 })
        };
        name("id", &self.id)?;
        if self.id == CONSENSUS {
            return Err(SourceError::Reserved(self.id.clone()));
        }
        name("exchange", &self.exchange)?;
        list("symbols", &self.symbols, usize::from(self.kind == SourceKind::Market), SOURCE_SYMBOLS_MAX)?;
        list("feeds", &self.feeds, 1, SOURCE_FEEDS_MAX)?;
        self.feeds.iter().try_for_each(|feed| name("feeds", feed))?;
        for symbol in &self.symbols {
            let canonical = symbol.parse::<Symbol>().is_ok_and(|parsed| parsed.to_string() == *symbol);
            if !canonical {
                return Err(SourceError::Symbol(symbol.chars().take(80).collect()));
            }
        }
        if !(WINDOW_MS_MIN..=WINDOW_MS_MAX).contains(&self.window_ms) {
            return Err(SourceError::Window(self.window_ms));
        }
        Ok(())
    }

    /// Returns true if a stream's name belongs to this source.
    pub fn has_stream(&self, stream: &str) -> bool {
        let feed_known = |feed: &str| self.feeds.iter().any(|f| f == feed);
        match stream.rsplit_once('/') {
            Some((symbol, feed)) => feed_known(feed) && self.symbols.iter().any(|s| s == symbol),
            None => self.kind == SourceKind::Chain && feed_known(stream),
        }
    }

    /// End of a window, milliseconds since 1970 (exclusive). Wide, because the window's number comes from outside.
    pub fn window_end_ms(&self, window: u64) -> i128 {
        (i128::from(window) + 1) * i128::from(self.window_ms)
    }
}
