//! A machine whose document is given by a file, as by the configuration of NixOS.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use openmesh_agent::DocumentFile;
use openmesh_agent::views::{Declared, DeclaredState, Event, EventKind, Generation, NixosExport, Node};
use openmesh_blueprint::Document;
use reqwest::Method;
use serde_json::Value;
use tempfile::TempDir;

use crate::pantry::server;
use crate::world::{PATIENCE, World, answer, free_port, plain, web};

/// Name in which documents of the file are taken.
const BY: &str = "NixOS configuration";

/// A path that leads to one file after another, as one in `/etc` of NixOS does.
struct Place {
    folder: TempDir,
    files: u32,
}

impl Place {
    fn new() -> Place {
        Place { folder: tempfile::tempdir().unwrap(), files: 0 }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("document.json")
    }

    /// Lets the path lead to a document, as JSON in one line.
    fn put(&mut self, document: &str) {
        let document = Document::parse(document).unwrap_or_else(|problems| panic!("{problems:#?}"));
        let json: Value = serde_json::from_str(&document.to_json()).unwrap();
        self.put_text(&json.to_string());
    }

    fn put_text(&mut self, text: &str) {
        self.files += 1;
        let (file, link) = (self.folder.path().join(self.files.to_string()), self.folder.path().join("link"));
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o444)).unwrap();
        symlink(&file, &link).unwrap();
        std::fs::rename(&link, self.path()).unwrap();
    }
}

/// A world whose machine is given its document by a file.
fn given() -> Option<(World, Place)> {
    let (mut world, place) = (World::new()?, Place::new());
    world.settings.document = Some(DocumentFile { path: place.path(), by: BY.into() });
    Some((world, place))
}

