//! Images that are made here, from a recipe: base, packages, files, command.
//!
//! # How the digest comes to be the same
//! Each part becomes one layer. Its entries are sorted, have the time 0 and numbers for owners; what differs from run to run (logs, caches, lists of mirrors,
//! compiled Python, lock files of npm) is left out. Layers are not compressed: a compressor's next version would give other bytes, and what is made here
//! is seldom sent anywhere. Documents are written with sorted keys and without a time. The packages of a version are the same as long as their registry
//! keeps to its word; those that they depend on are the registry's choice of the day unless the recipe names them too, and so is a package of the version `newest`
//! (`newest-LABEL`, where the same recipe is to be made anew).
//!
//! # Who runs
//! `mmdebstrap`, `npm` and `pip` of this machine, as root where Debian's own packages need it: their maintainers' scripts run, from packages that apt
//! has verified. Scripts of npm packages do not (`--ignore-scripts`); dependencies of theirs that come from a repository or an address and not from the
//! registry are refused, since preparing one would run an npm in it; and PyPI's come as wheels only (`--only-binary`): nothing of a stranger runs while an
//! image is made. Each program has mounts, processes and a home of its own (module `program`).
//!
//! # Limits
//! Debian packages need a Debian root that is made here: together with an image as base they are refused. Python packages
//! need `python3` among the Debian packages, or in the base.
//!
//! # On failure
//! The store is as before but for blobs that nothing names, which the next collection shows. The last lines of the program that failed are in the error.

mod error;
mod kitchen;
mod layer;
mod own;
mod packages;
mod program;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use openmesh_blueprint::catalogue::recipe_hash;
use openmesh_blueprint::document::{Content, Recipe};
use openmesh_primitives::Digest;
use serde::{Deserialize, Serialize};

pub use error::RecipeError;
pub use kitchen::{Kitchen, Mirror};
pub use own::Taken;

use crate::effect::Effect;
use crate::oci::{CONFIG, Config, Descriptor, write_config, write_manifest};
use crate::store::{Store, StoreError};
use kitchen::PATH;
use layer::Layer;

/// A note that a recipe was built.
#[derive(Serialize, Deserialize)]
struct Built {
    image: Digest,
    suite: String,
}

/// An image that was made, or found made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// Hash of the recipe.
    pub recipe: Digest,
    /// The image.
    pub image: Digest,
    /// True where it was there already.
    pub cached: bool,
}

impl Store {
    pub(crate) fn built_path(&self, recipe: &Digest) -> PathBuf {
        self.root().join("recipes").join(format!("{recipe}.json"))
    }

