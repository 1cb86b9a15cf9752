//! Duties of a validator: what it owes the network beside consensus.
//!
//! # What it owns
//! Attesting the windows that its collectors closed ([`Attester`]), and following chains, whose verified blocks are windows
//! of their own ([`chain`]), and knowing which sources this node collects ([`sources`]). Inputs are closed windows, withdrawals and committed blocks; outputs are transactions of the
//! validator's key and [`NodeIncident`]s.
//!
//! # Shape
//! Each duty is a pure core, without clock, task or file, that is handed heights and facts of the state and hands out
//! transactions; [`start`] drives the cores of a node in one task. So a simulation can drive them as well. A further duty
//! is a further core.
//!
//! # On failure
//! A stalled mempool or disk holds up transactions and nothing else: the task goes on taking windows in, up to
//! [`WAITING_WINDOWS_MAX`], beyond which the oldest is given up with an incident. What was committed to is in the [`Journal`] before
//! anybody hears of it, so that a crash loses no opening; what was not yet is named on the ledger as missing.

mod attester;
pub mod chain;
mod facts;
mod incident;
mod journal;
mod metrics;
mod service;
pub mod sources;
#[cfg(test)]
mod testing;
mod window;

pub use attester::{Attester, Submitted, WAITING_WINDOWS_MAX, Withdrawn};
pub use facts::{Step, WindowFacts};
pub use incident::{NodeIncident, NodeIncidentKind};
pub use journal::Journal;
pub use metrics::Metrics;
pub use service::{Deps, Handle, Submit, start};
pub use window::{Window, WindowName, Withdrawal};
