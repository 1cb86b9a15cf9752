//! Backups made, found and restored.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use openmesh_backup::{
    BackupError, Data, Folder, Identity, Owners, Repository, RepositoryId, Restoration, Special, open,
};
use openmesh_primitives::SplitMix64;
use proptest::prelude::*;

use crate::world::{NOW, World, back_up, describe, make_tree, noise, order, restore};

#[test]
fn a_tree_comes_back_as_it_was_on_a_fresh_node_with_the_owners_key_alone() {
    let world = World::new();
    let tree = world.tree("tree", 1);
    let report = world.back_up(&tree);
    let before = describe(&tree);
    assert_eq!(report.entries, before.len() as u64);
    // The node and its data are gone; what is left is a copy of the repository, and the owner's key on paper.
    let copy = world.path("copy");
    crate::world::copy(world.store.root(), &copy);
    fs::remove_dir_all(&tree).unwrap();
    fs::remove_dir_all(world.store.root()).unwrap();
    let owner: Identity = world.owner.secret_text().parse().unwrap();
    let store = Folder::open(copy).unwrap();
    let repository = Repository::open(&store, &[owner], None).unwrap();
    let snapshots = repository.snapshots().unwrap();
    let (id, snapshot) = snapshots.found.first_key_value().unwrap();
    assert_eq!((*id, snapshot.time, snapshot.labels["application"].as_str()), (report.snapshot, NOW, "shop"));
    restore(&repository, *id, &tree, &open).unwrap();
    assert_eq!(describe(&tree), before);
    assert!(repository.check(Data::All).unwrap().findings.is_empty());
}

#[test]
fn what_is_there_is_not_stored_again() {
    let world = World::new();
    let tree = world.path("tree");
    fs::create_dir(&tree).unwrap();
    let content = noise(7, 6 << 20);
    fs::write(tree.join("a"), &content).unwrap();
    fs::write(tree.join("b"), &content).unwrap();
    let first = world.back_up(&tree);
    assert!(first.stored_bytes < 7 << 20, "twins are stored once: {}", first.stored_bytes);
    let again = world.back_up(&tree);
    assert!(again.stored_bytes == 0 && again.known == again.chunks, "nothing is new: {again:?}");
    let mut shifted = vec![1, 2, 3];
    shifted.extend(&content);
    fs::write(tree.join("b"), &shifted).unwrap();
    let third = world.back_up(&tree);
    assert!(third.stored_bytes < 3 << 20, "three bytes put in front cost a chunk or two: {}", third.stored_bytes);
    assert!(world.restored(third.snapshot) == describe(&tree));
    let sum = world.repository().stored().unwrap();
    assert!(sum.packs >= 2 && sum.packs_bytes < 10 << 20, "{sum:?}");
}

#[test]
fn keys_of_others_do_not_open_it_and_more_owners_can_be_added() {
    let world = World::new();
    let (other, node) = (Identity::generate().unwrap(), Identity::generate().unwrap());
    let open_with = |key: &Identity, id| Repository::open(&world.store, std::slice::from_ref(key), id);
    assert!(matches!(open_with(&other, None), Err(BackupError::NotForThisKey { files: 1, .. })));
    let repository = world.repository();
    let added = repository.add_key(&[node.recipient(), other.recipient()], &open).unwrap();
    assert_eq!(open_with(&other, Some(repository.id())).unwrap().id(), repository.id());
    assert_eq!(open_with(&node, None).unwrap().id(), repository.id());
    let stranger = RepositoryId([1; 32]);
    assert!(matches!(open_with(&node, Some(stranger)), Err(BackupError::OtherRepository { .. })));
    repository.remove_key(added, &open).unwrap();
    assert!(matches!(open_with(&node, None), Err(BackupError::NotForThisKey { .. })));
    // A key file that is stored later, by somebody without any key.
    let file = repository.key_file(&[node.recipient()]).unwrap();
    assert!(matches!(open_with(&node, None), Err(BackupError::NotForThisKey { .. })));
    let later = Repository::put_key_file(&world.store, &file, &open).unwrap();
    assert_eq!(open_with(&node, None).unwrap().id(), repository.id());
    repository.remove_key(later, &open).unwrap();
    let last = openmesh_backup::Store::list(&world.store, openmesh_backup::Kind::Key).unwrap()[0].id;
    assert!(matches!(repository.remove_key(last, &open), Err(BackupError::Key { .. })));
    assert!(matches!(Repository::create(&world.store, &[node.recipient()], &open), Err(BackupError::Exists { .. })));
    let empty = Folder::open(world.path("empty")).unwrap();
    assert!(matches!(Repository::open(&empty, &[node], None), Err(BackupError::NoRepository)));
}

