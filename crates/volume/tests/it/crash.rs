//! Death and errors of the system at every door, then what is there: the old state or the new, never half.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io;
use std::process::Command;
use std::str::FromStr as _;

use openmesh_primitives::Timestamp;
use openmesh_volume::rules::UNDO_MS;
use openmesh_volume::{Asker, Door, Fate, Finding, Id, VolumeError, Volumes, Writers, loops, open};

use crate::world::{LARGE, SMALL, World, fresh_id, in_time, may_grow_mounted_ext4, new_line, new_volume};

/// Variable with the order for a process that is to die: `root|instance|act|id|door|count`.
const ORDER: &str = "OPENMESH_VOLUME_TEST_DEATH";
/// A day by the wall clock.
const DAY: Timestamp = Timestamp(86_400_000_000_000);

/// Things that are done to a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Make,
    Mount,
    Unmount,
    Grow,
    Snapshot,
    Promote,
    Restore,
    Drop,
    Remove,
    Undo,
    Collect,
    Repair,
    Freeze,
}

const ACTS: [Act; 13] = [
    Act::Make,
    Act::Mount,
    Act::Unmount,
    Act::Grow,
    Act::Snapshot,
    Act::Promote,
    Act::Restore,
    Act::Drop,
    Act::Remove,
    Act::Undo,
    Act::Collect,
    Act::Repair,
    Act::Freeze,
];

fn grown() -> u64 {
    SMALL * 2
}

/// Brings a volume into the state in which an act makes sense.
fn prepare(world: &World, act: Act) -> Id {
    let volumes = &world.volumes;
    if act == Act::Make {
        return fresh_id();
    }
    let id = world.make(SMALL);
    world.write(id, 1, "orders", "acknowledged");
    volumes.promote(id, 1, Timestamp(1), &open).unwrap();
    match act {
        Act::Mount => volumes.unmount(id, &open).unwrap(),
        Act::Promote | Act::Drop => world.snapshot(id, 1, 2),
        Act::Restore => {
            world.snapshot(id, 1, 2);
            volumes.promote(id, 2, Timestamp(2), &open).unwrap();
        }
        Act::Undo => volumes.remove(id, Fate::Wipe, "ann", Timestamp(0), &open).unwrap(),
        Act::Collect => {
            volumes.remove(id, Fate::Wipe, "ann", Timestamp(0), &open).unwrap();
            world.let_pass(id, UNDO_MS);
        }
        Act::Repair => {
            volumes.unmount(id, &open).unwrap();
            let file = std::fs::OpenOptions::new().write(true).open(world.image(id)).unwrap();
            // A hole at the end of the image, where nothing is yet.
            let hole = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
            rustix::fs::fallocate(&file, hole, SMALL - (64 << 10), 64 << 10).unwrap();
        }
        _ => {}
    }
    id
}

fn perform(volumes: &Volumes, act: Act, id: Id, door: Door<'_>) -> Result<(), VolumeError> {
    let none = BTreeSet::new();
    match act {
        Act::Make => volumes.make(&new_volume(id, SMALL), door),
        Act::Mount => volumes.mount(id, door),
        Act::Unmount => volumes.unmount(id, door),
        Act::Grow if may_grow_mounted_ext4() => volumes.grow(id, grown(), door),
        Act::Grow => {
            volumes.unmount(id, &open)?;
            volumes.grow(id, grown(), door)?;
            volumes.mount(id, &open)
        }
        Act::Snapshot => volumes.snapshot(id, &new_line(1, 2), Writers::Stopped, door),
        Act::Promote => volumes.promote(id, 2, Timestamp(3), door),
        Act::Restore => volumes.restore(id, 1, door),
        Act::Drop => volumes.drop_line(id, 2, Asker::Machine, &none, door),
        Act::Remove => volumes.remove(id, Fate::Wipe, "ann", Timestamp(0), door),
        Act::Undo => volumes.undo_remove(id, door),
        Act::Collect => volumes.collect(id, None, DAY, door),
        Act::Repair => volumes.repair(id, door).map(drop),
        Act::Freeze => volumes.freeze(id, door)?.thaw(),
    }
}

/// Does as an agent after a start: tidies, then mends each volume.
fn converge(volumes: &Volumes, door: Door<'_>) -> Result<(), VolumeError> {
    volumes.tidy(door)?;
    for id in volumes.observe()?.volumes.into_keys() {
        volumes.repair(id, door)?;
    }
    Ok(())
}

