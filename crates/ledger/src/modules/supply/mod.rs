//! The supply: all OPEN that there is, in named pools at the genesis, and the equation that nothing is made or lost.
//! `docs/spec/supply.md`.
//!
//! No function of the ledger makes OPEN. Blocks move it between pools, accounts and deposits, and burn base fees; at the end of
//! each block the places are added up from the accounts and pools that the block has changed, not from what it meant to do.

mod allocation;
mod close;
mod file;
pub mod keys;
mod limits;
mod moved;
mod records;
mod tree;

pub use allocation::{Allocation, AllocationError, Grant, PoolAmount};
pub(crate) use close::close;
pub use file::{AllocationFileError, FileFault};
pub use limits::*;
pub(crate) use moved::Moved;
pub use records::{Pool, Supply, check_supply, pool, pools, supply};
pub use tree::{GROUPS, GroupSpec, POOLS, PoolSpec};
