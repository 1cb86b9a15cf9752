//! Time until a container's application has said its first word: ours beside `runc run` on the same bundle and `podman run` on the same root, with a warm and a
//! cold cache.
//!
//! Ours is the agent's part: bundle, control group, limits, and the two verbs of the driver that a shim calls.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use openmesh_cage::cgroup::{Group, Layout};
use openmesh_cage::driver::{self, Container, Libcontainer};
use openmesh_cage::instance::{GroupPath, IdRange, Identity, Instance, Joined, Limits, Machine, MemoryFiles, Root};
use openmesh_cage::{bundle, open_door};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use super::lab::Lab;
use super::machine::{self, POLL, Side, alternate};
use super::table::{Bar, MILLISECONDS, Row};

/// Rounds with each state of the cache.
const ROUNDS: usize = 20;
/// The same of a trial.
const TRIAL_ROUNDS: usize = 2;
/// The first word of the application.
const WORD: &str = "up";
/// Patience with a first word and with an end.
const PATIENCE: Duration = Duration::from_secs(60);
/// Shell of the container, which is all that its root has.
const SHELL: &str = "/bin/sh";
/// First of the container's ids, above those that agents take.
const FIRST_ID: u32 = 0x6000_0000;

/// A container that is made again and again.
struct Cage {
    instance: Instance,
    driver: Libcontainer,
    container: Container,
    group: Group,
    output: PathBuf,
    /// Its first process, while there is one.
    first: Option<Pid>,
}

impl Cage {
    fn new(lab: &Lab, folder: &Path) -> anyhow::Result<Cage> {
        let root = folder.join("root");
        machine::populate(&root, &[SHELL], FIRST_ID)?;
        let states = folder.join("states");
        let bundle = folder.join("bundle");
        std::fs::create_dir(&states)?;
        std::fs::create_dir(&bundle)?;
        let path = GroupPath { agent: lab.name.clone(), instance: "app.0".into() };
        let instance = Instance {
            hostname: "app".into(),
            machine: Machine::own().context("there is no filter of system calls for this processor")?,
            command: vec![SHELL.into(), "-c".into(), format!("echo {WORD}")],
            variables: BTreeMap::new(),
            workdir: "/".into(),
            user: Identity::default(),
            root: Root { path: root.display().to_string(), writable: false },
            binds: Vec::new(),
            devices: Vec::new(),
            memory: MemoryFiles { tmp_bytes: 1 << 20, run_bytes: 1 << 20, shm_bytes: 1 << 20 },
            limits: Limits { processors_milli: 1_000, memory_bytes: 128 << 20, processes: 64 },
            capabilities: BTreeSet::new(),
            ids: IdRange { first: FIRST_ID, count: 65_536 },
            namespaces: Joined::default(),
            group: path.clone(),
        };
        let container = Container {
            id: format!("{}-app.0", lab.name),
            bundle,
            pid_file: folder.join("pid"),
            log: folder.join("log"),
        };
        let driver = Libcontainer { program: lab.program("openmesh-cage-helper")?, root: states };
        let group = Group::new(Layout::find()?, path);
        Ok(Cage { instance, driver, container, group, output: folder.join("output"), first: None })
    }

    /// Makes and starts the container, and waits for its word.
    fn start(&mut self) -> anyhow::Result<f64> {
        let begun = Instant::now();
        let config = bundle::config(&self.instance)?;
        bundle::write(&config, &self.container.bundle, &open_door)?;
        self.group.make(&open_door)?;
        self.group.limit(&config.linux.resources, &open_door)?;
        let output = File::create(&self.output)?;
        let error = output.try_clone()?;
        let pid = driver::create(&self.driver, &self.container, output.into(), error.into(), &open_door)?;
        self.first = Pid::from_raw(pid.cast_signed());
        driver::start(&self.driver, &self.container, &open_door)?;
        while !std::fs::read_to_string(&self.output)?.contains(WORD) {
            if begun.elapsed() > PATIENCE {
                bail!("the container has not said {WORD}: {}", std::fs::read_to_string(&self.output)?);
            }
            std::thread::sleep(POLL / 10);
        }
        Ok(begun.elapsed().as_secs_f64() * 1e3)
    }

    /// Removes the container.
    fn delete(&mut self) -> anyhow::Result<()> {
        driver::delete(&self.driver, &self.container, &open_door)?;
        self.reap()?;
        self.group.remove(&open_door)?;
        Ok(())
    }

