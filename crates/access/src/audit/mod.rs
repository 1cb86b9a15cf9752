//! The audit log: whatever changes something, and whatever was refused, each record with the hash of the one before (X-82; format: `docs/spec/access.md`, section 6).

mod log;
mod record;
mod verify;

pub use log::{Filter, LIST_MAX, Log, Request, verify_folder};
pub use record::{Head, Kind, Record};
pub use verify::{Broken, Report};
