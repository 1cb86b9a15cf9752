//! Life of an instance as a pure state machine: requests and observations go in, effects come out.
//!
//! The machine knows neither processes nor clocks. Whoever drives it does what the effects say, in their order, and reports how helpers
//! and the first process ended. At any moment there is at most one helper and at most one first process.

use crate::restart::{Ends, RestartRule};

/// Stage of an instance's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing runs and nothing is planned.
    Stopped,
    /// The helper makes the container.
    Creating,
    /// The container exists; its start waits for an agent's word.
    Created,
    /// The helper starts the container.
    Starting,
    /// The first process runs.
    Running,
    /// The first process has ended; what it left behind is ended and the pipes are read to their end.
    Ending,
    /// The helper removes the container.
    Deleting,
    /// The next start is due.
    Waiting {
        /// Due time, milliseconds of the driver's clock.
        until: u64,
    },
}

/// Aim of the current life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    Run,
    Restart,
    Stop,
}

/// Way to stop: a signal, and SIGKILL after a grace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopRule {
    /// Number of the signal that asks.
    pub signal: i32,
    /// Time between asking and SIGKILL, milliseconds.
    pub grace_ms: u64,
}

/// Request or observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Remove what an earlier shim left behind, then run it.
    Clear,
    /// Begin the first run of this shim; a held one waits for [`Input::Start`] after its creation.
    Begin,
    /// Run it, now.
    Start,
    /// Stop it and keep it stopped.
    Stop(StopRule),
    /// Stop it and start it again without a pause.
    Restart(StopRule),
    /// Stop it and end the shim.
    Leave(StopRule),
    /// Start nothing by policy until resumed.
    Pause,
    /// Start by policy again.
    Resume,
    /// The helper has ended: with a container that is as it should be, or not.
    HelperEnded {
        /// It did what it was started for.
        ok: bool,
    },
    /// The first process has ended.
    FirstEnded {
        /// By a signal or with a code other than 0.
        failed: bool,
    },
    /// Nothing of the instance is left and its pipes are read to their end.
    Swept,
    /// Time has passed.
    Tick,
}

/// Something that the driver does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Starts the helper that makes the container.
    Create,
    /// Starts the helper that starts the container.
    Start,
    /// Starts the helper that removes the container.
    Delete,
    /// Sends a signal to the first process.
    Signal(i32),
    /// Sends SIGKILL to the first process.
    Kill,
    /// Sends SIGKILL to the helper.
    KillHelper,
    /// Ends what is left of the instance and reads its pipes to their end.
    Sweep,
    /// Ends the shim.
    Leave,
}

/// Facts of an instance that its life depends on.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// There is a helper that starts what was created.
    pub has_start: bool,
    /// There is a helper that removes what has ended.
    pub has_delete: bool,
    /// The first start waits for a word after creation.
    pub held: bool,
    /// Time that a helper is given, milliseconds.
    pub helper_ms_max: u64,
    /// Restarts.
    pub restart: RestartRule,
}

/// State of an instance's life.
#[derive(Clone, Debug)]
pub struct Machine {
    rules: Rules,
    phase: Phase,
    goal: Goal,
    leaving: bool,
    paused: bool,
    told: bool,
    signal: Option<i32>,
    kill_at: Option<u64>,
    helper_until: Option<u64>,
    ended: Option<bool>,
    start_failed: bool,
    ends: Ends,
    runs: u64,
    restarts: u64,
}

impl Machine {
    /// A stopped instance that has had so many lives before.
    pub fn new(rules: Rules, runs: u64, restarts: u64) -> Self {
        Self {
            rules,
            phase: Phase::Stopped,
            goal: Goal::Stop,
            leaving: false,
            paused: false,
            told: false,
            signal: None,
            kill_at: None,
            helper_until: None,
            ended: None,
            start_failed: false,
            ends: Ends::default(),
            runs,
            restarts,
        }
    }

    /// Stage of its life.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Number of the life: 1 for the first one.
    pub fn runs(&self) -> u64 {
        self.runs
    }

    /// Starts by policy so far.
    pub fn restarts(&self) -> u64 {
        self.restarts
    }

    /// Returns true where somebody asked that this life ends.
    pub fn asked(&self) -> bool {
        self.goal != Goal::Run
    }

    /// Returns true where the instance is to run, now or again.
    pub fn wanted(&self) -> bool {
        self.goal != Goal::Stop
    }

