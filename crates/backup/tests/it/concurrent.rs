//! Several at once: backups beside each other, beside marks and beside sweeps (B-27 to B-30).

use std::cell::{Cell, RefCell};
use std::fs;

use openmesh_backup::{BackupError, Data, Repository, open};
use openmesh_primitives::Timestamp;

use crate::world::{NOW, World, back_up, describe, noise};

const LATER: Timestamp = Timestamp(NOW.0 + 1_000_000);

fn all_is_well(world: &World) {
    let checked = world.repository().check(Data::All).unwrap();
    assert!(checked.findings.is_empty() && checked.broken.is_empty(), "{checked:?}");
}

#[test]
fn two_backups_at_once_are_both_whole() {
    let world = World::new();
    let (one, two) = (world.tree("one", 21), world.tree("two", 22));
    for tree in [&one, &two] {
        fs::write(tree.join("shared"), noise(5, 3 << 20)).unwrap();
    }
    let snapshots = std::thread::scope(|scope| {
        let runs = [("a", &one), ("b", &two)].map(|(writer, tree)| {
            let world = &world;
            scope.spawn(move || back_up(&world.repository(), tree, writer, &open).unwrap().snapshot)
        });
        runs.map(|run| run.join().unwrap())
    });
    assert_eq!(world.restored(snapshots[0]), describe(&one));
    assert_eq!(world.restored(snapshots[1]), describe(&two));
    all_is_well(&world);
    let sum = world.repository().stored().unwrap();
    eprintln!("{sum:?}");
    // What both stored goes to half with the next mark.
    world.repository().mark(NOW, &open).unwrap();
    world.repository().sweep(LATER, 0, &open).unwrap();
    all_is_well(&world);
    assert_eq!(world.restored(snapshots[0]), describe(&one));
    assert!(world.repository().stored().unwrap().packs_bytes < 8 << 20);
}

/// At every passage of a backup that uses what is about to be forgotten, somebody else forgets, marks and sweeps.
#[test]
fn a_sweep_at_every_passage_of_a_backup_takes_nothing_that_it_needs() {
    let passages = {
        let (world, tree) = with_forgotten();
        let names = RefCell::new(Vec::new());
        back_up(&world.repository(), &tree, "writer", &|name: &str| {
            names.borrow_mut().push(name.to_string());
            Ok(())
        })
        .unwrap();
        names.take()
    };
    for (passage, name) in passages.iter().enumerate() {
        // Marked before the backup begins, or at the passage itself.
        // One of the two here, both where all doors are asked for.
        let all = std::env::var_os("OPENMESH_DOORS").is_some();
        for marked_before in [false, true].into_iter().filter(|before| all || *before == (passage % 2 == 0)) {
            let (world, tree) = with_forgotten();
            if marked_before {
                world.repository().mark(NOW, &open).unwrap();
            }
            let count = Cell::new(0);
            let door = |_: &str| {
                count.set(count.get() + 1);
                if count.get() == passage + 1 {
                    let other: Repository<'_> = world.repository();
                    other.mark(NOW, &open).unwrap();
                    other.sweep(LATER, 0, &open).unwrap();
                    other.sweep(LATER, 0, &open).unwrap();
                }
                Ok(())
            };
            let snapshot = back_up(&world.repository(), &tree, "writer", &door).unwrap().snapshot;
            let place = format!("at \"{name}\", marked before: {marked_before}");
            assert_eq!(world.restored(snapshot), describe(&tree), "{place}");
            all_is_well(&world);
            world.repository().sweep(LATER, 0, &open).unwrap();
            assert_eq!(world.restored(snapshot), describe(&tree), "{place}, swept again");
            all_is_well(&world);
        }
    }
}

/// A repository with packs that no snapshot needs, and a tree of the same content.
fn with_forgotten() -> (World, std::path::PathBuf) {
    let world = World::new();
    let tree = world.small_tree("tree", 23);
    fs::write(tree.join("large"), noise(24, 300_000)).unwrap();
    let snapshot = world.back_up(&tree).snapshot;
    world.repository().forget([snapshot], &open).unwrap();
    fs::write(tree.join("new"), noise(25, 140_000)).unwrap();
    (world, tree)
}

#[test]
fn a_backup_whose_session_is_gone_does_not_publish() {
    for passage in ["put pack", "put index", "put snapshot", "put snapshot done"] {
        let (world, tree) = with_forgotten();
        fs::write(tree.join("new"), noise(26, 600_000)).unwrap();
        let door = |name: &str| {
            if name == passage {
                for entry in fs::read_dir(world.store.root().join("sessions"))? {
                    fs::remove_file(entry?.path())?;
                }
            }
            Ok(())
        };
        let failed = back_up(&world.repository(), &tree, "writer", &door).unwrap_err();
        assert!(matches!(failed, BackupError::SessionOver { .. }), "{passage}: {failed}");
        assert!(world.repository().snapshots().unwrap().found.is_empty(), "{passage}");
    }
}

#[test]
fn a_newer_backup_of_the_same_name_ends_the_session_of_the_dead() {
    let (world, tree) = with_forgotten();
    let shut = Cell::new(false);
    let door = |name: &str| {
        shut.set(shut.get() || name == "put index");
        if shut.get() { Err(std::io::Error::other("dead")) } else { Ok(()) }
    };
    back_up(&world.repository(), &tree, "writer", &door).unwrap_err();
    let sessions = || fs::read_dir(world.store.root().join("sessions")).unwrap().count();
    assert_eq!(sessions(), 1);
    back_up(&world.repository(), &tree, "another", &open).unwrap();
    assert_eq!(sessions(), 1, "of another writer");
    let report = world.back_up(&tree);
    assert_eq!((sessions(), report.stored_bytes), (0, 0), "and what the dead had stored is used");
}
