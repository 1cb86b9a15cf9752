//! GPUs of a made-up machine given to instances (X-45): the node of `/dev/null` stands for a card's. No test here needs a GPU.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use openmesh_blueprint::Refusal;
use openmesh_blueprint::document::Name;
use openmesh_blueprint::gpu::PciAddress;
use openmesh_cage::cgroup::Layout;
use openmesh_xnode::restarts::Wished;
use openmesh_xnode::{XnodeError, open};
use rustix::fs::{CWD, FileType, Mode, StatVfsMountFlags, makedev, mknodat, statvfs};
use tempfile::TempDir;

use crate::deploy::{document, free_port};
use crate::world::{PATIENCE, World, ask, runtime, server};

const ADDRESS: &str = "0000:01:00.0";

/// Files of a machine with one GPU of NVIDIA, whose node has the numbers of `/dev/null`.
fn tree() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    for (path, text) in [
        ("proc/devices".to_string(), "Character devices:\n  1 nvidia\n"),
        (format!("proc/driver/nvidia/gpus/{ADDRESS}/information"), "Model: \t\t Made-up card\nDevice Minor: \t 3\n"),
        ("usr/lib64/libcuda.so.1".to_string(), "the driver's\n"),
    ] {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

/// The lack of this machine, or of the folder, for nodes of devices; none where they can be made and opened there.
fn lacking(folder: &Path) -> Option<String> {
    if matches!(Layout::find(), Ok(Layout::V2 { .. })) {
        return Some("with control groups v2 libcontainer gives no GPU".to_string());
    }
    if statvfs(folder).unwrap().f_flag.contains(StatVfsMountFlags::NODEV) {
        return Some(format!("{} lies on a file system without devices", folder.display()));
    }
    let node = folder.join("node-of-a-device");
    let mode = Mode::from_raw_mode(0o600);
    let made = mknodat(CWD, &node, FileType::CharacterDevice, mode, makedev(1, 3));
    made.map(|()| std::fs::remove_file(&node).unwrap()).err().map(|error| format!("no nodes of devices: {error}"))
}

/// A server that says whether it can open the GPU, and what it finds of the driver.
fn user_of_a_gpu() -> String {
    let look = r#"my $card = open(D, '+<', '/dev/nvidia3') ? 'opened' : "closed ($!)"; my $lib = 'none';
if (open(L, '<', '/usr/local/nvidia/lib64/libcuda.so.1')) { $lib = <L>; chomp $lib; }
my $path = $ENV{LD_LIBRARY_PATH} // 'nowhere';
"#;
    format!("{look}{}", server("$card, $lib, $path"))
}

#[test]
fn an_instance_gets_its_gpu_with_the_driver_of_the_host() {
    let Some(mut world) = World::new() else { return };
    if let Some(lacking) = lacking(world.folder()) {
        return println!("skipped: {lacking}");
    }
    let machine = tree();
    world.with(|one| one.gpu_root = machine.path().to_path_buf());
    world.image("localhost/web:1", &user_of_a_gpu());
    world.image("localhost/web:2", &server("two"));
    let (port, web): (u16, Name) = (free_port(), "web".parse().unwrap());
    let address: PciAddress = ADDRESS.parse().unwrap();
    let with_gpu = |image: &str| format!("{}    gpus: {{vendor: nvidia}}\n", document(image, port));
    let at = ("127.0.0.1", port);
    assert_eq!(world.agent().gpus().unwrap().busy.get(&address), None);
    world.deploy(&with_gpu("localhost/web:1"));
    assert_eq!(ask("GET", at, "/").as_deref(), Some("opened, the driver's, /usr/local/nvidia/lib64\n"));
    let stock = world.agent().gpus().unwrap();
    assert_eq!((stock.there[&address].model.as_str(), stock.busy.get(&address)), ("Made-up card", Some(&web)));
    let description = world.paths().descriptions().join("openmesh.network-nvidia-gpu.json");
    let text = std::fs::read_to_string(description).unwrap();
    assert!(text.contains(r#""kind": "openmesh.network/nvidia-gpu""#) && text.contains(ADDRESS), "{text}");
    // Nobody of the host but root finds the nodes of an instance.
    let id = world.agent().look().unwrap().instances[&web].keys().next().unwrap().clone();
    let nodes = world.paths().instance(&web, &id).join("devices");
    assert_eq!(std::fs::metadata(&nodes).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(std::fs::read_dir(&nodes).unwrap().count(), 2, "the GPU's and that of its driver");
    // The next version gets the same one after the end of the first; without the wish it is free.
    world.deploy(&with_gpu("localhost/web:2"));
    assert_eq!(ask("GET", at, "/").as_deref(), Some("two\n"));
    assert_eq!(world.agent().gpus().unwrap().busy.get(&address), Some(&web));
    world.deploy(&document("localhost/web:2", port));
    assert_eq!(world.agent().gpus().unwrap().busy.get(&address), None);
}

/// A driver that was loaded again may give a number to another GPU: an instance that starts anew has the nodes of its own.
#[test]
fn an_instance_that_starts_anew_has_the_nodes_that_its_gpu_has_by_now() {
    let Some(mut world) = World::new() else { return };
    if let Some(lacking) = lacking(world.folder()) {
        return println!("skipped: {lacking}");
    }
    let machine = tree();
    world.with(|one| one.gpu_root = machine.path().to_path_buf());
    world.image("localhost/web:1", &user_of_a_gpu());
    let (port, web): (u16, Name) = (free_port(), "web".parse().unwrap());
    world.deploy(&format!("{}    gpus: {{}}\n", document("localhost/web:1", port)));
    let look = world.agent().look().unwrap();
    let nodes = world.paths().instance(&web, look.instances[&web].keys().next().unwrap()).join("devices");
    assert!(nodes.join("nvidia3").exists());
    let information = machine.path().join(format!("proc/driver/nvidia/gpus/{ADDRESS}/information"));
    std::fs::write(information, "Model: \t\t Made-up card\nDevice Minor: \t 5\n").unwrap();
    let wished = Wished { by: "alice", reason: "a test", instance: None };
    world.agent().restart(&look, &web, wished, &open).unwrap();
    world.converge();
    let number = std::fs::metadata(nodes.join("nvidia5")).unwrap().rdev();
    assert_eq!((number, nodes.join("nvidia3").exists()), (makedev(1, 5), false));
    assert!(ask("GET", ("127.0.0.1", port), "/").unwrap().starts_with("closed"), "it has no other one");
}

#[test]
fn a_gpu_of_another_agent_is_given_to_nobody() {
    let Some(mut world) = World::new() else { return };
    if let Some(lacking) = lacking(world.folder()) {
        return println!("skipped: {lacking}");
    }
    let machine = tree();
    world.with(|one| one.gpu_root = machine.path().to_path_buf());
    world.image("localhost/web:1", &user_of_a_gpu());
    let port = free_port();
    let text = format!("{}    gpus: {{}}\n", document("localhost/web:1", port));
    let generation = world.resolve(&text);
    // Another agent gives it away in between, as its list says.
    let folder = machine.path().join("instance");
    std::fs::create_dir(&folder).unwrap();
    let list = machine.path().join("var/lib/openmesh/xnodes/gpus.json");
    let other =
        format!(r#"{{"{ADDRESS}": {{"agent": "other", "application": "chat", "folder": "{}"}}}}"#, folder.display());
    std::fs::create_dir_all(list.parent().unwrap()).unwrap();
    std::fs::write(&list, other).unwrap();
    let address: PciAddress = ADDRESS.parse().unwrap();
    let stock = world.agent().gpus().unwrap();
    assert_eq!(stock.others.get(&address).map(String::as_str), Some("chat of the agent `other`"));
    world.agent().want(&generation, &open).unwrap();
    let error = runtime().block_on(world.agent().converge(PATIENCE, &open)).unwrap_err().to_string();
    assert!(error.contains("still that of chat of the agent `other`"), "{error}");
    std::fs::remove_dir(&folder).unwrap();
    world.converge();
    assert_eq!(
        ask("GET", ("127.0.0.1", port), "/").as_deref(),
        Some("opened, the driver's, /usr/local/nvidia/lib64\n")
    );
}

#[test]
fn a_gpu_that_has_gone_holds_its_application_alone() {
    let Some(mut world) = World::new() else { return };
    if let Some(lacking) = lacking(world.folder()) {
        return println!("skipped: {lacking}");
    }
    let machine = tree();
    world.with(|one| one.gpu_root = machine.path().to_path_buf());
    world.image("localhost/web:1", &user_of_a_gpu());
    let port = free_port();
    let text = format!("{}    gpus: {{}}\n", document("localhost/web:1", port));
    world.deploy(&text);
    let driver = machine.path().join("proc/driver");
    std::fs::remove_dir_all(&driver).unwrap();
    let held = |world: &World| {
        let plan = world.agent().look().unwrap().plan.unwrap().unwrap();
        plan.held.iter().map(Refusal::word).collect::<Vec<_>>()
    };
    assert_eq!(held(&world), ["gpu_missing"]);
    assert!(ask("GET", ("127.0.0.1", port), "/").is_some(), "it goes on");
    assert_eq!(world.agent().gpus().unwrap().there.len(), 0);
}

/// With control groups v2 libcontainer filters no devices: a version that asks for GPUs is refused before anything is made of it.
#[test]
fn a_gpu_is_given_to_nobody_where_nothing_filters_devices() {
    let Some(mut world) = World::new() else { return };
    let machine = tree();
    world.with(|one| {
        one.gpu_root = machine.path().to_path_buf();
        one.layout = Layout::V2 { root: "/sys/fs/cgroup".into() };
    });
    world.image("localhost/web:1", &user_of_a_gpu());
    let generation = world.resolve(&format!("{}    gpus: {{}}\n", document("localhost/web:1", free_port())));
    let Err(XnodeError::Refused { refusals }) = world.agent().plan(&generation, None) else { panic!("it is planned") };
    assert_eq!(refusals.iter().map(Refusal::word).collect::<Vec<_>>(), ["gpu_unusable"]);
    assert!(refusals[0].to_string().contains("--runc"), "{}", refusals[0]);
    // What is removed behind this is that of the machine as it is.
    world.with(|_| ());
}
