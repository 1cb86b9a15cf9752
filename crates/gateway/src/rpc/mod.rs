//! JSON-RPC as wallets speak it: requests, forms of values, errors. Pure; `docs/spec/rpc.md`.
//!
//! A request is judged whole before anything of the node is looked at: bounds of its body before that is parsed, its form, the method,
//! each parameter. So one that is none costs no place among reads and scans, and the fuzzer reaches all of it without a node.

mod ask;
mod fault;
mod parse;
mod quantity;
mod reply;

pub use ask::{Ask, At, Subject};
pub use fault::{
    Fault, INTERNAL, INVALID_INPUT, INVALID_PARAMS, INVALID_REQUEST, LIMIT_EXCEEDED, METHOD_NOT_FOUND,
    METHOD_NOT_SUPPORTED, PARSE, RESOURCE_NOT_FOUND, RESOURCE_UNAVAILABLE,
};
pub use parse::{Call, Incoming, parse};
pub use quantity::{address, bytes, data, digest, quantity, read_quantity, read_wide_quantity};
pub use reply::{Outcome, batch, event, raw, refused, reply};
