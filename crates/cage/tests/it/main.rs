//! Containers on this machine: made by both drivers, held to their limits, read back, and gone without a trace.
//!
//! They need root, control groups and Debian's runc; libcontainer's helper is built when it is first asked for. What is missing is said.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod bundle;
mod confined;
mod exec;
mod gpu;
mod groups;
mod lives;
mod processes;
mod readback;
mod shim;
mod space;
mod world;
