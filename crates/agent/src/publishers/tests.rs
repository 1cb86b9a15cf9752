//! Catalogues in a folder and behind hostile servers, each through the whole way of an agent.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State as Extract;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Redirect, Response};
use futures::{StreamExt as _, stream};
use openmesh_blueprint::Document;
use openmesh_blueprint::document::{CatalogueSource, Name};
use openmesh_primitives::{Timestamp, ValidatorKey};
use openmesh_templates::index::{INDEX_BYTES_MAX, INDEX_FILE, Index, open, seal};
use openmesh_templates::publish::{Wish, entries, next};

use super::views::State;
use super::{Publishers, kept_names};

/// A day, in nanoseconds.
const DAY: i64 = 86_400 * 1_000_000_000;

fn acme() -> Name {
    "acme".parse().unwrap()
}

fn key(seed: u8) -> ValidatorKey {
    ValidatorKey::from_seed([seed; 32])
}

/// A template of a version.
fn shop(version: u32) -> String {
    let digest = "0".repeat(64);
    format!(
        "name: shop\nversion: {version}\ncard:\n  title: Shop\n  category: web\n  summary: A shop.\n  description: A shop with a till.\n  \
         homepage: https://shop.example/\n  licence: MIT\n  needs: {{memory: 64 MiB, disk: 1 GiB, image: 200 MiB}}\napplication:\n  \
         image: \"registry.example/shop@sha256:{digest}\"\n  user: 1000:1000\n  ports: {{http: {{port: 8080}}}}\n  health: {{tcp: {{port: http}}}}\n  \
         limits: {{memory: 64 MiB}}\n"
    )
}

/// Files of a catalogue with these versions and their index, signed at a moment for some days.
fn signed(key: &ValidatorKey, versions: &[u32], sequence: u64, at: Timestamp, days: u32) -> BTreeMap<String, Vec<u8>> {
    let mut files: BTreeMap<String, Vec<u8>> =
        versions.iter().map(|version| (format!("shop@{version}.yaml"), shop(*version).into_bytes())).collect();
    let wish = Wish { catalogue: "wares".parse().unwrap(), publisher: "Acme Ltd.".into(), days };
    let index = next(&wish, entries(&files).unwrap(), None, at).unwrap();
    let index = Index { sequence, ..index };
    files.insert(INDEX_FILE.into(), seal(&index, key).unwrap().into_bytes());
    files
}

fn now() -> Timestamp {
    Timestamp::now()
}

/// Writes files into a folder in place of all that are there.
fn write(folder: &Path, files: &BTreeMap<String, Vec<u8>>) {
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder).unwrap();
    for (file, bytes) in files {
        std::fs::write(folder.join(file), bytes).unwrap();
    }
}

fn source(address: &str, key: &ValidatorKey) -> CatalogueSource {
    CatalogueSource { address: address.into(), key: key.public() }
}

/// A catalogue in a folder, and the state of an agent.
struct Place {
    root: tempfile::TempDir,
    publishers: Publishers,
}

impl Place {
    fn new() -> Place {
        let root = tempfile::tempdir().unwrap();
        let publishers = Publishers::open(&root.path().join("state"));
        Place { root, publishers }
    }

    fn folder(&self) -> PathBuf {
        self.root.path().join("catalogue")
    }

    fn source(&self) -> CatalogueSource {
        source(self.folder().to_str().unwrap(), &key(1))
    }

    /// The agent begins anew.
    fn reopen(&mut self) {
        self.publishers = Publishers::open(&self.root.path().join("state"));
    }

