//! Stills for backups, restored data that become a line, last backups.

use std::cell::Cell;
use std::os::unix::fs::MetadataExt as _;

use openmesh_primitives::Timestamp;
use openmesh_volume::rules::UNDO_MS;
use openmesh_volume::{Fate, Keeper, RestoredLine, StillOf, VolumeError, Writers, open};

use crate::world::{LARGE, OWNER, SMALL, World};

fn restored(number: u32) -> RestoredLine<'static> {
    RestoredLine { number, reason: "a backup was restored", by: "ann", at: Timestamp(5), keeper: Keeper::Person }
}

#[test]
fn stills_of_several_volumes_are_of_one_pause_and_no_lines() {
    let Some(world) = World::new() else { return };
    let (small, large) = (world.make(SMALL), world.make(LARGE));
    world.write(small, 1, "a", "of the small one");
    world.write(large, 1, "b", "of the large one");
    let calls = Cell::new((0, 0));
    let pause = || {
        calls.set((calls.get().0 + 1, calls.get().1));
        Ok(())
    };
    let resume = || {
        calls.set((calls.get().0, calls.get().1 + 1));
        Ok(())
    };
    let lines = [StillOf { volume: small, line: 1 }, StillOf { volume: large, line: 1 }];
    let writers = Writers::Paused { pause: &pause, resume: &resume };
    let stills = world.volumes.stills(&lines, "backup", writers, &open).unwrap();
    assert_eq!((stills.len(), calls.get()), (2, (1, 1)));
    for still in &stills {
        let (name, content) = if still.volume == small { ("a", "of the small one") } else { ("b", "of the large one") };
        assert_eq!(std::fs::read_to_string(still.folder.join(name)).unwrap(), content);
        assert_eq!(std::fs::metadata(&still.folder).unwrap().uid(), OWNER.user);
        assert!(still.bytes > 0);
        // The line goes on, the still does not.
        world.write(still.volume, 1, name, "later");
        assert_eq!(std::fs::read_to_string(still.folder.join(name)).unwrap(), content);
        assert_eq!((world.findings(still.volume), world.volumes.observe_one(still.volume).lines.len()), (vec![], 1));
    }
    // The next one takes its place.
    let again = world.volumes.stills(&lines[..1], "backup", Writers::Stopped, &open).unwrap();
    assert_eq!(std::fs::read_to_string(again[0].folder.join("a")).unwrap(), "later");
    for still in &stills {
        world.volumes.clear_scratch(still.volume, "backup", &open).unwrap();
        world.volumes.clear_scratch(still.volume, "backup", &open).unwrap();
        assert!(!still.folder.exists());
    }
    // One that cannot be made leaves none of the others, and the writers go on.
    let lacking = [lines[0], StillOf { volume: large, line: 7 }];
    let failed = world.volumes.stills(&lacking, "backup", writers, &open);
    assert!(matches!(failed, Err(VolumeError::LineMissing { line: 7, .. })), "{failed:?}");
    assert!(stills.iter().all(|still| !still.folder.exists()));
    assert_eq!(calls.get().0, calls.get().1);
    let named = world.volumes.stills(&lines, "../lines", Writers::Stopped, &open);
    assert!(matches!(named, Err(VolumeError::Io { .. })), "{named:?}");
}

#[test]
fn restored_data_become_a_line_that_no_plan_takes_away() {
    let Some(world) = World::new() else { return };
    let id = world.make(SMALL);
    world.write(id, 1, "a", "present");
    let place = world.volumes.scratch_place(id, "restore", &open).unwrap();
    std::fs::create_dir(&place).unwrap();
    std::fs::write(place.join("a"), "restored").unwrap();
    world.volumes.adopt(id, "restore", &restored(2), &open).unwrap();
    world.volumes.adopt(id, "restore", &restored(2), &open).unwrap();
    assert_eq!((world.read(id, 1, "a"), world.read(id, 2, "a")), (Some("present".into()), Some("restored".into())));
    let found = world.volumes.observe_one(id);
    assert_eq!((found.findings.clone(), found.in_use, found.lines[&2].parent), (vec![], Some(1), None));
    assert!(found.as_blueprint(None).lines[&2].admitted, "a person keeps it");
    assert!(!found.as_blueprint(None).lines[&1].admitted);
    world.volumes.restore(id, 2, &open).unwrap();
    assert_eq!(world.volumes.observe_one(id).in_use, Some(2));
    // A number that is taken, and nothing to adopt.
    let place = world.volumes.scratch_place(id, "restore", &open).unwrap();
    std::fs::create_dir(&place).unwrap();
    let taken = world.volumes.adopt(id, "restore", &restored(1), &open);
    assert!(matches!(taken, Err(VolumeError::NumberTaken { line: 1, .. })), "{taken:?}");
    world.volumes.clear_scratch(id, "restore", &open).unwrap();
    let nothing = world.volumes.adopt(id, "restore", &restored(3), &open);
    assert!(matches!(nothing, Err(VolumeError::Io { .. })), "{nothing:?}");
    assert_eq!(world.volumes.observe_one(id).lines.len(), 2);
}

