//! Jobs as processes: begun in their order, awaited, and told as they end.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Sender};
use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use super::family;
use super::jobs::{Job, Work};
use super::machine::Ticks;
use super::order;
use super::programs::cargo;
use super::report::{Outcome, Row, counts, outcome};

/// Time after which the end of a job is not awaited any more. Tests have patience of their own of a few minutes, some of them more than once: this only ends what
/// hangs.
pub const HUNG: Duration = Duration::from_secs(2_700);
/// Time that a process which was killed has for its end. One that waits for a disk, as for a frozen file system, takes no notice: it is given up.
const KILLED: Duration = Duration::from_secs(60);
/// Longest time between two looks at what hangs.
const LOOK: Duration = Duration::from_secs(1);
/// Time between two words on what still runs.
const STILL: Duration = Duration::from_secs(60);
/// Bytes that are told of what a job has said, of its beginning and of its end each: a test that has lost its way says whatever a disk takes.
const TOLD_BYTES: u64 = 1 << 20;
/// Nice value of jobs that compute: those that wait, and hold the time of something against the clock, come first.
const BEHIND: i32 = 5;
/// Word by which cargo is meant in the list.
const CARGO: &str = "cargo";
/// Parts of a second in which the kernel tells times of processors. Source: `USER_HZ`, proc_pid_stat(5).
const TICKS_PER_SECOND: u64 = 100;
/// Variable by which tests know that the programs of an agent are built and lie beside them: nobody calls cargo then, which would take the programs away from
/// under tests of other crates to lay the same ones there again.
const BUILT: &str = "OPENMESH_PROGRAMS_ARE_BUILT";

/// A job that runs.
struct Running {
    job: Job,
    begun: Instant,
    pid: Option<Pid>,
    said: PathBuf,
    is_hung: bool,
}

/// The end of a process: the job's place, its status, and the time of processors that it had.
struct End {
    place: usize,
    status: io::Result<ExitStatus>,
    computed: Duration,
}

/// All jobs of a run.
pub struct Hall<'a> {
    /// Cores of the machine.
    pub cores: u32,
    /// Folder of the outputs, one file for each job.
    pub folder: &'a Path,
    /// The programs of an agent are built.
    pub is_built: bool,
    /// Time after which the end of a job is not awaited any more: [`HUNG`].
    pub limit: Duration,
}

impl Hall<'_> {
    /// Runs jobs until none is left, and tells each as soon as it is over, with what it said.
    pub fn run(&self, mut waiting: Vec<Job>, mut tell: impl FnMut(&Row, &str)) -> Vec<Row> {
        order::sort(&mut waiting);
        let (ended, ends) = mpsc::channel();
        let mut running: Vec<Option<Running>> = Vec::new();
        let (mut rows, mut told, mut ticks) = (Vec::new(), Instant::now(), Ticks::now());
        loop {
            while let Some(at) = order::next(&waiting, running.iter().flatten().map(|one| &one.job), self.cores) {
                let (job, begun) = (waiting.remove(at), Instant::now());
                match self.begin(&job, running.len(), ended.clone()) {
                    Ok((pid, said)) => running.push(Some(Running { job, begun, pid, said, is_hung: false })),
                    Err(error) => {
                        let row = Row::cannot(job.name, &error);
                        tell(&row, "");
                        rows.push(row);
                    }
                }
            }
            if running.iter().all(Option::is_none) {
                return rows;
            }
            let mut over: Vec<(Row, String)> = Vec::new();
            // This place holds one end of the channel: nothing but its time ends the wait.
            if let Ok(End { place, status, computed }) = ends.recv_timeout(LOOK)
                && let Some(one) = running[place].take()
            {
                over.push(one.row(status, computed, self.limit));
            }
            for place in &mut running {
                if place.as_mut().is_some_and(|one| one.end_hung(self.limit)) {
                    let lost = Err(io::Error::other("nobody can end it"));
                    over.extend(place.take().map(|one| one.row(lost, Duration::ZERO, self.limit)));
                }
            }
            for (row, output) in over {
                tell(&row, &output);
                rows.push(row);
            }
            if told.elapsed() >= STILL {
                let now = Ticks::now();
                let busy = now.zip(ticks).map_or(0.0, |(now, before)| now.busy_since(before, self.cores));
                (told, ticks) = (Instant::now(), now);
                let names: Vec<&str> = running.iter().flatten().map(|one| one.job.name.as_str()).collect();
                let (over, wait) = (rows.len(), waiting.len());
                eprintln!("==> {over} jobs are over, {wait} wait, {busy:.1} cores busy; running: {}", names.join(", "));
            }
        }
    }

    /// Starts the process of a job. Returns its number and the file with its output.
    fn begin(&self, job: &Job, place: usize, ended: Sender<End>) -> io::Result<(Option<Pid>, PathBuf)> {
        let said = self.folder.join(format!("{place:03}.log"));
        File::create(&said)?;
        // Behind whatever is there, also where a process opens its own output once more by a path.
        let output = File::options().append(true).open(&said)?;
        let mut command = command(job);
        match self.is_built {
            true => command.env(BUILT, "1"),
            false => command.env_remove(BUILT),
        };
        let child = command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).spawn()?;
        let pid = Pid::from_raw(child.id().cast_signed());
        std::thread::spawn(move || {
            let (computed, status) = await_end(child);
            // Nobody hears it where the run has failed.
            let _ = ended.send(End { place, status, computed });
        });
        Ok((pid, said))
    }
}

