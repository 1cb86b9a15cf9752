//! The venues' dialects: one module each, from bytes to events.

pub mod binance;
pub mod bybit;
pub mod coinbase;
#[cfg(test)]
mod documented;
mod instruments;
pub mod kraken;
mod links;
mod offer;
pub mod okx;
mod scan;
mod support;
mod venue;

use crate::event::Exchange;
use crate::session::Session;

/// A session with a venue that knows nothing yet.
pub fn session(exchange: Exchange) -> Box<dyn Session> {
    match exchange {
        Exchange::Binance => Box::new(binance::Binance::spot()),
        Exchange::BinanceFutures => Box::new(binance::Binance::futures()),
        Exchange::Coinbase => Box::new(coinbase::Coinbase::new()),
        Exchange::Kraken => Box::new(kraken::Kraken::new()),
        Exchange::Bybit => Box::new(bybit::Bybit::new()),
        Exchange::Okx => Box::new(okx::Okx::new()),
    }
}

/// A session for a recording whose header names its venue in the recorder's words; `None` where that is a venue whose
/// protocol is not spoken here. Venues that speak another's protocol count as that one.
pub fn for_recording(name: &str) -> Option<Box<dyn Session>> {
    let exchange = match name {
        "BINANCE" | "BINANCE_US" | "BINANCE_TR" => Exchange::Binance,
        "BINANCE_FUTURES" | "BINANCE_DELIVERY" => Exchange::BinanceFutures,
        "COINBASE" => Exchange::Coinbase,
        "KRAKEN" => Exchange::Kraken,
        "BYBIT" => Exchange::Bybit,
        "OKX" | "OKEX" | "OKCOIN" => Exchange::Okx,
        _ => return None,
    };
    Some(session(exchange))
}