#[test]
fn a_death_at_any_effect_of_an_adoption_leaves_a_whole_line_or_none() {
    let Some(world) = World::new() else { return };
    let id = world.make(SMALL);
    for at in 0.. {
        let number = at + 2;
        let place = world.volumes.scratch_place(id, "restore", &open).unwrap();
        std::fs::create_dir(&place).unwrap();
        std::fs::write(place.join("a"), "restored").unwrap();
        let passed = Cell::new(0);
        let door = |_: &str| {
            passed.set(passed.get() + 1);
            if passed.get() > at { Err(std::io::Error::other("dies here")) } else { Ok(()) }
        };
        let done = world.volumes.adopt(id, "restore", &restored(number), &door);
        world.volumes.repair(id, &open).unwrap();
        let found = world.volumes.observe_one(id);
        assert_eq!(found.findings, vec![]);
        let content = world.read(id, number, "a");
        assert_eq!(content.is_some(), found.lines.contains_key(&number));
        assert!(content.is_none_or(|content| content == "restored"));
        if done.is_ok() {
            assert!(found.lines.contains_key(&number) && at > 3);
            break;
        }
    }
}

#[test]
fn a_last_backup_lets_a_removed_volume_go_and_a_scratch_volume_goes_at_once() {
    let Some(world) = World::new() else { return };
    let id = world.make(SMALL);
    world.write(id, 1, "a", "data");
    world.volumes.remove(id, Fate::Backup, "ann", Timestamp(10), &open).unwrap();
    assert!(matches!(world.volumes.mount(id, &open), Err(VolumeError::Removed { .. })));
    world.volumes.mount_for_backup(id, &open).unwrap();
    assert_eq!(world.read(id, 1, "a").as_deref(), Some("data"));
    world.let_pass(id, UNDO_MS);
    let day = Timestamp(10 + i64::try_from(UNDO_MS).unwrap() * 1_000_000);
    assert!(matches!(world.volumes.collect(id, None, day, &open), Err(VolumeError::Waits { .. })));
    // Its still is of before this removal, whatever its clock says.
    for removed in [None, Some(Timestamp(8))] {
        world.volumes.note_backup(id, Timestamp(99), removed, &open).unwrap();
        assert!(matches!(world.volumes.collect(id, None, day, &open), Err(VolumeError::Waits { .. })));
    }
    world.volumes.note_backup(id, Timestamp(11), Some(Timestamp(10)), &open).unwrap();
    assert_eq!(world.volumes.observe_one(id).backed_up, Some(Timestamp(11)));
    world.volumes.collect(id, None, day, &open).unwrap();
    let other = world.make(SMALL);
    assert_eq!(world.volumes.ids().unwrap(), vec![other]);
    // A backup by a clock that was a year ahead does not count for a removal that comes after it, and one by a clock that was set back does.
    world.volumes.note_backup(other, Timestamp(i64::MAX), None, &open).unwrap();
    world.volumes.remove(other, Fate::Backup, "ann", Timestamp(20), &open).unwrap();
    assert_eq!(world.volumes.observe_one(other).backed_up, None);
    world.volumes.note_backup(other, Timestamp(3), Some(Timestamp(20)), &open).unwrap();
    assert_eq!(world.volumes.observe_one(other).backed_up, Some(Timestamp(20)));
    world.volumes.erase(other, &open).unwrap();
    world.volumes.erase(other, &open).unwrap();
    assert_eq!(world.volumes.ids().unwrap(), vec![]);
    world.assert_nothing_in_kernel();
}
