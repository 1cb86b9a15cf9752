//! Data that the network agrees on: sources, agreement, chunks with their downloads and proofs.

pub mod agreement;
pub mod chunks;
pub mod files;
pub mod sources;
pub mod windows;
