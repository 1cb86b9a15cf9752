//! Queries that want all time or all memory: each is stopped, gives back what it held, and the service goes on.
//!
//! A binary of its own, so that the most memory that this process ever had is what these queries took.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::time::{Duration, Instant};

use common::{ask, config};
use openmesh_pythia::{Config, Handle, Query, QueryError};
use serde_json::json;

const TIME_MS_MAX: u64 = 1_000;
const MEMORY_BYTES_MAX: usize = 64 << 20;

/// Time after its limit within which a query's work must have ended: one step of an operator or of a function cannot be
/// interrupted, and the machine may be busy.
const SOON_MS: u64 = 10_000;

/// Most memory that the process may need. Beside the limit for what operators hold, batches are on their way between them.
const PROCESS_BYTES_MAX: u64 = 700 << 20;

const STOPPED: [&str; 6] =
    ["timed_out", "memory_limit", "execution_failed", "invalid_query", "unknown_function", "syntax"];

/// The most memory that this process ever had, in bytes; 0 where the system does not tell.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap_or(0) * 1024
}

fn limits() -> Config {
    Config { time_ms_max: TIME_MS_MAX, memory_bytes_max: MEMORY_BYTES_MAX, concurrency: 1, ..config() }
}

/// Waits until nothing of the query is left, and says how it ended.
async fn stopped(handle: &Handle, sql: &str) -> &'static str {
    let text = &sql[..sql.floor_char_boundary(100)];
    let started = Instant::now();
    let answer = handle.query(Query::new(sql)).await;
    let answered = started.elapsed();
    while handle.load() != (0, 0) || handle.memory().reserved_bytes != 0 {
        let late = started.elapsed() > Duration::from_millis(TIME_MS_MAX + SOON_MS);
        assert!(!late, "goes on after its end: {:?} {:?}: {text}", handle.load(), handle.memory());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let code = answer.as_ref().map_or_else(QueryError::code, |_| "ok");
    let (ended, peak) = (started.elapsed(), peak_memory());
    let why = answer.as_ref().err().map(|error| format!(": {error}")).unwrap_or_default();
    let why = &why[..why.floor_char_boundary(200)];
    println!("{:>6} {:>6} ms {:>4} MB {code:<16} {text}{why}", answered.as_millis(), ended.as_millis(), peak >> 20);
    assert!(answered < Duration::from_millis(TIME_MS_MAX + SOON_MS), "{answered:?}: {text}");
    assert!(peak < PROCESS_BYTES_MAX, "{peak} bytes at the peak: {text}");
    assert!(handle.memory().peak_bytes <= MEMORY_BYTES_MAX, "{:?}: {text}", handle.memory());
    code
}

async fn all_stopped(queries: &[&str]) {
    let (_dir, handle) = ask(limits()).await;
    for sql in queries {
        let code = stopped(&handle, sql).await;
        assert!(STOPPED.contains(&code), "{code}: {}", &sql[..sql.floor_char_boundary(200)]);
    }
    // After all of that, an honest question is answered.
    let result = handle.query(Query::new("SELECT count(*) FROM trades")).await.unwrap();
    assert_eq!(result.rows, [[json!("75")]]);
}

#[tokio::test]
async fn endless_work() {
    all_stopped(&[
        "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
        "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT a.i + 1 FROM n a, (VALUES (1), (2)) b) SELECT sum(i) FROM n",
        "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i FROM n WHERE i > 0) SELECT max(i) FROM n",
        "SELECT count(*) FROM generate_series(1, 1000000000000)",
        "SELECT count(*) FROM range(1, 9000000000000000000)",
        "SELECT count(*) FROM generate_series(1, 1000000000000) WHERE value < 0",
        "EXPLAIN ANALYZE SELECT count(*) FROM generate_series(1, 1000000000000)",
        "SELECT a.value FROM generate_series(1, 1000000000000) a WHERE a.value % 7 = 8",
        "SELECT count(*) FROM generate_series(1, 1000000000000) a UNION ALL SELECT count(*) FROM generate_series(1, 1000000000000)",
    ])
    .await;
}