/// Holds what is there after a broken act and convergence against the two states that it may have: before and after.
fn check_old_or_new(world: &World, act: Act, id: Id) {
    let volumes = &world.volumes;
    let all = volumes.observe().unwrap();
    assert_eq!((all.unfinished, all.lost), (vec![], BTreeSet::new()), "{act:?}");
    let image_devices = |id: Id| {
        let folder = volumes.root().join(id.to_string());
        loops::list().unwrap().into_iter().filter(|device| device.file.starts_with(&folder)).collect::<Vec<_>>()
    };
    let Some(found) = all.volumes.get(&id) else {
        assert!(matches!(act, Act::Make | Act::Collect), "{act:?}: the volume is gone");
        return;
    };
    assert_eq!(found.findings, vec![], "{act:?}");
    if found.removal.is_some() {
        assert!(matches!(act, Act::Remove | Act::Undo | Act::Collect));
        assert_eq!((found.mounted, image_devices(id)), (false, vec![]));
        return;
    }
    let devices = image_devices(id);
    assert!(devices.len() == 1 && devices[0].autoclear, "{act:?}: {devices:?}");
    let lines: Vec<u32> = found.lines.keys().copied().collect();
    if act != Act::Make {
        assert_eq!(world.read(id, 1, "orders").as_deref(), Some("acknowledged"), "{act:?}");
        assert_eq!(found.lines[&1].admitted, Some(Timestamp(1)));
    }
    if let Some(line) = found.lines.get(&2) {
        assert_eq!(world.read(id, 2, "orders").as_deref(), Some("acknowledged"), "{act:?}: a whole clone");
        assert!(line.admitted.is_some() || found.in_use == Some(1), "in use only with its mark");
    }
    let expected: &[&[u32]] = match act {
        Act::Snapshot | Act::Drop => &[&[1], &[1, 2]],
        Act::Promote | Act::Restore => &[&[1, 2]],
        _ => &[&[1]],
    };
    assert!(expected.contains(&&lines[..]), "{act:?}: {lines:?}");
    let bytes = found.record.as_ref().unwrap().bytes;
    assert!(bytes == SMALL || (act == Act::Grow && bytes == grown()));
}

/// The act is called again and must get to its end.
fn check_new(world: &World, act: Act, id: Id) {
    let volumes = &world.volumes;
    in_time(|| perform(volumes, act, id, &open));
    let all = volumes.observe().unwrap();
    let found = all.volumes.get(&id);
    let Some(found) = found else {
        assert_eq!(act, Act::Collect);
        assert!(!all.lost.contains(&id), "forgotten, not lost");
        return;
    };
    assert!(act != Act::Collect);
    let unmounted = matches!(act, Act::Unmount | Act::Remove | Act::Undo);
    if act == Act::Undo && found.mounted {
        volumes.unmount(id, &open).unwrap();
        return;
    }
    assert_eq!(found.mounted, !unmounted, "{act:?}");
    assert_eq!(found.removal.is_some(), act == Act::Remove);
    let expected = if unmounted && act != Act::Remove { vec![Finding::NotMounted] } else { vec![] };
    assert_eq!(found.findings, expected, "{act:?}");
    let lines: Vec<u32> = found.lines.keys().copied().collect();
    let has_two = matches!(act, Act::Snapshot | Act::Promote | Act::Restore);
    assert_eq!(lines, if has_two { vec![1, 2] } else { vec![1] }, "{act:?}");
    assert_eq!(found.in_use, Some(if act == Act::Promote { 2 } else { 1 }));
    if act == Act::Promote {
        assert_eq!(found.lines[&2].admitted, Some(Timestamp(3)));
    }
    assert_eq!(found.record.as_ref().unwrap().bytes, if act == Act::Grow { grown() } else { SMALL });
}

fn clear(world: &World, id: Id) {
    let folder = world.volumes.root().join(id.to_string());
    crate::world::sweep(&folder);
    let _ = std::fs::remove_dir_all(folder);
    let _ = std::fs::remove_file(world.volumes.root().join("made").join(id.to_string()));
}

/// A passage through a door, named by the door and how often it was passed before: others of the same act may come and go with the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Passage {
    /// Name of the door; every door, where it is empty.
    door: String,
    before: usize,
}

impl Passage {
    fn any(before: usize) -> Passage {
        Passage { door: String::new(), before }
    }

    /// A device detaches itself some time after its last mount, and only one that has not yet done so is detached by hand.
    fn may_be_left_out(&self) -> bool {
        let effect = self.door.strip_suffix(" done").unwrap_or(&self.door);
        ["detach", "detach left"].contains(&effect)
    }

    /// Counts a passage; true at this one.
    fn is_now(&self, door: &str, count: &Cell<usize>) -> bool {
        if !self.door.is_empty() && self.door != door {
            return false;
        }
        count.set(count.get() + 1);
        count.get() == self.before + 1
    }
}

/// Passages of an act, in order.
fn passages(world: &World, act: Act) -> Vec<Passage> {
    let id = prepare(world, act);
    let passed = RefCell::new(Vec::<Passage>::new());
    let door = |name: &str| {
        let mut passed = passed.borrow_mut();
        let before = passed.iter().filter(|passage| passage.door == name).count();
        passed.push(Passage { door: name.to_string(), before });
        Ok(())
    };
    perform(&world.volumes, act, id, &door).unwrap();
    clear(world, id);
    passed.take()
}

/// A door that fails once, at a passage.
fn failing_at(passage: &Passage, error: rustix::io::Errno) -> impl Fn(&str) -> io::Result<()> {
    let count = Cell::new(0);
    move |name| if passage.is_now(name, &count) { Err(error.into()) } else { Ok(()) }
}

