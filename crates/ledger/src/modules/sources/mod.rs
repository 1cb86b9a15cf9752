//! The register of data sources: what is collected, and how its time is cut into windows. Clause S of
//! `docs/spec/transactions.md`.

mod action;
mod apply;
mod check;
mod error;
mod events;
pub mod keys;
mod limits;
mod params;
mod records;
mod spec;

pub use action::SourcesAction;
pub(crate) use apply::{apply, remove_retired};
pub(crate) use check::check;
pub use error::SourcesError;
pub use events::SourcesEvent;
pub use limits::*;
pub use params::SourcesParams;
pub use records::{SourceChange, SourceRecord, retired_source, source, source_or_retired, sources};
pub use spec::{Origin, SourceError, SourceKind, SourceSpec};
