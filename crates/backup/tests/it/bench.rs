//! Backup and restore of 1 GiB with half duplicate blocks beside restic, cold cache, alternating in one run. Run by name on an idle machine, optimised:
//! `cargo test --release -p openmesh-backup --test it bench -- --ignored --nocapture`.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use openmesh_backup::{Folder, Identity, Owners, Repository, Restoration, open};

use crate::world::{back_up, noise};

/// Files of the tree.
const FILES: u64 = 64;
/// Bytes of a block, of which every second one is a copy of one before.
const BLOCK_BYTES: usize = 4 << 20;
/// Blocks of a file.
const FILE_BLOCKS: u64 = 4;
/// Runs of each side.
const RUNS: usize = 3;

/// 1 GiB: the half of the blocks is new and cannot be compressed, the other half is a copy.
fn make(root: &Path) {
    fs::create_dir(root).unwrap();
    for file in 0..FILES {
        let blocks = (0..FILE_BLOCKS).flat_map(|block| {
            let number = file * FILE_BLOCKS + block;
            noise(1000 + number / 2, BLOCK_BYTES)
        });
        fs::write(root.join(format!("file-{file}")), blocks.collect::<Vec<u8>>()).unwrap();
    }
}

/// Drops the caches of the kernel; without root the runs are warm, and it is said.
fn cool() {
    rustix::fs::sync();
    if fs::write("/proc/sys/vm/drop_caches", "3").is_err() {
        eprintln!("caches stay warm: they are dropped by root");
    }
}

fn timed(act: impl FnOnce()) -> Duration {
    cool();
    let begun = Instant::now();
    act();
    begun.elapsed()
}

fn restic(repository: &Path, arguments: &[&str]) {
    let mut command = Command::new("restic");
    command.args(["--quiet", "--no-cache"]).arg("--repo").arg(repository).args(arguments);
    command.env("RESTIC_PASSWORD", "bench").stdout(Stdio::null());
    // A repository of version 2 compresses, as ours does.
    assert!(command.status().unwrap().success(), "restic {arguments:?}");
}

#[test]
#[ignore = "minutes of load; for an idle machine"]
fn a_gibibyte_beside_restic() {
    if Command::new("restic").arg("version").stdout(Stdio::null()).status().is_err() {
        eprintln!("skipped: the program restic is not installed (apt-get install restic)");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    make(&path("tree"));
    for run in 0..RUNS {
        let owner = Identity::generate().unwrap();
        let store = Folder::open(path("ours")).unwrap();
        let repository = Repository::create(&store, &[owner.recipient()], &open).unwrap();
        let mut snapshot = None;
        let backup = timed(|| snapshot = Some(back_up(&repository, &path("tree"), "bench", &open).unwrap()));
        let report = snapshot.unwrap();
        let (ours, theirs) = (path("back"), path("theirs"));
        let order = Restoration { snapshot: report.snapshot, target: &ours, owners: Owners::Callers, verify: true };
        let restore = timed(|| {
            repository.restore(&order, &open).unwrap();
        });
        fs::remove_dir_all(&ours).unwrap();
        eprintln!(
            "{run} openmesh: backup {backup:?}, verified restore {restore:?}, {} bytes stored",
            report.stored_bytes
        );
        restic(&theirs, &["init", "--repository-version", "2"]);
        let tree = path("tree").display().to_string();
        let backup = timed(|| restic(&theirs, &["backup", &tree]));
        let target = ours.display().to_string();
        let restore = timed(|| restic(&theirs, &["restore", "latest", "--verify", "--target", &target]));
        eprintln!("{run} restic:   backup {backup:?}, verified restore {restore:?}");
        for name in ["ours", "back", "theirs"] {
            fs::remove_dir_all(path(name)).unwrap();
        }
    }
}
