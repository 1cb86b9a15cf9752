//! The life of volumes and lines, on both kinds of file system.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::time::Duration;

use openmesh_primitives::Timestamp;
use openmesh_volume::rules::{Protection, UNDO_MS, Wait, removable};
use openmesh_volume::{Asker, Fate, Id, Keeper, Kind, VolumeError, Writers, open};

use crate::world::{LARGE, OWNER, SMALL, World, fresh_id, may_grow_mounted_ext4, new_line, new_volume};

fn both_kinds(test: impl Fn(&World, Id, Kind)) {
    let Some(world) = World::new() else { return };
    for (bytes, kind) in [(SMALL, Kind::Ext4), (LARGE, Kind::Xfs)] {
        let id = world.make(bytes);
        let found = world.volumes.observe_one(id);
        assert_eq!((found.record.unwrap().kind, found.findings), (kind, vec![]));
        test(&world, id, kind);
        world.volumes.unmount(id, &open).unwrap();
        std::fs::remove_file(world.image(id)).unwrap();
    }
}

#[test]
fn a_volume_is_empty_reserved_and_its_owners() {
    both_kinds(|world, id, _| {
        let line = std::fs::metadata(world.volumes.line_folder(id, 1)).unwrap();
        assert_eq!((line.uid(), line.gid(), line.permissions().mode() & 0o7777), (OWNER.user, OWNER.group, OWNER.mode));
        let image = std::fs::metadata(world.image(id)).unwrap();
        assert!(image.blocks() * 512 >= image.len(), "all of it has blocks");
        let (devices, mounts) = world.in_kernel();
        assert_eq!((devices.len(), mounts.len()), (1, 1));
        world.write(id, 1, "a", "data");
        world.volumes.make(&new_volume(id, SMALL), &open).unwrap();
        world.volumes.mount(id, &open).unwrap();
        assert_eq!(world.read(id, 1, "a").as_deref(), Some("data"), "made and mounted twice, nothing changes");
        assert_eq!(world.in_kernel().0.len(), 1);
        world.volumes.unmount(id, &open).unwrap();
        world.volumes.unmount(id, &open).unwrap();
        world.assert_nothing_in_kernel();
        world.volumes.mount(id, &open).unwrap();
        assert_eq!(world.read(id, 1, "a").as_deref(), Some("data"));
    });
}

/// A process with a file open until its input ends; it has it when this returns.
fn reader(file: &std::path::Path) -> std::process::Child {
    let piped = || std::process::Stdio::piped();
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "exec 3<\"$1\"; echo ready; read -r _", "reader"]).arg(file).stdin(piped()).stdout(piped());
    let mut reader = command.spawn().unwrap();
    std::io::Read::read_exact(reader.stdout.as_mut().unwrap(), &mut [0; 6]).unwrap();
    reader
}

#[test]
fn a_volume_that_a_process_reads_stays_and_the_process_is_named() {
    both_kinds(|world, id, _| {
        world.write(id, 1, "orders", "one");
        let mut reader = reader(&world.volumes.line_folder(id, 1).join("orders"));
        match world.volumes.unmount(id, &open) {
            Err(VolumeError::Busy { holders, .. }) => assert_eq!(holders, [reader.id()]),
            other => panic!("{other:?}"),
        }
        assert_eq!(world.read(id, 1, "orders").as_deref(), Some("one"), "mounted as before");
        // One that is about to end is waited for.
        std::thread::scope(|scope| {
            let unmounted = scope.spawn(|| world.volumes.unmount(id, &open));
            drop(reader.stdin.take());
            unmounted.join().unwrap().unwrap();
        });
        reader.wait().unwrap();
        world.assert_nothing_in_kernel();
    });
}

#[test]
fn the_gate_works_on_a_clone_and_leaves_the_line_in_use() {
    both_kinds(|world, id, _| {
        let volumes = &world.volumes;
        world.write(id, 1, "orders", "one");
        volumes.promote(id, 1, Timestamp(1), &open).unwrap();
        world.snapshot(id, 1, 2);
        world.write(id, 2, "orders", "destroyed by the new version");
        assert_eq!(world.read(id, 1, "orders").as_deref(), Some("one"));
        assert_eq!(volumes.observe_one(id).in_use, Some(1));
        let none = BTreeSet::new();
        let stays = |line, asker, needed: &BTreeSet<u32>| match volumes.drop_line(id, line, asker, needed, &open) {
            Err(VolumeError::LineStays { why, .. }) => why,
            other => panic!("{other:?}"),
        };
        assert_eq!(stays(1, Asker::Person, &none), Protection::InUse);
        assert_eq!(stays(2, Asker::Machine, &[2].into()), Protection::Needed);
        volumes.drop_line(id, 2, Asker::Machine, &none, &open).unwrap();
        volumes.drop_line(id, 2, Asker::Machine, &none, &open).unwrap();
        assert!(!volumes.line_folder(id, 2).exists());

        world.snapshot(id, 1, 3);
        world.snapshot(id, 1, 3);
        volumes.promote(id, 3, Timestamp(7), &open).unwrap();
        volumes.restore(id, 1, &open).unwrap();
        assert_eq!(stays(3, Asker::Machine, &none), Protection::Admitted, "clients may have been told something");
        let found = volumes.observe_one(id);
        assert_eq!((found.in_use, found.lines[&3].admitted), (Some(1), Some(Timestamp(7))));
        assert!(removable(found.lines.values(), 1, &none).is_empty());
        volumes.drop_line(id, 3, Asker::Person, &none, &open).unwrap();
        assert_eq!(world.findings(id), vec![]);
        assert!(matches!(volumes.promote(id, 3, Timestamp(8), &open), Err(VolumeError::LineMissing { .. })));
        assert!(matches!(
            volumes.snapshot(id, &new_line(9, 10), Writers::Stopped, &open),
            Err(VolumeError::LineMissing { .. })
        ));
    });
}

