//! Many volumes in one look: mounts and devices of the machine are read once for all, and each volume is found as it is.

use std::fs;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use openmesh_primitives::Timestamp;
use openmesh_volume::{Fate, Finding, Id, open};

use crate::world::{SMALL, World};

/// Calls of this thread by which it has read so far; none where the kernel does not count them.
fn reads() -> Option<u64> {
    let text = fs::read_to_string("/proc/thread-self/io").ok()?;
    text.lines().find_map(|line| line.strip_prefix("syscr: "))?.parse().ok()
}

/// Fewest calls of some looks: other tests have devices of their own, which are read in each look.
fn reads_of_a_look(world: &World) -> u64 {
    let one = || {
        let before = reads().unwrap();
        world.volumes.observe().unwrap();
        reads().unwrap() - before
    };
    (0..5).map(|_| one()).min().unwrap()
}

#[test]
fn a_look_at_many_volumes_reads_the_machine_once() {
    let Some(world) = World::new() else { return };
    if reads().is_none() {
        return println!("skipped: the kernel does not count what is read");
    }
    world.make(SMALL);
    let one = reads_of_a_look(&world);
    for _ in 0..4 {
        world.make(SMALL);
    }
    let five = reads_of_a_look(&world);
    // Some twenty for the marks, the image and the device of each; read for each, the devices of all would be five times as many again.
    assert!(five < one + 4 * 50, "{one} reads for one volume, {five} for five");
}

/// Findings of a volume in a look at all of them.
fn found(world: &World, id: Id) -> Vec<Finding> {
    let mut all = world.volumes.observe().unwrap().volumes;
    let found = all.remove(&id).unwrap();
    assert_eq!(found, world.volumes.observe_one(id), "as it is found by itself");
    assert!(all.values().all(|other| other.findings.is_empty()), "the others are sound: {all:?}");
    found.findings
}

/// Volumes with a room that is known.
fn rooms(world: &World) -> Vec<Id> {
    let mut ids: Vec<Id> = world.volumes.rooms().unwrap().into_iter().map(|(record, _)| record.id).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn what_somebody_does_to_one_of_many_is_found_by_the_next_look() {
    let Some(world) = World::new() else { return };
    let [one, two, three] = [0; 3].map(|_| world.make(SMALL));
    let mut all = vec![one, two, three];
    all.sort_unstable();
    assert_eq!((found(&world, two), rooms(&world)), (vec![], all.clone()));
    let without = |id: Id| all.iter().copied().filter(|other| *other != id).collect::<Vec<_>>();
    let point = world.mount_point(two);
    let nothing: Option<&str> = None;
    mount(Some("strange"), &point, Some("tmpfs"), MsFlags::empty(), nothing).unwrap();
    assert_eq!(found(&world, two), [Finding::Occupied { by: "strange (tmpfs)".into() }]);
    assert_eq!(rooms(&world), without(two), "what is in its place is not its room");
    umount2(&point, MntFlags::empty()).unwrap();
    mount(nothing, &point, nothing, MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY, nothing).unwrap();
    assert_eq!(found(&world, two), [Finding::Stopped]);
    mount(nothing, &point, nothing, MsFlags::MS_REMOUNT, nothing).unwrap();
    assert_eq!(found(&world, two), vec![]);
    umount2(&point, MntFlags::empty()).unwrap();
    assert_eq!(found(&world, two), [Finding::NotMounted]);
    assert_eq!(rooms(&world), without(two));
    world.volumes.mount(two, &open).unwrap();
    assert_eq!((found(&world, two), rooms(&world)), (vec![], all.clone()));
    let (image, aside) = (world.image(three), world.folder().join("aside"));
    fs::rename(&image, &aside).unwrap();
    assert!(!found(&world, three).is_empty(), "its image has another name");
    fs::rename(&aside, &image).unwrap();
    assert_eq!(found(&world, three), vec![]);
    world.volumes.remove(one, Fate::Keep, "ann", Timestamp(0), &open).unwrap();
    assert_eq!(rooms(&world), without(one), "one that was removed has none");
}
