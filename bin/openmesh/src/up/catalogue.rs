//! Sources of a local network: those of a venues' server, as it announces them, and those of the live venues.

use std::net::SocketAddr;

use openmesh_ledger::SourceKind;
use serde::{Deserialize, Serialize};

/// Announcement of a venues' server that serves.
#[derive(Debug, Serialize, Deserialize)]
pub struct VenuesReady {
    /// Address.
    pub venues: SocketAddr,
    /// Sources that it serves.
    pub catalogue: Vec<CatalogueEntry>,
    /// Recordings that are replayed, and those of the same venues that are not, as lines for people.
    pub sets: Vec<String>,
}

/// A source that the venues' server serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogueEntry {
    /// Id of the source.
    pub id: String,
    /// Exchange or chain.
    pub exchange: String,
    /// `market` or `chain`.
    pub kind: SourceKind,
    /// Instruments.
    pub symbols: Vec<String>,
    /// Feeds.
    pub feeds: Vec<String>,
}

/// Sources that a local network collects from the live venues.
pub fn live() -> Vec<CatalogueEntry> {
    let entry = |exchange: &str, symbols: &[&str], feeds: &[&str]| CatalogueEntry {
        id: exchange.into(),
        exchange: exchange.into(),
        kind: SourceKind::Market,
        symbols: symbols.iter().map(|s| (*s).to_string()).collect(),
        feeds: feeds.iter().map(|s| (*s).to_string()).collect(),
    };
    let spot = ["trades", "book", "ticker"];
    let perpetual = ["trades", "book", "ticker", "funding", "mark_price"];
    vec![
        entry("binance", &["BTC.USDT", "ETH.USDT"], &spot),
        entry("binance_futures", &["BTC.USDT-PERP", "ETH.USDT-PERP"], &perpetual),
        entry("bybit", &["BTC.USDT", "BTC.USDT-PERP"], &perpetual),
        entry("coinbase", &["BTC.USD", "ETH.USD"], &spot),
        entry("kraken", &["BTC.USD", "ETH.USD"], &spot),
        entry("okx", &["BTC.USDT", "BTC.USDT-PERP"], &perpetual),
    ]
}
