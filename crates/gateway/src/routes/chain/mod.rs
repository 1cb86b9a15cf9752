//! The chain: status, blocks, validators, transactions, supply, deposits, events, epochs, incidents, stamps, parameters, upgrades, and what a
//! search finds.

pub mod blocks;
pub mod deposits;
pub mod epochs;
pub mod events;
pub mod incidents;
pub mod parameters;
pub mod search;
pub mod stamps;
pub mod status;
pub mod supply;
pub mod transactions;
pub mod upgrade;
pub mod validators;