#[test]
fn a_line_that_a_person_keeps_is_kept() {
    let Some(world) = World::new() else { return };
    let id = world.make(SMALL);
    world.snapshot(id, 1, 2);
    world.volumes.keep_line(id, 2, Keeper::Person, &open).unwrap();
    let dropped = world.volumes.drop_line(id, 2, Asker::Machine, &BTreeSet::new(), &open);
    assert!(matches!(dropped, Err(VolumeError::LineStays { why: Protection::Kept, .. })));
    let taken = world.volumes.snapshot(id, &new_line(2, 1), Writers::Stopped, &open);
    assert!(matches!(taken, Err(VolumeError::LineTaken { .. })));
    let long = "x".repeat(2_000);
    let new = openmesh_volume::NewLine { reason: &long, ..new_line(1, 3) };
    let refused = world.volumes.snapshot(id, &new, Writers::Stopped, &open);
    assert!(matches!(refused, Err(VolumeError::TextLong { .. })));
}

#[test]
fn blocks_are_shared_on_xfs_and_copied_on_ext4() {
    both_kinds(|world, id, kind| {
        let bytes = if kind == Kind::Xfs { 64 << 20 } else { 2 << 20 };
        let path = world.volumes.line_folder(id, 1).join("blob");
        std::fs::write(&path, vec![7; bytes]).unwrap();
        let free = |world: &World| world.volumes.observe_one(id).usage.unwrap().bytes_free;
        rustix::fs::syncfs(std::fs::File::open(&path).unwrap()).unwrap();
        let before = free(world);
        world.snapshot(id, 1, 2);
        let spent = before.saturating_sub(free(world));
        let (of_lines, shared) = world.volumes.line_bytes(id).unwrap();
        assert!(of_lines[&1] >= bytes as u64 && of_lines[&2] >= bytes as u64);
        match kind {
            Kind::Xfs => assert!(spent < 4 << 20 && shared > 40 << 20, "spent {spent}, shared {shared}"),
            Kind::Ext4 => assert!(spent >= bytes as u64 && shared == 0, "spent {spent}, shared {shared}"),
        }
        if kind == Kind::Ext4 {
            std::fs::write(&path, vec![7; 4 << 20]).unwrap();
            let refused = world.volumes.snapshot(id, &new_line(1, 3), Writers::Stopped, &open).unwrap_err();
            assert!(matches!(refused, VolumeError::NoRoom { .. }), "{refused}");
            assert_eq!(world.findings(id), vec![]);
        }
    });
}

#[test]
fn a_volume_grows_while_it_is_used() {
    both_kinds(|world, id, kind| {
        let volumes = &world.volumes;
        let mut used = std::fs::File::create(volumes.line_folder(id, 1).join("log")).unwrap();
        used.write_all(b"before ").unwrap();
        let before = volumes.observe_one(id);
        let bytes = before.record.unwrap().bytes;
        if kind == Kind::Ext4 && !may_grow_mounted_ext4() {
            used.write_all(b"after").unwrap();
            drop(used);
            world.grow(id, bytes + (32 << 20));
        } else {
            volumes.grow(id, bytes + (32 << 20), &open).unwrap();
            used.write_all(b"after").unwrap();
            drop(used);
        }
        volumes.grow(id, bytes + (32 << 20), &open).unwrap();
        let after = volumes.observe_one(id);
        assert!(after.usage.unwrap().bytes > before.usage.unwrap().bytes + (24 << 20));
        assert_eq!((after.record.unwrap().bytes, after.findings), (bytes + (32 << 20), vec![]));
        assert!(matches!(volumes.grow(id, bytes, &open), Err(VolumeError::Shrinks { .. })));
        volumes.unmount(id, &open).unwrap();
        let unmounted = volumes.grow(id, bytes + (64 << 20), &open);
        match kind {
            Kind::Ext4 => unmounted.unwrap(),
            Kind::Xfs => assert!(matches!(unmounted, Err(VolumeError::NotMounted { .. }))),
        }
        volumes.mount(id, &open).unwrap();
        assert_eq!(world.read(id, 1, "log").as_deref(), Some("before after"));
    });
}

