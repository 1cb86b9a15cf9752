//! The network of instances: texts and rules as values, and effects in network namespaces of the tests' own.
//!
//! Whatever changes a network runs in threads that have left the machine's network namespace: nothing of the machine changes, tests run beside each other,
//! and everything ends with the threads, also where a test panics.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod agents;
mod deaths;
mod golden;
mod lab;
mod listings;
mod ports;
mod rates;
mod reach;
mod repair;
mod rules;
mod sample;
