//! Probation: a new version is watched with its traffic.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use openmesh_blueprint::document::{Health, Name, Period};
use openmesh_blueprint::generation::Revision;
use openmesh_blueprint::inventory::{InstanceId, InstanceState, Verdict as ObservedVerdict};
use openmesh_blueprint::plan::wanted;
use openmesh_blueprint::{Generation, Inventory};
use openmesh_shim::protocol::{Cause, End, Status};
use serde::{Deserialize, Serialize};

use super::Work;
use crate::error::XnodeError;
use crate::instance::Wanted;
use crate::marks::{self, Clock, FAILED_JOB, STARTED, StartedMark, Trial};
use crate::progress::Progress;
use crate::shims::{self, Shim};
use crate::{Door, Machine, words};

/// Time between two looks at an application without a test of its health: within it a first process that ended is noticed.
const LOOK: Duration = Duration::from_secs(5);
/// Failed looks in a row that end the probation of an application without a test of its health, as many as a test has by default.
const FAILURES: u32 = 3;
/// Shortest pause between two looks: a probation of no length costs no busy loop.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// Mark: the watch over a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Watch {
    /// The revision.
    of: String,
    /// Its begin.
    begun: Clock,
    /// Moment of the last test.
    tested: Clock,
    /// Failed tests in a row.
    failures: u32,
    /// Number of the run in which each instance was at the begin.
    runs: BTreeMap<String, u64>,
}

/// Result of a look.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Passed,
    Failed(String),
    /// Nothing is decided; the next look is after this time.
    Open(Duration),
}

impl Watch {
    fn new(revision: &Revision, statuses: &BTreeMap<InstanceId, Status>) -> Watch {
        let runs = statuses.iter().map(|(id, status)| (id.to_string(), status.run));
        Watch { of: revision.to_string(), begun: Clock::now(), tested: Clock::now(), failures: 0, runs: runs.collect() }
    }

    /// Returns true where it is about this version, and begun in this run of the machine: after another start of it the time begins anew.
    fn is_of(&self, revision: &Revision) -> bool {
        self.of == revision.to_string() && self.begun.elapsed().is_some()
    }

    /// The first end by itself since the begin of the watch, in words. One that was asked for is none, and a good one neither.
    fn ended(&self, statuses: &BTreeMap<InstanceId, Status>) -> Option<String> {
        statuses.iter().find_map(|(id, status)| {
            // A shim that was started anew counts from the beginning.
            let from = self.runs.get(&id.to_string()).copied().unwrap_or(0).min(status.run);
            let is_bad = |end: &&End| end.run >= from && !end.asked && !matches!(end.cause, Cause::Exited { code: 0 });
            let end = status.ends.iter().find(is_bad)?;
            Some(format!("instance {id} {}", words::end(end)))
        })
    }

    /// Takes the result of a test, with the time that the watch has lasted.
    fn take(&mut self, tested: Result<(), String>, lasted: Duration, rule: &Rule) -> Verdict {
        self.failures = if tested.is_ok() { 0 } else { self.failures.saturating_add(1) };
        match tested {
            Ok(()) if lasted >= rule.time => Verdict::Passed,
            Ok(()) => Verdict::Open(rule.interval.min(rule.time - lasted).max(PAUSE_MIN)),
            Err(cause) if self.failures >= rule.failures => {
                Verdict::Failed(format!("{} tests in a row have failed: {cause}", self.failures))
            }
            Err(_) => Verdict::Open(rule.interval.max(PAUSE_MIN)),
        }
    }
}

/// Times and counts of a probation.
struct Rule {
    time: Duration,
    interval: Duration,
    failures: u32,
}

impl Rule {
    fn of(time: Period, health: Option<&Health>) -> Rule {
        let time = Duration::from_millis(time.0);
        match health {
            Some(health) => Rule {
                time,
                interval: Duration::from_millis(health.interval.0).max(PAUSE_MIN),
                failures: health.failures.max(1),
            },
            None => Rule { time, interval: LOOK, failures: FAILURES },
        }
    }
}

