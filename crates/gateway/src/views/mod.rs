//! Views: from the ledger's, the collector's and the memory's types to those of the contract. Pure: nothing here reads a disk, a clock
//! or a lock.

pub mod agreement;
pub mod blocks;
pub mod chunks;
pub mod incidents;
pub mod market;
pub mod sources;
pub mod status;
pub mod transactions;
pub mod upgrades;
pub mod validators;
pub mod words;
