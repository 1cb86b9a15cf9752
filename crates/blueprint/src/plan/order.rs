//! Order of the scripts of all applications, and what comes before and after them.

use std::collections::{BTreeMap, BTreeSet};

use super::application::{Script, application, fetch, removed};
use super::facts::{Facts, meets, roots_written};
use super::moving::moving;
use super::report::PlannedStep;
use crate::document::{Name, Wish};
use crate::generation::{Generation, HostPort, Retired, VolumeId};
use crate::inventory::{Holder, InstanceId, Inventory};
use crate::refusal::Refusal;
use crate::step::{Rubbish, Step, VolumeRef};

/// All steps that are not done, in their order.
pub(super) fn steps(
    inventory: &Inventory,
    generation: &Generation,
    previous: Option<&Generation>,
    held: &[Refusal],
) -> Vec<PlannedStep> {
    let held: BTreeSet<&Name> = held.iter().filter_map(Refusal::application).collect();
    let moved = moving(inventory, generation, previous, &held);
    // What comes after a move is planned for the machine after it.
    let inventory = moved.as_ref().map_or(inventory, |(_, after)| after);
    let mut script = Script::new(inventory);
    let order = in_order(generation);
    let facts: Vec<Facts<'_>> = order
        .iter()
        .filter(|name| !held.contains(*name))
        .filter_map(|name| Facts::of(inventory, generation, name))
        .collect();
    for facts in facts.iter().filter(|facts| facts.wants_image()) {
        fetch(facts, &mut script);
    }
    script.extend(moved.as_ref().map(|(steps, _)| steps.clone()).unwrap_or_default());
    let wanted = wanted_ports(generation);
    retract(inventory, &wanted, &held, true, &mut script);
    for facts in &facts {
        application(facts, previous, &mut script);
    }
    if inventory.current < generation.number {
        facts.iter().for_each(|facts| probation(facts, previous, &mut script));
    }
    // What goes serves until here: a version that returns in its probation may need it.
    let goes = |name: &&Name| !generation.portable.applications.contains_key(*name) && !held.contains(*name);
    for name in inventory.applications.keys().filter(goes) {
        removed(name, inventory, previous, &mut script);
    }
    retract(inventory, &wanted, &held, false, &mut script);
    script.add(Step::Commit { number: generation.number }, "everything is as it says");
    collect(inventory, (generation, previous), &facts, &held, &mut script);
    script.into_steps()
}

/// Names in an order in which what is linked to comes first; by name where nothing else decides.
fn in_order(generation: &Generation) -> Vec<&Name> {
    let applications = &generation.portable.applications;
    let (mut order, mut placed) = (Vec::new(), BTreeSet::new());
    while order.len() < applications.len() {
        let next = applications.iter().find(|(name, resolved)| {
            let mut before = resolved.application.links.iter().chain(&resolved.application.after);
            !placed.contains(*name) && before.all(|other| placed.contains(other) || !applications.contains_key(other))
        });
        // A document has no cycle; a generation from elsewhere that has one is taken by name.
        let next = next.map(|(name, _)| name).or_else(|| applications.keys().find(|name| !placed.contains(*name)));
        let Some(name) = next else { break };
        placed.insert(name);
        order.push(name);
    }
    order
}

/// Ports of the host that the generation publishes, with their application and name.
fn wanted_ports(generation: &Generation) -> BTreeMap<HostPort, (&Name, &Name)> {
    let applications = &generation.portable.applications;
    let open = |name: &Name| applications.get(name).is_some_and(|resolved| resolved.application.wish != Wish::Stopped);
    let placed = generation.placement.applications.iter().filter(|(name, _)| open(name));
    placed.flat_map(|(name, placed)| placed.ports.iter().map(move |(port, at)| (*at, (name, port)))).collect()
}