impl Work<'_> {
    /// Looks at a version on probation. The verdict is a mark; a failed one lets the generation be refused, and come back.
    pub(super) fn watch(&self, name: &Name, revision: &Revision, time: Period) -> Result<Progress, XnodeError> {
        let folder = self.machine.paths.application(name);
        let path = folder.join("watch.json");
        let statuses = self.statuses(name)?;
        let before = marks::find::<Watch>(&path)?.filter(|watch| watch.is_of(revision));
        let Some(mut watch) = before else {
            marks::write(&path, &Watch::new(revision, &statuses), "watch.mark", self.door)?;
            return Ok(Progress::Wait(PAUSE_MIN));
        };
        if let Some(cause) = watch.ended(&statuses) {
            return self.decide(name, revision, Some(cause));
        }
        let resolved = self.generation.portable.applications.get(name);
        let rule = Rule::of(time, resolved.and_then(|resolved| resolved.application.health.as_ref()));
        let lasted = watch.begun.elapsed().unwrap_or_default();
        let since = watch.tested.elapsed().unwrap_or_default();
        if since < rule.interval && (lasted < rule.time || watch.failures > 0) {
            let end = if watch.failures > 0 { rule.interval } else { rule.time - lasted };
            return Ok(Progress::Wait((rule.interval - since).min(end).max(PAUSE_MIN)));
        }
        match watch.take(self.test_all(name, &statuses), lasted, &rule) {
            Verdict::Passed => self.decide(name, revision, None),
            Verdict::Failed(cause) => self.decide(name, revision, Some(cause)),
            Verdict::Open(pause) => {
                watch.tested = Clock::now();
                marks::write(&path, &watch, "watch.mark", self.door)?;
                Ok(Progress::Wait(pause))
            }
        }
    }

    /// Statuses of the wanted instances of which a shim lives.
    fn statuses(&self, name: &Name) -> Result<BTreeMap<InstanceId, Status>, XnodeError> {
        let mut statuses = BTreeMap::new();
        for id in wanted(self.generation, name) {
            if let Shim::Living(status) = shims::find(&self.machine.paths.instance(name, &id))? {
                statuses.insert(id, *status);
            }
        }
        Ok(statuses)
    }

    /// One test of each wanted instance.
    fn test_all(&self, name: &Name, statuses: &BTreeMap<InstanceId, Status>) -> Result<(), String> {
        for id in wanted(self.generation, name) {
            let Some(status) = statuses.get(&id) else {
                if self.is_done(name, &id) {
                    continue;
                }
                return Err(format!("instance {id} has no shim"));
            };
            let one = Wanted::of(self.machine, self.generation, name, &id).map_err(|error| error.to_string())?;
            self.try_once(&one, status).map_err(|cause| format!("instance {id}: {cause}"))?;
        }
        Ok(())
    }

    /// Returns true where the work of an instance is done, and its shim went after it: with a run of the machine, or by somebody's hand.
    fn is_done(&self, name: &Name, id: &InstanceId) -> bool {
        let found = self.seen.inventory.applications.get(name).and_then(|found| found.instances.get(id));
        let resolved = self.generation.portable.applications.get(name);
        found.is_some_and(|found| found.state == InstanceState::Over(0))
            && resolved.is_some_and(|resolved| resolved.application.health.is_none())
    }

    fn decide(&self, name: &Name, revision: &Revision, failed: Option<String>) -> Result<Progress, XnodeError> {
        let folder = self.machine.paths.application(name);
        let trial = Trial { of: revision.to_string(), failed, at: Some(Clock::now()), attempts: 1 };
        marks::write(&folder.join("probation.json"), &trial, "probation.mark", self.door)?;
        marks::remove(&folder.join("watch.json"), "watch.remove", self.door)?;
        Ok(Progress::Done)
    }
}

