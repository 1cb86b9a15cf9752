//! Tests of the rules from outside, on a state in memory.
#![allow(clippy::unwrap_used)]

mod attestations;
mod blocks;
mod chain;
mod evidence;
mod golden;
mod light;
mod properties;
mod transactions;
