//! Kraken's names of instruments and feeds, and the messages that carry them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use openmesh_market::ConnectionId;
use openmesh_market::event::Feed;
use openmesh_primitives::Symbol;
use serde::Deserialize;

use super::checksum::Precision;
use super::v2::Message;
use crate::client::emit::Emit;
use crate::client::json::Text;
use crate::client::names::INSTRUMENTS_MAX;
use crate::client::names::Symbols;
use crate::client::unreadable::Unreadable;

/// Levels a side that are subscribed to: the deepest book the venue offers.
pub(super) const DEPTH: u32 = 1000;

/// The version of a message: a resubscription has to be worded in the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
}

/// Our name of `XBT/USD` (v1) or `BTC/USD` (v2). The names are readable as they are, so that a pair which is not in
/// the table is understood too.
pub(super) fn symbol_of(table: &Symbols, name: &str) -> Option<Symbol> {
    table.symbol(name).cloned().or_else(|| split(name))
}

fn split(name: &str) -> Option<Symbol> {
    let (base, quote) = name.split_once('/')?;
    Some(Symbol::spot(asset(base), asset(quote)))
}

/// The usual name of an asset for which v1 and REST have their own.
fn asset(name: &str) -> &str {
    match name {
        "XBT" => "BTC",
        "XDG" => "DOGE",
        other => other,
    }
}

/// The v2 channel of a feed; `None` where spot has none.
pub(super) fn channel_of(feed: Feed) -> Option<&'static str> {
    match feed {
        Feed::Trades => Some("trade"),
        Feed::Book => Some("book"),
        Feed::Ticker => Some("ticker"),
        Feed::Candles => Some("ohlc"),
        _ => None,
    }
}

/// Reads the answer of `AssetPairs`.
pub(super) fn read_pairs(
    body: &[u8],
    table: &mut Symbols,
    precisions: &mut BTreeMap<Symbol, Precision>,
) -> Result<(), Unreadable> {
    #[derive(Deserialize)]
    struct Pair<'a> {
        #[serde(borrow)]
        wsname: Option<Text<'a>>,
        pair_decimals: Option<u8>,
        lot_decimals: Option<u8>,
    }
    #[derive(Deserialize)]
    struct Pairs<'a> {
        #[serde(borrow, default)]
        error: Vec<Text<'a>>,
        #[serde(borrow, default)]
        result: BTreeMap<Cow<'a, str>, Pair<'a>>,
    }
    let pairs: Pairs<'_> = serde_json::from_slice(body)?;
    if let Some(error) = pairs.error.first() {
        return Err(Unreadable(error.0.to_string()));
    }
    // Pairs of the dark pool have no name for the WebSocket, and are not served there.
    for pair in pairs.result.values().take(INSTRUMENTS_MAX) {
        let Some(name) = &pair.wsname else { continue };
        let Some(symbol) = split(name) else { continue };
        if let (Some(price), Some(size)) = (pair.pair_decimals, pair.lot_decimals) {
            precisions.insert(symbol.clone(), (price, size));
        }
        table.insert(name, symbol);
    }
    Ok(())
}

/// Reads a message of the v2 channel `instrument`, which says what `AssetPairs` does.
pub(super) fn read_instruments(
    message: &Message<'_>,
    table: &mut Symbols,
    precisions: &mut BTreeMap<Symbol, Precision>,
) -> Result<(), Unreadable> {
    #[derive(Deserialize)]
    struct Pair<'a> {
        #[serde(borrow)]
        symbol: Text<'a>,
        price_precision: Option<u8>,
        qty_precision: Option<u8>,
    }
    #[derive(Deserialize)]
    struct Reference<'a> {
        #[serde(borrow, default)]
        pairs: Vec<Pair<'a>>,
    }
    let data = message.data.ok_or_else(|| Unreadable("a channel's message without data".into()))?;
    let reference: Reference<'_> = serde_json::from_str(data.get())?;
    for pair in reference.pairs.iter().take(INSTRUMENTS_MAX) {
        let Some(symbol) = split(&pair.symbol) else { continue };
        if let (Some(price), Some(size)) = (pair.price_precision, pair.qty_precision) {
            precisions.insert(symbol.clone(), (price, size));
        }
        table.insert(&pair.symbol, symbol);
    }
    Ok(())
}

/// Asks for a book anew, in the words of the version it came in.
pub(super) fn resubscribe(version: Version, connection: ConnectionId, name: &str, depth: u32, emit: &mut Emit<'_>) {
    let depth = if depth == 0 { DEPTH } else { depth };
    for verb in ["unsubscribe", "subscribe"] {
        let message = match version {
            Version::V1 => serde_json::json!({
                "event": verb, "pair": [name], "subscription": {"name": "book", "depth": depth},
            }),
            Version::V2 => serde_json::json!({
                "method": verb, "params": {"channel": "book", "symbol": [name], "depth": depth},
            }),
        };
        emit.send(connection, message.to_string());
    }
}