/// Adds retractions: first those of ports that somebody else of ours gets, later the others.
fn retract(
    inventory: &Inventory,
    wanted: &BTreeMap<HostPort, (&Name, &Name)>,
    held: &BTreeSet<&Name>,
    changing_hands: bool,
    script: &mut Script<'_>,
) {
    for (at, holder) in &inventory.ports {
        let Holder::Ours { application, port } = holder else { continue };
        if held.contains(application) || wanted.get(at) == Some(&(application, port)) {
            continue;
        }
        if wanted.keys().any(|other| meets(*other, *at)) == changing_hands {
            let reason = if changing_hands { "another port takes its place" } else { "no longer published" };
            script.add(Step::Retract { application: application.clone(), at: *at }, reason);
        }
    }
}

/// Adds the watching of a version that follows another one.
fn probation(facts: &Facts<'_>, previous: Option<&Generation>, script: &mut Script<'_>) {
    let before = previous.and_then(|previous| previous.revision(facts.name));
    let time = facts.application().switch.probation;
    let runs = facts.application().wish == Wish::Running;
    if runs && time.0 > 0 && before.is_some_and(|before| before != facts.revision) {
        let (application, revision) = (facts.name.clone(), facts.revision.clone());
        script.add(Step::Probation { application, revision, time }, "the version before can return meanwhile");
    }
}

/// Adds the removal of what nobody needs. Lines that had traffic are not among it, whatever their age.
fn collect(
    inventory: &Inventory,
    (generation, previous): (&Generation, Option<&Generation>),
    facts: &[Facts<'_>],
    held: &BTreeSet<&Name>,
    script: &mut Script<'_>,
) {
    let wanted: BTreeMap<&Name, BTreeSet<InstanceId>> =
        facts.iter().map(|facts| (facts.name, facts.wanted().into_iter().collect())).collect();
    for (application, found) in inventory.applications.iter().filter(|(name, _)| !held.contains(*name)) {
        let wanted = wanted.get(application);
        for instance in found.instances.keys().filter(|id| wanted.is_none_or(|wanted| !wanted.contains(*id))) {
            let writable = roots_written(application, generation, previous);
            let (application, instance) = (application.clone(), instance.clone());
            script.add(Step::Collect(Rubbish::Instance { application, instance, writable }), "ended");
        }
    }
    let volumes = facts.iter().flat_map(|facts| {
        let runs = facts.application().wish == Wish::Running;
        facts.volumes().map(move |volume| (volume, runs))
    });
    for ((volume, placed, found), runs) in volumes {
        // The line that is in use now may be one that never had traffic, and be left at the admission before.
        let lines = found.into_iter().flat_map(|found| &found.lines);
        let stays = |line: u32| line == placed.line || (!runs && found.is_some_and(|found| found.in_use == line));
        for (line, _) in lines.filter(|(line, seen)| seen.removable && !stays(**line)) {
            let volume = volume.clone();
            script
                .add(Step::Collect(Rubbish::Line { volume, line: *line }), "made for a version that was not admitted");
        }
    }
    let goes = |retired: &&Retired| !held.contains(&retired.application);
    for (id, retired) in generation.placement.retired.iter().filter(|(_, retired)| goes(retired)) {
        set_aside(id, retired, inventory, script);
    }
}

/// Adds the removal of a volume without an application, and a day later its end. One in a condition for a person is left as it is.
fn set_aside(id: &VolumeId, retired: &Retired, inventory: &Inventory, script: &mut Script<'_>) {
    let Some(found) = inventory.volumes.get(id).filter(|found| found.held.is_none()) else { return };
    let (application, name) = (retired.application.clone(), retired.name.clone());
    let volume = VolumeRef { id: id.clone(), application, name };
    let disposal = retired.disposal;
    script.add(Step::Retire { volume: volume.clone(), disposal }, "its application is gone");
    if found.removal.is_some_and(|removal| removal.disposal == disposal && removal.is_due) {
        script.add(Step::Collect(Rubbish::Volume { volume }), "asked for a day ago");
    }
}
