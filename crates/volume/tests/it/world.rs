//! A folder of volumes of a test's own, which is gone with all mounts and loop devices when the test ends, however it ends.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, umount2};
use openmesh_primitives::Timestamp;
use openmesh_volume::{Finding, Id, Keeper, NewLine, NewVolume, Owner, VolumeError, Volumes, loops, mounts, open};

/// Size of a small volume, which is ext4.
pub const SMALL: u64 = 8 << 20;
/// Size of the smallest volume that is XFS.
pub const LARGE: u64 = 300 << 20;
/// Longest time in which the disk may be too busy.
const BUSY_MAX: Duration = Duration::from_secs(120);
/// The owner of the first line.
pub const OWNER: Owner = Owner { user: 165_536, group: 165_537, mode: 0o750 };

pub struct World {
    pub volumes: Volumes,
    folder: tempfile::TempDir,
}

/// Returns false, with a word, where the machine lacks something.
pub fn can_run() -> bool {
    let lacks = |what: &str| {
        eprintln!("skipped: {what}");
        false
    };
    if !rustix::process::geteuid().is_root() {
        return lacks("volumes are mounted by root");
    }
    if !Path::new("/dev/loop-control").exists() {
        return lacks("the kernel has no loop devices (module loop)");
    }
    for (program, package) in [("mkfs.ext4", "e2fsprogs"), ("mkfs.xfs", "xfsprogs"), ("losetup", "util-linux")] {
        if !["/usr/sbin", "/sbin"].iter().any(|folder| Path::new(folder).join(program).exists()) {
            return lacks(&format!("the program {program} is not installed (apt-get install {package})"));
        }
    }
    true
}

/// Does what may last longer than a volume is frozen at most, where other tests keep the disk busy: it is then refused whole, and asked for again as an agent does.
pub fn in_time<T>(mut act: impl FnMut() -> Result<T, VolumeError>) -> T {
    let begun = Instant::now();
    loop {
        match act() {
            Err(VolumeError::Thawed { .. }) if begun.elapsed() < BUSY_MAX => {}
            done => return done.unwrap(),
        }
    }
}

impl World {
    pub fn new() -> Option<World> {
        can_run().then(|| World::below(&std::env::temp_dir()))
    }

