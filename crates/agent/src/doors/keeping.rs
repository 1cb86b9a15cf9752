//! The thread that keeps the door: it starts one where nobody serves, lets one of a newer program take its place, and wakes the loop for its news.

use std::collections::BTreeSet;
use std::fs;
use std::process::Child;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use openmesh_door::document::{Admission, Traffic};
use openmesh_door::report::Report;
use openmesh_xnode::door::Carrier;
use openmesh_xnode::door::client::ClientError;
use openmesh_xnode::door::document::Own;
use openmesh_xnode::marks;

use super::Keeper;
use crate::error::AgentError;
use crate::programs;
use crate::service::Service;
use crate::settings::Settings;
use crate::views::{EventKind, WorkState};

/// Longest time until the thread sees that the agent leaves, or that a door could be replaced.
const TICK: Duration = Duration::from_millis(500);
/// Time between two looks at the way to the agent on a machine without a generation: as often as the loop looks at one with it.
const LEAD: Duration = Duration::from_secs(5);
/// First pause after a start that failed; the next ones double.
const PAUSE: Duration = Duration::from_millis(100);
/// Longest pause after a start that failed: a dead door is started again within 5 s.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Pause after a replacement that failed: the old door serves meanwhile.
const REPLACE_AGAIN: Duration = Duration::from_secs(300);
/// Time for a door to answer after its start: it reads a document with every certificate, on a busy machine.
const START_MAX: Duration = Duration::from_secs(30);

/// Starts the thread that keeps the door; none where there is no program of one, which is said.
///
/// # Errors
/// The system gives no thread.
pub fn watch(service: &Arc<Service>) -> Result<Option<JoinHandle<()>>, AgentError> {
    if service.doors().is_none() {
        let text = format!(
            "there is no door: {} is missing beside the agent's program, so published ports of HTTP and domains are not served; others are",
            programs::DOOR
        );
        service.history().note(EventKind::Agent, service.wanted()?, None, text);
        return Ok(None);
    }
    if let Some(carrier) = service.agent().machine().doors.get() {
        carrier.lead(own(service.settings()));
    }
    let watched = service.clone();
    let watch = move || {
        let Some((keeper, carrier)) = watched.doors().zip(watched.agent().machine().doors.get()) else { return };
        let mut watch = Watch {
            service: &watched,
            keeper,
            carrier,
            children: Vec::new(),
            failures: 0,
            starting: None,
            replace_after: Instant::now(),
            replacing: None,
            told: None,
            led: None,
            said: String::new(),
        };
        watch.keep();
    };
    let thread = Builder::new().name("door".into()).spawn(watch);
    thread.map(Some).map_err(AgentError::file("starting", "the thread of the door"))
}

/// The agent's face with its names, where it answers: nobody is led to an address that another program may have.
fn own(settings: &Settings) -> Option<Own> {
    let hosts = settings.people.hosts.clone();
    let to = fs::read_to_string(settings.face_file()).ok()?.trim().parse().ok()?;
    (!hosts.is_empty()).then_some(Own { hosts, to })
}

/// State of a report that the loop waits for.
type News = (u64, u64, bool, BTreeSet<String>);

struct Watch<'a> {
    service: &'a Service,
    keeper: &'a Keeper,
    carrier: &'a Carrier,
    /// Doors that this agent has started and that were not seen to end.
    children: Vec<Child>,
    /// Starts in a row after which no door answered.
    failures: u32,
    /// Process that was started last and has not answered yet, with its moment.
    starting: Option<(u32, Instant)>,
    replace_after: Instant,
    /// Process that is about to take the place of the door that serves.
    replacing: Option<u32>,
    /// News that the loop was woken for.
    told: Option<News>,
    /// Moment at which the way to the agent was looked at, on a machine without a generation.
    led: Option<Instant>,
    /// Failure that is in the history already.
    said: String,
}

