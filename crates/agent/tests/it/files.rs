//! Files of an application, asked for over the agent's socket: volumes are read and changed, the root is read, links lead nowhere.

use std::pin::pin;

use futures::StreamExt as _;
use openmesh_agent::client::ClientError;
use openmesh_agent::views::{Exec, ExecEvent, FileEntry, FileFolder, FileKind, FilePlaces, FileRename};
use reqwest::{Method, RequestBuilder, StatusCode};

use crate::pantry::server;
use crate::world::{World, free_port, plain};

const DATA: &str = "/applications/web/files/volumes/data";

/// An agent with an application `web`.
async fn world() -> Option<World> {
    let mut world = World::new()?;
    world.start().await;
    let image = world.image(&server("one"));
    world.deploy(world.document(&plain(&image, free_port()))).await;
    Some(world)
}

/// All output of a script in the application.
async fn perl(world: &World, script: &str) -> String {
    let command = ["/usr/bin/perl", "-e", script].map(String::from).to_vec();
    let asked = Exec { command, ..Exec::default() };
    let request = world.client.request(Method::POST, "/applications/web/exec").json(&asked);
    let mut events = pin!(world.client.lines::<ExecEvent>(request).await.unwrap());
    let mut text = String::new();
    while let Some(event) = events.next().await {
        match event.unwrap() {
            ExecEvent::Line { text: line, .. } => text += &format!("{line}\n"),
            ExecEvent::Ended { code } => assert_eq!(code, 0, "{script}: {text}"),
            _ => {}
        }
    }
    text
}

fn content(world: &World, method: Method, path: &str) -> RequestBuilder {
    world.client.request(method, &format!("{DATA}/content?path={path}"))
}

async fn write(
    world: &World,
    path: &str,
    condition: (&str, &str),
    body: &'static str,
) -> Result<FileEntry, ClientError> {
    let request = content(world, Method::PUT, path).header(condition.0, condition.1).body(body);
    world.client.ask(request).await
}

fn code<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> String {
    match answer {
        Err(ClientError::Refused(failure)) => failure.code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_a_volume_are_read_and_changed_and_links_lead_nowhere() {
    let Some(mut world) = world().await else { return };
    let places: FilePlaces = world.get("/applications/web/files").await.unwrap();
    assert_eq!((places.volumes.len(), places.volumes[0].name.as_str()), (1, "data"));
    assert!(places.volumes[0].cause.is_none() && places.root.is_some() && !places.is_switching, "{places:?}");

    let made: FileEntry =
        world.client.ask(world.client.request(Method::PUT, &format!("{DATA}?path=notes"))).await.unwrap();
    assert_eq!(made.kind, FileKind::Folder);
    let new = ("if-none-match", "*");
    let entry = write(&world, "notes/a.txt", new, "from a person").await.unwrap();
    assert_eq!((entry.bytes, entry.mode), (13, 0o644));
    // The application reads it, owns it, and writes to it.
    let script = "open(F, '+<', '/data/notes/a.txt') or die $!; print <F>, \"\\n\", (stat F)[4] == $> ? 'mine' : 'not mine', \"\\n\"; \
                  seek(F, 0, 0); print F 'from the application'; close F";
    assert_eq!(perl(&world, script).await, "from a person\nmine\n");
    let seen = format!("\"{}\"", entry.tag.clone().unwrap());
    assert_eq!(code(write(&world, "notes/a.txt", ("if-match", &seen), "mine again").await), "changed");
    assert_eq!(code(write(&world, "notes/a.txt", new, "mine again").await), "taken");
    assert_eq!(code(world.client.ask::<FileEntry>(content(&world, Method::PUT, "notes/b").body("x")).await), "unseen");

    let answer = world.client.response(content(&world, Method::GET, "notes/a.txt").header("range", "bytes=5-7")).await;
    let answer = answer.unwrap();
    assert_eq!(answer.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(answer.headers()["content-range"], "bytes 5-7/20");
    assert_eq!(answer.headers()["content-security-policy"], "default-src 'none'; sandbox");
    let tag = answer.headers()["etag"].to_str().unwrap().to_string();
    assert_eq!(answer.text().await.unwrap(), "the");
    let same = content(&world, Method::GET, "notes/a.txt").header("if-none-match", &tag).send().await.unwrap();
    assert_eq!(same.status(), StatusCode::NOT_MODIFIED);
    let none = content(&world, Method::GET, "notes/a.txt").header("range", "bytes=99-").send().await.unwrap();
    assert_eq!(
        (none.status(), &none.headers()["content-range"]),
        (StatusCode::RANGE_NOT_SATISFIABLE, &"bytes */20".parse().unwrap())
    );
    write(&world, "notes/a.txt", ("if-match", &tag), "mine again").await.unwrap();
    assert_eq!(perl(&world, "open(F, '<', '/data/notes/a.txt'); print <F>, \"\\n\"").await, "mine again\n");

    // Links of the application to the host's own files are shown, and lead nowhere.
    perl(&world, "symlink('/', '/data/out') or die $!; symlink('../../../../../..', '/data/up') or die $!").await;
    let folder: FileFolder = world.get(DATA).await.unwrap();
    let links: Vec<_> = folder.entries.iter().filter(|entry| entry.kind == FileKind::Link).collect();
    assert_eq!((links.len(), links[0].target.as_deref()), (2, Some("/")));
    for path in ["out/etc/hostname", "up/etc/hostname", "out"] {
        assert_eq!(code(world.client.text(content(&world, Method::GET, path)).await), "kind", "{path}");
        assert_eq!(code(write(&world, path, ("if-match", "*"), "planted").await), "kind", "{path}");
    }
    assert_eq!(code(world.client.text(content(&world, Method::GET, "../../x")).await), "value");

    let rename = FileRename { from: "notes/a.txt".into(), to: "notes/c.txt".into() };
    let renamed: FileEntry = world.client.ask(world.client.request(Method::POST, DATA).json(&rename)).await.unwrap();
    assert_eq!(renamed.name, "c.txt");
    let remove = |query: &str| world.client.request(Method::DELETE, &format!("{DATA}?{query}"));
    assert_eq!(code(world.client.ask::<u64>(remove("path=notes")).await), "filled");
    assert_eq!(world.client.ask::<u64>(remove("path=notes&all=true")).await.unwrap(), 2);
    assert_eq!(code(world.client.ask::<u64>(remove("path=")).await), "value");

    let root: FileFolder = world.get("/applications/web/files/root").await.unwrap();
    assert!(root.entries.iter().any(|entry| entry.name == "usr" && entry.kind == FileKind::Folder), "{root:?}");
    let missing = world.get::<FileFolder>("/applications/web/files/volumes/other").await;
    assert_eq!(code(missing), "no_volume");
    assert_eq!(code(world.get::<FilePlaces>("/applications/nobody/files").await), "no_application");
    world.stop().await;
}
