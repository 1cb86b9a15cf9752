//! Containers below a shim: it is the parent of the first process with either driver, its log has the application's words, and nothing is left.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use openmesh_cage::instance::Capability;
use openmesh_cage::{bundle, driver, open_door};
use openmesh_shim::client::Client;
use openmesh_shim::log::{Filter, LogReader, Position, Stream};
use openmesh_shim::protocol::{Action, Cause, Ending, State};
use openmesh_shim::restart::{RestartPolicy, RestartRule};
use openmesh_shim::state::{self, Found};
use openmesh_shim::{Config, Helpers, Logs, Stop};

use crate::world::{NUMBERS, PATIENCE, World, until, with_drivers};

/// Variable that makes this program a shim.
const SHIM: &str = "OPENMESH_CAGE_TEST_SHIM";

/// No test of its own: what the tests below run as their shim, since another room's binary is not to be had here.
#[test]
fn shim_process() {
    let Some(config) = std::env::var_os(SHIM) else { return };
    openmesh_shim::serve(Path::new(&config), |_| {}).unwrap();
}

/// A shim that ends with the test.
struct Shim(Child);

impl Drop for Shim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn config(world: &World) -> Config {
    let commands = driver::commands(&*world.driver, &world.container);
    let folder = world.folder.path();
    Config {
        version: 1,
        name: world.container.id.clone(),
        bundle: world.container.bundle.clone(),
        state_directory: folder.join("shim"),
        socket: folder.join("shim/socket"),
        pid_file: world.container.pid_file.clone(),
        helpers: Helpers {
            create: commands.create,
            start: Some(commands.start),
            delete: Some(commands.delete),
            environment: Default::default(),
            held: false,
            ms_max: 60_000,
        },
        logs: Logs { directory: folder.join("logs"), bytes_max: 1 << 20 },
        restart: RestartRule::new(RestartPolicy::Always),
        stop: Stop { signal: "TERM".into(), grace_ms: 20_000 },
        oom_files: vec![world.group.oom_file()],
    }
}

fn start(world: &World) -> (Shim, Config) {
    bundle::write(&world.config(), &world.container.bundle, &open_door).unwrap();
    world.group.make(&open_door).unwrap();
    let config = config(world);
    let path = world.folder.path().join("shim.json");
    std::fs::write(&path, serde_json::to_vec(&config).unwrap()).unwrap();
    let mut shim = Command::new(std::env::current_exe().unwrap());
    shim.args(["--exact", "shim::shim_process", "--nocapture"]).env(SHIM, &path);
    let shim = Shim(shim.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap());
    until("a socket", || Client::connect(&config.socket, PATIENCE).is_ok());
    (shim, config)
}

fn parent(pid: u32) -> u32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(')').unwrap().1.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn said(config: &Config) -> Vec<String> {
    let mut reader = LogReader::new(&config.logs.directory, Position::Oldest, Filter::default());
    let records = reader.read().unwrap().records;
    let own = records.into_iter().filter(|record| record.stream != Stream::Shim);
    own.map(|record| String::from_utf8(record.text).unwrap()).collect()
}

#[test]
fn a_shim_is_the_parent_of_the_first_process_and_starts_it_again() {
    with_drivers(|mut world| {
        world.script("echo up; trap 'exit 0' TERM; while :; do sleep 0.05; done");
        let (shim, config) = start(&world);
        let mut client = Client::connect(&config.socket, PATIENCE).unwrap();
        let status = client.wait(PATIENCE, |status| status.state == State::Running).unwrap();
        let first = status.first.unwrap().pid;
        assert_eq!(parent(first), shim.0.id(), "{}", world.driver.name());
        until("its word", || said(&config) == ["up"]);
        assert!(world.group.processes().unwrap().contains(&first));
        // The second run is made in the same place, after the first was removed.
        rustix::process::kill_process(
            rustix::process::Pid::from_raw(first.cast_signed()).unwrap(),
            rustix::process::Signal::KILL,
        )
        .unwrap();
        let status = client.wait(PATIENCE, |status| status.state == State::Running && status.run == 2).unwrap();
        assert!(matches!(status.ends[0].cause, Cause::Killed { .. }), "{:?}", status.ends);
        until("its word", || said(&config) == ["up", "up"]);
        client.ask(Action::Leave(Ending { signal: None, grace_ms: None })).unwrap();
        until("its end", || !Path::new(&format!("/proc/{}/fd/0", shim.0.id())).exists());
        drop(shim);
        assert!(!world.driver.keeps(&world.container), "{} keeps its state", world.driver.name());
        world.delete();
        world.assert_gone();
    });
}

#[test]
fn a_killed_shim_takes_the_instance_along_where_the_driver_can() {
    with_drivers(|mut world| {
        let (shim, config) = start(&world);
        let mut client = Client::connect(&config.socket, PATIENCE).unwrap();
        client.wait(PATIENCE, |status| status.state == State::Running).unwrap();
        let lives = |world: &World| !world.group.processes().unwrap().is_empty();
        assert!(lives(&world));
        drop(shim);
        if world.driver.name() == "libcontainer" {
            until("the kernel ends it", || !lives(&world));
        } else {
            assert!(lives(&world), "runc sets no parent-death signal: the agent ends it");
        }
        world.group.kill_all(&open_door).unwrap();
        world.delete();
        world.assert_gone();
    });
}

#[test]
fn a_kill_for_want_of_memory_is_told_by_the_shim() {
    with_drivers(|mut world| {
        world.instance.limits.memory_bytes = 32 << 20;
        world.perl("my @all; push @all, 'x' x ((1 << 20) + $_) for 1..200");
        let (_shim, config) = start(&world);
        let mut client = Client::connect(&config.socket, PATIENCE).unwrap();
        let status = client.wait(PATIENCE, |status| !status.ends.is_empty()).unwrap();
        assert!(status.ends[0].out_of_memory, "{}: {:?}", world.driver.name(), status.ends);
        client.ask(Action::Leave(Ending { signal: None, grace_ms: Some(0) })).unwrap();
    });
}

/// A change of user clears the parent-death signal, so it is no promise of the driver: what stays is told by the shim's last status and ended by it.
#[test]
fn an_application_that_has_dropped_its_user_outlives_a_killed_shim_until_it_is_ended_as_an_orphan() {
    let [_, setgid, setuid] = NUMBERS;
    let script = format!(
        "$| = 1; syscall({setgid}, 1000) == 0 or die; syscall({setuid}, 1000) == 0 or die; print qq(dropped\n); sleep 1000"
    );
    with_drivers(|mut world| {
        world.instance.capabilities = [Capability::Setgid, Capability::Setuid].into();
        world.perl(&script);
        let (shim, config) = start(&world);
        let mut client = Client::connect(&config.socket, PATIENCE).unwrap();
        client.wait(PATIENCE, |status| status.state == State::Running).unwrap();
        until("its word", || said(&config) == ["dropped"]);
        drop(shim);
        let Found::Ended(status) = state::look(&config).unwrap() else { panic!("the shim has ended") };
        assert!(!world.group.processes().unwrap().is_empty(), "{}: nothing has ended it", world.driver.name());
        assert!(state::end_orphan(&status).unwrap());
        until("its end", || world.group.processes().unwrap().is_empty());
        assert!(!state::end_orphan(&status).unwrap());
        world.delete();
        world.assert_gone();
    });
}