impl Watch<'_> {
    fn keep(&mut self) {
        while !self.service.is_leaving() {
            let carrier = self.carrier;
            let (mut replaces, mut leaves, mut is_alone) = (false, false, false);
            // Whoever was followed before has ended.
            carrier.note_leaving(None);
            let followed = carrier.follow(TICK, &mut |report| {
                self.reap();
                if let Some(report) = report {
                    leaves = report.retiring;
                    self.take(&report);
                    replaces = self.replaces(&report);
                }
                self.lead();
                self.admit();
                is_alone = leaves && self.is_without_successor();
                !replaces && !is_alone && !self.service.is_leaving()
            });
            match followed {
                Ok(()) if replaces => self.replace(),
                Ok(()) if is_alone => self.start(),
                Ok(()) => {}
                Err(ClientError::Nobody) => self.start(),
                // It has ended: the next turn finds nobody. Or it is late, or of another version, and is asked again.
                Err(_) => std::thread::sleep(PAUSE),
            }
        }
    }

    /// Takes the report of the door that is followed.
    fn take(&mut self, report: &Report) {
        if report.retiring {
            self.carrier.note_leaving(Some(report));
        } else {
            (self.failures, self.starting) = (0, None);
            self.said.clear();
        }
        self.hear(report);
    }

    /// Returns true for a door that leaves and takes nothing new any more, where nobody has taken its place or is about to: it is not waited for.
    fn is_without_successor(&self) -> bool {
        let is_gone = match self.carrier.report() {
            Ok(report) => report.retiring,
            Err(error) => matches!(error, ClientError::Nobody),
        };
        is_gone && self.replacing.is_none()
    }

    /// Wakes the loop where something is new that a step may wait for; mere counts are none of it.
    fn hear(&mut self, report: &Report) {
        let drained = report.routes.iter().flat_map(|(route, about)| {
            let rests = about.instances.iter().filter(|(_, one)| one.traffic == Traffic::Drain && one.counts.open == 0);
            rests.map(move |(name, _)| format!("{route} {name}"))
        });
        let news: News = (report.door, report.serial, report.retiring, drained.collect());
        if self.told.as_ref().is_some_and(|told| told.0 != report.door) {
            self.replacing = None;
        }
        if self.told.as_ref() != Some(&news) {
            self.told = Some(news);
            self.service.wake().notify_one();
            // A door that was just started leads to the agent at once.
            self.led = None;
        }
    }

    /// Lets the door of a machine without a generation lead to the agent: the loop does nothing there, and addresses and certificates come and go.
    fn lead(&mut self) {
        if self.led.is_some_and(|led| led.elapsed() < LEAD) {
            return;
        }
        self.led = Some(Instant::now());
        if let Err(error) = openmesh_xnode::door::serve_own(self.service.agent().machine(), &openmesh_xnode::open) {
            tracing::warn!(%error, "the door does not lead to the agent");
        }
    }

    /// Tells the door again of members that it has not taken: it is asked at least each half second.
    fn admit(&self) {
        if let Err(error) = self.carrier.admit_again(&openmesh_xnode::open) {
            tracing::warn!(%error, "the door does not hear of changed members");
        }
    }

    /// Starts a door where nobody serves. One that was just started is waited for: two doors would share the ports.
    fn start(&mut self) {
        self.reap();
        let late = self.starting.filter(|(_, since)| since.elapsed() > START_MAX);
        if let Some((pid, _)) = late {
            for child in self.children.iter_mut().filter(|child| child.id() == pid) {
                // One that has ended by now needs no end.
                let _ = child.kill();
            }
        }
        let pause = PAUSE.saturating_mul(1 << self.failures.min(16)).min(PAUSE_MAX);
        if self.starting.is_none() || late.is_some() {
            if self.failures == 0 {
                self.note(EventKind::Agent, format!("the door is started as user {}", self.keeper.user.uid));
            }
            self.failures = self.failures.saturating_add(1);
            match self.keeper.begin() {
                Ok(child) => {
                    self.starting = Some((child.id(), Instant::now()));
                    self.children.push(child);
                }
                Err(cause) => self.fail(format!("the door cannot be started: {cause}")),
            }
        }
        let until = Instant::now() + pause;
        let answers = || self.carrier.report().is_ok_and(|report| !report.retiring);
        while Instant::now() < until && !answers() && !self.service.is_leaving() {
            std::thread::sleep(PAUSE.min(until.saturating_duration_since(Instant::now())));
        }
    }

    /// Takes notice of doors that have ended.
    fn reap(&mut self) {
        let mut ended = Vec::new();
        self.children.retain_mut(|child| match child.try_wait() {
            Ok(Some(status)) => {
                ended.push((child.id(), status));
                false
            }
            Ok(None) => true,
            Err(_) => false,
        });
        for (pid, status) in ended {
            if self.starting.is_some_and(|(starting, _)| starting == pid) {
                self.starting = None;
            }
            if self.replacing == Some(pid) {
                // The one before serves on: it is replaced later.
                self.replacing = None;
                self.replace_after = Instant::now() + REPLACE_AGAIN;
                let _ = marks::replace(&self.keeper.started, b"");
            }
            if !status.success() {
                let words = self.keeper.last_words();
                self.fail(format!("the door has ended with {status}: {words}"));
            }
        }
    }

    /// Returns true where a door of an older program serves and nothing is under way that its end would disturb.
    fn replaces(&self, report: &Report) -> bool {
        let state = self.service.work().state;
        let rests = matches!(state, WorkState::Rests | WorkState::Idle | WorkState::Held);
        rests && !report.retiring && self.replace_after <= Instant::now() && is_quiet(report) && self.keeper.is_old()
    }

    fn replace(&mut self) {
        self.note(EventKind::Agent, "the door is replaced by one of another version, which takes its listeners over");
        match self.keeper.begin() {
            Ok(child) => {
                self.replacing = Some(child.id());
                self.children.push(child);
            }
            Err(cause) => {
                self.replace_after = Instant::now() + REPLACE_AGAIN;
                self.note(EventKind::Failed, format!("the door cannot be replaced: {cause}"));
            }
        }
    }

    /// Notes a failure, once until a door answers again.
    fn fail(&mut self, text: String) {
        if self.said != text {
            self.note(EventKind::Failed, text.clone());
            self.said = text;
        }
    }

    fn note(&self, kind: EventKind, text: impl Into<String>) {
        self.service.history().note(kind, self.service.wanted().unwrap_or(0), None, text);
    }
}

