//! Repairs of an agent: changes and breakages by somebody else, and consequences that follow by themselves.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use openmesh_blueprint::Refusal;
use openmesh_blueprint::document::Name;
use openmesh_blueprint::generation::Disposal;
use openmesh_blueprint::inventory::{InstanceId, InstanceState};
use openmesh_cage::cgroup::Controller;
use openmesh_xnode::paths::instance_name;
use openmesh_xnode::{EventKind, XnodeError, open};

use crate::deploy::{document, free_port};
use crate::world::{PATIENCE, World, ask, runtime, server, until};

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// Instances of an application that are there.
fn instances(world: &World, application: &str) -> Vec<InstanceId> {
    let look = world.agent().look().unwrap();
    look.instances.get(&name(application)).into_iter().flat_map(|found| found.keys().cloned()).collect()
}

/// Process of the shim of an application's only instance, where it lives.
fn shim(world: &World, application: &str) -> Option<u32> {
    let look = world.agent().look().unwrap();
    let one = look.instances.get(&name(application))?.values().next()?.clone();
    one.status.filter(|_| one.is_watched).map(|status| status.shim_pid)
}

fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

/// Causes of the events of a kind that were not taken yet.
fn causes(world: &World, kind: EventKind) -> Vec<String> {
    let events = world.agent().take_events();
    events.into_iter().filter(|event| event.kind == kind).map(|event| event.cause).collect()
}

/// Runs a program that changes the network; false where it is not here.
fn network(program: &str, arguments: &[&str]) -> bool {
    match Command::new(program).args(arguments).output() {
        Err(_) => {
            println!("skipped: {program} is missing");
            false
        }
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            true
        }
    }
}

/// Name of the host's end of the only instance's link.
fn link(world: &World) -> String {
    let prefix = openmesh_links::names::link_prefix(&world.name);
    let links = std::fs::read_dir("/sys/class/net").unwrap().flatten();
    let mut ours =
        links.filter_map(|link| link.file_name().into_string().ok()).filter(|link| link.starts_with(&prefix));
    ours.next().unwrap()
}

#[test]
fn a_network_that_somebody_changes_is_made_again_and_told() {
    let Some(mut world) = World::new() else { return };
    world.image("localhost/web:1", &server("one"));
    let port = free_port();
    world.deploy(&document("localhost/web:1", port));
    assert!(causes(&world, EventKind::Repaired).is_empty(), "nothing but the agent's own doing");
    let table = format!("openmesh-{}", world.name);
    let link = link(&world);
    let changes: [(&str, &[&str], &str); 3] = [
        ("ip", &["link", "delete", &link], "its veth pair is gone"),
        ("ip", &["address", "flush", "dev", &link], "its end on the host"),
        ("nft", &["flush", "table", "inet", &table], "the nft table was altered"),
    ];
    for (program, arguments, words) in changes {
        if !network(program, arguments) {
            continue;
        }
        world.converge();
        let told = causes(&world, EventKind::Repaired);
        assert!(told.iter().any(|cause| cause.contains(words)), "{arguments:?}: {told:?}");
        assert_eq!(ask("GET", ("127.0.0.1", port), "/").as_deref(), Some("one\n"), "{arguments:?}");
        world.converge();
        assert!(causes(&world, EventKind::Repaired).is_empty(), "it is told once");
    }
}

/// Two applications without data, of which `web` reaches `db`.
fn pair(db: &str, port: u16) -> String {
    format!(
        "applications:\n  db: {{image: {db}, ports: {{http: {{port: 8080}}}}, health: {{http: {{port: http}}}}, limits: {{memory: 128MiB}}, \
         switch: {{gate: 30s, probation: 0ms, drain: 1s}}}}\n  web:\n    image: localhost/web:1\n    links: [db]\n    \
         ports: {{http: {{port: 8080, publish: {{port: {port}, address: 127.0.0.1}}}}}}\n    health: {{http: {{port: http}}}}\n    \
         limits: {{memory: 128MiB}}\n    switch: {{gate: 30s, probation: 0ms, drain: 1s}}\n"
    )
}

