//! Evidence: two messages of consensus that one validator must not both have signed. Clause V of
//! `docs/spec/transactions.md`.
//!
//! A transaction of its own class: it proves itself, so it needs no sender, pays no fee, and whoever saw the messages may
//! send it. Messages that differ only in the round they refer back to are not evidence: an honest proposer that restarts
//! may have learnt of another one meanwhile. What counts is another block in the same step.

mod apply;
mod check;
mod error;
mod facts;
pub mod keys;
mod limits;
mod message;
mod prune;

pub(crate) use apply::apply;
pub(crate) use check::check;
pub use error::EvidenceError;
pub use facts::EvidenceFact;
pub use limits::*;
pub use message::{CONSENSUS, Evidence, SignedBlock, Step, proposal_sign_bytes};
pub(crate) use prune::prune;