#[test]
fn debians_age_opens_the_key_file_and_its_files_are_read() {
    let runs = |program: &str| {
        Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    };
    if !runs("age") {
        eprintln!("skipped: the program age is not installed (apt-get install age)");
        return;
    }
    let world = World::new();
    let identity = world.path("key.txt");
    fs::write(&identity, world.owner.secret_text()).unwrap();
    let keys = openmesh_backup::Store::list(&world.store, openmesh_backup::Kind::Key).unwrap();
    let file = world.store.root().join("keys").join(keys[0].id.to_string());
    let opened = Command::new("age").arg("-d").arg("-i").arg(&identity).arg(&file).output().unwrap();
    assert!(opened.status.success(), "{}", String::from_utf8_lossy(&opened.stderr));
    assert_eq!((opened.stdout.len(), &opened.stdout[..2]), (34, &[1, 0][..]), "version and secret");
    // The other way: age encrypts the content to two recipients, and the key file that it made opens the repository.
    let plain = world.path("plain");
    fs::write(&plain, &opened.stdout).unwrap();
    let other = Identity::generate().unwrap();
    let recipients = [other.recipient().to_string(), world.owner.recipient().to_string()];
    let made = Command::new("age").args(["-r", &recipients[0], "-r", &recipients[1]]).arg(&plain).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let id = openmesh_backup::Id::of(&made.stdout);
    let name = openmesh_backup::Name::Object(openmesh_backup::Kind::Key, id);
    openmesh_backup::Store::put_new(&world.store, name, &made.stdout).unwrap();
    assert_eq!(Repository::open(&world.store, &[other], None).unwrap().id(), world.repository().id());
}

#[test]
fn special_files_are_refused_by_name_or_left_out_and_said() {
    let world = World::new();
    let tree = world.tree("tree", 2);
    let _socket = UnixListener::bind(tree.join("a.sock")).unwrap();
    let failed = back_up(&world.repository(), &tree, "writer", &open).unwrap_err();
    let words = format!(
        "{} is a socket, which a backup cannot hold; remove it, or have such things left out",
        tree.join("a.sock").display()
    );
    assert_eq!(failed.to_string(), words);
    assert!(world.repository().snapshots().unwrap().found.is_empty());
    let order = openmesh_backup::Order { special: Special::LeaveOut, ..order(&tree, "writer") };
    let report = world.repository().backup(&order, &open).unwrap();
    assert_eq!((report.left_out, report.left_out_count), (vec![tree.join("a.sock")], 1));
    fs::remove_file(tree.join("a.sock")).unwrap();
    let without = |lines: Vec<String>| lines.into_iter().filter(|line| !line.starts_with("\"\" ")).collect::<Vec<_>>();
    assert_eq!(without(world.restored(report.snapshot)), without(describe(&tree)), "but for the time of the root");
}

#[test]
fn a_file_that_changes_meanwhile_fails_the_backup_by_its_name() {
    let world = World::new();
    let tree = world.path("tree");
    fs::create_dir(&tree).unwrap();
    // Longer than what the queues hold, so that it is still being read when the first pack is stored.
    let path = tree.join("busy");
    fs::write(&path, noise(3, 48 << 20)).unwrap();
    let door = |name: &str| {
        if name == "put pack" {
            let file = fs::OpenOptions::new().append(true).open(&path)?;
            std::io::Write::write_all(&mut &file, b"more")?;
        }
        Ok(())
    };
    let failed = back_up(&world.repository(), &tree, "writer", &door).unwrap_err();
    assert!(matches!(&failed, BackupError::Torn { path: torn } if *torn == path), "{failed}");
    assert!(world.repository().snapshots().unwrap().found.is_empty());
}