/// A file of a running application, as its processes see it.
fn inside(world: &World, application: &str, path: &str) -> PathBuf {
    let pid = *world.agent().processes(&name(application)).unwrap().first().unwrap();
    PathBuf::from(format!("/proc/{pid}/root{path}"))
}

#[test]
fn hosts_follow_the_version_that_serves() {
    let Some(mut world) = World::new() else { return };
    for image in ["web:1", "db:1", "db:2"] {
        world.image(&format!("localhost/{image}"), &server(image));
    }
    let port = free_port();
    world.deploy(&pair("localhost/db:1", port));
    let (web, hosts) = (instances(&world, "web"), inside(&world, "web", "/etc/hosts"));
    let address = |world: &World| world.agent().look().unwrap().instances[&name("db")].values().next().unwrap().address;
    let lines = |world: &World| -> Vec<String> {
        let text = std::fs::read_to_string(&hosts).unwrap();
        assert!(text.contains(&format!("{} db\n", address(world))), "{text}");
        text.lines().filter(|line| line.ends_with(" db")).map(str::to_string).collect()
    };
    let (first, inode) = (lines(&world), std::fs::metadata(&hosts).unwrap().ino());
    world.deploy(&pair("localhost/db:2", port));
    assert_eq!(instances(&world, "web"), web, "web is the same instance");
    let second = lines(&world);
    assert_eq!((first.len(), second.len()), (1, 1), "one address: {first:?}, {second:?}");
    assert_ne!(first, second);
    assert_eq!(std::fs::metadata(&hosts).unwrap().ino(), inode, "in place, so that the instance sees it");
}

#[test]
fn resolvers_follow_the_hosts() {
    let Some(mut world) = World::new() else { return };
    let file = world.paths().state().join("resolv.conf");
    std::fs::write(&file, "nameserver 192.0.2.1\n").unwrap();
    world.with(|machine| machine.resolv_conf.clone_from(&file));
    world.image("localhost/web:1", &server("one"));
    world.deploy(&document("localhost/web:1", free_port()));
    let seen = inside(&world, "web", "/etc/resolv.conf");
    assert_eq!(std::fs::read_to_string(&seen).unwrap(), "nameserver 192.0.2.1\n");
    std::fs::write(&file, "nameserver 192.0.2.2\nsearch home.example\n").unwrap();
    world.converge();
    assert_eq!(std::fs::read_to_string(&seen).unwrap(), "nameserver 192.0.2.2\nsearch home.example\n");
    // Whoever writes it may be in the middle of it.
    std::fs::write(&file, "").unwrap();
    world.converge();
    assert_eq!(std::fs::read_to_string(&seen).unwrap(), "nameserver 192.0.2.2\nsearch home.example\n");
}

/// An application that ends by itself.
fn task(image: &str, health: &str) -> String {
    format!(
        "applications:\n  task: {{image: {image}, restart: never, ports: {{http: {{port: 8080}}}}, {health}limits: {{memory: 128MiB}}, \
         switch: {{gate: 30m, probation: 0ms}}}}\n"
    )
}

#[test]
fn what_is_over_fails_its_gate_at_once_with_its_last_words() {
    let Some(mut world) = World::new() else { return };
    world.image("localhost/task:1", "print STDERR \"no database here\\n\"; exit 3;");
    let text = task("localhost/task:1", "health: {http: {port: http}}, ");
    let generation = world.resolve(&text);
    world.agent().want(&generation, &open).unwrap();
    // Its gate has half an hour; the patience of this test is far shorter.
    let error = runtime().block_on(world.agent().converge(PATIENCE, &open)).unwrap_err();
    let XnodeError::Refused { refusals } = error else { panic!("{error}") };
    let [Refusal::GateFailed { cause, .. }] = &refusals[..] else { panic!("{refusals:?}") };
    assert!(cause.contains("ended with code 3") && cause.contains("no database here"), "{cause}");
    // Wanted again as it is, it is started again, once.
    let again = world.resolve(&text);
    world.agent().want(&again, &open).unwrap();
    runtime().block_on(world.agent().converge(PATIENCE, &open)).unwrap_err();
    let look = world.agent().look().unwrap();
    let status = look.instances[&name("task")].values().next().unwrap().status.clone().unwrap();
    assert_eq!(status.run, 2);
}

