//! Applications deployed, changed, broken and removed.

use std::path::PathBuf;

use openmesh_blueprint::Refusal;
use openmesh_blueprint::document::Name;
use openmesh_xnode::{XnodeError, open};

pub use crate::ports::free_port;
use crate::world::{PATIENCE, World, ask, runtime, server, until};

/// A document with one application that has a volume.
pub fn document(image: &str, port: u16) -> String {
    format!(
        "applications:\n  web:\n    image: {image}\n    ports: {{http: {{port: 8080, publish: {{port: {port}, address: 127.0.0.1}}}}}}\n    \
         volumes: {{data: {{path: /data, size: 16MiB}}}}\n    health: {{http: {{port: http}}}}\n    limits: {{memory: 128MiB}}\n    \
         switch: {{gate: 30s, probation: 0ms, drain: 1s}}\n"
    )
}

#[test]
fn an_application_is_deployed_changed_and_keeps_its_data() {
    let Some(mut world) = World::new() else { return };
    world.image("localhost/web:1", &server("one"));
    world.image("localhost/web:2", &server("two"));
    let port = free_port();
    let at = ("127.0.0.1", port);
    assert!(world.deploy(&document("localhost/web:1", port)) > 5);
    assert_eq!(ask("GET", at, "/").as_deref(), Some("one\n"));
    assert_eq!(ask("POST", at, "/kept").as_deref(), Some("one\nkept\n"));
    assert_eq!(world.converge(), 0, "nothing is left to do");
    // Another agent finds everything as it is.
    world.again();
    assert_eq!(world.converge(), 0);
    world.deploy(&document("localhost/web:2", port));
    assert_eq!(ask("GET", at, "/").as_deref(), Some("two\nkept\n"));
    world.deploy("applications: {}\n");
    assert_eq!(ask("GET", at, "/"), None);
}

