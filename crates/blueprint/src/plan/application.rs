//! The script of one application.

use super::facts::{Facts, is_live};
use super::report::PlannedStep;
use crate::document::{Application, Name, Occasion, Period, Protocol, Wish};
use crate::generation::Generation;
use crate::inventory::{InstanceId, Inventory, ObservedInstance, Traffic, Verdict};
use crate::step::Step;

/// Steps that are not done yet.
pub(super) struct Script<'a> {
    inventory: &'a Inventory,
    steps: Vec<PlannedStep>,
}

impl<'a> Script<'a> {
    /// An empty script.
    pub fn new(inventory: &'a Inventory) -> Script<'a> {
        Script { inventory, steps: Vec::new() }
    }

    /// Adds a step with its reason, unless it is done.
    pub fn add(&mut self, step: Step, reason: &'static str) {
        if !step.is_done(self.inventory) && !self.steps.iter().any(|planned| planned.step == step) {
            self.steps.push(PlannedStep { step, reason });
        }
    }

    /// Adds steps that come before those that are added later.
    pub fn extend(&mut self, steps: Vec<PlannedStep>) {
        self.steps.extend(steps);
    }

    /// The steps.
    pub fn into_steps(self) -> Vec<PlannedStep> {
        self.steps
    }
}

/// Adds the image of an application: before anything is stopped.
pub(super) fn fetch(facts: &Facts<'_>, script: &mut Script<'_>) {
    let image = &facts.resolved.image;
    let source = image.source.to_string();
    script.add(Step::Fetch { image: image.digest, source: source.clone(), bytes: image.packed }, "not here yet");
    script.add(Step::Unpack { image: image.digest, source, bytes: image.unpacked }, "not unpacked yet");
}

/// Adds the volumes of an application.
fn volumes(facts: &Facts<'_>, script: &mut Script<'_>) {
    for (volume, _, found) in facts.volumes() {
        let mends = found.and_then(|found| found.mends.clone());
        let Some(size) = facts.application().volumes.get(&volume.name).map(|volume| volume.size) else { continue };
        if found.is_none() {
            script.add(Step::MakeVolume { volume, size }, "new");
            continue;
        }
        script.add(Step::Revive { volume: volume.clone() }, "its application is back");
        script.add(Step::Mount { volume: volume.clone() }, "not mounted");
        if let Some(cause) = mends {
            script.add(Step::Mend { volume: volume.clone(), cause }, "without risk to the data");
        }
        script.add(Step::Grow { volume, size }, "larger than before");
    }
}

/// Adds whatever brings an application to its wish.
pub(super) fn application(facts: &Facts<'_>, previous: Option<&Generation>, script: &mut Script<'_>) {
    volumes(facts, script);
    match facts.application().wish {
        Wish::Running => running(facts, previous, script),
        Wish::Paused => quiet(facts, true, script),
        Wish::Stopped => quiet(facts, false, script),
    }
    if facts.application().wish != Wish::Stopped {
        for (port, at) in &facts.placed.ports {
            script.add(
                Step::Publish { application: facts.name.clone(), port: port.clone(), at: *at },
                "published by the document",
            );
        }
    }
}

/// Returns true for an application with a published port whose bytes the kernel leads.
fn has_raw_port(application: &Application) -> bool {
    application.ports.values().any(|port| port.publish.is_some() && port.protocol == Protocol::Tcp)
}

/// Adds the way to a running application: first start, switch or repair.
fn running(facts: &Facts<'_>, previous: Option<&Generation>, script: &mut Script<'_>) {
    if facts.stops_first() {
        if !facts.is_admitted() && facts.has_other_traffic() {
            // A port that goes from TCP to the door cuts what is open at the version before.
            let before = previous.and_then(|previous| previous.portable.applications.get(facts.name));
            let mut both = before.map(|before| &before.application).into_iter().chain([facts.application()]);
            let cuts = both.any(has_raw_port);
            let at_most = facts.application().switch.hold;
            script.add(Step::Hold { application: facts.name.clone(), at_most, cuts }, "one writer at a time");
        }
        end_superfluous(facts, script);
        for (volume, from, to) in facts.snapshots() {
            script.add(
                Step::Snapshot { volume, from, to },
                "the new version gets a line of its own until it is admitted",
            );
        }
        for (volume, from, to) in facts.restores() {
            script.add(Step::Restore { volume, from, to }, "chosen by the generation");
        }
        renew(facts, script);
    } else {
        renew(facts, script);
        end_superfluous(facts, script);
    }
}

/// Reason of what starts instances anew.
const RENEWED: &str = "asked for, without a new version";

/// Adds the end of the instances that are to be started anew, and the way of all to their traffic. Where several have traffic, the first one is ended
/// when every other one has it; those after it are left to later plans. Else requests wait, since an instance has one place in its generation, and its next
/// start takes that of the one before.
fn renew(facts: &Facts<'_>, script: &mut Script<'_>) {
    let application = facts.application();
    let times = (application.switch.drain, application.stop_after);
    let mut due = facts.due();
    // One without traffic, or that was not found healthy yet, is missing already.
    due.sort_by_key(|(_, found)| found.traffic == Traffic::Admitted && found.gate == Some(Verdict::Passed));
    let later = if facts.rolls() && !due.is_empty() { due.split_off(1) } else { Vec::new() };
    let wanted: Vec<InstanceId> =
        facts.wanted().into_iter().filter(|id| !later.iter().any(|(later, _)| later == id)).collect();
    if facts.rolls() {
        let present = wanted.iter().filter(|id| !due.iter().any(|(due, _)| due == *id)).cloned().collect();
        bring_up(facts, present, script);
        for (instance, found) in &due {
            let (application, instances) = (facts.name.clone(), application.instances);
            let withdraw = Step::Withdraw { application, instance: instance.clone(), instances };
            script.add(withdraw, RENEWED);
            end(facts.name, (instance, found), times, RENEWED, script);
        }
    } else if !due.is_empty() {
        let (at_most, cuts) = (application.switch.hold, has_raw_port(application));
        script.add(Step::Hold { application: facts.name.clone(), at_most, cuts }, RENEWED);
        for (instance, found) in &due {
            end(facts.name, (instance, found), times, RENEWED, script);
        }
    }
    bring_up(facts, wanted, script);
    if later.is_empty() {
        admit(facts, script);
    }
}

/// Adds creation, start and gate of instances, with the jobs before the first of a version.
fn bring_up(facts: &Facts<'_>, wanted: Vec<InstanceId>, script: &mut Script<'_>) {
    let application = facts.application();
    if !facts.is_admitted() {
        for (job, _) in
            application.jobs.iter().filter(|(_, job)| job.occasion == Occasion::Switch && job.schedule.is_none())
        {
            let step =
                Step::Run { application: facts.name.clone(), revision: facts.revision.clone(), job: job.clone() };
            script.add(step, "a job of each switch");
        }
    }
    for instance in &wanted {
        script.add(Step::Create { application: facts.name.clone(), instance: instance.clone() }, "not there");
        script.add(Step::Start { application: facts.name.clone(), instance: instance.clone() }, "does not run");
    }
    for instance in wanted {
        let within = application.switch.gate;
        script.add(Step::Gate { application: facts.name.clone(), instance, within }, "not known to be healthy");
    }
}

/// Adds the admission of the wanted version.
fn admit(facts: &Facts<'_>, script: &mut Script<'_>) {
    let application = facts.application();
    let lines = facts.volumes().map(|(volume, placed, _)| (volume, placed.line)).collect();
    let (name, revision) = (facts.name.clone(), facts.revision.clone());
    script.add(Step::Admit { application: name, revision, instances: application.instances, lines }, "healthy by then");
}

/// Adds the way to an application that does not run.
fn quiet(facts: &Facts<'_>, page: bool, script: &mut Script<'_>) {
    let reason = if page { "paused by the document" } else { "stopped by the document" };
    script.add(Step::Shut { application: facts.name.clone(), page }, reason);
    end_superfluous(facts, script);
}

/// Adds the end of every instance that should not be there.
fn end_superfluous(facts: &Facts<'_>, script: &mut Script<'_>) {
    let (drain, kill_after) = (facts.application().switch.drain, facts.application().stop_after);
    for (instance, found) in facts.superfluous() {
        let reason = if instance.revision == facts.revision { "no longer wanted" } else { "another version" };
        end(facts.name, (instance, found), (drain, kill_after), reason, script);
    }
}

/// Adds the end of one instance.
pub(super) fn end(
    application: &Name,
    (instance, found): (&InstanceId, &ObservedInstance),
    (within, kill_after): (Period, Period),
    reason: &'static str,
    script: &mut Script<'_>,
) {
    let (application, instance) = (application.clone(), instance.clone());
    // An instance that has no traffic and will get none has nothing to drain.
    if found.traffic != Traffic::None {
        script.add(Step::Drain { application: application.clone(), instance: instance.clone(), within }, reason);
    }
    if is_live(found) {
        script.add(Step::Stop { application, instance, kill_after }, reason);
    }
}

/// Adds the end of an application that the generation does not have.
pub(super) fn removed(name: &Name, inventory: &Inventory, previous: Option<&Generation>, script: &mut Script<'_>) {
    let Some(found) = inventory.applications.get(name) else { return };
    let times = times(name, [previous, None]);
    script.add(Step::Shut { application: name.clone(), page: false }, "no longer in the document");
    for instance in &found.instances {
        end(name, instance, times, "no longer in the document", script);
    }
}

/// Times for draining and ending an application, of the first generation that has it. One of which no generation is known any more is ended with the usual ones.
pub(super) fn times(name: &Name, generations: [Option<&Generation>; 2]) -> (Period, Period) {
    let known = generations.into_iter().flatten().find_map(|known| known.portable.applications.get(name));
    known.map_or((Period(30_000), Period(10_000)), |known| {
        (known.application.switch.drain, known.application.stop_after)
    })
}
