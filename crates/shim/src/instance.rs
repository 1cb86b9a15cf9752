//! One instance: the machine of its life, driven with real processes.

use std::collections::VecDeque;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::process::{Pid, Signal, WaitStatus};

use crate::config::{Config, GRACE_MS_MAX};
use crate::log::Stream;
use crate::machine::{Effect, Input, Machine, Phase, Rules, StopRule};
use crate::process::{self, Reaped};
use crate::protocol::{
    Action, Cause, End, Ending, First, LogStatus, NOTE_BYTES_MAX, Outcome, Refusal, RefusalCode, State, Status,
};
use crate::pump::Pump;
use crate::signal;

/// Ends that are remembered: those of the quick tries before a crash loop, three times over.
const ENDS_MAX: usize = 16;
/// Ends of children that are remembered while the first process is not known yet: more than a helper has children.
const EXITS_MAX: usize = 1_024;
/// Time for what an instance left behind to end after SIGKILL, milliseconds; then it is said and left alone.
const SWEEP_MS_MAX: u64 = 10_000;
/// Time for which pipes are read after the last process has ended, milliseconds: what is in them is there at once.
const DRAIN_MS_MAX: u64 = 1_000;
/// Pause between looks at what an instance left behind, milliseconds. Ends of children wake the shim before that.
const SWEEP_LOOK_MS: u64 = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    Create,
    Start,
    Delete,
}

impl Task {
    fn word(self) -> &'static str {
        match self {
            Task::Create => "creates",
            Task::Start => "starts",
            Task::Delete => "removes",
        }
    }
}

/// Clearing away of what an instance left behind.
#[derive(Clone, Copy, Debug)]
struct Sweep {
    begun: u64,
    /// Time at which children were last looked for.
    looked: u64,
    childless_since: Option<u64>,
}

/// An instance and everything that is known of it.
#[derive(Debug)]
pub struct Instance {
    config: Config,
    machine: Machine,
    pump: Pump,
    boot: String,
    helper: Option<(Pid, Task)>,
    first: Option<(Pid, First)>,
    exits: VecDeque<(Pid, WaitStatus)>,
    sweep: Option<Sweep>,
    note: Option<String>,
    cause: Option<Cause>,
    reason: String,
    ends: VecDeque<End>,
    run_begun: u64,
    run_log_first: u64,
    oom_before: u64,
    changed: bool,
    left: bool,
}

impl Instance {
    /// An instance that goes on from the last status of an earlier shim, if there was one.
    pub fn new(config: Config, pump: Pump, earlier: Option<&Status>) -> Self {
        let rules = Rules {
            has_start: config.helpers.start.is_some(),
            has_delete: config.helpers.delete.is_some(),
            held: config.helpers.held,
            helper_ms_max: config.helpers.ms_max,
            restart: config.restart,
        };
        let machine = Machine::new(rules, earlier.map_or(0, |s| s.run), earlier.map_or(0, |s| s.restarts));
        let ends = earlier.map(|status| status.ends.iter().cloned().collect()).unwrap_or_default();
        let mut instance = Self {
            config,
            machine,
            pump,
            boot: process::boot(),
            helper: None,
            first: None,
            exits: VecDeque::new(),
            sweep: None,
            note: None,
            cause: None,
            reason: String::new(),
            ends,
            run_begun: 0,
            run_log_first: 0,
            oom_before: 0,
            changed: true,
            left: false,
        };
        // A run whose end is remembered already waited for the next one.
        let unseen = |status: &&Status| {
            status.state != State::Stopped && status.ends.last().is_none_or(|end| end.run != status.run)
        };
        if let Some(status) = earlier.filter(unseen) {
            instance.remember(End {
                run: status.run,
                at_unix_ms: unix_ms(),
                lasted_ms: 0,
                cause: Cause::Unseen,
                out_of_memory: false,
                asked: false,
                log_first: status.ends.last().map_or(status.log.oldest, |end| end.log_next),
                log_next: instance.pump.log().next(),
            });
        }
        instance
    }

    /// Pipes and log.
    pub fn pump(&self) -> &Pump {
        &self.pump
    }

