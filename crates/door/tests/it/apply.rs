//! A document is taken as a whole or not at all, whatever fails on the way.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::stage::{App, Raw, document, open, taken, within};
use openmesh_door::document::{Document, Listener, Protocol};
use openmesh_door::door::{ApplyError, Door};
use openmesh_door::effects::Effects;
use openmesh_door::keep;

fn second(first: &Document, app: &App) -> Document {
    let mut second = document(2, &[("new", open(app, Protocol::Http1))]);
    second.listeners = first.listeners.clone();
    second.listeners.push(Listener { address: "127.0.0.1:0".parse().expect("an address"), tls: false, route: None });
    second
}

async fn run(folder: &Path, k: usize, names: &Arc<Mutex<Vec<String>>>) -> bool {
    let (old, new) = (App::start("old").await, App::start("new").await);
    let kept = folder.join(format!("document-{k}.json"));
    // Passages until the failure; none where it is not armed.
    let armed = Arc::new(AtomicUsize::new(usize::MAX));
    let (log, at) = (names.clone(), armed.clone());
    let effects: Effects = Arc::new(move |name: &str| {
        let left = at.load(Ordering::Relaxed);
        if left == usize::MAX {
            return Ok(());
        }
        log.lock().expect("names").push(name.to_string());
        at.store(left.wrapping_sub(1), Ordering::Relaxed);
        if left == 0 { Err(io::Error::from_raw_os_error(28)) } else { Ok(()) }
    });
    let door = Door::new(Some(kept.clone()), effects).expect("a door");
    let first = document(1, &[("old", open(&old, Protocol::Http1))]);
    let at = taken(&door, first.clone()).await.listeners[0];
    let next = second(&first, &new);
    armed.store(k, Ordering::Relaxed);
    let outcome = within("an answer to a document", door.apply(next.clone())).await;
    armed.store(usize::MAX, Ordering::Relaxed);
    let mut client = Raw::to(at).await;
    let served = door.report().serial;
    match &outcome {
        Ok(report) => assert_eq!((report.serial, report.listeners.len()), (2, 2)),
        Err(error) => {
            assert!(matches!(error, ApplyError::Bind { .. } | ApplyError::Keep(_)), "{error}");
            assert_eq!(served, 1);
            assert_eq!(client.get("old.test", "/").await.body, "old", "passage {k}");
            assert_eq!(client.get("new.test", "/").await.status, 404, "passage {k}");
        }
    }
    // The next start finds one of both, whole.
    let found = keep::read(&kept).expect("readable").expect("there");
    assert!(found == first || found == next, "passage {k}");
    // Sent again, it is taken.
    assert_eq!(taken(&door, next).await.serial, 2);
    assert_eq!(client.get("new.test", "/").await.body, "new", "passage {k}");
    outcome.is_err()
}

#[tokio::test]
async fn a_failure_at_any_effect_changes_nothing_that_is_served() {
    let folder = tempfile::tempdir().expect("a folder");
    let names = Arc::new(Mutex::new(Vec::new()));
    let mut failures = 0;
    while run(folder.path(), failures, &names).await {
        failures += 1;
    }
    let all: std::collections::BTreeSet<String> = names.lock().expect("names").iter().cloned().collect();
    let expected = [
        "bind 127.0.0.1:0",
        "bind 127.0.0.1:0 done",
        "rename document",
        "rename document done",
        "write document",
        "write document done",
    ];
    assert_eq!(all.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    assert_eq!(failures, 6, "each passage was one failure");
}
