//! Views: from the ledger's, the collector's and the memory's types to those of the contract. Pure: nothing here reads a disk, a clock
//! or a lock.

pub mod agreement;
pub mod blocks;
pub mod chunks;
pub mod deposits;
pub mod epochs;
pub mod ethereum;
pub mod events;
pub mod incidents;
pub mod market;
pub mod parameters;
pub mod sources;
pub mod stamps;
pub mod status;
pub mod supply;
pub mod transactions;
pub mod upgrades;
pub mod validators;
pub mod windows;
pub mod words;
