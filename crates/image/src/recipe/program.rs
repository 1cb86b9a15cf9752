//! Programs that bring packages.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::RecipeError;

/// Seconds that one program may run: the largest root seen (a desktop's worth of packages) took six minutes.
const PROGRAM_SECONDS_MAX: u64 = 1_800;
/// Milliseconds between two looks at whether it has ended.
const LOOK_MS: u64 = 50;
/// Lines of output that an error shows.
const LINES_MAX: usize = 20;

/// A program with the Debian package that has it.
#[derive(Clone, Copy)]
pub(super) struct Program {
    pub name: &'static str,
    pub package: &'static str,
}

impl Program {
    /// Runs with arguments, in a process group of its own that ends with the time, and with its output in a file.
    pub fn run(self, arguments: &[String], scratch: &Path) -> Result<(), RecipeError> {
        let log = scratch.join(format!("{}.log", self.name));
        let disk = |cause| RecipeError::Disk { path: log.clone(), cause };
        let output = File::create(&log).map_err(disk)?;
        let second = output.try_clone().map_err(disk)?;
        let child = Command::new(self.name)
            .args(arguments)
            .current_dir(scratch)
            .env("LC_ALL", "C.UTF-8")
            .env("TZ", "UTC")
            // The time that tools write where they write one; some mean "never" by 0.
            .env("SOURCE_DATE_EPOCH", "1000000000")
            .env("TMPDIR", scratch)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(second)
            .process_group(0)
            .spawn();
        let mut child = match child {
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
                return Err(RecipeError::Missing { program: self.name, package: self.package });
            }
            child => child.map_err(disk)?,
        };
        let began = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().map_err(disk)? {
                break status.to_string();
            }
            if began.elapsed() > Duration::from_secs(PROGRAM_SECONDS_MAX) {
                if let Ok(pid) = i32::try_from(child.id())
                    && let Some(group) = rustix::process::Pid::from_raw(pid)
                {
                    let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
                }
                let _ = child.wait();
                break format!("ended after {PROGRAM_SECONDS_MAX} s");
            }
            std::thread::sleep(Duration::from_millis(LOOK_MS));
        };
        if status == "exit status: 0" {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&std::fs::read(&log).unwrap_or_default()).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        let text = lines[lines.len().saturating_sub(LINES_MAX)..].join("\n");
        Err(RecipeError::Program { program: self.name, status, text })
    }
}
