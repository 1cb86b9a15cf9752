//! A catalogue, a machine and a model of its life, for tests.

use std::collections::{BTreeMap, BTreeSet};

use openmesh_blueprint::Unresolved;
use openmesh_blueprint::catalogue::{Catalogue, ImageFacts};
use openmesh_blueprint::document::{Document, ImageReference, Name, Size, SwitchKind, Wish};
use openmesh_blueprint::generation::{Cause, Generation};
use openmesh_blueprint::gpu::Stock;
use openmesh_blueprint::inventory::{
    Door, Feature, Holder, Host, ImageState, InstanceId, InstanceState, Inventory, Traffic, Verdict,
};
use openmesh_blueprint::resolve::Allocations;
use openmesh_blueprint::step::{Rubbish, Step};
use openmesh_blueprint::{plan, resolve, simulate};
use openmesh_primitives::{Timestamp, sha256};

/// A moment, so many seconds after noon of some day.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp((1_795_953_600 + seconds) * 1_000_000_000)
}

/// A name.
pub fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// Cause of a generation, in tests.
pub fn cause(seconds: i64) -> Cause {
    Cause { by: "test".to_string(), reason: "a change".to_string(), at: at(seconds) }
}

/// A catalogue that has every image that a document names: its digest follows from its name.
pub fn catalogue(document: &Document) -> Catalogue {
    let mut catalogue = Catalogue::default();
    for image in document.applications.values().filter_map(|application| application.image.as_ref()) {
        catalogue.images.insert(image.clone(), facts(image));
    }
    catalogue
}

/// Facts of an image of tests: 20 MiB to fetch, 50 MiB on disk.
pub fn facts(image: &ImageReference) -> ImageFacts {
    let digest = image.digest.unwrap_or_else(|| sha256(&[image.to_string().as_bytes()]));
    ImageFacts { digest, packed: Size(20 << 20), unpacked: Size(50 << 20) }
}

/// A machine's allocations, with some secrets.
pub fn allocations() -> Allocations {
    Allocations {
        node: name("kitchen"),
        taken: BTreeMap::new(),
        first_id: 1_000_000,
        id_ranges: 100,
        secrets: [(name("db-password"), 1), (name("token"), 3)].into(),
        committed: 0,
        disposals: BTreeMap::new(),
        gone: BTreeSet::new(),
        highest: 0,
        busy: BTreeMap::new(),
        gpus: Stock::default(),
    }
}

/// A machine with nothing on it: 8 GiB of memory, 100 GiB of free disk.
pub fn empty_machine() -> Inventory {
    Inventory {
        taken: at(0),
        current: 0,
        host: Host {
            memory: Size(8 << 30),
            disk_free: Size(100 << 30),
            largest: vec![("image docker.io/library/old:1".to_string(), Size(3 << 30))],
            features: Feature::ALL.into(),
            gpus: BTreeMap::new(),
            gpu_lack: None,
        },
        images: BTreeMap::new(),
        applications: BTreeMap::new(),
        volumes: BTreeMap::new(),
        ports: BTreeMap::new(),
    }
}