#[test]
fn what_is_over_is_not_started_again() {
    let Some(mut world) = World::new() else { return };
    world.image("localhost/task:1", "print \"done\\n\"; exit 0;");
    world.deploy(&task("localhost/task:1", ""));
    until("the end of the task", || {
        let look = world.agent().look().unwrap();
        let state = look.inventory.applications[&name("task")].instances.values().next().unwrap().state;
        state == InstanceState::Over(0)
    });
    for _ in 0..2 {
        assert_eq!(world.converge(), 0, "nothing is left to do");
        let look = world.agent().look().unwrap();
        let status = look.instances[&name("task")].values().next().unwrap().status.clone().unwrap();
        assert_eq!(status.run, 1, "it ran once");
        world.again();
    }
}

#[test]
fn a_frozen_version_does_not_hold_up_the_next() {
    let Some(mut world) = World::new() else { return };
    world.image("localhost/web:1", &server("one"));
    world.image("localhost/web:2", &server("two"));
    let port = free_port();
    world.deploy(&document("localhost/web:1", port));
    let id = instances(&world, "web").remove(0);
    world.agent().machine().group(&instance_name(&name("web"), &id)).freeze(&open).unwrap();
    world.deploy(&document("localhost/web:2", port));
    assert_eq!(ask("GET", ("127.0.0.1", port), "/").as_deref(), Some("two\n"));
    let told = causes(&world, EventKind::Repaired);
    assert!(told.iter().any(|cause| cause.contains("was frozen")), "{told:?}");
    // The same where its first process was stopped by a signal.
    let pid = *world.agent().processes(&name("web")).unwrap().first().unwrap();
    signal(pid, rustix::process::Signal::STOP);
    until("the stop", || {
        let look = world.agent().look().unwrap();
        let found = &look.inventory.applications[&name("web")].instances;
        found.values().any(|instance| instance.state == InstanceState::Frozen)
    });
    world.deploy(&document("localhost/web:1", port));
    assert_eq!(ask("GET", ("127.0.0.1", port), "/").as_deref(), Some("one\n"));
}

#[test]
fn a_shim_that_gives_no_answer_holds_its_application_alone() {
    let Some(mut world) = World::new() else { return };
    world.image("localhost/web:1", &server("one"));
    world.image("localhost/web:2", &server("two"));
    let (port, other) = (free_port(), free_port());
    let beside = document("localhost/web:1", other).replace("  web:", "  other:");
    let both = |image: &str| format!("{beside}{}", document(image, port).strip_prefix("applications:\n").unwrap());
    world.deploy(&both("localhost/web:1"));
    let stopped = shim(&world, "other").unwrap();
    signal(stopped, rustix::process::Signal::STOP);
    world.deploy(&both("localhost/web:2"));
    assert_eq!(ask("GET", ("127.0.0.1", port), "/").as_deref(), Some("two\n"), "the other one goes on");
    let words = |world: &World| -> Vec<&'static str> {
        world.agent().look().unwrap().plan.unwrap().unwrap().held.iter().map(Refusal::word).collect()
    };
    assert_eq!(words(&world), ["faulty"]);
    signal(stopped, rustix::process::Signal::CONT);
    until("its answer", || words(&world).is_empty());
    assert_eq!(ask("GET", ("127.0.0.1", other), "/").as_deref(), Some("one\n"));
}

/// Folder of the only volume.
fn volume(world: &World) -> Option<PathBuf> {
    let folders = std::fs::read_dir(world.paths().volumes()).unwrap().flatten();
    let is_id = |folder: &PathBuf| folder.file_name().is_some_and(|name| name.len() == 32);
    folders.map(|entry| entry.path()).find(is_id)
}

