//! The venues' dialects: one module each, from bytes to events.

pub mod binance;
pub mod bybit;
pub mod coinbase;
#[cfg(test)]
mod documented;
mod emit;
mod instruments;
mod json;
pub mod kraken;
mod links;
mod names;
mod offer;
pub mod okx;
mod scan;
mod unreadable;
mod venue;

use openmesh_market::event::Exchange;

pub use names::pair;

use crate::session::Session;

/// A session with a venue that knows nothing yet.
pub fn session(exchange: Exchange) -> Box<dyn Session> {
    match exchange {
        Exchange::Binance | Exchange::BinanceUs | Exchange::BinanceTr => Box::new(binance::Binance::spot_of(exchange)),
        Exchange::BinanceFutures | Exchange::BinanceDelivery => Box::new(binance::Binance::futures_of(exchange)),
        Exchange::Coinbase => Box::new(coinbase::Coinbase::new()),
        Exchange::Kraken => Box::new(kraken::Kraken::new()),
        Exchange::Bybit => Box::new(bybit::Bybit::new()),
        Exchange::Okx | Exchange::Okcoin => Box::new(okx::Okx::of(exchange)),
    }
}

/// A session for a recording whose header names its venue in the recorder's words; `None` where that is a venue whose
/// protocol is not spoken here.
pub fn for_recording(name: &str) -> Option<Box<dyn Session>> {
    let exchange = match name {
        "BINANCE" => Exchange::Binance,
        "BINANCE_US" => Exchange::BinanceUs,
        "BINANCE_TR" => Exchange::BinanceTr,
        "BINANCE_FUTURES" => Exchange::BinanceFutures,
        "BINANCE_DELIVERY" => Exchange::BinanceDelivery,
        "COINBASE" => Exchange::Coinbase,
        "KRAKEN" => Exchange::Kraken,
        "BYBIT" => Exchange::Bybit,
        "OKX" | "OKEX" => Exchange::Okx,
        "OKCOIN" => Exchange::Okcoin,
        _ => return None,
    };
    Some(session(exchange))
}