    /// Returns true once the shim is to end.
    pub fn leaving(&self) -> bool {
        self.leaving
    }

    /// Returns true while nothing is started by policy.
    pub fn paused(&self) -> bool {
        self.paused
    }

    /// Returns true where a helper could not start what was created.
    pub fn start_failed(&self) -> bool {
        self.start_failed
    }

    /// Returns true in a crash loop.
    pub fn loops(&self, now: u64) -> bool {
        self.rules.restart.loops(&self.ends, now)
    }

    /// Time at which a tick is due, if any.
    pub fn deadline(&self) -> Option<u64> {
        let start = match self.phase {
            Phase::Waiting { until } if !self.paused => Some(until),
            _ => None,
        };
        [self.helper_until, self.kill_at, start].into_iter().flatten().min()
    }

    /// Takes an input at a time and returns the effects, in their order.
    pub fn on(&mut self, input: Input, now: u64) -> Vec<Effect> {
        match input {
            Input::Clear => self.clear(now),
            Input::Begin => self.create_unless_busy(now),
            Input::Start => self.start(now),
            Input::Stop(rule) => self.stop(rule, Goal::Stop, now),
            Input::Restart(rule) => self.stop(rule, Goal::Restart, now),
            Input::Leave(rule) => {
                self.leaving = true;
                self.stop(rule, Goal::Stop, now)
            }
            Input::Pause => {
                self.paused = true;
                Vec::new()
            }
            Input::Resume => {
                self.paused = false;
                self.tick(now)
            }
            Input::HelperEnded { ok } => self.helper_ended(ok, now),
            Input::FirstEnded { failed } => self.first_ended(failed),
            Input::Swept => self.swept(now),
            Input::Tick => self.tick(now),
        }
    }

    fn clear(&mut self, now: u64) -> Vec<Effect> {
        if self.phase != Phase::Stopped || !self.rules.has_delete {
            return self.create_unless_busy(now);
        }
        self.goal = Goal::Restart;
        self.phase = Phase::Deleting;
        self.helper_until = Some(now.saturating_add(self.rules.helper_ms_max));
        vec![Effect::Delete]
    }

    fn create_unless_busy(&mut self, now: u64) -> Vec<Effect> {
        if self.phase == Phase::Stopped { self.create(now) } else { Vec::new() }
    }

    /// Starts by request: a held instance goes on.
    fn start(&mut self, now: u64) -> Vec<Effect> {
        if self.leaving {
            return Vec::new();
        }
        self.told = true;
        match self.phase {
            Phase::Stopped | Phase::Waiting { .. } => self.create(now),
            Phase::Created if self.goal == Goal::Run => self.proceed(now),
            _ => {
                if self.goal == Goal::Stop {
                    self.goal = Goal::Restart;
                }
                Vec::new()
            }
        }
    }

    /// Begins a run.
    fn create(&mut self, now: u64) -> Vec<Effect> {
        self.goal = Goal::Run;
        self.runs += 1;
        self.phase = Phase::Creating;
        self.helper_until = Some(now.saturating_add(self.rules.helper_ms_max));
        (self.kill_at, self.signal, self.ended, self.start_failed) = (None, None, None, false);
        vec![Effect::Create]
    }

    fn stop(&mut self, rule: StopRule, goal: Goal, now: u64) -> Vec<Effect> {
        let goal = if self.leaving { Goal::Stop } else { goal };
        let due = now.saturating_add(rule.grace_ms);
        match self.phase {
            Phase::Stopped | Phase::Waiting { .. } => match goal {
                Goal::Stop => self.rest(),
                _ => self.create(now),
            },
            Phase::Ending | Phase::Deleting => {
                self.goal = goal;
                Vec::new()
            }
            Phase::Creating | Phase::Starting => {
                self.goal = goal;
                self.signal = Some(rule.signal);
                self.kill_at = Some(self.kill_at.map_or(due, |at| at.min(due)));
                Vec::new()
            }
            Phase::Created => {
                self.goal = goal;
                vec![Effect::Kill]
            }
            Phase::Running if rule.grace_ms == 0 => {
                self.goal = goal;
                self.kill_at = None;
                vec![Effect::Kill]
            }
            Phase::Running => {
                // After the kill of an earlier request there is nothing left to wait for.
                if self.goal == Goal::Run || self.kill_at.is_some() {
                    self.kill_at = Some(self.kill_at.map_or(due, |at| at.min(due)));
                }
                self.goal = goal;
                vec![Effect::Signal(rule.signal)]
            }
        }
    }

