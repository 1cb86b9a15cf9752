//! Long effects: as long as one is done for some applications, the others are looked after.
//!
//! A pull, a clone or the reserving of a volume takes minutes, and a look comes every five seconds. So a long step is done beside: a pull as a future that
//! goes on between two looks, everything else in a thread that ends with the step. Meanwhile the machine is observed and the plan of the generation that serves
//! is executed, but for the applications of the long step, those that the wanted generation has begun to change, and all steps that are long themselves or
//! belong to the end of a plan. What a long step does touches neither network nor shims, so the two do not meet.
//!
//! The door of effects is passed by both, and a step is over before its turn is: whoever asks for one sees no thread.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use openmesh_blueprint::document::Name;
use openmesh_blueprint::plan::{NextStep, Plan, users};
use openmesh_blueprint::step::{Rubbish, Step};
use openmesh_blueprint::{Generation, Inventory, plan};

use crate::begun::begun;
use crate::error::XnodeError;
use crate::events::{EventKind, Finding};
use crate::execute::Work;
use crate::observe::observe;
use crate::progress::Progress;
use crate::{Door, Machine};

/// Time between two looks at the others: with the time of a look well below five seconds.
const ATTEND: Duration = Duration::from_secs(2);
/// Steps for the others at one time: an instance is made, started and admitted with a third of them.
const STEPS_MAX: usize = 16;

/// Returns true for a step that brings, copies or reserves bytes, waits for a lock of somebody who does, or waits for an answer.
fn is_long(step: &Step) -> bool {
    matches!(step, Step::Fetch { .. } | Step::Unpack { .. } | Step::Gate { .. } | Step::Probation { .. })
        || matches!(step, Step::MakeVolume { .. } | Step::Mount { .. } | Step::Mend { .. } | Step::Grow { .. })
        || matches!(step, Step::Snapshot { .. } | Step::Retire { .. } | Step::Revive { .. })
        || matches!(step, Step::Collect(Rubbish::Line { .. } | Rubbish::Volume { .. }))
}

/// Returns true for a step that belongs to the end of a plan, and is not done while another one is.
fn is_last(step: &Step) -> bool {
    matches!(step, Step::Commit { .. } | Step::Collect(_) | Step::Retire { .. })
}

/// Returns true for a step on a port of the host: ports that change hands are the wanted generation's, whatever else it has begun.
fn is_of_ports(step: &Step) -> bool {
    matches!(step, Step::Publish { .. } | Step::Retract { .. })
}

/// Returns true for a long step that is asked often and answered soon: it is done for the others too.
fn is_asked(step: &Step) -> bool {
    matches!(step, Step::Gate { .. })
}

/// Steps of a plan that are done beside a long one, and the applications that wait for one that is not.
fn beside(mut plan: Plan, inventory: &Inventory, generation: &Generation) -> (Plan, BTreeSet<Name>) {
    let is_quick = |step: &Step| (!is_long(step) || is_asked(step)) && !is_last(step);
    let waiting = plan.steps.iter().filter(|planned| !is_quick(&planned.step) && !is_last(&planned.step));
    let waiting = waiting.flat_map(|planned| users(inventory, generation, &planned.step)).collect();
    plan.steps.retain(|planned| is_quick(&planned.step));
    (plan, waiting)
}

/// Polls a future that waits for nothing; none where it does.
fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// Does a step that waits for nothing but its own effects.
fn blocking(work: &Work<'_>, step: &Step) -> Result<Progress, XnodeError> {
    let waits = || XnodeError::Machine(format!("{step} waits for the network, and is done where nothing else can be"));
    at_once(work.step(step)).unwrap_or_else(|| Err(waits()))
}

/// Does a step of a plan; where it is a long one, the other applications are looked after as long as it takes. `held_up` are those that are passed over.
///
/// # Errors
/// The step's own. What fails for the others is told as an event, and left until the step is over.
pub(crate) async fn attended(
    work: &Work<'_>,
    next: &NextStep<'_>,
    (target, serving): (&Generation, Option<&Generation>),
    held_up: &BTreeSet<Name>,
) -> Result<Progress, XnodeError> {
    let step = &next.planned.step;
    if !is_long(step) {
        return work.step(step).await;
    }
    let busy = held_up.union(&next.applications).cloned().collect();
    let mut others = Others { machine: work.machine, target, serving, busy, failed: BTreeSet::new() };
    if !matches!(step, Step::Fetch { .. }) {
        return in_thread(work, step, &mut others);
    }
    let mut done = pin!(work.step(step));
    loop {
        match tokio::time::timeout(ATTEND, done.as_mut()).await {
            Ok(done) => return done,
            Err(_) => others.attend(work.door),
        }
    }
}

