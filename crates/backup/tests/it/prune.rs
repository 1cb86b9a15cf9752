//! Retention, marks and sweeps by the clock (B-26 to B-30).

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicI64, Ordering};

use openmesh_backup::{Data, GRACE_MS, Id, Kind, Repository, SESSION_MS_MAX, Store as _, open, retention};
use openmesh_blueprint::document::Keep;
use openmesh_primitives::Timestamp;

use crate::world::{NOW, Skewed, World, back_up, describe, noise, order};

fn after_ms(millis: i64) -> Timestamp {
    Timestamp(NOW.nanos() + millis * 1_000_000)
}

#[test]
fn retention_then_mark_then_sweep_gives_the_room_back() {
    let world = World::new();
    let tree = world.tree("tree", 31);
    // One pack for each backup, so that some are needed in part.
    let repository = world.repository().ending_packs_at(openmesh_backup::PACK_BYTES);
    for day in 0..6 {
        // The first is more than the rest of the tree, so that the rest is moved.
        let length = if day == 0 { 2 << 20 } else { 700_000 };
        fs::write(tree.join("daily"), noise(day, length)).unwrap();
        let time = after_ms(day as i64 * 86_400_000);
        repository.backup(&openmesh_backup::Order { time, ..order(&tree, "writer") }, &open).unwrap();
    }
    let before = repository.stored().unwrap();
    let snapshots = repository.snapshots().unwrap().found;
    let all: Vec<(Id, Timestamp)> = snapshots.iter().map(|(id, snapshot)| (*id, snapshot.time)).collect();
    let kept = retention::kept(&all, &Keep { last: 1, daily: 2, weekly: 0, monthly: 0 }, &BTreeSet::new());
    assert_eq!(kept.len(), 2);
    repository.forget(snapshots.into_keys().filter(|id| !kept.contains(id)), &open).unwrap();
    let marked = repository.mark(NOW, &open).unwrap();
    assert!(marked.packs >= 4 && marked.moved_bytes > 0, "{marked:?}");
    assert_eq!(repository.mark(NOW, &open).unwrap(), Default::default(), "what is marked is not marked again");
    assert!(repository.stored().unwrap().packs_bytes >= before.packs_bytes, "nothing goes at once");
    let swept = repository.sweep(after_ms(1), 0, &open).unwrap();
    assert_eq!((swept.removed, swept.spared, swept.waiting), (marked.packs, 0, vec![]));
    let sum = repository.stored().unwrap();
    assert!(sum.packs_bytes < before.packs_bytes * 2 / 3, "{sum:?} of {before:?}");
    let checked = repository.check(Data::All).unwrap();
    assert!(checked.findings.is_empty() && checked.snapshots == 2, "{checked:?}");
    let newest = all.iter().max_by_key(|(_, time)| *time).unwrap().0;
    assert_eq!(world.restored(newest), describe(&tree));
    for kind in [Kind::Mark, Kind::Session] {
        assert!(world.store.list(kind).unwrap().is_empty());
    }
}

/// A repository with a snapshot forgotten and its packs marked, by a store with a clock of its own.
fn marked(world: &World, store: &Skewed<'_>) {
    let tree = world.tree("tree", 32);
    let repository = Repository::open(store, std::slice::from_ref(&world.owner), None).unwrap();
    let snapshot = back_up(&repository, &tree, "writer", &open).unwrap().snapshot;
    repository.forget([snapshot], &open).unwrap();
    assert!(repository.mark(NOW, &open).unwrap().packs > 0);
}

#[test]
fn a_clock_that_jumps_removes_nothing() {
    let world = World::new();
    let store = Skewed { inner: &world.store, nanos: AtomicI64::new(0) };
    marked(&world, &store);
    let repository = Repository::open(&store, std::slice::from_ref(&world.owner), None).unwrap();
    let year_ms = 365 * 86_400_000;
    let swept = repository.sweep(after_ms(year_ms), GRACE_MS, &open).unwrap();
    assert!(swept.removed == 0 && swept.waiting[0].ends_with("by the store's clock"), "{swept:?}");
    store.nanos.store(year_ms * 1_000_000, Ordering::SeqCst);
    let swept = repository.sweep(after_ms(1000), GRACE_MS, &open).unwrap();
    assert!(swept.removed == 0 && swept.waiting[0].ends_with("by the wall clock"), "{swept:?}");
    store.nanos.store(-year_ms * 1_000_000, Ordering::SeqCst);
    assert_eq!(repository.sweep(after_ms(-year_ms), GRACE_MS, &open).unwrap().removed, 0);
    store.nanos.store((GRACE_MS + 2000) * 1_000_000, Ordering::SeqCst);
    assert!(repository.sweep(after_ms(GRACE_MS), GRACE_MS, &open).unwrap().removed > 0, "both agree");
}

#[test]
fn a_session_counts_as_dead_by_both_clocks_only() {
    let world = World::new();
    let store = Skewed { inner: &world.store, nanos: AtomicI64::new(0) };
    let tree = world.tree("tree", 33);
    let repository = Repository::open(&store, std::slice::from_ref(&world.owner), None).unwrap();
    let shut = std::cell::Cell::new(false);
    let door = |name: &str| {
        shut.set(shut.get() || name == "put index");
        if shut.get() { Err(std::io::Error::other("dead")) } else { Ok(()) }
    };
    back_up(&repository, &tree, "of a machine that is no more", &door).unwrap_err();
    assert!(repository.mark(NOW, &open).unwrap().packs > 0);
    let old_ms = 2 * SESSION_MS_MAX + 5000;
    let swept = repository.sweep(after_ms(1), 0, &open).unwrap();
    assert!(swept.removed == 0 && swept.waiting[0].contains("1 backups"), "{swept:?}");
    assert_eq!(repository.sweep(after_ms(old_ms), 0, &open).unwrap().dead_sessions, 0, "the store's clock disagrees");
    store.nanos.store(old_ms * 1_000_000, Ordering::SeqCst);
    assert_eq!(repository.sweep(after_ms(1), 0, &open).unwrap().dead_sessions, 0, "the wall clock disagrees");
    let swept = repository.sweep(after_ms(old_ms), 0, &open).unwrap();
    assert!(swept.dead_sessions == 1 && swept.removed > 0, "{swept:?}");
}

#[test]
fn nothing_is_removed_while_it_is_not_known_what_is_needed() {
    let world = World::new();
    let store = Skewed { inner: &world.store, nanos: AtomicI64::new(0) };
    marked(&world, &store);
    let tree = world.path("tree");
    let snapshot = world.back_up(&tree).snapshot;
    let path = world.store.root().join("snapshots").join(snapshot.to_string());
    let good = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, b"damaged").unwrap();
    assert!(world.repository().mark(NOW, &open).is_err());
    assert!(world.repository().sweep(after_ms(1), 0, &open).is_err());
    fs::write(&path, good).unwrap();
    world.repository().sweep(after_ms(1), 0, &open).unwrap();
    assert_eq!(world.restored(snapshot), describe(&tree));
}
