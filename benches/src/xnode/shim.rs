//! The shim beside conmon, its like of podman: memory while nobody speaks to it, and the pace of an application's output into rotated files.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use openmesh_shim::protocol::State;
use openmesh_shim::restart::{RestartPolicy, RestartRule};
use openmesh_shim::{Config, Helpers, Logs, Stop, start, state};

use super::idle::{APPLICATIONS, document};
use super::lab::Lab;
use super::machine::{self, Side, alternate};
use super::podman::Podman;
use super::table::{KIBIBYTES, MEGABYTES_A_SECOND, Row};
use crate::proc::memory_kib;

/// Bytes of the output: less than what a shim takes at any pace. Of more than 64 MiB a second it drops what is beyond, and conmon nothing.
const BYTES: u64 = 60_000_000;
/// The same of a trial.
const TRIAL_BYTES: u64 = 20_000_000;
/// Bytes that the rotated files take at most, on both sides.
const LOG_BYTES: u64 = 64 << 20;
/// Rounds of each side.
const ROUNDS: usize = 10;
/// The same of a trial.
const TRIAL_ROUNDS: usize = 1;
/// Patience with the whole output.
const PATIENCE: Duration = Duration::from_secs(300);
/// Letters of a line, which has a hundred bytes with its end.
const LETTERS: usize = 99;
/// Programs of podman's containers.
const PROGRAMS: [&str; 4] = ["/bin/sh", "/bin/sleep", "/usr/bin/yes", "/usr/bin/head"];
/// Time in which whoever lost an agent comes to rest.
const REST: Duration = Duration::from_secs(2);

/// Makes the "container": leaves a shell with the script behind, as a runtime leaves a container behind, and writes down its number. The script begins
/// after the helper has ended, which might take its end to itself otherwise.
const CREATE: &str = r#"
/bin/sh -c 'while read -r _ _ _ parent _ < /proc/$$/stat; [ "$parent" = "$2" ]; do sleep 0.005; done; exec /bin/sh -c "$1"' first "$1" $$ &
echo $! > "$2"
"#;

/// The application: it notes its begin and its end by the kernel's clock, in hundredths of a second, beside all that it says. A pipe that is full holds it up, so
/// it ends when all but the last of its output is taken.
fn script(out: &str, bytes: u64) -> String {
    let line = "x".repeat(LETTERS);
    let note = |name: &str| format!("read now rest < /proc/uptime; echo $now > {out}/{name}");
    format!("{}; yes {line} | head -c {bytes}; {}", note("begin"), note("end"))
}

/// Megabytes a second by what the application noted.
fn pace(out: &Path, bytes: u64) -> anyhow::Result<f64> {
    let read = |name: &str| -> anyhow::Result<f64> {
        let text =
            std::fs::read_to_string(out.join(name)).with_context(|| format!("the application noted no {name}"))?;
        Ok(text.trim().parse()?)
    };
    Ok(bytes as f64 / 1e6 / (read("end")? - read("begin")?).max(0.01))
}

/// The output through a shim to which no agent is connected.
fn ours(shim: &Path, folder: &Path, bytes: u64) -> anyhow::Result<f64> {
    let place = tempfile::tempdir_in(folder)?;
    let root = place.path();
    let pid_file = root.join("pid");
    let script = script(&root.display().to_string(), bytes);
    let create =
        ["/bin/sh", "-c", CREATE, "create", &script, &pid_file.display().to_string()].map(String::from).to_vec();
    let config = Config {
        version: 1,
        name: "bench/app-1".into(),
        bundle: root.into(),
        state_directory: root.join("state"),
        socket: root.join("state/socket"),
        pid_file,
        helpers: Helpers {
            create,
            start: None,
            delete: None,
            environment: std::collections::BTreeMap::new(),
            held: false,
            ms_max: 60_000,
        },
        logs: Logs { directory: root.join("logs"), bytes_max: LOG_BYTES },
        restart: RestartRule::new(RestartPolicy::Never),
        stop: Stop { signal: "TERM".into(), grace_ms: 20_000 },
        oom_files: Vec::new(),
    };
    let path = root.join("shim.json");
    std::fs::write(&path, serde_json::to_vec_pretty(&config)?)?;
    let (pid, _) = start::start(shim, &path)?;
    // Nobody is connected while it runs: its end is seen in the state file.
    let mut dropped = 0;
    let ended = machine::until("the end of the output", PATIENCE, || {
        let status = state::read(&config.state_file()).filter(|status| status.state == State::Stopped);
        dropped = status.as_ref().map_or(dropped, |status| status.log.bytes_dropped);
        Ok(status.is_some())
    });
    machine::run(Command::new("kill").arg(pid.to_string()))?;
    machine::wait_for("the shim's end", PATIENCE, || Ok(!machine::runs(pid)))?;
    ended?;
    ensure!(dropped == 0, "the shim has dropped {dropped} bytes");
    pace(root, bytes)
}