    /// Looks at the catalogue; the code of a refusal.
    async fn refresh(&self, source: &CatalogueSource) -> Result<(), &'static str> {
        self.publishers.refresh(&acme(), source).await.map_err(|error| error.code().0)
    }

    /// Versions of the shop in the store.
    fn versions(&self, source: &CatalogueSource) -> Vec<String> {
        let library = self.publishers.library(&BTreeMap::from([(acme(), source.clone())]));
        let shop: Name = "shop".parse().unwrap();
        let others = library.others().get(&acme());
        let versions = others.and_then(|others| others.templates().get(&shop)).into_iter().flatten();
        versions.map(|template| template.version.to_string()).collect()
    }

    fn state(&self, source: &CatalogueSource) -> State {
        self.publishers.views(&BTreeMap::from([(acme(), source.clone())]), now())[0].state
    }
}

/// A document with an application of a version of the shop, and the catalogue where there is one.
fn document(version: u32, source: Option<&CatalogueSource>) -> Document {
    let catalogues = source.map(|source| format!("acme: {{address: {}, key: {}}}", source.address, source.key));
    let text = format!(
        "version: 1\nmachine: {{catalogues: {{{}}}}}\napplications: {{till: {{template: {{catalogue: acme, name: shop, version: {version}}}}}}}\n",
        catalogues.unwrap_or_default()
    );
    Document::parse(&text).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_catalogue_is_taken_followed_and_never_goes_back() {
    let mut place = Place::new();
    let one = place.source();
    assert_eq!((place.state(&one), place.versions(&one).len()), (State::Absent, 0));
    assert_eq!(place.refresh(&one).await, Err("catalogue_away"));
    let (first, second) = (signed(&key(1), &[1], 1, now(), 90), signed(&key(1), &[1, 2], 2, now(), 90));
    write(&place.folder(), &first);
    assert_eq!(place.refresh(&one).await, Ok(()));
    assert_eq!((place.state(&one), place.versions(&one)), (State::Current, vec!["1".to_string()]));
    write(&place.folder(), &second);
    assert_eq!(place.refresh(&one).await, Ok(()));
    assert_eq!(place.refresh(&one).await, Ok(()), "the same again");
    assert_eq!(place.versions(&one), ["1", "2"]);
    // Somebody serves the old one, also to an agent that has begun anew, and to one that was told of another key in between.
    write(&place.folder(), &first);
    for round in 0..3_u64 {
        assert_eq!(place.refresh(&one).await, Err("catalogue_older"), "{round}");
        assert_eq!((place.state(&one), place.versions(&one).len()), (State::Old, 2));
        match round {
            0 => place.reopen(),
            _ => {
                let other = source(&one.address, &key(2));
                assert_eq!(place.refresh(&other).await, Err("catalogue_key"));
                assert!(place.versions(&other).is_empty(), "nothing that another key has signed is shown");
                write(&place.folder(), &signed(&key(2), &[1], 9 + round, now(), 90));
                assert_eq!(place.refresh(&other).await, Ok(()));
                write(&place.folder(), &first);
                assert_eq!(place.refresh(&one).await, Err("catalogue_older"));
                write(&place.folder(), &second);
                assert_eq!(place.refresh(&one).await, Ok(()));
                write(&place.folder(), &first);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_reason_is_told_and_the_copy_stays() {
    let place = Place::new();
    let one = place.source();
    let right = signed(&key(1), &[1], 5, now(), 90);
    write(&place.folder(), &right);
    place.refresh(&one).await.unwrap();
    let index = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut files = right.clone();
        change(files.get_mut(INDEX_FILE).unwrap());
        files
    };
    let before = Timestamp(now().nanos() - 10 * DAY);
    let ahead = Timestamp(now().nanos() + 10 * DAY);
    let mut texts = signed(&key(1), &[1, 2], 6, now(), 90);
    texts.insert("shop@2.yaml".into(), b"name: other\n".to_vec());
    let mut gone = signed(&key(1), &[1, 2], 6, now(), 90);
    gone.remove("shop@2.yaml");
    let mut longer = signed(&key(1), &[1, 2], 6, now(), 90);
    longer.get_mut("shop@2.yaml").unwrap().extend_from_slice(b"# more\n");
    let unknown = index(&|bytes| *bytes = [b"openmesh catalogue 7\n".as_slice(), bytes.as_slice()].concat());
    let cases = [
        (index(&|bytes| *bytes.last_mut().unwrap() ^= 1), "catalogue_signature"),
        (signed(&key(2), &[1], 6, now(), 90), "catalogue_key"),
        (signed(&key(1), &[1], 4, now(), 90), "catalogue_older"),
        (signed(&key(1), &[1, 2], 5, now(), 90), "catalogue_fork"),
        (signed(&key(1), &[1], 6, before, 1), "catalogue_expired"),
        (signed(&key(1), &[1], 6, ahead, 90), "catalogue_early"),
        (unknown, "catalogue_format"),
        (index(&|bytes| bytes.resize(INDEX_BYTES_MAX + 1, b' ')), "catalogue_too_large"),
        (texts, "catalogue_text"),
        (longer, "catalogue_too_large"),
        (gone, "catalogue_away"),
    ];
    for (files, code) in cases {
        write(&place.folder(), &files);
        assert_eq!(place.refresh(&one).await, Err(code));
        assert_eq!((place.state(&one), place.versions(&one).len()), (State::Old, 1), "{code}");
        let view = place.publishers.views(&BTreeMap::from([(acme(), one.clone())]), now()).remove(0);
        assert_eq!((view.failure.unwrap().code.as_str(), view.sequence, view.checked.is_some()), (code, Some(5), true));
    }
    write(&place.folder(), &right);
    assert_eq!(place.refresh(&one).await, Ok(()));
    assert_eq!(place.state(&one), State::Current);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_made_of_a_template_needs_its_catalogue_no_more() {
    let mut place = Place::new();
    let one = place.source();
    write(&place.folder(), &signed(&key(1), &[1], 1, now(), 90));
    let with = document(1, Some(&one));
    // A document that names both is enough: the catalogue is fetched for it.
    assert!(place.publishers.templates_of(&with, now()).is_err());
    place.publishers.prepare(&with).await;
    assert_eq!(place.publishers.templates_of(&with, now()).unwrap().len(), 1);
    let lines = place.publishers.lines(&with, &["till".to_string()]);
    assert!(lines[0].contains("till is of the template acme/shop 1 of Acme Ltd. (key "), "{lines:?}");
    assert!(place.publishers.lines(&with, &["other".to_string()]).is_empty());
    place.publishers.keep(&with).unwrap();
    // Version 1 leaves the catalogue, then the catalogue its place, then its name the document, then a year passes.
    write(&place.folder(), &signed(&key(1), &[2], 2, now(), 90));
    place.refresh(&one).await.unwrap();
    std::fs::remove_dir_all(place.folder()).unwrap();
    place.reopen();
    let later = Timestamp(now().nanos() + 400 * DAY);
    for document in [&with, &document(1, None)] {
        assert_eq!(place.publishers.templates_of(document, later).unwrap().len(), 1);
        place.publishers.keep(document).unwrap();
        assert!(place.publishers.lines(document, &["till".to_string()])[0].contains("Acme Ltd."));
    }
    // Nothing new is made of it.
    let code = |document: &Document, at: Timestamp| place.publishers.templates_of(document, at).unwrap_err().code();
    assert_eq!(code(&document(2, Some(&one)), later), ("catalogue_expired", 409));
    assert_eq!(code(&document(3, Some(&one)), now()), ("no_template", 404));
    assert_eq!(code(&document(2, None), now()), ("no_catalogue", 404));
    assert!(place.publishers.check_copy(&acme(), &with.machine.catalogues, later).is_err());
    assert!(place.publishers.check_copy(&acme(), &with.machine.catalogues, now()).is_ok());
    // A text that comes back under the version that was used is no other one.
    let mut files = signed(&key(1), &[2], 3, now(), 90);
    let text = shop(1).replacen("A shop.", "Another shop.", 1).into_bytes();
    files.insert("shop@1.yaml".into(), text);
    let opened = open(&files[INDEX_FILE], &key(1).public()).unwrap();
    files.remove(INDEX_FILE);
    let altered = Index { templates: entries(&files).unwrap(), ..opened.index };
    files.insert(INDEX_FILE.into(), seal(&altered, &key(1)).unwrap().into_bytes());
    write(&place.folder(), &files);
    assert_eq!(place.refresh(&one).await, Err("catalogue_altered"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_catalogue_under_another_name_is_no_older_one() {
    let place = Place::new();
    let (one, other): (_, Name) = (place.source(), "other".parse().unwrap());
    let (first, second) = (signed(&key(1), &[1], 1, now(), 90), signed(&key(1), &[1, 2], 2, now(), 90));
    write(&place.folder(), &second);
    assert_eq!(place.refresh(&one).await, Ok(()));
    write(&place.folder(), &first);
    assert_eq!(place.publishers.refresh(&other, &one).await.unwrap_err().code().0, "catalogue_older");
    write(&place.folder(), &signed(&key(1), &[2], 2, now(), 90));
    assert_eq!(place.publishers.refresh(&other, &one).await.unwrap_err().code().0, "catalogue_fork");
    // Another catalogue of the same key has numbers of its own.
    let opened = open(&first[INDEX_FILE], &key(1).public()).unwrap();
    let tools = Index { catalogue: "tools".into(), ..opened.index };
    let mut files = first.clone();
    files.insert(INDEX_FILE.into(), seal(&tools, &key(1)).unwrap().into_bytes());
    write(&place.folder(), &files);
    place.publishers.refresh(&other, &one).await.unwrap();
    assert_eq!(place.versions(&one), ["1", "2"], "the first one stays as it is");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_is_restored_needs_no_catalogue() {
    let (place, mut restored) = (Place::new(), Place::new());
    let one = place.source();
    write(&place.folder(), &signed(&key(1), &[1], 1, now(), 90));
    let with = document(1, Some(&one));
    place.publishers.prepare(&with).await;
    assert!(place.publishers.carried(&with).is_empty(), "nothing was made of it yet");
    place.publishers.keep(&with).unwrap();
    let carried = place.publishers.carried(&with);
    assert_eq!(carried.iter().map(|one| one.text.clone()).collect::<Vec<_>>(), [shop(1)]);
    // Then the publisher is gone for good.
    std::fs::remove_dir_all(place.folder()).unwrap();
    let mut wrong = carried.clone();
    wrong[0].version = "2".into();
    restored.publishers.adopt(&wrong).unwrap();
    assert!(restored.publishers.templates_of(&document(2, None), now()).is_err(), "the text of another version");
    restored.publishers.adopt(&carried).unwrap();
    // What is kept already stays.
    let mut later = carried.clone();
    later[0].publisher = "Somebody else".into();
    restored.publishers.adopt(&later).unwrap();
    // What a name means here is held against what was carried: by its text, and where that is not here by its key.
    let mut other = carried.clone();
    other[0].text.push('\n');
    assert_eq!(restored.publishers.differs(&carried, &with), None);
    let differs = restored.publishers.differs(&other, &with);
    assert!(differs.as_ref().is_some_and(|words| words.contains("is another one here")), "{differs:?}");
    other[0].key = key(2).public();
    let empty = Place::new();
    assert_eq!(empty.publishers.differs(&carried, &with), None);
    assert!(empty.publishers.differs(&other, &with).is_some());
    assert_eq!(empty.publishers.differs(&other, &document(1, None)), None);
    for _ in 0..2 {
        assert_eq!(restored.publishers.templates_of(&with, now()).unwrap().len(), 1);
        restored.publishers.keep(&with).unwrap();
        assert_eq!(restored.publishers.carried(&with), carried);
        restored.reopen();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_on_the_disk_is_trusted_for_lying_there() {
    let mut place = Place::new();
    let one = place.source();
    write(&place.folder(), &signed(&key(1), &[1, 2], 1, now(), 90));
    place.refresh(&one).await.unwrap();
    let texts = place.root.path().join("state/catalogues/texts");
    let all = || -> Vec<PathBuf> { std::fs::read_dir(&texts).unwrap().map(|entry| entry.unwrap().path()).collect() };
    assert_eq!(all().len(), 3, "an index and two texts");
    for path in all() {
        let bytes = std::fs::read(&path).unwrap();
        if bytes == shop(1).into_bytes() {
            std::fs::write(&path, shop(1).replacen("memory: 64 MiB}\n", "memory: 64 GiB}\n", 1)).unwrap();
        }
    }
    place.reopen();
    assert_eq!(place.versions(&one), ["2"]);
    let view = place.publishers.views(&BTreeMap::from([(acme(), one.clone())]), now()).remove(0);
    assert!(view.problems[0].contains("its text is not here"), "{view:?}");
    place.refresh(&one).await.unwrap();
    assert_eq!(place.versions(&one), ["1", "2"]);
    // What nobody needs any more goes.
    write(&place.folder(), &signed(&key(1), &[2], 2, now(), 90));
    place.refresh(&one).await.unwrap();
    assert_eq!(all().len(), 2);
    for path in all() {
        std::fs::write(&path, b"nothing").unwrap();
    }
    place.reopen();
    assert_eq!((place.state(&one), place.versions(&one).len()), (State::Absent, 0));
}

/// A damaged record, and a damaged list of kept texts, hold up nothing: the second copy counts, and where that is damaged too the catalogue begins anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_files_are_set_aside_and_the_rest_begins() {
    let mut place = Place::new();
    let (one, other): (_, Name) = (place.source(), "other".parse().unwrap());
    write(&place.folder(), &signed(&key(1), &[1, 2], 2, now(), 90));
    place.refresh(&one).await.unwrap();
    place.publishers.refresh(&other, &one).await.unwrap();
    place.publishers.keep(&document(1, Some(&one))).unwrap();
    let at = |file: &str| place.root.path().join("state/catalogues").join(file);
    let (record, list) = (at("records/acme.json"), at("kept.json"));
    let (second, aside) = (at("second/records/acme.json"), at("records/acme.damaged"));
    let (texts, second_list, list_aside) = (at("texts"), at("second/kept.json"), at("kept.damaged"));
    // Of each a piece is there, as after a power cut of a disk that had promised too much.
    for file in [&record, &list] {
        std::fs::write(file, "{\"key\": ").unwrap();
    }
    place.reopen();
    let damages = place.publishers.damages();
    assert_eq!(damages.iter().map(|damage| &damage.file).collect::<Vec<_>>(), [&aside, &list_aside]);
    assert!(damages[0].what.ends_with("the catalogue acme") && damages[0].words.is_some(), "{damages:?}");
    assert_eq!(std::fs::read(&record).unwrap(), std::fs::read(&second).unwrap(), "it lies there twice again");
    std::fs::remove_file(&second_list).unwrap();
    place.reopen();
    assert!(second_list.exists(), "as where an earlier version wrote it once");
    assert_eq!(place.versions(&one), ["1", "2"], "the second copy counts");
    assert_eq!(place.publishers.templates_of(&document(1, None), now()).unwrap().len(), 1);
    // The highest number is not forgotten, and nothing is swept as long as the list lies aside.
    write(&place.folder(), &signed(&key(1), &[1], 1, now(), 90));
    assert_eq!(place.refresh(&one).await, Err("catalogue_older"));
    let stray = texts.join("0");
    std::fs::write(&stray, b"nobody's").unwrap();
    write(&place.folder(), &signed(&key(1), &[2], 3, now(), 90));
    place.refresh(&one).await.unwrap();
    assert!(stray.exists());
    // An earlier run's damage is told as long as it lies there, without being news.
    place.reopen();
    assert!(place.publishers.damages().iter().all(|damage| damage.words.is_none()));
    for file in [&aside, &list_aside] {
        std::fs::remove_file(file).unwrap();
    }
    assert!(place.publishers.damages().is_empty());
    place.refresh(&one).await.unwrap();
    assert!(!stray.exists());
    // Both copies of one record: that catalogue begins anew, and the other one is as it was.
    for file in [&record, &second] {
        std::fs::write(file, vec![b' '; 5 << 20]).unwrap();
    }
    place.reopen();
    assert_eq!(place.publishers.damages().len(), 2);
    assert_eq!((place.state(&one), place.versions(&one).len()), (State::Absent, 0));
    let others = place.publishers.library(&BTreeMap::from([(other.clone(), one.clone())]));
    assert!(others.others().contains_key(&other));
    place.refresh(&one).await.unwrap();
    assert_eq!(place.versions(&one), ["2"]);
}

/// A text goes once neither an index, nor a generation, nor a person has named it for a day; what somebody can come back to stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_to_which_nobody_can_come_back_go() {
    let mut place = Place::new();
    let one = place.source();
    write(&place.folder(), &signed(&key(1), &[1], 1, now(), 90));
    let (first, second) = (document(1, Some(&one)), document(2, Some(&one)));
    place.publishers.prepare(&first).await;
    place.publishers.keep(&first).unwrap();
    let (begun, day, none) = (Instant::now(), Duration::from_secs(86_400), BTreeSet::new());
    let collect = |place: &Place, named: &BTreeSet<String>, days: u32| {
        place.publishers.collect(named, begun + day * days).unwrap()
    };
    assert!(collect(&place, &none, 0).is_empty() && collect(&place, &none, 2).is_empty(), "its index names it");
    write(&place.folder(), &signed(&key(1), &[2], 2, now(), 90));
    place.refresh(&one).await.unwrap();
    place.publishers.keep(&second).unwrap();
    let named: BTreeSet<String> = kept_names(&first).chain(kept_names(&second)).collect();
    assert!(collect(&place, &named, 3).is_empty() && collect(&place, &named, 5).is_empty(), "a generation names it");
    assert!(collect(&place, &none, 6).is_empty());
    assert_eq!(place.publishers.templates_of(&first, now()).unwrap().len(), 1);
    assert!(collect(&place, &none, 7).is_empty(), "somebody asked for it before its day was over");
    place.publishers.adopt(&place.publishers.carried(&first)).unwrap();
    assert!(collect(&place, &none, 8).is_empty(), "a backup brought it before its day was over");
    assert_eq!(collect(&place, &none, 9), kept_names(&first).collect::<BTreeSet<_>>());
    for _ in 0..2 {
        assert_eq!(place.publishers.templates_of(&first, now()).unwrap_err().code(), ("no_template", 404));
        assert_eq!(place.publishers.keep(&first).unwrap_err().code(), ("catalogue_template", 409));
        assert_eq!(place.publishers.templates_of(&second, now()).unwrap().len(), 1);
        place.publishers.keep(&second).unwrap();
        place.reopen();
    }
    let texts = std::fs::read_dir(place.root.path().join("state/catalogues/texts")).unwrap();
    assert_eq!(texts.count(), 2, "the index and the second version");
    // Generations of which backups are kept are remembered by their place.
    assert_eq!(place.publishers.heads("disk"), None);
    place.publishers.note_heads("disk", BTreeSet::from([3, 7])).unwrap();
    place.reopen();
    assert_eq!(place.publishers.heads("disk"), Some(BTreeSet::from([3, 7])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn places_are_looked_at_in_turn() {
    let place = Place::new();
    let one = place.source();
    let sources = BTreeMap::from([(acme(), one.clone())]);
    assert_eq!(place.publishers.due(&sources).len(), 1);
    assert_eq!(place.refresh(&one).await, Err("catalogue_away"));
    assert!(place.publishers.due(&sources).is_empty(), "a place that is away is left alone for a while");
    assert!(place.publishers.failure(&acme()).is_some());
    let moved = BTreeMap::from([(acme(), source("/elsewhere", &key(1)))]);
    assert_eq!(place.publishers.due(&moved).len(), 1, "another place is another matter");
}

/// Behaviour of a server for one file.
#[derive(Clone)]
enum Answer {
    Bytes(Vec<u8>),
    Endless,
    Stalled,
    Elsewhere(String),
    Status(u16),
}

type Answers = Arc<Mutex<BTreeMap<String, Answer>>>;

async fn answer(Extract(answers): Extract<Answers>, uri: Uri) -> Response {
    let file = uri.path().rsplit('/').next().unwrap_or_default().replace("%40", "@");
    let found = answers.lock().unwrap().get(&file).cloned();
    let ok = |bytes: Bytes| Ok::<_, std::convert::Infallible>(bytes);
    match found {
        Some(Answer::Bytes(bytes)) => bytes.into_response(),
        Some(Answer::Endless) => {
            let chunk = Bytes::from(vec![b'x'; 64 << 10]);
            Body::from_stream(stream::repeat(chunk).map(ok)).into_response()
        }
        Some(Answer::Stalled) => {
            let first = stream::once(async { Bytes::from_static(b"openmesh catalogue 1\n") });
            Body::from_stream(first.chain(stream::pending()).map(ok)).into_response()
        }
        Some(Answer::Elsewhere(place)) => Redirect::temporary(&place).into_response(),
        Some(Answer::Status(status)) => StatusCode::from_u16(status).unwrap().into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// A server of files; its address.
async fn server(answers: Answers) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer).with_state(answers)).await });
    format!("http://{address}/wares")
}

fn served(files: BTreeMap<String, Vec<u8>>) -> BTreeMap<String, Answer> {
    files.into_iter().map(|(file, bytes)| (file, Answer::Bytes(bytes))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_server_costs_a_bounded_time_and_room_and_leads_nowhere() {
    let place = Place::new();
    let answers: Answers = Arc::default();
    let one = source(&server(answers.clone()).await, &key(1));
    *answers.lock().unwrap() = served(signed(&key(1), &[1], 1, now(), 90));
    assert_eq!(place.refresh(&one).await, Ok(()));
    assert_eq!(place.versions(&one), ["1"]);
    let next = served(signed(&key(1), &[1, 2], 2, now(), 90));
    let elsewhere: Answers = Arc::default();
    *elsewhere.lock().unwrap() = next.clone();
    let other = server(elsewhere).await;
    for file in [INDEX_FILE, "shop@2.yaml"] {
        for (hostile, code) in [
            (Answer::Endless, "catalogue_too_large"),
            (Answer::Elsewhere(format!("{other}/{file}")), "catalogue_redirect"),
            (Answer::Elsewhere("file:///etc/passwd".into()), "catalogue_redirect"),
            (Answer::Status(500), "catalogue_away"),
            (Answer::Status(204), "catalogue_away"),
        ] {
            *answers.lock().unwrap() = next.clone();
            answers.lock().unwrap().insert(file.into(), hostile);
            assert_eq!(place.refresh(&one).await, Err(code), "{file}");
            assert_eq!((place.state(&one), place.versions(&one).len()), (State::Old, 1), "{file}: {code}");
        }
    }
    let begun = std::time::Instant::now();
    answers.lock().unwrap().insert(INDEX_FILE.into(), Answer::Stalled);
    assert_eq!(place.refresh(&one).await, Err("catalogue_slow"));
    assert!(begun.elapsed() < std::time::Duration::from_secs(30), "{:?}", begun.elapsed());
    *answers.lock().unwrap() = next;
    assert_eq!(place.refresh(&one).await, Ok(()));
    assert_eq!((place.state(&one), place.versions(&one).len()), (State::Current, 2));
}
