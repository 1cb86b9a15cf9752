//! PostgreSQL on a volume beside a bare folder of the same host, and the times of a snapshot and of the return to it.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use openmesh_primitives::Timestamp;
use openmesh_volume::{Id, Keeper, NewLine, NewVolume, Owner, Volumes, Writers, loops, mounts, open};

use super::lab::Lab;
use super::machine::{self, Side, alternate, milliseconds};
use super::table::{MILLISECONDS, Row, TRANSACTIONS_A_SECOND};

/// Size of the volume, which is XFS.
const BYTES: u64 = 2 << 30;
/// Rounds of each side.
const ROUNDS: usize = 5;
/// The same of a trial.
const TRIAL_ROUNDS: usize = 1;
/// Seconds of each round.
const SECONDS: &str = "60";
/// The same of a trial.
const TRIAL_SECONDS: &str = "2";
/// Scale of pgbench: a hundred thousand accounts each, about 16 MiB.
const SCALE: &str = "--scale=10";
/// Folder of Debian's servers, by version.
const SERVERS: &str = "/usr/lib/postgresql";

/// A server and its data.
struct Server {
    programs: PathBuf,
    socket: PathBuf,
    data: PathBuf,
    user: (u32, u32),
}

impl Server {
    fn run(&self, program: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(self.programs.join(program));
        command.args(arguments).uid(self.user.0).gid(self.user.1).current_dir("/").env("LC_ALL", "C");
        command.env("PGDATA", &self.data).env("PGHOST", &self.socket).env("PGDATABASE", "postgres");
        machine::run(&mut command)
    }

    fn init(&self) -> anyhow::Result<()> {
        std::fs::create_dir_all(&self.data)?;
        std::os::unix::fs::chown(&self.data, Some(self.user.0), Some(self.user.1))?;
        self.run("initdb", &["--auth=trust", "--encoding=UTF8", "--locale=C"])?;
        self.while_it_runs(|| self.run("pgbench", &["--initialize", "--quiet", SCALE]).map(drop))
    }

    /// Does something while the server runs, and stops it whatever comes of that.
    fn while_it_runs<T>(&self, act: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
        let options = format!("-k {} -c listen_addresses=''", self.socket.display());
        let log = self.socket.join("log").display().to_string();
        self.run("pg_ctl", &["--wait", "--silent", "--log", &log, "--options", &options, "start"])?;
        let done = act();
        self.run("pg_ctl", &["--wait", "--silent", "--mode=fast", "stop"])?;
        done
    }

    /// Transactions a second. Without the vacuum at its begin, which also empties the history by which lines of data are told apart.
    fn measure(&self, seconds: &str) -> anyhow::Result<f64> {
        let arguments = ["--no-vacuum", "--client=4", "--jobs=2", "--time", seconds];
        let report = self.while_it_runs(|| self.run("pgbench", &arguments))?;
        let line = report.lines().find_map(|line| line.strip_prefix("tps = "));
        let figure = line.and_then(|line| line.split_whitespace().next());
        Ok(figure.with_context(|| format!("no figure in {report}"))?.parse()?)
    }

    /// Rows of the history of transactions.
    fn history(&self) -> anyhow::Result<u64> {
        let arguments = ["--tuples-only", "--command=select count(*) from pgbench_history"];
        Ok(self.while_it_runs(|| self.run("psql", &arguments))?.trim().parse()?)
    }
}

/// Folder of the newest server's programs.
fn programs() -> anyhow::Result<PathBuf> {
    let words = "PostgreSQL is not installed (Debian package postgresql): scripts/setup.sh bench-xnode";
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(SERVERS).context(words)? {
        folders.push(entry?.path().join("bin"));
    }
    folders.retain(|folder| folder.join("initdb").is_file());
    folders.sort();
    folders.pop().context(words)
}

/// The user of Debian's servers, and its group: they refuse to run as root.
fn user() -> anyhow::Result<(u32, u32)> {
    let users = std::fs::read_to_string("/etc/passwd")?;
    let line = users.lines().find(|line| line.starts_with("postgres:")).context("there is no user postgres")?;
    let numbers: Vec<u32> = line.split(':').skip(2).take(2).filter_map(|number| number.parse().ok()).collect();
    numbers.first().copied().zip(numbers.get(1).copied()).context("the user postgres has no numbers")
}

