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
    /// Images that somebody needs and of which a document is not here. While there is one no unpacked layer goes: it may be of that image, and under an
    /// instance that runs.
    pub unread: BTreeSet<Digest>,
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
        for image in &self.unread {
            writeln!(
                f,
                "unpacked layers stay: image sha256:{image} is needed, and which are its own is not known here"
            )?;
        }
        writeln!(f, "{} things, {} bytes", self.items.len(), self.bytes())
    }
}

impl Store {
    /// Lists things that nobody needs. Images in `recipes` are needed where they are leased, like all others.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Record`]; [`StoreError::Damaged`] and [`StoreError::Document`] for an image that somebody needs, since nobody knows
    /// then what it needs.
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
        Ok(Collection { items, unread: needs.unread })
    }

    /// Removes what was shown and is still needed by nobody; returns what went. While it looks and takes away, nobody can say that he needs something.
    ///
    /// # Errors
    /// Those of [`Store::collection`]; what went before stays away, and the rest can be collected again.
    pub fn collect(&self, shown: &Collection, effect: Effect<'_>) -> Result<Collection, StoreError> {
        let mut going = Vec::new();
        let taken = self.take_away(shown, &mut going, effect);
        // The bytes of layers go when others may go on.
        let removed = going.iter().try_for_each(|path| files::remove(path, "image.layer.remove", effect));
        let taken = taken?;
        removed.map(|()| taken)
    }

    /// Takes their names from things that nobody needs; `going` gets folders that are still to be removed.
    fn take_away(
        &self,
        shown: &Collection,
        going: &mut Vec<PathBuf>,
        effect: Effect<'_>,
    ) -> Result<Collection, StoreError> {
        let _collection = self.hold("collection")?;
        let mut now = self.collection()?;
        now.items.retain(|item, _| shown.items.contains_key(item));
        // Names first: one that leads nowhere is worse than a blob without a name.
        let names = self.hold("references")?;
        let mut references = self.references()?;
        let before = references.len();
        references.retain(|name, _| !now.items.contains_key(&Kept::Reference(name.clone())));
        if references.len() < before {
            self.write_references(&references, effect)?;
        }
        drop(names);
        let mut busy = BTreeSet::new();
        for item in now.items.keys() {
            if !self.take_away_one(item, going, effect)? {
                busy.insert(item.clone());
            }
        }
        now.items.retain(|item, _| !busy.contains(item));
        Ok(now)
    }

    /// Takes one thing away; false where somebody works on it at the moment, who has not said yet that he needs it.
    fn take_away_one(&self, item: &Kept, going: &mut Vec<PathBuf>, effect: Effect<'_>) -> Result<bool, StoreError> {
        let lock = match item {
            Kept::Recipe(_) | Kept::Reference(_) => None,
            Kept::Blob(digest) | Kept::Partial(digest) => Some(format!("blob-{digest}")),
            Kept::Layer(name) => Some(format!("layer-{name}")),
        };
        let held = lock.map(|name| self.hold_soon(&name)).transpose()?;
        if matches!(held, Some(None)) {
            return Ok(false);
        }
        match item {
            Kept::Recipe(hash) => files::remove(&self.built_path(hash), "image.collect.recipe", effect)?,
            Kept::Layer(name) => going.extend(self.rename_layer_away(&self.root.join("layers").join(name), effect)?),
            Kept::Blob(digest) => files::remove(&self.blob_path(digest), "image.collect.blob", effect)?,
            Kept::Partial(digest) => files::remove(&self.partial_path(digest), "image.collect.partial", effect)?,
            Kept::Reference(_) => {}
        }
        Ok(true)
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
#[derive(Default)]
struct Needs {
    images: BTreeSet<Digest>,
    blobs: BTreeSet<Digest>,
    layers: BTreeSet<String>,
    unread: BTreeSet<Digest>,
}

impl Needs {
    fn of(store: &Store) -> Result<Needs, StoreError> {
        let images = store.leased()?;
        let mut needs = Needs { images: images.clone(), ..Needs::default() };
        for digest in images {
            needs.blobs.insert(digest);
            match needs.add(store, &digest) {
                // One that is being pulled, or whose damaged document was discarded.
                Err(StoreError::Missing(_)) => needs.unread.extend([digest]),
                other => other?,
            }
        }
        Ok(needs)
    }

    fn add(&mut self, store: &Store, digest: &Digest) -> Result<(), StoreError> {
        let (manifest_digest, manifest) = store.manifest(digest)?;
        self.blobs.insert(manifest_digest);
        self.blobs.extend(manifest.blobs().map(|blob| blob.digest));
        let image = store.image(digest)?;
        self.layers.extend(image.config.diff_ids.iter().map(Digest::to_string));
        self.layers.insert(super::lowers::over_name(&image.config.diff_ids));
        Ok(())
    }

    fn contain(&self, item: &Kept) -> bool {
        match item {
            Kept::Blob(digest) | Kept::Partial(digest) => self.blobs.contains(digest),
            Kept::Layer(name) => self.layers.contains(name) || !self.unread.is_empty(),
            Kept::Reference(_) | Kept::Recipe(_) => false,
        }
    }
}
