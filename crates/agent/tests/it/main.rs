//! An agent as a process of a test: what a person asks of it, over its socket.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod access;
mod acme;
mod alerts;
mod authority;
mod backups;
mod contract;
mod costs;
mod declared;
mod doors;
mod drain;
mod early;
mod exec;
mod files;
mod hook;
mod imports;
mod joins;
mod lending;
mod machines;
mod moves;
mod neighbours;
mod pantry;
mod pauses;
#[path = "../../../xnode/tests/it/ports.rs"]
mod ports;
mod protocols;
mod publishers;
mod restarts;
mod returns;
mod service;
mod shown;
mod takeover;
mod templates;
mod uninstall;
mod visits;
mod world;
