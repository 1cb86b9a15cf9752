//! Tests of the store from outside.
#![allow(clippy::unwrap_used, reason = "a test that fails here says where")]

mod accounts;
mod chain;
mod crash;
mod power;
mod proofs;
mod retention;
mod snapshot;
mod stamps;
mod store;
mod year;
