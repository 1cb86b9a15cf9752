//! Bundles of instances: as text, byte by byte, and what is refused.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use openmesh_cage::bundle::{self, BundleError};
use openmesh_cage::instance::{
    Bind, Capability, GroupPath, IdRange, Identity, Instance, Joined, Limits, Machine, MemoryFiles, Root,
};
use openmesh_cage::open_door;
use proptest::prelude::*;

fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("OPENMESH_UPDATE").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(expected == text, "{} differs: run with OPENMESH_UPDATE=1 and read the difference", path.display());
}

fn instance() -> Instance {
    let bind = |source: &str, target: &str, writable| Bind { source: source.into(), target: target.into(), writable };
    Instance {
        hostname: "shop".into(),
        machine: Machine::X86_64,
        command: vec!["/usr/bin/shop".into(), "--listen".into(), "0.0.0.0:80".into()],
        variables: BTreeMap::from([("LANG".into(), "C.UTF-8".into()), ("TOKEN".into(), "a=b".into())]),
        workdir: "/srv".into(),
        user: Identity::default(),
        root: Root { path: "/var/lib/openmesh/default/roots/shop".into(), writable: false },
        binds: vec![bind("/vol/data/line-2", "/srv/data", true), bind("/files/conf", "/etc/shop.conf", false)],
        devices: Vec::new(),
        memory: MemoryFiles { tmp_bytes: 64 << 20, run_bytes: 16 << 20, shm_bytes: 64 << 20 },
        limits: Limits { processors_milli: 1_500, memory_bytes: 512 << 20, processes: 512 },
        capabilities: [Capability::Chown, Capability::Setuid, Capability::Setgid].into(),
        ids: IdRange { first: 2_000_000, count: 65_536 },
        namespaces: Joined::default(),
        group: GroupPath { agent: "default".into(), instance: "shop-0a1b2c3d4e5f.0".into() },
    }
}

#[test]
fn a_bundle_is_as_the_golden_file() {
    golden("root.config.json", &bundle::text(&bundle::config(&instance()).unwrap()));
}

#[test]
fn a_user_a_writable_root_and_another_machine_differ_in_their_place() {
    let namespaces = Joined {
        user: Some("/run/openmesh/default/shop/user".into()),
        network: Some("/run/openmesh/default/shop/net".into()),
    };
    let user = Identity { user: 1_000, group: 1_000, groups: vec![44, 5, 44] };
    let mut other = Instance { machine: Machine::Aarch64, user, namespaces, ..instance() };
    other.root.writable = true;
    let (first, second) = (bundle::config(&instance()).unwrap(), bundle::config(&other).unwrap());
    let (first, second) = (bundle::text(&first), bundle::text(&second));
    let lines = |text: &str| text.lines().map(ToString::to_string).collect::<Vec<_>>();
    let (first, second) = (lines(&first), lines(&second));
    let gone = first.iter().filter(|line| !second.contains(line)).map(|line| format!("- {}\n", line.trim()));
    let come = second.iter().filter(|line| !first.contains(line)).map(|line| format!("+ {}\n", line.trim()));
    golden("other.diff.txt", &gone.chain(come).collect::<String>());
}

#[test]
fn what_cannot_be_is_refused_with_its_place() {
    type Spoil = fn(&mut Instance);
    let cases: [(&str, Spoil); 14] = [
        ("the command is empty", |i| i.command.clear()),
        ("`command` holds \"a\\0b\"", |i| i.command[1] = "a\0b".into()),
        ("`variables` holds \"A=B\"", |i| drop(i.variables.insert("A=B".into(), String::new()))),
        ("`hostname` is \"shop/1\": at most 64 letters", |i| i.hostname = "shop/1".into()),
        ("`group.agent` is \"..\"", |i| i.group.agent = "..".into()),
        ("`workdir` is \"srv\": it has to begin with /", |i| i.workdir = "srv".into()),
        ("`root.path` is \"/var/../etc\"", |i| i.root.path = "/var/../etc".into()),
        ("`binds.target` is \"/a//b\"", |i| i.binds[0].target = "/a//b".into()),
        ("/etc/shop.conf is mounted twice", |i| i.binds[0].target = "/etc/shop.conf".into()),
        ("/proc/sys is mounted twice, or is a path of the system", |i| i.binds[0].target = "/proc/sys".into()),
        ("`ids.first` is 0, it has to be from 1 to 4294901759", |i| i.ids.first = 0),
        ("`user.user` is 65536, it has to be from 0 to 65535", |i| i.user.user = 65_536),
        ("`limits.processors_milli` is 9, it has to be from 10", |i| i.limits.processors_milli = 9),
        ("`limits.memory_bytes` is 1, it has to be from 8388608", |i| i.limits.memory_bytes = 1),
    ];
    for (expected, spoil) in cases {
        let mut instance = instance();
        spoil(&mut instance);
        let said = bundle::config(&instance).unwrap_err().to_string();
        assert!(said.contains(expected), "{said} lacks {expected}");
    }
}

#[test]
fn a_bundle_is_written_whole_or_not_at_all() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let config = bundle::config(&instance()).unwrap();
    let path: PathBuf = bundle::write(&config, folder.path(), &open_door).unwrap();
    assert_eq!(bundle::read(folder.path()).unwrap(), config);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "variables hold secrets");
    let other = bundle::config(&Instance { hostname: "other".into(), ..instance() }).unwrap();
    let closed = |_: &str| Err(std::io::ErrorKind::StorageFull.into());
    assert!(bundle::write(&other, folder.path(), &closed).is_err());
    assert_eq!(bundle::read(folder.path()).unwrap(), config);
}

proptest! {
    /// Whatever a generation says, no bundle is weaker than X-40: refused, or with all its walls.
    #[test]
    fn no_instance_gets_out_of_its_walls(
        command in prop::collection::vec("\\PC{0,8}", 0..3),
        target in "/[a-z./]{0,12}",
        first in any::<u32>(),
        count in any::<u32>(),
        user in any::<u32>(),
        milli in any::<u64>(),
        memory in any::<u64>(),
    ) {
        let mut instance = instance();
        (instance.command, instance.binds[0].target) = (command, target.clone());
        instance.ids = IdRange { first, count };
        instance.user.user = user;
        instance.limits.processors_milli = milli;
        instance.limits.memory_bytes = memory;
        match bundle::config(&instance) {
            Err(BundleError::Bounds { value, least, most, .. }) => prop_assert!(value < least || value > most),
            Err(_) => {}
            Ok(config) => {
                prop_assert!(config.process.no_new_privileges && config.root.readonly);
                prop_assert!(config.linux.namespaces.len() == 7);
                prop_assert!(config.linux.uid_mappings[0].host_id > 0, "no id is the host's root");
                prop_assert!(!target.starts_with("/proc/") && target.split('/').all(|part| part != ".."));
                prop_assert!(config.linux.resources.cpu.quota >= 1_000 && config.linux.resources.memory.limit > 0);
                let text = bundle::text(&config);
                prop_assert_eq!(serde_json::from_str::<openmesh_cage::config::Config>(&text).unwrap(), config);
            }
        }
    }
}
