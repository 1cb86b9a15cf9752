//! Tests of the store from outside.
#![allow(clippy::unwrap_used)]

mod chain;
mod crash;
mod power;
mod proofs;
mod store;
