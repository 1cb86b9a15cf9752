//! The chain: status, blocks, validators, transactions, incidents.

pub mod blocks;
pub mod incidents;
pub mod status;
pub mod supply;
pub mod transactions;
pub mod validators;