/// Returns true where no switch is under way: nobody waits, and nothing drains.
fn is_quiet(report: &Report) -> bool {
    report.routes.values().all(|route| {
        let drains = route.instances.values().any(|one| one.traffic == Traffic::Drain && one.counts.open > 0);
        route.admission != Admission::Hold && route.waiting == 0 && !drains
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(admission: &str, waiting: u64, traffic: &str, open: u64) -> Report {
        serde_json::from_value(serde_json::json!({
            "door": 1, "serial": 1, "retiring": false, "connections": 0, "malformed": 0, "listeners": [],
            "routes": { "web/http": {
                "admission": admission, "waiting": waiting, "held": 0, "refused": 0, "longest_hold_ms": 0,
                "instances": { "0123456789ab.0": {
                    "traffic": traffic, "open": open, "reading_requests": 0, "writing_requests": 0, "connections": 0, "cut": 0,
                } },
            } },
        }))
        .unwrap()
    }

    #[test]
    fn a_door_is_not_replaced_in_the_middle_of_a_switch() {
        assert!(is_quiet(&report("open", 0, "admit", 9)));
        assert!(is_quiet(&report("open", 0, "drain", 0)));
        assert!(is_quiet(&report("maintenance", 0, "drain", 0)));
        assert!(!is_quiet(&report("hold", 0, "drain", 0)));
        assert!(!is_quiet(&report("open", 1, "admit", 0)));
        assert!(!is_quiet(&report("open", 0, "drain", 1)));
    }
}
