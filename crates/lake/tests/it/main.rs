//! The lake from outside: what goes in, what comes out, what survives, and what readers without our code see.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod bits;
mod chain;
mod common;
mod document;
mod interop;
mod kill;
mod lake;
mod recorded;
mod window_file;
