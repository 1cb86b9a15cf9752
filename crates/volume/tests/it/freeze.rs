//! A frozen file system, and that nobody stays frozen.

use std::fs;
use std::io::Read as _;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use openmesh_volume::{Finding, Id, VolumeError, Volumes, open};

use crate::world::{LARGE, SMALL, World, instance, run};

const ORDER: &str = "OPENMESH_VOLUME_TEST_HOLDER";
/// A writer that is not frozen is done well within it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts to write, and says when it is done.
fn writer(world: &World, id: Id) -> mpsc::Receiver<()> {
    let path = world.volumes.line_folder(id, 1).join("written");
    let (done, is_done) = mpsc::channel();
    std::thread::spawn(move || {
        fs::write(path, "x").unwrap();
        done.send(()).unwrap();
    });
    is_done
}

/// Does something while a volume is frozen, and again where this machine was too slow for that.
fn while_frozen<T>(world: &World, id: Id, act: impl Fn() -> T) -> T {
    for _ in 0..10 {
        let frozen = world.volumes.freeze(id, &open).unwrap();
        let done = act();
        match frozen.thaw() {
            Err(VolumeError::Thawed { .. }) => {}
            other => {
                other.unwrap();
                return done;
            }
        }
    }
    panic!("never done within the time of a freeze");
}

#[test]
fn a_frozen_volume_is_read_and_not_written_until_it_is_thawed() {
    let Some(world) = World::new() else { return };
    for bytes in [SMALL, LARGE] {
        let id = world.make(bytes);
        world.write(id, 1, "before", "x");
        let (is_done, early, findings) = while_frozen(&world, id, || {
            let is_done = writer(&world, id);
            let early = is_done.recv_timeout(Duration::from_millis(100));
            (is_done, early, world.findings(id))
        });
        assert_eq!(early, Err(mpsc::RecvTimeoutError::Timeout));
        assert_eq!(findings, [Finding::Frozen], "it can be looked at");
        is_done.recv_timeout(PATIENCE).unwrap();
        assert_eq!(world.findings(id), vec![]);
        drop(world.volumes.freeze(id, &open).unwrap());
        writer(&world, id).recv_timeout(PATIENCE).unwrap();
        assert_eq!(world.findings(id), vec![], "dropped is thawed");
    }
}

#[test]
fn what_somebody_else_has_frozen_stays_frozen() {
    let Some(world) = World::new() else { return };
    let id = world.make(SMALL);
    let point = world.mount_point(id);
    run("fsfreeze", &["--freeze", point.to_str().unwrap()]);
    let error = world.volumes.freeze(id, &open).unwrap_err().to_string();
    let is_done = writer(&world, id);
    let early = is_done.recv_timeout(Duration::from_millis(100));
    let findings = world.findings(id);
    run("fsfreeze", &["--unfreeze", point.to_str().unwrap()]);
    assert_eq!(early, Err(mpsc::RecvTimeoutError::Timeout));
    assert!(error.contains("was not frozen") && error.contains("busy"), "{error}");
    assert_eq!(findings, vec![], "no mark of ours");
    is_done.recv_timeout(PATIENCE).unwrap();
}

#[test]
fn a_copy_goes_to_another_file_system_and_not_beside_a_user() {
    let Some(world) = World::new() else { return };
    let id = world.make(SMALL);
    world.write(id, 1, "orders", "one");
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() {
        let elsewhere = tempfile::tempdir_in(memory).unwrap();
        let copy = elsewhere.path().join("copy");
        world.volumes.copy_image(id, &copy, &open).unwrap();
        assert_eq!(fs::metadata(&copy).unwrap().len(), SMALL);
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 1, "it had another name until it was whole");
    } else {
        eprintln!("skipped: there is no {}", memory.display());
    }
    // Mounted where this process does not see it as the volume's.
    let (hand, copy) = (world.folder().join("hand"), world.folder().join("copy"));
    fs::create_dir_all(&hand).unwrap();
    run("mount", &["--bind", world.mount_point(id).to_str().unwrap(), hand.to_str().unwrap()]);
    nix::mount::umount2(&world.mount_point(id), nix::mount::MntFlags::empty()).unwrap();
    let refused = world.volumes.copy_image(id, &copy, &open);
    assert!(matches!(refused, Err(VolumeError::Busy { .. })), "{refused:?}");
    assert!(!copy.exists());
    nix::mount::umount2(&hand, nix::mount::MntFlags::empty()).unwrap();
    world.volumes.copy_image(id, &copy, &open).unwrap();
    assert_eq!(fs::metadata(&copy).unwrap().len(), SMALL);
    world.volumes.mount(id, &open).unwrap();
}

