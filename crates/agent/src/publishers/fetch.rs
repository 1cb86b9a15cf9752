//! One look at the place of a catalogue: its index with every reason against it, and the texts that are not here yet.

use openmesh_blueprint::document::{CatalogueSource, Name};
use openmesh_primitives::{Digest, Timestamp};
use openmesh_templates::index::{INDEX_BYTES_MAX, INDEX_FILE, Index, IndexRefusal, Opened, Part, Seen, open};

use super::error::CatalogueError;
use super::kept::{AllKept, Folder};
use super::source::Source;

/// A catalogue that was fetched.
pub(super) struct Fetched {
    /// The index, as it came.
    pub bytes: Vec<u8>,
    /// The index.
    pub opened: Opened,
    /// Texts and icons that were not here.
    pub texts: Vec<Vec<u8>>,
}

/// Facts against which a fetched index is held.
pub(super) struct Known {
    /// Traces of the key's last index at this place.
    pub seen: Option<Seen>,
    /// Those under the other names that the machine has, or had, for catalogues of the key.
    pub elsewhere: Vec<Seen>,
    /// The index of the copy.
    pub before: Option<Index>,
    /// Texts that applications were made of.
    pub kept: AllKept,
    /// Texts that are here.
    pub folder: Folder,
}

/// Name of a template of a catalogue among those that are kept: `acme/shop@3`.
pub(super) fn kept_name(catalogue: &Name, name: &str, version: &str) -> String {
    format!("{catalogue}/{name}@{version}")
}

/// Fetches a catalogue. Nothing of it is used where one part of it is not right: the copy that is there stays.
///
/// # Errors
/// Its place does not give a file, or the first reason against its index or a text.
pub(super) async fn fetch(
    name: &Name,
    source: &CatalogueSource,
    known: &Known,
    now: Timestamp,
) -> Result<Fetched, CatalogueError> {
    let place = Source::of(&source.address)?;
    let bytes = place.read(INDEX_FILE, INDEX_BYTES_MAX as u64).await?;
    let opened = open(&bytes, &source.key)?;
    opened.check_time(now)?;
    if let Some(seen) = &known.seen {
        opened.check_order(seen)?;
    }
    // A key may sign several catalogues. Of one and the same, nothing is taken that is older than under another name.
    for seen in known.elsewhere.iter().filter(|seen| seen.catalogue == opened.index.catalogue) {
        opened.check_order(seen)?;
    }
    if let Some(before) = &known.before {
        opened.index.check_texts(before)?;
    }
    check_kept(name, &opened.index, &known.kept)?;
    let mut texts: Vec<Vec<u8>> = Vec::new();
    let mut had: Vec<Digest> = Vec::new();
    for (file, part) in opened.index.templates.iter().flat_map(|entry| entry.files()) {
        if had.contains(&part.sha256) || known.folder.text(&part.sha256).is_some() {
            continue;
        }
        let bytes = place.read(&file, part.bytes).await?;
        if Part::of(&bytes) != part {
            return Err(CatalogueError::Text { file });
        }
        had.push(part.sha256);
        texts.push(bytes);
    }
    Ok(Fetched { bytes, opened, texts })
}

/// Fails where a text that an application was made of is another one under its version.
fn check_kept(name: &Name, index: &Index, kept: &AllKept) -> Result<(), IndexRefusal> {
    let altered = index.templates.iter().find(|entry| {
        let known = kept.get(&kept_name(name, &entry.name, &entry.version.to_string()));
        known.is_some_and(|known| known.text != entry.text.sha256)
    });
    match altered {
        Some(entry) => Err(IndexRefusal::Altered { template: format!("{} {}", entry.name, entry.version) }),
        None => Ok(()),
    }
}
