//! An agent of the product as a process, with name, folders and subnet of its own, used by its command line.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::machine;

/// Patience with the start and the end of an agent, and with what it does.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// An agent of its own.
pub struct Agent {
    binary: PathBuf,
    name: String,
    folder: PathBuf,
    subnet: String,
    child: Option<Child>,
    is_removed: bool,
}

impl Agent {
    /// Starts an agent, and waits until it answers.
    ///
    /// # Errors
    /// It ends, with its last words.
    pub fn new(binary: &Path, name: &str, folder: &Path) -> anyhow::Result<Agent> {
        std::fs::create_dir_all(folder)?;
        // Subnets of the Xnode's tests have other second bytes, and an agent that is not told has 10.89.0.0/16.
        let id = std::process::id();
        let subnet = format!("10.{}.{}.0/24", 224 + id % 31, id / 31 % 256);
        let (binary, name, folder) = (binary.into(), name.into(), folder.into());
        let mut agent = Agent { binary, name, folder, subnet, child: None, is_removed: false };
        agent.start()?;
        Ok(agent)
    }

    /// Starts it again after its death.
    pub fn start(&mut self) -> anyhow::Result<()> {
        let log = self.folder.join("log");
        let open = || File::options().create(true).append(true).open(&log);
        let subnet = self.subnet.clone();
        // As that of a machine it has a face, at a free port.
        let mut command = self.command(&["xnode", "agent", "--subnet", &subnet, "--face", "127.0.0.1:0"]);
        // In a group of its own: an interrupt of the measurement ends it in order.
        let child = command.stdout(open()?).stderr(open()?).process_group(0).spawn()?;
        self.child = Some(child);
        machine::until("the agent's first answer", PATIENCE, || {
            if let Some(status) = self.child.as_mut().map_or(Ok(None), Child::try_wait)? {
                bail!("the agent ended while starting ({status}): {}", std::fs::read_to_string(&log)?.trim());
            }
            Ok(self.ask(&["xnode", "status"]).is_ok())
        })
    }

    /// A command of the product that speaks to this agent.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(arguments).stdin(Stdio::null()).env("OPENMESH_LOG", "warn").env("OPENMESH_XNODE", &self.name);
        command.env("OPENMESH_XNODE_STATE", self.state()).env("OPENMESH_XNODE_RUN", self.run());
        command
    }

    /// Runs a command to its end, and returns what it prints.
    pub fn ask(&self, arguments: &[&str]) -> anyhow::Result<String> {
        machine::run(&mut self.command(arguments))
    }

    /// The same, as JSON.
    pub fn value(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let text = self.ask(&[arguments, &["--json"]].concat())?;
        serde_json::from_str(&text).with_context(|| format!("{arguments:?} answers {text}"))
    }

    /// Folder of what outlives the machine's run.
    pub fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// Folder of what goes with it.
    pub fn run(&self) -> PathBuf {
        self.folder.join("run")
    }

    /// Address at which it serves Studio, `127.0.0.1:PORT`; another one after each start.
    pub fn face(&self) -> anyhow::Result<String> {
        let path = self.run().join("face");
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Ok(text.trim().to_string())
    }

    /// Writes a document, and returns its path.
    pub fn document(&self, text: &str) -> anyhow::Result<String> {
        let path = self.folder.join("document.yaml");
        std::fs::write(&path, text)?;
        Ok(path.display().to_string())
    }

    /// Deploys a document, and waits until every application of it runs.
    pub fn deploy(&self, text: &str) -> anyhow::Result<()> {
        let path = self.document(text)?;
        self.ask(&["app", "deploy", &path, "--yes", "--committed"]).map(drop)
    }

    /// Number of the agent's own process.
    pub fn pid(&self) -> anyhow::Result<u32> {
        self.child.as_ref().map(Child::id).context("the agent is dead")
    }

    /// Processes of the product's programs that belong to this agent, by the name of the program: its shims and its door. An agent runs copies of its programs, named
    /// by their hashes.
    pub fn helpers(&self, program: &str) -> anyhow::Result<Vec<u32>> {
        let folder = self.folder.display().to_string();
        let is_own = |words: &[String]| {
            let name = words.first().and_then(|word| Path::new(word).file_name()?.to_str());
            name.is_some_and(|name| name.starts_with(program)) && words.iter().any(|word| word.contains(&folder))
        };
        Ok(machine::processes()?.into_iter().filter(|(_, words)| is_own(words)).map(|(pid, _)| pid).collect())
    }

    /// Kills the agent, and nothing else.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Removes every application with its data, and the agent itself.
    pub fn end(mut self) -> anyhow::Result<()> {
        self.remove()
    }

    fn remove(&mut self) -> anyhow::Result<()> {
        if std::mem::replace(&mut self.is_removed, true) {
            return Ok(());
        }
        let removed = self.ask(&["xnode", "uninstall", "--wipe", "--yes"]);
        if let Some(mut child) = self.child.take() {
            if let Some(pid) = Pid::from_raw(child.id().cast_signed()) {
                let _ = kill_process(pid, Signal::TERM);
            }
            let ended = machine::wait_for("the agent's end", PATIENCE, || Ok(child.try_wait()?.is_some()));
            if ended.is_err() {
                child.kill()?;
                child.wait()?;
            }
            ended?;
        }
        removed.map(drop)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            eprintln!("the agent of the measurement is not removed: {error:#}");
        }
    }
}
