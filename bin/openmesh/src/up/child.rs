//! One process of the network.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{ChildStdout, Command};

use super::Market;
use super::home::{Home, NodeHome};
use crate::cli::UpArgs;
use crate::failure::Failure;

/// Wait before a process that ended is started again, in milliseconds; doubled while it keeps ending at once.
const RESTART_MS_MIN: u64 = 250;
/// Longest such wait.
const RESTART_MS_MAX: u64 = 8_000;
/// Running for this long counts as having started well, in seconds.
const STEADY_SECONDS: u64 = 30;
/// What processes log unless told otherwise: consensus says each vote at info, which is nothing for people.
const LOG_FILTER: &str = "info,arc_malachitebft=warn,informalsystems=warn,libp2p=warn";
/// Last lines of a process's log that are shown where it does not start.
const LOG_LINES_SHOWN: usize = 12;

/// What to run.
#[derive(Clone, Debug)]
pub struct Program {
    name: String,
    arguments: Vec<OsString>,
    log: PathBuf,
    venues: bool,
}

impl Program {
    /// The venues' server.
    pub fn venues(up: &UpArgs, market: &Market, home: &Home) -> Program {
        // The address of the last run, so that nodes that outlived their supervisor find it again.
        let mut arguments: Vec<OsString> = vec!["venues".into(), "--listen".into(), home.venues_address().into()];
        match market {
            Market::Replay(folder) => {
                arguments.extend(["--replay".into(), folder.into(), "--speed".into(), up.speed.clone().into()]);
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
        Program { name: "venues".into(), arguments, log: home.root().join("venues.log"), venues: true }
    }

    /// A validator.
    pub fn node(node: &NodeHome) -> Program {
        Program {
            name: node.name.clone(),
            arguments: vec!["node".into(), "--home".into(), node.dir.clone().into()],
            log: node.dir.join("node.log"),
            venues: false,
        }
    }
}

/// A running process.
pub struct Child {
    program: Program,
    process: tokio::process::Child,
    output: Option<BufReader<ChildStdout>>,
    started: Instant,
    wait_ms: u64,
    /// Length of the log when it was started.
    log_from: usize,
}

impl Child {
    /// Starts it; its log is appended to.
    pub fn start(program: Program) -> Result<Child, Failure> {
        let log_from =
            std::fs::metadata(&program.log).map_or(0, |log| usize::try_from(log.len()).unwrap_or(usize::MAX));
        let mut process = spawn(&program)?;
        let output = process.stdout.take().map(BufReader::new);
        Ok(Child { program, process, output, started: Instant::now(), wait_ms: RESTART_MS_MIN, log_from })
    }

    /// Its name for people.
    pub fn name(&self) -> &str {
        &self.program.name
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// Whether it is the venues' server.
    pub fn is_venues(&self) -> bool {
        self.program.venues
    }

    /// Waits for the one line of JSON that a process prints when it is ready.
    pub async fn ready(&mut self, limit: Duration) -> Result<serde_json::Value, Failure> {
        let mut output =
            self.output.take().ok_or_else(|| Failure::new("a process was asked twice for its readiness"))?;
        let mut line = String::new();
        let read = tokio::time::timeout(limit, output.read_line(&mut line)).await;
        let what = match read {
            Err(_) => format!("{} is not ready after {} s", self.program.name, limit.as_secs()),
            Ok(Err(error)) => format!("{}: {error}", self.program.name),
            Ok(Ok(0)) => format!("{} ended while starting", self.program.name),
            Ok(Ok(_)) => {
                // Whatever else it prints is read and dropped, so that it never blocks on a full pipe.
                tokio::spawn(
                    async move { while matches!(output.read_line(&mut String::new()).await, Ok(n) if n > 0) {} },
                );
                return serde_json::from_str(&line)
                    .map_err(|e| Failure::from_display(format!("{} said {line:?}", self.program.name), &e));
            }
        };
        Err(Failure::new(format!("{what}; the end of {}:\n{}", self.program.log.display(), self.log_end())))
    }

    /// Waits until it ends.
    pub async fn ended(&mut self) -> String {
        match self.process.wait().await {
            Ok(status) => describe(status),
            Err(error) => error.to_string(),
        }
    }

    /// Starts it again, after a wait that grows while it keeps ending at once.
    pub async fn restart(&mut self) -> Result<(), Failure> {
        if self.started.elapsed() > Duration::from_secs(STEADY_SECONDS) {
            self.wait_ms = RESTART_MS_MIN;
        }
        tokio::time::sleep(Duration::from_millis(self.wait_ms)).await;
        self.wait_ms = (self.wait_ms * 2).min(RESTART_MS_MAX);
        self.process = spawn(&self.program)?;
        self.started = Instant::now();
        if let Some(output) = self.process.stdout.take() {
            let mut output = BufReader::new(output);
            tokio::spawn(async move { while matches!(output.read_line(&mut String::new()).await, Ok(n) if n > 0) {} });
        }
        Ok(())
    }

    /// Asks it to end, and kills it where it has not within `limit`.
    pub async fn stop(mut self, limit: Duration) {
        if let Some(pid) = self.process.id() {
            let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
            if let Some(Err(error)) = pid.map(|p| rustix::process::kill_process(p, rustix::process::Signal::TERM)) {
                tracing::warn!(%error, name = self.program.name, "could not be asked to end");
            }
        }
        if tokio::time::timeout(limit, self.process.wait()).await.is_err() {
            super::say(format_args!("{} did not end within {} s: killed", self.program.name, limit.as_secs()));
            if let Err(error) = self.process.kill().await {
                tracing::warn!(%error, name = self.program.name, "could not be killed");
            }
        }
    }

    /// The end of what was logged since the start; what stands before is of another run.
    fn log_end(&self) -> String {
        let text = std::fs::read(&self.program.log).unwrap_or_default();
        let text = String::from_utf8_lossy(text.get(self.log_from..).unwrap_or_default());
        let mut last: VecDeque<&str> = VecDeque::new();
        for line in text.lines() {
            last.push_back(line);
            if last.len() > LOG_LINES_SHOWN {
                last.pop_front();
            }
        }
        last.into_iter().collect::<Vec<_>>().join("\n")
    }
}

fn spawn(program: &Program) -> Result<tokio::process::Child, Failure> {
    let binary = std::env::current_exe().map_err(|e| Failure::from_display("this program's own path", &e))?;
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&program.log)
        .map_err(|e| Failure::from_display(program.log.display(), &e))?;
    Command::new(binary)
        .args(&program.arguments)
        .env("OPENMESH_LOG", std::env::var("OPENMESH_LOG").unwrap_or_else(|_| LOG_FILTER.into()))
        .env("OPENMESH_SUPERVISOR", std::process::id().to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        // Ctrl-C at the terminal reaches the whole foreground group: the children must not end before they are asked to.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| Failure::from_display(&program.name, &e))
}

fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "unknown".into(),
    }
}
