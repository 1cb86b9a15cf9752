//! The loop of an agent: look, do the next step, again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use openmesh_blueprint::document::Name;
use openmesh_blueprint::{Refusal, Returning, Step};
use openmesh_primitives::Timestamp;
use openmesh_xnode::marks::RestartEnd;
use openmesh_xnode::{Progress, Turn, XnodeError, open};
use tokio::sync::watch;

use crate::error::AgentError;
use crate::service::{Service, names};
use crate::views::{EventKind, Trouble, WorkState};

/// Longest time between two looks at the machine.
const LOOK: Duration = Duration::from_secs(5);
/// First pause after a failure; the next ones double.
const PAUSE: Duration = Duration::from_millis(500);
/// Longest pause after a failure.
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// Something that failed and is tried again. Its key is the application, none for the machine.
struct Failed {
    cause: String,
    attempts: u32,
    again: Instant,
}

type Failures = BTreeMap<Option<Name>, Failed>;

/// A plan's first step and what it leaves, as it was heard before the step was done.
#[derive(Default)]
struct Heard {
    step: Option<(BTreeSet<Name>, String)>,
    held: Vec<(Option<Name>, String)>,
    /// Steps that were begun, and those of them that watch a version with its traffic.
    begun: (u32, u32),
    /// The way back, where the wanted generation has failed.
    returning: Option<Returning>,
}

struct Worker {
    service: Arc<Service>,
    failures: Failures,
    /// Generation that the failures are about: those of an older one mean nothing for a new one.
    generation: u64,
    /// Last step whose beginning is in the history, so that one that is waited for is told once.
    told: String,
    /// Causes that are in the history already.
    held: BTreeSet<(Option<Name>, String)>,
    rested: bool,
    /// Everything of the generation serves, and that is in the history.
    served: bool,
    /// A way back that could not be gone.
    back: Option<Failed>,
    /// Last restart of each application whose end was told.
    restarts: BTreeMap<Name, u64>,
}

/// Starts the thread that works on the machine, once the agent has its place (`place` is true, or its sender gone). It does what blocks, so it has a thread and a runtime
/// of its own.
///
/// # Errors
/// The system gives no thread.
pub fn start(service: Arc<Service>, mut place: watch::Receiver<bool>) -> Result<JoinHandle<()>, AgentError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(AgentError::file("making its runtime", "the worker"))?;
    let work = move || {
        let mut worker = Worker {
            generation: 0,
            failures: Failures::new(),
            told: String::new(),
            held: BTreeSet::new(),
            rested: false,
            served: false,
            back: None,
            restarts: BTreeMap::new(),
            service,
        };
        runtime.block_on(async {
            // Until the place is this agent's the one before may go on, and knows the machine as it left it.
            let _ = place.wait_for(|is_ours| *is_ours).await;
            worker.work().await;
        });
    };
    Builder::new().name("agent".into()).spawn(work).map_err(AgentError::file("starting", "the worker"))
}

impl Worker {
    async fn work(&mut self) {
        let history = self.service.history();
        history.note(
            EventKind::Agent,
            self.generation,
            None,
            format!("the agent begins, version {}", env!("CARGO_PKG_VERSION")),
        );
        while !self.service.is_leaving() {
            let pause = self.turn().await;
            if pause.is_zero() {
                continue;
            }
            let woken = self.service.wake().notified();
            let _ = tokio::time::timeout(pause, woken).await;
        }
        self.service.history().note(EventKind::Agent, self.generation, None, "the agent leaves; what runs goes on");
    }

