//! Answers JSON-RPC from recorded blocks, so that a source can run against real data without a chain.
//!
//! Pure but for [`ReplayChain::load`]: [`ReplayChain::answer`] takes a request's body and gives the response's; the
//! listener is somebody else's. Recorded blocks are far apart (10000000, 15000000, ...). The head stands on one of them
//! and [`ReplayChain::advance`] moves it to the next; numbers in between, and those after the head, are answered with
//! null, as by a node that does not have them. Because no caller can try five million numbers, the extension method
//! `openmesh_nextBlockNumber` names the first recorded number from a given one on, as far as the head.

mod filter;
mod methods;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::file::{FileError, read_maybe_gz};
use crate::rpc;
use crate::verify::VerifyError;

/// Longest request that is answered.
pub const REQUEST_BYTES_MAX: usize = 1 << 20;
/// Most calls in a batch.
pub const BATCH_MAX: usize = 100;
/// Most logs in an answer to `eth_getLogs`, as public nodes have it.
pub const LOGS_MAX: usize = 10_000;

/// The method that this server has beyond the standard: `[number]` to the first recorded number from there on.
pub const NEXT_BLOCK_METHOD: &str = "openmesh_nextBlockNumber";

/// Why recordings cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The folder cannot be listed.
    #[error("{} could not be listed: {reason}", path.display())]
    Folder {
        /// Folder.
        path: PathBuf,
        /// What happened.
        reason: std::io::Error,
    },
    /// A file is not a node's answer.
    #[error("{name}: {reason}")]
    Content {
        /// Set.
        name: String,
        /// Why.
        reason: VerifyError,
    },
    /// Nothing to replay.
    #[error(
        "no block with receipts to replay; a set is a folder eth-* with eth_getBlockReceipts.json.gz and \
         eth_getBlockByNumber.full.json.gz or header.json.gz"
    )]
    Empty,
}

/// A recorded block, ready to be sent.
#[derive(Debug)]
struct Recorded {
    number: u64,
    hash: B256,
    /// `eth_getBlockByNumber` with full transactions, as recorded.
    full: Box<RawValue>,
    /// The same with hashes only.
    light: Box<RawValue>,
    receipts: Box<RawValue>,
    logs: Vec<filter::RecordedLog>,
}

/// Recorded blocks and a head that moves over them. Shared by reference between connections.
#[derive(Debug)]
pub struct ReplayChain {
    blocks: Vec<Recorded>,
    head: AtomicUsize,
    chain_id: u64,
}

impl ReplayChain {
    /// Loads all sets `eth-*` of a folder (or the folder itself, where it is a set) that have a header and receipts. The
    /// head stands on the first.
    ///
    /// # Errors
    /// [`ReplayError`].
    pub fn load(folder: impl AsRef<Path>) -> Result<ReplayChain, ReplayError> {
        let folder = folder.as_ref();
        let list = |reason| ReplayError::Folder { path: folder.to_owned(), reason };
        let mut sets = vec![folder.to_owned()];
        for entry in std::fs::read_dir(folder).map_err(list)? {
            let entry = entry.map_err(list)?;
            if entry.file_name().to_string_lossy().starts_with("eth-") {
                sets.push(entry.path());
            }
        }
        sets.sort();
        let mut blocks = Vec::new();
        for set in sets {
            let receipts = set.join("eth_getBlockReceipts.json.gz");
            let block = ["eth_getBlockByNumber.full.json.gz", "header.json.gz"].map(|name| set.join(name));
            if let Some(block) = block.iter().find(|path| path.is_file()).filter(|_| receipts.is_file()) {
                let name = set.display().to_string();
                blocks.push((name, read_maybe_gz(block)?, read_maybe_gz(receipts)?));
            }
        }
        ReplayChain::new(blocks)
    }

    /// From documents: a name for messages, the block with full transactions, its receipts; results or envelopes. The
    /// head stands on the lowest number.
    ///
    /// # Errors
    /// [`ReplayError`].
    pub fn new(documents: impl IntoIterator<Item = (String, Vec<u8>, Vec<u8>)>) -> Result<ReplayChain, ReplayError> {
        let mut blocks = BTreeMap::new();
        for (name, block, receipts) in documents {
            let recorded =
                Recorded::parse(&block, &receipts).map_err(|reason| ReplayError::Content { name, reason })?;
            blocks.insert(recorded.number, recorded);
        }
        let blocks: Vec<Recorded> = blocks.into_values().collect();
        if blocks.is_empty() {
            return Err(ReplayError::Empty);
        }
        Ok(ReplayChain { blocks, head: AtomicUsize::new(0), chain_id: 1 })
    }

    /// Height of the head.
    pub fn head(&self) -> u64 {
        self.visible().last().map_or(0, |block| block.number)
    }

    /// All recorded heights, in order.
    pub fn numbers(&self) -> Vec<u64> {
        self.blocks.iter().map(|block| block.number).collect()
    }

    /// Moves the head to the next recorded block; its height, or none at the end.
    pub fn advance(&self) -> Option<u64> {
        let moved = self.head.fetch_update(Ordering::AcqRel, Ordering::Acquire, |head| {
            let next = head + 1;
            (next < self.blocks.len()).then_some(next)
        });
        moved.ok().and_then(|before| self.blocks.get(before + 1)).map(|block| block.number)
    }

