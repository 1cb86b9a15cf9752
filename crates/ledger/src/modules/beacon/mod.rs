//! The beacon: a value that each block renews by its proposer's verifiable random function, and from which epochs are drawn.
//! Clause R of `docs/spec/transactions.md`.

mod apply;
mod chain;
pub mod keys;
mod records;

pub(crate) use apply::advance;
pub use chain::{beacon_input, first_beacon, next_beacon};
pub use records::beacon;
