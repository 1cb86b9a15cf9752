//! Alerts: what lasts and somebody should know, kept until it is over, and told to webhooks.
//!
//! # What it owns
//! The [`Book`] of alerts and of messages about them, and the form and the way of such a message ([`Receiver`], Standard Webhooks 1.0), with the words for one that nobody
//! answers, which other requests have too. What is
//! worth an alert is the caller's business: a room that watches something makes [`Finding`]s under keys of its own.
//!
//! # Why it is shaped so
//! The book is one state that changes by pure functions of findings and a moment, and is written as a whole by whoever holds it. So an alert and its
//! messages are there together or not at all. Only the sending is an effect.
//!
//! # Limits
//! Open alerts, closed ones, messages and those that were given up have bounds ([`book`]); what a bound drops is named in the book.
//!
//! # On failure
//! A message that nobody takes is tried for a day, and named then. One may come twice, with the same `webhook-id`.

pub mod book;
pub mod unanswered;
mod webhook;
mod words;

pub use book::{Book, Message, Now, Watch};
pub use webhook::{Receiver, body};
pub use words::{Acknowledged, AlertEvent, DroppedMessage, Entry, Finding, Severity};
