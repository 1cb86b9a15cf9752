//! `openmesh sql`.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Read, Write};

use openmesh_api::{SqlColumn, SqlRequest, SqlResponse, TablesStatus};
use serde_json::Value;

use super::client::Client;
use crate::cli::{SqlArgs, TableFormat};
use crate::failure::Failure;

/// Largest query read from standard input, in bytes; the node refuses larger ones anyway.
const QUERY_BYTES_MAX: u64 = 256 * 1024;

/// Runs the query and prints its result.
pub async fn run(arguments: SqlArgs) -> Result<(), Failure> {
    let sql = match arguments.query {
        Some(query) => query,
        None => read_query()?,
    };
    let client = Client::new(&arguments.node.api)?;
    let request = SqlRequest { sql, limit: arguments.limit, timeout_ms: None, query_id: None };
    let response: SqlResponse = client.post("/v1/sql", &request).await?;
    let text = match arguments.format {
        TableFormat::Table => table(&response),
        TableFormat::Csv => csv(&response),
        TableFormat::Json => json_lines(&response),
    };
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            return Err(Failure::from_display("standard output", &error));
        }
        _ => {}
    }
    let rows = response.rows.len();
    let cut = match (response.truncated, arguments.limit) {
        (false, _) => "",
        (true, Some(limit)) if rows >= limit as usize => ", more were left off (--limit)",
        (true, _) => ", more were left off: this node gives no more at once",
    };
    let origin = match response.origin {
        openmesh_api::Origin::Live => "live data",
        openmesh_api::Origin::Simulated => "SIMULATED data: these prices are not real",
        openmesh_api::Origin::Replay => "replayed recordings",
    };
    let s = if rows == 1 { "" } else { "s" };
    eprintln!("{rows} row{s}{cut}; {} ms; {}; {origin}", response.elapsed_ms, extent(&response.tables));
    Ok(())
}

/// The part of the ledger that an answer covers, in words.
fn extent(tables: &TablesStatus) -> String {
    let TablesStatus { height, chunks_height, chunks_awaited, chunks_unavailable, chunks_missing } = *tables;
    let mut text = format!("up to block {height}");
    let lacking = chunks_awaited + chunks_unavailable + chunks_missing;
    if lacking > 0 {
        text.push_str(&format!(" without {lacking} agreed chunks"));
    }
    if chunks_unavailable > 0 {
        text.push_str(&format!(", {chunks_unavailable} of which no connected node holds"));
    }
    if chunks_height < height {
        text.push_str(&format!("; chunks after block {chunks_height} are not counted"));
    }
    text
}

fn read_query() -> Result<String, Failure> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        eprintln!("type a query, then Ctrl-D:");
    }
    let mut query = String::new();
    stdin
        .lock()
        .take(QUERY_BYTES_MAX)
        .read_to_string(&mut query)
        .map_err(|e| Failure::from_display("standard input", &e))?;
    if query.trim().is_empty() {
        return Err(Failure::usage("no query").hint("openmesh sql \"select * from trades limit 5\""));
    }
    Ok(query)
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Aligned columns; numbers to the right.
fn table(response: &SqlResponse) -> String {
    let rows: Vec<Vec<String>> = response.rows.iter().map(|row| row.iter().map(cell).collect()).collect();
    let width = |column: usize, name: &str| {
        rows.iter()
            .filter_map(|r| r.get(column))
            .map(|c| c.chars().count())
            .chain([name.chars().count()])
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = response.columns.iter().enumerate().map(|(i, c)| width(i, &c.name)).collect();
    let right: Vec<bool> = response
        .columns
        .iter()
        .map(|c| ["DECIMAL", "BIGINT", "INT", "DOUBLE", "REAL", "UINT", "FLOAT"].iter().any(|k| c.kind.contains(k)))
        .collect();
    let mut text = String::new();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        let joined: Vec<String> = cells
            .enumerate()
            .map(|(i, c)| {
                let pad = " ".repeat(widths.get(i).copied().unwrap_or(0).saturating_sub(c.chars().count()));
                if right.get(i).copied().unwrap_or(false) { format!("{pad}{c}") } else { format!("{c}{pad}") }
            })
            .collect();
        text.push_str(joined.join("  ").trim_end());
        text.push('\n');
    };
    line(&mut response.columns.iter().map(|c| c.name.as_str()));
    let rules: Vec<String> = widths.iter().map(|w| "-".repeat(*w)).collect();
    line(&mut rules.iter().map(String::as_str));
    for row in &rows {
        line(&mut row.iter().map(String::as_str));
    }
    text
}

