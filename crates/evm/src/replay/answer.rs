//! Results and errors of calls.

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// A result: recorded text goes out untouched.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Answer<'a> {
    Value(Value),
    Recorded(&'a RawValue),
    Logs(Vec<&'a RawValue>),
}

/// A JSON-RPC error.
#[derive(Debug, Serialize)]
pub(super) struct RpcFailure {
    code: i64,
    message: String,
}

impl RpcFailure {
    pub fn new(code: i64, message: impl Into<String>) -> RpcFailure {
        RpcFailure { code, message: message.into() }
    }
}