    /// Pipes and log.
    pub fn pump_mut(&mut self) -> &mut Pump {
        &mut self.pump
    }

    /// Configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns true once the shim is to end.
    pub fn left(&self) -> bool {
        self.left
    }

    /// Returns true where something has changed since the last call.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Way to stop of the configuration.
    fn stop_rule(&self) -> StopRule {
        let signal = signal::number(&self.config.stop.signal).unwrap_or(Signal::TERM.as_raw());
        StopRule { signal, grace_ms: self.config.stop.grace_ms }
    }

    /// Begins: removes what an earlier shim left, and makes the container.
    pub fn begin(&mut self, clear: bool, now: u64) {
        self.drive(if clear { Input::Clear } else { Input::Begin }, now);
    }

    /// Stops and leaves, because the machine or a person ends the shim.
    pub fn leave(&mut self, now: u64) {
        self.drive(Input::Leave(self.stop_rule()), now);
    }

    /// Does what an agent asks; the outcome holds the status after it.
    pub fn act(&mut self, action: &Action, now: u64) -> Outcome {
        match self.input(action) {
            Ok(Some(input)) => self.drive(input, now),
            Ok(None) => {}
            Err(refusal) => return Outcome::Error(refusal),
        }
        Outcome::Ok(Box::new(self.status(now)))
    }

    fn input(&mut self, action: &Action) -> Result<Option<Input>, Refusal> {
        if self.machine.leaving() && matches!(action, Action::Start | Action::Restart(_)) {
            let text = "the shim is ending: start another one".into();
            return Err(Refusal { code: RefusalCode::Leaving, text });
        }
        let paused = self.note.as_ref().filter(|_| !matches!(action, Action::Leave(_)));
        if let (Some(note), Action::Start | Action::Stop(_) | Action::Restart(_)) = (paused, action) {
            let text = format!("the instance is paused ({note}): thaw it and send `resume` first");
            return Err(Refusal { code: RefusalCode::Paused, text });
        }
        Ok(match action {
            Action::Start => Some(Input::Start),
            Action::Stop(ending) => Some(Input::Stop(self.ending(ending)?)),
            Action::Restart(ending) => Some(Input::Restart(self.ending(ending)?)),
            Action::Leave(ending) => Some(Input::Leave(self.ending(ending)?)),
            Action::Pause { note } => {
                if note.len() > NOTE_BYTES_MAX {
                    return Err(value(format!("the note has {} bytes, at most {NOTE_BYTES_MAX}", note.len())));
                }
                self.note = Some(note.clone());
                Some(Input::Pause)
            }
            Action::Resume => {
                self.note = None;
                Some(Input::Resume)
            }
            Action::Status | Action::Watch | Action::Follow { .. } | Action::Unfollow => None,
        })
    }

    fn ending(&self, ending: &Ending) -> Result<StopRule, Refusal> {
        let StopRule { signal, grace_ms } = self.stop_rule();
        let signal = match &ending.signal {
            None => signal,
            Some(text) => signal::number(text).ok_or_else(|| value(format!("`{text}` is no signal")))?,
        };
        let grace_ms = ending.grace_ms.unwrap_or(grace_ms);
        if grace_ms > GRACE_MS_MAX {
            return Err(value(format!("a grace of {grace_ms} ms is too long, at most {GRACE_MS_MAX}")));
        }
        Ok(StopRule { signal, grace_ms })
    }

    /// Time at which a tick is due, if any.
    pub fn deadline(&self, now: u64) -> Option<u64> {
        let sweep = self.sweep.map(|_| now + SWEEP_LOOK_MS);
        [self.machine.deadline(), self.pump.deadline(), sweep].into_iter().flatten().min()
    }

    /// Does what time has made due.
    pub fn tick(&mut self, now: u64) {
        self.pump.tick(now);
        if self.machine.deadline().is_some_and(|due| due <= now) {
            self.drive(Input::Tick, now);
        }
        self.sweep(now);
    }

