//! Validators: their set and voting power, and what the ledger remembers about each. Clause B of
//! `docs/spec/transactions.md`.

mod apply;
pub mod keys;
mod limits;
mod records;
mod set;

pub(crate) use apply::{count_proposal, count_signers, rotate, saw, store_presence, update, was_there};
pub use limits::*;
pub use records::{ValidatorRecord, last_validators, next_validators, presence, validator_record, validators};
pub use set::{Validator, ValidatorSet, ValidatorSetError};
pub(crate) use set::{more_than_one_third, more_than_two_thirds};
