//! The methods, each as the execution API has it (<https://github.com/ethereum/execution-apis>).

use alloy_primitives::B256;
use serde_json::Value;

use super::answer::{Answer, RpcFailure};
use super::chain::{NEXT_BLOCK_METHOD, Recorded, ReplayChain};
use super::filter::LogFilter;

/// Most logs in an answer to `eth_getLogs`, as public nodes have it.
pub const LOGS_MAX: usize = 10_000;

const METHOD_NOT_FOUND: i64 = -32601;
const INVALID_PARAMS: i64 = -32602;
const LIMIT_EXCEEDED: i64 = -32005;
const SERVER_ERROR: i64 = -32000;

pub(super) fn call<'a>(chain: &'a ReplayChain, method: &str, params: &Value) -> Result<Answer<'a>, RpcFailure> {
    let parameter = |at: usize| params.get(at).unwrap_or(&Value::Null);
    match method {
        "eth_chainId" => Ok(quantity(chain.chain_id)),
        "net_version" => Ok(Answer::Value(chain.chain_id.to_string().into())),
        "eth_syncing" => Ok(Answer::Value(false.into())),
        "eth_blockNumber" => Ok(quantity(chain.head())),
        NEXT_BLOCK_METHOD => {
            let from = parse_quantity(parameter(0)).ok_or_else(|| invalid("a number as 0x and hexadecimal digits"))?;
            let next = chain.visible().iter().find(|block| block.number >= from);
            Ok(next.map_or(Answer::Value(Value::Null), |block| quantity(block.number)))
        }
        "eth_getBlockByNumber" => {
            let block = by_number(chain, parameter(0))?;
            Ok(body(block, full(parameter(1))?))
        }
        "eth_getBlockByHash" => {
            let hash = parse_hash(parameter(0)).ok_or_else(|| invalid("a block's hash"))?;
            Ok(body(by_hash(chain, hash), full(parameter(1))?))
        }
        "eth_getBlockReceipts" => {
            let block = by_number_or_hash(chain, parameter(0))?;
            Ok(block.map_or(Answer::Value(Value::Null), |block| Answer::Recorded(&block.receipts)))
        }
        "eth_getLogs" => logs(chain, parameter(0)),
        _ => Err(RpcFailure::new(METHOD_NOT_FOUND, format!("the replay has no method {method}"))),
    }
}

fn invalid(expected: &str) -> RpcFailure {
    RpcFailure::new(INVALID_PARAMS, format!("invalid parameters: {expected} is expected"))
}

fn quantity<'a>(value: u64) -> Answer<'a> {
    Answer::Value(format!("{value:#x}").into())
}

fn parse_quantity(value: &Value) -> Option<u64> {
    let digits = value.as_str()?.strip_prefix("0x")?;
    let hexadecimal = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
    if hexadecimal { u64::from_str_radix(digits, 16).ok() } else { None }
}

fn parse_hash(value: &Value) -> Option<B256> {
    value.as_str().filter(|text| text.starts_with("0x"))?.parse().ok()
}

/// Returns true when full transactions are wanted.
fn full(value: &Value) -> Result<bool, RpcFailure> {
    match value {
        Value::Null => Ok(false),
        value => value.as_bool().ok_or_else(|| invalid("true or false as second parameter")),
    }
}

fn body(block: Option<&Recorded>, full: bool) -> Answer<'_> {
    match block {
        None => Answer::Value(Value::Null),
        Some(block) => Answer::Recorded(if full { &block.full } else { &block.light }),
    }
}

/// A height from a number or a tag.
fn height(chain: &ReplayChain, value: &Value) -> Result<u64, RpcFailure> {
    match value.as_str() {
        Some("latest" | "pending" | "safe" | "finalized") => Ok(chain.head()),
        Some("earliest") => Ok(chain.blocks.first().map_or(0, |block| block.number)),
        _ => parse_quantity(value).ok_or_else(|| invalid("a block's number or tag")),
    }
}

fn by_number<'a>(chain: &'a ReplayChain, value: &Value) -> Result<Option<&'a Recorded>, RpcFailure> {
    let number = height(chain, value)?;
    let blocks = chain.visible();
    Ok(blocks.binary_search_by_key(&number, |block| block.number).ok().and_then(|at| blocks.get(at)))
}

fn by_hash(chain: &ReplayChain, hash: B256) -> Option<&Recorded> {
    chain.visible().iter().find(|block| block.hash == hash)
}

/// EIP-1898: a number, a tag, a hash, or an object with one of them.
fn by_number_or_hash<'a>(chain: &'a ReplayChain, value: &Value) -> Result<Option<&'a Recorded>, RpcFailure> {
    let inner = value.get("blockHash").or_else(|| value.get("blockNumber")).unwrap_or(value);
    match parse_hash(inner) {
        Some(hash) => Ok(by_hash(chain, hash)),
        None => by_number(chain, inner),
    }
}

fn logs<'a>(chain: &'a ReplayChain, value: &Value) -> Result<Answer<'a>, RpcFailure> {
    let filter = LogFilter::parse(value).ok_or_else(|| invalid("a log filter"))?;
    let blocks: Vec<&Recorded> = match value.get("blockHash") {
        Some(hash) if !hash.is_null() => {
            if value.get("fromBlock").is_some() || value.get("toBlock").is_some() {
                return Err(invalid("either blockHash or fromBlock and toBlock"));
            }
            let hash = parse_hash(hash).ok_or_else(|| invalid("a block's hash"))?;
            vec![by_hash(chain, hash).ok_or_else(|| RpcFailure::new(SERVER_ERROR, "unknown block"))?]
        }
        _ => {
            let bound = |name| value.get(name).filter(|value| !value.is_null());
            let from = bound("fromBlock").map_or(Ok(chain.head()), |value| height(chain, value))?;
            let to = bound("toBlock").map_or(Ok(chain.head()), |value| height(chain, value))?;
            if from > to {
                return Err(invalid("a fromBlock that is not after toBlock"));
            }
            chain.visible().iter().filter(|block| (from..=to).contains(&block.number)).collect()
        }
    };
    let matching = blocks.iter().flat_map(|block| &block.logs).filter(|log| filter.matches(log));
    let found: Vec<_> = matching.map(|log| &*log.raw).take(LOGS_MAX + 1).collect();
    if found.len() > LOGS_MAX {
        return Err(RpcFailure::new(LIMIT_EXCEEDED, format!("more than {LOGS_MAX} logs; ask for fewer blocks")));
    }
    Ok(Answer::Logs(found))
}