    /// Comes to rest, and ends the shim where that was asked.
    fn rest(&mut self) -> Vec<Effect> {
        self.phase = Phase::Stopped;
        self.goal = Goal::Stop;
        if self.leaving { vec![Effect::Leave] } else { Vec::new() }
    }

    /// Goes on from a container that was made.
    fn proceed(&mut self, now: u64) -> Vec<Effect> {
        if self.goal != Goal::Run {
            self.phase = Phase::Running;
            // Where it is not started yet, nothing of the application has run that a signal could reach.
            return vec![if self.rules.has_start { Effect::Kill } else { self.ask() }];
        }
        if self.rules.held && !self.told {
            self.phase = Phase::Created;
            return Vec::new();
        }
        if self.rules.has_start {
            self.phase = Phase::Starting;
            self.helper_until = Some(now.saturating_add(self.rules.helper_ms_max));
            return vec![Effect::Start];
        }
        self.phase = Phase::Running;
        Vec::new()
    }

    /// Asks a process that came to life after it was asked to end; without a grace that is left it is killed.
    fn ask(&self) -> Effect {
        match (self.signal, self.kill_at) {
            (Some(signal), Some(_)) => Effect::Signal(signal),
            _ => Effect::Kill,
        }
    }

    fn helper_ended(&mut self, ok: bool, now: u64) -> Vec<Effect> {
        match self.phase {
            Phase::Creating | Phase::Starting => {
                self.helper_until = None;
                if self.ended.is_some() || (self.phase == Phase::Creating && !ok) {
                    return self.sweep();
                }
                if self.phase == Phase::Creating {
                    return self.proceed(now);
                }
                self.phase = Phase::Running;
                self.start_failed = !ok;
                match (ok, self.goal) {
                    (false, _) => vec![Effect::Kill],
                    (true, Goal::Run) => Vec::new(),
                    (true, _) => vec![self.ask()],
                }
            }
            Phase::Deleting => {
                self.helper_until = None;
                self.after_end(now)
            }
            _ => Vec::new(),
        }
    }

    fn first_ended(&mut self, failed: bool) -> Vec<Effect> {
        match self.phase {
            // The helper is waited for: its container is removed only after it has let go.
            Phase::Creating | Phase::Starting => {
                self.ended = Some(failed);
                Vec::new()
            }
            Phase::Created | Phase::Running => {
                self.ended = Some(failed);
                self.sweep()
            }
            _ => Vec::new(),
        }
    }

    fn sweep(&mut self) -> Vec<Effect> {
        self.phase = Phase::Ending;
        self.kill_at = None;
        vec![Effect::Sweep]
    }

    fn swept(&mut self, now: u64) -> Vec<Effect> {
        if self.phase != Phase::Ending {
            return Vec::new();
        }
        if self.rules.has_delete {
            self.phase = Phase::Deleting;
            self.helper_until = Some(now.saturating_add(self.rules.helper_ms_max));
            return vec![Effect::Delete];
        }
        self.after_end(now)
    }

    fn after_end(&mut self, now: u64) -> Vec<Effect> {
        let failed = self.ended.take().unwrap_or(true) || self.start_failed;
        match self.goal {
            Goal::Stop => self.rest(),
            Goal::Restart => self.create(now),
            Goal::Run => {
                self.ends.push(now);
                match self.rules.restart.pause(failed, &self.ends, now) {
                    None => self.rest(),
                    Some(pause) => {
                        self.phase = Phase::Waiting { until: now.saturating_add(pause) };
                        Vec::new()
                    }
                }
            }
        }
    }

    fn tick(&mut self, now: u64) -> Vec<Effect> {
        let due = |at: Option<u64>| at.is_some_and(|at| at <= now);
        if due(self.helper_until) {
            self.helper_until = None;
            return vec![Effect::KillHelper];
        }
        if due(self.kill_at) {
            self.kill_at = None;
            return match self.phase {
                Phase::Creating | Phase::Starting => vec![Effect::KillHelper],
                Phase::Running => vec![Effect::Kill],
                _ => Vec::new(),
            };
        }
        match self.phase {
            Phase::Waiting { until } if until <= now && !self.paused => {
                self.restarts += 1;
                self.create(now)
            }
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
