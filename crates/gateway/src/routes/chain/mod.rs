//! The chain: status, blocks, validators, transactions, incidents, upgrades.

pub mod blocks;
pub mod incidents;
pub mod status;
pub mod transactions;
pub mod upgrade;
pub mod validators;
