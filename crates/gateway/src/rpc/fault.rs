//! Errors of JSON-RPC by their numbers. Source: JSON-RPC 2.0, 5.1, and EIP-1474. Clause 7 of `docs/spec/rpc.md`.

use openmesh_api::{RpcError, RpcHint};

/// Not JSON.
pub const PARSE: i32 = -32_700;
/// JSON, but no request.
pub const INVALID_REQUEST: i32 = -32_600;
/// No such method.
pub const METHOD_NOT_FOUND: i32 = -32_601;
/// A parameter that is missing, too many, or not of its form.
pub const INVALID_PARAMS: i32 = -32_602;
/// A fault of this node.
pub const INTERNAL: i32 = -32_603;
/// Not to be answered for what was asked.
pub const INVALID_INPUT: i32 = -32_000;
/// A block, or the state after it, that is not here.
pub const RESOURCE_NOT_FOUND: i32 = -32_001;
/// This node cannot answer now.
pub const RESOURCE_UNAVAILABLE: i32 = -32_002;
/// Refused for good.
pub const METHOD_NOT_SUPPORTED: i32 = -32_004;
/// Too much at once.
pub const LIMIT_EXCEEDED: i32 = -32_005;

/// Letters of a stranger's text that an error repeats: enough to recognise it.
const SHOWN_MAX: usize = 40;

/// A stranger's text in quotation marks, cut short and without letters that a terminal would obey.
pub fn quoted(text: &str) -> String {
    let shown: String = text.chars().take(SHOWN_MAX).collect();
    format!("{shown:?}")
}

/// An error of JSON-RPC: what was wrong, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// One of the numbers of this module.
    pub code: i32,
    /// The fault and its place, for people.
    pub message: String,
    /// The remedy, for people.
    pub hint: String,
}

impl Fault {
    /// A fault with its words.
    pub fn new(code: i32, message: impl Into<String>, hint: impl Into<String>) -> Fault {
        Fault { code, message: message.into(), hint: hint.into() }
    }

    /// A request that is none.
    pub fn request(message: impl Into<String>) -> Fault {
        let hint = r#"send {"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}, or a list of such"#;
        Fault::new(INVALID_REQUEST, message, hint)
    }

    /// A parameter by its place, from 1 on, and its name.
    pub fn param(at: usize, name: &str, message: impl std::fmt::Display, hint: &str) -> Fault {
        Fault::new(INVALID_PARAMS, format!("parameter {at} ({name}): {message}"), hint)
    }
}

impl From<Fault> for RpcError {
    fn from(fault: Fault) -> RpcError {
        RpcError { code: fault.code, message: fault.message, data: RpcHint { hint: fault.hint } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_strangers_are_cut_short() {
        assert_eq!(quoted("latest\u{1b}"), "\"latest\\u{1b}\"");
        assert_eq!(quoted(&"x".repeat(1_000)).len(), SHOWN_MAX + 2);
    }
}
