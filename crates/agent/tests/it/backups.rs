//! Backups of an application that runs: made, restored, proved, and a machine from nothing but a repository and the owner's key.

use std::collections::BTreeMap;
use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State as Extract;
use axum::http::{HeaderMap, Method as Verb, StatusCode, Uri};
use futures::StreamExt as _;
use openmesh_agent::Identity;
use openmesh_agent::client::ClientError;
use openmesh_agent::views::backups::{
    Backup, Ended, Job, Keys, Line, MachinePlan, MachineRequest, Overview, Place, RestoreRequest, State,
};
use openmesh_agent::views::{ApplicationState, Event, EventKind, Node};
use openmesh_primitives::Timestamp;
use reqwest::Method;
use serde::de::DeserializeOwned;

use crate::pantry::server;
use crate::world::{PATIENCE, World, answer, free_port, web};

/// A document with a place for backups, and a web server that has them each night.
pub fn backed_up(world: &World, image: &str, port: u16, store: &str) -> String {
    // Minutes away from now, in whatever time zone: a test makes its backups itself.
    let minute = (Timestamp::now().millis() / 60_000 + 22) % 60;
    let backup =
        format!("    backup: {{to: disk, schedule: \"{minute} 3 * * *\", drill: \"{minute} 4 * * 0\"}}\n    health:");
    let applications = web(image, port).replacen("    health:", &backup, 1);
    let place = format!("machine: {{backups: {{disk: {store}}}, ");
    world.document(&applications).replacen("machine: {", &place, 1)
}

pub fn folder(path: &Path) -> String {
    format!("{{kind: folder, address: {}}}", path.display())
}

pub async fn send<T: DeserializeOwned>(
    world: &World,
    method: Method,
    path: &str,
    body: impl Into<reqwest::Body>,
) -> Result<T, ClientError> {
    world.client.ask(world.client.request(method, path).body(body)).await
}

/// Begins an act, and follows it to its end.
pub async fn act(world: &World, path: &str, body: Vec<u8>) -> Ended {
    let job: Job = send(world, Method::POST, path, body).await.unwrap();
    end_of(world, job.number).await
}

/// Follows an act to its end.
async fn end_of(world: &World, number: u64) -> Ended {
    let path = format!("/backups/jobs/{number}?follow=true");
    let told = world.client.lines::<Job>(world.client.request(Method::GET, &path)).await.unwrap();
    let mut told = pin!(told);
    let ended = tokio::time::timeout(PATIENCE, async {
        while let Some(job) = told.next().await {
            if let Some(ended) = job.unwrap().ended {
                return ended;
            }
        }
        panic!("the act was told no end of");
    });
    ended.await.unwrap()
}

pub async fn done(world: &World, path: &str, body: Vec<u8>) -> Ended {
    let ended = act(world, path, body).await;
    assert!(ended.ok, "{ended:?}");
    ended
}

/// Waits until the machine rests in the generation of an act.
pub async fn rests(world: &World, ended: &Ended) {
    let path = format!("/events?follow=true&from={}", ended.events.unwrap());
    let events = world.client.lines::<Event>(world.client.request(Method::GET, &path)).await.unwrap();
    let mut events = pin!(events);
    let mut seen = Vec::new();
    let rested = tokio::time::timeout(PATIENCE, async {
        while let Some(event) = events.next().await {
            let event = event.unwrap();
            let is_last = event.kind == EventKind::Rest && event.generation >= ended.generation.unwrap();
            seen.push(event);
            if is_last {
                return;
            }
        }
    });
    assert!(rested.await.is_ok(), "no rest: {seen:#?}");
}

/// Sets a fresh owner's key.
pub async fn set_owner(world: &World) -> Identity {
    let owner = Identity::generate().unwrap();
    let recipient = owner.recipient().to_string();
    let keys: Keys = send(world, Method::PUT, "/backups/key", recipient.clone()).await.unwrap();
    assert_eq!(keys.owner, Some(recipient));
    owner
}

