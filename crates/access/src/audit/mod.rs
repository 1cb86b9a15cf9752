//! The audit log: whatever changes something, and whatever was refused, each record with the hash of the one before (X-82; format: `docs/spec/access.md`, section 6).

mod files;
mod filter;
mod log;
mod record;
mod refusals;
mod request;
mod verify;

pub use filter::{Filter, LIST_MAX};
pub use log::{Log, verify_folder};
pub use record::{Head, Kind, Record};
pub use request::Request;
pub use verify::{Broken, Report};