    /// Gives an input to the machine, and does what it says until it says nothing more.
    fn drive(&mut self, input: Input, now: u64) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            for effect in self.machine.on(input, now) {
                inputs.extend(self.apply(effect, now));
            }
        }
        self.changed = true;
    }

    /// Does an effect; returns what is known at once.
    fn apply(&mut self, effect: Effect, now: u64) -> Option<Input> {
        match effect {
            Effect::Create => {
                (self.run_begun, self.run_log_first) = (now, self.pump.log().next());
                (self.cause, self.reason) = (None, String::new());
                self.exits.clear();
                let _ = std::fs::remove_file(&self.config.pid_file);
                self.oom_before = process::oom_kills(&self.config.oom_files).unwrap_or(0);
                return self.help(Task::Create, now);
            }
            Effect::Start => return self.help(Task::Start, now),
            Effect::Delete => return self.help(Task::Delete, now),
            Effect::Signal(number) => {
                self.first.iter().for_each(|(pid, _)| process::send(*pid, number));
            }
            Effect::Kill => {
                self.first.iter().for_each(|(pid, _)| process::send(*pid, Signal::KILL.as_raw()));
            }
            Effect::KillHelper => {
                if let Some((pid, task)) = self.helper {
                    let text = format!("the helper that {} took too long and is killed", task.word());
                    self.pump.say(&text, now);
                    process::send(pid, Signal::KILL.as_raw());
                }
            }
            Effect::Sweep => {
                self.sweep = Some(Sweep { begun: now, looked: now, childless_since: None });
                process::kill_children();
            }
            Effect::Leave => self.left = true,
        }
        None
    }

    fn help(&mut self, task: Task, now: u64) -> Option<Input> {
        let (output, error) = match task {
            Task::Create => (Stream::Stdout, Stream::Stderr),
            Task::Start | Task::Delete => (Stream::Shim, Stream::Shim),
        };
        let helpers = &self.config.helpers;
        let command = match task {
            Task::Create => Some(&helpers.create),
            Task::Start => helpers.start.as_ref(),
            Task::Delete => helpers.delete.as_ref(),
        };
        let command = command.map_or(&[][..], Vec::as_slice);
        let pump = &mut self.pump;
        let spawned =
            pump.pipe(output).and_then(|output| Ok((output, pump.pipe(error)?))).and_then(|(output, error)| {
                process::spawn(command, &self.config.bundle, &helpers.environment, output, error)
            });
        match spawned {
            Ok(pid) => {
                self.helper = Some((pid, task));
                None
            }
            Err(cause) => {
                let program = command.first().map(String::as_str).unwrap_or_default();
                Some(self.helper_failed(task, format!("{program}: {cause}"), now))
            }
        }
    }

    fn helper_failed(&mut self, task: Task, reason: String, now: u64) -> Input {
        self.pump.say(&format!("the helper that {} the container failed: {reason}", task.word()), now);
        if task != Task::Delete {
            self.reason = reason;
        }
        Input::HelperEnded { ok: false }
    }

    /// Takes every change of a child that there is.
    pub fn reap(&mut self, now: u64) {
        let mut reaped = false;
        loop {
            match process::reap() {
                Reaped::Child(pid, status) => {
                    reaped = true;
                    self.child(pid, status, now);
                }
                Reaped::Nothing => {
                    // Who has ended has handed its own children on to the shim.
                    if reaped && self.sweep.is_some() {
                        process::kill_children();
                    }
                    break;
                }
                Reaped::Childless => {
                    if let Some(sweep) = &mut self.sweep {
                        sweep.childless_since.get_or_insert(now);
                    }
                    break;
                }
            }
        }
        self.sweep(now);
    }

    fn child(&mut self, pid: Pid, status: WaitStatus, now: u64) {
        let ended = status.exited() || status.signaled();
        if let Some((_, first)) = self.first.as_mut().filter(|(first, _)| *first == pid) {
            if ended {
                self.first = None;
                self.first_ended(status, now);
            } else {
                first.stopped_by = status.stopping_signal();
                self.changed = true;
            }
        } else if let Some((_, task)) = self.helper.filter(|(helper, _)| *helper == pid) {
            if ended {
                self.helper = None;
                self.helper_ended(task, status, now);
            }
        } else if ended && self.helper.is_some() {
            if self.exits.len() >= EXITS_MAX {
                self.exits.pop_front();
            }
            self.exits.push_back((pid, status));
        }
    }

    fn helper_ended(&mut self, task: Task, status: WaitStatus, now: u64) {
        if status.exit_status() != Some(0) {
            let input = self.helper_failed(task, process::end_in_words(status), now);
            return self.drive(input, now);
        }
        if task != Task::Create {
            return self.drive(Input::HelperEnded { ok: true }, now);
        }
        // A container that was made anew counts from zero.
        let counted = process::oom_kills(&self.config.oom_files);
        self.oom_before = self.oom_before.min(counted.unwrap_or(0));
        match self.find_first(&self.config.pid_file) {
            Err(reason) => {
                let input = self.helper_failed(task, reason, now);
                self.drive(input, now);
            }
            Ok((pid, Some(status))) => {
                self.exits.retain(|(exited, _)| *exited != pid);
                self.drive(Input::HelperEnded { ok: true }, now);
                self.first_ended(status, now);
            }
            Ok((pid, None)) => {
                let start_ticks = process::stat(pid.as_raw_pid()).map_or(0, |stat| stat.start_ticks);
                let number = pid.as_raw_pid().unsigned_abs();
                self.first = Some((pid, First { pid: number, start_ticks, stopped_by: None }));
                self.drive(Input::HelperEnded { ok: true }, now);
            }
        }
    }

    /// Finds the first process that a helper has named, and its end where it has ended already.
    fn find_first(&self, pid_file: &Path) -> Result<(Pid, Option<WaitStatus>), String> {
        let pid = process::read_pid(pid_file)?;
        if let Some((_, status)) = self.exits.iter().rev().find(|(exited, _)| *exited == pid) {
            return Ok((pid, Some(*status)));
        }
        let own = rustix::process::getpid().as_raw_pid();
        match process::stat(pid.as_raw_pid()) {
            Some(stat) if stat.parent == own => Ok((pid, None)),
            _ => Err(format!("process {} of the pid file is no child of the shim", pid.as_raw_pid())),
        }
    }

    fn first_ended(&mut self, status: WaitStatus, now: u64) {
        let cause = match (status.exit_status(), status.terminating_signal()) {
            _ if self.machine.start_failed() => Cause::NotStarted { reason: self.reason.clone() },
            (_, Some(number)) => Cause::Killed { signal: number, name: signal::name(number) },
            (code, None) => Cause::Exited { code: code.unwrap_or(0) },
        };
        self.cause = Some(cause);
        self.drive(Input::FirstEnded { failed: status.exit_status() != Some(0) }, now);
    }

    /// Ends what the instance left behind, and goes on once nothing is left and its pipes are read to their end.
    fn sweep(&mut self, now: u64) {
        let Some(sweep) = self.sweep else { return };
        let late = now.saturating_sub(sweep.begun) >= SWEEP_MS_MAX;
        if sweep.childless_since.is_none() && !late {
            if now.saturating_sub(sweep.looked) >= SWEEP_LOOK_MS {
                self.sweep = Some(Sweep { looked: now, ..sweep });
                process::kill_children();
            }
            return;
        }
        if self.pump.is_open() {
            if now.saturating_sub(sweep.childless_since.unwrap_or(sweep.begun)) < DRAIN_MS_MAX {
                return;
            }
            self.pump.close(now);
        }
        if sweep.childless_since.is_none() {
            self.pump.say("processes of the instance do not end after SIGKILL and are left alone", now);
        }
        self.sweep = None;
        self.finish(now);
    }

    /// Remembers the end of a run and goes on.
    fn finish(&mut self, now: u64) {
        let counted = process::oom_kills(&self.config.oom_files).unwrap_or(0);
        let cause = self.cause.take().unwrap_or_else(|| Cause::NotCreated { reason: self.reason.clone() });
        let end = End {
            run: self.machine.runs(),
            at_unix_ms: unix_ms(),
            lasted_ms: now.saturating_sub(self.run_begun),
            cause,
            out_of_memory: counted > self.oom_before,
            asked: self.machine.asked(),
            log_first: self.run_log_first,
            log_next: self.pump.log().next(),
        };
        self.pump.say(&in_words(&end), now);
        self.remember(end);
        self.drive(Input::Swept, now);
    }

    fn remember(&mut self, end: End) {
        if self.ends.len() >= ENDS_MAX {
            self.ends.pop_front();
        }
        self.ends.push_back(end);
    }

    /// Everything that is known.
    pub fn status(&self, now: u64) -> Status {
        let machine = &self.machine;
        let phase = machine.phase();
        let state = match phase {
            Phase::Stopped => State::Stopped,
            Phase::Creating => State::Creating,
            Phase::Created => State::Created,
            Phase::Starting => State::Starting,
            Phase::Running if machine.asked() => State::Stopping,
            Phase::Running => State::Running,
            Phase::Ending | Phase::Deleting => State::Ending,
            Phase::Waiting { .. } => State::Waiting,
        };
        let next_start_ms = match phase {
            Phase::Waiting { until } if !machine.paused() => Some(until.saturating_sub(now)),
            _ => None,
        };
        let log = self.pump.log();
        let (lines_dropped, bytes_dropped) = log.dropped();
        Status {
            name: self.config.name.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            shim_pid: std::process::id(),
            boot: self.boot.clone(),
            state,
            wanted: machine.wanted(),
            crash_loop: machine.loops(now),
            run: machine.runs(),
            restarts: machine.restarts(),
            first: self.first.as_ref().map(|(_, first)| first.clone()),
            next_start_ms,
            paused: self.note.clone(),
            ends: self.ends.iter().cloned().collect(),
            oom_kills: process::oom_kills(&self.config.oom_files),
            log: LogStatus {
                oldest: log.oldest(),
                next: log.next(),
                bytes: log.bytes(),
                lines_dropped,
                bytes_dropped,
                dropping: log.pending().map(|dropped| dropped.cause.clone()),
            },
        }
    }
}

