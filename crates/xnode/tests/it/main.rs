//! Agents on this machine: real namespaces, networks, file systems and processes.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod crash;
mod deploy;
mod door;
mod door_document;
mod gpus;
mod jobs;
mod looks;
mod ports;
mod power;
mod repairs;
mod restarts;
mod world;
