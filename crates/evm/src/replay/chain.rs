//! Recorded blocks and a head that moves over them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use alloy_primitives::B256;
use serde_json::value::RawValue;

use super::filter;
use crate::file::{FileError, read_maybe_gz};
use crate::report::VerifyError;
use crate::rpc;

/// The method that this server has beyond the standard: `[number]` to the first recorded number from there on.
pub const NEXT_BLOCK_METHOD: &str = "openmesh_nextBlockNumber";

/// Reason that recordings cannot be replayed.
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
        /// Cause.
        reason: std::io::Error,
    },
    /// A file is not a node's answer.
    #[error("{name}: {reason}")]
    Content {
        /// Set.
        name: String,
        /// Fault.
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
pub(super) struct Recorded {
    pub number: u64,
    pub hash: B256,
    /// `eth_getBlockByNumber` with full transactions, as recorded.
    pub full: Box<RawValue>,
    /// The same with hashes only.
    pub light: Box<RawValue>,
    pub receipts: Box<RawValue>,
    pub logs: Vec<filter::RecordedLog>,
}

/// Recorded blocks and a head that moves over them. Shared by reference between connections.
#[derive(Debug)]
pub struct ReplayChain {
    pub(super) blocks: Vec<Recorded>,
    head: AtomicUsize,
    pub(super) chain_id: u64,
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
    pub(super) fn visible(&self) -> &[Recorded] {
        let head = self.head.load(Ordering::Acquire);
        self.blocks.get(..=head).unwrap_or(&self.blocks)
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