/// Sets the secret of the web server.
pub async fn set_token(world: &World) {
    let _version: u32 = send(world, Method::PUT, "/secrets/token", "correct horse").await.unwrap();
}

pub async fn set_keys(world: &World) -> Identity {
    set_token(world).await;
    set_owner(world).await
}

async fn backups(world: &World) -> Vec<Backup> {
    world.get("/applications/web/backups").await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_made_restored_to_a_line_and_undone() {
    let Some(mut world) = World::new() else { return };
    let store = tempfile::tempdir().unwrap();
    world.start().await;
    let (image, port) = (world.image(&server("one")), free_port());
    let document = backed_up(&world, &image, port, &folder(&store.path().join("repository")));
    set_token(&world).await;
    world.deploy(document.clone()).await;
    assert_eq!(answer("POST", port, "/kept").await.as_deref(), Some("one\nkept\n"));
    // Without an owner's key nothing is made, and the state says so.
    let refused = act(&world, "/applications/web/backups", Vec::new()).await;
    assert_eq!((refused.ok, refused.code.as_deref()), (false, Some("no_owner")), "{refused:?}");
    let overview: Overview = world.get("/backups").await.unwrap();
    assert_eq!(overview.applications[0].state, State::Failed);
    set_owner(&world).await;
    let made = done(&world, "/applications/web/backups?by=ann", Vec::new()).await;
    let all = backups(&world).await;
    assert_eq!((all.len(), Some(&all[0].id), all[0].generation), (1, made.backup.as_ref(), 1));
    assert!(all[0].volumes["data"] >= 5 && all[0].still_ms.is_some(), "{:?}", all[0]);
    // The application went on, and nothing of its secret lies open in the repository.
    assert_eq!(answer("POST", port, "/later").await.as_deref(), Some("one\nkept\nlater\n"));
    let application = world.application("web").await;
    assert_eq!((application.state, application.cause), (ApplicationState::Running, None));
    assert!(!holds(store.path(), b"correct horse") && !holds(store.path(), b"kept\n"));
    let overview: Overview = world.get("/backups").await.unwrap();
    let web = &overview.applications[0];
    assert_eq!(
        (web.state, web.cause.as_ref(), web.last.as_ref().map(|last| &last.id)),
        (State::Ok, None, made.backup.as_ref())
    );
    assert_eq!((overview.targets[0].state, overview.targets[0].repository.is_some()), (State::Ok, true));
    assert!(web.next.is_some() && web.next_drill.is_some());
    // A drill proves it.
    done(&world, "/applications/web/backups/drill", Vec::new()).await;
    let overview: Overview = world.get("/backups").await.unwrap();
    assert_eq!(overview.applications[0].drill.as_ref().map(|drill| drill.fault.clone()), Some(None));
    // Restored: the data of then, on a line of its own.
    let restored = done(&world, "/applications/web/backups/restore?by=ann", Vec::new()).await;
    rests(&world, &restored).await;
    assert_eq!(answer("GET", port, "/").await.as_deref(), Some("one\nkept\n"));
    let lines: Vec<Line> = world.get("/applications/web/lines").await.unwrap();
    let in_use: Vec<u32> = lines.iter().filter(|line| line.in_use).map(|line| line.number).collect();
    assert_eq!((lines.len(), lines[0].number, lines[1].by.as_str()), (2, 1, "ann"), "{lines:?}");
    assert_eq!(in_use, [lines[1].number]);
    // And undone: the line before is there with all that was acknowledged.
    let back = format!("/generations/{}/restore?lines=web/data:1", restored.generation.unwrap());
    let back = world.send(Method::POST, &back, "").await.unwrap();
    world.follow(&back).await;
    assert_eq!(answer("GET", port, "/").await.as_deref(), Some("one\nkept\nlater\n"));
    // The line that nobody needs any more goes, the one in use does not.
    let path = |line: u32| format!("/applications/web/lines/data/{line}");
    let refused = world.client.text(world.client.request(Method::DELETE, &path(1))).await;
    assert!(matches!(refused, Err(ClientError::Refused(_))), "{refused:?}");
    world.client.text(world.client.request(Method::DELETE, &path(lines[1].number))).await.unwrap();
    // A new version after it takes a number of its own.
    let two = world.image(&server("two"));
    world.deploy(document.replace(&image, &two)).await;
    assert_eq!(answer("GET", port, "/").await.as_deref(), Some("two\nkept\nlater\n"));
    world.stop().await;
}

/// A document with a check that looks for a word in the data.
fn checked(document: &str, word: &str) -> String {
    let script = format!("open F, '<', '/data/words' or exit 3; exit((grep {{ $_ eq qq({word}\\n) }} <F>) ? 0 : 4)");
    let job = format!("    jobs: {{drill: {{command: [/usr/bin/perl, -e, \"{script}\"]}}}}\n    health:");
    document.replacen("    health:", &job, 1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drill_runs_the_applications_own_check_on_the_restored_data() {
    let Some(mut world) = World::new() else { return };
    let store = tempfile::tempdir().unwrap();
    world.start().await;
    let (image, port) = (world.image(&server("one")), free_port());
    set_keys(&world).await;
    let document = backed_up(&world, &image, port, &folder(&store.path().join("repository")));
    world.deploy(checked(&document, "kept")).await;
    answer("POST", port, "/kept").await.unwrap();
    done(&world, "/applications/web/backups", Vec::new()).await;
    answer("POST", port, "/later").await.unwrap();
    let drilled = done(&world, "/applications/web/backups/drill", Vec::new()).await;
    assert!(drilled.text.contains("own check passed"), "{drilled:?}");
    // What the application has by now is not in the backup, and the check sees the backup.
    world.deploy(checked(&document, "later")).await;
    let drilled = act(&world, "/applications/web/backups/drill", Vec::new()).await;
    assert_eq!((drilled.ok, drilled.code.as_deref()), (false, Some("check_failed")), "{drilled:?}");
    let overview: Overview = world.get("/backups").await.unwrap();
    let web = &overview.applications[0];
    assert!(web.drill.as_ref().unwrap().fault.as_ref().unwrap().contains("code 4"), "{web:?}");
    assert_eq!(web.drill_state, Some(State::Failed));
    // The live data were never touched.
    assert_eq!(answer("GET", port, "/").await.as_deref(), Some("one\nkept\nlater\n"));
    world.stop().await;
}

/// A document whose preparation of a backup runs a script of Perl.
fn prepared(document: &str, script: &str) -> String {
    let job = format!(
        "    jobs: {{before-backup: {{command: [/usr/bin/perl, -e, \"{script}\"], timeout: 60s}}}}\n    health:"
    );
    document.replacen("    health:", &job, 1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_prepares_its_data_and_a_failure_of_that_is_said() {
    let Some(mut world) = World::new() else { return };
    let store = tempfile::tempdir().unwrap();
    world.start().await;
    let (image, port) = (world.image(&server("one")), free_port());
    set_keys(&world).await;
    let document = backed_up(&world, &image, port, &folder(&store.path().join("repository")));
    world.deploy(prepared(&document, "open F, '>>', '/data/words' or exit 3; print F qq(flushed\\n)")).await;
    answer("POST", port, "/kept").await.unwrap();
    let made = done(&world, "/applications/web/backups", Vec::new()).await;
    assert!(!made.text.contains("preparation"), "{made:?}");
    answer("POST", port, "/later").await.unwrap();
    let restored = done(&world, "/applications/web/backups/restore", Vec::new()).await;
    rests(&world, &restored).await;
    // What the preparation wrote is in the backup, and what came after it is not.
    assert_eq!(answer("GET", port, "/").await.as_deref(), Some("one\nkept\nflushed\n"));
    // One that fails holds up no backup: the clone is as good as one after a power cut.
    world.deploy(prepared(&document, "exit 7")).await;
    let made = done(&world, "/applications/web/backups", Vec::new()).await;
    assert!(made.text.contains("own preparation failed") && made.text.contains("code 7"), "{made:?}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_becomes_another_application_with_other_ids() {
    let Some(mut world) = World::new() else { return };
    let store = tempfile::tempdir().unwrap();
    world.start().await;
    let (image, port) = (world.image(&server("one")), free_port());
    set_keys(&world).await;
    world.deploy(backed_up(&world, &image, port, &folder(&store.path().join("repository")))).await;
    answer("POST", port, "/kept").await.unwrap();
    done(&world, "/applications/web/backups", Vec::new()).await;
    answer("POST", port, "/later").await.unwrap();
    let request = RestoreRequest { as_name: Some("copy".into()), ..RestoreRequest::default() };
    let restored = done(&world, "/applications/web/backups/restore", serde_json::to_vec(&request).unwrap()).await;
    rests(&world, &restored).await;
    let copy = world.application("copy").await;
    assert_eq!((copy.state, copy.cause), (ApplicationState::Running, None));
    let at = copy.ports["http"].clone().unwrap();
    let own: u16 = at.split('/').next().unwrap().rsplit(':').next().unwrap().parse().unwrap();
    assert_ne!(own, port);
    // It can write what was another user's on the host.
    assert_eq!(answer("POST", own, "/more").await.as_deref(), Some("one\nkept\nmore\n"));
    assert_eq!(answer("GET", port, "/").await.as_deref(), Some("one\nkept\nlater\n"));
    // A name that is taken, a backup that is not there, a volume that it has not.
    let refused = act(&world, "/applications/web/backups/restore", serde_json::to_vec(&request).unwrap()).await;
    assert_eq!(refused.code.as_deref(), Some("value"), "{refused:?}");
    let request = RestoreRequest { backup: Some("ffff0000".into()), ..RestoreRequest::default() };
    let refused = act(&world, "/applications/web/backups/restore", serde_json::to_vec(&request).unwrap()).await;
    assert!(refused.code.as_deref() == Some("no_backup") && refused.text.contains("the newest are"), "{refused:?}");
    let request = RestoreRequest { volumes: vec!["other".into()], ..RestoreRequest::default() };
    let refused = act(&world, "/applications/web/backups/restore", serde_json::to_vec(&request).unwrap()).await;
    assert!(refused.code.as_deref() == Some("no_volume") && refused.text.contains("data"), "{refused:?}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_comes_back_from_the_repository_and_the_owners_key() {
    let store = tempfile::tempdir().unwrap();
    let repository = store.path().join("repository");
    let (owner, port) = {
        let Some(mut world) = World::new() else { return };
        world.start().await;
        let (image, port) = (world.image(&server("one")), free_port());
        let owner = set_keys(&world).await;
        world.deploy(backed_up(&world, &image, port, &folder(&repository))).await;
        answer("POST", port, "/kept").await.unwrap();
        done(&world, "/applications/web/backups", Vec::new()).await;
        world.stop().await;
        (owner, port)
        // The machine is lost with everything that was on it.
    };
    assert_eq!(answer("GET", port, "/").await, None);
    let Some(mut world) = World::new() else { return };
    world.start().await;
    world.image(&server("one"));
    let place = Place::Folder { path: repository.display().to_string() };
    let request = MachineRequest { place, identity: owner.secret_text(), repository: None, node: None };
    let body = |request: &MachineRequest| serde_json::to_vec(request).unwrap();
    let plan: MachinePlan = send(&world, Method::POST, "/backups/machine/plan", body(&request)).await.unwrap();
    assert_eq!((plan.backups.len(), plan.secrets.clone()), (1, vec!["token".to_string()]), "{plan:?}");
    assert_eq!(plan.runs, ["web"], "it is named, since it may have moved to another machine since");
    assert_eq!(world.get::<Node>("").await.unwrap().wanted, 0, "a plan changes nothing");
    // Somebody else's key, and another repository than the one that was noted.
    let other = MachineRequest { identity: Identity::generate().unwrap().secret_text(), ..request.clone() };
    assert_eq!(act(&world, "/backups/machine", body(&other)).await.code.as_deref(), Some("repository"));
    let other = MachineRequest { repository: Some("0".repeat(64)), ..request.clone() };
    let refused = act(&world, "/backups/machine", body(&other)).await;
    assert!(refused.text.contains("was expected"), "{refused:?}");
    let restored = done(&world, "/backups/machine?by=ann", body(&request)).await;
    let named = format!("it is as it was at {}, and web run here", plan.at.to_rfc3339());
    assert!(restored.text.contains(&named), "{restored:?}");
    rests(&world, &restored).await;
    assert_eq!(answer("POST", port, "/again").await.as_deref(), Some("one\nkept\nagain\n"));
    // It goes on with its backups in the same repository, without another word.
    done(&world, "/applications/web/backups", Vec::new()).await;
    let all = backups(&world).await;
    assert_eq!(all.len(), 2, "{all:?}");
    // The newest is the one that was made last, though this machine has begun its generations anew.
    assert!(all[0].number > all[1].number && all[0].at > all[1].at, "{all:?}");
    // Secrets in the one of before are for the key of the machine that was lost: its data are proved and restored all the same.
    let first = all[1].id.clone();
    let drilled = done(&world, &format!("/applications/web/backups/drill?backup={first}"), Vec::new()).await;
    assert!(drilled.text.contains("1 secrets are for a key of before"), "{drilled:?}");
    let wanted = RestoreRequest { backup: Some(first), ..RestoreRequest::default() };
    let earlier = done(&world, "/applications/web/backups/restore", serde_json::to_vec(&wanted).unwrap()).await;
    rests(&world, &earlier).await;
    assert_eq!(answer("GET", port, "/").await.as_deref(), Some("one\nkept\n"));
    // A second time there is something to lose.
    let refused: Result<Job, ClientError> = send(&world, Method::POST, "/backups/machine", body(&request)).await;
    let Err(ClientError::Refused(failure)) = refused else { panic!("{refused:?}") };
    assert_eq!(failure.code, "not_fresh");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_application_gets_its_last_backup_by_itself() {
    let Some(mut world) = World::new() else { return };
    let store = tempfile::tempdir().unwrap();
    world.start().await;
    let (image, port) = (world.image(&server("one")), free_port());
    set_token(&world).await;
    world.deploy(backed_up(&world, &image, port, &folder(&store.path().join("repository")))).await;
    answer("POST", port, "/kept").await.unwrap();
    // Where none could be made nothing is removed.
    let refused = world.send(Method::DELETE, "/applications/web?data=backup", "").await;
    let Err(ClientError::Refused(failure)) = refused else { panic!("{refused:?}") };
    assert_eq!(failure.code, "no_owner");
    set_owner(&world).await;
    let removed = world.send(Method::DELETE, "/applications/web?data=backup", "").await.unwrap();
    world.follow(&removed).await;
    let path = format!("/events?follow=true&from={}", removed.events);
    let events = world.client.lines::<Event>(world.client.request(Method::GET, &path)).await.unwrap();
    let mut events = pin!(events);
    let made = tokio::time::timeout(PATIENCE, async {
        while let Some(event) = events.next().await {
            let event = event.unwrap();
            let is_its = event.application.as_deref() == Some("web") && event.text.starts_with("backup ");
            if is_its && event.kind == EventKind::Done {
                return;
            }
        }
    });
    made.await.unwrap();
    let overview: Overview = world.get("/backups").await.unwrap();
    for job in &overview.jobs {
        end_of(&world, job.number).await;
    }
    let overview: Overview = world.get("/backups").await.unwrap();
    let one = overview.applications.iter().find(|one| one.name == "web").unwrap();
    assert_eq!((one.state, one.awaits_last, one.last.is_some()), (State::Ok, false, true), "{one:?}");
    assert_eq!(backups(&world).await.len(), 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_keeps_backups_and_its_key_is_a_secret() {
    let Some(mut world) = World::new() else { return };
    let (address, objects) = bucket().await;
    world.start().await;
    let (image, port) = (world.image(&server("one")), free_port());
    set_keys(&world).await;
    let _version: u32 = send(&world, Method::PUT, "/secrets/bucket-key", "hidden\n").await.unwrap();
    let store = format!(
        "{{kind: s3, address: \"http://{address}\", bucket: things/of/tests, key: tester, secret: {{secret: bucket-key}}}}"
    );
    world.deploy(backed_up(&world, &image, port, &store)).await;
    answer("POST", port, "/kept").await.unwrap();
    done(&world, "/applications/web/backups", Vec::new()).await;
    assert_eq!(backups(&world).await.len(), 1);
    done(&world, "/applications/web/backups/drill", Vec::new()).await;
    assert!(objects.lock().unwrap().keys().all(|key| key.starts_with("of/tests/")));
    // A repository that is another one is not written to.
    let marker = "openmesh backup 1\n".to_string() + &"0".repeat(64) + "\n";
    objects.lock().unwrap().get_mut("of/tests/format").unwrap().0 = marker.into_bytes();
    let refused = act(&world, "/applications/web/backups", Vec::new()).await;
    assert!(!refused.ok && refused.text.contains("was expected"), "{refused:?}");
    let overview: Overview = world.get("/backups").await.unwrap();
    assert_eq!((overview.targets[0].state, overview.applications[0].state), (State::Failed, State::Failed));
    assert!(overview.applications[0].cause.as_ref().unwrap().contains("was expected"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn places_and_keys_that_cannot_be_are_refused_with_words() {
    let Some(mut world) = World::new() else { return };
    world.start().await;
    let peer = "{kind: peer, address: \"10.0.0.7:7700\", node: ab}";
    let document = world.document("applications: {}\n");
    let document = document.replacen("machine: {", &format!("machine: {{backups: {{other: {peer}}}, "), 1);
    let refused = world.send(Method::POST, "/applications", document).await;
    let Err(ClientError::Refused(failure)) = refused else { panic!("{refused:?}") };
    assert!(failure.code == "document" && failure.message.contains("no key of a machine"), "{failure:?}");
    let refused: Result<Keys, ClientError> = send(&world, Method::PUT, "/backups/key", "age1x").await;
    assert!(matches!(refused, Err(ClientError::Refused(_))), "{refused:?}");
    set_keys(&world).await;
    let other = Identity::generate().unwrap().recipient().to_string();
    let refused: Result<Keys, ClientError> = send(&world, Method::PUT, "/backups/key", other.clone()).await;
    let Err(ClientError::Refused(failure)) = refused else { panic!("{refused:?}") };
    assert_eq!(failure.code, "owner_set");
    let keys: Keys = send(&world, Method::PUT, "/backups/key?replace=true", other.clone()).await.unwrap();
    assert_eq!(keys.owner, Some(other));
    let refused: Result<Job, ClientError> = world.get("/backups/jobs/7").await;
    assert!(matches!(refused, Err(ClientError::Refused(failure)) if failure.code == "no_job"));
    let refused = act(&world, "/applications/web/backups", Vec::new()).await;
    assert_eq!(refused.code.as_deref(), Some("no_application"), "{refused:?}");
    world.stop().await;
}

/// Returns true where a file below a folder has these bytes.
fn holds(folder: &Path, bytes: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().map(Result::unwrap).any(|entry| match entry.file_type().unwrap().is_dir() {
        true => holds(&entry.path(), bytes),
        false => std::fs::read(entry.path()).unwrap().windows(bytes.len()).any(|window| window == bytes),
    })
}

/// Objects of a bucket, with the moments at which they were stored.
type Objects = Arc<Mutex<BTreeMap<String, (Vec<u8>, Timestamp)>>>;

/// A server with the five requests of S3 that a repository needs. Signatures and hostile answers are the business of the tests of `openmesh-backup`.
async fn bucket() -> (std::net::SocketAddr, Objects) {
    let objects = Objects::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(object).with_state(objects.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, objects)
}

type Answer = (StatusCode, [(&'static str, String); 1], Vec<u8>);

async fn object(Extract(objects): Extract<Objects>, verb: Verb, uri: Uri, headers: HeaderMap, body: Bytes) -> Answer {
    let mut objects = objects.lock().unwrap();
    let plain = |status: StatusCode, bytes: Vec<u8>| (status, [("x-test", String::new())], bytes);
    let Some(key) = uri.path().strip_prefix("/things") else { return plain(StatusCode::NOT_FOUND, Vec::new()) };
    let key = key.trim_start_matches('/').to_string();
    match (verb.as_str(), key.is_empty()) {
        ("GET", true) => plain(StatusCode::OK, list(&objects, uri.query().unwrap_or("")).into_bytes()),
        ("PUT", false) if objects.contains_key(&key) && headers.contains_key("if-none-match") => {
            plain(StatusCode::PRECONDITION_FAILED, Vec::new())
        }
        ("PUT", false) => {
            objects.insert(key, (body.to_vec(), Timestamp::now()));
            plain(StatusCode::OK, Vec::new())
        }
        ("DELETE", false) => {
            objects.remove(&key);
            plain(StatusCode::NO_CONTENT, Vec::new())
        }
        ("HEAD", false) if objects.contains_key(&key) => plain(StatusCode::OK, Vec::new()),
        ("HEAD", false) => plain(StatusCode::NOT_FOUND, Vec::new()),
        ("GET", false) => match objects.get(&key) {
            Some((bytes, _)) => part(bytes, &headers),
            None => {
                plain(StatusCode::NOT_FOUND, b"<Error><Code>NoSuchKey</Code><Message>none</Message></Error>".to_vec())
            }
        },
        _ => plain(StatusCode::METHOD_NOT_ALLOWED, Vec::new()),
    }
}

fn part(bytes: &[u8], headers: &HeaderMap) -> Answer {
    let range = headers["range"].to_str().unwrap().strip_prefix("bytes=").unwrap().to_string();
    let (from, until) = range.split_once('-').unwrap();
    let (from, until): (usize, usize) = (from.parse().unwrap(), until.parse().unwrap());
    if from >= bytes.len() {
        return (StatusCode::RANGE_NOT_SATISFIABLE, [("x-test", String::new())], Vec::new());
    }
    let end = bytes.len().min(until.saturating_add(1));
    let said = format!("bytes {from}-{}/{}", end - 1, bytes.len());
    (StatusCode::PARTIAL_CONTENT, [("content-range", said)], bytes[from..end].to_vec())
}

fn list(objects: &BTreeMap<String, (Vec<u8>, Timestamp)>, query: &str) -> String {
    let value = |name: &str| {
        let found = query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name);
        found.map_or(String::new(), |(_, value)| value.replace("%2F", "/"))
    };
    let (prefix, after) = (value("prefix"), value("start-after"));
    let found = objects.iter().filter(|(key, _)| key.starts_with(&prefix) && **key > after);
    let entries: String = found
        .map(|(key, (bytes, stored))| {
            let (stored, size) = (stored.to_rfc3339(), bytes.len());
            format!("<Contents><Key>{key}</Key><LastModified>{stored}</LastModified><Size>{size}</Size></Contents>")
        })
        .collect();
    format!("<?xml version=\"1.0\"?>\n<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>")
}
