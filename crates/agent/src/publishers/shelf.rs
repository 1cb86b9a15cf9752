//! Copies of catalogues: what is on the shelves, what applications use, and the store that is made of both.

mod carried;
mod collect;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use openmesh_blueprint::Document;
use openmesh_blueprint::document::{CatalogueSource, Name, TemplateUse};
use openmesh_blueprint::template::Template;
use openmesh_primitives::{Digest, Timestamp};
use openmesh_templates::index::{Index, Opened, open};
use openmesh_templates::{Library, Others, built_in};
use tokio::sync::Notify;

pub(crate) use self::carried::Carried;
pub(crate) use self::collect::kept_names;
use super::error::CatalogueError;
use super::fetch::{Fetched, Known, fetch, kept_name};
use super::kept::{AllHeads, AllKept, Damage, Failure, Folder, Kept, Loaded, Record};
use super::views;
use crate::error::AgentError;

/// Time for a whole catalogue.
const WHOLE: Duration = Duration::from_secs(300);
/// Pause after a right index: an update of security is in the store within a quarter of a day.
const PAUSE: Duration = Duration::from_secs(6 * 3_600);
/// Pause after a failure.
const AGAIN: Duration = Duration::from_secs(900);
/// Most texts that are kept for applications: each is asked for by a person's deployment.
const KEPT_MAX: usize = 1_000;
/// Digits of a key that are shown beside a publisher: whoever compares it compares these at least.
const KEY_DIGITS: usize = 16;

/// A copy of a catalogue.
#[derive(Default)]
struct Shelf {
    record: Record,
    opened: Option<Opened>,
    others: Option<Arc<Others>>,
    /// Last look at its place, with that place.
    tried: Option<(Instant, CatalogueSource)>,
}

impl Shelf {
    /// The copy that a record names, if it is whole and rightly signed.
    fn load(folder: &Folder, name: &Name, record: Record) -> Shelf {
        let signed = record.index.zip(record.key);
        let opened = signed.and_then(|(index, key)| open(&folder.text(&index)?, &key).ok());
        let others = opened.as_ref().map(|opened| others(folder, name, &opened.index));
        Shelf { record, opened, others, tried: None }
    }

    /// The copy, where the key that the document names has signed it.
    fn copy(&self, source: &CatalogueSource) -> Option<(&Opened, &Arc<Others>)> {
        let is_its = self.record.key == Some(source.key);
        self.opened.as_ref().zip(self.others.as_ref()).filter(|_| is_its)
    }
}

/// The templates of an index, out of the texts that are here.
fn others(folder: &Folder, name: &Name, index: &Index) -> Arc<Others> {
    let text = |digest: &Digest| folder.text(digest);
    let is_taken = |name: &Name| built_in().templates().contains_key(name);
    Arc::new(Others::of(name, index, &text, &is_taken))
}

/// A store, with the catalogues that it was made of.
type Stored = (BTreeMap<Name, CatalogueSource>, Arc<Library>);

#[derive(Default)]
struct Inner {
    shelves: BTreeMap<Name, Shelf>,
    kept: AllKept,
    /// Kept texts that nobody names, with the moment of this run of the agent at which that was seen first.
    idle: BTreeMap<String, Instant>,
    /// Generations of which places for backups keep backups, by the names of the places.
    heads: AllHeads,
    library: Option<Stored>,
}

/// Catalogues of other publishers.
pub(crate) struct Publishers {
    folder: Folder,
    inner: Mutex<Inner>,
    /// Files that could not be read when the agent began.
    damages: Vec<Damage>,
    /// Held while one is fetched: the traces of an index are not written over by an older look.
    one: tokio::sync::Mutex<()>,
    wake: Notify,
}

/// Makes the error of a catalogue.
pub(crate) fn of_catalogue(name: &Name) -> impl FnOnce(CatalogueError) -> AgentError {
    let name = format!("the catalogue {name}");
    move |cause| AgentError::Catalogue { name, cause: Box::new(cause) }
}

/// Makes the error of all catalogues.
fn of_all(cause: CatalogueError) -> AgentError {
    AgentError::Catalogue { name: "the catalogues of other publishers".to_string(), cause: Box::new(cause) }
}

