//! Every finding, made in earnest, and what comes of it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Command, Stdio};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use openmesh_volume::{Finding, Remedy, VolumeError, Writers, open};
use rustix::fs::FallocateFlags;

use crate::world::{LARGE, SMALL, World, new_line, new_volume, run};

/// Holds the mounts below one folder in a mount namespace of its own, and lets go of those of agents and other tests.
const HOLDER: &str = r#"
sed -nE 's@^([^ ]+ ){4}([^ ]+) .* - (nsfs |overlay openmesh ).*@\2@p' /proc/self/mountinfo | while read -r point; do umount -l "$point"; done 2>/dev/null
grep -o ' /[^ ]*/openmesh-[^ ]*' /proc/self/mountinfo | grep -v "$1" | sort -r | while read -r point; do umount -l "$point"; done 2>/dev/null
grep ' - [^ ]* /dev/loop' /proc/self/mountinfo | cut -d ' ' -f 5 | grep "^${TMPDIR:-/tmp}/" | grep -v "$1" | sort -r | while read -r point; do umount -l "$point"; done 2>/dev/null
echo ready
read -r _
"#;

#[test]
fn without_image_marker_or_line_a_volume_is_held_and_never_empty() {
    let Some(world) = World::new() else { return };
    let id = world.make(SMALL);
    let volumes = &world.volumes;
    let (image, aside) = (world.image(id), world.folder().join("aside"));
    volumes.unmount(id, &open).unwrap();
    let held = |expected: &str| {
        let found = volumes.observe_one(id);
        assert_eq!(found.remedy(), Some(Remedy::Hold), "{:?}", found.findings);
        assert!(!found.as_blueprint(None).marked);
        let words: Vec<String> = found.findings.iter().map(Finding::to_string).collect();
        assert_eq!(words.join("; "), expected);
        assert_eq!(volumes.repair(id, &open).unwrap(), found, "nothing is repaired");
        assert!(volumes.mount(id, &open).is_err());
        assert_eq!(world.in_kernel().1.len(), 0, "not mounted");
        assert!(volumes.make(&new_volume(id, SMALL), &open).is_err(), "and not made anew");
    };
    fs::rename(&image, &aside).unwrap();
    held("its image is missing; bring it back or restore a backup");
    fs::copy(&aside, &image).unwrap();
    fs::OpenOptions::new().write(true).open(&image).unwrap().set_len(SMALL / 2).unwrap();
    held("its image has 4 MiB of 8 MiB; restore a backup");
    let other = world.make(SMALL);
    volumes.unmount(other, &open).unwrap();
    fs::copy(world.image(other), &image).unwrap();
    held(&format!("its image holds ext4 of {other}; another file is in its place"));
    fs::write(&image, vec![0; SMALL as usize]).unwrap();
    held("its image holds no file system that is known; another file is in its place");
    fs::rename(&aside, &image).unwrap();
    volumes.mount(id, &open).unwrap();
    assert_eq!(world.findings(id), vec![]);
}

#[test]
fn a_file_system_without_its_marker_or_a_line_is_held() {
    let Some(world) = World::new() else { return };
    let id = world.make(SMALL);
    let volumes = &world.volumes;
    let (marker, lines) = (world.mount_point(id).join("volume.json"), world.mount_point(id).join("lines"));
    let text = fs::read_to_string(&marker).unwrap();
    let unmarked = |content: Option<&str>, expected: &str| {
        match content {
            Some(content) => fs::write(&marker, content).unwrap(),
            None => fs::remove_file(&marker).unwrap(),
        }
        let words: Vec<String> = world.findings(id).iter().map(Finding::to_string).collect();
        assert!(words.len() == 1 && words[0].contains(expected), "{words:?}");
        assert!(matches!(volumes.mount(id, &open), Err(VolumeError::Unmarked { .. })));
        fs::write(&marker, &text).unwrap();
    };
    unmarked(None, "it has no marker");
    unmarked(Some("{\"version\":1"), "its marker is damaged");
    let other = text.replace(&id.to_string(), &"0".repeat(32));
    unmarked(Some(&other), "its marker is that of 00000000000000000000000000000000");
    // Unmounted, the file system is looked into before anybody sees it mounted.
    fs::remove_file(&marker).unwrap();
    volumes.unmount(id, &open).unwrap();
    assert!(matches!(volumes.mount(id, &open), Err(VolumeError::Unmarked { .. })));
    world.assert_nothing_in_kernel();
    // Mounted by hand and mended.
    fs::create_dir_all(world.folder().join("hand")).unwrap();
    let hand = world.folder().join("hand");
    run("mount", &["-o", "loop", world.image(id).to_str().unwrap(), hand.to_str().unwrap()]);
    fs::write(hand.join("volume.json"), &text).unwrap();
    umount2(&hand, MntFlags::empty()).unwrap();
    volumes.mount(id, &open).unwrap();
    assert_eq!(world.findings(id), vec![]);

    fs::rename(lines.join("1"), lines.join("old")).unwrap();
    let found = volumes.observe_one(id);
    let expected = [Finding::LineGone { line: 1 }, Finding::LineUnknown { name: "old".into() }];
    assert_eq!((found.findings.as_slice(), found.remedy()), (&expected[..], Some(Remedy::Hold)));
    fs::rename(lines.join("old"), lines.join("1")).unwrap();
    let pointer = volumes.root().join(id.to_string()).join("in-use");
    fs::write(&pointer, "7").unwrap();
    assert_eq!(world.findings(id), [Finding::PointerAstray { line: 7 }]);
    volumes.restore(id, 1, &open).unwrap();
    fs::write(volumes.root().join(id.to_string()).join("lines/1.json"), "{}").unwrap();
    assert_eq!(volumes.observe_one(id).remedy(), Some(Remedy::Hold));
}