impl Running {
    /// Ends a process that hangs, with everything below it. Returns true where that was of no use.
    fn end_hung(&mut self, limit: Duration) -> bool {
        let elapsed = self.begun.elapsed();
        if !self.is_hung && elapsed > limit {
            self.is_hung = true;
            if let Some(pid) = self.pid {
                family::end(pid);
            }
        }
        elapsed > limit + KILLED
    }

    /// Its row once it has ended, and what it said.
    fn row(self, status: io::Result<ExitStatus>, computed: Duration, limit: Duration) -> (Row, String) {
        let output = said(&self.said).unwrap_or_else(|error| format!("what it said cannot be read: {error}"));
        let words = match status {
            Ok(status) => (!status.success()).then(|| format!("it ended with {status}")),
            Err(error) => Some(format!("its end is not known: {error}")),
        };
        let (counts, found) = match &self.job.work {
            Work::Tests { only, .. } => {
                let wanted = (!only.is_empty()).then_some(only.len());
                (counts(&output), outcome(&output, words.as_deref(), wanted))
            }
            Work::Command { .. } => (None, words.map_or(Outcome::Passed, Outcome::Ended)),
        };
        let outcome = if self.is_hung { Outcome::Hung(limit) } else { found };
        (Row { name: self.job.name, outcome, counts, took: self.begun.elapsed(), computed }, output)
    }
}

/// Whatever a job has said; of a lot only the beginning and the end, with a word between them.
fn said(path: &Path) -> io::Result<String> {
    let (mut file, mut said) = (File::open(path)?, Vec::new());
    let bytes = file.metadata()?.len();
    let left_out = bytes.saturating_sub(2 * TOLD_BYTES);
    if left_out > 0 {
        file.by_ref().take(TOLD_BYTES).read_to_end(&mut said)?;
        said.extend_from_slice(format!("\n... {left_out} bytes are left out here ...\n").as_bytes());
        file.seek(SeekFrom::Start(bytes - TOLD_BYTES))?;
    }
    // A process that was left behind may write on.
    file.take(2 * TOLD_BYTES).read_to_end(&mut said)?;
    Ok(String::from_utf8_lossy(&said).into_owned())
}

/// The process of a job.
fn command(job: &Job) -> Command {
    match &job.work {
        Work::Tests { program, only } => {
            let mut command = if job.waits { program.command() } else { program.command_behind(BEHIND) };
            command.args(["--test-threads", &job.threads.to_string()]);
            if !only.is_empty() {
                command.arg("--exact").args(only);
            }
            command
        }
        Work::Command { run, folder } => {
            let mut words = run.iter();
            let program = words.next().map_or(CARGO, String::as_str);
            let mut command = if program == CARGO { Command::new(cargo()) } else { Command::new(program) };
            command.args(words).current_dir(folder);
            command
        }
    }
}

/// Waits for the end of a process, and reads what it has computed before it is gone.
fn await_end(mut child: Child) -> (Duration, io::Result<ExitStatus>) {
    let pid = Pid::from_raw(child.id().cast_signed());
    if let Some(pid) = pid {
        while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
        {
        }
    }
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
    (computed(&stat), child.wait())
}

/// Time of processors of a process and of its children that were waited for, in the kernel's words about it; none where these are others.
pub fn computed(stat: &str) -> Duration {
    // The name before may hold anything. Source: proc_pid_stat(5), fields 14 to 17.
    let Some((_, rest)) = stat.rsplit_once(')') else { return Duration::ZERO };
    let ticks: u64 = rest.split_whitespace().skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND)
}
