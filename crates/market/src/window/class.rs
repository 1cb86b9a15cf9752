//! The promise that a venue's protocol allows to be promised about a feed.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Contract, Symbol};
use serde::{Deserialize, Serialize};

use crate::event::{Exchange, Feed};

/// The promise of a stream's chunks. See the table in `docs/spec/windows.md`.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, BorshSerialize, BorshDeserialize,
)]
#[serde(rename_all = "snake_case")]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Class {
    /// Numbered by the venue: a hole is seen.
    Sequenced = 0,
    /// Stamped by the venue, the same on every connection.
    Timed = 1,
    /// Different for each connection, or without venue time: archived and served, not put up for agreement.
    Conflated = 2,
}

impl Class {
    /// The class of a stream; `None` where the venue has no such stream.
    pub fn of(exchange: Exchange, symbol: &Symbol, feed: Feed) -> Option<Class> {
        use Class::{Conflated, Sequenced, Timed};
        use Exchange::{Binance, BinanceFutures, Bybit, Coinbase, Kraken, Okx};
        let derivative = symbol.contract != Contract::Spot;
        let perpetual = symbol.contract == Contract::Perpetual;
        if derivative && exchange.protocol() == Coinbase {
            // Its perpetuals have gone to a venue of their own, its dated contracts want a key.
            return None;
        }
        match (exchange.protocol(), feed) {
            (Binance | BinanceFutures | Coinbase, Feed::Trades) => Some(Sequenced),
            (Kraken | Bybit | Okx, Feed::Trades) => Some(Timed),
            (Binance | BinanceFutures | Coinbase | Bybit, Feed::Book) => Some(Sequenced),
            (Kraken | Okx, Feed::Book) => Some(Timed),
            (BinanceFutures, Feed::Ticker) => Some(Timed),
            (_, Feed::Ticker) => Some(Conflated),
            (Coinbase | Kraken, Feed::Candles) => Some(Conflated),
            (_, Feed::Candles) => Some(Timed),
            (BinanceFutures | Okx, Feed::Funding) => perpetual.then_some(Timed),
            (BinanceFutures | Okx, Feed::MarkPrice | Feed::IndexPrice) => derivative.then_some(Timed),
            (Okx, Feed::OpenInterest) | (Bybit | Okx, Feed::Liquidations) => derivative.then_some(Timed),
            (BinanceFutures, Feed::OpenInterest | Feed::Liquidations) => derivative.then_some(Conflated),
            (Bybit, Feed::Funding) => perpetual.then_some(Conflated),
            (Bybit, Feed::MarkPrice | Feed::IndexPrice | Feed::OpenInterest) => derivative.then_some(Conflated),
            _ => None,
        }
    }

    /// Returns true where chunks of this class are put up for agreement.
    pub const fn is_agreed(self) -> bool {
        !matches!(self, Class::Conflated)
    }
}