fn value(text: String) -> Refusal {
    Refusal { code: RefusalCode::Value, text }
}

fn unix_ms() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

/// End of a run in one sentence, for the log.
fn in_words(end: &End) -> String {
    let cause = match &end.cause {
        Cause::Exited { code } => format!("ended with exit code {code}"),
        Cause::Killed { name, .. } => format!("was ended by {name}"),
        Cause::NotCreated { reason } => format!("was not created: {reason}"),
        Cause::NotStarted { reason } => format!("was not started: {reason}"),
        Cause::Unseen => "ended unseen".into(),
    };
    let memory = if end.out_of_memory { ", after the kernel killed for want of memory" } else { "" };
    let asked = if end.asked { ", as asked" } else { "" };
    format!("run {} {cause}{memory}{asked}, after {} ms", end.run, end.lasted_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::LogWriter;

    #[test]
    fn a_run_whose_end_is_known_has_no_second_one() {
        let directory = tempfile::tempdir().unwrap();
        let config: Config = serde_json::from_str(include_str!("../examples/shim.json")).unwrap();
        let begin = |earlier: Option<&Status>| {
            let pump = Pump::new(LogWriter::open(directory.path(), 1 << 20).unwrap());
            Instance::new(config.clone(), pump, earlier).status(0)
        };
        let end = |run, log_first, log_next| End {
            run,
            at_unix_ms: 1,
            lasted_ms: 1,
            cause: Cause::Exited { code: 1 },
            out_of_memory: false,
            asked: false,
            log_first,
            log_next,
        };
        let ends = vec![end(1, 1, 4), end(2, 4, 9)];
        let waiting = Status { state: State::Waiting, run: 2, ends: ends.clone(), ..begin(None) };
        assert_eq!(begin(Some(&waiting)).ends, ends);
        let running = Status { state: State::Running, run: 3, ..waiting };
        let found = begin(Some(&running)).ends;
        let last = found.last().unwrap();
        assert_eq!((found.len(), last.run, last.log_first), (3, 3, 9));
        assert_eq!(last.cause, Cause::Unseen);
    }
}
