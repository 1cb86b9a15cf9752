//! The two protocols that the generator speaks: how a transaction is handed in, what an answer means, how blocks are told and read.

use std::io;

use data_encoding::BASE64;
use openmesh_primitives::{canonical, sha256};
use serde_json::Value;

use crate::door::{Blocks, Door, post};

/// Status of a transaction that was taken.
pub const TAKEN: u16 = 202;
/// Status of one that is to come again: the door or the pool behind it is full.
pub const BUSY: u16 = 429;
/// Status of one that was refused.
const REFUSED: u16 = 400;
/// Status of an answer that is no answer to the question.
const FAILED: u16 = 500;
const JSON: &str = "application/json";
/// Words that ask CometBFT for its blocks: the event that has the number of their transactions and not the transactions.
const SUBSCRIBE: &str =
    r#"{"jsonrpc":"2.0","id":1,"method":"subscribe","params":{"query":"tm.event='NewBlockEvents'"}}"#;

/// A protocol of doors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Ours: `POST /v1/transactions`.
    Openmesh,
    /// CometBFT's JSON-RPC: `broadcast_tx_sync`, which answers after the check of the pool, as ours does.
    CometBft,
}

/// A block as a node tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewBlock {
    pub height: u64,
    pub transactions: u64,
    /// Round in which it was decided, where the node tells it.
    pub round: i64,
}

impl Protocol {
    /// The request that hands transactions in: one as a person does, several at once as bytes, for which CometBFT has no door.
    pub fn request(self, host: &str, transactions: &[&[u8]]) -> Vec<u8> {
        match (self, transactions) {
            (Protocol::Openmesh, [one]) => {
                let body = format!("{{\"bytes\":\"0x{}\"}}", hex::encode(one));
                post(host, "/v1/transactions", JSON, body.as_bytes())
            }
            (Protocol::Openmesh, several) => {
                let body = canonical::encode(&several.iter().map(|bytes| bytes.to_vec()).collect::<Vec<_>>());
                post(host, "/v1/transactions/batch", "application/octet-stream", &body)
            }
            (Protocol::CometBft, list) => {
                let call = |tx: &&[u8]| {
                    let tx = BASE64.encode(tx);
                    format!(
                        "{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"broadcast_tx_sync\",\"params\":{{\"tx\":\"{tx}\"}}}}"
                    )
                };
                post(host, "/", JSON, list.iter().map(call).collect::<String>().as_bytes())
            }
        }
    }

    /// The meaning of an answer for each of the transactions of its request.
    pub fn meanings(self, status: u16, body: &[u8], count: usize) -> Vec<u16> {
        if count == 1 || status != 200 {
            return vec![self.meaning(status, body); count];
        }
        let answer: Value = serde_json::from_slice(body).unwrap_or_default();
        let outcomes = list(&answer, "/outcomes");
        let of = |outcome: Option<&Value>| match outcome {
            None => FAILED,
            Some(outcome) if outcome.get("hash").is_some() => TAKEN,
            Some(outcome) => {
                let message = outcome.pointer("/error/message").and_then(Value::as_str).unwrap_or_default();
                if is_full(message.as_bytes()) { BUSY } else { REFUSED }
            }
        };
        (0..count).map(|number| of(outcomes.get(number))).collect()
    }

    /// Name of a transaction in the list of a block.
    pub fn name(self, transaction: &[u8]) -> String {
        match self {
            Protocol::Openmesh => sha256(&[transaction]).to_string(),
            Protocol::CometBft => BASE64.encode(transaction),
        }
    }

    /// The meaning of an answer to a submission, as a status of HTTP. CometBFT says in the body whether it has taken a transaction.
    pub fn meaning(self, status: u16, body: &[u8]) -> u16 {
        if is_full(body) {
            BUSY
        } else if self == Protocol::Openmesh {
            status
        } else if status != 200 || has(body, b"\"error\":") {
            FAILED
        } else if has(body, b"\"code\":0,") {
            TAKEN
        } else {
            REFUSED
        }
    }

    /// Opens the stream of new blocks.
    ///
    /// # Errors
    /// Where the node cannot be reached or has no such stream.
    pub async fn blocks(self, host: &str) -> io::Result<Blocks> {
        let door = Door::open(host).await?;
        match self {
            Protocol::Openmesh => door.blocks(host).await,
            Protocol::CometBft => door.subscribe(host, "/websocket", SUBSCRIBE).await,
        }
    }

    /// The block that a message of the stream tells of, where it tells of one.
    pub fn told(self, message: &Value) -> Option<NewBlock> {
        let (block, transactions) = match self {
            Protocol::Openmesh => (message.get("block")?, "transactions"),
            Protocol::CometBft => (message.pointer("/result/data/value")?, "num_txs"),
        };
        let number = |field: &str| integer(block.get(field)?);
        let count = |field: &str| number(field).and_then(|number| u64::try_from(number).ok());
        Some(NewBlock {
            height: count("height")?,
            transactions: count(transactions).unwrap_or(0),
            round: number("round").unwrap_or(0),
        })
    }

