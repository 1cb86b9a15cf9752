//! Incidents: what a person may want to look at, named in the state and among the events. Other modules record them.

mod apply;
pub mod keys;
mod limits;
mod prune;
mod records;

pub(crate) use apply::{Subject, record};
pub use limits::*;
pub(crate) use prune::prune;
pub use records::{IncidentKind, LedgerIncident, incident, incidents};
