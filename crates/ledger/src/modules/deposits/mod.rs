//! Deposits: amounts that an account leaves for a record that it stores, and has back when the record goes. Clause FE-6 of
//! `docs/spec/fees.md`.

mod apply;
mod events;
pub mod keys;
mod records;

pub(crate) use apply::{give_back, hold};
pub use events::DepositsEvent;
pub use records::{Deposit, deposit};