/// A document of a text that is right.
pub fn document(text: &str) -> Document {
    Document::parse(text).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// The generation of a text after one that was committed.
pub fn generation(text: &str, previous: Option<&Generation>, seconds: i64) -> Result<Generation, Vec<Unresolved>> {
    generation_after(text, previous, previous.map_or(0, |previous| previous.number), seconds)
}

/// The generation of a text after another one, while the one of this number serves.
pub fn generation_after(
    text: &str,
    previous: Option<&Generation>,
    committed: u64,
    seconds: i64,
) -> Result<Generation, Vec<Unresolved>> {
    let document = document(text);
    let allocations = Allocations { committed, ..allocations() };
    resolve(&document, &catalogue(&document), &allocations, previous, cause(seconds))
}

/// Plans and applies until nothing is left; at most so many steps of each plan, one number after the other, before planning anew.
pub fn reach(inventory: &mut Inventory, generation: &Generation, previous: Option<&Generation>, prefixes: &[usize]) {
    for prefix in prefixes.iter().copied().chain([usize::MAX, usize::MAX]) {
        let plan = plan(inventory, generation, previous).unwrap_or_else(|refusals| panic!("{refusals:#?}"));
        for planned in plan.steps.iter().take(prefix) {
            step(&planned.step, inventory, generation);
        }
    }
    let rest = plan(inventory, generation, previous).unwrap();
    assert!(rest.steps.is_empty(), "left to do:\n{rest}");
    let differences = differences(inventory, generation);
    assert!(differences.is_empty(), "{differences:#?}");
}

/// Applies a step, and holds it against what must never happen.
pub fn step(step: &Step, inventory: &mut Inventory, generation: &Generation) {
    let before = inventory.clone();
    match step {
        Step::Publish { at, .. } => assert!(!before.ports.contains_key(at), "{step} over another holder"),
        Step::Admit { application, revision, instances, .. } => {
            for index in 0..*instances {
                let id = InstanceId { revision: revision.clone(), index };
                let instance = &before.applications[application].instances[&id];
                assert_eq!(instance.gate, Some(Verdict::Passed), "{step} before the gate");
                assert_eq!(instance.state, InstanceState::Running, "{step}");
            }
        }
        Step::Stop { application, instance, .. } => {
            let traffic = before.applications[application].instances[instance].traffic;
            assert_eq!(traffic, Traffic::None, "{step} cuts open connections");
        }
        Step::Collect(Rubbish::Line { volume, line }) => {
            let found = &before.volumes[&volume.id];
            assert!(!found.lines[line].admitted, "{step} removes what clients were told");
            assert!(found.lines[line].removable && found.in_use != *line, "{step}, which the volume does not give");
        }
        Step::Collect(Rubbish::Instance { application, instance, .. }) => {
            let found = &before.applications[application].instances[instance];
            assert!(found.is_ended(), "{step} of something that lives");
        }
        Step::Snapshot { volume, from, .. } => {
            let live = before
                .applications
                .get(&volume.application)
                .is_some_and(|found| found.instances.values().any(|instance| instance.state == InstanceState::Running));
            assert!(!live, "{step} under a writer");
            assert!(before.volumes[&volume.id].lines.contains_key(from), "{step} of nothing");
        }
        Step::Start { application, instance } => {
            let resolved = &generation.portable.applications[application];
            let image = before.images.get(&resolved.image.digest);
            assert_eq!(image, Some(&ImageState::Unpacked), "{step} without its image");
            for volume in generation.placement.applications[application].volumes.values() {
                let found = &before.volumes[&volume.id];
                assert!(found.mounted && found.lines.contains_key(&volume.line), "{step} without its data");
            }
            if resolved.application.switch_kind() == SwitchKind::Hold {
                let others = before.applications[application].instances.iter().filter(|(id, _)| *id != instance);
                let live = others.filter(|(_, other)| other.state == InstanceState::Running).count();
                assert_eq!(live, 0, "{step}: two writers");
            }
        }
        _ => {}
    }
    simulate::apply(step, inventory);
    assert!(step.is_done(inventory), "{step} is not done after it was done");
    let after = inventory.clone();
    simulate::apply(step, inventory);
    assert_eq!(&after, inventory, "{step} a second time");
}

/// Differences of a machine from a generation, found without the planner.
pub fn differences(inventory: &Inventory, generation: &Generation) -> Vec<String> {
    let mut found = Vec::new();
    if inventory.current != generation.number {
        found.push(format!("serves {}", inventory.current));
    }
    let mut ports = BTreeMap::new();
    for (name, resolved) in &generation.portable.applications {
        let placed = &generation.placement.applications[name];
        let revision = generation.revision(name).unwrap();
        let observed = inventory.applications.get(name).cloned().unwrap_or_default();
        let (count, door) = match resolved.application.wish {
            Wish::Running => (resolved.application.instances, Door::Open(revision.clone())),
            Wish::Paused => (0, Door::Maintenance),
            Wish::Stopped => (0, Door::Closed),
        };
        if observed.door != door {
            found.push(format!("{name}: door {:?}, not {door:?}", observed.door));
        }
        let running: Vec<&InstanceId> = observed
            .instances
            .iter()
            .filter(|(_, i)| i.state == InstanceState::Running && i.traffic == Traffic::Admitted)
            .map(|(id, _)| id)
            .collect();
        let wanted: Vec<InstanceId> =
            (0..count).map(|index| InstanceId { revision: revision.clone(), index }).collect();
        if running != wanted.iter().collect::<Vec<_>>() || observed.instances.len() != wanted.len() {
            found.push(format!("{name}: instances {:?}", observed.instances));
        }
        for (volume_name, placed) in &placed.volumes {
            let size = resolved.application.volumes[volume_name].size;
            match inventory.volumes.get(&placed.id) {
                Some(volume)
                    if volume.size == size && volume.mounted && (count == 0 || volume.in_use == placed.line) => {}
                other => found.push(format!("{name}: volume {volume_name} is {other:?}")),
            }
        }
        if resolved.application.wish != Wish::Stopped {
            let holder = |port: &Name| Holder::Ours { application: name.clone(), port: port.clone() };
            ports.extend(placed.ports.iter().map(|(port, at)| (*at, holder(port))));
        }
    }
    for (name, observed) in &inventory.applications {
        let gone = observed.door == Door::Closed && observed.instances.is_empty();
        if !generation.portable.applications.contains_key(name) && !gone {
            found.push(format!("{name} is still there: {observed:?}"));
        }
    }
    let ours: BTreeMap<_, _> =
        inventory.ports.clone().into_iter().filter(|(_, h)| matches!(h, Holder::Ours { .. })).collect();
    if ours != ports {
        found.push(format!("ports {ours:?}, not {ports:?}"));
    }
    found
}
