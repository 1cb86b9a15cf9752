//! Full hosts and power cuts: the host is a small file system of its own.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use openmesh_primitives::Timestamp;
use openmesh_volume::{Asker, Fate, VolumeError, Volumes, Writers, open};

use crate::world::{SMALL, World, can_run, fresh_id, instance, new_line, new_volume, run, sweep};

/// Bytes that the application writes and syncs at once.
const PART: usize = 64 << 10;

/// A file system that plays the host's disk.
struct Host {
    folder: tempfile::TempDir,
}

impl Host {
    fn new(megabytes: u64) -> Host {
        let host = Host { folder: tempfile::Builder::new().prefix("openmesh-volume-host-").tempdir().unwrap() };
        fs::File::create(host.disk()).unwrap().set_len(megabytes << 20).unwrap();
        run("mkfs.ext4", &["-q", "-F", "-m", "0", host.disk().to_str().unwrap()]);
        host.plug(&host.disk(), "host");
        host
    }

    fn disk(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    fn plug(&self, disk: &Path, name: &str) -> PathBuf {
        let point = self.folder.path().join(name);
        fs::create_dir_all(&point).unwrap();
        run("mount", &["-o", "loop", disk.to_str().unwrap(), point.to_str().unwrap()]);
        point
    }

    fn point(&self) -> PathBuf {
        self.folder.path().join("host")
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        sweep(self.folder.path());
    }
}

fn fill(folder: &Path) {
    let mut file = fs::File::create(folder.join("ballast")).unwrap();
    for bytes in [1 << 20, 4096, 1] {
        while file.write_all(&vec![1; bytes]).is_ok() {}
        let _ = file.sync_all();
    }
}

#[test]
fn a_full_host_costs_no_byte_that_an_application_wrote() {
    if !can_run() {
        return;
    }
    let host = Host::new(64);
    let world = World::below(&host.point());
    let volumes = &world.volumes;
    let id = world.make(SMALL * 2);
    let refused = volumes.make(&new_volume(fresh_id(), 60 << 20), &open).unwrap_err();
    assert!(matches!(refused, VolumeError::HostFull { .. }), "{refused}");
    assert_eq!(volumes.observe().unwrap().unfinished, Vec::<PathBuf>::new(), "its room is given back");
    assert!(matches!(volumes.grow(id, 60 << 20, &open), Err(VolumeError::HostFull { .. })));
    fill(world.folder());
    // The application fills its volume with data, and syncs: all that it was told is written is there after an unmount.
    let line = volumes.line_folder(id, 1);
    let mut told = 0usize;
    let mut file = fs::File::create(line.join("log")).unwrap();
    while file.write_all(&[b'a' + (told % 26) as u8; PART]).is_ok() && file.sync_data().is_ok() {
        told += 1;
    }
    drop(file);
    assert!(told > 100, "about the whole of it: {told}");
    volumes.unmount(id, &open).unwrap();
    volumes.mount(id, &open).unwrap();
    let content = fs::read(line.join("log")).unwrap();
    assert!(content.len() >= told * PART);
    assert!((0..told).all(|index| content[index * PART] == b'a' + (index % 26) as u8));
    // Nothing can be marked on a full host; nothing is half marked either.
    fs::remove_file(line.join("log")).unwrap();
    // Its room is counted as free once the journal has it.
    fs::File::open(&line).unwrap().sync_all().unwrap();
    let before = volumes.observe_one(id);
    let results = [
        volumes.snapshot(id, &new_line(1, 2), Writers::Stopped, &open),
        volumes.promote(id, 1, Timestamp(1), &open),
        volumes.make(&new_volume(fresh_id(), SMALL), &open),
    ];
    for result in results {
        let error = result.unwrap_err();
        assert!(error.system_error() == Some(28) || matches!(error, VolumeError::HostFull { .. }), "{error}");
    }
    let after = volumes.observe_one(id);
    assert_eq!((after.lines, after.in_use, after.findings), (before.lines, before.in_use, before.findings));
    fs::remove_file(world.folder().join("ballast")).unwrap();
    volumes.snapshot(id, &new_line(1, 2), Writers::Stopped, &open).unwrap();
    volumes.unmount(id, &open).unwrap();
}

#[test]
fn what_was_answered_survives_a_power_cut() {
    if !can_run() {
        return;
    }
    let host = Host::new(64);
    let world = World::below(&host.point());
    let volumes = &world.volumes;
    let state = world.volumes.root().strip_prefix(host.point()).unwrap().to_path_buf();
    // The disk as it is at this moment, without what the kernel still has in memory for it, plugged into another machine.
    let cut = |name: &str, check: &dyn Fn(&Volumes)| {
        let disk = host.folder.path().join(format!("{name}.disk"));
        run("cp", &["--sparse=always", host.disk().to_str().unwrap(), disk.to_str().unwrap()]);
        let point = host.plug(&disk, name);
        let after = Volumes::open(&point.join(&state), &instance()).unwrap();
        after.tidy(&open).unwrap();
        check(&after);
        sweep(&point);
        sweep(&disk);
        fs::remove_file(disk).unwrap();
    };
    let id = fresh_id();
    volumes.make(&new_volume(id, SMALL), &open).unwrap();
    cut("made", &|after| after.mount(id, &open).unwrap());
    // The application's own data are its own to sync, but those in a clone are answered for.
    fs::write(volumes.line_folder(id, 1).join("orders"), "not synced by the application").unwrap();
    volumes.snapshot(id, &new_line(1, 2), Writers::Stopped, &open).unwrap();
    cut("cloned", &|after| {
        after.mount(id, &open).unwrap();
        let path = after.line_folder(id, 2).join("orders");
        assert_eq!(fs::read_to_string(path).unwrap(), "not synced by the application");
        assert_eq!(after.observe_one(id).findings, vec![]);
    });
    volumes.promote(id, 2, Timestamp(5), &open).unwrap();
    cut("promoted", &|after| {
        let found = after.observe_one(id);
        assert_eq!((found.in_use, found.lines[&2].admitted), (Some(2), Some(Timestamp(5))));
    });
    volumes.restore(id, 1, &open).unwrap();
    volumes.drop_line(id, 2, Asker::Person, &BTreeSet::new(), &open).unwrap();
    world.grow(id, SMALL * 2);
    cut("dropped", &|after| {
        after.mount(id, &open).unwrap();
        let found = after.observe_one(id);
        assert_eq!((found.lines.len(), found.in_use, found.findings), (1, Some(1), vec![]));
        assert!(found.usage.unwrap().bytes > SMALL);
    });
    volumes.remove(id, Fate::Keep, "ann", Timestamp(0), &open).unwrap();
    cut("removed", &|after| assert!(matches!(after.mount(id, &open), Err(VolumeError::Removed { .. }))));
}