/// Forgets the failures of these applications' versions: one that is wanted again is tried and watched again, from the beginning.
pub(crate) fn forget(machine: &Machine, generation: &Generation, door: Door<'_>) -> Result<(), XnodeError> {
    let has_failed = |path: &Path| -> Result<bool, XnodeError> {
        Ok(marks::find::<Trial>(path)?.is_some_and(|trial| trial.failed.is_some()))
    };
    for name in generation.portable.applications.keys() {
        let folder = machine.paths.application(name);
        if has_failed(&folder.join("probation.json"))? {
            // A death may have left the watch that came to it.
            marks::remove(&folder.join("watch.json"), "watch.remove", door)?;
        }
        for (file, effect) in [("probation.json", "probation.remove"), (FAILED_JOB, "jobs.failed.remove")] {
            if has_failed(&folder.join(file))? {
                marks::remove(&folder.join(file), effect, door)?;
            }
        }
        for id in wanted(generation, name) {
            let folder = machine.paths.instance(name, &id);
            if has_failed(&folder.join("gate.json"))? {
                // Its time begins anew with a start of its own number, to which the failure does not belong.
                let before = marks::find::<StartedMark>(&folder.join(STARTED))?.map_or(0, |before| before.number);
                let started = StartedMark { clock: Clock::now(), number: before + 1, is_due: is_over(&folder)? };
                marks::write(&folder.join(STARTED), &started, "start.mark", door)?;
            }
        }
    }
    Ok(())
}

/// Returns true where an instance has come to rest by its policy. A shim that does not answer says nothing of it.
fn is_over(folder: &Path) -> Result<bool, XnodeError> {
    let Some(config) = shims::config(folder)? else { return Ok(false) };
    Ok(match shims::find(folder) {
        Ok(Shim::Living(status) | Shim::Ended(status)) => shims::over(config.restart.policy, &status).is_some(),
        Ok(Shim::None) | Err(_) => false,
    })
}

/// Takes the failures of a generation's versions out of an inventory, as [`forget`] does on the machine.
pub(crate) fn forget_in(inventory: &mut Inventory, generation: &Generation) {
    let is_failed = |verdict: &ObservedVerdict| matches!(verdict, ObservedVerdict::Failed(_));
    for (name, found) in &mut inventory.applications {
        let Some(revision) = generation.revision(name) else { continue };
        for (_, one) in found.instances.iter_mut().filter(|(id, _)| id.revision == revision) {
            if one.gate.as_ref().is_some_and(is_failed) {
                one.gate = None;
                // What is over is started again.
                if let InstanceState::Over(code) = one.state {
                    one.state = InstanceState::Exited(code);
                }
            }
        }
        found.failed_job = found.failed_job.take().filter(|(of, _)| *of != revision);
        found.probation = found.probation.take().filter(|(of, verdict)| *of != revision || !is_failed(verdict));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch() -> Watch {
        Watch {
            of: "0123456789ab".into(),
            begun: Clock::now(),
            tested: Clock::now(),
            failures: 0,
            runs: BTreeMap::new(),
        }
    }

    fn rule() -> Rule {
        Rule { time: Duration::from_secs(60), interval: Duration::from_secs(5), failures: 3 }
    }

    #[test]
    fn it_passes_with_a_good_test_at_the_end_of_its_time() {
        let (mut watch, rule) = (watch(), rule());
        assert_eq!(watch.take(Ok(()), Duration::from_secs(1), &rule), Verdict::Open(Duration::from_secs(5)));
        assert_eq!(watch.take(Ok(()), Duration::from_secs(58), &rule), Verdict::Open(Duration::from_secs(2)));
        assert_eq!(watch.take(Err("503".into()), Duration::from_secs(60), &rule), Verdict::Open(rule.interval));
        assert_eq!(watch.take(Ok(()), Duration::from_secs(65), &rule), Verdict::Passed);
    }

    #[test]
    fn it_fails_after_so_many_failures_in_a_row() {
        let (mut watch, rule) = (watch(), rule());
        for (tested, failures) in [(Err("503"), 1), (Err("503"), 2), (Ok(()), 0), (Err("503"), 1), (Err("503"), 2)] {
            let verdict = watch.take(tested.map_err(str::to_string), Duration::from_secs(20), &rule);
            assert!(matches!(verdict, Verdict::Open(_)), "{verdict:?}");
            assert_eq!(watch.failures, failures);
        }
        let verdict = watch.take(Err("503".into()), Duration::from_secs(70), &rule);
        assert_eq!(verdict, Verdict::Failed("3 tests in a row have failed: 503".into()));
    }
}