/// RFC 4180.
fn csv(response: &SqlResponse) -> String {
    let quote = |text: &str| {
        if text.contains([',', '"', '\n', '\r']) {
            format!("\"{}\"", text.replace('"', "\"\""))
        } else {
            text.to_string()
        }
    };
    let header: Vec<String> = response.columns.iter().map(|c| quote(&c.name)).collect();
    let mut text = header.join(",") + "\r\n";
    for row in &response.rows {
        let cells: Vec<String> = row.iter().map(|v| quote(&cell(v))).collect();
        text.push_str(&cells.join(","));
        text.push_str("\r\n");
    }
    text
}

/// Names for an object's fields: of columns with the same name, the later ones are numbered.
fn field_names(columns: &[SqlColumn]) -> Vec<String> {
    let mut seen: BTreeMap<String, usize> = columns.iter().map(|column| (column.name.clone(), 0)).collect();
    let mut names = Vec::new();
    for SqlColumn { name, .. } in columns {
        let times = seen.get(name).copied().unwrap_or(0);
        let unique = (times + 1..).map(|n| if n == 1 { name.clone() } else { format!("{name}_{n}") });
        let free = unique.into_iter().find(|unique| unique == name && times == 0 || !seen.contains_key(unique));
        let free = free.unwrap_or_else(|| name.clone());
        seen.insert(free.clone(), 1);
        seen.entry(name.clone()).and_modify(|n| *n = times + 1);
        names.push(free);
    }
    names
}

fn json_lines(response: &SqlResponse) -> String {
    let mut text = String::new();
    let names = field_names(&response.columns);
    for row in &response.rows {
        let object: serde_json::Map<String, Value> = names.iter().cloned().zip(row.iter().cloned()).collect();
        text.push_str(&Value::Object(object).to_string());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use openmesh_api::{Origin, SqlColumn};

    fn response() -> SqlResponse {
        let column = |name: &str, kind: &str| SqlColumn { name: name.into(), kind: kind.into(), description: None };
        SqlResponse {
            query_id: "q".into(),
            origin: Origin::Replay,
            columns: vec![column("symbol", "TEXT"), column("price", "DECIMAL(38,18)")],
            rows: vec![vec!["BTC.USDT".into(), "61800.2".into()], vec!["say \"hi\", you".into(), Value::Null]],
            truncated: false,
            tables: TablesStatus::default(),
            elapsed_ms: 1,
        }
    }

    #[test]
    fn aligned() {
        let expected = "symbol           price\n-------------  -------\nBTC.USDT       61800.2\nsay \"hi\", you\n";
        assert_eq!(table(&response()), expected);
    }

    #[test]
    fn columns_of_one_name_are_all_there() {
        let names = |names: &[&str]| {
            let column = |name: &&str| SqlColumn { name: (*name).into(), kind: "TEXT".into(), description: None };
            field_names(&names.iter().map(column).collect::<Vec<_>>())
        };
        assert_eq!(names(&["a", "b"]), ["a", "b"]);
        assert_eq!(names(&["price", "price", "price"]), ["price", "price_2", "price_3"]);
        assert_eq!(names(&["a", "a", "a_2", "a"]), ["a", "a_3", "a_2", "a_4"]);
    }

    #[test]
    fn separated() {
        assert_eq!(csv(&response()), "symbol,price\r\nBTC.USDT,61800.2\r\n\"say \"\"hi\"\", you\",\r\n");
        assert!(json_lines(&response()).starts_with("{\"price\":\"61800.2\",\"symbol\":\"BTC.USDT\"}\n"));
    }
}