    /// A world on a certain file system.
    pub fn below(host: &Path) -> World {
        let folder = tempfile::Builder::new().prefix("openmesh-volume-").tempdir_in(host).unwrap();
        let volumes = Volumes::open(&folder.path().join("state"), &instance()).unwrap();
        World { volumes, folder }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn make(&self, bytes: u64) -> Id {
        let id = fresh_id();
        self.volumes.make(&new_volume(id, bytes), &open).unwrap();
        id
    }

    pub fn snapshot(&self, id: Id, from: u32, to: u32) {
        let line = new_line(from, to);
        in_time(|| self.volumes.snapshot(id, &line, openmesh_volume::Writers::Stopped, &open));
    }

    /// Makes a volume larger: while it is mounted, where the kernel lets this process.
    pub fn grow(&self, id: Id, bytes: u64) {
        let before = self.findings(id);
        match self.volumes.grow(id, bytes, &open) {
            Err(VolumeError::GrowsUnmounted { .. }) => {
                assert!(!may_grow_mounted_ext4());
                assert_eq!(self.findings(id), before, "as it was, and used");
                self.volumes.unmount(id, &open).unwrap();
                self.volumes.grow(id, bytes, &open).unwrap();
                self.volumes.mount(id, &open).unwrap();
            }
            other => other.unwrap(),
        }
    }

    pub fn findings(&self, id: Id) -> Vec<Finding> {
        self.volumes.observe_one(id).findings
    }

    pub fn image(&self, id: Id) -> PathBuf {
        let mut files = std::fs::read_dir(self.volumes.root().join(id.to_string())).unwrap();
        files
            .find_map(|file| Some(file.ok()?.path()).filter(|path| path.extension().is_some_and(|e| e == "img")))
            .unwrap()
    }

    pub fn mount_point(&self, id: Id) -> PathBuf {
        self.volumes.root().join(id.to_string()).join("mount")
    }

    pub fn node(&self, id: Id) -> PathBuf {
        let image = self.image(id);
        loops::list().unwrap().into_iter().find(|device| device.file == image).unwrap().node
    }

    pub fn write(&self, id: Id, line: u32, name: &str, content: &str) {
        let path = self.volumes.line_folder(id, line).join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::File::open(&path).unwrap().sync_all().unwrap();
    }

    pub fn read(&self, id: Id, line: u32, name: &str) -> Option<String> {
        std::fs::read_to_string(self.volumes.line_folder(id, line).join(name)).ok()
    }

    /// Lets time pass for a removed volume, without a call for each minute of it.
    pub fn let_pass(&self, id: Id, waited_ms: u64) {
        let mark = self.volumes.root().join(id.to_string()).join("removed.json");
        let text = std::fs::read_to_string(&mark).unwrap();
        let (before, _) = text.split_once(r#""waited_ms":"#).unwrap();
        std::fs::write(&mark, format!(r#"{before}"waited_ms":{waited_ms}}}"#)).unwrap();
    }

    /// Waits until nothing of this world is in the kernel: a device that another program looks at goes when it has looked.
    pub fn assert_nothing_in_kernel(&self) {
        let begun = Instant::now();
        while self.in_kernel() != (vec![], vec![]) {
            assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", self.in_kernel());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Loop devices and mounts of this world.
    pub fn in_kernel(&self) -> (Vec<PathBuf>, Vec<PathBuf>) {
        in_kernel(self.folder())
    }
}

fn in_kernel(folder: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let devices = loops::list().unwrap().into_iter().filter(|device| device.file.starts_with(folder));
    let mounts = mounts::list().unwrap().into_iter().filter(|mount| mount.point.starts_with(folder));
    (devices.map(|device| device.node).collect(), mounts.map(|mount| mount.point).collect())
}

/// Takes away every mount and loop device below a folder. What a mount namespace of another test still holds goes in a moment.
pub fn sweep(folder: &Path) {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(60) {
        let (devices, mut mounts) = in_kernel(folder);
        if devices.is_empty() && mounts.is_empty() {
            return;
        }
        mounts.reverse();
        for point in mounts {
            let _ = Command::new("fsfreeze").arg("--unfreeze").arg(&point).output();
            let _ = umount2(&point, MntFlags::MNT_DETACH);
        }
        let left = loops::list().unwrap().into_iter().filter(|device| device.file.starts_with(folder));
        left.for_each(|device| drop(loops::release(&device)));
        std::thread::sleep(Duration::from_millis(10));
    }
}

impl Drop for World {
    fn drop(&mut self) {
        sweep(self.folder.path());
        let left = in_kernel(self.folder.path());
        if !std::thread::panicking() {
            assert_eq!(left, (vec![], vec![]), "nothing is left in the kernel");
        }
    }
}

/// Returns true where this process has CAP_SYS_RESOURCE.
pub fn may_grow_mounted_ext4() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let set = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    u64::from_str_radix(set.trim(), 16).unwrap() & (1 << 24) != 0
}

pub fn instance() -> String {
    format!("test{}", std::process::id())
}

/// An id that no other test has.
pub fn fresh_id() -> Id {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let mut bytes = [0x7e; 16];
    bytes[4..8].copy_from_slice(&std::process::id().to_be_bytes());
    bytes[8..12].copy_from_slice(&COUNT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    let now = Timestamp::now().nanos().to_be_bytes();
    bytes[12..16].copy_from_slice(&now[4..8]);
    Id::new(bytes)
}

pub fn new_volume(id: Id, bytes: u64) -> NewVolume<'static> {
    NewVolume { id, application: "shop", name: "data", bytes, owner: OWNER, by: "test", at: Timestamp(1) }
}

pub fn new_line(from: u32, to: u32) -> NewLine<'static> {
    NewLine { from, to, reason: "switch to generation 2", by: "agent", at: Timestamp(2), keeper: Keeper::Machine }
}

/// Runs a program that must succeed.
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