/// Templates of catalogues that a document uses: application, catalogue, use, version.
fn uses(document: &Document) -> impl Iterator<Item = (&Name, &Name, &TemplateUse, &str)> {
    document.applications.iter().filter_map(|(application, own)| {
        let using = own.template.as_ref()?;
        Some((application, using.catalogue.as_ref()?, using, using.version.as_ref()?.as_str()))
    })
}

/// A template of a catalogue.
fn find<'a>(others: &'a Others, using: &TemplateUse) -> Option<&'a Template> {
    let versions = others.templates().get(&using.name)?;
    versions.iter().find(|template| Some(&template.version) == using.version.as_ref())
}

/// Names in a row.
fn row<'a>(names: impl Iterator<Item = &'a Name>) -> String {
    let names: Vec<&str> = names.map(Name::as_str).collect();
    if names.is_empty() { "none".to_string() } else { names.join(", ") }
}

impl Publishers {
    /// Opens the catalogues below the state folder of an agent. What of them cannot be read is left out and named: the rest, and the machine, begin all the same.
    pub(crate) fn open(state: &Path) -> Publishers {
        let folder = Folder::of(state);
        let Loaded { records, kept, heads, damages } = folder.load();
        let load = |(name, record): (Name, Record)| {
            let shelf = Shelf::load(&folder, &name, record);
            (name, shelf)
        };
        let shelves = records.into_iter().map(load).collect();
        let inner = Mutex::new(Inner { shelves, kept, heads, ..Inner::default() });
        Publishers { folder, inner, damages, one: tokio::sync::Mutex::new(()), wake: Notify::new() }
    }