#[test]
#[ignore = "it is started by other tests, and killed"]
fn the_process_that_holds() {
    let Ok(order) = std::env::var(ORDER) else { return };
    let parts: Vec<&str> = order.split('|').collect();
    let [root, instance, id] = parts[..] else { panic!("{order}") };
    let volumes = Volumes::open(root.as_ref(), instance).unwrap();
    let frozen = volumes.freeze(id.parse().unwrap(), &open).unwrap();
    println!("holds");
    let _ = std::io::stdin().read(&mut [0]);
    frozen.thaw().unwrap();
}

fn holder(world: &World, id: Id) -> std::process::Child {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["freeze::the_process_that_holds", "--exact", "--ignored", "--nocapture"]);
    child.env(ORDER, format!("{}|{}|{id}", world.volumes.root().display(), instance()));
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    while !said.contains("holds\n") {
        let mut byte = [0];
        child.stdout.as_mut().unwrap().read_exact(&mut byte).unwrap();
        said.push(char::from(byte[0]));
    }
    child
}

#[test]
fn the_watchdog_thaws_when_the_holder_dies() {
    let Some(world) = World::new() else { return };
    let id = world.make(SMALL);
    let mut child = holder(&world, id);
    let is_done = writer(&world, id);
    assert!(is_done.recv_timeout(Duration::from_millis(100)).is_err());
    child.kill().unwrap();
    child.wait().unwrap();
    is_done.recv_timeout(PATIENCE).unwrap();
    assert_eq!(world.findings(id), [Finding::Frozen], "the mark is left, since nobody knows");
    assert_eq!(world.volumes.repair(id, &open).unwrap().findings, vec![]);
}

#[test]
fn a_repair_thaws_where_the_watchdog_died_as_well() {
    let Some(world) = World::new() else { return };
    let id = world.make(SMALL);
    let mut child = holder(&world, id);
    let watchdog = run("pgrep", &["-P", &child.id().to_string(), "sh"]);
    run("kill", &["-KILL", watchdog.trim()]);
    child.kill().unwrap();
    child.wait().unwrap();
    let is_done = writer(&world, id);
    assert!(is_done.recv_timeout(Duration::from_millis(100)).is_err(), "frozen, and nobody is left who knows");
    assert_eq!(world.volumes.repair(id, &open).unwrap().findings, vec![]);
    is_done.recv_timeout(PATIENCE).unwrap();
}

#[test]
fn an_image_is_copied_as_of_one_moment_and_mounts_elsewhere() {
    let Some(world) = World::new() else { return };
    for bytes in [SMALL, LARGE] {
        let id = world.make(bytes);
        let path = world.volumes.line_folder(id, 1).join("orders");
        fs::write(&path, "not even synced").unwrap();
        let (copy, point) = (world.folder().join("copy"), world.folder().join("point"));
        world.volumes.copy_image(id, &copy, &open).unwrap();
        fs::write(&path, "later").unwrap();
        assert!(matches!(world.volumes.copy_image(id, &copy, &open), Err(VolumeError::Io { .. })), "it is there");
        world.volumes.unmount(id, &open).unwrap();
        fs::create_dir_all(&point).unwrap();
        // Read-only and without replay: all of it is on the image.
        let options = if bytes == LARGE { "loop,ro,norecovery" } else { "loop,ro,noload" };
        run("mount", &["-o", options, copy.to_str().unwrap(), point.to_str().unwrap()]);
        assert_eq!(fs::read_to_string(point.join("lines/1/orders")).unwrap(), "not even synced");
        run("umount", &[point.to_str().unwrap()]);
        fs::remove_file(copy).unwrap();
    }
}
