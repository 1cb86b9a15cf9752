//! A node's JSON as it comes: lenient in what differs between nodes (absent or null fields, whole envelope or result
//! alone), strict in what a field holds. Everything here is a claim; [`crate::verify`] judges it.
//!
//! Own structs instead of `alloy-rpc-types-eth`: that one demands fields that older nodes and recordings do not have
//! (`effectiveGasPrice`, bodies), and takes transaction hashes as given.
//!
//! Source: <https://github.com/ethereum/execution-apis>.

use alloy_primitives::{Address, B64, B256, Bloom, Bytes, U64, U128, U256};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::DOCUMENT_BYTES_MAX;
use crate::report::VerifyError;

/// A block's header, with what was given along with it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RpcBlock<'a> {
    pub number: U64,
    pub hash: B256,
    pub parent_hash: B256,
    pub nonce: B64,
    pub sha3_uncles: B256,
    pub logs_bloom: Bloom,
    pub transactions_root: B256,
    pub state_root: B256,
    pub receipts_root: B256,
    pub miner: Address,
    pub difficulty: U256,
    pub extra_data: Bytes,
    pub gas_limit: U64,
    pub gas_used: U64,
    pub timestamp: U64,
    pub mix_hash: B256,
    pub base_fee_per_gas: Option<U64>,
    pub withdrawals_root: Option<B256>,
    pub blob_gas_used: Option<U64>,
    pub excess_blob_gas: Option<U64>,
    pub parent_beacon_block_root: Option<B256>,
    pub requests_hash: Option<B256>,
    pub block_access_list_hash: Option<B256>,
    pub slot_number: Option<U64>,
    pub withdrawals: Option<Vec<RpcWithdrawal>>,
    pub uncles: Option<Vec<B256>>,
    #[serde(borrow)]
    transactions: Option<Vec<&'a RawValue>>,
}

