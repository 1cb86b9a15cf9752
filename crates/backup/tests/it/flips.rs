//! Flipped bits, lost and exchanged objects: named, and never silently restored (B-7, B-32, B-33).

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use openmesh_backup::{BackupError, Data, Id, Repository, open};
use openmesh_primitives::SplitMix64;

use crate::world::{NOW, World, describe, noise, objects, restore};

/// A repository that has objects of every kind: two keys, packs, index, snapshots, a dead session, a mark.
fn world() -> (World, Vec<(Id, Vec<String>)>) {
    let world = World::new();
    let tree = world.small_tree("tree", 11);
    let mut snapshots = Vec::new();
    let repository = world.repository();
    repository.add_key(&[openmesh_backup::Identity::generate().unwrap().recipient()], &open).unwrap();
    let first = world.back_up(&tree).snapshot;
    fs::write(tree.join("more"), noise(12, 140_000)).unwrap();
    let gone = world.back_up(&tree).snapshot;
    fs::write(tree.join("more"), noise(13, 140_000)).unwrap();
    snapshots.push((world.back_up(&tree).snapshot, describe(&tree)));
    repository.forget([first, gone], &open).unwrap();
    repository.mark(NOW, &open).unwrap();
    let stop = |name: &str| if name == "put index" { Err(std::io::Error::other("stop")) } else { Ok(()) };
    fs::write(tree.join("more"), noise(14, 10)).unwrap();
    // A door that stays shut, so that the session is left as by a death.
    let shut = std::cell::Cell::new(false);
    let door = |name: &str| {
        shut.set(shut.get() || stop(name).is_err());
        if shut.get() { Err(std::io::Error::other("stop")) } else { Ok(()) }
    };
    crate::world::back_up(&repository, &tree, "dead", &door).unwrap_err();
    (world, snapshots)
}

/// A change of an object's bytes.
type Change = Box<dyn Fn(&mut Vec<u8>)>;

/// Changes an object's file, looks, and puts it back.
fn with_change(path: &Path, change: impl FnOnce(&mut Vec<u8>), look: impl FnOnce()) {
    let good = fs::read(path).unwrap();
    let mut bad = good.clone();
    change(&mut bad);
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(path, bad).unwrap();
    look();
    fs::write(path, good).unwrap();
}

/// Restores every snapshot: each comes back as it was, or fails.
fn restores_are_right_or_fail(world: &World, snapshots: &[(Id, Vec<String>)]) -> usize {
    let Ok(repository) = Repository::open(&world.store, std::slice::from_ref(&world.owner), None) else {
        return snapshots.len();
    };
    let mut failed = 0;
    for (id, want) in snapshots {
        let target = world.path("flipped");
        match restore(&repository, *id, &target, &open) {
            Ok(()) => {
                assert_eq!(describe(&target), *want, "restored silently");
                fs::remove_dir_all(&target).unwrap();
            }
            Err(_) => {
                assert!(!target.exists() && !world.path(".flipped.restoring").exists());
                failed += 1;
            }
        }
    }
    failed
}

#[test]
fn a_flipped_bit_of_every_part_of_every_object_is_named() {
    let (world, snapshots) = world();
    let repository = world.repository();
    let (mut flips, mut kinds) = (0, BTreeSet::new());
    let mut numbers = SplitMix64::new(1);
    for path in objects(&world.store) {
        let name = path.strip_prefix(world.store.root()).unwrap().to_str().unwrap().to_string();
        kinds.insert(name.split('/').next().unwrap().to_string());
        let length = fs::read(&path).unwrap().len();
        // Magic, version, kind, nonce, content, tag, header and its length, last byte; and some places by chance.
        let fixed = [
            0,
            4,
            5,
            6,
            30,
            length / 2,
            length - 100.min(length),
            length - 30.min(length),
            length - 12.min(length),
            length - 9.min(length),
            length - 1,
        ];
        let places = fixed.into_iter().chain((0..2).map(|_| numbers.index(length)));
        for place in places.filter(|place| *place < length).collect::<BTreeSet<usize>>() {
            let bit = numbers.below(8);
            let change = |bytes: &mut Vec<u8>| bytes[place] ^= 1 << bit;
            with_change(&path, change, || {
                let checked = repository.check(Data::All).unwrap();
                let named = checked.findings.iter().any(|finding| finding.object == name);
                assert!(named, "{name}, byte {place} of {length}, bit {bit}: {:?}", checked.findings);
                let failed = restores_are_right_or_fail(&world, &snapshots);
                if name.starts_with("packs") || name.starts_with("snapshots") {
                    assert!(failed >= checked.broken.len(), "{name}: {checked:?}");
                }
            });
            flips += 1;
        }
    }
    eprintln!("{flips} flips in objects of {kinds:?}");
    let want = ["format", "index", "keys", "marks", "packs", "sessions", "snapshots"].map(str::to_string);
    assert_eq!(kinds, BTreeSet::from(want));
    assert!(repository.check(Data::All).unwrap().findings.is_empty());
}