#[tokio::test]
async fn endless_joins() {
    all_stopped(&[
        // One batch of an input becomes a thousand million batches.
        "SELECT sum(a.price * f.size) FROM trades a, trades b, trades c, trades d, trades e, trades f",
        "SELECT count(*) FROM trades a, trades b, trades c, trades d, trades e, trades f WHERE a.price + f.price < 0",
        "SELECT sum(a.value * b.value) FROM generate_series(1, 10000000) a, generate_series(1, 10000000) b",
        // No pair fits, so that nothing comes out between.
        "SELECT count(*) FROM generate_series(1, 2000000) a JOIN generate_series(1, 2000000) b ON a.value > b.value + 9000000",
        "SELECT count(*) FROM generate_series(1, 2000000) a LEFT JOIN generate_series(1, 2000000) b ON a.value * b.value < 0",
        "SELECT count(*) FROM generate_series(1, 2000000) a FULL JOIN generate_series(1, 2000000) b ON a.value * b.value < 0",
        "SELECT count(*) FROM generate_series(1, 2000000) a WHERE NOT EXISTS \
         (SELECT 1 FROM generate_series(1, 2000000) b WHERE a.value * b.value < 0)",
        "SELECT count(*) FROM generate_series(1, 2000000) a WHERE EXISTS \
         (SELECT 1 FROM generate_series(1, 2000000) b WHERE a.value * b.value < 0)",
        // Equal keys on both sides.
        "SELECT count(*) FROM generate_series(1, 1000000) a JOIN generate_series(1, 1000000) b ON a.value * 0 = b.value * 0",
        "SELECT count(*) FROM generate_series(1, 1000000) a JOIN generate_series(1, 1000000) b \
         ON a.value * 0 = b.value * 0 AND a.value + b.value < 0",
        "SELECT count(*) FROM generate_series(1, 1000000) a WHERE a.value * 0 IN \
         (SELECT b.value * 0 FROM generate_series(1, 1000000) b WHERE b.value + a.value < 0)",
        "SELECT count(*) FROM generate_series(1, 1000000) a LEFT ANTI JOIN generate_series(1, 1000000) b \
         ON a.value * 0 = b.value * 0 AND a.value <> -b.value",
    ])
    .await;
}

#[tokio::test]
async fn boundless_state() {
    all_stopped(&[
        "SELECT count(DISTINCT value) FROM generate_series(1, 100000000)",
        "SELECT value % 10000000, count(*), array_agg(value) FROM generate_series(1, 100000000) GROUP BY 1",
        "SELECT value FROM generate_series(1, 100000000) ORDER BY value DESC OFFSET 50000000",
        "SELECT string_agg(repeat('x', 1000), '') FROM generate_series(1, 10000000)",
        "SELECT string_agg(value::text, ',') FROM generate_series(1, 100000000)",
        "SELECT array_length(array_agg(value)) FROM generate_series(1, 100000000)",
        "SELECT median(value) FROM generate_series(1, 100000000)",
        "SELECT count(*) FROM generate_series(1, 30000000) a JOIN generate_series(1, 30000000) b ON a.value = b.value",
        "SELECT count(*) FROM (SELECT value FROM generate_series(1, 100000000) UNION \
         SELECT value FROM generate_series(1, 100000000))",
        "SELECT max(s) FROM (SELECT sum(value) OVER () AS s FROM generate_series(1, 100000000))",
        "SELECT max(s) FROM (SELECT sum(value) OVER (PARTITION BY value % 2) AS s FROM generate_series(1, 100000000))",
        "SELECT max(s) FROM (SELECT lead(value, 50000000) OVER (ORDER BY value) AS s FROM generate_series(1, 100000000))",
        "SELECT max(s) FROM (SELECT sum(value) OVER (ORDER BY value ROWS BETWEEN 90000000 PRECEDING AND CURRENT ROW) AS s \
         FROM generate_series(1, 100000000))",
        "SELECT max(array_length(s)) FROM (SELECT array_agg(value) OVER (ORDER BY value) AS s FROM generate_series(1, 100000))",
        "SELECT max(length(s)) FROM (SELECT string_agg(value::text, '') OVER () AS s FROM generate_series(1, 100000))",
        "SELECT max(s) FROM (SELECT median(value) OVER (ORDER BY value) AS s FROM generate_series(1, 1000000))",
        "SELECT max(length(s)) FROM (SELECT first_value(t) OVER () AS s FROM \
         (SELECT repeat(value::text, 1000) AS t FROM generate_series(1, 1000000)))",
    ])
    .await;
}

