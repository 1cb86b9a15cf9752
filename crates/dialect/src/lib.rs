//! Venue protocols, both ways: the client's side turns a venue's bytes into events ([`client`]), the venue's side words
//! books, trades and answers as the venue does ([`emulate`]), and recordings are read and played ([`recording`],
//! [`foreign`]).
//!
//! Pure: no clock, no randomness, no file, no socket. A venue's protocol is a state machine ([`Session`]) that is fed
//! with what came in and answers with events and with what should go out; who does the input and output is not its
//! concern, so the same code runs in the collector, over a recording, and under a fuzzer.

pub mod client;
pub mod emulate;
pub mod foreign;
pub mod recording;
mod session;

pub use client::{for_recording, pair, session};
pub use session::{Action, Input, Output, Session, Subscription};
