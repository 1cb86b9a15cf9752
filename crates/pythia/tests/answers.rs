//! Answers in every form, over tables that change.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use bytes::Bytes;
use common::{WINDOW_0, append, ask, config, trades};
use openmesh_lake::{Config as LakeConfig, Lake, Table};
use openmesh_market::Exchange;
use openmesh_pythia::{Format, Handle, Limits, Pythia, Query};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A long query among many others begins anew on other threads, and its answer is the same.
#[tokio::test]
async fn short_and_long_queries_among_many_have_the_same_answers() {
    let (_dir, handle) = ask(config()).await;
    for sql in
        ["SELECT count(*) FROM trades", "SELECT count(DISTINCT value % 1000003) FROM generate_series(1, 1500000)"]
    {
        let alone = rows(&handle, sql).await;
        for quick in [true, false] {
            assert_eq!(handle.query_among_many(Query::new(sql), quick).await.unwrap().rows, alone, "{sql}");
        }
    }
    let error = handle.query_among_many(Query::new("SELECT nothing"), true).await.unwrap_err();
    assert_eq!(error, handle.query(Query::new("SELECT nothing")).await.unwrap_err());
}

async fn rows(handle: &Handle, sql: &str) -> Vec<Vec<Value>> {
    handle.query(Query::new(sql)).await.unwrap().rows
}

#[tokio::test]
async fn every_column_of_every_table_can_be_asked_for_and_every_example_answers() {
    let (_dir, handle) = ask(config()).await;
    let catalogue = handle.catalogue();
    assert_eq!(catalogue.len(), Table::ALL.len());
    for table in &catalogue {
        let names: Vec<&str> = table.columns.iter().map(|c| c.name.as_str()).collect();
        let sql = format!("SELECT {} FROM {} LIMIT 1", names.join(", "), table.name);
        let result = handle.query(Query::new(&sql)).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        let kinds: Vec<(&str, &str)> = result.columns.iter().map(|c| (c.name.as_str(), c.kind.as_str())).collect();
        let expected: Vec<(&str, &str)> = table.columns.iter().map(|c| (c.name.as_str(), c.kind.as_str())).collect();
        assert_eq!(kinds, expected);
        handle.query(Query::new(&table.example)).await.unwrap_or_else(|e| panic!("{}: {e}", table.example));
        assert_eq!(
            rows(&handle, &format!("SELECT count(*) FROM {}", table.name)).await,
            [[json!(table.rows.to_string())]]
        );
    }
    let trades = catalogue.iter().find(|t| t.name == "trades").unwrap();
    assert_eq!((trades.rows, trades.time_column.as_str()), (75, "ts_exchange"));
    assert!(trades.files > 1);
}

#[tokio::test]
async fn cells_are_exact_in_json() {
    let (_dir, handle) = ask(config()).await;
    let result = handle
        .query(Query::new(
            "SELECT 1::INT AS i, 9223372036854775807 AS big, 1.50 AS d, 'x' AS t, true AS b, NULL AS n, 1.5::DOUBLE AS f, \
             TIMESTAMP '2026-08-09T21:05:48.228568804Z' AS ts, DATE '2026-08-09' AS day, 'NaN'::DOUBLE AS nan, \
             ARRAY[1, 2] AS list, 0.00::DECIMAL(10, 2) AS zero, -0.10 AS minus",
        ))
        .await
        .unwrap();
    let expected = json!([
        1,
        "9223372036854775807",
        "1.5",
        "x",
        true,
        null,
        1.5,
        "2026-08-09T21:05:48.228568804",
        "2026-08-09",
        "NaN",
        "[1, 2]",
        "0",
        "-0.1"
    ]);
    assert_eq!(json!(result.rows[0]), expected);
    assert!(!result.truncated && result.rows_scanned == 0);
    let json = serde_json::to_value(&result).unwrap();
    assert_eq!(json["columns"][1], json!({ "name": "big", "type": "bigint" }));
}

async fn exported(handle: &Handle, sql: &str, format: Format, limits: Limits) -> (Vec<u8>, bool) {
    let mut export = handle.export(Query { limits, ..Query::new(sql) }, format).await.unwrap();
    let mut all = Vec::new();
    while let Some(piece) = export.next().await.unwrap() {
        all.extend(piece);
    }
    (all, export.truncated())
}

