//! JSON-RPC for wallets, over HTTP and as a WebSocket. `docs/spec/rpc.md`.

mod answers;
pub mod http;
mod room;
pub mod socket;
mod subscriptions;
