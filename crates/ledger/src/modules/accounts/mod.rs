//! Accounts: balances in OPEN, the order of an account's transactions, fees and transfers. Clause T of
//! `docs/spec/transactions.md`.
//!
//! The sum of all balances is the supply of the genesis, after every block: a transfer moves, a fee moves to the
//! proposer, and nothing else writes an account.

mod action;
mod apply;
mod check;
mod error;
mod events;
pub mod keys;
mod params;
mod records;

pub use action::AccountsAction;
pub(crate) use apply::{apply, charge, load, pay_fees, store};
pub(crate) use check::{check, check_sender};
pub use error::AccountsError;
pub use events::AccountsEvent;
pub use params::AccountsParams;
pub use records::{Account, account, check_supply, supply};