/// The same output through conmon.
fn theirs(podman: &Podman, root: &str, folder: &Path, bytes: u64) -> anyhow::Result<f64> {
    let out = tempfile::tempdir_in(folder)?;
    std::fs::set_permissions(out.path(), std::fs::Permissions::from_mode(0o777))?;
    let bind = format!("{}:/out", out.path().display());
    let log = format!("max-size={LOG_BYTES}");
    let options = ["run", "--detach", "--name", "storm", "--network=none", "--log-driver=k8s-file", "--log-opt", &log];
    let script = script("/out", bytes);
    podman.run(
        &[&options[..], &["--volume", &bind, "--read-only", "--rootfs", root, "/bin/sh", "-c", &script]].concat(),
    )?;
    let waited = podman.run(&["wait", "storm"]);
    podman.run(&["rm", "--force", "--time", "0", "storm"])?;
    waited?;
    pace(out.path(), bytes)
}

/// Private memory of each process, kibibytes.
fn private(processes: &[u32]) -> anyhow::Result<Vec<f64>> {
    processes.iter().map(|pid| Ok(memory_kib(*pid, "Private_Dirty")? as f64)).collect()
}

/// Memory of shims whose agent was killed, and of as many conmons.
fn memory(lab: &mut Lab, root: &str) -> anyhow::Result<Row> {
    let (agent, podman) = lab.both()?;
    agent.deploy(&document(APPLICATIONS))?;
    agent.kill()?;
    std::thread::sleep(REST);
    rustix::fs::sync();
    let ours = agent.helpers("openmesh-shim").and_then(|shims| private(&shims));
    agent.start()?;
    agent.deploy("version: 1\napplications: {}\n")?;
    let names: Vec<String> = (0..APPLICATIONS).map(|number| format!("idle{number}")).collect();
    for name in &names {
        machine::go_on()?;
        let options = ["run", "--detach", "--name", name, "--network=none", "--read-only", "--rootfs", root];
        podman.run(&[&options[..], &["/bin/sleep", "1000"]].concat())?;
    }
    let folder = podman.folder().display().to_string();
    let is_conmon = |words: &[String]| {
        words.first().is_some_and(|word| word.ends_with("conmon")) && words.iter().any(|word| word.contains(&folder))
    };
    let conmons = machine::processes()?.into_iter().filter(|(_, words)| is_conmon(words)).map(|(pid, _)| pid);
    let theirs = private(&conmons.collect::<Vec<u32>>());
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    podman.run(&[&["rm", "--force", "--time", "0"], &names[..]].concat())?;
    Ok(Row::new("shim whose agent is dead: private memory", KIBIBYTES, ours?).beside("conmon", theirs?))
}

/// Measures shims.
pub fn rows(lab: &mut Lab) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir_in(lab.folder())?;
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711))?;
    let root = folder.path().join("root");
    machine::populate(&root, &PROGRAMS, 0)?;
    let root = root.display().to_string();
    let memory = memory(lab, &root)?;
    let (bytes, rounds) = (if lab.is_trial { TRIAL_BYTES } else { BYTES }, lab.rounds(ROUNDS, TRIAL_ROUNDS));
    let shim = lab.program("openmesh-shim")?;
    let podman = lab.podman()?;
    let place = folder.path();
    let mut sides: [Side<'_>; 2] =
        [Box::new(|| ours(&shim, place, bytes)), Box::new(|| theirs(podman, &root, place, bytes))];
    let figures = alternate(rounds, &mut sides)?;
    let [ours, theirs] = <[Vec<f64>; 2]>::try_from(figures).ok().context("two sides")?;
    let named = format!("{} MB of an application's output into bounded files, no agent", bytes / 1_000_000);
    Ok(vec![memory, Row::new(named, MEGABYTES_A_SECOND, ours).beside("conmon, k8s-file", theirs)])
}
