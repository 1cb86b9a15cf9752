//! Collection: what nobody needs, shown before it goes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use openmesh_primitives::Digest;

use super::{Store, StoreError, files};
use crate::effect::Effect;

/// Something that would be removed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kept {
    /// A reference to an image that nobody needs.
    Reference(String),
    /// A blob.
    Blob(Digest),
    /// The part of a blob that came so far.
    Partial(Digest),
    /// An unpacked layer, or folders over one, by the name of its folder.
    Layer(String),
    /// A note that a recipe was built.
    Recipe(Digest),
}

/// Things that a collection would remove, with the bytes that each has on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collection {
    /// Things that go.
    pub items: BTreeMap<Kept, u64>,
}

impl Collection {
    /// Bytes that come free.
    pub fn bytes(&self) -> u64 {
        self.items.values().sum()
    }
}

impl fmt::Display for Collection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (item, bytes) in &self.items {
            match item {
                Kept::Reference(name) => writeln!(f, "reference {name}")?,
                Kept::Blob(digest) => writeln!(f, "blob sha256:{digest} ({bytes} bytes)")?,
                Kept::Partial(digest) => writeln!(f, "unfinished blob sha256:{digest} ({bytes} bytes)")?,
                Kept::Layer(name) => writeln!(f, "unpacked layer {name} ({bytes} bytes)")?,
                Kept::Recipe(hash) => writeln!(f, "image of recipe {hash}")?,
            }
        }
        writeln!(f, "{} things, {} bytes", self.items.len(), self.bytes())
    }
}

impl Store {
    /// Lists things that nobody needs. Images in `recipes` are needed where they are leased, like all others.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Record`].
    pub fn collection(&self) -> Result<Collection, StoreError> {
        let needs = Needs::of(self)?;
        let mut items = BTreeMap::new();
        for (item, path) in self.everything()? {
            if !needs.contain(&item) {
                items.insert(item, files::size(&path));
            }
        }
        for (name, digest) in self.references()? {
            if !needs.images.contains(&digest) {
                items.insert(Kept::Reference(name), 0);
            }
        }
        for (hash, built) in self.built()? {
            if !needs.images.contains(&built) {
                items.insert(Kept::Recipe(hash), 0);
            }
        }
        Ok(Collection { items })
    }

    /// Removes what was shown and is still needed by nobody; returns what went.
    ///
    /// # Errors
    /// [`StoreError::Io`]; what went before it stays away, and the rest can be collected again.
    pub fn collect(&self, shown: &Collection, effect: Effect<'_>) -> Result<Collection, StoreError> {
        let mut now = self.collection()?;
        now.items.retain(|item, _| shown.items.contains_key(item));
        // Names first: one that leads nowhere is worse than a blob without a name.
        let mut references = self.references()?;
        let before = references.len();
        references.retain(|name, _| !now.items.contains_key(&Kept::Reference(name.clone())));
        if references.len() < before {
            self.write_references(&references, effect)?;
        }
        for item in now.items.keys() {
            match item {
                Kept::Recipe(hash) => files::remove(&self.built_path(hash), "image.collect.recipe", effect)?,
                Kept::Layer(name) => self.remove_layer(&self.root.join("layers").join(name), effect)?,
                Kept::Blob(digest) => files::remove(&self.blob_path(digest), "image.collect.blob", effect)?,
                Kept::Partial(digest) => files::remove(&self.partial_path(digest), "image.collect.partial", effect)?,
                Kept::Reference(_) => {}
            }
        }
        Ok(now)
    }

    /// Blobs, partial blobs and layers with their paths.
    fn everything(&self) -> Result<Vec<(Kept, PathBuf)>, StoreError> {
        let mut all = Vec::new();
        for (folder, kind) in
            [("blobs/sha256", Kept::Blob as fn(Digest) -> Kept), ("partial", Kept::Partial as fn(Digest) -> Kept)]
        {
            let listed = files::list(&self.root.join(folder))?;
            all.extend(listed.into_iter().filter_map(|(path, name)| Some((kind(name.parse().ok()?), path))));
        }
        let layers = files::list(&self.root.join("layers"))?;
        let ours = |name: &str| name.strip_prefix("over-").unwrap_or(name).parse::<Digest>().is_ok();
        all.extend(layers.into_iter().filter(|(_, name)| ours(name)).map(|(path, name)| (Kept::Layer(name), path)));
        Ok(all)
    }
}

/// Things that the leases need.
struct Needs {
    images: BTreeSet<Digest>,
    blobs: BTreeSet<Digest>,
    layers: BTreeSet<String>,
}

impl Needs {
    fn of(store: &Store) -> Result<Needs, StoreError> {
        let mut needs = Needs { images: store.leased()?, blobs: BTreeSet::new(), layers: BTreeSet::new() };
        for digest in needs.images.clone() {
            needs.blobs.insert(digest);
            // An image that is being pulled has no manifest yet, and then no blob of it is there either.
            let Ok((manifest_digest, manifest)) = store.manifest(&digest) else { continue };
            needs.blobs.insert(manifest_digest);
            needs.blobs.extend(manifest.blobs().map(|blob| blob.digest));
            if let Ok(image) = store.image(&digest) {
                needs.layers.extend(image.config.diff_ids.iter().map(Digest::to_string));
                needs.layers.insert(super::lowers::over_name(&image.config.diff_ids));
            }
        }
        Ok(needs)
    }

    fn contain(&self, item: &Kept) -> bool {
        match item {
            Kept::Blob(digest) | Kept::Partial(digest) => self.blobs.contains(digest),
            Kept::Layer(name) => self.layers.contains(name),
            Kept::Reference(_) | Kept::Recipe(_) => false,
        }
    }
}