#[test]
fn somebody_elses_mount_in_its_place_is_seen_and_left() {
    let Some(world) = World::new() else { return };
    let id = world.make(SMALL);
    let point = world.mount_point(id);
    let nothing: Option<&str> = None;
    mount(Some("strange"), &point, Some("tmpfs"), MsFlags::empty(), nothing).unwrap();
    assert_eq!(world.findings(id), [Finding::Occupied { by: "strange (tmpfs)".into() }]);
    for refused in [world.volumes.mount(id, &open), world.volumes.unmount(id, &open)] {
        assert!(matches!(refused, Err(VolumeError::Occupied { .. })), "{refused:?}");
    }
    umount2(&point, MntFlags::empty()).unwrap();
    assert_eq!(world.findings(id), vec![]);
}

#[test]
fn an_image_that_was_removed_in_use_is_not_unmounted_and_can_be_brought_back() {
    let Some(world) = World::new() else { return };
    let id = world.make(SMALL);
    let volumes = &world.volumes;
    world.write(id, 1, "orders", "acknowledged");
    let (image, node, point) = (world.image(id), world.node(id), world.mount_point(id));
    fs::remove_file(&image).unwrap();
    let found = volumes.observe_one(id);
    let removed = Finding::ImageRemoved { image: image.clone(), node: node.clone() };
    assert_eq!((found.findings.as_slice(), found.remedy()), (&[removed][..], Some(Remedy::Hold)));
    assert!(!found.as_blueprint(None).marked);
    assert_eq!(volumes.repair(id, &open).unwrap(), found, "nothing is repaired");
    let remove = volumes.remove(id, openmesh_volume::Fate::Wipe, "ann", openmesh_primitives::Timestamp(0), &open);
    for refused in [volumes.unmount(id, &open), volumes.mount(id, &open), remove] {
        let error = refused.unwrap_err();
        assert!(matches!(error, VolumeError::ImageRemoved { .. }), "{error}");
        let expected =
            format!("copy {} to {}, and only then unmount {}", node.display(), image.display(), point.display());
        assert!(error.to_string().ends_with(&expected), "{error}");
    }
    // As it says.
    world.write(id, 1, "orders", "acknowledged since");
    run("sync", &["-f", point.to_str().unwrap()]);
    run("dd", &[&format!("if={}", node.display()), &format!("of={}", image.display()), "bs=1M", "status=none"]);
    assert!(matches!(volumes.unmount(id, &open), Err(VolumeError::ImageRemoved { .. })), "another file has the name");
    umount2(&point, MntFlags::empty()).unwrap();
    volumes.mount(id, &open).unwrap();
    assert_eq!(world.findings(id), vec![]);
    assert_eq!(world.read(id, 1, "orders").as_deref(), Some("acknowledged since"));
}

#[test]
fn a_volume_behind_a_link_is_held_before_anything_is_attached() {
    let Some(world) = World::new() else { return };
    let id = world.make(SMALL);
    world.volumes.unmount(id, &open).unwrap();
    let (folder, elsewhere) = (world.volumes.root().join(id.to_string()), world.folder().join("elsewhere"));
    fs::rename(&folder, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &folder).unwrap();
    for refused in [world.volumes.mount(id, &open), world.volumes.make(&new_volume(id, SMALL), &open)] {
        assert!(matches!(refused, Err(VolumeError::FolderLinked { .. })), "{refused:?}");
    }
    assert_eq!(world.volumes.observe_one(id).remedy(), Some(Remedy::Hold));
    world.assert_nothing_in_kernel();
    fs::remove_file(&folder).unwrap();
    fs::rename(&elsewhere, &folder).unwrap();
    world.volumes.mount(id, &open).unwrap();
    assert_eq!(world.findings(id), vec![]);
}

