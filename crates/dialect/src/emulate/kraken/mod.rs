//! Kraken, WebSocket v1 and v2: an acknowledgement for each pair, snapshots per stream, books with a CRC32 over the texts
//! of the ten best levels.
//!
//! Sources: "WebSockets API v1" and "v2" and "Spot REST" of Kraken's documentation, their checksum guides; recording of
//! 2021 (v1). A client cuts its book to the subscribed depth: levels pushed out of it are not removed in words.

mod v1;
mod v2;

pub use v1::*;
pub use v2::*;

use std::fmt::Write as _;

use openmesh_market::book::KRAKEN_DEPTHS;
use openmesh_market::event::Side;

use super::data::Instrument;
use super::levels::LevelBook;
use super::quoted;

/// Returns true where books can be subscribed to with so many levels a side.
fn offers(depth: u16) -> bool {
    KRAKEN_DEPTHS.contains(&usize::from(depth))
}

/// Levels a side that the checksum runs over.
const CHECKSUM_LEVELS: usize = 10;

/// The checksum of a book: asks then bids, best first; of each level the digits of price and size without the point and
/// without zeros in front.
pub fn checksum(book: &LevelBook) -> u32 {
    let mut text = String::new();
    for side in [Side::Sell, Side::Buy] {
        for entry in book.levels(side).take(CHECKSUM_LEVELS) {
            for number in [entry.price, entry.size] {
                // The mantissa is the digits without point and zeros in front.
                let _ = write!(text, "{}", number.mantissa());
            }
        }
    }
    crc32fast::hash(text.as_bytes())
}

/// The v1 name of a pair: v1 has its own names of two assets.
pub fn v1_pair(pair: &str) -> String {
    renamed(pair, [("BTC", "XBT"), ("DOGE", "XDG")])
}

/// The v2 name of a pair.
pub fn v2_pair(pair: &str) -> String {
    renamed(pair, [("XBT", "BTC"), ("XDG", "DOGE")])
}

fn renamed(pair: &str, names: [(&str, &str); 2]) -> String {
    let of = |asset: &str| names.iter().find(|n| n.0 == asset).map_or_else(|| asset.to_owned(), |n| n.1.to_owned());
    match pair.split_once('/') {
        Some((base, quote)) => format!("{}/{}", of(base), of(quote)),
        None => pair.to_owned(),
    }
}

/// The answer of `/0/public/AssetPairs`: instruments of the v1 endpoint.
pub fn asset_pairs(instruments: &[&Instrument]) -> String {
    let pairs: Vec<String> = instruments
        .iter()
        .map(|i| {
            let altname = i.name.replace('/', "");
            format!(
                r#""{altname}":{{"altname":"{altname}","wsname":"{}","aclass_base":"currency","base":"{}","aclass_quote":"currency","quote":"{}","lot":"unit","cost_decimals":5,"pair_decimals":{},"lot_decimals":{},"lot_multiplier":1,"leverage_buy":[],"leverage_sell":[],"fees":[[0,0.4]],"fees_maker":[[0,0.25]],"fee_volume_currency":"ZUSD","margin_call":80,"margin_stop":40,"ordermin":"{}","costmin":"0.5","tick_size":"{}","status":"online"}}"#,
                i.name,
                i.base,
                i.quote,
                i.tick.normalized().scale(),
                i.lot.scale(),
                i.lot,
                i.tick.normalized()
            )
        })
        .collect();
    format!(r#"{{"error":[],"result":{{{}}}}}"#, pairs.join(","))
}

/// Kraken's refusal of a request over HTTP.
pub fn error(message: &str) -> String {
    format!(r#"{{"error":[{}]}}"#, quoted(message))
}

#[cfg(test)]
mod tests {
    use openmesh_primitives::Timestamp;

    use super::*;
    use crate::emulate::{BookChange, Entry};

    /// The worked example of Kraken's guide to the v1 checksum (price and volume texts as printed there).
    #[test]
    fn checksum_of_the_guide() {
        let asks = [
            ("0.05005", "0.00000500"),
            ("0.05010", "0.00000500"),
            ("0.05015", "0.00000500"),
            ("0.05020", "0.00000500"),
            ("0.05025", "0.00000500"),
            ("0.05030", "0.00000500"),
            ("0.05035", "0.00000500"),
            ("0.05040", "0.00000500"),
            ("0.05045", "0.00000500"),
            ("0.05050", "0.00000500"),
        ];
        let bids = [
            ("0.05000", "0.00000500"),
            ("0.04995", "0.00000500"),
            ("0.04990", "0.00000500"),
            ("0.04980", "0.00000500"),
            ("0.04975", "0.00000500"),
            ("0.04970", "0.00000500"),
            ("0.04965", "0.00000500"),
            ("0.04960", "0.00000500"),
            ("0.04955", "0.00000500"),
            ("0.04950", "0.00000500"),
        ];
        let mut book = LevelBook::default();
        for (side, levels) in [(Side::Sell, asks), (Side::Buy, bids)] {
            for (price, size) in levels {
                let entry =
                    Entry { price: price.parse().unwrap(), size: size.parse().unwrap(), at: Timestamp(0), orders: 1 };
                book.apply(&BookChange { side, entry });
            }
        }
        assert_eq!(checksum(&book), 974_947_235);
    }
}
