//! One process of a local network: started here, or by an earlier supervisor and taken over.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::Command;

use super::home::NodeHome;
use super::market::Market;
use super::terminal::say;
use crate::cli::UpArgs;
use crate::failure::Failure;
use crate::presence::{self, Identity, Record, Running};
use crate::telemetry;

/// Filter of a process's log unless another is asked for: consensus says each vote at info, which is nothing for people.
pub(super) const LOG_FILTER: &str = "info,arc_malachitebft=warn,informalsystems=warn,libp2p=warn";
/// Exit code of a node that only another program can go on with ([`Failure::outdated`]).
const OUTDATED: i32 = 3;
/// Last lines of a process's log that are shown where it does not start.
const LOG_LINES_SHOWN: usize = 12;
/// Time between two looks at a starting process's record, in milliseconds: not felt by a person, nothing for a disk.
const READY_POLL_MS: u64 = 50;

/// Command line, folder and log of a process.
#[derive(Clone, Debug)]
pub struct Program {
    name: String,
    arguments: Vec<OsString>,
    folder: PathBuf,
    log: PathBuf,
    is_venues: bool,
}

impl Program {
    /// The venues' server. `listen` is the last thing that a running one may differ in.
    pub fn venues(up: &UpArgs, market: &Market, folder: &Path, listen: &str) -> Program {
        let mut arguments: Vec<OsString> =
            vec!["venues".into(), "--listen".into(), listen.into(), "--home".into(), folder.into()];
        match market {
            Market::Replay(recordings) => {
                arguments.extend(["--replay".into(), recordings.into(), "--speed".into(), up.speed.clone().into()]);
                arguments.extend(["--hold".into(), up.validators.to_string().into()]);
                if !up.sets.is_empty() {
                    arguments.extend(["--sets".into(), up.sets.join(",").into()]);
                }
            }
            Market::Simulated | Market::Live => {
                arguments.extend(["--rate".into(), up.rate.to_string().into()]);
                if let Some(seed) = up.seed {
                    arguments.extend(["--seed".into(), seed.to_string().into()]);
                }
            }
        }
        let (folder, log) = (folder.to_path_buf(), folder.join("venues.log"));
        Program { name: "venues".into(), arguments, folder, log, is_venues: true }
    }

    /// A validator.
    pub fn node(node: &NodeHome) -> Program {
        Program {
            name: node.name.clone(),
            arguments: vec!["node".into(), "--home".into(), node.dir.clone().into()],
            folder: node.dir.clone(),
            log: node.dir.join("node.log"),
            is_venues: false,
        }
    }

    /// Name for people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Folder that holds its lock and its record.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// File that its output is appended to.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Returns true for the venues' server.
    pub fn is_venues(&self) -> bool {
        self.is_venues
    }

    /// Returns true when a record is of the same command line, apart from the address to listen on.
    pub fn is_as_recorded(&self, record: &Record) -> bool {
        let address = |list: &[String]| list.iter().position(|a| a == "--listen").map(|at| at + 1);
        let own: Vec<String> = self.arguments.iter().map(|a| a.to_string_lossy().into_owned()).collect();
        let without = |list: &[String]| -> Vec<String> {
            let skipped = address(list);
            list.iter().enumerate().filter(|(at, _)| Some(*at) != skipped).map(|(_, a)| a.clone()).collect()
        };
        without(&own) == without(&record.arguments)
    }

    /// Starts it; its output is appended to its log.
    pub fn start(self) -> Result<Process, Failure> {
        let log_from = std::fs::metadata(&self.log).map_or(0, |log| log.len());
        let child = self.spawn()?;
        let pid = child.id().ok_or_else(|| Failure::new(format!("{} ended at once", self.name)))?;
        let running = Identity::of(pid).ok().and_then(|identity| identity.open());
        let running = running.ok_or_else(|| self.failed("ended at once", log_from))?;
        Ok(Process { program: self, running, child: Some(child), log_from })
    }

    /// The same process, which runs already.
    pub fn adopt(self, running: Running) -> Process {
        let log_from = std::fs::metadata(&self.log).map_or(0, |log| log.len());
        Process { program: self, running, child: None, log_from }
    }

