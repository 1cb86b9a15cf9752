//! JSON-RPC for wallets, as far as every method has it. The methods are in `docs/spec/rpc.md`.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// A request of JSON-RPC 2.0. The body may also be a list of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RpcRequest {
    /// `2.0`.
    pub jsonrpc: String,
    /// Number, text or null, which the answer repeats; without it there is no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Value>,
    /// Name of the method, such as `eth_chainId`.
    pub method: String,
    /// Parameters by position.
    #[serde(default)]
    pub params: Vec<Value>,
}

/// An answer of JSON-RPC 2.0: a result or an error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RpcAnswer {
    /// `2.0`.
    pub jsonrpc: String,
    /// That of the request; null where none could be read.
    pub id: Value,
    /// Result of the method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// Reason for which there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<RpcError>,
}

/// An error of JSON-RPC 2.0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RpcError {
    /// Number by EIP-1474.
    pub code: i32,
    /// The fault and its place, for people.
    pub message: String,
    /// The remedy.
    pub data: RpcHint,
}

/// The remedy of an error of JSON-RPC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RpcHint {
    /// For people.
    pub hint: String,
}
