//! Whole networks of real processes on loopback, and the command line as a person uses it. One binary, because linking
//! is what costs; each test has its own folder, its own free ports, and its own network.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod bad_input;
mod chaos;
mod command_line;
mod full_disk;
mod joining;
mod liar;
mod live;
mod live_venues;
mod network;
mod path;
#[path = "../../../../crates/xnode/tests/it/ports.rs"]
mod ports;
mod siege;
mod supervisor;
mod xnode_access;
mod xnode_export;
mod xnode_service;
mod xnode_up;
