//! Deaths and errors at the doors of effects: the machine comes to what was wanted all the same.

use std::collections::BTreeMap;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use openmesh_xnode::{Agent, Progress, XnodeError, open};

use crate::deploy::{document, free_port};
use crate::world::{PATIENCE, World, ask, runtime, server};

/// Doors that are passed; one and all after it are shut, as by a death.
struct Doors {
    passed: AtomicUsize,
    shut_from: usize,
    names: Mutex<BTreeMap<String, usize>>,
}

impl Doors {
    fn new(shut_from: usize) -> Doors {
        Doors { passed: AtomicUsize::new(0), shut_from, names: Mutex::default() }
    }

    fn pass(&self, name: &str) -> io::Result<()> {
        let number = self.passed.fetch_add(1, Ordering::SeqCst);
        if number >= self.shut_from {
            return Err(io::Error::other("dead"));
        }
        *self.names.lock().unwrap().entry(name.to_string()).or_default() += 1;
        Ok(())
    }
}

/// Steps until the agent rests or is dead.
fn live(agent: &Agent, doors: &Doors) -> Result<u32, XnodeError> {
    let door = |name: &str| doors.pass(name);
    runtime().block_on(agent.converge(PATIENCE, &door))
}

/// Deploys, dies at a door, and comes back; returns the number of doors that were passed in all of the first life.
fn die_at(world: &mut World, text: &str, at: usize) -> usize {
    let generation = world.resolve(text);
    world.agent().want(&generation, &open).unwrap();
    let doors = Doors::new(at);
    let lived = live(world.agent(), &doors);
    assert_eq!(lived.is_err(), doors.passed.load(Ordering::SeqCst) > at, "{lived:?}");
    world.again();
    world.converge();
    doors.passed.load(Ordering::SeqCst)
}

#[test]
fn a_death_at_any_door_leaves_what_was_wanted_or_what_was() {
    let Some(mut world) = World::new() else { return };
    world.image("localhost/web:1", &server("one"));
    world.image("localhost/web:2", &server("two"));
    let port = free_port();
    let (at, mut word) = (("127.0.0.1", port), 1);
    let doors = die_at(&mut world, &document("localhost/web:1", port), usize::MAX);
    println!("{doors} doors");
    assert!(ask("POST", at, "/kept").is_some());
    // Each switch dies at another door; every fifth here, all of them where it is asked for.
    let stride = std::env::var("OPENMESH_DOORS").map_or(doors / 6, |_| 1);
    for at_door in (0..doors).step_by(stride.max(1)) {
        word = 3 - word;
        let text = document(&format!("localhost/web:{word}"), port);
        die_at(&mut world, &text, at_door);
        let body = ask("GET", at, "/").unwrap_or_default();
        let name = if word == 1 { "one" } else { "two" };
        assert_eq!(body, format!("{name}\nkept\n"), "after a death at door {at_door}");
    }
}

#[test]
fn an_agent_without_a_generation_rests() {
    let Some(world) = World::new() else { return };
    assert_eq!(runtime().block_on(world.agent().step(&open)).unwrap(), Progress::Rest);
}
