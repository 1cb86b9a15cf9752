//! A successor that fails costs nothing.

use std::path::Path;

use openmesh_door::control;
use openmesh_door::document::Protocol;
use openmesh_door::table::Sockets;
use openmesh_door::takeover::{Predecessor, take};

use crate::stage::{App, Raw, document, door, open, taken, within};

async fn succeed(socket: &Path) -> Option<(Predecessor, Sockets)> {
    let path = socket.to_path_buf();
    let taken = tokio::task::spawn_blocking(move || take(&path));
    let taken = within("an answer of the door", taken).await.expect("a task").expect("an answer");
    taken.map(|(predecessor, _, sockets)| (predecessor, sockets))
}

#[tokio::test]
async fn a_door_serves_on_until_its_successor_serves() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("socket");
    let app = App::start("app").await;
    let first = document(1, &[("app", open(&app, Protocol::Http1))]);
    let (door, at) = door(first.clone()).await;
    let listener = tokio::net::UnixListener::bind(&socket).expect("a socket");
    tokio::spawn(control::serve(door.clone(), listener));
    // One that dies before it serves.
    drop(succeed(&socket).await.expect("a door"));
    let mut second = first;
    second.serial = 2;
    assert_eq!(taken(&door, second).await.serial, 2, "it takes documents again");
    assert!(!door.report().retiring);
    assert_eq!(Raw::to(at[0]).await.get("app.test", "/").await.body, "app");
    // One that serves hears that it is alone.
    let (predecessor, sockets) = succeed(&socket).await.expect("a door");
    assert_eq!(sockets[0].1.local_addr().expect("an address"), at[0]);
    let released = tokio::task::spawn_blocking(move || predecessor.release());
    within("the word of the door", released).await.expect("a task").expect("released");
    let mut news = door.news();
    while !door.report().retiring {
        within("word of the leaving", news.changed()).await.expect("news");
    }
    // A third finds a door that leaves, or none: it begins by itself.
    assert!(succeed(&socket).await.is_none());
}