    /// Images by the hash of the recipe that made them.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn built(&self) -> Result<BTreeMap<Digest, Digest>, StoreError> {
        let folder = self.root().join("recipes");
        let entries =
            std::fs::read_dir(&folder).map_err(|cause| StoreError::Io { path: folder, doing: "reading", cause })?;
        let hashes =
            entries.flatten().filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".json")?.parse().ok());
        Ok(hashes.filter_map(|hash| Some((hash, self.note(&hash)?.image))).collect())
    }

    /// A note that cannot be read is none: the image is made again.
    fn note(&self, recipe: &Digest) -> Option<Built> {
        serde_json::from_slice(&std::fs::read(self.built_path(recipe)).ok()?).ok()
    }

    /// The image of a recipe by its hash, where it was made for this kitchen and all of it is here.
    pub fn made(&self, recipe: &Digest, kitchen: &Kitchen) -> Option<Digest> {
        let built = self.note(recipe).filter(|built| built.suite == kitchen.suite)?;
        self.state(&built.image).map(|_| built.image)
    }

    /// Makes the image of a recipe, or finds it made, and adds it to what `owner` needs. A base must have been pulled. Blocks for as long as the programs run.
    ///
    /// # Errors
    /// See [`RecipeError`].
    pub fn make(
        &self,
        recipe: &Recipe,
        kitchen: &Kitchen,
        owner: &str,
        effect: Effect<'_>,
    ) -> Result<Made, RecipeError> {
        let hash = recipe_hash(recipe);
        let _held = self.hold(&format!("recipe-{hash}"))?;
        let collections = self.hold_off_collections()?;
        if let Some(image) = self.made(&hash, kitchen) {
            self.lease_also(owner, image, effect)?;
            return Ok(Made { recipe: hash, image, cached: true });
        }
        drop(collections);
        let scratch = self.root().join(format!("building-recipe-{hash}"));
        let disk = |cause| RecipeError::Disk { path: scratch.clone(), cause };
        effect("image.recipe.scratch").map_err(disk)?;
        crate::delete::folder_if_there(&scratch).map_err(disk)?;
        std::fs::create_dir_all(&scratch).map_err(disk)?;
        effect("image.recipe.scratch").map_err(disk)?;
        let made = self.cook(recipe, kitchen, &scratch, owner, effect);
        // An error of the recipe is worth more than one of its remains, which the next start removes.
        let _ = crate::delete::folder_if_there(&scratch);
        let image = made?;
        let note = Built { image, suite: kitchen.suite.clone() };
        self.keep_note(&hash, &serde_json::to_vec(&note).unwrap_or_default(), effect)?;
        Ok(Made { recipe: hash, image, cached: false })
    }

    fn cook(
        &self,
        recipe: &Recipe,
        kitchen: &Kitchen,
        scratch: &Path,
        owner: &str,
        effect: Effect<'_>,
    ) -> Result<Digest, RecipeError> {
        let (mut layers, mut config, mut python) = self.base(recipe)?;
        let packages = packages::Packages { kitchen, scratch, platform: self.platform() };
        let mut parts: Vec<Layer> = Vec::new();
        let wants_root = !(recipe.debian.is_empty() && recipe.npm.is_empty() && recipe.pypi.is_empty());
        if recipe.base.is_none() && wants_root {
            let (layer, found) = packages.debian(&recipe.debian)?;
            python = python.or(found);
            parts.push(layer);
        }
        if !recipe.npm.is_empty() {
            parts.push(packages.npm(&recipe.npm)?);
        }
        if !recipe.pypi.is_empty() {
            let version = python.ok_or(RecipeError::NoPython)?;
            parts.push(packages.pypi(&recipe.pypi, &version)?);
            say(&mut config.env, "PYTHONPATH", packages::PYTHON_FOLDER);
            say(&mut config.env, "PATH", &format!("{PATH}:{}/bin", packages::PYTHON_FOLDER));
        }
        if !recipe.files.is_empty() {
            parts.push(files(recipe, scratch)?);
        }
        // From the first blob to the lease: a collection between the two would take the layers.
        let _collections = self.hold_off_collections()?;
        for part in parts {
            let (descriptor, diff_id) = part.finish(self, effect)?;
            layers.push(descriptor);
            config.diff_ids.push(diff_id);
        }
        if !recipe.command.is_empty() {
            (config.entrypoint, config.command) = (Vec::new(), recipe.command.clone());
        }
        self.seal(&config, &layers, owner, effect)
    }

    /// Writes the documents of an image whose layers are here, and adds it to what `owner` needs.
    fn seal(
        &self,
        config: &Config,
        layers: &[Descriptor],
        owner: &str,
        effect: Effect<'_>,
    ) -> Result<Digest, RecipeError> {
        let bytes = write_config(config, self.platform());
        let digest = self.put(&bytes, effect)?;
        let config = Descriptor { media_type: CONFIG.into(), digest, size: bytes.len() as u64 };
        let bytes = write_manifest(&config, layers);
        // The lease comes first: a manifest that nobody needs is nobody's to remove after a death.
        let image = openmesh_primitives::sha256(&[&bytes]);
        self.lease_also(owner, image, effect)?;
        self.put(&bytes, effect)?;
        Ok(image)
    }

    /// Layers and configuration of the base, and the version of its Python where that is known.
    fn base(&self, recipe: &Recipe) -> Result<(Vec<Descriptor>, Config, Option<String>), RecipeError> {
        let Some(reference) = &recipe.base else {
            let config = Config { env: vec![format!("PATH={PATH}")], ..Config::default() };
            return Ok((Vec::new(), config, None));
        };
        let boxed = || Box::new(reference.clone());
        if !recipe.debian.is_empty() {
            return Err(RecipeError::DebianOnBase(boxed()));
        }
        let digest = reference.digest.ok_or_else(|| RecipeError::BaseNotPinned(boxed()))?;
        let image = self.image(&digest).map_err(|cause| RecipeError::Base { reference: boxed(), cause })?;
        let python = image.config.env.iter().find_map(|line| {
            let version = line.strip_prefix("PYTHON_VERSION=")?;
            let mut parts = version.split('.');
            Some(format!("{}.{}", parts.next()?, parts.next()?))
        });
        Ok((image.manifest.layers, image.config, python))
    }
}

/// Sets a variable.
fn say(env: &mut Vec<String>, name: &str, value: &str) {
    env.retain(|line| line.split('=').next() != Some(name));
    env.push(format!("{name}={value}"));
}

/// The layer of a recipe's own files. One without an owner belongs to root and can be read by the application's user as its mode says.
fn files(recipe: &Recipe, scratch: &Path) -> Result<Layer, RecipeError> {
    let mut layer = Layer::new(&scratch.join("files.spool"))?;
    for (path, file) in &recipe.files {
        let Content::Text(text) = &file.content else {
            return Err(RecipeError::Secret(path.as_str().to_string()));
        };
        let (uid, gid) = file.owner.map_or((0, 0), |owner| (owner.uid, owner.gid));
        let name = path.as_str().trim_start_matches('/').as_bytes();
        layer.file(name, u32::from(file.mode.0), (u64::from(uid), u64::from(gid)), text.as_bytes())?;
    }
    Ok(layer)
}
