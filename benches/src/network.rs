//! Processes of the product under measurement.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

/// Longest start of a process.
const READY: Duration = Duration::from_secs(60);
/// Time between two looks at a starting process's record.
const READY_POLL: Duration = Duration::from_millis(50);
/// Longest stop of a process before it is killed: it drains for ten seconds at most.
const DRAIN: Duration = Duration::from_secs(20);

/// The product's binary.
#[derive(Debug, Args)]
pub struct Product {
    /// The openmesh binary to measure; the one beside this program where not given.
    #[arg(long, value_name = "FILE")]
    bin: Option<PathBuf>,
}

impl Product {
    /// Its path.
    ///
    /// # Errors
    /// Where there is none.
    pub fn path(&self) -> anyhow::Result<PathBuf> {
        let beside = || -> anyhow::Result<PathBuf> {
            Ok(std::env::current_exe().context("this program's own path")?.with_file_name("openmesh"))
        };
        let path = self.bin.clone().map_or_else(beside, Ok)?;
        path.canonicalize().with_context(|| format!("{}: build it, or name it with --bin", path.display()))
    }
}

/// A process that ends with this one, with its log in a file.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts the product's binary.
    pub fn start(binary: &Path, arguments: &[&str], log: PathBuf) -> anyhow::Result<Process> {
        let open = || std::fs::File::options().create(true).append(true).open(&log);
        let child = Command::new(binary)
            .args(arguments)
            .env("OPENMESH_STOP_WITH", std::process::id().to_string())
            .env("OPENMESH_LOG", "warn")
            .env("OPENMESH_NO_XNODE", "true")
            .stdin(std::process::Stdio::null())
            .stdout(open()?)
            .stderr(open()?)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| binary.display().to_string())?;
        Ok(Process { child, log })
    }

    /// Its number, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Looks whether it runs.
    ///
    /// # Errors
    /// It has ended; with what it said.
    pub fn runs(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            Some(status) => {
                let said = std::fs::read_to_string(&self.log).unwrap_or_default();
                bail!("it ended ({status}); {}:\n{said}", self.log.display())
            }
            None => Ok(()),
        }
    }

    /// Waits until the node in this folder serves, and returns the address of its API.
    pub async fn ready(&mut self, folder: &Path) -> anyhow::Result<String> {
        let deadline = tokio::time::Instant::now() + READY;
        let said = |log: &Path| std::fs::read_to_string(log).unwrap_or_default();
        while tokio::time::Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended while starting ({status}):\n{}", folder.display(), said(&self.log));
            }
            if let Some(api) = api(folder) {
                return Ok(api);
            }
            tokio::time::sleep(READY_POLL).await;
        }
        bail!("{} is not ready after {} s:\n{}", folder.display(), READY.as_secs(), said(&self.log))
    }

    /// Asks it to end, and kills it where it has not after a while.
    pub async fn stop(mut self) {
        if let Some(pid) = self.pid().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)) {
            let _ = kill_process(pid, Signal::TERM);
        }
        if tokio::time::timeout(DRAIN, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }
}

/// The record of the node that runs in a folder, once it serves.
pub fn record(folder: &Path) -> Option<serde_json::Value> {
    serde_json::from_slice(&std::fs::read(folder.join("running.json")).ok()?).ok()
}

/// Number of the process of such a record.
pub fn pid(record: &serde_json::Value) -> Option<u32> {
    u32::try_from(record.get("process")?.get("pid")?.as_u64()?).ok()
}

fn api(folder: &Path) -> Option<String> {
    Some(record(folder)?.get("ready")?.get("api")?.as_str()?.to_owned())
}
