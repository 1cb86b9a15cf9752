//! Epochs and the assignment of validators to sources. Clause E of `docs/spec/transactions.md`.

mod apply;
mod assign;
pub mod keys;
mod limits;
mod params;
mod records;

pub(crate) use apply::begin;
pub use assign::{assign, assigned, epoch_first_height, epoch_of_height, epoch_seed};
pub use limits::*;
pub use params::EpochsParams;
pub use records::{EpochRecord, epoch};
