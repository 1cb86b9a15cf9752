//! A shim of a test: its folders, its configuration, and what ends with it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use openmesh_shim::client::Client;
use openmesh_shim::log::{Filter, LogReader, Owned, Position};
use openmesh_shim::protocol::{Action, Ending, State, Status};
use openmesh_shim::restart::{RestartPolicy, RestartRule};
use openmesh_shim::{Config, Helpers, Logs, Stop, start, state};
use tempfile::TempDir;

/// Patience with a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Makes the "container": leaves a shell with the script behind, as a runtime leaves a container behind, and writes down its number. The script begins
/// after the helper has ended, which might take its end to itself otherwise.
const CREATE: &str = r#"
/bin/sh -c 'while read -r _ _ _ parent _ < /proc/$$/stat; [ "$parent" = "$2" ]; do sleep 0.005; done; exec /bin/sh -c "$1"' first "$1" $$ &
echo $! > "$2"
"#;

pub fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_openmesh-shim"))
}

/// A shim and its folders. What it left ends with it.
pub struct World {
    pub config: Config,
    pub pid: u32,
    path: PathBuf,
    _directory: Option<TempDir>,
}

/// Configuration of a shim that runs a script.
pub fn config(root: &Path, script: &str, policy: RestartPolicy) -> Config {
    let pid_file = root.join("pid");
    let create = ["/bin/sh", "-c", CREATE, "create", script, pid_file.to_str().unwrap()].map(String::from).to_vec();
    Config {
        version: 1,
        name: "test/app-1".into(),
        bundle: root.into(),
        state_directory: root.join("state"),
        socket: root.join("state/socket"),
        pid_file,
        helpers: Helpers {
            create,
            start: None,
            delete: None,
            environment: std::collections::BTreeMap::default(),
            held: false,
            ms_max: 60_000,
        },
        logs: Logs { directory: root.join("logs"), bytes_max: 4 << 20 },
        restart: RestartRule { pause_ms_min: 10, pause_ms_max: 400, ..RestartRule::new(policy) },
        stop: Stop { signal: "TERM".into(), grace_ms: 20_000 },
        oom_files: Vec::new(),
    }
}

impl World {
    /// Starts a shim that runs a script of the shell.
    pub fn new(script: &str, policy: RestartPolicy) -> World {
        Self::with(script, policy, |_| {})
    }

    /// Starts one whose configuration is changed before.
    pub fn with(script: &str, policy: RestartPolicy, change: impl FnOnce(&mut Config)) -> World {
        let directory = tempfile::tempdir().unwrap();
        let mut config = config(directory.path(), script, policy);
        change(&mut config);
        let mut world = Self::prepare(config);
        world._directory = Some(directory);
        world.start();
        world
    }

    /// Writes a configuration, and starts nothing.
    pub fn prepare(config: Config) -> World {
        let path = config.bundle.join("shim.json");
        std::fs::write(&path, serde_json::to_vec_pretty(&config).unwrap()).unwrap();
        World { config, pid: 0, path, _directory: None }
    }

    pub fn start(&mut self) {
        (self.pid, _) = start::start(binary(), &self.path).unwrap();
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn client(&self) -> Client {
        Client::connect(&self.config.socket, PATIENCE).unwrap()
    }

    pub fn status(&self) -> Status {
        self.client().ask(Action::Status).unwrap()
    }

    /// Waits until the status is as wanted.
    pub fn wait(&self, wanted: impl Fn(&Status) -> bool) -> Status {
        self.client().wait(PATIENCE, wanted).unwrap()
    }

    pub fn wait_for(&self, state: State) -> Status {
        self.wait(|status| status.state == state)
    }

    pub fn stop(&self, signal: &str, grace_ms: u64) -> Status {
        let ending = Ending { signal: Some(signal.into()), grace_ms: Some(grace_ms) };
        self.client().ask(Action::Stop(ending)).unwrap();
        self.wait_for(State::Stopped)
    }

    pub fn lines(&self) -> Vec<Owned> {
        records(&self.config.logs.directory)
    }

    /// Texts of a log that come from the application.
    pub fn texts(&self) -> Vec<String> {
        let own = self.lines().into_iter().filter(|r| r.stream != openmesh_shim::log::Stream::Shim);
        own.map(|r| String::from_utf8(r.text).unwrap()).collect()
    }
}

/// Gives a container a start of its own, which waits for an agent's word: the script begins with the start's mark.
pub fn hold(config: &mut Config) {
    let script = &mut config.helpers.create[4];
    *script = format!("while [ ! -e go ]; do sleep 0.01; done; {script}");
    config.helpers.start = Some(["/bin/sh", "-c", "touch go"].map(String::from).to_vec());
    config.helpers.held = true;
}

pub fn records(directory: &Path) -> Vec<Owned> {
    let mut reader = LogReader::new(directory, Position::Oldest, Filter::default());
    let mut all = Vec::new();
    loop {
        let batch = reader.read().unwrap();
        all.extend(batch.records);
        if batch.at_end {
            return all;
        }
    }
}

pub fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    let _ = rustix::process::kill_process(pid, signal);
}

/// Waits until something is so, with a deadline.
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !so() {
        assert!(begun.elapsed() < PATIENCE, "{what}: not after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Returns true while a process is there and no zombie.
pub fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

impl Drop for World {
    fn drop(&mut self) {
        if self.pid == 0 {
            return;
        }
        let begun = std::time::Instant::now();
        while lives(self.pid) && begun.elapsed() < Duration::from_secs(10) {
            let leave = Action::Leave(Ending { signal: None, grace_ms: Some(0) });
            let _ = Client::connect(&self.config.socket, PATIENCE).and_then(|mut client| client.ask(leave));
            std::thread::sleep(Duration::from_millis(5));
        }
        // Nothing of a test stays, even of one that has found a fault: the shim, and the instance that it leaves then.
        if lives(self.pid) {
            signal(self.pid, rustix::process::Signal::KILL);
            while lives(self.pid) {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        if let Ok(state::Found::Ended(status)) = state::look(&self.config) {
            let _ = state::end_orphan(&status);
        }
    }
}

impl World {
    /// Asks until the status is as wanted: for what makes no event, as figures of the log.
    pub fn wait_until_status(&self, wanted: impl Fn(&Status) -> bool) -> Status {
        let mut client = self.client();
        let mut status = client.ask(Action::Status).unwrap();
        until("a status", || {
            status = client.ask(Action::Status).unwrap();
            wanted(&status)
        });
        status
    }
}