#[tokio::test]
async fn much_out_of_little() {
    let doubled = (0..40).fold("SELECT 'x' AS s".to_string(), |sql, _| format!("SELECT s || s AS s FROM ({sql})"));
    let joined = format!("SELECT {} AS s FROM (SELECT repeat('x', 1000000) AS r)", vec!["r"; 2000].join(" || "));
    let replaced = (0..20).fold("'aaaa'".to_string(), |sql, _| format!("replace({sql}, 'a', 'aaaaaaaa')"));
    let lists =
        (0..40).fold("SELECT [1] AS l".to_string(), |sql, _| format!("SELECT array_concat(l, l) AS l FROM ({sql})"));
    let columns: Vec<String> = (0..600).map(|n| format!("repeat('{}', 1000000)", n % 10)).collect();
    let many = format!("SELECT {}", columns.join(", "));
    let many_rows = format!("SELECT {} FROM generate_series(1, 1000000)", columns.join(", "));
    all_stopped(&[
        "SELECT repeat('x', 2000000000)",
        "SELECT repeat(repeat('x', 60000), 60000)",
        "SELECT length(rpad('x', 2000000000))",
        "SELECT length(lpad('x', 2000000000, 'yz'))",
        "SELECT length(concat_ws(repeat('x', 10000000), 'a', 'b', 'c'))",
        "SELECT length(regexp_replace(repeat('x', 10000), '(.*)', repeat('\\1', 10000)))",
        "SELECT array_repeat(1, 2000000000)",
        "SELECT range(1, 2000000000)",
        &doubled,
        &joined,
        &format!("SELECT length({replaced})"),
        &lists,
        &many,
        &many_rows,
        // A value that stands in many rows.
        "SELECT max(length(y || v)) FROM (SELECT unnest(string_to_array(repeat('x,', 400000), ',')) AS v, repeat('y', 1000000) AS y)",
        "SELECT max(y) FROM (SELECT unnest(string_to_array(repeat('x,', 400000), ',')) AS v, repeat('y', 1000000) AS y) WHERE y || v > 'a'",
        "SELECT max(length(a.s || b.value::text)) FROM (SELECT repeat(value::text, 100000) AS s FROM generate_series(1, 9)) a, \
         generate_series(1, 100000) b",
        "SELECT max(a.s) FROM (SELECT value * 0 AS k, repeat(value::text, 100000) AS s FROM generate_series(1, 9)) a \
         JOIN generate_series(1, 1000000000) b ON a.k = b.value * 0",
        // Wide rows that an operator gathers until it has enough of them.
        "SELECT max(s) FROM (SELECT repeat(value::text, 100000) AS s, value FROM generate_series(1, 10000000)) \
         WHERE s || value::text <> 'a'",
    ])
    .await;
}

