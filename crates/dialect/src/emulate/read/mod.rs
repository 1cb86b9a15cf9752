//! A light reading of the venue's own frames: which stream one belongs to, when the venue says it was, and what it does to
//! a book. It is what a replay needs to find the subscribers of a recorded frame and to know the book's state for those
//! who come later; the full reading, with checks and events, is the dialects'.

mod binance;
mod bybit;
mod coinbase;
mod kraken;
mod message;
mod okx;

pub use binance::read_depth_snapshot;
pub use bybit::{TickerFields, read_bybit_ticker};
pub use coinbase::{cut_at_sequence, read_coinbase_trades};
pub use message::{BookMessage, Class, ReadError};

use super::Endpoint;

/// Returns the streams to which a frame belongs.
pub fn read_class(endpoint: Endpoint, text: &str) -> Result<Class, ReadError> {
    match endpoint {
        Endpoint::BinanceSpot | Endpoint::BinanceUsdm => binance::class(endpoint, text),
        Endpoint::Coinbase => coinbase::class(text),
        Endpoint::KrakenV1 => kraken::class(text),
        Endpoint::KrakenV2 => Err(ReadError::Form),
        Endpoint::BybitSpot | Endpoint::BybitLinear => bybit::class(endpoint, text),
        Endpoint::OkxPublic | Endpoint::OkxBusiness => okx::class(endpoint, text),
    }
}

/// Returns the effect of a frame of a book stream on books; nothing for frames of other streams.
pub fn read_book(endpoint: Endpoint, text: &str) -> Result<Vec<BookMessage>, ReadError> {
    match endpoint {
        Endpoint::BinanceSpot | Endpoint::BinanceUsdm => binance::book(text),
        Endpoint::Coinbase => coinbase::book(text),
        Endpoint::KrakenV1 => kraken::book(text),
        Endpoint::KrakenV2 => Err(ReadError::Form),
        Endpoint::BybitSpot | Endpoint::BybitLinear => bybit::book(text),
        Endpoint::OkxPublic | Endpoint::OkxBusiness => okx::book(text),
    }
}
