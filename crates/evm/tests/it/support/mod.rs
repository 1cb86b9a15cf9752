//! Recordings, and blocks that are generated where there are none.

pub mod chain;
pub mod node;

use std::path::PathBuf;

use openmesh_evm::replay::ReplayChain;
use openmesh_evm::{Decoded, read_maybe_gz, write_json_lines};
use serde_json::Value;

/// The folder of recordings.
pub fn recordings() -> Option<PathBuf> {
    let named = std::env::var_os("OPENMESH_RECORDINGS").map(PathBuf::from);
    let beside = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data"));
    let found = [named, Some(beside)].into_iter().flatten().find(|folder| folder.is_dir());
    if found.is_none() {
        eprintln!("skipped: no recordings (OPENMESH_RECORDINGS, ../shared/data)");
    }
    found
}

/// A recorded block with header and receipts.
pub struct Set {
    pub name: &'static str,
    pub folder: PathBuf,
    pub block: Vec<u8>,
    pub receipts: Vec<u8>,
    /// True when transactions have bodies.
    pub bodies: bool,
}

/// All sets with header and receipts; none where there are no recordings.
pub fn sets() -> Vec<Set> {
    let Some(data) = recordings() else { return Vec::new() };
    let names = ["eth-10000000-receipts", "eth-15000000-receipts", "eth-18000000", "eth-18951920", "eth-20000000"];
    let set = |name: &'static str| {
        let folder = data.join(name);
        let bodies = !name.ends_with("-receipts");
        let block = if bodies { "eth_getBlockByNumber.full.json.gz" } else { "header.json.gz" };
        let block = read_maybe_gz(folder.join(block)).unwrap();
        let receipts = read_maybe_gz(folder.join("eth_getBlockReceipts.json.gz")).unwrap();
        Set { name, folder, block, receipts, bodies }
    };
    names.into_iter().map(set).collect()
}

/// Lines of a reference file. Its integers become strings, because they do not fit a JSON number in Rust.
pub fn lines(path: PathBuf) -> Vec<Value> {
    let text = String::from_utf8(read_maybe_gz(path).unwrap()).unwrap();
    serde_json::Deserializer::from_str(&quoted_integers(&text)).into_iter().map(Result::unwrap).collect()
}

fn quoted_integers(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let (mut in_string, mut in_number) = (false, false);
    for c in text.chars() {
        if in_number && !c.is_ascii_digit() {
            out.push('"');
            in_number = false;
        } else if !in_string && !in_number && c.is_ascii_digit() {
            out.push('"');
            in_number = true;
        }
        in_string ^= c == '"';
        out.push(c);
    }
    out
}

/// Output of `openmesh chain decode` as values of one type.
pub fn printed(decoded: &Decoded, kind: &str) -> Vec<Value> {
    let mut out = Vec::new();
    write_json_lines(decoded, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    let starts = format!("{{\"type\":\"{kind}\",");
    text.lines().filter(|line| line.starts_with(&starts)).map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The same number as text and as number are equal; null and absent are.
pub fn normal(value: &Value) -> Value {
    match value {
        Value::Number(number) => Value::String(number.to_string()),
        Value::Array(list) => list.iter().map(normal).collect(),
        Value::Object(fields) => fields
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name.clone(), normal(value)))
            .collect(),
        other => other.clone(),
    }
}

/// Every field of the reference, in ours.
pub fn assert_covers(ours: &Value, reference: &Value, what: &str) {
    for (name, expected) in reference.as_object().unwrap() {
        let found = ours.get(name).unwrap_or(&Value::Null);
        assert_eq!(normal(found), normal(expected), "{what}: {name}");
    }
}

/// A replaying server of generated blocks, its head on the first.
pub fn replay_of(blocks: &[chain::Made]) -> ReplayChain {
    let documents = blocks.iter().map(|made| (made.number.to_string(), made.block_bytes(), made.receipts_bytes()));
    ReplayChain::new(documents).unwrap()
}
