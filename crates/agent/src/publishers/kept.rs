//! Catalogues on the disk: records, texts by their hash, and the texts that applications use.
//!
//! Records and lists lie there twice. Of a pair the first is read; one that cannot be read is set aside under another name, and the second counts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use openmesh_blueprint::document::Name;
use openmesh_primitives::{Digest, Timestamp, ValidatorPublicKey, sha256};
use openmesh_templates::index::Seen;
use openmesh_xnode::marks;
use serde::de::DeserializeOwned;
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

/// Generations of which places for backups keep backups of this machine, by the names of the places.
pub(super) type AllHeads = BTreeMap<String, BTreeSet<u64>>;

/// A file of the folder that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Damage {
    /// The thing that it holds, for people.
    pub what: String,
    /// Place in which it lies now.
    pub file: PathBuf,
    /// Reason for which it could not be read; none where that was found by an earlier run of the agent.
    pub words: Option<String>,
}

/// Everything of the folder that is read when an agent begins.
#[derive(Default)]
pub(super) struct Loaded {
    /// Records of all catalogues that were ever fetched.
    pub records: BTreeMap<Name, Record>,
    /// Texts that applications were made of.
    pub kept: AllKept,
    /// Generations of which backups are kept.
    pub heads: AllHeads,
    /// Files that could not be read, each left out.
    pub damages: Vec<Damage>,
}

/// Folder of the records.
const RECORDS: &str = "records";
/// File with the list of kept texts.
const KEPT: &str = "kept.json";
/// Words for that list.
const KEPT_WORDS: &str = "the list of texts of templates that applications were made of";
/// File with the generations of which backups are kept.
const HEADS: &str = "heads.json";
/// Words for it.
const HEADS_WORDS: &str = "the list of generations of which backups are kept";
/// Folder of the second copies of all three.
const SECOND: &str = "second";
/// End of the name of a file that was set aside.
const ASIDE: &str = "damaged";

