//! A model of the machine: steps applied to an inventory, as an executor that succeeds would.
//!
//! Tests hold the planner against it, and the executor's crash tests hold the machine against it.

use crate::document::{Name, Size};
use crate::generation::Revision;
use crate::inventory::{
    Door, Holder, ImageState, InstanceId, InstanceState, Inventory, ObservedInstance, ObservedLine, ObservedRemoval,
    ObservedVolume, Traffic, Verdict,
};
use crate::step::{Rubbish, Step, VolumeRef};

/// Applies a step as if it had succeeded. Applying it again changes nothing.
pub fn apply(step: &Step, inventory: &mut Inventory) {
    if step.is_done(inventory) {
        return;
    }
    match step {
        Step::Fetch { image, bytes, .. } => {
            inventory.images.insert(*image, ImageState::Fetched);
            spend(inventory, *bytes);
        }
        Step::Unpack { image, bytes, .. } => {
            inventory.images.insert(*image, ImageState::Unpacked);
            spend(inventory, *bytes);
        }
        Step::MakeVolume { volume, size } => make_volume(volume, *size, inventory),
        Step::Mount { volume } => with_volume(volume, inventory, |found| found.mounted = true),
        Step::Mend { volume, .. } => with_volume(volume, inventory, |found| found.mends = None),
        Step::Revive { volume } => with_volume(volume, inventory, |found| found.removal = None),
        Step::Retire { volume, disposal } => with_volume(volume, inventory, |found| {
            found.mounted = false;
            found.removal = Some(ObservedRemoval { disposal: *disposal, is_due: false });
        }),
        Step::Grow { volume, size } => {
            let before = inventory.volumes.get(&volume.id).map_or(Size(0), |found| found.size);
            spend(inventory, Size(size.0.saturating_sub(before.0)));
            with_volume(volume, inventory, |found| found.size = *size);
        }
        Step::Snapshot { volume, from, to } => with_volume(volume, inventory, |found| {
            found.lines.insert(*to, ObservedLine { parent: Some(*from), admitted: false, removable: true });
        }),
        Step::Restore { volume, to, .. } => with_volume(volume, inventory, |found| found.in_use = *to),
        Step::Publish { application, port, at } => {
            let holder = Holder::Ours { application: application.clone(), port: port.clone() };
            inventory.ports.insert(*at, holder);
        }
        Step::Retract { at, .. } => drop(inventory.ports.remove(at)),
        Step::Commit { number } => inventory.current = *number,
        Step::Collect(rubbish) => collect(rubbish, inventory),
        _ => apply_to_application(step, inventory),
    }
}

fn apply_to_application(step: &Step, inventory: &mut Inventory) {
    match step {
        Step::Run { application, revision, job } => {
            let found = inventory.applications.entry(application.clone()).or_default();
            found.jobs.insert((revision.clone(), job.clone()));
        }
        Step::Create { application, instance } => {
            let made = ObservedInstance {
                state: InstanceState::Created,
                gate: None,
                traffic: Traffic::None,
                address: None,
                altered: None,
                is_due: false,
            };
            inventory.applications.entry(application.clone()).or_default().instances.insert(instance.clone(), made);
        }
        Step::Start { application, instance } => with_instance(application, instance, inventory, |found| {
            (found.state, found.gate, found.is_due) = (InstanceState::Running, None, false);
        }),
        Step::Gate { application, instance, .. } => {
            with_instance(application, instance, inventory, |found| found.gate = Some(Verdict::Passed));
        }
        Step::Admit { application, revision, instances, lines } => {
            admit(application, revision, *instances, inventory);
            for (volume, line) in lines {
                with_volume(volume, inventory, |found| {
                    found.in_use = *line;
                    if let Some(line) = found.lines.get_mut(line) {
                        (line.admitted, line.removable) = (true, false);
                    }
                });
            }
        }
        Step::Withdraw { application, instance, instances } => {
            admit(application, &instance.revision, *instances, inventory);
            with_instance(application, instance, inventory, |found| found.traffic = Traffic::Draining);
        }
        Step::Hold { application, .. } => close(application, Door::Holding, inventory),
        Step::Shut { application, page } => {
            close(application, if *page { Door::Maintenance } else { Door::Closed }, inventory);
        }
        Step::Drain { application, instance, .. } => {
            with_instance(application, instance, inventory, |found| found.traffic = Traffic::None);
        }
        Step::Stop { application, instance, .. } => with_instance(application, instance, inventory, |found| {
            (found.state, found.gate, found.traffic) = (InstanceState::Exited(0), None, Traffic::None);
        }),
        Step::Probation { application, revision, .. } => {
            let found = inventory.applications.entry(application.clone()).or_default();
            found.probation = Some((revision.clone(), Verdict::Passed));
        }
        _ => {}
    }
}

fn spend(inventory: &mut Inventory, bytes: Size) {
    inventory.host.disk_free = Size(inventory.host.disk_free.0.saturating_sub(bytes.0));
}

fn make_volume(volume: &VolumeRef, size: Size, inventory: &mut Inventory) {
    let made = ObservedVolume {
        size,
        mounted: true,
        marked: true,
        lines: [(1, ObservedLine { parent: None, admitted: false, removable: true })].into(),
        in_use: 1,
        backed_up: None,
        held: None,
        removal: None,
        mends: None,
    };
    inventory.volumes.insert(volume.id.clone(), made);
    spend(inventory, size);
}

fn with_volume(volume: &VolumeRef, inventory: &mut Inventory, change: impl FnOnce(&mut ObservedVolume)) {
    if let Some(found) = inventory.volumes.get_mut(&volume.id) {
        change(found);
    }
}

fn with_instance(
    application: &Name,
    instance: &InstanceId,
    inventory: &mut Inventory,
    change: impl FnOnce(&mut ObservedInstance),
) {
    if let Some(found) = inventory.applications.get_mut(application).and_then(|found| found.instances.get_mut(instance))
    {
        change(found);
    }
}

fn admit(application: &Name, revision: &Revision, instances: u32, inventory: &mut Inventory) {
    let found = inventory.applications.entry(application.clone()).or_default();
    found.door = Door::Open(revision.clone());
    for (id, instance) in &mut found.instances {
        match &id.revision == revision && id.index < instances {
            true => instance.traffic = Traffic::Admitted,
            false if instance.traffic == Traffic::Admitted => instance.traffic = Traffic::Draining,
            false => {}
        }
    }
}

/// Takes new traffic away from every instance; open connections go on.
fn close(application: &Name, door: Door, inventory: &mut Inventory) {
    let found = inventory.applications.entry(application.clone()).or_default();
    found.door = door;
    for instance in found.instances.values_mut().filter(|instance| instance.traffic == Traffic::Admitted) {
        instance.traffic = Traffic::Draining;
    }
}

fn collect(rubbish: &Rubbish, inventory: &mut Inventory) {
    match rubbish {
        Rubbish::Instance { application, instance, .. } => {
            if let Some(found) = inventory.applications.get_mut(application) {
                found.instances.remove(instance);
            }
        }
        Rubbish::Line { volume, line } => {
            with_volume(volume, inventory, |found| found.lines.retain(|number, _| number != line))
        }
        Rubbish::Volume { volume } => drop(inventory.volumes.remove(&volume.id)),
    }
}
