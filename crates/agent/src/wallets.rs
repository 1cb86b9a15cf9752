//! The chain that knows contract wallets, where one is configured. Sources: ERC-1271, and the JSON-RPC of Ethereum's execution clients (`eth_call`).

use std::time::Duration;

use openmesh_access::{ContractWallets, Verifies};
use openmesh_alerts::unanswered::words;
use openmesh_primitives::{Address, Digest};
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;

use crate::error::AgentError;
use crate::settings::Chain;

/// Time for an answer of the chain: a person waits for it.
const ANSWER: Duration = Duration::from_secs(10);
/// Largest answer, bytes: one word, with JSON around it or an error in words.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Selector of `isValidSignature(bytes32,bytes)`, and what a wallet returns for a good one. Source: ERC-1271.
const MAGIC: &str = "1626ba7e";
/// Bytes of a word of the contract ABI.
const WORD_BYTES: usize = 32;

/// A chain that is asked over HTTP.
pub struct RpcChain {
    id: u64,
    rpc: String,
    http: reqwest::Client,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    result: Option<String>,
    #[serde(default)]
    error: Option<AnswerError>,
}

#[derive(Deserialize)]
struct AnswerError {
    #[serde(default)]
    code: i64,
    #[serde(default)]
    message: String,
}

impl RpcChain {
    /// A client of the chain. Nothing is connected yet.
    ///
    /// # Errors
    /// The client of HTTP cannot be made.
    pub fn new(chain: &Chain) -> Result<RpcChain, AgentError> {
        // A client has a provider of TLS even where nothing of it is encrypted. The first one counts.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().timeout(ANSWER).redirect(reqwest::redirect::Policy::none()).build();
        let http = http.map_err(|cause| AgentError::Name(format!("the chain's client: {}", words(&cause, ANSWER))))?;
        Ok(RpcChain { id: chain.id, rpc: chain.rpc.clone(), http })
    }

    async fn ask(&self, wallet: Address, hash: Digest, signature: &[u8]) -> Result<bool, String> {
        let call = serde_json::json!({
            "jsonrpc": "2.0", "id": 1, "method": "eth_call",
            "params": [{ "to": wallet.to_string().to_lowercase(), "data": call_data(&hash, signature) }, "latest"],
        });
        let request = self.http.post(&self.rpc).header(CONTENT_TYPE, "application/json").body(call.to_string());
        let mut response = request.send().await.map_err(|cause| words(&cause, ANSWER))?;
        if !response.status().is_success() {
            return Err(format!("it answered with status {}", response.status().as_u16()));
        }
        let mut bytes = Vec::new();
        while let Some(part) = response.chunk().await.map_err(|cause| words(&cause, ANSWER))? {
            bytes.extend_from_slice(&part);
            if bytes.len() > ANSWER_BYTES_MAX {
                return Err(format!("its answer has more than {ANSWER_BYTES_MAX} bytes"));
            }
        }
        let answer: Answer = serde_json::from_slice(&bytes).map_err(|cause| cause.to_string())?;
        judged(answer)
    }
}

/// The verdict of an answer. A wallet that reverts has not signed, and an account without code answers nothing.
fn judged(answer: Answer) -> Result<bool, String> {
    match (answer.result, answer.error) {
        (Some(result), _) => {
            let digits = result.strip_prefix("0x").unwrap_or(&result).to_lowercase();
            Ok(digits.len() == 2 * WORD_BYTES
                && digits.starts_with(MAGIC)
                && digits[MAGIC.len()..].bytes().all(|digit| digit == b'0'))
        }
        (None, Some(error)) if error.code == 3 || error.message.contains("revert") => Ok(false),
        (None, Some(error)) => {
            let message: String = error.message.chars().filter(|char| !char.is_control()).take(200).collect();
            Err(format!("it answered with error {}: {message}", error.code))
        }
        (None, None) => Err("its answer has neither a result nor an error".into()),
    }
}

/// Data of the call, in hexadecimal. Source: the contract ABI's specification: a word, the place of the bytes, their length, and them, filled up to whole words.
fn call_data(hash: &Digest, signature: &[u8]) -> String {
    let filled = signature.len().div_ceil(WORD_BYTES) * WORD_BYTES;
    let mut data = format!("0x{MAGIC}{hash}{:064x}{:064x}", 2 * WORD_BYTES, signature.len());
    for byte in signature.iter().chain(std::iter::repeat_n(&0, filled - signature.len())) {
        data.push_str(&format!("{byte:02x}"));
    }
    data
}

impl ContractWallets for RpcChain {
    fn chain_id(&self) -> u64 {
        self.id
    }

    fn verifies<'a>(&'a self, wallet: Address, hash: Digest, signature: &'a [u8]) -> Verifies<'a> {
        Box::pin(self.ask(wallet, hash, signature))
    }
}

#[cfg(test)]
mod tests {
    use axum::Json;
    use axum::routing::post;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_call_is_that_of_the_abi() {
        let data = call_data(&Digest([0xab; 32]), &[1, 2, 3]);
        let expected =
            format!("0x1626ba7e{}{}40{}03010203{}", "ab".repeat(32), "0".repeat(62), "0".repeat(62), "0".repeat(58));
        assert_eq!(data, expected);
        assert_eq!(call_data(&Digest::ZERO, &[7; 65]).len(), 2 + 2 * (4 + 32 * 3 + 96));
        assert_eq!(call_data(&Digest::ZERO, &[]).len(), 2 + 2 * (4 + 32 * 3));
    }

    #[test]
    fn only_the_magic_value_is_a_yes() {
        let judge = |value: Value| judged(serde_json::from_value(value).unwrap());
        let good = format!("0x1626ba7e{}", "0".repeat(56));
        assert_eq!(judge(json!({ "result": good })), Ok(true));
        for result in [
            "0x",
            "0x1626ba7e",
            &format!("0x{}", "f".repeat(64)),
            &format!("0x1626ba7e{}1", "0".repeat(55)),
            &format!("{good}00"),
        ] {
            assert_eq!(judge(json!({ "result": result })), Ok(false), "{result}");
        }
        assert_eq!(judge(json!({ "error": { "code": 3, "message": "execution reverted" } })), Ok(false));
        assert!(judge(json!({ "error": { "code": -32005, "message": "limit" } })).is_err());
        assert!(judge(json!({})).is_err());
    }

    #[tokio::test]
    async fn a_chain_is_asked_over_http() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let rpc = format!("http://{}", listener.local_addr().unwrap());
        let answers = |Json(call): Json<Value>| async move {
            let data = call["params"][0]["data"].as_str().unwrap_or_default().to_string();
            let word = if data.contains("010203") { "1626ba7e" } else { "ffffffff" };
            Json(json!({ "jsonrpc": "2.0", "id": 1, "result": format!("0x{word}{}", "0".repeat(56)) }))
        };
        let router = axum::Router::new().route("/", post(answers));
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        let chain = RpcChain::new(&Chain { id: 5, rpc }).unwrap();
        assert_eq!(chain.verifies(Address([9; 20]), Digest::ZERO, &[1, 2, 3]).await, Ok(true));
        assert_eq!(chain.verifies(Address([9; 20]), Digest::ZERO, &[3]).await, Ok(false));
        server.abort();
        let _ = server.await;
        let gone = chain.verifies(Address([9; 20]), Digest::ZERO, &[3]).await;
        assert!(gone.is_err_and(|words| !words.contains("http://")));
    }
}
