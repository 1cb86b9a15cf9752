//! Where Binance's two markets are reached, and under which names their streams are asked for.

use openmesh_market::event::{Exchange, Feed};
use openmesh_primitives::Symbol;

use crate::client::offer::offers;

/// Where a market is reached.
pub(super) struct Market {
    pub futures: bool,
    pub rest: &'static str,
    /// By door: the streams' beginnings, and the address before them.
    pub doors: &'static [Door],
}

pub(super) struct Door {
    pub address: &'static str,
    feeds: &'static [(Feed, &'static str)],
}

pub(super) const SPOT: Market = Market {
    futures: false,
    rest: "https://api.binance.com/api/v3",
    doors: &[Door {
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
    doors: &[
        Door {
            address: "wss://fstream.binance.com/public/stream?streams=",
            feeds: &[(Feed::Book, "depth@100ms"), (Feed::Ticker, "bookTicker")],
        },
        Door {
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

impl Door {
    /// The door's streams, instrument by instrument, without repetition, and of which instrument each is the book.
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