    /// Names of those transactions of a block that took effect.
    ///
    /// # Errors
    /// Where the node does not have the block.
    pub async fn committed(self, door: &mut Door, host: &str, height: u64) -> io::Result<Vec<String>> {
        match self {
            Protocol::Openmesh => {
                let block = door.get(host, &format!("/v1/blocks/{height}")).await?;
                let list = list(&block, "/transaction_list");
                let effective = list.iter().filter(|t| t.get("ok").and_then(Value::as_bool) == Some(true));
                Ok(effective.filter_map(|t| Some(t.get("hash")?.as_str()?.to_owned())).collect())
            }
            Protocol::CometBft => {
                let block = door.get(host, &format!("/block?height={height}")).await?;
                let results = door.get(host, &format!("/block_results?height={height}")).await?;
                let (names, results) = (list(&block, "/result/block/data/txs"), list(&results, "/result/txs_results"));
                let pairs = names.iter().zip(results);
                let effective = pairs.filter(|(_, result)| result.get("code").and_then(Value::as_u64) == Some(0));
                Ok(effective.filter_map(|(name, _)| Some(name.as_str()?.to_owned())).collect())
            }
        }
    }
}

fn has(text: &[u8], words: &[u8]) -> bool {
    text.windows(words.len()).any(|part| part == words)
}

/// Returns true where a pool, ours or CometBFT's, says that it has no room at present.
fn is_full(words: &[u8]) -> bool {
    has(words, b"mempool is full") || has(words, b"no room for transactions ahead of their turn")
}

/// A list at a place of a document; none is an empty one.
fn list<'a>(document: &'a Value, place: &str) -> &'a [Value] {
    document.pointer(place).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A number, which CometBFT writes as text.
fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_cometbft_mean_what_they_say() {
        let of = |status, body: &str| Protocol::CometBft.meaning(status, body.as_bytes());
        let taken = r#"{"jsonrpc":"2.0","id":1,"result":{"code":0,"data":"","log":"","codespace":"","hash":"AB"}}"#;
        let refused = r#"{"jsonrpc":"2.0","id":1,"result":{"code":1,"data":"","log":"no","codespace":"","hash":"AB"}}"#;
        let full = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"Internal error","data":"mempool is full: number of txs 5000"}}"#;
        let known = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"Internal error","data":"tx already exists in cache"}}"#;
        assert_eq!((of(200, taken), of(200, refused), of(200, full)), (TAKEN, REFUSED, BUSY));
        assert_eq!((of(200, known), of(503, taken)), (FAILED, FAILED));
        assert_eq!(Protocol::Openmesh.meaning(429, b""), BUSY);
    }

    #[test]
    fn each_transaction_of_a_batch_has_a_meaning_of_its_own() {
        let answer = r#"{"outcomes":[{"hash":"ab"},{"error":{"code":"mempool","message":"the mempool is full; offer more"}},
            {"error":{"code":"signature","message":"the signature does not verify"}}]}"#;
        let of = |status, body: &str, count| Protocol::Openmesh.meanings(status, body.as_bytes(), count);
        assert_eq!(of(200, answer, 4), [TAKEN, BUSY, REFUSED, FAILED]);
        assert_eq!(of(429, "", 2), [BUSY, BUSY], "nothing of it was taken");
        assert_eq!(of(202, r#"{"hash":"ab"}"#, 1), [TAKEN]);
    }

    #[test]
    fn one_transaction_and_several_have_doors_of_their_own() {
        let text = |list: &[&[u8]]| String::from_utf8_lossy(&Protocol::Openmesh.request("h", list)).into_owned();
        assert!(text(&[b"\x01"]).ends_with("\r\n\r\n{\"bytes\":\"0x01\"}"));
        let batch = text(&[b"a", b"b"]);
        assert!(
            batch.starts_with("POST /v1/transactions/batch ") && batch.contains("Content-Length: 14\r\n"),
            "{batch}"
        );
    }

    #[test]
    fn blocks_are_told_by_both() {
        let told = |protocol: Protocol, text: &str| protocol.told(&serde_json::from_str(text).unwrap());
        let ours = r#"{"block":{"height":7,"transactions":3,"round":1}}"#;
        let theirs = r#"{"jsonrpc":"2.0","id":1,"result":{"query":"q","data":{"type":"tendermint/event/NewBlockEvents",
            "value":{"height":"7","events":[],"num_txs":"3"}},"events":{}}}"#;
        let block = NewBlock { height: 7, transactions: 3, round: 1 };
        assert_eq!(told(Protocol::Openmesh, ours), Some(block));
        assert_eq!(told(Protocol::CometBft, theirs), Some(NewBlock { round: 0, ..block }));
        // The answer to the subscription is no block.
        assert_eq!(told(Protocol::CometBft, r#"{"jsonrpc":"2.0","id":1,"result":{}}"#), None);
    }
}
