//! A lake with known rows, half in files and half in memory.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use openmesh_lake::{AcceptedChunkMeta, Config as LakeConfig, Lake, LedgerBlock, LedgerBlockRow, LedgerTransactionRow};
use openmesh_market::event::Side;
use openmesh_market::window::{BookRow, Chunk, ChunkHeader, Rows, Stream, TradeRow, WindowIndex, WindowLength};
use openmesh_market::{Exchange, Feed};
use openmesh_primitives::{Amount, Decimal, Timestamp};
use openmesh_pythia::{Config, Handle, Pythia};
use tempfile::TempDir;

pub const WINDOW_MS: u32 = 10_000;
/// 2026-08-09T21:00:00Z in windows of 10 s.
pub const WINDOW_0: i64 = 1_786_309_200 / 10;

pub fn chunk(exchange: Exchange, symbol: &str, feed: Feed, window: i64, rows: Rows) -> Chunk {
    let stream = Stream { exchange, symbol: symbol.parse().unwrap(), feed };
    Chunk::encode(ChunkHeader::new(stream, WindowIndex(window), WindowLength::from_ms(WINDOW_MS)).unwrap(), rows)
        .unwrap()
}

pub fn trades(exchange: Exchange, symbol: &str, window: i64, count: usize) -> Chunk {
    let start = window * i64::from(WINDOW_MS) * 1_000_000;
    let step = i64::from(WINDOW_MS) * 1_000_000 / count.max(1) as i64;
    let rows = (0..count)
        .map(|at| TradeRow {
            ts: Timestamp(start + at as i64 * step),
            id: (exchange != Exchange::Kraken).then(|| format!("{}", window * 1000 + at as i64)),
            side: if at % 3 == 0 { Side::Sell } else { Side::Buy },
            price: Decimal::new(6_000_000 + i128::from(window - WINDOW_0) * 100 + at as i128, 2),
            size: Decimal::new(1 + at as i128 % 5, 1),
        })
        .collect();
    chunk(exchange, symbol, Feed::Trades, window, Rows::Trades(rows))
}

pub async fn append(lake: &Lake, chunk: &Chunk) {
    let stream = chunk.stream();
    let meta = AcceptedChunkMeta {
        source: stream.exchange.name().to_string(),
        origin: "simulated".to_string(),
        cid: chunk.cid,
        window: chunk.header.index().0 as u64,
        stream: stream.name(),
        height: 1,
    };
    lake.append_chunk(&meta, &chunk.bytes).await.unwrap();
}

fn book(window: i64) -> Chunk {
    let start = window * i64::from(WINDOW_MS) * 1_000_000;
    let level = |opening, at: i64, side, price: &str, size: &str| BookRow {
        opening,
        ts: Timestamp(start + at * 1_000_000),
        side,
        price: price.parse().unwrap(),
        size: size.parse().unwrap(),
    };
    let rows = vec![
        level(true, 0, Side::Buy, "60000.1", "1.5"),
        level(true, 0, Side::Sell, "60000.2", "2"),
        level(false, 100, Side::Sell, "60000.2", "0"),
    ];
    chunk(Exchange::Binance, "BTC.USDT", Feed::Book, window, Rows::Book(rows))
}

fn ledger_block(height: u64) -> LedgerBlock {
    let transaction = LedgerTransactionRow {
        hash: format!("{height:064x}"),
        class: "account".into(),
        sender: "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed".into(),
        action: "transfer".into(),
        nonce: Some(height - 1),
        fee: Amount::open(1),
        bytes: 150,
        error: (height == 3).then(|| "overdraft".into()),
    };
    LedgerBlock {
        block: LedgerBlockRow {
            height,
            time: Timestamp::from_millis(1_786_309_200_000 + height as i64 * 1000),
            proposer: format!("validator-{}", height % 2),
            round: 0,
            bytes: 400,
            signatures: 4,
            ..Default::default()
        },
        transactions: vec![transaction],
        ..Default::default()
    }
}

/// Two hours of two venues: files for the first hour and half of the second, the rest in memory.
pub async fn filled(dir: &TempDir) -> Lake {
    let lake = Lake::open(dir.path(), LakeConfig::default()).await.unwrap();
    for window in [0, 1, 360, 361, 362] {
        append(&lake, &trades(Exchange::Kraken, "BTC.USD", WINDOW_0 + window, 10)).await;
        append(&lake, &trades(Exchange::Binance, "BTC.USDT", WINDOW_0 + window, 5)).await;
        if [1, 360].contains(&window) {
            lake.flush().await.unwrap();
        }
    }
    append(&lake, &book(WINDOW_0)).await;
    for height in 1..=4 {
        lake.append_ledger_block(&ledger_block(height)).await.unwrap();
    }
    lake
}

pub async fn ask(config: Config) -> (TempDir, Handle) {
    let dir = TempDir::new().unwrap();
    let lake = filled(&dir).await;
    let handle = Pythia::start(config, lake).unwrap();
    (dir, handle)
}

/// Two threads, so that plans are the same on every machine.
pub fn config() -> Config {
    Config { threads: 2, ..Config::default() }
}
