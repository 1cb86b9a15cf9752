//! Chunks to append in tests: deterministic, so that a killed process and the one after it make the same ones.

use openmesh_lake::AcceptedChunkMeta;
use openmesh_market::event::{Candle, Funding, Liquidation, Side, Ticker};
use openmesh_market::window::{
    BookRow, CandleRow, Chunk, ChunkHeader, FundingRow, LiquidationRow, OpenInterestRow, PriceRow, Rows, Stream,
    TickerRow, TradeRow, WindowIndex, WindowLength,
};
use openmesh_market::{Exchange, Feed};
use openmesh_primitives::{Decimal, Symbol, Timestamp};

pub const WINDOW_MS: u32 = 10_000;
/// 2026-08-09T21:00:00Z in windows of 10 s.
pub const WINDOW_0: i64 = 1_786_309_200 / 10;

pub fn stream(exchange: Exchange, symbol: &str, feed: Feed) -> Stream {
    Stream { exchange, symbol: symbol.parse::<Symbol>().unwrap(), feed }
}

pub fn chunk(stream: Stream, window: i64, rows: Rows) -> Chunk {
    Chunk::encode(ChunkHeader::new(stream, WindowIndex(window), WindowLength::from_ms(WINDOW_MS)).unwrap(), rows)
        .unwrap()
}

pub fn meta(chunk: &Chunk) -> AcceptedChunkMeta {
    let stream = chunk.stream();
    AcceptedChunkMeta {
        source: stream.exchange.name().to_string(),
        origin: "simulated".to_string(),
        cid: chunk.cid,
        window: chunk.header.index().0 as u64,
        stream: stream.name(),
        height: 1,
    }
}

pub fn d(text: &str) -> Decimal {
    text.parse().unwrap()
}

/// Trades of one window: `count` of them, prices and sizes that depend on the window.
pub fn trades(symbol: &str, window: i64, count: usize) -> Chunk {
    let stream = stream(Exchange::Kraken, symbol, Feed::Trades);
    let start = window * i64::from(WINDOW_MS) * 1_000_000;
    let rows = (0..count)
        .map(|at| TradeRow {
            ts: Timestamp(start + at as i64 * 1_000_000),
            id: Some(format!("{window}-{at}")),
            side: if at % 2 == 0 { Side::Buy } else { Side::Sell },
            price: Decimal::new(6_000_000 + i128::from(window % 1000) * 10 + at as i128, 2),
            size: Decimal::new(1 + at as i128 % 7, 3),
        })
        .collect();
    chunk(stream, window, Rows::Trades(rows))
}

/// A chunk of every feed that has one, with every optional cell both set and not.
pub fn one_of_each(window: i64) -> Vec<Chunk> {
    let perp = |feed| stream(Exchange::Okx, "BTC.USDT-PERP", feed);
    let start = window * i64::from(WINDOW_MS) * 1_000_000;
    let ts = |at: i64| Timestamp(start + at * 1_000_000);
    let ticker = Ticker { bid: Some(d("1.1")), bid_size: Some(d("2")), ask: None, ask_size: None, last: Some(d("0")) };
    let candle = Candle {
        start: Timestamp(start - 60_000_000_000),
        stop: None,
        interval: "1m".to_string(),
        open: d("1"),
        high: d("3.50"),
        low: d("0.5"),
        close: d("2"),
        volume: d("1e-8"),
        trades: Some(7),
        closed: None,
    };
    let liquidation = Liquidation { side: Side::Sell, price: d("9"), size: d("1"), id: None };
    let funding = Funding { rate: d("-0.0001"), next_funding: None, mark_price: Some(d("5")), predicted_rate: None };
    let level = |opening, at, side, price: &str, size: &str| BookRow {
        opening,
        ts: ts(at),
        side,
        price: d(price),
        size: d(size),
    };
    let other = stream(Exchange::BinanceFutures, "BTC.USDT-PERP", Feed::Ticker);
    vec![
        trades("BTC.USD", window, 5),
        chunk(
            perp(Feed::Book),
            window,
            Rows::Book(vec![
                level(true, 0, Side::Buy, "100.5", "1"),
                level(true, 0, Side::Sell, "100.6", "2"),
                level(false, 5, Side::Buy, "100.5", "0"),
                level(false, 5, Side::Sell, "100.7", "0.00000001"),
            ]),
        ),
        chunk(other, window, Rows::Ticker(vec![TickerRow { ts: ts(1), ticker }])),
        chunk(perp(Feed::Candles), window, Rows::Candles(vec![CandleRow { ts: ts(0), candle }])),
        chunk(perp(Feed::Funding), window, Rows::Funding(vec![FundingRow { ts: ts(2), funding }])),
        chunk(
            perp(Feed::OpenInterest),
            window,
            Rows::OpenInterest(vec![OpenInterestRow { ts: ts(3), open_interest: d("123456.789") }]),
        ),
        chunk(perp(Feed::Liquidations), window, Rows::Liquidations(vec![LiquidationRow { ts: ts(4), liquidation }])),
        chunk(perp(Feed::MarkPrice), window, Rows::Prices(vec![PriceRow { ts: ts(5), price: d("1") }])),
        chunk(perp(Feed::IndexPrice), window, Rows::Prices(vec![])),
    ]
}

/// A block of a chain.
pub mod block {
    use openmesh_chain::{Block, Log, Receipt, Transaction, U256};

    /// A block with the largest number that a column must hold.
    pub fn largest() -> Block {
        Block {
            number: 20_000_000,
            hash: [1; 32],
            parent_hash: [0; 32],
            nonce: [0; 8],
            sha3_uncles: [0; 32],
            logs_bloom: [0; 256],
            transactions_root: [0; 32],
            state_root: [0; 32],
            receipts_root: [0; 32],
            miner: [2; 20],
            difficulty: U256([0xff; 32]),
            size: None,
            extra_data: vec![],
            gas_limit: 30_000_000,
            gas_used: 1,
            timestamp: 1_786_309_211,
            transaction_count: Some(0),
            base_fee_per_gas: Some(7_000_000_001),
            withdrawals_root: None,
            withdrawals: None,
            blob_gas_used: None,
            excess_blob_gas: None,
            mix_hash: [0; 32],
            parent_beacon_block_root: None,
            requests_hash: None,
            block_access_list_hash: None,
            slot_number: None,
        }
    }

    /// Canonical bytes of the block without transactions.
    pub fn canonical() -> Vec<u8> {
        type Body = (Block, Option<Vec<Transaction>>, Option<Vec<Receipt>>, Vec<Log>);
        let body: Body = (largest(), Some(vec![]), None, vec![]);
        [vec![1], borsh::to_vec(&body).unwrap()].concat()
    }
}