/// A volume of this measurement, which is gone with its mount and its loop device.
struct Volume {
    volumes: Volumes,
    id: Id,
}

impl Volume {
    fn make(folder: &Path, name: &str, user: (u32, u32)) -> anyhow::Result<Volume> {
        let volumes = Volumes::open(folder, name)?;
        let mut bytes = [0x7e; 16];
        bytes[4..8].copy_from_slice(&std::process::id().to_be_bytes());
        bytes[8..].copy_from_slice(&Timestamp::now().nanos().to_be_bytes());
        let id = Id::new(bytes);
        let owner = Owner { user: user.0, group: user.1, mode: 0o700 };
        let at = Timestamp::now();
        let volume = Volume { volumes, id };
        let new = NewVolume { id, application: "bench", name: "data", bytes: BYTES, owner, by: "bench", at };
        volume.volumes.make(&new, &open)?;
        Ok(volume)
    }

    fn data(&self, line: u32) -> PathBuf {
        self.volumes.line_folder(self.id, line).join("data")
    }

    /// Unmounts the volume, and lets its loop device go.
    fn release(&self) -> anyhow::Result<()> {
        let root = self.volumes.root();
        if mounts::list()?.iter().any(|mount| mount.point.starts_with(root)) {
            self.volumes.unmount(self.id, &open)?;
        }
        for device in loops::list()?.iter().filter(|device| device.file.starts_with(root)) {
            loops::release(device)?;
        }
        Ok(())
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        if let Err(error) = self.release() {
            eprintln!("the volume of the measurement is not released: {error:#}");
        }
    }
}

/// Milliseconds of a snapshot and of the return to it, held against what the lines hold.
fn lines(volume: &Volume, server: &Server, clone: &Server) -> anyhow::Result<(f64, f64)> {
    let before = server.history()?;
    let new =
        NewLine { from: 1, to: 2, reason: "a measurement", by: "bench", at: Timestamp::now(), keeper: Keeper::Machine };
    let snapshot = milliseconds(|| Ok(volume.volumes.snapshot(volume.id, &new, Writers::Stopped, &open)?))?;
    clone.measure("1")?;
    ensure!(clone.history()? > before, "the clone has taken no transaction");
    let back = milliseconds(|| Ok(volume.volumes.restore(volume.id, 1, &open)?))?;
    ensure!(server.history()? == before, "the line before the snapshot is not as it was");
    Ok((snapshot, back))
}

/// Measures PostgreSQL on both.
pub fn rows(lab: &mut Lab) -> anyhow::Result<Vec<Row>> {
    let (programs, user) = (programs()?, user()?);
    let folder = tempfile::tempdir_in(lab.folder())?;
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711))?;
    let socket = folder.path().join("s");
    std::fs::create_dir(&socket)?;
    std::os::unix::fs::chown(&socket, Some(user.0), Some(user.1))?;
    let volume = Volume::make(&folder.path().join("volumes"), &lab.name, user)?;
    let server = |data: PathBuf| Server { programs: programs.clone(), socket: socket.clone(), data, user };
    let (bare, ours) = (server(folder.path().join("bare")), server(volume.data(1)));
    bare.init()?;
    ours.init()?;
    let seconds = if lab.is_trial { TRIAL_SECONDS } else { SECONDS };
    let mut sides: [Side<'_>; 2] = [Box::new(|| ours.measure(seconds)), Box::new(|| bare.measure(seconds))];
    let figures = alternate(lab.rounds(ROUNDS, TRIAL_ROUNDS), &mut sides)?;
    let [on_volume, on_bare] = <[Vec<f64>; 2]>::try_from(figures).ok().context("two sides")?;
    let (snapshot, back) = lines(&volume, &ours, &server(volume.data(2)))?;
    let named = format!("PostgreSQL on a volume (XFS), pgbench, {seconds} s");
    Ok(vec![
        Row::new(named, TRANSACTIONS_A_SECOND, on_volume).beside("bare folder", on_bare),
        Row::new("snapshot of its volume", MILLISECONDS, vec![snapshot]),
        Row::new("return to the data before it", MILLISECONDS, vec![back]),
    ])
}
