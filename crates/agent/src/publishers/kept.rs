//! Catalogues on the disk: records, texts by their hash, and the texts that applications use.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use openmesh_blueprint::document::Name;
use openmesh_primitives::{Digest, Timestamp, ValidatorPublicKey, sha256};
use openmesh_templates::index::Seen;
use openmesh_xnode::marks;
use serde::{Deserialize, Serialize};

use super::error::CatalogueError;

/// Record of a catalogue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Record {
    /// The key that signed the copy.
    pub key: Option<ValidatorPublicKey>,
    /// Address that it came from.
    pub address: String,
    /// Hash of the index of the copy, as it came; none where there is no copy.
    pub index: Option<Digest>,
    /// Moment at which that index was taken.
    pub taken: Option<Timestamp>,
    /// Last moment at which its place gave a right index.
    pub checked: Option<Timestamp>,
    /// Traces of indices by the key that signed them. They outlive a change of keys, so that changing to and fro brings no old index back.
    pub seen: BTreeMap<String, Seen>,
    /// The last failure, where nothing succeeded since.
    pub failure: Option<Failure>,
}

/// A failure of fetching.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Failure {
    /// A stable word.
    pub code: String,
    /// Words for a person.
    pub message: String,
    /// The moment.
    pub at: Timestamp,
}

/// A text that applications were made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    /// Hash of the text.
    pub text: Digest,
    /// Publisher, for people.
    pub publisher: String,
    /// Key that signed it.
    pub key: ValidatorPublicKey,
}

/// Texts that applications were made of, by catalogue, name and version: `acme/shop@3`.
pub(super) type AllKept = BTreeMap<String, Kept>;

/// The folder.
#[derive(Clone, Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// The folder below the state folder of an agent.
    pub(super) fn of(state: &Path) -> Folder {
        Folder(state.join("catalogues"))
    }

    fn record_file(&self, name: &Name) -> PathBuf {
        self.0.join("records").join(format!("{name}.json"))
    }

    fn text_file(&self, digest: &Digest) -> PathBuf {
        self.0.join("texts").join(digest.to_string())
    }

    /// Records of all catalogues that were ever fetched.
    ///
    /// # Errors
    /// One cannot be read.
    pub(super) fn records(&self) -> Result<BTreeMap<Name, Record>, CatalogueError> {
        let mut records = BTreeMap::new();
        for path in files(&self.0.join("records"))? {
            let name = path.file_stem().and_then(|stem| stem.to_str()?.parse::<Name>().ok());
            // A file that was being written when the machine went is no record.
            let Some(name) = name.filter(|_| path.extension().is_some_and(|end| end == "json")) else { continue };
            records.insert(name, marks::read::<Record>(&path).map_err(CatalogueError::disk)?);
        }
        Ok(records)
    }

    /// Writes a record.
    ///
    /// # Errors
    /// The disk's word; the one before stays.
    pub(super) fn write_record(&self, name: &Name, record: &Record) -> Result<(), CatalogueError> {
        let bytes = serde_json::to_vec(record).unwrap_or_default();
        marks::replace(&self.record_file(name), &bytes).map_err(CatalogueError::disk)
    }

    /// Texts that applications were made of.
    ///
    /// # Errors
    /// The list cannot be read.
    pub(super) fn kept(&self) -> Result<AllKept, CatalogueError> {
        marks::read(&self.0.join("kept.json")).map_err(CatalogueError::disk)
    }

    /// Writes that list.
    ///
    /// # Errors
    /// The disk's word; the one before stays.
    pub(super) fn write_kept(&self, kept: &AllKept) -> Result<(), CatalogueError> {
        let bytes = serde_json::to_vec(kept).unwrap_or_default();
        marks::replace(&self.0.join("kept.json"), &bytes).map_err(CatalogueError::disk)
    }

    /// The bytes of a hash; none where they are not here, or are others.
    pub(super) fn text(&self, digest: &Digest) -> Option<Vec<u8>> {
        fs::read(self.text_file(digest)).ok().filter(|bytes| sha256(&[bytes]) == *digest)
    }

    /// Writes bytes by their hash; nothing where they are here.
    ///
    /// # Errors
    /// The disk's word.
    pub(super) fn write_text(&self, bytes: &[u8]) -> Result<Digest, CatalogueError> {
        let digest = sha256(&[bytes]);
        if self.text(&digest).is_none() {
            marks::replace(&self.text_file(&digest), bytes).map_err(CatalogueError::disk)?;
        }
        Ok(digest)
    }

    /// Removes every text that is not needed.
    ///
    /// # Errors
    /// The disk's word.
    pub(super) fn sweep(&self, needed: &BTreeSet<Digest>) -> Result<(), CatalogueError> {
        for path in files(&self.0.join("texts"))? {
            let digest = path.file_name().and_then(|name| name.to_str()?.parse::<Digest>().ok());
            if digest.is_none_or(|digest| !needed.contains(&digest)) {
                fs::remove_file(&path).map_err(CatalogueError::disk)?;
            }
        }
        Ok(())
    }
}

/// Files of a folder; none where it is not there.
fn files(folder: &Path) -> Result<Vec<PathBuf>, CatalogueError> {
    match fs::read_dir(folder) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        entries => Ok(entries.map_err(CatalogueError::disk)?.flatten().map(|entry| entry.path()).collect()),
    }
}
