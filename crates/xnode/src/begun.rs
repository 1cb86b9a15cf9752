//! Applications that a wanted generation has begun to change, and that the one that serves leaves to it.

use std::collections::BTreeSet;

use openmesh_blueprint::document::{Name, Wish};
use openmesh_blueprint::inventory::{Door as ObservedDoor, InstanceId, ObservedInstance, Traffic};
use openmesh_blueprint::plan::wanted;
use openmesh_blueprint::{Generation, Inventory};

/// Applications that a generation has begun to change: they are new, or one of them that it changes is not as the generation that serves says.
pub(crate) fn begun(inventory: &Inventory, target: &Generation, serving: &Generation) -> BTreeSet<Name> {
    let names: BTreeSet<&Name> =
        target.portable.applications.keys().chain(serving.portable.applications.keys()).collect();
    names.into_iter().filter(|name| is_begun(inventory, target, serving, name)).cloned().collect()
}

fn is_begun(inventory: &Inventory, target: &Generation, serving: &Generation, name: &Name) -> bool {
    let (new, Some(old)) = (target.revision(name), serving.revision(name)) else { return true };
    let wish = |generation: &Generation| {
        let resolved = generation.portable.applications.get(name);
        resolved.map(|resolved| (resolved.application.wish, resolved.application.instances))
    };
    let subnet = serving.placement.subnet;
    if new.as_ref() == Some(&old) && wish(target) == wish(serving) && target.placement.subnet == subnet {
        return false;
    }
    let door = match wish(serving) {
        Some((Wish::Running, _)) => ObservedDoor::Open(old),
        Some((Wish::Paused, _)) => ObservedDoor::Maintenance,
        Some((Wish::Stopped, _)) | None => ObservedDoor::Closed,
    };
    let Some(found) = inventory.applications.get(name) else { return door != ObservedDoor::Closed };
    let (asked, asks) = (wanted(serving, name), wanted(target, name));
    let is_changed = |(id, one): (&InstanceId, &ObservedInstance)| {
        let comes = asks.contains(id) && !asked.contains(id);
        // Fewer instances of the same version: those that are too many lose their traffic first.
        let goes = asked.contains(id) && !asks.contains(id) && new.as_ref() == Some(&id.revision);
        comes || (goes && one.traffic != Traffic::Admitted) || one.is_outside(subnet)
    };
    found.door != door || found.instances.iter().any(is_changed)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use openmesh_blueprint::catalogue::{Catalogue, ImageFacts};
    use openmesh_blueprint::document::{Document, Size};
    use openmesh_blueprint::generation::Cause;
    use openmesh_blueprint::inventory::{Host, InstanceState, ObservedApplication, Verdict};
    use openmesh_blueprint::resolve;
    use openmesh_blueprint::resolve::Allocations;
    use openmesh_primitives::{Timestamp, sha256};

    use super::*;

    fn generation(text: &str, previous: Option<&Generation>) -> Generation {
        let document = Document::parse(text).unwrap();
        let mut catalogue = Catalogue::default();
        for image in document.applications.values().filter_map(|application| application.image.as_ref()) {
            let facts =
                ImageFacts { digest: sha256(&[image.to_string().as_bytes()]), packed: Size(1), unpacked: Size(1) };
            catalogue.images.insert(image.clone(), facts);
        }
        let allocations = Allocations {
            node: "kitchen".parse().unwrap(),
            taken: BTreeMap::new(),
            highest: 0,
            busy: BTreeMap::new(),
            first_id: 1_000_000,
            id_ranges: 16,
            secrets: BTreeMap::new(),
            committed: previous.map_or(0, |previous| previous.number),
            disposals: BTreeMap::new(),
            gone: BTreeSet::new(),
            gpus: openmesh_blueprint::gpu::Stock::default(),
        };
        let cause = Cause { by: "test".into(), reason: "a test".into(), at: Timestamp(0) };
        resolve(&document, &catalogue, &allocations, previous, cause).unwrap()
    }

    /// A machine that is as a generation says.
    fn machine(generation: &Generation) -> Inventory {
        let mut applications = BTreeMap::new();
        for (name, resolved) in &generation.portable.applications {
            let addresses = &generation.placement.applications[name].addresses;
            let instances = wanted(generation, name).into_iter().zip(addresses).map(|(id, address)| {
                let one = ObservedInstance {
                    state: InstanceState::Running,
                    gate: Some(Verdict::Passed),
                    traffic: Traffic::Admitted,
                    address: Some(*address),
                    altered: None,
                    is_due: false,
                };
                (id, one)
            });
            let door = match resolved.application.wish {
                Wish::Running => ObservedDoor::Open(generation.revision(name).unwrap()),
                Wish::Paused => ObservedDoor::Maintenance,
                Wish::Stopped => ObservedDoor::Closed,
            };
            let found = ObservedApplication { door, instances: instances.collect(), ..ObservedApplication::default() };
            applications.insert(name.clone(), found);
        }
        Inventory {
            taken: Timestamp(0),
            current: generation.number,
            host: Host::default(),
            images: BTreeMap::new(),
            applications,
            volumes: BTreeMap::new(),
            ports: BTreeMap::new(),
        }
    }

    const TEXT: &str = "version: 1\napplications:\n  a: {image: i, instances: 2}\n  b: {image: i, wish: paused}\n";

    /// As long as nothing was done to an application, the generation that serves attends it; from its first step on that one leaves it alone.
    #[test]
    fn what_is_begun_is_left_to_the_wanted_generation() {
        let (a, b): (Name, Name) = ("a".parse().unwrap(), "b".parse().unwrap());
        let first = generation(TEXT, None);
        let begun_by = |text: &str, change: &dyn Fn(&mut Inventory, &Generation)| {
            let second = generation(text, Some(&first));
            let mut machine = machine(&first);
            assert!(begun(&machine, &second, &first).is_empty(), "nothing was done yet: {text}");
            change(&mut machine, &second);
            begun(&machine, &second, &first)
        };
        let shut = |machine: &mut Inventory, _: &Generation| {
            machine.applications.values_mut().for_each(|found| found.door = ObservedDoor::Holding);
        };
        let paused = TEXT.replace("instances: 2", "instances: 2, wish: paused");
        assert_eq!(begun_by(&paused, &shut), BTreeSet::from([a.clone()]), "the same version, and another wish");
        let resumed = TEXT.replace(", wish: paused", "");
        assert_eq!(begun_by(&resumed, &shut), BTreeSet::from([b.clone()]));
        let fewer = TEXT.replace("instances: 2", "instances: 1");
        let drained = |machine: &mut Inventory, _: &Generation| {
            let found = machine.applications.values_mut().next().unwrap();
            found.instances.values_mut().for_each(|one| one.traffic = Traffic::Draining);
        };
        assert_eq!(begun_by(&fewer, &drained), BTreeSet::from([a.clone()]));
        let moved = TEXT.replace("version: 1\n", "version: 1\nmachine: {subnet: 10.99.0.0/16}\n");
        assert_eq!(begun_by(&moved, &shut), BTreeSet::from([a.clone(), b.clone()]));
        let made = |machine: &mut Inventory, second: &Generation| {
            let address = second.placement.applications[&a].addresses.first().copied();
            let found = machine.applications.get_mut(&a).unwrap();
            found.instances.values_mut().for_each(|one| one.address = address);
        };
        assert_eq!(begun_by(&moved, &made), BTreeSet::from([a.clone()]), "the same version in the other network");
        let changed = TEXT.replace("a: {image: i,", "a: {image: i:2,");
        let created = |machine: &mut Inventory, second: &Generation| {
            let found = machine.applications.get_mut(&a).unwrap();
            let one = found.instances.values().next().unwrap().clone();
            let id = wanted(second, &a).into_iter().next().unwrap();
            found.instances.insert(id, ObservedInstance { traffic: Traffic::None, ..one });
        };
        assert_eq!(begun_by(&changed, &created), BTreeSet::from([a.clone()]));
        let without = "version: 1\napplications:\n  b: {image: i, wish: paused}\n";
        assert_eq!(begun_by(without, &shut), BTreeSet::from([a]), "what goes is not started again meanwhile");
        let more = format!("{TEXT}  c: {{image: i}}\n");
        let second = generation(&more, Some(&first));
        assert_eq!(
            begun(&machine(&first), &second, &first),
            BTreeSet::from(["c".parse::<Name>().unwrap()]),
            "it has nothing to go back to"
        );
    }
}
