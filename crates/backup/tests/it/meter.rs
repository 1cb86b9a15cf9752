//! Progress of acts, and acts that somebody stops; secrets in files of age.

use std::fs;
use std::sync::Arc;

use openmesh_backup::{BackupError, Identity, Kind, Meter, PAYLOAD_BYTES_MAX, Store as _, open, open_file, seal_file};

use crate::world::{World, back_up, describe, noise, restore};

#[test]
fn a_meter_counts_what_is_read_and_written() {
    let world = World::new();
    let tree = world.path("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("one"), noise(1, 700_000)).unwrap();
    fs::write(tree.join("two"), noise(2, 300_000)).unwrap();
    let meter = Arc::new(Meter::new());
    let repository = world.repository().metered(meter.clone());
    let report = back_up(&repository, &tree, "writer", &open).unwrap();
    assert_eq!((meter.done_bytes(), report.bytes), (1_000_000, 1_000_000));
    let target = world.path("target");
    restore(&repository, report.snapshot, &target, &open).unwrap();
    assert_eq!(meter.done_bytes(), 2_000_000);
    assert_eq!(describe(&target), describe(&tree));
}

#[test]
fn an_act_that_is_stopped_leaves_no_session_and_the_next_one_is_whole() {
    let world = World::new();
    let tree = world.small_tree("tree", 7);
    fs::write(tree.join("large"), noise(3, 900_000)).unwrap();
    let meter = Arc::new(Meter::new());
    meter.stop();
    let repository = world.repository().metered(meter.clone());
    let stopped = back_up(&repository, &tree, "writer", &open);
    assert!(matches!(stopped, Err(BackupError::Cancelled)), "{stopped:?}");
    assert!(
        world.store.list(Kind::Session).unwrap().is_empty() && world.store.list(Kind::Snapshot).unwrap().is_empty()
    );
    let report = world.back_up(&tree);
    let target = world.path("target");
    let stopped = restore(&repository, report.snapshot, &target, &open);
    assert!(matches!(stopped, Err(BackupError::Cancelled)), "{stopped:?}");
    assert!(!target.exists() && !world.path(".target.restoring").exists());
    assert_eq!(world.restored(report.snapshot), describe(&tree));
}

#[test]
fn a_secret_in_a_file_of_age_is_for_its_recipients_alone() {
    let (owner, node, other) =
        (Identity::generate().unwrap(), Identity::generate().unwrap(), Identity::generate().unwrap());
    let largest = noise(4, PAYLOAD_BYTES_MAX);
    let file = seal_file(&[owner.recipient(), node.recipient()], &largest).unwrap();
    for key in [owner, node] {
        assert_eq!(open_file(&[key], &file).unwrap().unwrap(), largest);
    }
    assert_eq!(open_file(std::slice::from_ref(&other), &file).unwrap(), None);
    let sealed = seal_file(&[other.recipient()], b"x").unwrap();
    let changed = [&sealed[..sealed.len() - 1], &[sealed[sealed.len() - 1] ^ 1]].concat();
    let refused = open_file(std::slice::from_ref(&other), &changed);
    assert!(matches!(refused, Err(BackupError::Key { .. })), "{refused:?}");
    assert!(seal_file(&[other.recipient()], &noise(5, PAYLOAD_BYTES_MAX + 1)).is_err());
    assert!(seal_file(&[], b"x").is_err());
}
