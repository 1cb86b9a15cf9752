//! Accounts: balances in OPEN, the order of an account's transactions, fees and transfers. Clause T of
//! `docs/spec/transactions.md`.
//!
//! Nothing is made here and nothing lost: a transfer moves, a base fee is burnt, a tip moves to the proposer, and a deposit is
//! held for a record. [`crate::check_supply`] adds all of it up.

mod action;
mod apply;
mod check;
mod error;
mod events;
pub mod keys;
mod params;
mod records;

pub use action::AccountsAction;
pub(crate) use apply::{apply, charge, load, pay, store};
pub(crate) use check::{check, check_charge, check_sender};
pub use error::AccountsError;
pub use events::AccountsEvent;
pub use params::AccountsParams;
pub use records::{Account, account};
