//! Instances started anew, without a new version: under requests, and with deaths at the doors of effects.

use openmesh_blueprint::document::Name;
use openmesh_blueprint::inventory::InstanceId;
use openmesh_xnode::restarts::{NoRestart, Restart, Way, Wished};
use openmesh_xnode::{XnodeError, marks, open};

use crate::crash::die_at;
use crate::deploy::free_port;
use crate::door::{DATA, Load, assert_kept, stage};
use crate::world::{World, server, until};

fn web() -> Name {
    "web".parse().unwrap()
}

fn restart(world: &World, instance: Option<&str>) -> Result<Restart, XnodeError> {
    let look = world.agent().look().unwrap();
    world.agent().restart(&look, &web(), Wished { by: "alice", reason: "a test", instance }, &open)
}

/// Processes of the instances that are there, by their names.
fn pids(world: &World) -> Vec<(InstanceId, u32)> {
    let look = world.agent().look().unwrap();
    let found = look.instances.get(&web()).into_iter().flatten();
    found.map(|(id, one)| (id.clone(), one.status.as_ref().unwrap().first.as_ref().unwrap().pid)).collect()
}

/// The numbers of the restarts that are over and were not told yet, with their instances.
fn over(world: &World) -> Vec<(u64, usize)> {
    let taken = world.agent().take_restarts();
    taken.into_values().map(|end| (end.mark.number, end.instances.len())).collect()
}

#[test]
fn a_single_writer_starts_anew_and_loses_no_request() {
    let Some((world, door, port)) = stage(DATA) else { return };
    let before = pids(&world);
    let load = Load::start("POST", port);
    load.more(5);
    let taken = restart(&world, None).unwrap();
    assert_eq!((taken.number, taken.instances.len(), taken.way), (1, 1, Way::Held));
    assert!(world.converge() > 0);
    load.more(5);
    let (written, late) = load.written();
    assert_kept(port, "one", &written);
    println!("{} writing requests, {late} too late", written.len());
    let after = pids(&world);
    assert_eq!(after.len(), 1);
    assert!(before[0].0 == after[0].0 && before[0].1 != after[0].1, "the same instance, another process");
    assert_eq!(over(&world), [(1, 1)]);
    // It comes again until it was written down.
    assert_eq!(world.converge(), 0);
    assert_eq!(over(&world), [(1, 1)]);
    world.agent().restart_is_told(&web(), 1, &open).unwrap();
    assert_eq!(world.converge(), 0);
    assert_eq!(over(&world), []);
    assert_eq!(restart(&world, Some("0")).unwrap().number, 2, "they are counted");
    world.converge();
    drop(door);
}

#[test]
fn several_instances_start_anew_one_after_another() {
    let Some((world, door, port)) = stage("    instances: 2\n") else { return };
    let before = pids(&world);
    let load = Load::start("GET", port);
    load.more(5);
    assert_eq!(restart(&world, None).unwrap().way, Way::Rolling);
    world.converge();
    load.more(5);
    let got = load.end();
    let count = got.len();
    for (number, got) in got {
        let got = got.unwrap_or_else(|error| panic!("request {number}: {error}"));
        assert_eq!(got, (200, "one\n".to_string()), "request {number}");
    }
    let after = pids(&world);
    assert!(
        before.len() == 2 && before.iter().zip(&after).all(|(before, after)| before.1 != after.1),
        "{before:?} {after:?}"
    );
    println!("{count} requests while two instances started anew, none failed and none was held");
    // One of them alone, by its name.
    let name = after[1].0.to_string();
    assert_eq!(restart(&world, Some(&name)).unwrap().instances.len(), 1);
    world.converge();
    let last = pids(&world);
    assert!(last[0].1 == after[0].1 && last[1].1 != after[1].1, "{after:?} {last:?}");
    drop(door);
}

#[test]
fn what_cannot_start_anew_is_refused_with_what_helps() {
    let Some(mut world) = World::new() else { return };
    world.image("localhost/web:1", &server("one"));
    let port = free_port();
    let text = crate::deploy::document("localhost/web:1", port);
    let refused = |world: &World, instance| match restart(world, instance) {
        Err(XnodeError::NoRestart(refused)) => refused,
        other => panic!("{other:?}"),
    };
    assert!(matches!(refused(&world, None), NoRestart::NoApplication { .. }));
    let first = world.resolve(&text);
    world.agent().want(&first, &open).unwrap();
    assert!(matches!(refused(&world, None), NoRestart::First { .. }));
    world.converge();
    assert!(matches!(refused(&world, Some("7")), NoRestart::NoInstance { .. }));
    let second = world.resolve(&text.replace("drain: 1s", "drain: 2s").replace("128MiB", "120MiB"));
    world.agent().want(&second, &open).unwrap();
    let words = refused(&world, None).to_string();
    assert!(words.contains("generation 2") && words.contains("openmesh app rollback 1"), "{words}");
    world.converge();
    for wish in ["stopped", "paused"] {
        world.deploy(&text.replace("    health", &format!("    wish: {wish}\n    health")));
        let words = refused(&world, None).to_string();
        assert!(words.contains(wish) && words.contains("wish: running"), "{words}");
    }
    world.deploy(&text);
    let frozen = pids(&world)[0].1;
    let pid = rustix::process::Pid::from_raw(i32::try_from(frozen).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    until("it is found frozen", || matches!(restart(&world, None), Err(XnodeError::NoRestart(NoRestart::Held { .. }))));
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
    until("it goes on", || restart(&world, None).is_ok());
    world.converge();
    assert_ne!(pids(&world)[0].1, frozen);
}

/// A death at a door leaves the mark and the machine: whoever comes next starts what was not started, and nothing twice.
#[test]
fn a_death_in_the_middle_leaves_no_half_of_a_restart() {
    let Some(mut world) = World::new() else { return };
    world.image("localhost/web:1", &server("one"));
    let port = free_port();
    world.deploy(&crate::deploy::document("localhost/web:1", port));
    assert!(crate::world::ask("POST", ("127.0.0.1", port), "/kept").is_some());
    let mut deaths = 0;
    // A restart without trouble passes about twenty doors.
    for passage in (0..24).step_by(if std::env::var_os("OPENMESH_DOORS").is_some() { 1 } else { 3 }) {
        let before = pids(&world);
        let number = restart(&world, None).unwrap().number;
        deaths += usize::from(die_at(&mut world, None, passage));
        world.converge();
        assert_eq!(over(&world), [(number, 1)], "a death at door {passage}");
        assert_ne!(pids(&world), before, "a death at door {passage}");
        let started = starts(&world);
        assert_eq!(world.converge(), 0);
        assert_eq!(starts(&world), started, "it is started no second time");
        let body = crate::world::ask("GET", ("127.0.0.1", port), "/");
        assert_eq!(body.as_deref(), Some("one\nkept\n"), "a death at door {passage}");
    }
    println!("{deaths} deaths");
    assert!(deaths > 3, "{deaths}");
}

/// Numbers of the last starts of all instances.
fn starts(world: &World) -> Vec<u64> {
    let mut all = Vec::new();
    for (id, _) in pids(world) {
        let path = world.paths().instance(&web(), &id).join("started.json");
        let started: marks::StartedMark = marks::find(&path).unwrap().unwrap();
        all.push(started.number);
    }
    all
}
