//! Processes of a group, really: a whole one, some that end while they are looked at, and those of a container.

use std::process::{Child, Command};

use openmesh_cage::cgroup::{Group, Layout};
use openmesh_cage::open_door;
use openmesh_cage::processes::{Bounds, COMMAND_BYTES_MAX, Look, PROCESSES_MAX, Process, State, TICK_MS, look};

use crate::world::{group_path, lacking, until, with_drivers};

/// A look of its own.
fn whole(group: &Group) -> Look {
    look(group, &mut Bounds::default()).unwrap()
}

/// A group of this machine with a process in it; both go with the test.
struct Own(Group, Child);

impl Own {
    fn new(command: &mut Command) -> Option<Own> {
        if let Some(lacking) = lacking() {
            println!("skipped: {lacking}");
            return None;
        }
        let group = Group::new(Layout::find().unwrap(), group_path());
        group.make(&open_door).unwrap();
        let own = Own(group, command.spawn().unwrap());
        own.0.add(own.1.id(), &open_door).unwrap();
        Some(own)
    }

    fn processes(&self) -> Vec<Process> {
        whole(&self.0).processes
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let _ = self.0.kill_all(&open_door);
        let _ = self.1.wait();
        let _ = self.0.remove(&open_door);
    }
}

#[test]
fn a_process_is_told_with_its_figures() {
    let long = "x".repeat(2 * COMMAND_BYTES_MAX);
    let Some(own) = Own::new(Command::new("/bin/sleep").args(["1000", "0", "0"])) else { return };
    until("its sleep", || own.processes().first().is_some_and(|process| process.state == State::Sleeping));
    let found = whole(&own.0);
    let [process] = found.processes.as_slice() else { panic!("{found:?}") };
    assert_eq!((process.pid, process.parent), (own.1.id(), std::process::id()));
    assert_eq!((process.name.as_str(), process.threads, process.state), ("sleep", 1, State::Sleeping));
    assert_eq!((process.command.as_slice(), process.is_cut), (&b"/bin/sleep\x001000\x000\x000\x00"[..], false));
    // It is in no namespace of its own.
    assert_eq!((process.pid_inside, process.user_inside), (None, None));
    assert!(process.resident_bytes > 0 && process.share_bytes.is_none_or(|bytes| bytes > 0), "{process:?}");
    let age_ms = found.uptime_ms.saturating_sub(process.start_ticks * TICK_MS);
    assert!(age_ms < 600_000, "{age_ms} ms of {found:?}");
    assert_eq!(found.left_out, 0);
    drop(own);
    let Some(own) = Own::new(Command::new("/bin/sh").args(["-c", "while :; do :; done", &long])) else { return };
    let busy = |process: &Process| (process.cpu_ticks > 2, process.state) == (true, State::Running);
    until("processor time", || own.processes().first().is_some_and(busy));
    let process = own.processes().remove(0);
    assert_eq!((process.command.len(), process.is_cut), (COMMAND_BYTES_MAX, true));
}

#[test]
fn looks_for_one_answer_share_their_bounds() {
    let Some(own) = Own::new(Command::new("/bin/sleep").arg("1000")) else { return };
    let mut bounds = Bounds::default();
    for _ in 0..PROCESSES_MAX {
        let found = look(&own.0, &mut bounds).unwrap();
        // On a busy machine their time is over before.
        if found.left_out > 0 {
            break;
        }
    }
    let found = look(&own.0, &mut bounds).unwrap();
    assert_eq!((found.processes.len(), found.left_out), (0, 1));
    assert_eq!((whole(&own.0).processes.len(), whole(&own.0).left_out), (1, 0));
}

#[test]
fn processes_that_end_meanwhile_are_no_trouble() {
    let script = "while :; do /bin/true & /bin/true; done";
    let Some(own) = Own::new(Command::new("/bin/sh").args(["-c", script])) else { return };
    let shell = own.1.id();
    for _ in 0..200 {
        let found = own.processes();
        assert!(found.iter().any(|process| process.pid == shell), "{found:?}");
        let strangers = found.iter().filter(|process| process.pid != shell && process.parent != shell);
        assert_eq!(strangers.count(), 0, "{found:?}");
    }
    own.0.kill_all(&open_door).unwrap();
    assert_eq!(own.processes(), []);
    own.0.remove(&open_door).unwrap();
    assert_eq!(own.processes(), [], "a group that is not there");
}

#[test]
fn processes_of_a_container_are_told_as_inside() {
    with_drivers(|mut world| {
        world.script("sleep 1000 & while :; do sleep 0.05; done");
        world.instance.user.user = 1_000;
        let pid = world.start();
        let is_there = |process: &Process| process.command == b"sleep\x001000\x00";
        until("its child", || whole(&world.group).processes.iter().any(is_there));
        let found = whole(&world.group).processes;
        let first = found.iter().find(|process| process.pid == pid).unwrap();
        assert_eq!((first.pid_inside, first.user_inside), (Some(1), Some(1_000)), "{}", world.driver.name());
        let child = found.iter().find(|process| is_there(process)).unwrap();
        assert_eq!((child.parent, child.user_inside), (pid, Some(1_000)));
        assert!(child.pid_inside.is_some_and(|pid| pid > 1), "{child:?}");
        world.delete();
    });
}
