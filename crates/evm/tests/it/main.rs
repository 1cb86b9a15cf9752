//! Tests of openmesh-evm through its public API. Those on recorded blocks say that they are skipped where the recordings
//! are absent; the others stand on generated blocks.

#![allow(clippy::unwrap_used)] // A test says best by failing what it did not expect.

mod canonical;
mod flips;
mod generated;
mod recorded;
mod replay;
mod source;
mod support;
