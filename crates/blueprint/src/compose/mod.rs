//! `docker-compose.yml` into a document.
//!
//! Each service becomes an application. Whatever has no meaning here is found and listed with its line: *ignored* where nothing changes without
//! it, *unsupported* where the service would behave otherwise. What Docker gives without being asked is kept, since images count on it: a writable
//! root, and those of its default capabilities that exist here. Volumes get a size, because without a limit there is none.
//!
//! Source: the Compose specification, <https://github.com/compose-spec/compose-spec>.

mod finding;
mod import;
mod interpolate;
mod service;
mod storage;
mod values;

pub use finding::{Finding, FindingKind};
pub use import::{Import, import};
pub use storage::VOLUME_BYTES_DEFAULT;
