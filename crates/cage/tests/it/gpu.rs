//! GPUs of made-up machines: found, described, and given to a container. No test here needs a GPU.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use openmesh_cage::bundle::{self, BundleError};
use openmesh_cage::gpu::cdi::{self, NoDevice, Spec};
use openmesh_cage::gpu::libraries::{self, Driver};
use openmesh_cage::gpu::{Gpu, Vendor, common, find};
use openmesh_cage::instance::Device;
use openmesh_cage::readback;
use rustix::fs::{CWD, FileType, Mode, StatVfsMountFlags, makedev, mknodat, statvfs};
use tempfile::TempDir;

use crate::world::with_drivers;

/// Files of a machine with two GPUs of NVIDIA, one of AMD, one of Intel, and one that a virtual machine has.
const MACHINE: [(&str, &str); 25] = [
    (
        "proc/devices",
        "Character devices:\n  1 mem\n195 nvidia\n195 nvidiactl\n510 nvidia-uvm\n\nBlock devices:\n  8 sd\n",
    ),
    ("proc/driver/nvidia/version", "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu Feb 22\n"),
    (
        "proc/driver/nvidia/gpus/0000:01:00.0/information",
        "Model: \t\t NVIDIA GeForce RTX 3090\nIRQ:   \t\t 130\nBus Location: \t 0000:01:00.0\nDevice Minor: \t 0\n",
    ),
    ("proc/driver/nvidia/gpus/0000:41:00.0/information", "Model: \t\t NVIDIA A2\nDevice Minor: \t 1\n"),
    // One that the driver could not bring up.
    ("proc/driver/nvidia/gpus/0000:81:00.0/information", "Model: \t\t Unknown\n"),
    ("sys/class/drm/card0/dev", "226:0\n"),
    ("sys/class/drm/renderD128/dev", "226:128\n"),
    ("sys/class/drm/renderD128/device/vendor", "0x10de\n"),
    ("sys/class/drm/renderD128/device/uevent", "DRIVER=nvidia\nPCI_SLOT_NAME=0000:01:00.0\n"),
    ("sys/class/drm/renderD129/dev", "226:129\n"),
    ("sys/class/drm/renderD129/device/vendor", "0x1002\n"),
    ("sys/class/drm/renderD129/device/device", "0x744c\n"),
    ("sys/class/drm/renderD129/device/uevent", "DRIVER=amdgpu\nPCI_SLOT_NAME=0000:03:00.0\n"),
    ("sys/class/drm/renderD130/dev", "226:130\n"),
    ("sys/class/drm/renderD130/device/vendor", "0x8086\n"),
    ("sys/class/drm/renderD130/device/device", "0x4680\n"),
    ("sys/class/drm/renderD130/device/uevent", "DRIVER=i915\nPCI_SLOT_NAME=0000:00:02.0\n"),
    ("sys/class/drm/renderD131/dev", "226:131\n"),
    ("sys/class/drm/renderD131/device/vendor", "0x1af4\n"),
    ("sys/class/drm/renderD131/device/uevent", "DRIVER=virtio_gpu\nPCI_SLOT_NAME=0000:00:05.0\n"),
    ("sys/class/kfd/kfd/dev", "238:0\n"),
    ("usr/lib/x86_64-linux-gnu/libcuda.so.1", "the driver's\n"),
    ("usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1", "the driver's\n"),
    ("usr/lib/x86_64-linux-gnu/libnvidia-gpucomp.so.550.54.14", "the driver's\n"),
    ("usr/bin/nvidia-smi", "the driver's\n"),
];

/// A folder with such files.
fn tree(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("OPENMESH_UPDATE").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(expected == text, "{} differs: run with OPENMESH_UPDATE=1 and read the difference", path.display());
}

fn described(root: &Path, vendor: Vendor) -> Spec {
    let driver = if vendor == Vendor::Nvidia { libraries::find(root, "x86_64") } else { Driver::default() };
    cdi::spec(vendor, &find(root), &common(root, vendor), &driver)
}

#[test]
fn gpus_are_found_by_what_the_kernel_says() {
    let machine = tree(&MACHINE);
    let words = |gpu: &Gpu| {
        let nodes: Vec<String> = gpu.nodes.iter().map(|n| format!("{} {}:{}", n.path, n.major, n.minor)).collect();
        format!("{} {} {}: {}", gpu.address, gpu.vendor.word(), gpu.model, nodes.join(", "))
    };
    let found: Vec<String> = find(machine.path()).iter().map(words).collect();
    assert_eq!(
        found,
        [
            "0000:00:02.0 intel Intel GPU 4680: /dev/dri/renderD130 226:130",
            "0000:01:00.0 nvidia NVIDIA GeForce RTX 3090: /dev/nvidia0 195:0, /dev/dri/renderD128 226:128",
            "0000:03:00.0 amd AMD GPU 744c: /dev/dri/renderD129 226:129",
            "0000:41:00.0 nvidia NVIDIA A2: /dev/nvidia1 195:1",
        ]
    );
    // A card without its vendor's driver computes nothing.
    let bare: Vec<(&str, &str)> = MACHINE.into_iter().filter(|(path, _)| !path.contains("driver/nvidia")).collect();
    let bare = tree(&bare);
    assert!(find(bare.path()).iter().all(|gpu| gpu.vendor != Vendor::Nvidia));
    assert_eq!(find(tree(&[]).path()), []);
}

