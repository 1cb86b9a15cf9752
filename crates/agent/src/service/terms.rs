//! Terms of a deployment.

use std::collections::BTreeMap;

use openmesh_blueprint::document::Name;
use openmesh_blueprint::generation::Disposal;

/// Terms of a deployment, beside its document.
#[derive(Clone, Debug, Default)]
pub(crate) struct Terms {
    /// Fates of the data of applications that go.
    pub disposals: BTreeMap<Name, Disposal>,
    /// Secrets that are made with it where they are not there, with their letters and digits; for the plan they count as there.
    pub makes: BTreeMap<Name, u32>,
    /// Tags are looked up anew; else those that an application had already keep their images.
    pub refresh: bool,
    /// It is done also where the machine is emptied: it empties it, or ends that.
    pub although_drained: bool,
    /// A move of the application makes it.
    pub of_move: bool,
}
