//! Questions to the ledger's store that more than one route has, each within a budget where it looks through many rows.

pub mod blocks;
pub mod chunk;
pub mod deposits;
pub mod ethereum;
pub mod events;
pub mod incidents;
pub mod proof;
pub mod stamps;
pub mod windows;
