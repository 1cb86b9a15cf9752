//! Every reason for which there is no plan, and every application that is held.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::{Facts, is_live, meets};
use crate::document::{Name, Protocol, Size, Wish};
use crate::generation::{Generation, HostPort};
use crate::inventory::{Feature, Holder, ImageState, InstanceId, InstanceState, Inventory, Verdict};
use crate::refusal::Refusal;

/// Reasons that stand in the way of everything, and those that hold one application.
pub(super) struct Found {
    /// There is no plan.
    pub refused: Vec<Refusal>,
    /// There is a plan without these applications.
    pub held: Vec<Refusal>,
}

/// Looks for every reason.
pub(super) fn find(inventory: &Inventory, generation: &Generation, previous: Option<&Generation>) -> Found {
    let mut all = Vec::new();
    let (number, current) = (generation.number, inventory.current);
    if number < current {
        all.push(Refusal::OldGeneration { number, current });
    }
    let facts: Vec<Facts<'_>> =
        generation.portable.applications.keys().filter_map(|name| Facts::of(inventory, generation, name)).collect();
    features(inventory, &facts, number == current, &mut all);
    ports(inventory, &facts, number == current, &mut all);
    for facts in &facts {
        let before = previous.and_then(|previous| previous.revision(facts.name));
        let is_new = number > current && before != generation.revision(facts.name);
        gpus(facts, is_new, &mut all);
        volumes(facts, &mut all);
        conditions(facts, generation, &mut all);
    }
    faults(inventory, &mut all);
    disk(inventory, generation, &facts, &mut all);
    if number > current {
        memory(inventory, generation, previous, &facts, &mut all);
    }
    all.sort();
    all.dedup();
    let moves = |name: &Name| {
        let found = inventory.applications.get(name);
        found.is_some_and(|found| found.instances.values().any(|one| one.is_outside(generation.placement.subnet)))
    };
    let untouched = |name: &Name| match generation.revision(name) {
        _ if moves(name) => false,
        // What goes is left where it cannot be seen, and goes later.
        None => true,
        Some(revision) => previous.is_some_and(|previous| previous.revision(name) == Some(revision)),
    };
    // One that was not seen whole may be of the network that goes: as long as that one is there, no other one is made, so nothing is ended for it.
    let is_moving = inventory.applications.keys().any(moves);
    let is_unseen = |refusal: &Refusal| matches!(refusal, Refusal::Faulty { .. }) && is_moving;
    let (held, refused) = all.into_iter().partition(|refusal| {
        let stands_alone = |name| is_condition(refusal) && untouched(name) && !is_unseen(refusal);
        refusal.application().is_some_and(|name| number == current || stands_alone(name))
    });
    Found { refused, held }
}

/// Returns true for a condition in which an application was found, beside what a generation asks for.
fn is_condition(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::Frozen { .. }
            | Refusal::Altered { .. }
            | Refusal::GpuMissing { .. }
            | Refusal::VolumeMissing { .. }
            | Refusal::VolumeUnmarked { .. }
            | Refusal::VolumeHeld { .. }
            | Refusal::Faulty { .. }
            | Refusal::GateFailed { .. }
    )
}

/// Features that an application needs.
fn needed(facts: &Facts<'_>) -> BTreeSet<Feature> {
    let mut needed = BTreeSet::new();
    if facts.application().wish == Wish::Running {
        needed.extend([
            Feature::UserNamespaces,
            Feature::Seccomp,
            Feature::Overlay,
            Feature::Nftables,
            Feature::Cgroups,
        ]);
    }
    if !facts.placed.volumes.is_empty() {
        needed.insert(Feature::Loop);
    }
    needed
}

