//! The venues' dialects: one module each, from bytes to events.

pub mod binance;
pub mod bybit;
pub mod coinbase;
mod instruments;
pub mod kraken;
mod links;
pub mod okx;
mod support;
