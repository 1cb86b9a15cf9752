//! The lender over real sockets: as every other store, against guests that mean harm, killed at each object, and as a process.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../../../backup/tests/it/conformance.rs"]
mod conformance;
mod crash;
mod hostile;
mod process;
mod stage;
mod store;
#[allow(dead_code, reason = "tests of backups use the rest of it")]
#[path = "../../../backup/tests/it/world.rs"]
mod world;
