//! `docker-compose.yml` into a document.
//!
//! Each service becomes an application. Whatever is not done as Docker does it is found and listed with its line: *ignored* where nothing changes
//! without it, *changed* where something near to it is done, *unsupported* where the service would behave otherwise. What Docker gives without being
//! asked is kept, since images count on it: a writable root, and those of its default capabilities that exist here. Volumes get a size, because
//! without a limit there is none. Passwords that come from outside of the file become secrets.
//!
//! Pure: files and variables are handed in by [`Context`], and [`files_named`] says which files. Time and memory are bounded by the length of the
//! text: aliases and variables, braces within braces, what extends what, and services each have a limit.
//!
//! Source: the Compose specification, <https://github.com/compose-spec/compose-spec>.

mod capabilities;
mod context;
mod deploy;
mod environment;
mod extends;
mod files;
mod finding;
mod health;
mod import;
mod interpolate;
mod labels;
mod naming;
mod networks;
mod ports;
mod service;
mod shared;
mod storage;
mod values;

pub use context::{Context, FILES_MAX, files_named, is_compose};
pub use environment::env_lines;
pub use finding::{FINDINGS_MAX, Finding, FindingKind};
pub use import::{Import, import};
pub use networks::SERVICES_MAX;
pub use storage::VOLUME_BYTES_DEFAULT;