#[test]
fn lost_cut_swapped_and_longer_objects_are_named() {
    let (world, snapshots) = world();
    let repository = world.repository();
    let all = objects(&world.store);
    for (number, path) in all.iter().enumerate() {
        let name = path.strip_prefix(world.store.root()).unwrap().to_str().unwrap().to_string();
        let other = fs::read(&all[(number + 1) % all.len()]).unwrap();
        let changes: [Change; 4] = [
            Box::new(|bytes| bytes.clear()),
            Box::new(|bytes| bytes.truncate(bytes.len() - 1)),
            Box::new(|bytes| bytes.push(0)),
            Box::new(move |bytes| bytes.clone_from(&other)),
        ];
        for (kind, change) in changes.into_iter().enumerate() {
            with_change(path, change, || {
                let checked = repository.check(Data::All).unwrap();
                assert!(checked.findings.iter().any(|finding| finding.object == name), "{name} {kind}: {checked:?}");
                restores_are_right_or_fail(&world, &snapshots);
            });
        }
        let aside = world.path("aside");
        fs::rename(path, &aside).unwrap();
        let failed = restores_are_right_or_fail(&world, &snapshots);
        let needed = name.starts_with("snapshots") || name == "format";
        assert!(!needed || failed > 0, "{name} is lost");
        let checked = repository.check(Data::All).unwrap();
        assert!(!name.starts_with("packs") || checked.broken.is_empty() || failed > 0);
        fs::rename(&aside, path).unwrap();
    }
}

#[test]
fn the_index_is_only_a_copy() {
    let (world, snapshots) = world();
    fs::remove_dir_all(world.store.root().join("index")).unwrap();
    fs::create_dir(world.store.root().join("index")).unwrap();
    assert_eq!(restores_are_right_or_fail(&world, &snapshots), 0, "the packs alone are enough");
    let report = world.back_up(&world.path("tree"));
    assert!(report.findings.is_empty() && report.known > 0, "{report:?}");
    assert_eq!(objects(&world.store).iter().filter(|path| path.parent().unwrap().ends_with("index")).count(), 1);
    // A damaged one is said, and made good.
    let index = objects(&world.store).into_iter().find(|path| path.parent().unwrap().ends_with("index")).unwrap();
    with_change(
        &index,
        |bytes| bytes[50] ^= 1,
        || {
            let report = world.back_up(&world.path("tree"));
            assert_eq!(report.findings.len(), 1);
            assert_eq!(report.stored_bytes, 0);
            assert_eq!(restores_are_right_or_fail(&world, &snapshots), 0);
        },
    );
}

#[test]
fn a_repository_of_a_stranger_in_the_place_of_the_true_one_is_seen() {
    let (world, _) = world();
    let id = world.repository().id();
    // Made for the same recipient, which is public: only the id tells.
    let other = openmesh_backup::Folder::open(world.path("other")).unwrap();
    Repository::create(&other, &[world.owner.recipient()], &open).unwrap();
    let opened = Repository::open(&other, std::slice::from_ref(&world.owner), Some(id));
    assert!(matches!(opened, Err(BackupError::OtherRepository { .. })));
    // Their keys beside ours do not disturb.
    for path in objects(&other).into_iter().filter(|path| path.parent().unwrap().ends_with("keys")) {
        fs::copy(&path, world.store.root().join("keys").join(path.file_name().unwrap())).unwrap();
    }
    assert_eq!(world.repository().id(), id);
}

/// A repository with one snapshot, of whose only data pack a bit in the middle is flipped.
fn damaged() -> (World, Vec<String>, Id) {
    let world = World::new();
    let tree = world.tree("tree", 15);
    let snapshot = world.back_up(&tree).snapshot;
    let pack = objects(&world.store).into_iter().find(|path| path.to_str().unwrap().contains("/packs/")).unwrap();
    let mut bytes = fs::read(&pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::remove_file(&pack).unwrap();
    fs::write(&pack, bytes).unwrap();
    let before = describe(&tree);
    (world, before, snapshot)
}

#[test]
fn what_is_lost_comes_back_with_the_next_backup_once_it_is_mended() {
    let (world, before, snapshot) = damaged();
    let repository = world.repository();
    assert!(repository.check(Data::All).unwrap().broken.contains_key(&snapshot));
    let passages = std::cell::Cell::new(0);
    let mended = repository.mend(&|_: &str| {
        passages.set(passages.get() + 1);
        Ok(())
    });
    let mended = mended.unwrap();
    assert!(mended.packs == 1 && mended.lost == 1 && mended.saved > 3, "{mended:?}");
    let checked = repository.check(Data::All).unwrap();
    assert!(checked.broken.contains_key(&snapshot), "{checked:?}");
    let report = world.back_up(&world.path("tree"));
    assert!(report.chunks - report.known == 1, "the lost chunk alone is stored: {report:?}");
    let checked = repository.check(Data::All).unwrap();
    assert!(checked.findings.is_empty() && checked.broken.is_empty(), "{checked:?}");
    assert_eq!(world.restored(snapshot), before, "the old snapshot is whole again");
    assert_eq!(repository.mend(&open).unwrap(), openmesh_backup::Mended::default());
    // Broken off at each passage, and done again.
    for passage in 0..passages.get() {
        let (world, before, snapshot) = damaged();
        let count = std::cell::Cell::new(0);
        let door = |_: &str| {
            count.set(count.get() + 1);
            if count.get() == passage + 1 { Err(std::io::Error::other("stop")) } else { Ok(()) }
        };
        assert!(matches!(world.repository().mend(&door), Err(BackupError::Door { .. })), "{passage}");
        world.repository().mend(&open).unwrap();
        world.back_up(&world.path("tree"));
        let checked = world.repository().check(Data::All).unwrap();
        assert!(checked.findings.is_empty() && checked.broken.is_empty(), "{passage}: {checked:?}");
        assert_eq!(world.restored(snapshot), before);
    }
}
