//! Epochs: the assignment of validators to sources for an hour of block time, and the facts of an epoch closed into one root
//! that stays. Clauses E, R and C of `docs/spec/transactions.md`.

mod apply;
mod assign;
mod events;
pub mod keys;
mod limits;
mod params;
mod records;

pub(crate) use apply::{append_facts, begin};
pub use assign::{assign, assigned, epoch_seed, turns_seed};
pub use events::EpochsEvent;
pub use limits::*;
pub use params::EpochsParams;
pub use records::{
    ClosedEpoch, CurrentEpoch, EpochKeys, EpochRecord, closed_epoch, current_epoch_record, epoch, epoch_keys,
    epoch_validators, fact_peaks,
};