#[test]
fn writers_stand_still_for_the_clone_and_go_on_whatever_comes_of_it() {
    let Some(world) = World::new() else { return };
    let id = world.make(SMALL);
    let said = std::cell::RefCell::new(Vec::new());
    let pause = || {
        said.borrow_mut().push("pause".to_string());
        world.write(id, 1, "last", "before the pause");
        Ok(())
    };
    let resume = || {
        said.borrow_mut().push("resume".to_string());
        Ok(())
    };
    let writers = Writers::Paused { pause: &pause, resume: &resume };
    let door = |effect: &str| {
        said.borrow_mut().push(effect.to_string());
        Ok(())
    };
    world.volumes.snapshot(id, &new_line(1, 2), writers, &door).unwrap();
    let words = said.take().join(", ");
    assert!(words.contains("begin clone done, clone, pause, resume, clone done, sync clone"), "{words}");
    assert_eq!(world.read(id, 2, "last").as_deref(), Some("before the pause"));
    let null = rustix::fs::makedev(1, 3);
    let line = world.volumes.line_folder(id, 1);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        line.join("null"),
        rustix::fs::FileType::CharacterDevice,
        rustix::fs::Mode::RUSR,
        null,
    )
    .unwrap();
    let refused = world.volumes.snapshot(id, &new_line(1, 3), writers, &open).unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!(
            "{} is a device, which no application can make: it is not copied. Remove it",
            line.join("null").display()
        )
    );
    assert_eq!(said.take(), ["pause", "resume"]);
    assert_eq!(world.findings(id), vec![], "nothing of it is left");
}

#[test]
fn a_removal_can_be_undone_for_a_day_by_both_clocks() {
    let Some(world) = World::new() else { return };
    let volumes = &world.volumes;
    let id = world.make(SMALL);
    world.write(id, 1, "a", "data");
    let day = Timestamp(i64::try_from(UNDO_MS).unwrap() * 1_000_000);
    let waits = |backed_up, now| match volumes.collect(id, backed_up, now, &open) {
        Err(VolumeError::Waits { wait, .. }) => wait,
        other => panic!("{other:?}"),
    };
    assert_eq!(waits(None, day), Wait::NotRemoved);
    volumes.remove(id, Fate::Wipe, "ann", Timestamp(0), &open).unwrap();
    volumes.remove(id, Fate::Wipe, "ann", Timestamp(9), &open).unwrap();
    world.assert_nothing_in_kernel();
    assert!(matches!(volumes.mount(id, &open), Err(VolumeError::Removed { .. })));
    assert_eq!(waits(None, Timestamp(day.nanos() * 365)), Wait::Undo { left_ms: UNDO_MS }, "a clock a year ahead");
    world.let_pass(id, UNDO_MS - 120_000);
    volumes.tick(id, Duration::from_secs(3_600), &open).unwrap();
    assert_eq!(waits(None, day), Wait::Undo { left_ms: 60_000 }, "one tick adds a minute at most");
    volumes.undo_remove(id, &open).unwrap();
    volumes.mount(id, &open).unwrap();
    assert_eq!(world.read(id, 1, "a").as_deref(), Some("data"));
    volumes.remove(id, Fate::Backup, "ann", Timestamp(0), &open).unwrap();
    world.let_pass(id, UNDO_MS);
    assert_eq!(waits(None, day), Wait::NoBackup);
    volumes.collect(id, Some(Timestamp(1)), day, &open).unwrap();
    volumes.collect(id, Some(Timestamp(1)), day, &open).unwrap();
    let found = volumes.observe().unwrap();
    assert_eq!(found, openmesh_volume::Found::default(), "and it is not missed");
    assert_eq!(std::fs::read_dir(volumes.root()).unwrap().count(), 2, "the lock and the folder of ids");
}

#[test]
fn a_volume_that_was_made_is_there_or_missing_and_never_made_anew() {
    let Some(world) = World::new() else { return };
    let id = world.make(SMALL);
    world.volumes.unmount(id, &open).unwrap();
    let folder = world.volumes.root().join(id.to_string());
    std::fs::rename(&folder, world.folder().join("elsewhere")).unwrap();
    assert_eq!(world.volumes.observe().unwrap().lost, [id].into());
    for lost in [world.volumes.make(&new_volume(id, SMALL), &open), world.volumes.mount(id, &open)] {
        assert!(matches!(lost, Err(VolumeError::Lost { .. })), "{lost:?}");
    }
    std::fs::rename(world.folder().join("elsewhere"), &folder).unwrap();
    world.volumes.mount(id, &open).unwrap();
    assert!(matches!(world.volumes.mount(fresh_id(), &open), Err(VolumeError::Unknown { .. })));
    let small = world.volumes.make(&new_volume(fresh_id(), 4096), &open);
    assert!(matches!(small, Err(VolumeError::BadSize { .. })));
}