/// The view of the file, once it is as expected.
async fn told(world: &World, expected: impl Fn(&Declared) -> bool) -> Declared {
    let begun = Instant::now();
    loop {
        let declared = world.get::<Node>("").await.unwrap().declared.expect("the file is told");
        if expected(&declared) {
            return declared;
        }
        assert!(begun.elapsed() < PATIENCE, "{declared:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn in_state(world: &World, state: DeclaredState) -> Declared {
    told(world, |declared| declared.state == state).await
}

async fn because(world: &World, word: &str) -> Declared {
    told(world, |declared| declared.cause.as_ref().is_some_and(|cause| cause.contains(word))).await
}

async fn wanted(world: &World) -> u64 {
    world.get::<Node>("").await.unwrap().wanted
}

/// Waits until a generation serves.
async fn serves(world: &World, number: u64) {
    let begun = Instant::now();
    while world.get::<Node>("").await.unwrap().current != number {
        assert!(begun.elapsed() < PATIENCE, "{:#?}", history(world).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn history(world: &World) -> Vec<(EventKind, String)> {
    let text = world.client.text(world.client.request(Method::GET, "/events")).await.unwrap();
    let event = |line: &str| serde_json::from_str::<Event>(line).unwrap();
    text.lines().map(event).map(|event| (event.kind, event.text)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_is_taken_and_what_people_do_stays() {
    let Some((mut world, mut place)) = given() else { return };
    let (one, two, three) = (world.image(&server("one")), world.image(&server("two")), world.image(&server("three")));
    let port = free_port();
    let document = |image: &str| world.document(&plain(image, port));
    let (one, two, three) = (document(&one), document(&two), document(&three));
    place.put(&one);
    world.start().await;
    let taken = told(&world, |declared| declared.state == DeclaredState::Taken && declared.generation == Some(1)).await;
    let hash = |text: &str| Document::parse(text).unwrap().hash();
    assert_eq!((taken.by.as_str(), taken.document, taken.cause), (BY, Some(hash(&one)), None));
    let generations: Vec<Generation> = world.get("/generations").await.unwrap();
    assert_eq!((generations.len(), generations[0].by.as_str()), (1, BY));
    // Started again there is nothing to do.
    world.stop().await;
    world.start().await;
    in_state(&world, DeclaredState::Taken).await;
    assert_eq!(wanted(&world).await, 1);

    // A person is told what the file does not have; what they do stays, also when the agent starts again.
    let plan = world.send(Method::POST, "/applications?by=alice&plan=true", two.clone()).await.unwrap().plan;
    assert!(plan.contains("note: ") && plan.contains(&place.path().display().to_string()), "{plan}");
    world.deploy(two.clone()).await;
    let differs = in_state(&world, DeclaredState::Differs).await;
    assert!(differs.cause.unwrap().contains("generation 2, wanted by alice"));
    world.stop().await;
    world.start().await;
    in_state(&world, DeclaredState::Differs).await;
    assert_eq!((wanted(&world).await, answer("GET", port, "/").await.as_deref()), (2, Some("two\n")));

    // The next document of the file would undo it, and waits for a word.
    place.put(&three);
    let refused = in_state(&world, DeclaredState::Refused).await;
    assert!(refused.cause.as_ref().unwrap().contains("would undo generation 2, which alice wanted"), "{refused:#?}");
    assert!(refused.remedy.unwrap().contains("openmesh app deploy"));
    assert_eq!((wanted(&world).await, answer("GET", port, "/").await.as_deref()), (2, Some("two\n")));
    let noted = history(&world).await;
    assert!(noted.iter().any(|(kind, text)| *kind == EventKind::Found && text.contains("is not taken")), "{noted:#?}");
    // A person deploys it: it counts as the file's, and the next one follows by itself.
    let plan = world.send(Method::POST, "/applications?by=alice&plan=true", three.clone()).await.unwrap().plan;
    assert!(!plan.contains("note: "), "{plan}");
    world.deploy(three.clone()).await;
    let taken = in_state(&world, DeclaredState::Taken).await;
    assert_eq!((taken.generation, taken.document), (Some(3), Some(hash(&three))));
    place.put(&one);
    told(&world, |declared| declared.state == DeclaredState::Taken && declared.generation == Some(4)).await;

    // It is exported with its hashes, and is the same document.
    let export: NixosExport = world.get("/export/nixos").await.unwrap();
    assert_eq!((export.document, export.generation, export.secrets.len()), (hash(&one), Some(4), 0));
    let generations: Vec<Generation> = world.get("/generations").await.unwrap();
    assert_eq!(export.portable.map(|hash| hash.to_string()).as_ref(), Some(&generations[0].portable));
    assert!(export.files["document.nix"].contains("localhost/web@sha256:"), "{}", export.files["document.nix"]);
    world.stop().await;
}

/// A way back that was gone by itself is nobody's change: it is told, not tried again, and the next document follows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_that_fails_is_not_taken_again_and_the_next_one_is() {
    let Some((mut world, mut place)) = given() else { return };
    let (one, bad, two) = (world.image(&server("one")), world.image("exit 3;"), world.image(&server("two")));
    let port = free_port();
    let document = |image: &str| world.document(&plain(image, port));
    let (one, bad, two) = (document(&one), document(&bad).replace("gate: 60s", "gate: 10s"), document(&two));
    place.put(&one);
    world.start().await;
    serves(&world, 1).await;
    place.put(&bad);
    let differs = in_state(&world, DeclaredState::Differs).await;
    assert_eq!(differs.generation, Some(2));
    assert!(differs.cause.unwrap().contains("it has failed, and generation 3 brought back"));
    // Nor after another start of the agent.
    world.stop().await;
    world.start().await;
    in_state(&world, DeclaredState::Differs).await;
    assert_eq!((wanted(&world).await, answer("GET", port, "/").await.as_deref()), (3, Some("one\n")));
    place.put(&two);
    let taken = in_state(&world, DeclaredState::Taken).await;
    assert_eq!((taken.generation, wanted(&world).await), (Some(4), 4));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_taken_changes_nothing_and_is_tried_again() {
    let Some((mut world, mut place)) = given() else { return };
    let (image, port) = (world.image(&server("one")), free_port());
    // There is no file yet.
    world.start().await;
    let refused = in_state(&world, DeclaredState::Refused).await;
    assert!(refused.cause.unwrap().contains("No such file"));
    place.put_text("{\"version\":1,\"applicatoins\":{}}");
    let refused = because(&world, "applicatoins").await;
    assert_eq!((refused.state, refused.document, refused.generation), (DeclaredState::Refused, None, None));
    // It needs a secret; once that is there nobody has to ask again.
    let secret = world.document(&web(&image, port));
    place.put(&secret);
    let refused = because(&world, "token").await;
    assert_eq!((refused.state, wanted(&world).await), (DeclaredState::Refused, 0));
    let set = world.client.request(Method::PUT, "/secrets/token").body("correct horse");
    assert_eq!(world.client.ask::<u32>(set).await.unwrap(), 1);
    in_state(&world, DeclaredState::Taken).await;
    assert_eq!(wanted(&world).await, 1);
    // An emptied machine takes nothing, and goes on when it is emptied no more.
    let emptied = world.client.request(Method::PUT, "/drain?by=alice&reason=a+new+disk");
    let _: Value = world.client.ask(emptied).await.unwrap();
    let more = world.document(&web(&image, port).replace("memory: 128MiB", "memory: 160MiB"));
    place.put(&more);
    told(&world, |declared| declared.state == DeclaredState::Refused).await;
    let again = world.client.request(Method::DELETE, "/drain?by=alice");
    let _: Value = world.client.ask(again).await.unwrap();
    let taken = in_state(&world, DeclaredState::Taken).await;
    assert_eq!(taken.document, Some(Document::parse(&more).unwrap().hash()));
    world.stop().await;
}

/// Half of a document may be a document too: a file is read once it stays as it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_being_written_is_left_until_it_stays() {
    let Some((mut world, mut place)) = given() else { return };
    let reserve = |memory: u32| format!("machine: {{reserve: {{memory: {memory}MiB}}, ");
    let of = world.document("");
    let document = |memory: u32| of.replace("machine: {", &reserve(memory));
    place.put(&document(300));
    world.start().await;
    in_state(&world, DeclaredState::Taken).await;
    // Again where this machine was so slow that a half stayed as long as a whole may.
    for round in 0..10 {
        let before = wanted(&world).await;
        let (half, two) = (document(301 + 2 * round), document(302 + 2 * round));
        let longest = write_on(&mut place, &half).await;
        place.put(&two);
        let hash = Document::parse(&two).unwrap().hash();
        let is_taken = |declared: &Declared| declared.state == DeclaredState::Taken && declared.document == Some(hash);
        let taken = told(&world, is_taken).await.generation;
        if longest < WRITES_WITHIN {
            assert_eq!(taken, Some(before + 1), "nothing came in between");
            return world.stop().await;
        }
    }
    panic!("never written to without a pause");
}

/// Longest pause of somebody who writes: half of the time after which a file counts as whole.
const WRITES_WITHIN: Duration = Duration::from_secs(1);

/// Writes a document again and again, for longer than the time between two looks. Returns the longest time between two of these.
async fn write_on(place: &mut Place, document: &str) -> Duration {
    let (begun, mut last, mut longest) = (Instant::now(), Instant::now(), Duration::ZERO);
    while begun.elapsed() < Duration::from_secs(7) {
        place.put(document);
        let now = Instant::now();
        (longest, last) = (longest.max(now - last), now);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    longest.max(last.elapsed())
}