    /// One look and one step. Returns the time until the next one.
    async fn turn(&mut self) -> Duration {
        let wanted = self.service.wanted().unwrap_or(self.generation);
        if wanted != self.generation {
            (self.generation, self.rested, self.served, self.back) = (wanted, false, false, None);
            self.failures.clear();
            self.held.clear();
        }
        let now = Instant::now();
        let waiting = self.failures.iter().filter(|(_, failed)| failed.again > now);
        let held_up: BTreeSet<Name> = waiting.filter_map(|(name, _)| name.clone()).collect();
        let heard = Mutex::new(Heard::default());
        let service = self.service.clone();
        let mut begins = |turn: &Turn<'_>| {
            let step = turn.next.map(|next| (next.applications.clone(), next.planned.step.to_string()));
            // One that goes back by itself is not held.
            let refused: &[Refusal] = if turn.returning.is_some() { &[] } else { turn.refused };
            let held = refused.iter().chain(&turn.plan.held);
            let held = held.map(held_by).collect();
            service.note_work(|work| {
                let text = step.as_ref().map(|(_, text)| text.clone());
                if work.step != text {
                    (work.step, work.bytes) = (text, None);
                }
                work.looked_at = Some(Timestamp::now());
            });
            let watches = turn.next.is_some_and(|next| matches!(next.planned.step, Step::Probation { .. }));
            let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            let begun = (heard.begun.0 + 1, heard.begun.1 + u32::from(watches));
            *heard = Heard { step, held, begun, returning: turn.returning.cloned() };
        };
        let begun = Instant::now();
        let done = service.agent().step_beside(&held_up, &mut begins, &open).await;
        let heard = heard.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.tell_events();
        self.tell_restarts();
        let pause = self.tell(&heard, begun.elapsed(), done);
        match &heard.returning {
            Some(way) if self.go_back(way) => Duration::ZERO,
            _ => pause,
        }
    }

    /// Notes what was found and repaired beside the steps of the plan.
    fn tell_events(&self) {
        for event in self.service.agent().take_events() {
            let kind = match event.kind {
                openmesh_xnode::EventKind::Found => EventKind::Found,
                openmesh_xnode::EventKind::Over => EventKind::Over,
                openmesh_xnode::EventKind::Repaired => EventKind::Repaired,
                openmesh_xnode::EventKind::Done => EventKind::Done,
                openmesh_xnode::EventKind::Failed => EventKind::Failed,
            };
            self.note(kind, event.application.as_ref(), event.cause);
        }
    }

    /// Notes restarts that are over, and lets that be known only then: an agent that dies in between tells them again.
    fn tell_restarts(&mut self) {
        for (name, RestartEnd { mark, instances }) in self.service.agent().take_restarts() {
            if self.restarts.insert(name.clone(), mark.number) != Some(mark.number) {
                let (number, by) = (mark.number, &mark.by);
                let text = match instances.is_empty() {
                    true => format!(
                        "restart {number} of {name}, asked for by {by}, is over: another version took the place of its instances"
                    ),
                    false => format!(
                        "restart {number} of {name}, asked for by {by}, is done: {} run anew",
                        names(instances.iter())
                    ),
                };
                self.note(EventKind::Restarted, Some(&name), text);
            }
            if let Err(error) = self.service.agent().restart_is_told(&name, mark.number, &open) {
                tracing::warn!(%error, "the end of a restart is told, and may be told again");
            }
        }
    }

    /// Lets a failed generation come back. False where that cannot be now, and is tried again later.
    fn go_back(&mut self, way: &Returning) -> bool {
        if self.back.as_ref().is_some_and(|failed| failed.again > Instant::now()) {
            return false;
        }
        let error = match self.service.go_back(self.generation, way) {
            Ok(gone) => {
                self.back = None;
                return gone;
            }
            Err(error) => error,
        };
        let cause = format!("going back from generation {}: {error}", self.generation);
        let attempts = self.back.as_ref().map_or(0, |failed| failed.attempts) + 1;
        if self.back.as_ref().is_none_or(|failed| failed.cause != cause) {
            self.note(EventKind::Failed, None, cause.clone());
        }
        self.back = Some(Failed { cause, attempts, again: Instant::now() + pause_after(attempts) });
        false
    }

    /// Notes what came of a turn.
    fn tell(&mut self, heard: &Heard, took: Duration, done: Result<Progress, XnodeError>) -> Duration {
        // Without a generation that serves a refusal is all there is.
        let held: Vec<(Option<Name>, String)> = match &done {
            Err(XnodeError::Refused { refusals }) => refusals.iter().map(held_by).collect(),
            // What failed before there was a plan says nothing of what is held.
            Err(_) if heard.begun.0 == 0 => self.held.iter().cloned().collect(),
            _ => heard.held.clone(),
        };
        for held in &held {
            if self.held.insert(held.clone()) {
                self.note(EventKind::Held, held.0.as_ref(), held.1.clone());
            }
        }
        self.held.retain(|one| held.contains(one));
        let pause = match done {
            Ok(Progress::Done) => {
                let Some((names, text)) = &heard.step else { return Duration::ZERO };
                for name in keys(names) {
                    self.failures.remove(&name);
                }
                self.rested = false;
                let ms = took.as_millis();
                self.note(EventKind::Done, names.first(), format!("{text} ({ms} ms)"));
                self.told.clear();
                Duration::ZERO
            }
            Ok(Progress::Wait(pause)) => {
                if let Some((names, text)) = heard.step.as_ref().filter(|(_, text)| *text != self.told) {
                    self.told.clone_from(text);
                    self.note(EventKind::Begins, names.first(), text.clone());
                }
                self.serves(heard);
                pause
            }
            Ok(Progress::Rest) => self.rest(heard),
            Err(XnodeError::Refused { .. }) => LOOK,
            Err(error) => self.failed(heard, &error),
        };
        self.note_state(heard);
        pause
    }

    fn rest(&mut self, heard: &Heard) -> Duration {
        let now = Instant::now();
        // Without a failure of an application the machine has nothing that failed either: it was looked at just now.
        self.failures.remove(&None);
        let is_quiet = self.failures.is_empty() && self.held.is_empty() && heard.returning.is_none();
        if is_quiet && !self.rested && self.generation > 0 {
            (self.rested, self.served) = (true, true);
            self.note(EventKind::Rest, None, format!("the machine is as generation {} says", self.generation));
        }
        self.serves(heard);
        self.failures.values().map(|failed| failed.again.saturating_duration_since(now)).min().unwrap_or(LOOK).min(LOOK)
    }

    /// Tells once that a generation goes no further for now: its new versions are watched, or others hold up its commit.
    fn serves(&mut self, heard: &Heard) {
        let (all, watches) = heard.begun;
        if self.served || heard.returning.is_some() || self.generation == 0 || (all != watches && heard.step.is_some())
        {
            return;
        }
        let troubled = self.failures.keys().chain(self.held.iter().map(|(name, _)| name));
        let names: BTreeSet<String> =
            troubled.map(|name| name.as_ref().map_or("the machine".into(), ToString::to_string)).collect();
        if names.is_empty() && watches == 0 {
            return;
        }
        self.served = true;
        let number = self.generation;
        let text = match names.is_empty() {
            true => {
                format!("everything of generation {number} serves; its new versions are watched before it is committed")
            }
            false => format!(
                "generation {number} goes as far as it can; these hold up its commit: {}",
                names.into_iter().collect::<Vec<_>>().join(", ")
            ),
        };
        self.note(EventKind::Serves, None, text);
    }

    fn failed(&mut self, heard: &Heard, error: &XnodeError) -> Duration {
        let (names, cause) = match &heard.step {
            Some((names, text)) => (keys(names), format!("{text}: {error}")),
            None => (vec![None], error.to_string()),
        };
        self.rested = false;
        let mut longest = Duration::ZERO;
        for name in names {
            let failed = self.failures.entry(name.clone()).or_insert_with(|| Failed {
                cause: String::new(),
                attempts: 0,
                again: Instant::now(),
            });
            let is_new = shape(&failed.cause) != shape(&cause);
            failed.attempts = if is_new { 1 } else { failed.attempts + 1 };
            let pause = pause_after(failed.attempts);
            (failed.cause, failed.again) = (cause.clone(), Instant::now() + pause);
            // Others have steps of their own; the machine as a whole has none, and is looked at all the same.
            if name.is_none() {
                longest = pause.min(LOOK);
            }
            if is_new {
                self.note(EventKind::Failed, name.as_ref(), cause.clone());
            }
        }
        longest
    }

    fn note(&self, kind: EventKind, name: Option<&Name>, text: String) {
        self.service.history().note(kind, self.generation, name.map(ToString::to_string), text);
    }

    fn note_state(&self, heard: &Heard) {
        let now = Instant::now();
        let failed = self.failures.iter().map(|(name, failed)| Trouble {
            application: name.as_ref().map(ToString::to_string),
            cause: failed.cause.clone(),
            attempts: failed.attempts,
            again_in_ms: u64::try_from(failed.again.saturating_duration_since(now).as_millis()).ok(),
        });
        let held = self.held.iter().map(|(name, cause)| Trouble {
            application: name.as_ref().map(ToString::to_string),
            cause: cause.clone(),
            attempts: 0,
            again_in_ms: None,
        });
        let back = self.back.iter().map(|failed| Trouble {
            application: None,
            cause: failed.cause.clone(),
            attempts: failed.attempts,
            again_in_ms: u64::try_from(failed.again.saturating_duration_since(now).as_millis()).ok(),
        });
        let troubles: Vec<Trouble> = failed.chain(held).chain(back).collect();
        let state = match (self.generation, heard.step.is_some(), troubles.is_empty()) {
            (0, _, _) => WorkState::Idle,
            (_, true, _) => WorkState::Works,
            (_, false, true) => WorkState::Rests,
            (_, false, false) => WorkState::Held,
        };
        self.service.note_work(|work| {
            (work.state, work.troubles) = (state, troubles);
        });
    }
}

/// A refusal as the application that it holds, with its words.
fn held_by(refusal: &Refusal) -> (Option<Name>, String) {
    (refusal.application().cloned(), refusal.to_string())
}

/// Pause after so many attempts, from 1.
fn pause_after(attempts: u32) -> Duration {
    PAUSE.saturating_mul(1 << attempts.saturating_sub(1).min(16)).min(PAUSE_MAX)
}

/// A cause without its figures: the same failure has other bytes and times at each attempt.
fn shape(cause: &str) -> String {
    let mut shape = String::new();
    for part in cause.split(|digit: char| digit.is_ascii_digit()).filter(|part| !part.is_empty()) {
        shape.push_str(part);
        shape.push('#');
    }
    shape
}

/// Keys of the failures of a step: its applications, or the machine where it has none.
fn keys(names: &BTreeSet<Name>) -> Vec<Option<Name>> {
    if names.is_empty() { vec![None] } else { names.iter().cloned().map(Some).collect() }
}