#[test]
fn data_that_are_to_be_wiped_wait_a_day_by_both_clocks() {
    let Some(mut world) = World::new() else { return };
    world.image("localhost/web:1", &server("one"));
    let port = free_port();
    let text = document("localhost/web:1", port);
    world.deploy(&text);
    assert!(ask("POST", ("127.0.0.1", port), "/kept").is_some());
    let folder = volume(&world).unwrap();
    world.disposals.insert(name("web"), Disposal::Wipe);
    world.deploy("applications: {}\n");
    assert!(!world.paths().application(&name("web")).exists(), "its marks are gone");
    let mark = folder.join("removed.json");
    let read = || -> serde_json::Value { serde_json::from_slice(&std::fs::read(&mark).unwrap()).unwrap() };
    assert_eq!(read()["fate"], "wipe");
    assert_eq!(world.converge(), 0, "and nothing fails until then");
    // The wall clock alone removes nothing.
    let day = 86_400_i64;
    let mut removal = read();
    removal["at"] = format!("{}", openmesh_primitives::Timestamp::now().nanos() / 1_000_000_000 - 2 * day).into();
    std::fs::write(&mark, removal.to_string()).unwrap();
    assert_eq!(world.converge(), 0);
    assert!(folder.exists());
    removal["waited_ms"] = (day * 1_000).into();
    std::fs::write(&mark, removal.to_string()).unwrap();
    assert_eq!(world.converge(), 1);
    assert!(!folder.exists(), "its day is over");
}

#[test]
fn data_come_back_with_their_application() {
    let Some(mut world) = World::new() else { return };
    world.image("localhost/web:1", &server("one"));
    let port = free_port();
    let text = document("localhost/web:1", port);
    world.deploy(&text);
    assert!(ask("POST", ("127.0.0.1", port), "/kept").is_some());
    let folder = volume(&world).unwrap();
    world.deploy("applications: {}\n");
    assert!(folder.join("removed.json").exists() && !folder.join("mount/volume.json").exists(), "set aside, unmounted");
    world.deploy(&text);
    assert_eq!(ask("GET", ("127.0.0.1", port), "/").as_deref(), Some("one\nkept\n"));
    assert!(!folder.join("removed.json").exists());
}

#[test]
fn an_application_is_deployed_stopped_with_its_volume() {
    let Some(mut world) = World::new() else { return };
    world.image("localhost/web:1", &server("one"));
    let port = free_port();
    let text = document("localhost/web:1", port);
    world.deploy(&text.replace("  web:\n", "  web:\n    wish: stopped\n"));
    assert!(volume(&world).is_some());
    world.deploy(&text);
    assert_eq!(ask("POST", ("127.0.0.1", port), "/kept").as_deref(), Some("one\nkept\n"), "its data are its own");
}

/// Lines of versions that never passed their gate end with what wanted them, and the one in use is asked of nobody.
#[test]
fn versions_that_never_served_leave_nothing_that_cannot_go() {
    let Some(mut world) = World::new() else { return };
    let broken = |number: u32| {
        let text = document(&format!("localhost/broken:{number}"), free_port());
        text.replace("gate: 30s", "gate: 1s")
    };
    for number in [1, 2] {
        world.image(&format!("localhost/broken:{number}"), &format!("print \"{number}\\n\"; exit 1;"));
        let generation = world.resolve(&broken(number));
        world.agent().want(&generation, &open).unwrap();
        runtime().block_on(world.agent().converge(PATIENCE, &open)).unwrap_err();
    }
    let stopped = broken(2).replace("  web:\n", "  web:\n    wish: stopped\n");
    world.deploy(&stopped);
    assert_eq!(world.converge(), 0);
}

