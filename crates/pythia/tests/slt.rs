//! Runs `tests/sql/*.slt`: queries and what they answer, as text.
//!
//! The format is that of sqllogictest, as far as it is used here: `query` and `----` around the SQL, then a row a line
//! with cells divided by blanks (blanks in a cell are written as `␠`, null as `NULL`, nothing as `(empty)`), or
//! `query error <code>`. With `OPENMESH_UPDATE=1` the files are rewritten with what was answered: look at the
//! difference before committing it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::fmt::Write;
use std::path::{Path, PathBuf};

use openmesh_pythia::{Handle, Query};
use serde_json::Value;

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sql");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "slt"));
    files.sort();
    files
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_string(),
        Value::String(text) if text.is_empty() => "(empty)".to_string(),
        Value::String(text) => text.replace(' ', "␠").replace('\n', "⏎"),
        other => other.to_string(),
    }
}

async fn answer(handle: &Handle, sql: &str) -> (String, String) {
    match handle.query(Query::new(sql)).await {
        Ok(result) => {
            let rows = result.rows.iter().map(|row| row.iter().map(cell).collect::<Vec<_>>().join(" ") + "\n");
            ("query".to_string(), format!("----\n{}", rows.collect::<String>()))
        }
        Err(error) => {
            let mut told = format!("----\n{error}\n");
            if let Some(hint) = error.hint() {
                writeln!(told, "hint: {hint}").unwrap();
            }
            (format!("query error {}", error.code()), told)
        }
    }
}

/// The same file with every answer as it is now.
async fn run(handle: &Handle, text: &str) -> String {
    let mut out = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if !line.starts_with("query") {
            out.push_str(line);
            out.push('\n');
            continue;
        }
        let mut sql = Vec::new();
        for line in lines.by_ref() {
            if line == "----" {
                break;
            }
            sql.push(line);
        }
        while lines.peek().is_some_and(|line| !line.is_empty()) {
            lines.next();
        }
        let sql = sql.join("\n");
        let (head, body) = answer(handle, &sql).await;
        write!(out, "{head}\n{sql}\n{body}").unwrap();
    }
    out
}

#[tokio::test]
async fn files_of_queries_answer_as_written() {
    let (_dir, handle) = common::ask(common::config()).await;
    let files = files();
    assert!(!files.is_empty());
    for file in files {
        let expected = std::fs::read_to_string(&file).unwrap();
        let found = run(&handle, &expected).await;
        if std::env::var_os("OPENMESH_UPDATE").is_some() {
            std::fs::write(&file, found).unwrap();
            continue;
        }
        for (at, (expected, found)) in expected.lines().zip(found.lines()).enumerate() {
            assert_eq!(expected, found, "{}:{}", file.display(), at + 1);
        }
        assert_eq!(expected, found, "{}", file.display());
    }
}
