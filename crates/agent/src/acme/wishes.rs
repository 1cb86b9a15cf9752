//! A person's wishes about certificates.

use std::sync::Mutex;

use openmesh_blueprint::document::Certificates;

/// Wishes of the wanted generation, by its number: it never changes.
#[derive(Default)]
pub struct Wishes(pub(super) Mutex<Option<(u64, Option<Certificates>)>>);
