//! Accounts: balances, sending transactions, signing in.

pub mod balance;
pub mod send;
pub mod sign_in;
