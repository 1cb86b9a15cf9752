//! Addresses of Binance's two markets, and the names of their streams.

use openmesh_market::event::{Exchange, Feed};
use openmesh_primitives::Symbol;

use crate::client::offer::offers;

/// The addresses of a market.
pub(super) struct Market {
    pub futures: bool,
    pub rest: &'static str,
    /// By endpoint: the streams' beginnings, and the address before them.
    pub endpoints: &'static [Endpoint],
}

pub(super) struct Endpoint {
    pub address: &'static str,
    feeds: &'static [(Feed, &'static str)],
}

pub(super) const SPOT: Market = Market {
    futures: false,
    rest: "https://api.binance.com/api/v3",
    endpoints: &[Endpoint {
        address: "wss://stream.binance.com:9443/stream?streams=",
        feeds: &[
            (Feed::Book, "depth@100ms"),
            (Feed::Trades, "trade"),
            (Feed::Ticker, "bookTicker"),
            (Feed::Candles, "kline_1m"),
        ],
    }],
};

pub(super) const FUTURES: Market = Market {
    futures: true,
    rest: "https://fapi.binance.com/fapi/v1",
    endpoints: &[
        Endpoint {
            address: "wss://fstream.binance.com/public/stream?streams=",
            feeds: &[(Feed::Book, "depth@100ms"), (Feed::Ticker, "bookTicker")],
        },
        Endpoint {
            address: "wss://fstream.binance.com/market/stream?streams=",
            feeds: &[
                (Feed::Trades, "aggTrade"),
                (Feed::Candles, "kline_1m"),
                (Feed::Funding, "markPrice@1s"),
                (Feed::MarkPrice, "markPrice@1s"),
                (Feed::IndexPrice, "markPrice@1s"),
                (Feed::Liquidations, "forceOrder"),
            ],
        },
    ],
};

impl Endpoint {
    /// The endpoint's streams, instrument by instrument, without repetition, and of which instrument each is the book.
    pub(super) fn streams(
        &self,
        exchange: Exchange,
        feeds: &[Feed],
        instruments: &[(String, Symbol)],
    ) -> Vec<(String, Option<String>)> {
        let mut streams: Vec<(String, Option<String>)> = Vec::new();
        for (name, symbol) in instruments {
            let wanted = |feed: &Feed| feeds.contains(feed) && offers(exchange, symbol, *feed);
            for (feed, suffix) in self.feeds.iter().filter(|(feed, _)| wanted(feed)) {
                let stream = format!("{}@{suffix}", name.to_ascii_lowercase());
                if streams.iter().rev().take(self.feeds.len()).all(|(other, _)| *other != stream) {
                    streams.push((stream, (*feed == Feed::Book).then(|| name.clone())));
                }
            }
        }
        streams
    }
}
