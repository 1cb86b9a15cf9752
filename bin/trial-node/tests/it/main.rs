//! Upgrades of networks of real processes. `docs/spec/upgrades.md`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test says what failed by failing")]

mod node;
#[path = "../../../../crates/xnode/tests/it/ports.rs"]
mod ports;
mod supervised;
mod upgrade;
