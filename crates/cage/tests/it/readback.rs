//! Running containers against their bundles: equal as made, and each secret change is named.

use std::process::Command;

use openmesh_cage::cgroup::Controller;
use openmesh_cage::instance::Capability;
use openmesh_cage::readback::{self, Difference, ReadbackError};

use crate::world::{NUMBERS, World, with_drivers};

fn differences(world: &World, pid: u32) -> Vec<Difference> {
    let config = world.config();
    readback::compare(&config, &readback::observe(&config, pid, &world.group).unwrap())
}

#[test]
fn a_container_is_as_its_bundle_says() {
    with_drivers(|mut world| {
        world.instance.capabilities = Capability::ALL.into();
        let pid = world.start();
        let observed = readback::observe(&world.config(), pid, &world.group).unwrap();
        let first = observed.processes[&pid];
        assert_eq!((first.seccomp, first.no_new_privileges, first.bounding), (2, true, 0x4eb));
        assert_eq!(differences(&world, pid), [], "{}: {observed:#?}", world.driver.name());
        world.delete();
        let gone = readback::observe(&world.config(), pid, &world.group).unwrap_err();
        assert!(matches!(gone, ReadbackError::Ended { .. }), "{gone}");
    });
}

#[test]
fn secret_changes_are_named() {
    with_drivers(|mut world| {
        world.instance.root.writable = true;
        world.script("trap 'exit 0' TERM; while :; do sleep 0.05; done");
        let pid = world.start();
        assert_eq!(differences(&world, pid), []);
        // More memory, and a disk of the host.
        let write = |controller, file: &str, text: &str| {
            std::fs::write(world.group.folder(controller).join(file), text).unwrap();
        };
        let v1 = world.group.folder(Controller::Cpu).join("cpu.cfs_quota_us").exists();
        if v1 {
            write(Controller::Cpu, "cpu.cfs_quota_us", "200000");
            write(Controller::Devices, "devices.allow", "b 254:0 rw");
            let found = differences(&world, pid);
            let (expected, is) = ("100000".to_string(), "200000".to_string());
            let limit = Difference::Limit { file: "cpu.cfs_quota_us", expected, found: is };
            assert_eq!(found, [limit, Difference::Device { line: "b 254:0 rw".into() }], "{found:?}");
            assert_eq!(found[0].to_string(), "cpu.cfs_quota_us is 200000, not 100000");
            world.group.limit(&world.config().linux.resources, &openmesh_cage::open_door).unwrap();
            write(Controller::Devices, "devices.deny", "b 254:0 rw");
        }
        assert_eq!(differences(&world, pid), []);
        // A process of the host in the group.
        let mut stranger = Command::new("sleep").arg("1000").spawn().unwrap();
        world.group.add(stranger.id(), &openmesh_cage::open_door).unwrap();
        let found = differences(&world, pid);
        let pid_of = stranger.id();
        assert!(found.contains(&Difference::NoSeccomp { pid: pid_of, mode: 0 }), "{found:?}");
        assert!(found.contains(&Difference::NewPrivileges { pid: pid_of }), "{found:?}");
        assert!(found.iter().any(|d| matches!(d, Difference::Capabilities { set: "CapEff", .. })), "{found:?}");
        stranger.kill().unwrap();
        stranger.wait().unwrap();
        // A mount from outside.
        let enter = |command: &[&str]| {
            let mut nsenter = Command::new("nsenter");
            nsenter
                .env("LC_ALL", "C")
                .args(["--target", &pid.to_string(), "--mount"])
                .args(command)
                .status()
                .unwrap()
                .success()
        };
        let [number, ..] = NUMBERS;
        let mount = format!("my @names = ('none', '/data', 'tmpfs'); exit(syscall({number}, @names, 0, 0) != 0)");
        assert!(enter(&["perl", "-e", &mount]));
        let found = differences(&world, pid);
        assert_eq!(found, [Difference::MountUnknown { target: "/data".into() }]);
        world.delete();
        world.assert_gone();
    });
}

#[test]
fn each_part_that_is_missing_is_a_difference() {
    with_drivers(|mut world| {
        let pid = world.start();
        let config = world.config();
        let good = readback::observe(&config, pid, &world.group).unwrap();
        let spoil = |change: &dyn Fn(&mut readback::Observed)| {
            let mut observed = good.clone();
            change(&mut observed);
            let found: Vec<String> = readback::compare(&config, &observed).iter().map(ToString::to_string).collect();
            found
        };
        assert_eq!(
            spoil(&|o| o.processes.clear()),
            [format!("process {pid} is not in the control group of its instance")]
        );
        let first = config.linux.uid_mappings[0].host_id;
        assert_eq!(spoil(&|o| o.uid_map.clear()), [format!("uid_map is empty, not {first}+65536 as 0")]);
        let host = |o: &mut readback::Observed| o.namespaces = o.own_namespaces.clone();
        let kinds = ["user", "mount", "pid", "network", "ipc", "uts", "cgroup"];
        assert_eq!(spoil(&host), kinds.map(|kind| format!("the {kind} namespace is the host's")));
        let other = |o: &mut readback::Observed| {
            o.joined.insert("network", 1);
        };
        assert_eq!(spoil(&other), ["the network namespace is not the one that was made for it"]);
        let without =
            |target: &'static str| move |o: &mut readback::Observed| o.mounts.retain(|line| line.target != target);
        assert_eq!(spoil(&without("/tmp")), ["nothing is mounted at /tmp"]);
        assert_eq!(spoil(&without("/proc/keys")), ["/proc/keys is neither hidden nor read-only as it should be"]);
        let weak = |o: &mut readback::Observed| {
            o.mounts.iter_mut().for_each(|line| line.options.retain(|option| option != "ro"))
        };
        let found = spoil(&weak);
        assert!(found.contains(&"the mount at / lacks ro".to_string()), "{found:?}");
        assert!(found.contains(&"/proc/sys is neither hidden nor read-only as it should be".to_string()), "{found:?}");
        let big = |o: &mut readback::Observed| {
            let tmp = o.mounts.iter_mut().find(|line| line.target == "/tmp").unwrap();
            tmp.super_options = vec!["rw".into(), "size=2048k".into()];
        };
        assert_eq!(spoil(&big), ["the mount at /tmp lacks its bound of 1048576 bytes"]);
        world.delete();
    });
}
