//! Tests on real files, sockets and processes.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod bench;
mod crash;
mod files;
mod hostile;
mod pull;
mod recipe;
mod registry;
mod store;
mod together;
mod unpack;
