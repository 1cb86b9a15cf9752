//! Tests of the rules from outside, on a state in memory.
#![allow(clippy::unwrap_used, reason = "a test says what failed by failing")]

mod abstention;
mod actions;
mod attestations;
mod beacon;
mod blocks;
mod chain;
mod commitments;
mod epochs;
mod evidence;
mod fees;
mod golden;
mod guide;
mod light;
mod properties;
mod proposers;
mod sources;
mod stamps;
mod supply;
mod transactions;
mod upgrades;
mod upgrades_at_the_height;