/// Features that the kernel lacks: of a generation that serves, by application.
fn features(inventory: &Inventory, facts: &[Facts<'_>], serves: bool, all: &mut Vec<Refusal>) {
    for facts in facts {
        let lacks = needed(facts).into_iter().filter(|feature| !inventory.host.features.contains(feature));
        let application = serves.then(|| facts.name.clone());
        all.extend(lacks.map(|feature| Refusal::KernelLacks { application: application.clone(), feature }));
    }
}

/// Applications that were not seen whole, also those that the generation does not have.
fn faults(inventory: &Inventory, all: &mut Vec<Refusal>) {
    for (name, found) in &inventory.applications {
        if let Some(cause) = &found.fault {
            all.push(Refusal::Faulty { application: name.clone(), cause: cause.clone() });
        }
    }
}

/// Ports that somebody else holds. One that the application has already stays its own, whoever listens there since: connections from outside come to
/// it all the same. Sockets of UDP come and go with each question to a resolver, so that a generation that serves is not measured by them.
fn ports(inventory: &Inventory, facts: &[Facts<'_>], serves: bool, all: &mut Vec<Refusal>) {
    let foreign: Vec<(&HostPort, &String)> = inventory
        .ports
        .iter()
        .filter_map(|(at, holder)| match holder {
            Holder::Foreign(by) => Some((at, by)),
            Holder::Ours { .. } => None,
        })
        .collect();
    for facts in facts.iter().filter(|facts| facts.application().wish != Wish::Stopped) {
        for (name, port) in &facts.placed.ports {
            let ours = Holder::Ours { application: facts.name.clone(), port: name.clone() };
            if inventory.ports.get(port) == Some(&ours) || (serves && port.protocol == Protocol::Udp) {
                continue;
            }
            if let Some((_, by)) = foreign.iter().find(|(at, _)| meets(**at, *port)) {
                all.push(Refusal::PortTaken { application: facts.name.clone(), port: *port, by: (*by).clone() });
            }
        }
    }
}

/// GPUs of the placement that are not there, and those that cannot be given to a new version. One that has them already goes on with them.
fn gpus(facts: &Facts<'_>, is_new: bool, all: &mut Vec<Refusal>) {
    if let Some(lack) = facts.inventory.host.gpu_lack.as_ref().filter(|_| is_new)
        && facts.placed.gpus.iter().any(|gpus| !gpus.is_empty())
    {
        all.push(Refusal::GpuUnusable { application: facts.name.clone(), lack: lack.clone() });
    }
    let missing = facts.placed.gpus.iter().flatten().filter(|gpu| !facts.inventory.host.gpus.contains_key(*gpu));
    all.extend(missing.map(|gpu| Refusal::GpuMissing { application: facts.name.clone(), gpu: *gpu }));
}

fn volumes(facts: &Facts<'_>, all: &mut Vec<Refusal>) {
    for (volume, placed, found) in facts.volumes() {
        let (application, name, id) = (volume.application.clone(), volume.name.clone(), volume.id.clone());
        let Some(found) = found else {
            if placed.born <= facts.inventory.current {
                all.push(Refusal::VolumeMissing { application, volume: name, id });
            }
            continue;
        };
        if let Some(cause) = &found.held {
            let (application, volume, cause) = (application, name, cause.clone());
            all.push(Refusal::VolumeHeld { application, volume, id, cause });
            continue;
        }
        if found.mounted && !found.marked {
            all.push(Refusal::VolumeUnmarked { application: application.clone(), volume: name.clone(), id });
        }
        if !placed.clone && !found.lines.contains_key(&placed.line) {
            let there: Vec<String> = found.lines.keys().map(u32::to_string).collect();
            let (application, volume, there) = (application.clone(), name.clone(), there.join(", "));
            all.push(Refusal::LineMissing { application, volume, line: placed.line, there });
        }
        if let Some(want) =
            facts.application().volumes.get(&name).map(|volume| volume.size).filter(|want| *want < found.size)
        {
            all.push(Refusal::VolumeShrinks { application, volume: name, have: found.size, want });
        }
    }
}

/// Conditions in which the wanted instances were found. One that a plan ends, as an old version or one of a network that moves, stands in nobody's way.
fn conditions(facts: &Facts<'_>, generation: &Generation, all: &mut Vec<Refusal>) {
    let Some(observed) = facts.observed() else { return };
    let application = || facts.name.clone();
    for id in facts.wanted() {
        let Some(found) = observed.instances.get(&id) else { continue };
        if found.is_outside(generation.placement.subnet) {
            continue;
        }
        if found.state == InstanceState::Frozen {
            all.push(Refusal::Frozen { application: application(), instance: id.to_string() });
        }
        if let Some(what) = &found.altered {
            all.push(Refusal::Altered { application: application(), instance: id.to_string(), what: what.clone() });
        }
        if let Some(Verdict::Failed(cause)) = &found.gate {
            all.push(Refusal::GateFailed { application: application(), cause: cause.clone() });
        }
    }
    // A job of a switch is tried on the data of the new version alone, before that has any traffic.
    if let Some((revision, cause)) = &observed.failed_job
        && *revision == facts.revision
        && facts.application().wish == Wish::Running
        && !facts.is_admitted()
    {
        all.push(Refusal::GateFailed { application: application(), cause: cause.clone() });
    }
    if let Some((revision, Verdict::Failed(cause))) = &observed.probation
        && *revision == facts.revision
        && facts.application().wish == Wish::Running
    {
        all.push(Refusal::ProbationFailed { application: application(), cause: cause.clone() });
    }
}

/// Bytes of disk that the steps need: images, new volumes in full, and growth. Clones lie within their volume. Where the generation serves, what
/// lacks is said of each application that needs some of it, so that the repair of the others goes on.
fn disk(inventory: &Inventory, generation: &Generation, facts: &[Facts<'_>], all: &mut Vec<Refusal>) {
    let (mut needs, mut askers, mut images) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
    for facts in facts {
        let mut own = disk_of(inventory, facts);
        if !own.is_empty() {
            askers.insert(facts.name.clone());
        }
        // An image that several applications have is fetched once.
        if facts.wants_image() && !images.insert(facts.resolved.image.digest) {
            own.remove(&image_words(facts));
        }
        needs.extend(own);
    }
    let need = needs.values().fold(0u64, |sum, need| sum.saturating_add(*need));
    let have = inventory.host.disk_free.0.saturating_sub(generation.placement.reserve.disk.0);
    if need <= have {
        return;
    }
    let mut largest: Vec<(String, u64)> = needs.into_iter().collect();
    largest.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let words: Vec<String> =
        largest.iter().take(3).map(|(name, need)| format!("{name} {}", Size(*need).human())).collect();
    let refusal = |application| Refusal::DiskShort {
        application,
        need: Size(need),
        have: Size(have),
        for_what: words.join(", "),
        largest: inventory.host.largest.clone(),
    };
    match generation.number == inventory.current {
        true => all.extend(askers.into_iter().map(|name| refusal(Some(name)))),
        false => all.push(refusal(None)),
    }
}

fn image_words(facts: &Facts<'_>) -> String {
    format!("image {}", facts.resolved.image.source)
}

/// Bytes of disk that one application needs, by what needs them, in words.
fn disk_of(inventory: &Inventory, facts: &Facts<'_>) -> BTreeMap<String, u64> {
    let mut needs = BTreeMap::new();
    let image = &facts.resolved.image;
    if facts.wants_image() {
        let need = match inventory.images.get(&image.digest) {
            None => image.packed.0.saturating_add(image.unpacked.0),
            Some(ImageState::Fetched) => image.unpacked.0,
            Some(ImageState::Unpacked) => 0,
        };
        needs.insert(image_words(facts), need);
    }
    for (volume, _, found) in facts.volumes() {
        let size = facts.application().volumes.get(&volume.name).map_or(0, |volume| volume.size.0);
        needs.insert(format!("volume {volume}"), size.saturating_sub(found.map_or(0, |found| found.size.0)));
    }
    needs.retain(|_, need| *need > 0);
    needs
}

/// Memory that is promised to all applications, and to the versions that run beside them during a switch.
fn memory(
    inventory: &Inventory,
    generation: &Generation,
    previous: Option<&Generation>,
    facts: &[Facts<'_>],
    all: &mut Vec<Refusal>,
) {
    let limit = |generation: &Generation, name: &Name| {
        let resolved = generation.portable.applications.get(name);
        resolved.and_then(|resolved| resolved.application.limits.memory).map_or(0, |memory| memory.0)
    };
    let mut needs: BTreeMap<String, u64> = BTreeMap::new();
    for facts in facts.iter().filter(|facts| facts.application().wish == Wish::Running) {
        let instances = u64::from(facts.application().instances);
        let own = limit(generation, facts.name).saturating_mul(instances);
        // What is of neither generation has failed and goes: it stands in no return's way.
        let before = previous.and_then(|previous| previous.revision(facts.name));
        let is_before = |id: &InstanceId| before.as_ref() == Some(&id.revision);
        let superfluous = facts.superfluous();
        let live = superfluous.iter().filter(|(id, instance)| is_live(instance) && is_before(id)).count();
        let beside = match facts.stops_first() {
            true => 0,
            false => previous.map_or(0, |previous| limit(previous, facts.name)).saturating_mul(live as u64),
        };
        needs.insert(facts.name.to_string(), own.saturating_add(beside));
    }
    let need = needs.values().fold(0u64, |sum, need| sum.saturating_add(*need));
    let have = inventory.host.memory.0.saturating_sub(generation.placement.reserve.memory.0);
    if need > have {
        let mut largest: Vec<(String, Size)> = needs.into_iter().map(|(name, need)| (name, Size(need))).collect();
        largest.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        largest.truncate(3);
        all.push(Refusal::MemoryShort { need: Size(need), have: Size(have), largest });
    }
}
