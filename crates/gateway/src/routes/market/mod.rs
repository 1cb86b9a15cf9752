//! Live market views: books, candles, trades.

pub mod book;
pub mod candles;
pub mod trades;