#[test]
fn a_network_moves_to_another_subnet() {
    let Some(mut world) = World::new() else { return };
    world.image("localhost/web:1", &server("one"));
    let port = free_port();
    let text = document("localhost/web:1", port);
    world.deploy(&text);
    assert!(ask("POST", ("127.0.0.1", port), "/kept").is_some());
    let (before, id) = (world.agent().busy().unwrap(), instances(&world, "web"));
    world.is_moved = true;
    world.deploy(&text);
    let after = world.agent().busy().unwrap();
    assert!(after.keys().all(|address| !before.contains_key(address)), "{before:?}, {after:?}");
    assert_eq!(instances(&world, "web"), id, "the same version");
    assert_eq!(ask("GET", ("127.0.0.1", port), "/").as_deref(), Some("one\nkept\n"));
    assert_eq!(world.converge(), 0);
}

#[test]
fn the_last_words_of_a_version_outlive_it() {
    let Some(mut world) = World::new() else { return };
    world.image("localhost/web:1", &server("one"));
    world.image("localhost/web:2", &server("two"));
    let port = free_port();
    world.deploy(&document("localhost/web:1", port));
    let old = instances(&world, "web").remove(0);
    world.deploy(&document("localhost/web:2", port));
    let logs = world.agent().logs(&name("web")).unwrap();
    assert_eq!(logs.len(), 2);
    let text = |id: &InstanceId| -> String {
        let files = std::fs::read_dir(&logs[id]).unwrap().flatten();
        files.map(|file| std::fs::read_to_string(file.path()).unwrap()).collect()
    };
    assert!(text(&old).contains("one ends"), "{}", text(&old));
    world.deploy("applications: {}\n");
    assert!(text(&old).contains("one ends"), "as long as a generation of it is kept");
    assert!(!world.paths().application(&name("web")).exists());
}

#[test]
fn a_limit_that_somebody_raises_holds_the_instance() {
    let Some(mut world) = World::new() else { return };
    world.image("localhost/web:1", &server("one"));
    world.deploy(&document("localhost/web:1", free_port()));
    let id = instances(&world, "web").remove(0);
    let group = world.agent().machine().group(&instance_name(&name("web"), &id));
    let file = group.folder(Controller::Pids).join("pids.max");
    let before = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, "max").unwrap();
    // Another agent looks at once, and not only after a minute.
    world.again();
    let altered = |world: &World| -> Option<String> {
        world.converge();
        let look = world.agent().look().unwrap();
        look.inventory.applications[&name("web")].instances[&id].altered.clone()
    };
    until("the difference", || altered(&world).is_some_and(|what| what.contains("pids.max")));
    let plan = world.agent().look().unwrap().plan.unwrap().unwrap();
    assert_eq!(plan.held.iter().map(Refusal::word).collect::<Vec<_>>(), ["altered"]);
    std::fs::write(&file, before.trim()).unwrap();
    until("the end of it", || altered(&world).is_none());
}

/// As long as the volume of one application is made, another one whose shim has ended is started again.
#[test]
fn a_long_step_holds_up_nobody() {
    let Some(mut world) = World::new() else { return };
    world.image("localhost/web:1", &server("one"));
    let (port, other) = (free_port(), free_port());
    let beside = document("localhost/web:1", other).replace("  web:", "  other:");
    world.deploy(&beside);
    let both = format!("{beside}{}", document("localhost/web:1", port).strip_prefix("applications:\n").unwrap());
    let generation = world.resolve(&both);
    world.agent().want(&generation, &open).unwrap();
    let (is_first, world) = (AtomicBool::new(true), &world);
    let before = shim(world, "other").unwrap();
    let door = |effect: &str| -> std::io::Result<()> {
        if effect == "remember" && is_first.swap(false, Ordering::SeqCst) {
            signal(before, rustix::process::Signal::KILL);
            let is_back = || shim(world, "other").is_some_and(|now| now != before);
            until("its start beside the long step", || is_back() && ask("GET", ("127.0.0.1", other), "/").is_some());
        }
        Ok(())
    };
    runtime().block_on(world.agent().converge(PATIENCE, &door)).unwrap();
    assert!(!is_first.load(Ordering::SeqCst), "the volume was made");
    assert_eq!(ask("GET", ("127.0.0.1", port), "/").as_deref(), Some("one\n"));
    let done = causes(world, EventKind::Done);
    assert!(done.iter().any(|step| step.starts_with("start other ")), "{done:?}");
}
