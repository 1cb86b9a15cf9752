//! Handlers by domain. Each reads memory, store or a handle, and lets a view word the answer; none imports another.

pub mod accounts;
pub mod chain;
pub mod content;
pub mod market;
pub mod rpc;
pub mod sql;
pub mod stream;