/// The transactions of a block as far as they were given.
#[derive(Debug)]
pub(crate) enum RpcTransactions {
    /// Bodies.
    Full(Vec<RpcTransaction>),
    /// Hashes only.
    Hashes(Vec<B256>),
    /// Not even these.
    Absent,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RpcWithdrawal {
    pub index: U64,
    pub validator_index: U64,
    pub address: Address,
    pub amount: U64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RpcTransaction {
    pub hash: B256,
    pub nonce: U64,
    pub block_hash: Option<B256>,
    pub block_number: Option<U64>,
    pub block_timestamp: Option<U64>,
    pub transaction_index: Option<U64>,
    pub from: Address,
    pub to: Option<Address>,
    pub value: U256,
    pub gas: U64,
    pub gas_price: Option<U128>,
    pub input: Bytes,
    pub max_fee_per_gas: Option<U128>,
    pub max_priority_fee_per_gas: Option<U128>,
    #[serde(rename = "type")]
    pub kind: Option<U64>,
    pub max_fee_per_blob_gas: Option<U128>,
    pub blob_versioned_hashes: Option<Vec<B256>>,
    pub chain_id: Option<U64>,
    pub access_list: Option<Vec<RpcAccessListItem>>,
    pub authorization_list: Option<Vec<RpcAuthorization>>,
    pub v: Option<U64>,
    pub y_parity: Option<U64>,
    pub r: U256,
    pub s: U256,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RpcAccessListItem {
    pub address: Address,
    pub storage_keys: Vec<B256>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RpcAuthorization {
    pub chain_id: U256,
    pub address: Address,
    pub nonce: U64,
    /// Nodes name the byte `yParity`, early ones `v`, some both.
    pub y_parity: Option<U64>,
    pub v: Option<U64>,
    pub r: U256,
    pub s: U256,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RpcReceipt {
    pub transaction_hash: B256,
    pub transaction_index: U64,
    pub block_hash: B256,
    pub block_number: U64,
    pub cumulative_gas_used: U64,
    pub gas_used: U64,
    pub contract_address: Option<Address>,
    pub root: Option<Bytes>,
    pub status: Option<U64>,
    pub effective_gas_price: Option<U128>,
    pub blob_gas_price: Option<U128>,
    pub blob_gas_used: Option<U64>,
    pub from: Address,
    pub to: Option<Address>,
    #[serde(rename = "type")]
    pub kind: Option<U64>,
    pub logs_bloom: Bloom,
    pub logs: Vec<RpcLog>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RpcLog {
    pub address: Address,
    pub topics: Vec<B256>,
    pub data: Bytes,
    pub block_hash: Option<B256>,
    pub block_number: Option<U64>,
    pub block_timestamp: Option<U64>,
    pub transaction_hash: Option<B256>,
    pub transaction_index: Option<U64>,
    pub log_index: U64,
    #[serde(default)]
    pub removed: bool,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<RpcErrorObject>,
}

/// A JSON-RPC error.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct RpcErrorObject {
    pub code: i64,
    #[serde(default)]
    pub message: String,
}

/// The block and its transactions.
pub(crate) fn parse_block(bytes: &[u8]) -> Result<(RpcBlock<'_>, RpcTransactions), VerifyError> {
    let what = "block";
    let text = result(what, bytes)?;
    if text.starts_with('[') {
        let reason = "a list, where one block is expected".to_owned();
        return Err(VerifyError::Json { what: what.to_owned(), reason });
    }
    let block: RpcBlock<'_> = json(what, text)?;
    let transactions = match &block.transactions {
        None => RpcTransactions::Absent,
        Some(list) if list.first().is_some_and(|first| first.get().starts_with('"')) => {
            RpcTransactions::Hashes(each("transaction", list)?)
        }
        Some(list) => RpcTransactions::Full(each("transaction", list)?),
    };
    Ok((block, transactions))
}

/// All receipts of a block.
pub(crate) fn parse_receipts(bytes: &[u8]) -> Result<Vec<RpcReceipt>, VerifyError> {
    let what = "receipts";
    each("receipt", &json::<Vec<&RawValue>>(what, result(what, bytes)?)?)
}

/// The only answer of a batch (`[{"jsonrpc": ...}]`) or of a recorded test (`[{"request": ..., "response": ...}]`); any
/// other document as it is.
pub(crate) fn unpacked(document: &[u8]) -> &[u8] {
    #[derive(Deserialize)]
    struct Recorded<'a> {
        #[serde(borrow)]
        jsonrpc: Option<&'a RawValue>,
        #[serde(borrow)]
        response: Option<&'a RawValue>,
    }
    if document.len() > DOCUMENT_BYTES_MAX || document.trim_ascii_start().first() != Some(&b'[') {
        return document;
    }
    let Ok([only]) = serde_json::from_slice::<[&RawValue; 1]>(document) else { return document };
    match serde_json::from_str(only.get()) {
        Ok(Recorded { response: Some(response), .. }) => response.get().as_bytes(),
        Ok(Recorded { jsonrpc: Some(_), .. }) => only.get().as_bytes(),
        _ => document,
    }
}

/// The result within the envelope, or the whole document where there is none.
pub(crate) fn result<'a>(what: &str, bytes: &'a [u8]) -> Result<&'a str, VerifyError> {
    if bytes.len() > DOCUMENT_BYTES_MAX {
        return Err(VerifyError::TooLarge { what: what.to_owned() });
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|e| VerifyError::Json { what: what.to_owned(), reason: e.to_string() })?
        .trim_ascii();
    if text == "null" {
        return Err(VerifyError::Null { what: what.to_owned() });
    }
    if !text.starts_with('{') {
        return Ok(text);
    }
    let envelope: Envelope<'_> = json(what, text)?;
    match envelope {
        Envelope { error: Some(RpcErrorObject { code, message }), .. } => {
            Err(VerifyError::Rpc { what: what.to_owned(), code, message })
        }
        Envelope { result: Some(result), .. } => Ok(result.get()),
        // `"result": null` and no result at all look the same here.
        Envelope { jsonrpc: Some(_), .. } => Err(VerifyError::Null { what: what.to_owned() }),
        _ => Ok(text),
    }
}

fn json<'a, T: Deserialize<'a>>(what: &str, text: &'a str) -> Result<T, VerifyError> {
    serde_json::from_str(text).map_err(|e| VerifyError::Json { what: what.to_owned(), reason: e.to_string() })
}

fn each<'a, T: Deserialize<'a>>(what: &str, list: &[&'a RawValue]) -> Result<Vec<T>, VerifyError> {
    let item = |(at, raw): (usize, &&'a RawValue)| json(&format!("{what} {at}"), raw.get());
    list.iter().enumerate().map(item).collect()
}