#[test]
fn a_killed_application_comes_back_by_itself() {
    let Some(mut world) = World::new() else { return };
    world.image("localhost/web:1", &server("one"));
    let port = free_port();
    world.deploy(&document("localhost/web:1", port));
    let pids = world.agent().processes(&"web".parse().unwrap()).unwrap();
    for pid in pids {
        let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
    until("an answer", || ask("GET", ("127.0.0.1", port), "/").as_deref() == Some("one\n"));
    world.converge();
}

/// Two applications: `web`, and `other` at a port of its own.
fn two(port: u16, other: (&str, u16)) -> String {
    let (image, at) = other;
    let second = document(image, at);
    let second = second.strip_prefix("applications:\n").unwrap().replace("  web:", "  other:");
    format!("{}{second}", document("localhost/web:1", port))
}

#[test]
fn a_damaged_note_holds_its_application_alone() {
    let Some(mut world) = World::new() else { return };
    world.image("localhost/web:1", &server("one"));
    world.image("localhost/web:2", &server("two"));
    let (port, at) = (free_port(), free_port());
    world.deploy(&two(port, ("localhost/web:1", at)));
    let folder = world.paths().instances(&"web".parse().unwrap());
    let note = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path().join("instance.json");
    let whole = std::fs::read(&note).unwrap();
    std::fs::write(&note, "{").unwrap();
    world.deploy(&two(port, ("localhost/web:2", at)));
    assert_eq!(ask("GET", ("127.0.0.1", at), "/").as_deref(), Some("two\n"), "the other one goes on");
    let plan = world.agent().look().unwrap().plan.unwrap().unwrap();
    let held: Vec<&str> = plan.held.iter().map(Refusal::word).collect();
    assert_eq!(held, ["faulty"]);
    std::fs::write(&note, whole).unwrap();
    world.converge();
    assert_eq!(ask("GET", ("127.0.0.1", port), "/").as_deref(), Some("one\n"));
}

#[test]
fn a_refused_generation_leaves_the_serving_one_attended() {
    let Some(mut world) = World::new() else { return };
    world.image("localhost/web:1", &server("one"));
    let port = free_port();
    world.deploy(&document("localhost/web:1", port));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let refused = world.resolve(&document("localhost/web:1", taken.local_addr().unwrap().port()));
    world.agent().want(&refused, &open).unwrap();
    let name = "web".parse().unwrap();
    let look = world.agent().look().unwrap();
    let shim = look.instances[&name].values().next().unwrap().status.as_ref().unwrap().shim_pid;
    let pid = rustix::process::Pid::from_raw(shim.cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    until("the end of the shim", || !world.agent().look().unwrap().instances[&name].values().any(|one| one.is_watched));
    let error = runtime().block_on(world.agent().converge(PATIENCE, &open)).unwrap_err();
    assert!(matches!(error, XnodeError::Refused { .. }), "{error}");
    assert_eq!(ask("GET", ("127.0.0.1", port), "/").as_deref(), Some("one\n"), "it was started again");
    drop(taken);
    world.converge();
}

#[test]
fn two_agents_do_not_work_on_one_state() {
    let Some(mut world) = World::new() else { return };
    let error = world.second().err().unwrap();
    assert!(matches!(error, XnodeError::AnotherAgent { pid: Some(pid), .. } if pid == std::process::id()), "{error}");
    world.again();
}

#[test]
fn a_number_is_not_given_to_two_generations() {
    let Some(mut world) = World::new() else { return };
    let first = world.resolve("applications: {}\n");
    world.agent().want(&first, &open).unwrap();
    world.agent().want(&first, &open).unwrap();
    let mut other = first.clone();
    other.cause.reason = "another one".into();
    let error = world.agent().want(&other, &open).unwrap_err();
    assert!(matches!(error, XnodeError::NumberTaken { number: 1 }), "{error}");
}

/// Numbers go up alone: what a late request still wants is refused, also where that generation is kept.
#[test]
fn a_generation_below_the_one_that_serves_is_not_wanted() {
    let Some(mut world) = World::new() else { return };
    world.deploy("applications: {}\n");
    world.deploy("applications: {}\n");
    let first = world.generations[0].clone();
    let error = world.agent().want(&first, &open).unwrap_err();
    assert!(matches!(error, XnodeError::Older { number: 1, current: 2 }), "{error}");
    let (wanted, serving) = world.agent().generations().unwrap().unwrap();
    assert_eq!((wanted.number, serving.map(|serving| serving.number)), (2, Some(2)), "nothing has changed");
}

/// An instance that a death within `create` leaves after the machine has started anew is made whole by the next start, and what a removal has left is stopped.
#[test]
fn an_instance_that_is_not_whole_is_made_again() {
    let Some(mut world) = World::new() else { return };
    world.image("localhost/web:1", &server("one"));
    let port = free_port();
    world.deploy(&document("localhost/web:1", port));
    let name = "web".parse().unwrap();
    let look = world.agent().look().unwrap();
    let (id, one) = look.instances[&name].iter().next().unwrap();
    let pid = rustix::process::Pid::from_raw(one.status.as_ref().unwrap().shim_pid.cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    until("the end", || world.agent().processes(&name).unwrap().is_empty());
    let instance = openmesh_xnode::paths::instance_name(&name, id);
    let root = world.paths().root(&instance);
    assert!(std::process::Command::new("umount").arg(&root).status().unwrap().success());
    world.converge();
    assert_eq!(ask("GET", ("127.0.0.1", port), "/").as_deref(), Some("one\n"));
    // The removal of a folder was broken off behind its configuration: it has no shim any more.
    let look = world.agent().look().unwrap();
    let shim = look.instances[&name][id].status.as_ref().unwrap().shim_pid;
    let pid = rustix::process::Pid::from_raw(shim.cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    until("the end", || world.agent().processes(&name).unwrap().is_empty());
    std::fs::remove_file(world.paths().instance(&name, id).join("shim.json")).unwrap();
    world.deploy("applications: {}\n");
    assert_eq!(ask("GET", ("127.0.0.1", port), "/"), None);
}

/// Ends the only instance of an application with its shim; its folder and its shim's name.
fn end_all(world: &World, name: &Name) -> (PathBuf, String) {
    let look = world.agent().look().unwrap();
    let (id, one) = look.instances[name].iter().next().unwrap();
    let pid = rustix::process::Pid::from_raw(one.status.as_ref().unwrap().shim_pid.cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    until("the end", || world.agent().processes(name).unwrap().is_empty());
    (world.paths().instance(name, id), openmesh_xnode::paths::instance_name(name, id))
}

/// An earlier version kept bundles on the disk: what runs by one goes on, and the next one is made in memory, with nothing left on the disk.
#[test]
fn a_bundle_of_an_earlier_version_goes_on_and_is_then_made_in_memory() {
    let Some(mut world) = World::new() else { return };
    world.image("localhost/web:1", &server("one"));
    let port = free_port();
    world.deploy(&document("localhost/web:1", port));
    let name: Name = "web".parse().unwrap();
    let (folder, instance) = end_all(&world, &name);
    let (now, before) = (world.paths().shim(&instance).join("bundle"), folder.join("bundle"));
    assert!(now.join("config.json").is_file() && !before.exists());
    // As the earlier version had it.
    std::fs::create_dir(&before).unwrap();
    std::fs::rename(now.join("config.json"), before.join("config.json")).unwrap();
    std::fs::remove_dir_all(&now).unwrap();
    let config = folder.join("shim.json");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace(now.to_str().unwrap(), before.to_str().unwrap())).unwrap();
    world.converge();
    assert_eq!(ask("GET", ("127.0.0.1", port), "/").as_deref(), Some("one\n"));
    assert!(before.join("config.json").is_file() && !now.exists(), "it goes on by what it was made of");
    assert_eq!(world.converge(), 0, "nothing is left to do");
    // After a start of the machine its root is gone.
    end_all(&world, &name);
    assert!(std::process::Command::new("umount").arg(world.paths().root(&instance)).status().unwrap().success());
    world.converge();
    assert_eq!(ask("GET", ("127.0.0.1", port), "/").as_deref(), Some("one\n"));
    assert!(now.join("config.json").is_file() && !before.exists());
    // A shim that was told of a bundle which is not there is told anew.
    end_all(&world, &name);
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace(now.to_str().unwrap(), before.to_str().unwrap())).unwrap();
    world.converge();
    assert_eq!(ask("GET", ("127.0.0.1", port), "/").as_deref(), Some("one\n"));
}

#[test]
fn images_of_kept_generations_are_leased_however_they_came() {
    let Some(mut world) = World::new() else { return };
    world.image("localhost/web:1", &server("one"));
    world.deploy(&document("localhost/web:1", free_port()));
    let store = &world.agent().machine().images;
    store.lease("generations", &std::collections::BTreeSet::new(), &open).unwrap();
    assert_eq!(world.converge(), 0);
    let digest = world.generations[0].portable.applications[&"web".parse().unwrap()].image.digest;
    assert!(store.leases().unwrap()["generations"].contains(&digest));
}
