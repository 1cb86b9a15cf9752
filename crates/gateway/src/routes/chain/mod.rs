//! The chain: status, blocks, validators, transactions, events, incidents, stamps.

pub mod blocks;
pub mod events;
pub mod incidents;
pub mod stamps;
pub mod status;
pub mod transactions;
pub mod validators;
