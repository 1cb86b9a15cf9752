//! A successor that fails costs nothing.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use openmesh_door::control;
use openmesh_door::document::Protocol;
use openmesh_door::door::Door;
use openmesh_door::effects::free;
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

/// Doors that a connection comes to while it changes hands, each of them once.
const DOORS: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_connection_that_was_accepted_a_moment_ago_is_served_by_the_door_that_leaves() {
    let app = App::start("app").await;
    let (mut before, at) = door(document(1, &[("app", open(&app, Protocol::Http1))])).await;
    let (at, stop) = (at[0], Arc::new(AtomicBool::new(false)));
    let client = tokio::spawn({
        let stop = stop.clone();
        async move {
            let mut count = 0;
            while !stop.load(Ordering::Relaxed) {
                let said = Raw::to(at).await.get("app.test", "/new").await;
                assert_eq!((said.status, said.body.as_str()), (200, "app"), "request {count}");
                count += 1;
            }
            count
        }
    });
    for _ in 0..DOORS {
        let next = Door::new(None, free()).expect("a door");
        let handed = before.hand_over(|document, sockets| async {
            next.apply_with(document, sockets).await.map(drop).map_err(io::Error::other)
        });
        within("the successor", handed).await.expect("handed over");
        within("the end of the door", before.retire(Duration::from_secs(30))).await;
        before = Arc::new(next);
    }
    stop.store(true, Ordering::Relaxed);
    let count = within("the client", client).await.expect("no connection was lost");
    println!("{DOORS} doors after each other: {count} connections, none lost");
}
