//! Figures: rows appended a second, and how long questions over a million trades take.
//!
//! `cargo test -p openmesh-pythia --test measure -- --ignored --nocapture`
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::time::{Duration, Instant};

use common::{WINDOW_0, append, config, trades};
use openmesh_lake::{Config as LakeConfig, Lake};
use openmesh_market::Exchange;
use openmesh_pythia::{Pythia, Query};
use tempfile::TempDir;

const WINDOWS: i64 = 1_000;
const TRADES_A_WINDOW: usize = 1_000;
const REPEATS: usize = 9;

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[tokio::test]
#[ignore = "measures"]
async fn a_million_trades() {
    let chunks: Vec<_> = (0..WINDOWS)
        .map(|window| {
            let (exchange, symbol) =
                [(Exchange::Kraken, "BTC.USD"), (Exchange::Binance, "BTC.USDT")][window as usize % 2];
            trades(exchange, symbol, WINDOW_0 + window, TRADES_A_WINDOW)
        })
        .collect();
    let dir = TempDir::new().unwrap();
    let lake = Lake::open(dir.path(), LakeConfig::default()).await.unwrap();
    let started = Instant::now();
    for chunk in &chunks {
        append(&lake, chunk).await;
    }
    lake.flush().await.unwrap();
    let appended = started.elapsed();
    let rows = (WINDOWS * TRADES_A_WINDOW as i64) as f64;
    println!("append and flush: {:.0} rows/s", rows / appended.as_secs_f64());
    println!("{:?}", lake.status());
    let handle = Pythia::start(config(), lake).unwrap();
    for sql in [
        "SELECT 1",
        "SELECT count(*) FROM trades",
        "SELECT symbol, count(*), min(price), max(price) FROM trades GROUP BY symbol",
        "SELECT symbol, sum(price * size) / sum(size) AS vwap FROM trades GROUP BY symbol",
        "SELECT * FROM trades ORDER BY ts_exchange DESC LIMIT 100",
        "SELECT * FROM trades WHERE symbol = 'BTC.USD' AND ts_exchange >= TIMESTAMP '2026-08-09T22:00:00Z' AND \
         ts_exchange < TIMESTAMP '2026-08-09T22:00:30Z' LIMIT 1000",
        "SELECT date_bin(INTERVAL '1 minute', ts_exchange) AS start, first_value(price ORDER BY ts_exchange) AS open, \
         max(price) AS high, min(price) AS low, last_value(price ORDER BY ts_exchange) AS close, sum(size) AS volume \
         FROM trades WHERE symbol = 'BTC.USD' GROUP BY start ORDER BY start",
    ] {
        let mut times = Vec::new();
        for _ in 0..REPEATS {
            let started = Instant::now();
            handle.query(Query::new(sql)).await.unwrap();
            times.push(started.elapsed());
        }
        println!("{:>8.1?} first {:>8.1?}  {sql}", median(times.clone()), times[0]);
    }
}