#[test]
fn nothing_is_restored_over_something_and_owners_can_be_shifted() {
    let world = World::new();
    let tree = world.path("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("file"), "content").unwrap();
    let root = rustix::process::geteuid().is_root();
    if root {
        for path in [tree.clone(), tree.join("file")] {
            std::os::unix::fs::chown(&path, Some(100_007), Some(100_003)).unwrap();
        }
    }
    let snapshot = world.back_up(&tree).snapshot;
    let repository = world.repository();
    let taken = restore(&repository, snapshot, &tree, &open).unwrap_err();
    assert!(matches!(taken, BackupError::Occupied { .. }), "{taken}");
    let target = world.path("target");
    fs::create_dir(&target).unwrap();
    if !root {
        eprintln!("skipped in part: owners are given by root");
        return;
    }
    let shifted = |from| {
        let owners = Owners::Shifted { from, to: 200_000, count: 65_536 };
        repository.restore(&Restoration { snapshot, target: &target, owners, verify: true }, &open)
    };
    let outside = shifted(100_005).unwrap_err();
    assert!(matches!(outside, BackupError::OwnerOutside { number: 100_003, .. }), "{outside}");
    shifted(100_000).unwrap();
    let about = fs::metadata(target.join("file")).unwrap();
    assert_eq!((about.uid(), about.gid()), (200_007, 200_003));
    assert!(!world.path(".target.restoring").exists());
}

#[test]
fn a_second_restore_to_the_same_target_is_refused() {
    let world = World::new();
    let tree = world.tree("tree", 5);
    let snapshot = world.back_up(&tree).snapshot;
    let (target, repository) = (world.path("target"), world.repository());
    let refused = std::cell::Cell::new(0);
    let door = |_: &str| {
        if world.path(".target.restoring").exists() {
            match restore(&repository, snapshot, &target, &open) {
                Err(BackupError::Busy { .. }) => refused.set(refused.get() + 1),
                // Until the first has locked it, it is anybody's; the first sees that.
                other => panic!("{other:?}"),
            }
        }
        Ok(())
    };
    let first = restore(&repository, snapshot, &target, &|name: &str| {
        if name == "make folder done" { Ok(()) } else { door(name) }
    });
    first.unwrap();
    assert!(refused.get() >= 5, "{}", refused.get());
    assert_eq!(describe(&target), describe(&tree));
    // The other order: what is taken away before it is locked ends the first, and never half of it is placed.
    std::fs::remove_dir_all(&target).unwrap();
    let first = restore(&repository, snapshot, &target, &|name: &str| {
        if name == "make folder done" {
            restore(&repository, snapshot, &target, &open).map_err(io::Error::other)?;
        }
        Ok(())
    });
    assert!(first.is_err());
    assert_eq!(describe(&target), describe(&tree), "by the second");
}

#[test]
fn a_drill_proves_a_backup_and_leaves_nothing() {
    let world = World::new();
    let tree = world.tree("tree", 4);
    let snapshot = world.back_up(&tree).snapshot;
    let scratch = world.path("drill");
    fs::create_dir(&scratch).unwrap();
    fs::write(scratch.join("left"), "by a drill that broke off").unwrap();
    let before = describe(&tree);
    let check = |path: &std::path::Path| {
        if describe(path) == before {
            Ok("all rows are there".to_string())
        } else {
            Err("rows are missing".to_string())
        }
    };
    let drill = world.repository().drill(snapshot, &scratch, Owners::Kept, &check, &open).unwrap();
    assert_eq!(drill.verdict, Ok("all rows are there".to_string()));
    assert!(drill.snapshot == snapshot && drill.time == NOW && drill.restored.entries == before.len() as u64);
    let verdict =
        world.repository().drill(snapshot, &scratch, Owners::Kept, &|_| Err("no".to_string()), &open).unwrap().verdict;
    assert_eq!(verdict, Err("no".to_string()));
    assert!(!scratch.exists());
}

#[test]
fn secrets_are_nowhere_in_the_repository_in_the_clear() {
    let world = World::new();
    let tree = world.path("tree");
    fs::create_dir(&tree).unwrap();
    let (secret, name) = ("correct-horse-battery-staple", "name-that-nobody-else-uses");
    fs::write(tree.join(name), secret.repeat(50)).unwrap();
    world.back_up(&tree);
    for path in crate::world::objects(&world.store) {
        let bytes = fs::read(&path).unwrap();
        for word in [secret, name, "shop", "writer", &world.owner.secret_text()] {
            assert!(!bytes.windows(word.len()).any(|window| window == word.as_bytes()), "{word} in {}", path.display());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn any_tree_comes_back_and_changes_are_kept_apart(seed in 1_u64..1_000_000) {
        let world = World::new();
        let tree = world.tree("tree", seed);
        let (first, before) = (world.back_up(&tree).snapshot, describe(&tree));
        let mut numbers = SplitMix64::new(seed);
        fs::remove_file(tree.join("twin")).unwrap();
        fs::write(tree.join("new"), noise(seed, numbers.below(900_000) as usize)).unwrap();
        make_tree(&tree.join("grown"), seed + 1);
        let (second, after) = (world.back_up(&tree).snapshot, describe(&tree));
        prop_assert_eq!(world.restored(first), before);
        prop_assert_eq!(world.restored(second), after);
        let checked = world.repository().check(Data::All).unwrap();
        prop_assert!(checked.findings.is_empty() && checked.broken.is_empty() && checked.snapshots == 2);
    }
}