#[test]
fn descriptions_are_as_the_golden_files() {
    let machine = tree(&MACHINE);
    for vendor in Vendor::ALL {
        let spec = described(machine.path(), vendor);
        assert_eq!(spec.file_name(), format!("openmesh.network-{}-gpu.json", vendor.word()));
        golden(&format!("gpu.{}.json", vendor.word()), &spec.text());
        assert_eq!(serde_json::from_str::<Spec>(&spec.text()).unwrap(), spec);
    }
    // A description of somebody else with hooks is none of ours, and its hooks are never run.
    let text = described(machine.path(), Vendor::Amd).text();
    let hooks = text.replace("\"containerEdits\": {", "\"containerEdits\": {\"hooks\": [],");
    assert!(hooks != text && serde_json::from_str::<Spec>(&hooks).is_err());
}

#[test]
fn a_container_gets_what_is_described_of_its_devices_alone() {
    let machine = tree(&MACHINE);
    let spec = described(machine.path(), Vendor::Nvidia);
    let of = |names: &[&str]| spec.edits(&names.iter().map(ToString::to_string).collect::<BTreeSet<_>>());
    let paths = |names: &[&str]| {
        let edits = of(names).unwrap();
        edits.device_nodes.into_iter().map(|node| node.path).collect::<Vec<_>>()
    };
    let shared = ["/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools"];
    assert_eq!(paths(&["0000:41:00.0"]), [&["/dev/nvidia1"][..], &shared].concat());
    let both = [&["/dev/nvidia0", "/dev/dri/renderD128", "/dev/nvidia1"][..], &shared].concat();
    assert_eq!(paths(&["0000:01:00.0", "0000:41:00.0"]), both, "what they share comes once");
    assert_eq!(paths(&[]), Vec::<String>::new());
    let missing = of(&["0000:03:00.0"]).unwrap_err();
    assert_eq!(
        missing,
        NoDevice { kind: "openmesh.network/nvidia-gpu".into(), name: "0000:03:00.0".into() },
        "it is another vendor's"
    );
    assert_eq!(of(&["0000:41:00.0"]).unwrap().mounts.len(), 5);
}

#[test]
fn a_device_reaches_a_container_and_no_other_one_does() {
    with_drivers(|mut world| {
        let folder = world.folder.path().join("devices");
        std::fs::create_dir(&folder).unwrap();
        if statvfs(&folder).unwrap().f_flag.contains(StatVfsMountFlags::NODEV) {
            return println!("skipped: {} lies on a file system without devices", folder.display());
        }
        // The node of `/dev/null` under another name, as if it were a card's.
        let source = folder.join("card0");
        let made = mknodat(CWD, &source, FileType::CharacterDevice, Mode::from_raw_mode(0o666), makedev(1, 3));
        if let Err(error) = made {
            return println!("skipped: this machine lets nobody make nodes of devices ({error})");
        }
        // The mask of this process has taken bits away.
        std::fs::set_permissions(&source, PermissionsExt::from_mode(0o666)).unwrap();
        let device =
            |target: &str| Device { source: source.display().to_string(), target: target.into(), major: 1, minor: 3 };
        for (target, is_taken) in [("/dev/null", false), ("/srv/card0", false), ("/dev/dri/card0", true)] {
            world.instance.devices = vec![device("/dev/dri/card0"), device(target)];
            let refused = bundle::config(&world.instance).unwrap_err();
            assert_eq!(matches!(refused, BundleError::Taken { .. }), is_taken, "{refused}");
            assert_eq!(matches!(refused, BundleError::Device { .. }), !is_taken, "{refused}");
        }
        world.instance.devices = vec![device("/dev/dri/card0")];
        world.instance.user.user = 1_000;
        world.perl(
            "$| = 1; open(F, '+<', '/dev/dri/card0') or die qq(open: $!); syswrite(F, 'x') == 1 or die qq(write: $!); \
             print((-c '/dev/dri/card0') ? qq(used\\n) : qq(none\\n)); sleep 1000",
        );
        let pid = world.start();
        world.wait_output("used");
        let config = world.config();
        let rule = config.linux.resources.devices.last().unwrap();
        assert_eq!((rule.allow, rule.major, rule.minor, rule.access.as_str()), (true, Some(1), Some(3), "rw"));
        let observed = readback::observe(&config, pid, &world.group).unwrap();
        assert_eq!(readback::compare(&config, &observed), [], "{}", world.driver.name());
        world.delete();
        world.assert_gone();
    });
}