#[tokio::test]
async fn answers_as_files() {
    let (_dir, handle) = ask(config()).await;
    let sql = "SELECT symbol, price, id, 'a,\"b' AS odd, '' AS empty FROM trades ORDER BY price, symbol LIMIT 2";
    let (csv, cut) = exported(&handle, sql, Format::Csv, Limits::default()).await;
    let expected = "symbol,price,id,odd,empty\r\nBTC.USD,60000,,\"a,\"\"b\",\"\"\r\nBTC.USDT,60000,178630920000,\"a,\"\"b\",\"\"\r\n";
    let csv = String::from_utf8(csv).unwrap();
    assert_eq!(csv.replace(&(WINDOW_0 * 1000).to_string(), "178630920000"), expected);
    assert!(!cut);
    let (lines, _) = exported(&handle, sql, Format::JsonLines, Limits::default()).await;
    let first: Value = serde_json::from_slice(lines.split(|b| *b == b'\n').next().unwrap()).unwrap();
    assert_eq!(first, json!({ "symbol": "BTC.USD", "price": "60000", "id": null, "odd": "a,\"b", "empty": "" }));
    let (file, _) = exported(&handle, "SELECT symbol, price FROM trades", Format::Parquet, Limits::default()).await;
    let reader = datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(Bytes::from(file));
    let count: usize = reader.unwrap().build().unwrap().map(|b| b.unwrap().num_rows()).sum();
    assert_eq!(count, 75);

    // Columns of the same name are all there, in every form.
    let twins = "SELECT a.symbol, b.symbol, a.price, b.price FROM trades a JOIN trades b ON a.id = b.id AND a.symbol = b.symbol \
                 WHERE a.id IS NOT NULL ORDER BY a.id LIMIT 1";
    let (lines, _) = exported(&handle, twins, Format::JsonLines, Limits::default()).await;
    let found = String::from_utf8(lines).unwrap();
    assert!(found.starts_with(r#"{"symbol":"BTC.USDT","symbol_2":"BTC.USDT","price":"#), "{found}");
    assert!(found.contains(r#","price_2":"#), "{found}");
    let (csv, _) = exported(&handle, twins, Format::Csv, Limits::default()).await;
    assert!(csv.starts_with(b"symbol,symbol_2,price,price_2\r\n"));
    let (file, _) = exported(&handle, twins, Format::Parquet, Limits::default()).await;
    let reader = datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(Bytes::from(file));
    let reader = reader.unwrap();
    let names: Vec<&str> = reader.schema().fields().iter().map(|f| f.name().as_str()).collect();
    assert_eq!(names, ["symbol", "symbol_2", "price", "price_2"]);

    for format in [Format::Csv, Format::JsonLines] {
        let limits = Limits { result_bytes_max: Some(300), ..Limits::default() };
        let (bytes, cut) = exported(&handle, "SELECT symbol, price FROM trades", format, limits).await;
        assert!(cut && bytes.len() <= 330, "{}", bytes.len());
    }
    let limits = Limits { rows_max: Some(5), ..Limits::default() };
    let (csv, cut) = exported(&handle, "SELECT price FROM trades", Format::Csv, limits).await;
    assert_eq!((csv.iter().filter(|b| **b == b'\n').count(), cut), (6, true));
}

#[tokio::test]
async fn files_outside_the_asked_time_are_not_read() {
    let (_dir, handle) = ask(config()).await;
    let all = handle.query(Query::new("SELECT price FROM trades")).await.unwrap();
    assert_eq!((all.rows.len(), all.rows_scanned), (75, 75));
    // Files: hour 21 (30 rows), the first window of hour 22 (15). Memory: 30 rows.
    let early = "SELECT price FROM trades WHERE ts_exchange < TIMESTAMP '2026-08-09T21:30:00Z'";
    let early = handle.query(Query::new(early)).await.unwrap();
    assert_eq!((early.rows.len(), early.rows_scanned), (30, 60));
    let plan =
        rows(&handle, "EXPLAIN SELECT price FROM trades WHERE ts_exchange < TIMESTAMP '2026-08-09T21:30:00Z'").await;
    let plan = plan.iter().flatten().filter_map(Value::as_str).collect::<String>();
    assert!(plan.contains("hour=21") && !plan.contains("hour=22"), "{plan}");
    assert!(plan.contains("projection=[price]") || plan.contains("projection=[ts_exchange, price]"), "{plan}");
}

#[tokio::test]
async fn a_query_sees_one_moment_while_the_lake_goes_on() {
    let dir = TempDir::new().unwrap();
    let lake = Lake::open(dir.path(), LakeConfig { flush_rows_max: 60, compact_files_min: 3, ..LakeConfig::default() });
    let lake = lake.await.unwrap();
    let handle = Pythia::start(config(), lake.clone()).unwrap();
    let writing = async {
        for window in 0..40 {
            append(&lake, &trades(Exchange::Kraken, "BTC.USD", WINDOW_0 + window, 10)).await;
            lake.compact().await.unwrap();
        }
    };
    let asking = async {
        let mut last = 0;
        for _ in 0..40 {
            // Both halves look at the same moment, and no window is seen in part or twice.
            let sql = "SELECT (SELECT count(*) FROM trades) AS counted, count(DISTINCT cid) * 10, count(*) FROM trades";
            let row = rows(&handle, sql).await.remove(0);
            assert!(row[0] == row[1] && row[1] == row[2], "{row:?}");
            let now: u64 = row[0].as_str().unwrap().parse().unwrap();
            assert!(now >= last);
            last = now;
        }
    };
    tokio::join!(writing, asking);
    assert_eq!(rows(&handle, "SELECT count(*) FROM trades").await, [[json!("400")]]);
}
