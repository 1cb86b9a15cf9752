//! Groups without a container: this machine's own, really, and a folder that is laid out like v2.

use std::cell::RefCell;
use std::io;
use std::path::Path;
use std::process::Command;

use openmesh_cage::bundle::resources;
use openmesh_cage::cgroup::group::instances;
use openmesh_cage::cgroup::{CgroupError, Controller, Group, Layout};
use openmesh_cage::instance::{GroupPath, Limits};
use openmesh_cage::open_door;

use crate::world::{group_path, lacking, until};

const LIMITS: Limits = Limits { processors_milli: 250, memory_bytes: 64 << 20, processes: 32 };

/// A group of this machine that is removed with the test.
struct Own(Group, GroupPath);

impl Own {
    fn new() -> Option<Own> {
        if let Some(lacking) = lacking() {
            println!("skipped: {lacking}");
            return None;
        }
        let path = group_path();
        Some(Own(Group::new(Layout::find().unwrap(), path.clone()), path))
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let _ = self.0.thaw(&open_door);
        let _ = self.0.kill_all(&open_door);
        let _ = self.0.remove(&open_door);
    }
}

#[test]
fn a_group_is_made_limited_frozen_killed_and_removed() {
    let Some(own) = Own::new() else { return };
    let Own(group, path) = &own;
    assert!(group.usage().unwrap().is_none() && !group.exists());
    group.make(&open_door).unwrap();
    group.make(&open_door).unwrap();
    let limits = resources(&LIMITS);
    group.limit(&limits, &open_door).unwrap();
    group.devices(&limits, &open_door).unwrap();
    assert!(group.exists());
    assert_eq!(instances(group.layout(), &path.agent).unwrap(), ["app.0".to_string()].into());
    let mut child = Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
    group.add(child.id(), &open_door).unwrap();
    until("use", || group.usage().unwrap().unwrap().periods_throttled > 2);
    let usage = group.usage().unwrap().unwrap();
    println!("{usage:?}");
    assert_eq!((usage.processes, usage.memory_limit_bytes), (1, Some(64 << 20)));
    group.freeze(&open_door).unwrap();
    assert!(group.frozen().unwrap());
    let still = group.usage().unwrap().unwrap().cpu_us;
    let others = std::time::Instant::now();
    until("a while", || others.elapsed().as_millis() > 300);
    assert_eq!(group.usage().unwrap().unwrap().cpu_us, still, "it does not run");
    group.thaw(&open_door).unwrap();
    assert!(!group.frozen().unwrap());
    until("it runs again", || group.usage().unwrap().unwrap().cpu_us > still);
    // Frozen processes are killed too.
    group.freeze(&open_door).unwrap();
    group.kill_all(&open_door).unwrap();
    assert!(child.wait().unwrap().code().is_none());
    group.remove(&open_door).unwrap();
    group.remove(&open_door).unwrap();
    assert!(!group.exists() && instances(group.layout(), &path.agent).unwrap().is_empty());
    for root in group.layout().roots() {
        assert!(!root.join(format!("openmesh-{}", path.agent)).exists());
    }
}

#[test]
fn limits_change_while_processes_run() {
    let Some(own) = Own::new() else { return };
    let Own(group, _) = &own;
    group.make(&open_door).unwrap();
    for memory_bytes in [64 << 20, 128 << 20, 32 << 20] {
        group.limit(&resources(&Limits { memory_bytes, ..LIMITS }), &open_door).unwrap();
        assert_eq!(group.usage().unwrap().unwrap().memory_limit_bytes, Some(memory_bytes));
    }
}

#[test]
fn groups_within_the_group_go_with_it() {
    let Some(own) = Own::new() else { return };
    let Own(group, _) = &own;
    group.make(&open_door).unwrap();
    let inner = group.folder(Controller::Pids).join("own/deeper");
    std::fs::create_dir_all(&inner).unwrap();
    let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
    std::fs::write(inner.join("cgroup.procs"), child.id().to_string()).unwrap();
    assert_eq!(group.processes().unwrap(), [child.id()].into());
    group.kill_all(&open_door).unwrap();
    child.wait().unwrap();
    group.remove(&open_door).unwrap();
    assert!(!group.exists());
}

