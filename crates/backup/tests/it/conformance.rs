//! Behaviour that all stores share (B-10), whatever they keep objects in: a folder, a bucket, the room of another Xnode.

use std::collections::BTreeSet;
use std::fs;

use openmesh_backup::{Data, Id, Identity, Kind, Name, Repository, Store, StoreError, open};
use openmesh_primitives::Timestamp;

use crate::world::{NOW, PACK_BYTES, World, back_up, describe, noise, restore};

/// Name of a pack of these bytes.
pub fn object(bytes: &[u8]) -> Name {
    Name::Object(Kind::Pack, Id::of(bytes))
}

/// An object is put once, read in part, listed and removed.
pub fn objects(store: &dyn Store) {
    let contents: Vec<Vec<u8>> = (0..10).map(|seed| noise(seed, 100)).collect();
    for content in &contents {
        assert!(matches!(store.read(object(content), 0, 9), Err(StoreError::Missing { .. })));
        assert!(store.put_new(object(content), content).unwrap());
    }
    let name = object(&contents[0]);
    assert!(!store.put_new(name, b"other").unwrap(), "what is there stays");
    assert_eq!(store.read(name, 0, 1000).unwrap(), contents[0]);
    assert_eq!(store.read(name, 30, 20).unwrap(), contents[0][30..50]);
    assert_eq!(store.read(name, 100, 20).unwrap(), b"");
    assert_eq!(store.read(name, 999, 20).unwrap(), b"");
    assert_eq!(store.read(name, 0, 0).unwrap(), b"");
    let listed = store.list(Kind::Pack).unwrap();
    let ids: BTreeSet<Id> = listed.iter().map(|listed| listed.id).collect();
    assert_eq!(ids, contents.iter().map(|content| Id::of(content)).collect());
    assert!(listed.len() == 10 && listed.iter().all(|listed| listed.bytes == 100 && listed.stored > NOW));
    assert!(store.delete(name).unwrap() && !store.delete(name).unwrap());
    assert!(matches!(store.read(name, 0, 9), Err(StoreError::Missing { .. })));
    assert_eq!(store.list(Kind::Pack).unwrap().len(), 9);
    assert!(store.put_new(name, &contents[0]).unwrap(), "it comes back");
    // Kinds do not meet, and an object may be large or empty.
    let large = noise(99, 3 << 20);
    for (kind, content) in [(Kind::Mark, &b""[..]), (Kind::Index, &large[..]), (Kind::Snapshot, &contents[0][..])] {
        let name = Name::Object(kind, Id::of(content));
        assert!(store.put_new(name, content).unwrap());
        assert_eq!(store.read(name, 0, content.len() + 1).unwrap(), content);
        assert_eq!(store.list(kind).unwrap().len(), 1, "{kind:?}");
    }
    assert_eq!(store.list(Kind::Session).unwrap(), vec![]);
}

/// A file of more than two chunks, whatever the keys of its repository cut it into: packs that hold nothing else are left when it goes.
const LARGE_BYTES: usize = 5 << 20;

/// Everything that is done to a repository.
pub fn life(store: &dyn Store) {
    let world = World::new();
    let tree = world.small_tree("tree", 51);
    fs::write(tree.join("large"), noise(52, LARGE_BYTES)).unwrap();
    let owner = Identity::generate().unwrap();
    Repository::create(store, &[owner.recipient()], &open).unwrap();
    let repository = Repository::open(store, &[owner], None).unwrap().ending_packs_at(PACK_BYTES);
    let first = back_up(&repository, &tree, "writer", &open).unwrap().snapshot;
    fs::write(tree.join("large"), noise(53, LARGE_BYTES)).unwrap();
    let second = back_up(&repository, &tree, "writer", &open).unwrap().snapshot;
    repository.forget([first], &open).unwrap();
    assert!(repository.mark(NOW, &open).unwrap().packs > 1);
    assert!(repository.sweep(Timestamp(NOW.nanos() + 1_000_000), 0, &open).unwrap().removed > 1);
    let checked = repository.check(Data::All).unwrap();
    assert!(checked.findings.is_empty() && checked.broken.is_empty() && checked.snapshots == 1, "{checked:?}");
    let target = world.path("target");
    restore(&repository, second, &target, &open).unwrap();
    assert_eq!(describe(&target), describe(&tree));
    for kind in [Kind::Mark, Kind::Session] {
        assert!(store.list(kind).unwrap().is_empty());
    }
}
