//! Market data as values and rules: the event schema, order books with their checks, windows and canonical chunks. These
//! are the rules on which all collectors must agree to the byte; whatever is not needed for that stands elsewhere (how a
//! venue words its messages is `openmesh-dialect`).
//!
//! Pure: no clock, no randomness, no file, no socket.

pub mod book;
mod connection;
pub mod event;
pub mod window;

pub use book::OrderBook;
pub use connection::ConnectionId;
pub use event::{Event, EventKind, Exchange, Feed, Side};
