//! Validators: their set and voting power, what the ledger remembers about each, and whose turn it is to propose. Clauses B and P
//! of `docs/spec/transactions.md`.

mod apply;
pub mod keys;
mod limits;
mod proposer;
mod records;
mod set;
mod turns;

pub(crate) use apply::{count_proposal, count_signers, rotate, saw, store_presence, update, was_there};
pub use limits::*;
pub use proposer::{Share, proposer_index};
pub use records::{ValidatorRecord, last_validators, next_validators, presence, validator_record, validators};
pub use set::{Validator, ValidatorSet, ValidatorSetError};
pub(crate) use set::{more_than_one_third, more_than_two_thirds};
pub use turns::{NearTurns, Turns, near_turns, proposer};
pub(crate) use turns::{note_failed_turns, rotate_turns};
