//! Stamps: a hash under a topic, with the account that gave it and the block that took it. Clause H of
//! `docs/spec/transactions.md`.
//!
//! A stamp says that somebody knew these bytes at that time, and nothing about what they are. An account stamps a hash under a
//! topic once, for as long as its stamp stands in the state; what other accounts stamp stands beside it, so that the height
//! tells who was first. A stamp is a fact: its details leave the state some epochs later, its deposit goes back, and its
//! epoch's root keeps it provable.

mod action;
mod apply;
mod check;
mod error;
mod events;
pub mod keys;
mod limits;
mod params;
mod prune;
mod records;

pub use action::StampsAction;
pub(crate) use apply::apply;
pub(crate) use check::check;
pub use error::StampsError;
pub use events::StampsEvent;
pub use limits::*;
pub use params::StampsParams;
pub(crate) use prune::prune;
pub use records::{StampCount, StampName, StampRecord, stamp, stamp_at, stamp_count};