    /// Blocks up to the head.
    fn visible(&self) -> &[Recorded] {
        let head = self.head.load(Ordering::Acquire);
        self.blocks.get(..=head).unwrap_or(&self.blocks)
    }

    /// The response's body to a request's body; empty where the request holds notifications only, as JSON-RPC has it.
    pub fn answer(&self, request: &[u8]) -> Vec<u8> {
        if request.len() > REQUEST_BYTES_MAX {
            let message = format!("request of more than {REQUEST_BYTES_MAX} bytes");
            return bytes(&Response::error(Value::Null, RpcFailure::new(INVALID_REQUEST, message)));
        }
        let Ok(value) = serde_json::from_slice::<Value>(request) else {
            let failure = RpcFailure::new(PARSE_ERROR, "the request is not JSON");
            return bytes(&Response::error(Value::Null, failure));
        };
        match value {
            Value::Array(calls) if calls.is_empty() || calls.len() > BATCH_MAX => {
                let message = format!("a batch has 1 to {BATCH_MAX} calls");
                bytes(&Response::error(Value::Null, RpcFailure::new(INVALID_REQUEST, message)))
            }
            Value::Array(calls) => {
                let responses: Vec<Response<'_>> = calls.into_iter().filter_map(|call| self.call(call)).collect();
                if responses.is_empty() { Vec::new() } else { bytes(&responses) }
            }
            call => self.call(call).map(|response| bytes(&response)).unwrap_or_default(),
        }
    }

    fn call(&self, call: Value) -> Option<Response<'_>> {
        let Ok(Call { id, method, params, .. }) = serde_json::from_value::<Call>(call) else {
            let failure = RpcFailure::new(INVALID_REQUEST, "not a JSON-RPC 2.0 call");
            return Some(Response::error(Value::Null, failure));
        };
        let answer = methods::call(self, &method, &params);
        // A call without an id is a notification: nobody waits for an answer.
        let id = id?;
        Some(match answer {
            Ok(result) => Response { jsonrpc: "2.0", id, result: Some(result), error: None },
            Err(failure) => Response::error(id, failure),
        })
    }
}

impl Recorded {
    fn parse(block: &[u8], receipts: &[u8]) -> Result<Recorded, VerifyError> {
        let (parsed, transactions) = rpc::parse_block(block)?;
        let raw = |what: &str, text: &str| {
            RawValue::from_string(text.to_owned())
                .map_err(|e| VerifyError::Json { what: what.to_owned(), reason: e.to_string() })
        };
        let full = raw("block", rpc::result("block", block)?)?;
        let hashes: Option<Vec<B256>> = match transactions {
            rpc::RpcTransactions::Full(list) => Some(list.iter().map(|tx| tx.hash).collect()),
            rpc::RpcTransactions::Hashes(hashes) => Some(hashes),
            rpc::RpcTransactions::Absent => None,
        };
        let light = light(&full, hashes)?;
        let logs = filter::recorded_logs(receipts)?;
        let receipts = raw("receipts", rpc::result("receipts", receipts)?)?;
        Ok(Recorded { number: parsed.number.to(), hash: parsed.hash, full, light, receipts, logs })
    }
}

/// The block with hashes in place of transactions.
fn light(full: &RawValue, hashes: Option<Vec<B256>>) -> Result<Box<RawValue>, VerifyError> {
    let json = |e: serde_json::Error| VerifyError::Json { what: "block".to_owned(), reason: e.to_string() };
    let mut fields: BTreeMap<&str, Box<RawValue>> = serde_json::from_str(full.get()).map_err(json)?;
    if let Some(hashes) = hashes {
        fields.insert("transactions", serde_json::value::to_raw_value(&hashes).map_err(json)?);
    }
    serde_json::value::to_raw_value(&fields).map_err(json)
}

const PARSE_ERROR: i64 = -32700;
const INVALID_REQUEST: i64 = -32600;

#[derive(Deserialize)]
struct Call {
    /// Absent in a notification; null is an id like any other.
    #[serde(default, deserialize_with = "present")]
    id: Option<Value>,
    #[serde(rename = "jsonrpc")]
    _version: Version,
    method: String,
    #[serde(default)]
    params: Value,
}

#[derive(Deserialize)]
enum Version {
    #[serde(rename = "2.0")]
    Two,
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

#[derive(Serialize)]
struct Response<'a> {
    jsonrpc: &'static str,
    id: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Answer<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<RpcFailure>,
}

impl<'a> Response<'a> {
    fn error(id: Value, failure: RpcFailure) -> Response<'a> {
        Response { jsonrpc: "2.0", id, result: None, error: Some(failure) }
    }
}

/// A result: recorded text goes out untouched.
#[derive(Serialize)]
#[serde(untagged)]
enum Answer<'a> {
    Value(Value),
    Recorded(&'a RawValue),
    Logs(Vec<&'a RawValue>),
}

/// A JSON-RPC error.
#[derive(Debug, Serialize)]
struct RpcFailure {
    code: i64,
    message: String,
}

impl RpcFailure {
    fn new(code: i64, message: impl Into<String>) -> RpcFailure {
        RpcFailure { code, message: message.into() }
    }
}

fn bytes(value: &impl Serialize) -> Vec<u8> {
    // Values made of JSON are JSON again; nothing here can fail to serialise.
    serde_json::to_vec(value).unwrap_or_default()
}