    /// Files of catalogues that could not be read, each as long as it lies in its place.
    pub(crate) fn damages(&self) -> Vec<Damage> {
        self.damages.iter().filter(|damage| damage.file.exists()).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Woken where a document names other catalogues.
    pub(crate) fn wake(&self) -> &Notify {
        &self.wake
    }

    /// The store: the built-in templates, and those of the catalogues that a document names.
    pub(crate) fn library(&self, sources: &BTreeMap<Name, CatalogueSource>) -> Arc<Library> {
        let mut inner = self.lock();
        if let Some((_, library)) = inner.library.as_ref().filter(|(of, _)| of == sources) {
            return library.clone();
        }
        let copy = |(name, source): (&Name, &CatalogueSource)| {
            Some((name.clone(), inner.shelves.get(name)?.copy(source)?.1.clone()))
        };
        let library = Arc::new(built_in().with(sources.iter().filter_map(copy).collect()));
        inner.library = Some((sources.clone(), library.clone()));
        library
    }

    /// Looks at the place of a catalogue, and takes what is there.
    ///
    /// # Errors
    /// The first reason against it; the copy that is there stays.
    pub(crate) async fn refresh(&self, name: &Name, source: &CatalogueSource) -> Result<(), CatalogueError> {
        let _one = self.one.lock().await;
        let (known, now) = (self.known(name, source), Timestamp::now());
        let fetched = tokio::time::timeout(WHOLE, fetch(name, source, &known, now)).await;
        let slow = || CatalogueError::Slow { file: "the catalogue".to_string(), seconds: WHOLE.as_secs() };
        let fetched = fetched.unwrap_or_else(|_| Err(slow()));
        tokio::task::block_in_place(|| {
            let done = fetched.and_then(|fetched| self.take(name, source, fetched, now));
            if let Err(error) = &done {
                self.note_failure(name, error, now);
            }
            self.lock().shelves.entry(name.clone()).or_default().tried = Some((Instant::now(), source.clone()));
            done
        })
    }

    /// Facts against which the index of a catalogue is held.
    fn known(&self, name: &Name, source: &CatalogueSource) -> Known {
        let inner = self.lock();
        let shelf = inner.shelves.get(name);
        let before = shelf.and_then(|shelf| Some(shelf.copy(source)?.0.index.clone()));
        let key = source.key.to_string();
        let seen = shelf.and_then(|shelf| shelf.record.seen.get(&key).cloned());
        let others = inner.shelves.iter().filter(|(other, _)| *other != name);
        let elsewhere = others.filter_map(|(_, shelf)| shelf.record.seen.get(&key).cloned()).collect();
        Known { seen, elsewhere, before, kept: inner.kept.clone(), folder: self.folder.clone() }
    }

    /// Puts a catalogue on its shelf: its texts first, then what names them.
    fn take(
        &self,
        name: &Name,
        source: &CatalogueSource,
        fetched: Fetched,
        now: Timestamp,
    ) -> Result<(), CatalogueError> {
        for text in &fetched.texts {
            self.folder.write_text(text)?;
        }
        let index = self.folder.write_text(&fetched.bytes)?;
        // Hundreds of texts may take seconds, in which nobody who looks at the store is held up. Nothing is swept meanwhile: one catalogue is fetched at a time.
        let others = others(&self.folder, name, &fetched.opened.index);
        let mut inner = self.lock();
        let shelf = inner.shelves.entry(name.clone()).or_default();
        let is_known = shelf.record.index == Some(index) && shelf.copy(source).is_some();
        let mut record = Record {
            key: Some(source.key),
            address: source.address.clone(),
            index: Some(index),
            taken: if is_known { shelf.record.taken } else { Some(now) },
            checked: Some(now),
            seen: shelf.record.seen.clone(),
            failure: None,
        };
        record.seen.insert(source.key.to_string(), fetched.opened.seen());
        self.folder.write_record(name, &record)?;
        *shelf = Shelf { record, opened: Some(fetched.opened), others: Some(others), tried: None };
        inner.library = None;
        // What is not needed any more is only room: the catalogue is there.
        self.sweep(&inner);
        Ok(())
    }

    /// Removes the texts that nobody needs. None goes as long as nobody knows what a damaged list has named.
    fn sweep(&self, inner: &Inner) {
        if self.folder.is_list_aside() {
            return;
        }
        if let Err(error) = self.folder.sweep(&needed(inner)) {
            tracing::warn!(%error, "texts of catalogues that nobody needs are not gone yet");
        }
    }

    /// Notes that a catalogue could not be fetched; what cannot be written is known until the agent ends.
    fn note_failure(&self, name: &Name, error: &CatalogueError, now: Timestamp) {
        let mut inner = self.lock();
        let shelf = inner.shelves.entry(name.clone()).or_default();
        let (code, message) = (error.code().0.to_string(), error.to_string());
        shelf.record.failure = Some(Failure { code, message, at: now });
        if let Err(error) = self.folder.write_record(name, &shelf.record) {
            tracing::warn!(catalogue = %name, %error, "the failure of a catalogue is not in its record");
        }
    }

    /// Catalogues whose places are to be looked at now.
    pub(crate) fn due(&self, sources: &BTreeMap<Name, CatalogueSource>) -> Vec<(Name, CatalogueSource)> {
        let inner = self.lock();
        let is_due = |(name, source): &(&Name, &CatalogueSource)| {
            let Some(shelf) = inner.shelves.get(*name) else { return true };
            let pause = if shelf.record.failure.is_some() { AGAIN } else { PAUSE };
            shelf.tried.as_ref().is_none_or(|(at, of)| of != *source || at.elapsed() >= pause)
        };
        sources.iter().filter(is_due).map(|(name, source)| (name.clone(), source.clone())).collect()
    }

    /// Words of the last failure of a catalogue; none where nothing failed since.
    pub(crate) fn failure(&self, name: &Name) -> Option<String> {
        self.lock().shelves.get(name)?.record.failure.as_ref().map(|failure| failure.message.clone())
    }

    /// Fetches the catalogues of a document's templates that are not here yet. What fails is noted: the lookup that follows says it.
    pub(crate) async fn prepare(&self, document: &Document) {
        let mut wanted: BTreeMap<Name, CatalogueSource> = BTreeMap::new();
        for (_, catalogue, using, _) in uses(document) {
            let Some(source) = document.machine.catalogues.get(catalogue) else { continue };
            if self.template(using, &document.machine.catalogues, Timestamp::now()).is_err() {
                wanted.insert(catalogue.clone(), source.clone());
            }
        }
        for (name, source) in wanted {
            // The reason is in its record.
            let _ = self.refresh(&name, &source).await;
        }
    }

    /// Templates of others that a document uses, by catalogue and name.
    ///
    /// # Errors
    /// The first one that cannot be had.
    pub(crate) fn templates_of(
        &self,
        document: &Document,
        now: Timestamp,
    ) -> Result<BTreeMap<(Name, Name), Vec<Template>>, AgentError> {
        let mut found: BTreeMap<(Name, Name), Vec<Template>> = BTreeMap::new();
        for (_, catalogue, using, _) in uses(document) {
            let versions = found.entry((catalogue.clone(), using.name.clone())).or_default();
            if !versions.iter().any(|template| Some(&template.version) == using.version.as_ref()) {
                let template = self.template(using, &document.machine.catalogues, now);
                versions.push(template.map_err(of_catalogue(catalogue))?);
            }
        }
        Ok(found)
    }

    /// A template that a document uses: the text that applications of it were made of, else that of the copy.
    fn template(
        &self,
        using: &TemplateUse,
        sources: &BTreeMap<Name, CatalogueSource>,
        now: Timestamp,
    ) -> Result<Template, CatalogueError> {
        let (Some(catalogue), Some(version)) = (&using.catalogue, &using.version) else {
            return Err(CatalogueError::NoTemplate { template: using.words(), known: "none without a version".into() });
        };
        let mut inner = self.lock();
        let key = kept_name(catalogue, using.name.as_str(), version.as_str());
        // Whoever asks for it may deploy it next.
        inner.idle.remove(&key);
        let kept = inner.kept.get(&key);
        if let Some(bytes) = kept.and_then(|kept| self.folder.text(&kept.text)) {
            let text = String::from_utf8_lossy(&bytes);
            return Template::parse_of_others(&text, catalogue).map_err(|problems| {
                let words = problems.first().map(ToString::to_string).unwrap_or_default();
                CatalogueError::Unusable { template: using.words(), words }
            });
        }
        let (_, others) = copy_of(&inner, catalogue, sources, now)?;
        find(others, using).cloned().ok_or_else(|| CatalogueError::NoTemplate {
            template: using.words(),
            known: row(others.templates().keys()),
        })
    }

    /// Looks whether something new may be made of the templates of a catalogue.
    ///
    /// # Errors
    /// The document does not name it, there is no copy, or its index has ended.
    pub(crate) fn check_copy(
        &self,
        catalogue: &Name,
        sources: &BTreeMap<Name, CatalogueSource>,
        now: Timestamp,
    ) -> Result<(), AgentError> {
        copy_of(&self.lock(), catalogue, sources, now).map(drop).map_err(of_catalogue(catalogue))
    }

    /// Keeps the texts of the templates that a document uses: they are there as long as somebody can come back to them, whatever becomes of their catalogues.
    ///
    /// # Errors
    /// A text is not on its shelf any more, or the list cannot be written.
    pub(crate) fn keep(&self, document: &Document) -> Result<(), AgentError> {
        let mut inner = self.lock();
        let mut kept = inner.kept.clone();
        for (_, catalogue, using, version) in uses(document) {
            let key = kept_name(catalogue, using.name.as_str(), version);
            inner.idle.remove(&key);
            if kept.contains_key(&key) {
                continue;
            }
            let source = document.machine.catalogues.get(catalogue);
            let copy = source.and_then(|source| inner.shelves.get(catalogue)?.copy(source));
            let entry = copy.and_then(|(opened, _)| opened.index.find(using.name.as_str(), version.parse().ok()?));
            let (Some(source), Some((_, others)), Some(entry)) = (source, copy, entry) else {
                let words = "its text is kept here no more, and the copy of its catalogue does not have it; take a version that is there".to_string();
                let cause = CatalogueError::Unusable { template: using.words(), words };
                return Err(of_catalogue(catalogue)(cause));
            };
            let text = entry.text.sha256;
            kept.insert(key, Kept { text, publisher: others.publisher.clone(), key: source.key });
        }
        if kept.len() > KEPT_MAX {
            let words = format!("{KEPT_MAX} texts are kept for applications already, and no more can be");
            return Err(of_all(CatalogueError::Disk { words }));
        }
        if kept != inner.kept {
            self.folder.write_kept(&kept).map_err(of_all)?;
            inner.kept = kept;
        }
        Ok(())
    }

    /// Publishers of the applications of a document that are named, one a line: `shop is of the template acme/shop 3 of Acme Ltd. (key 0123…)`.
    pub(crate) fn lines(&self, document: &Document, names: &[String]) -> Vec<String> {
        let inner = self.lock();
        let line = |(application, catalogue, using, version): (&Name, &Name, &TemplateUse, &str)| {
            let kept = inner.kept.get(&kept_name(catalogue, using.name.as_str(), version));
            let copy = || {
                let source = document.machine.catalogues.get(catalogue)?;
                let (_, others) = inner.shelves.get(catalogue)?.copy(source)?;
                Some((others.publisher.clone(), source.key))
            };
            let (publisher, key) = kept.map(|kept| (kept.publisher.clone(), kept.key)).or_else(copy)?;
            let digits: String = key.to_string().chars().take(KEY_DIGITS).collect();
            Some(format!("{application} is of the template {} of {publisher} (key {digits}...)", using.words()))
        };
        let named = uses(document).filter(|(application, ..)| names.iter().any(|name| name == application.as_str()));
        named.filter_map(line).collect()
    }

    /// The catalogues that a document names, with the states of their copies.
    pub(crate) fn views(&self, sources: &BTreeMap<Name, CatalogueSource>, now: Timestamp) -> Vec<views::Catalogue> {
        let inner = self.lock();
        let view = |(name, source): (&Name, &CatalogueSource)| view(name, source, inner.shelves.get(name), now);
        sources.iter().map(view).collect()
    }
}

/// The copy of a catalogue of which something new may be made.
fn copy_of<'a>(
    inner: &'a Inner,
    catalogue: &Name,
    sources: &BTreeMap<Name, CatalogueSource>,
    now: Timestamp,
) -> Result<(&'a Opened, &'a Arc<Others>), CatalogueError> {
    let Some(source) = sources.get(catalogue) else {
        return Err(CatalogueError::NotNamed { known: row(sources.keys()) });
    };
    let shelf = inner.shelves.get(catalogue);
    let (opened, others) = shelf.and_then(|shelf| shelf.copy(source)).ok_or_else(|| {
        let failure = shelf.and_then(|shelf| shelf.record.failure.as_ref());
        let words = "it was not fetched yet; `openmesh app catalogues refresh` does it".to_string();
        CatalogueError::Absent { words: failure.map_or(words, |failure| failure.message.clone()) }
    })?;
    opened.check_time(now)?;
    Ok((opened, others))
}

