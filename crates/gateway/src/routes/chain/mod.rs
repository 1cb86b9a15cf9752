//! The chain: status, blocks, validators, transactions, incidents, stamps.

pub mod blocks;
pub mod incidents;
pub mod stamps;
pub mod status;
pub mod transactions;
pub mod validators;