    fn spawn(&self) -> Result<tokio::process::Child, Failure> {
        let binary = std::env::current_exe().map_err(|e| Failure::from_display("this program's own path", &e))?;
        let open = || std::fs::OpenOptions::new().create(true).append(true).open(&self.log);
        let log = |error: std::io::Error| Failure::from_display(self.log.display(), &error);
        let (output, errors) = (open().map_err(log)?, open().map_err(log)?);
        // The program that this process runs, also where a newer one has taken its place on the disk since.
        let mut command = Command::new("/proc/self/exe");
        command
            .arg0(binary)
            .args(&self.arguments)
            .env("OPENMESH_LOG", std::env::var("OPENMESH_LOG").unwrap_or_else(|_| LOG_FILTER.into()))
            .env(telemetry::LOG_FILE, &self.log)
            .stdin(Stdio::null())
            // Files and not pipes: a pipe breaks with its reader, and the process goes on without this one.
            .stdout(output)
            .stderr(errors)
            // Ctrl-C at the terminal, and its end, reach the whole foreground group: the network is stopped in order, or goes on.
            .process_group(0);
        command.spawn().map_err(|e| Failure::from_display(&self.name, &e))
    }

    fn failed(&self, what: &str, log_from: u64) -> Failure {
        let end = log_end(&self.log, log_from);
        Failure::new(format!("{} {what}; the end of {}:\n{end}", self.name, self.log.display()))
    }
}

/// The end of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its manner, for people.
    pub how: String,
    /// Starting the same program again would change nothing.
    pub is_outdated: bool,
}

/// A process that was started or taken over. Dropping it does not end it.
pub struct Process {
    program: Program,
    running: Running,
    /// The handle of a child of this process; none of a process that was taken over.
    child: Option<tokio::process::Child>,
    /// Length of the log when it was started.
    log_from: u64,
}

impl Process {
    /// The program that it runs.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// Returns true when it ran before this process and was taken over.
    pub fn is_adopted(&self) -> bool {
        self.child.is_none()
    }

    /// Waits until it serves, and returns what it announces then.
    pub async fn ready(&mut self, limit: Duration) -> Result<serde_json::Value, Failure> {
        let (folder, pid) = (self.program.folder.clone(), self.pid());
        let what = tokio::select! {
            Ended { how, .. } = self.ended() => format!("ended while starting ({how})"),
            ready = announced(&folder, pid) => return Ok(ready),
            () = tokio::time::sleep(limit) => format!("is not ready after {} s", limit.as_secs()),
        };
        Err(self.program.failed(&what, self.log_from))
    }

    /// Waits until it ends, and returns how it did.
    pub async fn ended(&mut self) -> Ended {
        let unknown = |how: String| Ended { how, is_outdated: false };
        match &mut self.child {
            None => {
                self.running.ended().await;
                // It is started again, and tells its code to this process then.
                unknown("its exit code is not known: an earlier openmesh up started it".to_owned())
            }
            Some(child) => match child.wait().await {
                Ok(status) => Ended { how: describe(status), is_outdated: status.code() == Some(OUTDATED) },
                Err(error) => unknown(error.to_string()),
            },
        }
    }

    /// Asks it to end, and kills it where it has not within `limit`.
    pub async fn stop(mut self, limit: Duration) {
        match self.running.stop(limit).await {
            Ok(true) => {}
            Ok(false) => say(format_args!("{} did not end within {} s: killed", self.program.name, limit.as_secs())),
            Err(error) => return say(format_args!("{} could not be stopped: {error}", self.program.name)),
        }
        // Reaped, so that nothing is left of it.
        self.ended().await;
    }
}

/// Waits for the announcement in its folder of the process with this number.
async fn announced(folder: &Path, pid: u32) -> serde_json::Value {
    loop {
        if let Some((Record { process, ready: Some(ready), .. }, _)) = presence::find(folder)
            && process.pid == pid
        {
            return ready;
        }
        tokio::time::sleep(Duration::from_millis(READY_POLL_MS)).await;
    }
}

/// The end of what was logged since the start; what stands before is of another run.
pub(super) fn log_end(log: &Path, from: u64) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    // A log that has become shorter was put aside meanwhile: all that is in it is of this run.
    let text = String::from_utf8_lossy(text.get(usize::try_from(from).unwrap_or(0)..).unwrap_or(&text));
    let mut last: VecDeque<&str> = VecDeque::new();
    for line in text.lines() {
        last.push_back(line);
        if last.len() > LOG_LINES_SHOWN {
            last.pop_front();
        }
    }
    last.into_iter().collect::<Vec<_>>().join("\n")
}

pub(super) fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(OUTDATED), _) => "the network has come further than this program: its log says what to install".into(),
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "unknown".into(),
    }
}
