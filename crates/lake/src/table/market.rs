//! Tables of market data: one for each feed, filled from canonical chunks.

use super::spec::define::*;
use super::spec::{Column, TableSpec};

const SORT: &[&str] = &["exchange", "symbol", "window_start", "event_index"];

fn table(
    name: &'static str,
    about: &'static str,
    own: impl IntoIterator<Item = Column>,
    example: &'static str,
) -> TableSpec {
    let mut columns = vec![
        text("exchange", "venue: binance, binance_futures, coinbase, kraken, bybit, okx"),
        text("symbol", "instrument: BTC.USDT, BTC.USDT-PERP"),
        time("ts_exchange", "the venue's own time of the event; of a candle, its end"),
    ];
    columns.extend(own);
    columns.extend(provenance());
    spec(name, about, columns, "ts_exchange", SORT, example)
}

/// Origin of a row: the same in every market table.
fn provenance() -> [Column; 5] {
    [
        text("source", "source that the validators agreed on"),
        text("origin", "live, simulated or replay"),
        text("cid", "CID of the canonical chunk that holds this row"),
        time("window_start", "start of the chunk's window, by the venue's clock; partitions are cut by it"),
        integer("event_index", "position of the event in its chunk, from 0"),
    ]
}

pub(super) fn trades() -> TableSpec {
    table(
        "trades",
        "A trade as the venue reported it.",
        [
            text("side", "buy or sell: the taker's side; of coinbase the maker's"),
            decimal("price", "price in the quote asset"),
            decimal("size", "size in the base asset, or in contracts"),
            or_null(text("id", "the venue's id; null where it gives none")),
        ],
        "SELECT symbol, count(*) AS trades, sum(price * size) / sum(size) AS vwap FROM trades \
         GROUP BY symbol ORDER BY trades DESC",
    )
}

pub(super) fn book_levels() -> TableSpec {
    table(
        "book_levels",
        "One price level of an order book: a level as it stood when the window began (opening), or a change of a level \
         inside the window. Opening levels of a window, then its changes in order, give the book at any time in it.",
        [
            boolean("opening", "true for a level as it stood at the window's start, false for a change"),
            text("side", "buy (bids) or sell (asks)"),
            decimal("price", "price of the level"),
            decimal("size", "size at that price from now on; 0 removes the level"),
        ],
        "SELECT exchange, symbol, opening, count(*) AS levels FROM book_levels GROUP BY exchange, symbol, opening \
         ORDER BY levels DESC",
    )
}

pub(super) fn tickers() -> TableSpec {
    table(
        "tickers",
        "Best bid and ask.",
        [
            or_null(decimal("bid", "best bid price")),
            or_null(decimal("bid_size", "size at the best bid")),
            or_null(decimal("ask", "best ask price")),
            or_null(decimal("ask_size", "size at the best ask")),
            or_null(decimal("last", "last traded price")),
        ],
        "SELECT exchange, symbol, avg(ask - bid) AS spread FROM tickers GROUP BY exchange, symbol ORDER BY spread",
    )
}

pub(super) fn candles() -> TableSpec {
    table(
        "candles",
        "A closed candle as the venue makes it.",
        [
            time("start", "start of the interval, inclusive"),
            or_null(time("stop", "end of the interval, exclusive")),
            text("interval", "length: 1m, 5m, 1h, 1d"),
            decimal("open", "first price"),
            decimal("high", "highest price"),
            decimal("low", "lowest price"),
            decimal("close", "last price"),
            decimal("volume", "traded size"),
            or_null(integer("trades", "number of trades, where given")),
            or_null(boolean("closed", "whether the interval has ended; null where the venue does not say")),
        ],
        "SELECT symbol, start, open, high, low, close FROM candles ORDER BY start DESC LIMIT 20",
    )
}

pub(super) fn funding() -> TableSpec {
    table(
        "funding",
        "A funding rate of a perpetual.",
        [
            decimal("rate", "rate per interval as a fraction: 0.0001 is one basis point"),
            or_null(time("next_funding", "when it is paid next")),
            or_null(decimal("mark_price", "mark price sent with it")),
            or_null(decimal("predicted_rate", "the venue's estimate of the rate after that")),
        ],
        "SELECT exchange, symbol, max(rate) * 10000 AS basis_points FROM funding GROUP BY exchange, symbol",
    )
}

pub(super) fn open_interest() -> TableSpec {
    table(
        "open_interest",
        "Open interest of a contract.",
        [decimal("open_interest", "size in the venue's unit: base asset, or contracts")],
        "SELECT symbol, min(open_interest) AS low, max(open_interest) AS high FROM open_interest GROUP BY symbol",
    )
}

pub(super) fn liquidations() -> TableSpec {
    table(
        "liquidations",
        "A forced order.",
        [
            text("side", "side of the forced order: sell closes a long position"),
            decimal("price", "price"),
            decimal("size", "size"),
            or_null(text("id", "the venue's id, where given")),
        ],
        "SELECT symbol, side, count(*) AS orders, sum(price * size) AS value FROM liquidations GROUP BY symbol, side",
    )
}

pub(super) fn mark_prices() -> TableSpec {
    table(
        "mark_prices",
        "Mark price of a contract.",
        [decimal("price", "price in the quote asset")],
        "SELECT exchange, symbol, max(price) - min(price) AS span FROM mark_prices GROUP BY exchange, symbol",
    )
}

pub(super) fn index_prices() -> TableSpec {
    table(
        "index_prices",
        "Index price that a contract follows.",
        [decimal("price", "price in the quote asset")],
        "SELECT exchange, symbol, avg(price) AS price FROM index_prices GROUP BY exchange, symbol",
    )
}
