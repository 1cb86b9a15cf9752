//! Starting again what ends. Each process has a task of its own here, so that one that does not come back says so and
//! stands in the way of no other.

use std::path::Path;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::board::{Part, SharedBoard};
use super::process::{Ended, Process};
use super::terminal::{command, say};
use super::xnode;
use crate::failure::Failure;

/// Longest time to drain before a process is killed.
pub const DRAIN: Duration = Duration::from_secs(10);
/// Wait before a process that ended is started again, in milliseconds; doubled while it keeps ending at once.
const RESTART_MS_MIN: u64 = 250;
/// Longest such wait: a person who has mended what was wrong waits no longer than that.
const RESTART_MS_MAX: u64 = 30_000;
/// Running for this long counts as having started well, in seconds.
const STEADY_SECONDS: u64 = 30;

/// Keeps the processes of a network running until it is stopped.
pub struct Supervisor {
    board: SharedBoard,
    nodes: Group,
    venues: Group,
    agents: Group,
}

#[derive(Default)]
struct Group {
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Supervisor {
    /// A supervisor of nothing yet.
    ///
    /// # Errors
    /// Where its board cannot be written.
    pub fn new(root: &Path) -> Result<Supervisor, Failure> {
        let board = SharedBoard::new(root).map_err(|e| Failure::from_display(root.display(), &e))?;
        Ok(Supervisor { board, nodes: Group::default(), venues: Group::default(), agents: Group::default() })
    }

    /// Keeps this process running.
    pub fn keep(&mut self, process: Process) {
        let name = process.program().name().to_owned();
        let log = process.program().log().to_path_buf();
        self.board.change(&name, |part| *part = Part { pid: Some(process.pid()), log, ..Part::default() });
        let group = if process.program().is_venues() { &mut self.venues } else { &mut self.nodes };
        group.tasks.spawn(keep(process, group.stop.clone(), self.board.clone()));
    }

    /// Keeps the agent of the Xnode running.
    pub fn keep_agent(&mut self, agent: xnode::Own) {
        let (pid, log) = (agent.pid(), agent.log().to_path_buf());
        self.board.change(xnode::NAME, |part| *part = Part { pid, log, ..Part::default() });
        self.agents.tasks.spawn(xnode::keep(agent, self.agents.stop.clone(), self.board.clone()));
    }

    /// Stops all: validators first, because they still read from the venues' server while they close their windows.
    pub async fn stop(mut self) {
        for group in [&mut self.nodes, &mut self.venues, &mut self.agents] {
            group.stop.cancel();
            while group.tasks.join_next().await.is_some() {}
        }
        self.board.remove();
    }
}

/// Starts a process again whenever it ends, until it is told to stop it. One that only another program can go on with stays where it
/// is: this supervisor has the same program.
async fn keep(mut process: Process, stop: CancellationToken, board: SharedBoard) {
    let mut wait_ms = RESTART_MS_MIN;
    loop {
        let started = Instant::now();
        let Ended { how, is_outdated } = tokio::select! {
            ended = process.ended() => ended,
            () = stop.cancelled() => return process.stop(DRAIN).await,
        };
        if started.elapsed() > Duration::from_secs(STEADY_SECONDS) {
            wait_ms = RESTART_MS_MIN;
        }
        let program = process.program().clone();
        let name = program.name();
        if is_outdated {
            let todo = another_program();
            say(format_args!("\n{name} ended ({how}); it is not started again: {todo}"));
            board.change(name, |part| {
                part.end(&how);
                part.trouble = Some(todo);
            });
            return stop.cancelled().await;
        }
        say(format_args!("\n{name} ended ({how}); it starts again in {}", seconds(wait_ms)));
        board.change(name, |part| part.end(&how));
        process = loop {
            if stop.run_until_cancelled(tokio::time::sleep(Duration::from_millis(wait_ms))).await.is_none() {
                return;
            }
            wait_ms = (wait_ms * 2).min(RESTART_MS_MAX);
            match program.clone().start() {
                Ok(process) => break process,
                Err(failure) => {
                    let why = failure.message();
                    say(format_args!("\n{name} does not start ({why}); again in {}", seconds(wait_ms)));
                    board.change(name, |part| part.trouble = Some(why.to_owned()));
                }
            }
        };
        board.change(name, |part| (part.pid, part.trouble) = (Some(process.pid()), None));
    }
}

/// The way on for whoever has an outdated program.
fn another_program() -> String {
    let openmesh = command();
    format!("{openmesh} down, install the release that its log names, and {openmesh} up again")
}

fn seconds(ms: u64) -> String {
    if ms < 1_000 { format!("{ms} ms") } else { format!("{} s", ms / 1_000) }
}
