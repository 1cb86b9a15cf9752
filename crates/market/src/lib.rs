//! Market and chain data as values and rules: the event schema, the venues' dialects (bytes to events and back), order
//! books with their checks, windows and canonical chunks, and the decoding of chain events.
//!
//! Pure: no clock, no randomness, no file, no socket. A venue's protocol is a state machine ([`Session`]) that is fed
//! with what came in and answers with events and with what should go out; who does the input and output is not its
//! concern, so the same code runs in the collector, over a recording, and under a fuzzer.

pub mod book;
pub mod chain;
pub mod dialect;
pub mod emulate;
pub mod event;
pub mod foreign;
pub mod recording;
pub mod session;
pub mod window;

pub use book::OrderBook;
pub use event::{Event, EventKind, Exchange, Feed, Side};
pub use session::{Action, ConnectionId, Input, Output, Session, Subscription};
