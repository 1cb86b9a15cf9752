//! Queries that want to do harm: each is stopped with its own error, soon, and the service goes on.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::time::{Duration, Instant};

use common::{ask, config};
use openmesh_pythia::{Config, Handle, Limits, Query, QueryError};

/// Time within which a query must be answered: its limit, and what a planning step that cannot be interrupted may add
/// on a busy machine.
const ANSWER_MS_MAX: u64 = 20_000;

async fn code(handle: &Handle, sql: &str) -> &'static str {
    let started = Instant::now();
    let answer = handle.query(Query::new(sql)).await;
    let elapsed = started.elapsed();
    println!("{:>7} ms {}", elapsed.as_millis(), &sql[..sql.floor_char_boundary(80)]);
    assert!(elapsed < Duration::from_millis(ANSWER_MS_MAX), "{elapsed:?}: {}", &sql[..sql.floor_char_boundary(80)]);
    answer.map_or_else(|error| error.code(), |_| "ok")
}

async fn idle(handle: &Handle) {
    let patience = Instant::now() + Duration::from_millis(ANSWER_MS_MAX);
    while handle.load() != (0, 0) {
        assert!(Instant::now() < patience, "work goes on after its end: {:?}", handle.load());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn deep_and_long_queries_are_refused_or_answered_never_a_crash() {
    let (_dir, handle) = ask(Config { time_ms_max: 5_000, ..config() }).await;
    let nested =
        |n: usize, open: &str, inner: &str, close: &str| format!("SELECT {}{inner}{}", open.repeat(n), close.repeat(n));
    for n in [10, 40, 60, 200, 2_000] {
        for sql in [
            nested(n, "(", "1", ")"),
            nested(n, "abs(", "1", ")"),
            nested(n, "NOT ", "true", ""),
            nested(n, "- ", "1", ""),
            nested(n, "CASE WHEN true THEN ", "1", " END"),
            nested(n, "(SELECT ", "1", ")"),
            nested(n, "[", "1", "]"),
            format!("SELECT 1{}", " + 1".repeat(n)),
            format!("SELECT true{}", " AND price > 1".repeat(n)) + " FROM trades",
            format!("SELECT * FROM trades WHERE id IN ('0'{})", ", '1'".repeat(n)),
            format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(n.min(400))),
            format!("SELECT {} FROM trades", vec!["price"; n].join(", ")),
            format!("SELECT 1 FROM trades t0{}", (1..n.min(60)).map(|i| format!(", trades t{i}")).collect::<String>()),
        ] {
            let code = code(&handle, &sql).await;
            let fine = ["ok", "syntax", "query_too_long", "invalid_query", "timed_out"].contains(&code);
            assert!(fine, "{code}: {} times {}", n, &sql[..sql.floor_char_boundary(60)]);
        }
    }
    idle(&handle).await;
}

/// Bytes from a small generator: the same in every run.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

#[tokio::test]
async fn garbage_is_told_apart_from_questions() {
    let (_dir, handle) = ask(config()).await;
    let words = [
        "SELECT", "FROM", "trades", "price", "(", ")", ",", "*", "'x'", "1", "WHERE", "AND", "=", "GROUP BY", "WITH",
        "AS", "JOIN", "ON", "UNION", "ORDER BY", "LIMIT", "CASE", "WHEN", "END", "[", "]", "||", "::", "INTERVAL",
        "OVER", "NULL", "EXPLAIN", "SHOW", "COPY", ";", "--", "/*", "\"", "$1", "?", "@x", "\\", "\u{0}", "💥",
        "e'\\x00'", "TABLE", "IN",
    ];
    let mut answered = 0;
    for seed in 0..400u64 {
        let bytes = noise(seed, 40);
        // Invalid UTF-8 cannot be in a `String`; whoever reads a request replaces or refuses it.
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let soup: Vec<&str> = bytes.iter().map(|b| words[usize::from(*b) % words.len()]).collect();
        for sql in [text, soup.join(" "), format!("SELECT {}", soup[..6].join(" "))] {
            let code = code(&handle, &sql).await;
            assert_ne!(code, "internal", "{sql:?}");
            answered += usize::from(code == "ok");
        }
    }
    assert!(answered < 200, "{answered} of 1,200 are questions");
    assert_eq!(code(&handle, &"SELECT 1; ".repeat(1000)).await, "syntax");
}

#[tokio::test]
async fn limits_of_rows_and_bytes_cut_and_tell() {
    let (_dir, handle) = ask(Config { rows_max: 20, result_bytes_max: 2_000, ..config() }).await;
    let ask = async |sql: &str, limits: Limits| {
        let query = Query { limits, ..Query::new(sql) };
        let result = handle.query(query).await.unwrap();
        (result.rows.len(), result.truncated)
    };
    let own = Limits::default();
    assert_eq!(ask("SELECT price FROM trades", own).await, (20, true));
    assert_eq!(ask("SELECT price FROM trades LIMIT 20", own).await, (20, false));
    assert_eq!(ask("SELECT price FROM trades", Limits { rows_max: Some(3), ..own }).await, (3, true));
    // A query cannot raise the service's limit.
    assert_eq!(ask("SELECT price FROM trades", Limits { rows_max: Some(1_000_000), ..own }).await, (20, true));
    let (rows, truncated) = ask("SELECT repeat('x', 500) FROM trades", own).await;
    assert!(truncated && rows == 3, "{rows}");
    assert_eq!(ask("SELECT repeat('x', 5000)", own).await, (0, true));
    idle(&handle).await;
}

#[tokio::test]
async fn places_of_ones_own_are_not_taken_by_others() {
    let (_dir, handle) = ask(Config { concurrency: 1, queue_max: 0, ..config() }).await;
    let apart = handle.apart(1);
    // Held open, it keeps its place.
    let _running = handle.stream(Query::new("SELECT * FROM generate_series(1, 100000000)")).await.unwrap();
    assert_eq!(code(&handle, "SELECT 1").await, "too_many_queries");
    assert_eq!(code(&apart, "SELECT 1").await, "ok");
    idle(&apart).await;
    assert_eq!(handle.load(), (1, 0));
}

#[tokio::test]
async fn time_cancel_and_drop_stop_the_work() {
    let endless = "SELECT sum(a.value * b.value) FROM generate_series(1, 100000000) a, generate_series(1, 100000000) b";
    let (_dir, handle) = ask(config()).await;
    let limits = Limits { time_ms_max: Some(50), ..Limits::default() };
    let error = handle.query(Query { limits, ..Query::new(endless) }).await.unwrap_err();
    assert_eq!(error, QueryError::TimedOut { time_ms_max: 50 });
    idle(&handle).await;

    let query = Query::new(endless);
    let cancel = query.cancel.clone();
    let asking = tokio::spawn({
        let handle = handle.clone();
        async move { handle.query(query).await }
    });
    while handle.load().0 == 0 {
        tokio::task::yield_now().await;
    }
    cancel.cancel();
    assert_eq!(asking.await.unwrap().unwrap_err(), QueryError::Cancelled);
    idle(&handle).await;

    let asking = tokio::spawn({
        let handle = handle.clone();
        async move { handle.query(Query::new(endless)).await }
    });
    while handle.load().0 == 0 {
        tokio::task::yield_now().await;
    }
    asking.abort();
    assert!(asking.await.unwrap_err().is_cancelled());
    idle(&handle).await;

    // A stream that nobody reads on.
    let mut stream = handle.stream(Query::new("SELECT value FROM generate_series(1, 100000000)")).await.unwrap();
    assert!(stream.next().await.unwrap().is_some());
    drop(stream);
    idle(&handle).await;
}

#[tokio::test]
async fn the_queue_is_bounded() {
    let endless = "SELECT sum(a.value * b.value) FROM generate_series(1, 100000000) a, generate_series(1, 100000000) b";
    let (_dir, handle) = ask(Config { concurrency: 1, queue_max: 1, ..config() }).await;
    let first = Query::new(endless);
    let stop = first.cancel.clone();
    let spawn = |query: Query| {
        let handle = handle.clone();
        tokio::spawn(async move { handle.query(query).await })
    };
    let running = spawn(first);
    while handle.load().0 == 0 {
        tokio::task::yield_now().await;
    }
    let waiting = spawn(Query::new("SELECT 1"));
    while handle.load().1 == 0 {
        tokio::task::yield_now().await;
    }
    let third = handle.query(Query::new("SELECT 1")).await.unwrap_err();
    assert_eq!(third, QueryError::TooManyQueries { running: 1, waiting: 1 });
    // What is no question is told at once, queue or not.
    assert_eq!(handle.query(Query::new("DROP TABLE trades")).await.unwrap_err().code(), "refused_statement");
    stop.cancel();
    assert_eq!(running.await.unwrap().unwrap_err(), QueryError::Cancelled);
    assert_eq!(waiting.await.unwrap().unwrap().rows.len(), 1);
    // Waiting counts as time.
    idle(&handle).await;
    let blocked = Query::new(endless);
    let stop = blocked.cancel.clone();
    let running = spawn(blocked);
    while handle.load().0 == 0 {
        tokio::task::yield_now().await;
    }
    let limits = Limits { time_ms_max: Some(30), ..Limits::default() };
    let late = handle.query(Query { limits, ..Query::new("SELECT 1") }).await.unwrap_err();
    assert_eq!(late.code(), "timed_out");
    stop.cancel();
    running.await.unwrap().unwrap_err();
    idle(&handle).await;
}
