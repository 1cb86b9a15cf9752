//! The venues' dialects: one module each, from bytes to events.

pub mod binance;
pub mod bybit;
pub mod coinbase;
pub mod kraken;
pub mod okx;
mod support;
