//! The guard in front of SQL.

use openmesh_pythia::fuzz::{Outcome, judge};

/// A text: refused with an error of its own, or one statement of which DataFusion's own check, made for that purpose,
/// finds that its plan only reads.
pub fn statement(data: &[u8]) {
    let Ok(sql) = std::str::from_utf8(data) else { return };
    match judge(sql) {
        Outcome::Planned { reads_only } => assert!(reads_only, "{sql:?} was let through and does not only read"),
        Outcome::NoPlan => {}
        Outcome::Refused(code) => {
            let known = ["refused_statement", "syntax", "query_too_long", "invalid_query", "unsupported"];
            assert!(known.contains(&code), "{sql:?} is refused with {code}");
        }
    }
}

/// Seeds of [`statement`].
pub fn statement_seeds() -> Vec<Vec<u8>> {
    [
        "SELECT 1",
        "WITH t AS (SELECT 1 AS a) SELECT a, count(*) FROM t GROUP BY a HAVING count(*) > 0 ORDER BY 1 LIMIT 5",
        "SELECT price * size FROM trades WHERE symbol = 'BTC.USD' AND ts_exchange > now() - interval '1 hour'",
        "SELECT date_bin(interval '60 seconds', ts) AS start, first_value(price ORDER BY ts) FROM (VALUES (now(), 1.5)) t(ts, price) GROUP BY 1",
        "EXPLAIN ANALYZE SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS t(n, s) WHERE n IN (SELECT 1 UNION ALL SELECT 2)",
        "SHOW TABLES; -- nothing",
        "DESCRIBE trades",
        "SELECT * INTO x FROM trades",
        "WITH x AS (INSERT INTO trades VALUES (1) RETURNING 1) SELECT * FROM x",
        "SELECT * FROM trades FOR UPDATE",
        "COPY (SELECT 1) TO '/tmp/x.csv'",
        "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'",
        "SET datafusion.execution.batch_size = 1",
        "DROP TABLE trades",
        "SELECT abs(abs(abs(abs(1))))",
        "SELECT [1, 2, 3][1], CASE WHEN true THEN 1 ELSE 2 END, '\u{e9}' || E'\\n'",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}