    /// Takes the ends of the first process and of the one between it and the helper, whose parent is this process; a shim does so otherwise.
    fn reap(&mut self) -> anyhow::Result<()> {
        let first = self.first.take();
        machine::wait_for("the end of the container's first process", PATIENCE, || match first {
            Some(pid) => Ok(!matches!(waitpid(Some(pid), WaitOptions::NOHANG), Ok(None))),
            None => Ok(true),
        })?;
        for pid in dead_children()? {
            let _ = waitpid(Some(pid), WaitOptions::NOHANG);
        }
        Ok(())
    }

    /// The same bundle, by runc.
    fn runc(&self, runc: &Path) -> anyhow::Result<f64> {
        bundle::write(&bundle::config(&self.instance)?, &self.container.bundle, &open_door)?;
        self.group.make(&open_door)?;
        let id = format!("{}-peer", self.container.id);
        let took = first_line(Command::new(runc).arg("run").arg("--bundle").arg(&self.container.bundle).arg(&id));
        let _ = machine::run(Command::new(runc).args(["delete", "--force", &id]));
        self.group.kill_all(&open_door)?;
        self.group.remove(&open_door)?;
        took
    }
}

impl Drop for Cage {
    /// Whatever a measurement came to, nothing of it stays.
    fn drop(&mut self) {
        if let Some(pid) = self.first {
            let _ = kill_process(pid, Signal::KILL);
        }
        let _ = driver::delete(&self.driver, &self.container, &open_door);
        let _ = self.reap();
        let _ = self.group.kill_all(&open_door);
        let _ = self.group.remove(&open_door);
    }
}

/// Children of this process that have ended and for which nobody waits.
fn dead_children() -> anyhow::Result<Vec<Pid>> {
    let own = std::process::id().to_string();
    let mut found = Vec::new();
    for (pid, _) in machine::processes()? {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let Some((before, after)) = stat.rsplit_once(')') else { continue };
        let mut after = after.split_whitespace();
        let is_own = after.next() == Some("Z") && after.next() == Some(&own);
        // The name that libcontainer gives to the process between.
        if is_own && before.ends_with("youki:[1:INTER]") {
            found.extend(Pid::from_raw(pid.cast_signed()));
        }
    }
    Ok(found)
}

/// Time from the start of a program to the first line that it prints.
fn first_line(command: &mut Command) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("a piped output")?).read_line(&mut line)?;
    let took = begun.elapsed();
    let output = child.wait_with_output()?;
    if line.trim() != WORD {
        bail!("{command:?} said {line:?} and {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(took.as_secs_f64() * 1e3)
}

/// Measures the starts.
pub fn rows(lab: &mut Lab) -> anyhow::Result<Vec<Row>> {
    let runc = machine::program("runc", "runc")?;
    let runc_name = format!("runc {}", machine::version(Command::new(&runc).arg("--version"))?);
    let rounds = lab.rounds(ROUNDS, TRIAL_ROUNDS);
    let podman_name = lab.podman()?.name.clone();
    let folder = tempfile::tempdir_in(lab.folder())?;
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711))?;
    let cage = std::cell::RefCell::new(Cage::new(lab, folder.path())?);
    let (root, command) = {
        let cage = cage.borrow();
        (cage.instance.root.path.clone(), cage.instance.command.clone())
    };
    let podman = lab.podman()?;
    let mut rows = Vec::new();
    for is_cold in [false, true] {
        let prepare = || if is_cold { machine::cool() } else { Ok(()) };
        let ours = || {
            prepare()?;
            let mut cage = cage.borrow_mut();
            let took = cage.start()?;
            cage.delete()?;
            Ok(took)
        };
        let by_runc = || prepare().and_then(|()| cage.borrow().runc(&runc));
        let by_podman = || {
            prepare()?;
            let mut run = podman.command(&["run", "--rm", "--network=none", "--read-only", "--rootfs", &root]);
            first_line(run.args(&command))
        };
        let mut sides: [Side<'_>; 3] = [Box::new(ours), Box::new(by_runc), Box::new(by_podman)];
        let figures = alternate(rounds, &mut sides)?;
        let [ours, by_runc, by_podman] = <[Vec<f64>; 3]>::try_from(figures).ok().context("three sides")?;
        let name = format!("container start, {} cache", if is_cold { "cold" } else { "warm" });
        let row = Row::new(name, MILLISECONDS, ours);
        rows.push(row.clone().beside(&podman_name, by_podman).bar(Bar::BelowPeer));
        rows.push(row.beside(&runc_name, by_runc).bar(Bar::TimesPeer(2.0)));
    }
    Ok(rows)
}
