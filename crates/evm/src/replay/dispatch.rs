//! JSON-RPC around the methods: requests, batches, notifications.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::answer::{Answer, RpcFailure};
use super::chain::ReplayChain;
use super::methods;

/// Longest request that is answered.
pub const REQUEST_BYTES_MAX: usize = 1 << 20;
/// Most calls in a batch.
pub const BATCH_MAX: usize = 100;
const PARSE_ERROR: i64 = -32700;
const INVALID_REQUEST: i64 = -32600;

impl ReplayChain {
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

fn bytes(value: &impl Serialize) -> Vec<u8> {
    // Values made of JSON are JSON again; nothing here can fail to serialise.
    serde_json::to_vec(value).unwrap_or_default()
}
