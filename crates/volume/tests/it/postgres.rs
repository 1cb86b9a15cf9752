//! PostgreSQL on a loop XFS volume against a bare folder of the same host, in alternation, with the times of snapshot and return.
//!
//! Run for figures on an idle machine: `cargo test -p openmesh-volume --test it -- --ignored --nocapture postgres`, with the rounds and seconds of
//! each in `OPENMESH_PGBENCH=5x60`.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use openmesh_volume::{Owner, Writers, open};

use crate::world::{World, fresh_id, new_line, new_volume};

/// Size of the volume.
const BYTES: u64 = 1 << 30;

struct Server<'a> {
    programs: &'a Path,
    socket: &'a Path,
    data: PathBuf,
    user: (u32, u32),
}

impl Server<'_> {
    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(self.programs.join(program));
        command.args(arguments).uid(self.user.0).gid(self.user.1).current_dir("/").env("LC_ALL", "C");
        command.env("PGDATA", &self.data).env("PGHOST", self.socket).env("PGDATABASE", "postgres");
        let output = command.output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{program} {arguments:?}: {errors}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn init(&self) {
        std::fs::create_dir_all(&self.data).unwrap();
        std::os::unix::fs::chown(&self.data, Some(self.user.0), Some(self.user.1)).unwrap();
        self.run("initdb", &["--auth=trust", "--encoding=UTF8", "--locale=C"]);
        self.start();
        self.run("pgbench", &["--initialize", "--quiet", "--scale=4"]);
        self.stop();
    }

    fn start(&self) {
        let options = format!("-k {} -c listen_addresses=''", self.socket.display());
        let log = self.socket.join("log");
        self.run("pg_ctl", &["--wait", "--silent", "--log", log.to_str().unwrap(), "--options", &options, "start"]);
    }

    fn stop(&self) {
        self.run("pg_ctl", &["--wait", "--silent", "--mode=fast", "stop"]);
    }

    /// Transactions a second. Without the vacuum at its begin, which also empties the history by which the lines are told apart.
    fn measure(&self, seconds: &str) -> f64 {
        self.start();
        let report = self.run("pgbench", &["--no-vacuum", "--client=4", "--jobs=2", "--time", seconds]);
        self.stop();
        let line = report.lines().find(|line| line.starts_with("tps = ")).unwrap();
        line.split_whitespace().nth(2).unwrap().parse().unwrap()
    }

    fn history(&self) -> u64 {
        self.start();
        let count = self.run("psql", &["--tuples-only", "--command=select count(*) from pgbench_history"]);
        self.stop();
        count.trim().parse().unwrap()
    }
}

fn programs() -> Option<PathBuf> {
    let mut versions: Vec<PathBuf> =
        std::fs::read_dir("/usr/lib/postgresql").ok()?.map(|entry| entry.unwrap().path().join("bin")).collect();
    versions.sort();
    versions.pop().filter(|folder| folder.join("initdb").exists())
}

fn user() -> Option<(u32, u32)> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let line = users.lines().find(|line| line.starts_with("postgres:"))?;
    let mut numbers = line.split(':').skip(2).map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

#[test]
#[ignore = "a measurement: run it by name on an idle machine"]
fn postgres_on_a_volume_against_a_bare_folder() {
    let Some(world) = World::new() else { return };
    let (Some(programs), Some(user)) = (programs(), user()) else {
        return eprintln!("skipped: PostgreSQL is not installed (apt-get install postgresql)");
    };
    let order = std::env::var("OPENMESH_PGBENCH").unwrap_or("1x2".to_string());
    let (rounds, seconds) = order.split_once('x').expect("OPENMESH_PGBENCH is ROUNDSxSECONDS");
    std::fs::set_permissions(world.folder(), std::fs::Permissions::from_mode(0o711)).unwrap();
    let socket = world.folder().join("s");
    std::fs::create_dir(&socket).unwrap();
    std::os::unix::fs::chown(&socket, Some(user.0), Some(user.1)).unwrap();
    let id = fresh_id();
    let owner = Owner { user: user.0, group: user.1, mode: 0o700 };
    world.volumes.make(&openmesh_volume::NewVolume { owner, ..new_volume(id, BYTES) }, &open).unwrap();
    let server = |data: PathBuf| Server { programs: &programs, socket: &socket, data, user };
    let bare = server(world.folder().join("bare"));
    let volume = server(world.volumes.line_folder(id, 1).join("data"));
    bare.init();
    volume.init();
    println!("| round | bare folder, tps | volume, tps |\n| --- | --- | --- |");
    for round in 1..=rounds.parse::<u32>().unwrap() {
        // Each round begins with the other one, so that whatever warms up or fills up meets both.
        let (first, second) = if round % 2 == 1 { (&bare, &volume) } else { (&volume, &bare) };
        let (a, b) = (first.measure(seconds), second.measure(seconds));
        let (of_bare, of_volume) = if round % 2 == 1 { (a, b) } else { (b, a) };
        println!("| {round} | {of_bare:.0} | {of_volume:.0} |");
    }
    let before = volume.history();
    let begun = Instant::now();
    world.volumes.snapshot(id, &new_line(1, 2), Writers::Stopped, &open).unwrap();
    let snapshot = begun.elapsed();
    let clone = server(world.volumes.line_folder(id, 2).join("data"));
    clone.measure("1");
    assert!(clone.history() > before, "the new version wrote into the clone");
    let begun = Instant::now();
    world.volumes.restore(id, 1, &open).unwrap();
    let back = begun.elapsed();
    assert_eq!(volume.history(), before, "and the line before is as it was");
    let bytes = world.volumes.line_bytes(id).unwrap();
    println!("snapshot {snapshot:.1?}, return {back:.1?}; bytes by line and shared: {bytes:?}");
}