/// The folder.
#[derive(Clone, Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// The folder below the state folder of an agent.
    pub(super) fn of(state: &Path) -> Folder {
        Folder(state.join("catalogues"))
    }

    /// Both places of a file.
    fn places(&self, file: &Path) -> [PathBuf; 2] {
        [self.0.join(file), self.0.join(SECOND).join(file)]
    }

    fn text_file(&self, digest: &Digest) -> PathBuf {
        self.0.join("texts").join(digest.to_string())
    }

    /// Reads everything that can be read. What cannot holds up nothing else: it is set aside and named.
    pub(super) fn load(&self) -> Loaded {
        let mut loaded = Loaded { damages: self.aside(), ..Loaded::default() };
        let mut names: BTreeSet<Name> = BTreeSet::new();
        for folder in self.places(Path::new(RECORDS)) {
            match files(&folder) {
                // A file that was being written when the machine went is no record.
                Ok(paths) => {
                    let records = paths.iter().filter(|path| has_end(path, "json"));
                    names.extend(records.filter_map(|path| stem::<Name>(path)));
                }
                Err(error) => {
                    let what = "the folder with the records of catalogues".to_string();
                    loaded.damages.push(Damage { what, file: folder, words: Some(error.to_string()) });
                }
            }
        }
        for name in names {
            let found = self.find::<Record>(&record_file(&name), &record_words(name.as_str()), &mut loaded.damages);
            loaded.records.extend(found.map(|record| (name, record)));
        }
        loaded.kept = self.find(Path::new(KEPT), KEPT_WORDS, &mut loaded.damages).unwrap_or_default();
        loaded.heads = self.find(Path::new(HEADS), HEADS_WORDS, &mut loaded.damages).unwrap_or_default();
        loaded
    }

    /// The first of two copies that can be read, of which the other one is made where it is not there; none where neither is there, or can be read.
    fn find<T: DeserializeOwned>(&self, file: &Path, what: &str, damages: &mut Vec<Damage>) -> Option<T> {
        let places = self.places(file);
        let (path, found) = places.iter().find_map(|path| match marks::find::<T>(path) {
            Ok(found) => found.map(|found| (path, found)),
            Err(error) => {
                damages.push(set_aside(path, what, &error.to_string()));
                None
            }
        })?;
        for other in places.iter().filter(|other| !other.exists()) {
            let copied = fs::read(path).and_then(|bytes| marks::replace(other, &bytes));
            if let Err(error) = copied {
                tracing::warn!(%error, file = %other.display(), "{what} has no second copy");
            }
        }
        Some(found)
    }

    /// Files that were set aside by an earlier run, and still lie there.
    fn aside(&self) -> Vec<Damage> {
        let mut found = Vec::new();
        for folder in self.places(Path::new(RECORDS)) {
            let paths = files(&folder).unwrap_or_default().into_iter().filter(|path| has_end(path, ASIDE));
            let named = paths.filter_map(|file| Some((record_words(stem::<String>(&file)?.as_str()), file)));
            found.extend(named.map(|(what, file)| Damage { what, file, words: None }));
        }
        for (list, words) in [(KEPT, KEPT_WORDS), (HEADS, HEADS_WORDS)] {
            let files = self.places(Path::new(list)).map(|path| path.with_extension(ASIDE));
            let files = files.into_iter().filter(|file| file.exists());
            found.extend(files.map(|file| Damage { what: words.to_string(), file, words: None }));
        }
        found
    }

    /// Returns true where a list of kept texts was set aside: which texts it named nobody knows.
    pub(super) fn is_list_aside(&self) -> bool {
        self.places(Path::new(KEPT)).iter().any(|path| path.with_extension(ASIDE).exists())
    }

    /// Writes a record.
    ///
    /// # Errors
    /// The disk's word; the one before stays.
    pub(super) fn write_record(&self, name: &Name, record: &Record) -> Result<(), CatalogueError> {
        self.write(&record_file(name), &serde_json::to_vec(record).unwrap_or_default())
    }

    /// Writes the list of kept texts.
    ///
    /// # Errors
    /// The disk's word; the one before stays.
    pub(super) fn write_kept(&self, kept: &AllKept) -> Result<(), CatalogueError> {
        self.write(Path::new(KEPT), &serde_json::to_vec(kept).unwrap_or_default())
    }

    /// Writes the generations of which backups are kept.
    ///
    /// # Errors
    /// The disk's word; the one before stays.
    pub(super) fn write_heads(&self, heads: &AllHeads) -> Result<(), CatalogueError> {
        self.write(Path::new(HEADS), &serde_json::to_vec(heads).unwrap_or_default())
    }

    /// Writes both copies of a file, the second before the first: as long as the first is the one of before, that one counts.
    fn write(&self, file: &Path, bytes: &[u8]) -> Result<(), CatalogueError> {
        let [first, second] = self.places(file);
        marks::replace(&second, bytes).map_err(CatalogueError::disk)?;
        marks::replace(&first, bytes).map_err(CatalogueError::disk)
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

/// Words for the record of a catalogue.
fn record_words(name: &str) -> String {
    format!("the record of the catalogue {name}")
}

/// File of a catalogue's record.
fn record_file(name: &Name) -> PathBuf {
    Path::new(RECORDS).join(format!("{name}.json"))
}

fn has_end(path: &Path, end: &str) -> bool {
    path.extension().is_some_and(|own| own == end)
}

/// Name of a file without its end, as a value; none where it is no such value.
fn stem<T: FromStr>(path: &Path) -> Option<T> {
    path.file_stem()?.to_str()?.parse().ok()
}

/// Sets a file aside that cannot be read. One that cannot be moved stays where it is until it is written anew.
fn set_aside(path: &Path, what: &str, words: &str) -> Damage {
    let aside = path.with_extension(ASIDE);
    let file = match fs::rename(path, &aside) {
        Ok(()) => aside,
        Err(error) => {
            tracing::warn!(%error, file = %path.display(), "a file that cannot be read cannot be set aside either");
            path.to_path_buf()
        }
    };
    tracing::warn!(file = %file.display(), error = %words, "{what} cannot be read, and is left out");
    Damage { what: what.to_string(), file, words: Some(words.to_string()) }
}