#[test]
fn an_error_at_any_door_leaves_what_a_second_try_completes() {
    let Some(own) = Own::new() else { return };
    let Own(group, path) = &own;
    let limits = resources(&LIMITS);
    let life = |door: &dyn Fn(&str) -> io::Result<()>| -> Result<(), CgroupError> {
        group.make(door)?;
        group.limit(&limits, door)?;
        group.devices(&limits, door)?;
        group.freeze(door)?;
        group.thaw(door)?;
        group.kill_all(door)?;
        group.remove(door)
    };
    let passed = RefCell::new(0);
    life(&|_: &str| {
        *passed.borrow_mut() += 1;
        Ok(())
    })
    .unwrap();
    let doors = passed.into_inner();
    assert!(doors > 60, "{doors} passages");
    for failing in 0..doors {
        let passed = RefCell::new(0);
        let door = |_: &str| {
            *passed.borrow_mut() += 1;
            if *passed.borrow() - 1 == failing { Err(io::Error::from_raw_os_error(28)) } else { Ok(()) }
        };
        let error = life(&door);
        // A limit that not every kernel has may fail.
        assert!(error.is_err() || *passed.borrow() > failing, "door {failing}");
        life(&open_door).unwrap();
        assert!(!group.exists());
        assert!(group.layout().roots().iter().all(|root| !root.join(format!("openmesh-{}", path.agent)).exists()));
    }
}

/// A folder laid out like v2, with the files that its kernel would make. What the kernel does is not tested here: this machine has v1.
fn unified(root: &Path) -> Group {
    std::fs::write(root.join("cgroup.subtree_control"), "").unwrap();
    let parent = root.join("openmesh-a");
    std::fs::create_dir_all(parent.join("b")).unwrap();
    std::fs::write(parent.join("cgroup.subtree_control"), "cpu").unwrap();
    let files = [
        ("cpu.max", "max 100000"),
        ("memory.max", "max"),
        ("memory.swap.max", "max"),
        ("pids.max", "max"),
        ("cgroup.freeze", "0"),
        ("cgroup.events", "populated 0\nfrozen 1\n"),
        ("cgroup.procs", ""),
        ("cgroup.kill", ""),
        ("cpu.stat", "usage_usec 5\n"),
        ("memory.current", "8192"),
        ("memory.stat", "inactive_file 4096\n"),
        ("memory.events", "max 1\noom_kill 1\n"),
        ("pids.current", "3"),
        ("pids.events", "max 2"),
    ];
    for (file, text) in files {
        std::fs::write(parent.join("b").join(file), text).unwrap();
    }
    Group::new(Layout::V2 { root: root.into() }, GroupPath { agent: "a".into(), instance: "b".into() })
}

#[test]
fn version_two_is_written_where_its_kernel_reads() {
    let root = tempfile::tempdir().unwrap();
    let group = unified(root.path());
    group.make(&open_door).unwrap();
    let text = |path: &str| std::fs::read_to_string(root.path().join(path)).unwrap();
    assert_eq!(text("cgroup.subtree_control"), "+cpu +memory +pids");
    assert_eq!(text("openmesh-a/cgroup.subtree_control"), "+memory +pids");
    group.limit(&resources(&LIMITS), &open_door).unwrap();
    group.devices(&resources(&LIMITS), &open_door).unwrap();
    assert_eq!(text("openmesh-a/b/cpu.max"), "25000 100000");
    assert_eq!(text("openmesh-a/b/memory.max"), "67108864");
    assert_eq!(text("openmesh-a/b/memory.swap.max"), "0");
    assert_eq!(text("openmesh-a/b/pids.max"), "32");
    group.freeze(&open_door).unwrap();
    assert_eq!(text("openmesh-a/b/cgroup.freeze"), "1");
    assert!(group.frozen().unwrap());
    group.kill_all(&open_door).unwrap();
    assert_eq!(text("openmesh-a/b/cgroup.kill"), "1");
    let usage = group.usage().unwrap().unwrap();
    assert_eq!((usage.memory_working_bytes(), usage.memory_limit_bytes), (4_096, Some(64 << 20)));
    assert_eq!((usage.oom_kills, usage.processes, usage.processes_limit_hits), (1, 3, 2));
    assert_eq!((usage.pressure, usage.memory_peak_bytes), (None, None));
    assert!(group.oom_file().ends_with("openmesh-a/b/memory.events"));
}