#[tokio::test]
async fn long_plans() {
    let (_dir, handle) = ask(limits()).await;
    for sql in [
        format!("SELECT 1{}", " + 1".repeat(2_400)),
        format!("SELECT price{} FROM trades", " * price".repeat(2_400)),
        format!("SELECT price{} FROM trades", " / 3".repeat(2_400)),
        format!("SELECT 'a'{}", " || 'a'".repeat(2_400)),
        format!("SELECT * FROM trades WHERE price = 1{}", " OR price = 1".repeat(1_200)),
        format!("SELECT CASE price{} END FROM trades", " WHEN 1 THEN 2".repeat(1_200)),
        format!("SELECT 1{}", " UNION SELECT 1".repeat(400)),
        format!("SELECT 1 FROM trades t{}", " JOIN trades USING (price)".repeat(200)),
        format!("SELECT {} FROM trades GROUP BY 1", vec!["sum(price * size)"; 500].join(", ")),
    ] {
        stopped(&handle, &sql).await;
    }
}

#[tokio::test]
async fn slow_functions() {
    all_stopped(&[
        "SELECT strpos(repeat('a', 1000000), repeat('a', 500000) || 'b')",
        "SELECT levenshtein(repeat('a', 900000), repeat('b', 900000))",
        "SELECT sum(levenshtein(repeat(value::text, 5000), repeat('b', 5000))) FROM generate_series(1, 100000)",
        "SELECT regexp_like(repeat('a', 1000000), '((a?){500}){500}b')",
        "SELECT repeat('a', 1000000) ~ '((a{0,900}){900}){900}b'",
        "SELECT count(*) FROM generate_series(1, 100000) WHERE repeat(value::text, 3000) ~ '(a?){300}(a){300}x'",
        "SELECT sum(regexp_count(repeat(value::text, 5000), '(1?2?3?){200}x')) FROM generate_series(1, 1000000)",
        "SELECT 'x' SIMILAR TO '((a{0,900}){900}){900}'",
        "SELECT sum(length(repeat(value::text, 100))) FROM generate_series(1, 1000000000)",
        "SELECT sum(length(md5(value::text))) FROM generate_series(1, 1000000000)",
    ])
    .await;
}

#[tokio::test]
async fn wide_answers_are_cut_not_refused() {
    let (_dir, handle) = ask(limits()).await;
    for sql in [
        "SELECT value, repeat('x', 100000) FROM generate_series(1, 1000000) ORDER BY 2, 1",
        "SELECT repeat('x', 1000000) FROM trades",
        "SELECT repeat(value::text, 10000) FROM generate_series(1, 1000000)",
        "SELECT sum(length(repeat('x', 1000000))) FROM generate_series(1, 1000000)",
        "SELECT unnest(string_to_array(repeat('x,', 20000), ','))",
        // What is asked of a value that stands in many rows is asked once.
        "SELECT count(*) FROM (SELECT unnest(string_to_array(repeat('x,', 400000), ',')), repeat('y', 1000000) AS y) WHERE y > 'z'",
    ] {
        assert_eq!(stopped(&handle, sql).await, "ok", "{sql}");
    }
}

#[tokio::test]
async fn a_place_is_given_back_though_nobody_reads() {
    let (_dir, handle) = ask(Config { rows_max: 100_000_000, ..limits() }).await;
    let mut stream = handle.stream(Query::new("SELECT value FROM generate_series(1, 100000000)")).await.unwrap();
    assert!(stream.next().await.unwrap().is_some());
    // The next question waits for the only place, which the stream holds until its time is over.
    let started = Instant::now();
    while handle.load() != (0, 0) {
        assert!(started.elapsed() < Duration::from_millis(TIME_MS_MAX + SOON_MS), "{:?}", handle.load());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(handle.query(Query::new("SELECT 1")).await.is_ok());
    let end = loop {
        match stream.next().await {
            Ok(Some(_)) => {}
            end => break end.map(|_| ()),
        }
    };
    assert_eq!(end, Err(QueryError::TimedOut { time_ms_max: TIME_MS_MAX }));
}