/// Does an act in a process that dies by SIGKILL at a passage. Returns true where it came to its end before.
fn die_at(world: &World, act: &str, id: Id, passage: &Passage) -> bool {
    let Passage { door, before } = passage;
    let order = format!("{}|{}|{act}|{id}|{door}|{before}", world.volumes.root().display(), crate::world::instance());
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["crash::the_process_that_dies", "--exact", "--ignored", "--nocapture"]).env(ORDER, order);
    let output = child.output().unwrap();
    let killed = std::os::unix::process::ExitStatusExt::signal(&output.status) == Some(9);
    assert!(killed || output.status.success(), "{act} at {passage:?}: {}", String::from_utf8_lossy(&output.stderr));
    !killed
}

#[test]
#[ignore = "it is started by other tests, and dies"]
fn the_process_that_dies() {
    let Ok(order) = std::env::var(ORDER) else { return };
    let parts: Vec<&str> = order.split('|').collect();
    let [root, instance, act, id, door, before] = parts[..] else { panic!("{order}") };
    let volumes = Volumes::open(root.as_ref(), instance).unwrap();
    let passage = Passage { door: door.to_string(), before: before.parse().unwrap() };
    let id = Id::from_str(id).unwrap();
    let count = Cell::new(0);
    let door = |name: &str| {
        if passage.is_now(name, &count) {
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
        }
        Ok(())
    };
    match ACTS.into_iter().find(|candidate| format!("{candidate:?}") == act) {
        Some(act) => perform(&volumes, act, id, &door).unwrap(),
        None => converge(&volumes, &door).unwrap(),
    }
}

#[test]
fn death_at_every_door_leaves_the_old_or_the_new() {
    let Some(world) = World::new() else { return };
    let mut deaths = 0;
    for act in ACTS {
        for passage in passages(&world, act) {
            let id = prepare(&world, act);
            let ended = die_at(&world, &format!("{act:?}"), id, &passage);
            assert!(!ended || passage.may_be_left_out(), "{act:?} at {passage:?}");
            converge(&world.volumes, &open).unwrap();
            check_old_or_new(&world, act, id);
            check_new(&world, act, id);
            clear(&world, id);
            deaths += usize::from(!ended);
        }
    }
    eprintln!("{deaths} deaths");
    assert!(deaths >= 90, "every act has its doors: {deaths}");
}

#[test]
fn errors_at_every_door_leave_the_old_or_the_new() {
    let Some(world) = World::new() else { return };
    use rustix::io::Errno;
    let mut errors = 0;
    for act in ACTS {
        for (number, passage) in passages(&world, act).iter().enumerate() {
            let id = prepare(&world, act);
            let mut kinds = [Errno::NOSPC, Errno::IO, Errno::PERM];
            kinds.rotate_left(number % 3);
            // The first at a fresh volume, the others at what it left: the same door again, where the act begins anew, or one further on.
            for (time, error) in kinds.into_iter().enumerate() {
                match perform(&world.volumes, act, id, &failing_at(passage, error)) {
                    Err(failed) => {
                        assert_eq!(
                            failed.system_error(),
                            Some(error.raw_os_error()),
                            "{act:?} at {passage:?}: {failed}"
                        );
                        errors += 1;
                    }
                    Ok(()) => assert!(time > 0 || passage.may_be_left_out(), "{act:?} at {passage:?}"),
                }
            }
            // Each second one is tried again at once, as the executor does; the others after a look at everything.
            if number % 2 == 0 {
                converge(&world.volumes, &open).unwrap();
                check_old_or_new(&world, act, id);
            }
            check_new(&world, act, id);
            clear(&world, id);
        }
    }
    eprintln!("{errors} errors");
}

#[test]
fn two_deaths_in_a_row_leave_the_old_or_the_new() {
    let Some(world) = World::new() else { return };
    for act in [Act::Make, Act::Snapshot, Act::Drop, Act::Collect] {
        let count = passages(&world, act).len();
        for (passage, second) in (1..count).step_by(3).flat_map(|first| [(first, 1), (first, 4)]) {
            let id = prepare(&world, act);
            die_at(&world, &format!("{act:?}"), id, &Passage::any(passage));
            die_at(&world, "converge", id, &Passage::any(second));
            converge(&world.volumes, &open).unwrap();
            check_old_or_new(&world, act, id);
            check_new(&world, act, id);
            clear(&world, id);
        }
    }
}

#[test]
fn death_while_an_xfs_line_is_cloned() {
    let Some(world) = World::new() else { return };
    let id = world.make(LARGE);
    world.write(id, 1, "orders", "acknowledged");
    for passage in 0..12 {
        let ended = die_at(&world, "Snapshot", id, &Passage::any(passage));
        converge(&world.volumes, &open).unwrap();
        assert_eq!(world.findings(id), vec![]);
        let lines = world.volumes.observe_one(id).lines;
        if lines.contains_key(&2) {
            assert_eq!(world.read(id, 2, "orders").as_deref(), Some("acknowledged"));
            world.volumes.drop_line(id, 2, Asker::Machine, &BTreeSet::new(), &open).unwrap();
        }
        assert!(!ended || passage >= 10, "{passage}");
    }
}