#[test]
fn a_stopped_xfs_is_mounted_again_once_nobody_uses_it() {
    let Some(world) = World::new() else { return };
    let id = world.make(LARGE);
    world.write(id, 1, "orders", "acknowledged");
    run("xfs_io", &["-x", "-c", "shutdown", world.mount_point(id).to_str().unwrap()]);
    assert_eq!(world.findings(id), [Finding::Stopped]);
    let refused = world.volumes.snapshot(id, &new_line(1, 2), Writers::Stopped, &open);
    assert!(matches!(refused, Err(VolumeError::Failed { .. })), "{refused:?}");
    // An instance in a mount namespace of its own still has it.
    let mut holder = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", HOLDER, "holder"])
        .arg(world.folder())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = [0; 6];
    std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut ready).unwrap();
    match world.volumes.repair(id, &open) {
        Err(VolumeError::Busy { holders, .. }) => assert!(holders.contains(&holder.id()), "{holders:?}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(world.in_kernel().1.len(), 1, "seen as before");
    assert_eq!(world.findings(id), [Finding::Stopped]);
    drop(holder.stdin.take());
    holder.wait().unwrap();
    assert_eq!(world.volumes.repair(id, &open).unwrap().findings, vec![]);
    assert_eq!(world.read(id, 1, "orders").as_deref(), Some("acknowledged"));
    world.write(id, 1, "orders", "goes on");
}

#[test]
fn an_ext4_with_an_error_is_checked_and_mounted_again() {
    let Some(world) = World::new() else { return };
    let id = world.make(SMALL);
    world.write(id, 1, "orders", "acknowledged");
    let node = world.node(id);
    let trigger = std::path::Path::new("/sys/fs/ext4").join(node.file_name().unwrap()).join("trigger_fs_error");
    if fs::write(&trigger, "openmesh test").is_err() {
        return eprintln!("skipped: this kernel cannot be told to fail an ext4 ({})", trigger.display());
    }
    assert_eq!(world.findings(id), [Finding::Stopped]);
    let written = fs::write(world.volumes.line_folder(id, 1).join("more"), "x");
    assert_eq!(written.unwrap_err().raw_os_error(), Some(30), "read-only");
    assert_eq!(world.volumes.repair(id, &open).unwrap().findings, vec![]);
    assert_eq!(world.read(id, 1, "orders").as_deref(), Some("acknowledged"));
    world.write(id, 1, "orders", "goes on");
}

#[test]
fn a_damaged_file_system_is_held_and_not_touched() {
    let Some(world) = World::new() else { return };
    let id = world.make(LARGE);
    world.volumes.unmount(id, &open).unwrap();
    let image = fs::OpenOptions::new().write(true).open(world.image(id)).unwrap();
    // Free space header and inode header of the first group; magic and id of the superblock stay.
    std::os::unix::fs::FileExt::write_all_at(&image, &[0xff; 1_024], 512).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&image, &[0xff; 100], 100).unwrap();
    image.sync_all().unwrap();
    let before = run("sha256sum", &[world.image(id).to_str().unwrap()]);
    match world.volumes.mount(id, &open) {
        Err(VolumeError::Damaged { .. }) => {}
        other => panic!("{other:?}"),
    }
    world.assert_nothing_in_kernel();
    assert_eq!(run("sha256sum", &[world.image(id).to_str().unwrap()]), before, "not a bit of it was changed");
}

#[test]
fn room_that_was_given_back_is_taken_again_under_the_running_volume() {
    let Some(world) = World::new() else { return };
    let id = world.make(LARGE);
    world.write(id, 1, "orders", "acknowledged");
    let point = world.mount_point(id);
    let trim = Command::new("fstrim").arg(&point).output().unwrap();
    assert!(!trim.status.success(), "the weekly trim of many systems finds nothing to give back");
    assert_eq!(world.findings(id), vec![]);
    let image = fs::OpenOptions::new().write(true).open(world.image(id)).unwrap();
    let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    // In the last group of XFS, where there is nothing.
    rustix::fs::fallocate(&image, hole, LARGE - (16 << 20), 8 << 20).unwrap();
    match world.findings(id)[..] {
        [Finding::Unreserved { missing }] => assert!((7 << 20..=8 << 20).contains(&missing), "{missing}"),
        ref other => panic!("{other:?}"),
    }
    assert_eq!(world.volumes.repair(id, &open).unwrap().findings, vec![]);
    assert!(image.metadata().unwrap().blocks() * 512 >= LARGE);
    assert_eq!(world.read(id, 1, "orders").as_deref(), Some("acknowledged"));
    world.volumes.unmount(id, &open).unwrap();
    run("xfs_repair", &["-n", "-f", world.image(id).to_str().unwrap()]);
}

#[test]
fn a_full_volume_is_said_with_figures_and_still_switches_lines() {
    let Some(world) = World::new() else { return };
    let id = world.make(SMALL);
    world.snapshot(id, 1, 2);
    let line = world.volumes.line_folder(id, 1);
    let full = (0..).find_map(|index| fs::write(line.join(index.to_string()), vec![1; 64 << 10]).err()).unwrap();
    assert_eq!(full.raw_os_error(), Some(28));
    let found = world.volumes.observe_one(id);
    match found.findings[..] {
        [Finding::Full(usage)] => assert!(usage.bytes > 4 << 20 && usage.bytes_free < 1 << 20),
        ref other => panic!("{other:?}"),
    }
    assert_eq!(found.remedy(), Some(Remedy::Show));
    assert!(found.as_blueprint(None).marked, "nothing is held for it");
    world.volumes.promote(id, 2, openmesh_primitives::Timestamp(1), &open).unwrap();
    world.volumes.restore(id, 1, &open).unwrap();
    world.grow(id, SMALL * 2);
    assert_eq!(world.findings(id), vec![]);
}