/// Does a step in a thread that ends with it.
fn in_thread(work: &Work<'_>, step: &Step, others: &mut Others<'_>) -> Result<Progress, XnodeError> {
    std::thread::scope(|scope| {
        let (tell, told) = channel();
        let thread = scope.spawn(move || {
            let done = blocking(work, step);
            // Whoever waits for it is there as long as the thread is.
            let _ = tell.send(());
            done
        });
        while told.recv_timeout(ATTEND) == Err(RecvTimeoutError::Timeout) {
            others.attend(work.door);
        }
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Applications that a long step is not about.
struct Others<'a> {
    machine: &'a Machine,
    target: &'a Generation,
    serving: Option<&'a Generation>,
    /// Applications of the long step, and those that are passed over anyway.
    busy: BTreeSet<Name>,
    /// Applications of which a step has failed meanwhile.
    failed: BTreeSet<Name>,
}

impl Others<'_> {
    /// Looks at the machine, and does what is due for the others.
    fn attend(&mut self, door: Door<'_>) {
        let (mut waiting, mut left) = (BTreeSet::new(), STEPS_MAX);
        let failed = loop {
            left -= 1;
            match self.step(&mut waiting, door) {
                Ok(true) if left > 0 => {}
                Ok(_) => break None,
                Err(error) => break Some(format!("the machine is not looked after meanwhile: {error}")),
            }
        };
        self.machine.memory.events.lasting("meanwhile", failed.map(|cause| Finding::new(None, cause)));
    }

    /// Does one step; false where there is none.
    fn step(&mut self, waiting: &mut BTreeSet<Name>, door: Door<'_>) -> Result<bool, XnodeError> {
        let generation = self.serving.unwrap_or(self.target);
        let generations: Vec<&Generation> = [self.target].into_iter().chain(self.serving).collect();
        let mut seen = observe(self.machine, &generations)?;
        let faults = Work { machine: self.machine, generation, seen: &seen, door }.settle_all()?;
        seen.add_faults(faults);
        // A machine without a plan is told by the turn that comes after the long step.
        let Ok(plan) = plan(&seen.inventory, generation, self.serving) else { return Ok(false) };
        let (mut plan, others) = beside(plan, &seen.inventory, generation);
        let mut passed: BTreeSet<Name> = self.busy.iter().chain(&self.failed).chain(&*waiting).cloned().collect();
        passed.extend(others);
        if let Some(serving) = self.serving.filter(|serving| serving.number != self.target.number) {
            passed.extend(begun(&seen.inventory, self.target, serving));
            plan.steps.retain(|planned| !is_of_ports(&planned.step));
        }
        let Some(next) = plan.next(&seen.inventory, generation, &passed) else { return Ok(false) };
        let (step, work) = (&next.planned.step, Work { machine: self.machine, generation, seen: &seen, door });
        let events = &self.machine.memory.events;
        match blocking(&work, step) {
            Ok(Progress::Wait(_)) => waiting.extend(next.applications),
            Ok(_) => events.tell(EventKind::Done, step.application(), step.to_string()),
            Err(error) => {
                events.tell(EventKind::Failed, step.application(), format!("{step}: {error}"));
                self.failed.extend(next.applications);
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_future_that_waits_is_told_from_one_that_does_not() {
        assert_eq!(at_once(async { 5 }), Some(5));
        assert_eq!(at_once(std::future::pending::<u8>()), None);
    }

    #[test]
    fn the_end_of_a_plan_is_not_done_beside_a_long_step() {
        let commit = Step::Commit { number: 1 };
        assert!(is_last(&commit) && !is_long(&commit));
        let name: Name = "web".parse().unwrap();
        let instance: openmesh_blueprint::inventory::InstanceId = "aaaaaaaaaaaa.0".parse().unwrap();
        let start = Step::Start { application: name.clone(), instance: instance.clone() };
        assert!(!is_last(&start) && !is_long(&start));
        let collect = Step::Collect(Rubbish::Instance { application: name, instance, writable: false });
        assert!(is_last(&collect) && !is_long(&collect), "it touches the network");
    }
}