/// Texts that somebody needs: those of the shelves, and those of applications.
fn needed(inner: &Inner) -> BTreeSet<Digest> {
    let indices = inner.shelves.values().filter_map(|shelf| shelf.record.index);
    let opened = inner.shelves.values().filter_map(|shelf| shelf.opened.as_ref());
    let entries = opened.flat_map(|opened| &opened.index.templates);
    let texts = entries.flat_map(|entry| [Some(entry.text), entry.icon]).flatten().map(|part| part.sha256);
    indices.chain(texts).chain(inner.kept.values().map(|kept| kept.text)).collect()
}

/// A catalogue with the state of its copy.
fn view(name: &Name, source: &CatalogueSource, shelf: Option<&Shelf>, now: Timestamp) -> views::Catalogue {
    let copy = shelf.and_then(|shelf| shelf.copy(source));
    let failure = shelf.and_then(|shelf| shelf.record.failure.as_ref());
    let state = match copy {
        None => views::State::Absent,
        Some((opened, _)) if now >= opened.index.expires => views::State::Expired,
        Some(_) if failure.is_some() => views::State::Old,
        Some(_) => views::State::Current,
    };
    let index = copy.map(|(opened, _)| &opened.index);
    let others = copy.map(|(_, others)| others);
    views::Catalogue {
        name: name.to_string(),
        address: source.address.clone(),
        key: source.key.to_string(),
        state,
        publisher: index.map(|index| index.publisher.clone()),
        sequence: index.map(|index| index.sequence),
        signed: index.map(|index| index.signed),
        expires: index.map(|index| index.expires),
        checked: shelf.filter(|_| copy.is_some()).and_then(|shelf| shelf.record.checked),
        templates: others.into_iter().flat_map(|others| others.templates().keys()).map(Name::to_string).collect(),
        problems: others.map(|others| others.problems().to_vec()).unwrap_or_default(),
        failure: failure.map(|failure| views::Failure {
            code: failure.code.clone(),
            message: failure.message.clone(),
            at: failure.at,
        }),
    }
}
