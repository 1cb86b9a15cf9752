//! Facts of one application in a generation beside what was found of it.

use std::collections::BTreeSet;

use crate::document::{Application, Name, Protocol, Root, SwitchKind, Wish};
use crate::generation::{Generation, HostPort, Placed, PlacedVolume, Resolved, Revision, revision};
use crate::inventory::{
    Door, InstanceId, InstanceState, Inventory, ObservedApplication, ObservedInstance, ObservedVolume, Traffic,
};
use crate::step::{VolumeRef, is_admitted};

/// An application of a generation and what was found of it.
pub(super) struct Facts<'a> {
    /// Its name.
    pub name: &'a Name,
    /// Its portable part.
    pub resolved: &'a Resolved,
    /// Its placement.
    pub placed: &'a Placed,
    /// Its revision.
    pub revision: Revision,
    /// The machine.
    pub inventory: &'a Inventory,
}

impl<'a> Facts<'a> {
    /// The facts of an application; `None` where the generation does not have it.
    pub fn of(inventory: &'a Inventory, generation: &'a Generation, name: &Name) -> Option<Facts<'a>> {
        let (name, resolved) = generation.portable.applications.get_key_value(name)?;
        let placed = generation.placement.applications.get(name)?;
        Some(Facts { name, resolved, placed, revision: revision(resolved, placed), inventory })
    }

    /// The application.
    pub fn application(&self) -> &'a Application {
        &self.resolved.application
    }

    /// All that was found of it.
    pub fn observed(&self) -> Option<&'a ObservedApplication> {
        self.inventory.applications.get(self.name)
    }

    /// Names of the instances that should be there, in order.
    pub fn wanted(&self) -> Vec<InstanceId> {
        let count = if self.application().wish == Wish::Running { self.application().instances } else { 0 };
        (0..count).map(|index| InstanceId { revision: self.revision.clone(), index }).collect()
    }

    /// Instances that were found and should not be there.
    pub fn superfluous(&self) -> Vec<(&'a InstanceId, &'a ObservedInstance)> {
        let wanted: BTreeSet<InstanceId> = self.wanted().into_iter().collect();
        self.observed().into_iter().flat_map(|found| &found.instances).filter(|(id, _)| !wanted.contains(id)).collect()
    }

    /// Wanted instances that run and are to be started anew, in order. One that does not run has only to be started.
    pub fn due(&self) -> Vec<(InstanceId, &'a ObservedInstance)> {
        let Some(observed) = self.observed() else { return Vec::new() };
        let found = self.wanted().into_iter().filter_map(|id| observed.instances.get(&id).map(|found| (id, found)));
        found
            .filter(|(_, found)| found.is_due && matches!(found.state, InstanceState::Running | InstanceState::Frozen))
            .collect()
    }

    /// Returns true where its instances are started anew one after another, and the others have the traffic meanwhile.
    pub fn rolls(&self) -> bool {
        self.application().instances > 1 && self.application().switch_kind() == SwitchKind::Overlap
    }

    /// Returns true when its traffic goes where it should.
    pub fn is_admitted(&self) -> bool {
        is_admitted(self.inventory, self.name, &self.revision, self.application().instances)
            && self.volumes().all(|(_, placed, found)| found.is_some_and(|found| found.in_use == placed.line))
    }

    /// Volumes with what was found of them.
    pub fn volumes(&self) -> impl Iterator<Item = (VolumeRef, &'a PlacedVolume, Option<&'a ObservedVolume>)> {
        let (name, inventory) = (self.name, self.inventory);
        self.placed.volumes.iter().map(move |(volume, placed)| {
            let named = VolumeRef { id: placed.id.clone(), application: name.clone(), name: volume.clone() };
            (named, placed, inventory.volumes.get(&placed.id))
        })
    }

    /// Volumes that get a line by cloning, with the line that is cloned.
    pub fn snapshots(&self) -> Vec<(VolumeRef, u32, u32)> {
        let clones = self.volumes().filter(|(_, placed, _)| placed.clone);
        let missing =
            clones.filter(|(_, placed, found)| found.is_none_or(|found| !found.lines.contains_key(&placed.line)));
        // A volume that is made by this plan has one line.
        missing.map(|(volume, placed, found)| (volume, found.map_or(1, |found| found.in_use), placed.line)).collect()
    }

    /// Volumes that go back to a line which is there.
    pub fn restores(&self) -> Vec<(VolumeRef, u32, u32)> {
        let chosen = self.volumes().filter(|(_, placed, _)| !placed.clone);
        let other = chosen.filter_map(|(volume, placed, found)| Some((volume, found?.in_use, placed.line)));
        other.filter(|(_, from, to)| from != to).collect()
    }

    /// Returns true when it cannot go on without its image: it runs, or a volume is made for it, and the image alone knows whose it is.
    pub fn wants_image(&self) -> bool {
        let asks = self.application().user.is_none() && self.volumes().any(|(_, _, found)| found.is_none());
        self.application().wish == Wish::Running || asks
    }

    /// Returns true when the present instances must end before new ones start: one writes, or has a GPU, at a time.
    pub fn stops_first(&self) -> bool {
        let single = self.application().switch_kind() == SwitchKind::Hold || self.application().gpus.is_some();
        single || !self.snapshots().is_empty() || !self.restores().is_empty()
    }

    /// Returns true when something has traffic that should not have it.
    pub fn has_other_traffic(&self) -> bool {
        let open = match self.observed().map(|found| &found.door) {
            Some(Door::Open(revision)) => *revision != self.revision,
            _ => false,
        };
        open || self.superfluous().iter().any(|(_, instance)| instance.traffic != Traffic::None)
    }
}

/// Returns true for an instance that runs, or could.
pub(super) fn is_live(instance: &ObservedInstance) -> bool {
    !instance.is_ended()
}

/// Returns true where two ports of the host are one for whoever connects: of all protocols, that of UDP alone has numbers of its own.
pub(super) fn meets(one: HostPort, other: HostPort) -> bool {
    let is_udp = |port: HostPort| port.protocol == Protocol::Udp;
    one.port == other.port && is_udp(one) == is_udp(other) && one.address.overlaps(other.address)
}

/// Returns true when an application's instances may have written to their root: before, now, or nobody knows.
pub(super) fn roots_written(name: &Name, generation: &Generation, previous: Option<&Generation>) -> bool {
    let known =
        [Some(generation), previous].into_iter().flatten().filter_map(|known| known.portable.applications.get(name));
    let roots: Vec<Root> = known.map(|resolved| resolved.application.root).collect();
    roots.is_empty() || roots.contains(&Root::Writable)
}
