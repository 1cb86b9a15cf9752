//! Lives of containers: made, started, signalled, removed; and deaths in between.

use std::process::{Command, Stdio};
use std::time::Duration;

use openmesh_cage::driver::{self, DriverError, Status, Verb};
use openmesh_cage::open_door;
use rustix::process::Signal;

use crate::world::with_drivers;

#[test]
fn a_container_is_made_started_signalled_and_removed() {
    with_drivers(|mut world| {
        world.script("echo $GREETING from $(hostname); trap 'echo asked; exit 3' TERM; while :; do sleep 0.01; done");
        let pid = world.create().unwrap();
        let state = |world: &crate::world::World| driver::state(&*world.driver, &world.container).unwrap();
        let made = state(&world).unwrap();
        assert_eq!((made.status, made.pid), (Status::Created, pid));
        assert_eq!(world.output(), "", "nothing of it runs yet");
        driver::start(&*world.driver, &world.container, &open_door).unwrap();
        world.wait_output("good day from app\n");
        assert_eq!(state(&world).unwrap().status, Status::Running);
        driver::kill(&*world.driver, &world.container, Signal::TERM.as_raw(), &open_door).unwrap();
        assert_eq!(world.wait().exit_status(), Some(3));
        assert!(world.output().ends_with("asked\n"));
        assert_eq!(state(&world).map(|state| state.status), Some(Status::Stopped));
        world.delete();
        assert_eq!(state(&world), None);
        world.assert_gone();
        // Once more than needed, as a shim does.
        driver::delete(&*world.driver, &world.container, &open_door).unwrap();
    });
}

#[test]
fn a_number_that_another_process_has_by_now_gets_no_signal() {
    with_drivers(|mut world| {
        // runc keeps the start of its process beside the number.
        if world.driver.name() != "libcontainer" {
            return;
        }
        world.script("exit 0");
        world.run();
        let mut other = Command::new("sleep").arg("1000").spawn().unwrap();
        let path = world.folder.path().join("states").join(&world.container.id).join("state.json");
        let mut state: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        state["pid"] = other.id().into();
        state["status"] = "running".into();
        std::fs::write(&path, state.to_string()).unwrap();
        let refused = driver::kill(&*world.driver, &world.container, Signal::TERM.as_raw(), &open_door).unwrap_err();
        assert!(refused.to_string().contains("has ended"), "{refused}");
        let state = driver::state(&*world.driver, &world.container).unwrap().unwrap();
        assert_eq!((state.status, state.pid), (Status::Stopped, 0));
        assert!(other.try_wait().unwrap().is_none(), "it lives");
        other.kill().unwrap();
        other.wait().unwrap();
        world.delete();
        world.assert_gone();
    });
}

#[test]
fn a_running_container_is_removed_with_all_its_processes() {
    with_drivers(|mut world| {
        world.script("for i in 1 2 3; do sleep 1000 & done; echo there; wait");
        world.start();
        world.wait_output("there");
        assert_eq!(world.group.processes().unwrap().len(), 4);
        world.delete();
        world.assert_gone();
    });
}

#[test]
fn a_failed_creation_says_why_and_leaves_nothing() {
    with_drivers(|mut world| {
        world.instance.command = vec!["/bin/no-such-program".into()];
        // runc looks for the program when it starts it, libcontainer when it makes the container.
        let error =
            world.create().and_then(|_| driver::start(&*world.driver, &world.container, &open_door)).unwrap_err();
        let DriverError::Refused { text, .. } = &error else { panic!("{error}") };
        assert!(text.contains("/bin/no-such-program"), "{error}");
        assert!(!text.contains('\n'), "one line: {error}");
        world.delete();
        world.assert_gone();
    });
}

#[test]
fn a_container_that_is_not_there_is_refused() {
    with_drivers(|world| {
        let refused = driver::start(&*world.driver, &world.container, &open_door).unwrap_err();
        assert!(matches!(refused, DriverError::Refused { .. }), "{refused}");
        assert!(refused.to_string().contains(&world.container.id), "{refused}");
        driver::delete(&*world.driver, &world.container, &open_door).unwrap();
        world.assert_gone();
    });
}

#[test]
fn whatever_moment_its_maker_dies_at_the_rest_can_be_removed() {
    with_drivers(|mut world| {
        for pause_us in [500, 2_000, 5_000, 10_000, 20_000, 40_000, 80_000] {
            let config = world.config();
            openmesh_cage::bundle::write(&config, &world.container.bundle, &open_door).unwrap();
            let command = world.driver.command(Verb::Create, &world.container);
            let mut maker = Command::new(&command[0]);
            maker.args(&command[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let mut child = maker.current_dir(&world.container.bundle).spawn().unwrap();
            std::thread::sleep(Duration::from_micros(pause_us));
            child.kill().unwrap();
            child.wait().unwrap();
            // What is not in the group yet ends by itself, when its channel to the maker is gone.
            world.group.kill_all(&open_door).unwrap();
            driver::delete(&*world.driver, &world.container, &open_door).unwrap();
            world.group.clear(&open_door).unwrap();
            crate::world::until("no trace", || !world.driver.keeps(&world.container) && !world.group.exists());
            // And the next one is made as if nothing had been.
            world.start();
            world.delete();
            world.assert_gone();
        }
    });
}

#[test]
fn the_door_stands_before_and_after_each_verb() {
    with_drivers(|mut world| {
        let seen = std::cell::RefCell::new(Vec::new());
        let door = |name: &str| {
            seen.borrow_mut().push(name.to_string());
            Ok(())
        };
        world.create().unwrap();
        driver::start(&*world.driver, &world.container, &door).unwrap();
        let closed = |_: &str| Err(std::io::Error::from_raw_os_error(28));
        let refused = driver::kill(&*world.driver, &world.container, 9, &closed).unwrap_err();
        assert!(refused.to_string().contains("No space left on device"), "{refused}");
        assert_eq!(driver::state(&*world.driver, &world.container).unwrap().unwrap().status, Status::Running);
        driver::delete(&*world.driver, &world.container, &door).unwrap();
        let passed = ["container.start", "container.delete", "container.pid_file", "container.pid_file"];
        assert_eq!(*seen.borrow(), passed.map(|name| [name, name]).concat());
        world.delete();
        world.assert_gone();
    });
}
