//! Resolution: every choice is made here, and nowhere else.
//!
//! Two halves. The portable one takes document and catalogue and knows nothing of the machine, so that its result is the same everywhere. The
//! placement one gives each application its ports, addresses, user ids and lines of data: what it had before stays, what was freed within
//! the hour is given to nobody else, and the rest is the lowest that is free.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use openmesh_primitives::Timestamp;

use crate::catalogue::{Catalogue, ImageFacts, recipe_hash};
use crate::document::{
    Application, Document, HostAddress, ImageReference, Limits, Machine, Name, PortRange, Processors, Protocol,
    Reserve, Size, Subnet, SwitchKind, Wish,
};
use crate::generation::{
    Cause, Disposal, Freed, Generation, HostPort, IDS_OF_APPLICATION, ImageSource, Placed, PlacedVolume, Placement,
    Portable, Resolved, ResolvedImage, Resource, Retired, Revision, VolumeId, essence, revision,
};
use crate::gpu::{PciAddress, Stock};
use crate::gpu_choice;
use crate::inventory::InstanceId;
use crate::unresolved::Unresolved;

/// Time in which a freed port, address or range of ids is not given to another owner, in nanoseconds: an hour, by which caches of names, open
/// connections and forgotten bookmarks no longer lead to the owner before.
pub const FREED_NANOS: i64 = 3_600 * 1_000_000_000;

/// Birth of a retired volume that was in no committed generation: it may be there, and may have to be made when its application comes back.
const NEVER_COMMITTED: u64 = u64::MAX;

/// Limits without a word of document or template.
const LIMITS: Limits = Limits {
    processors: Some(Processors(1000)),
    memory: Some(Size(512 << 20)),
    processes: Some(512),
    disk: Some(Size(1 << 30)),
    rate: None,
};

/// Facts of the machine from which is chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocations {
    /// Name of the machine where the document gives none.
    pub node: Name,
    /// Ports of the host that others hold, with the holder's name.
    pub taken: BTreeMap<(u16, Protocol), String>,
    /// Highest number that a generation here has, also one that was kept and never wanted; 0 before the first. Numbers are not given twice.
    pub highest: u64,
    /// Addresses of the instances that are there, with application, revision and number of each.
    pub busy: BTreeMap<Ipv4Addr, (Name, InstanceId)>,
    /// First user id that is ours to give.
    pub first_id: u32,
    /// Number of ranges of user ids that are ours.
    pub id_ranges: u32,
    /// Secrets with their present version.
    pub secrets: BTreeMap<Name, u32>,
    /// Number of the generation that serves; 0 before the first. Volumes of later ones may not have been made.
    pub committed: u64,
    /// Fate of the data of applications that go; `Keep` without a word.
    pub disposals: BTreeMap<Name, Disposal>,
    /// Volumes of applications that went which are no more: their day is over, and the machine knows nothing of them. One that is only missed is none.
    pub gone: BTreeSet<VolumeId>,
    /// GPUs that are chosen from.
    pub gpus: Stock,
}

/// The generation of a document. Fails with every reason for which there is none.
pub fn resolve(
    document: &Document,
    catalogue: &Catalogue,
    allocations: &Allocations,
    previous: Option<&Generation>,
    cause: Cause,
) -> Result<Generation, Vec<Unresolved>> {
    let mut reasons = Vec::new();
    let portable = choose(document, catalogue, &mut reasons);
    let machine = &document.machine;
    let settings = Settings::of(machine, allocations);
    place(portable, &settings, allocations, previous, &BTreeMap::new(), cause, reasons)
}

/// Lines of data to which a rollback returns, by application and volume; the others keep their present data.
pub type LineChoices = BTreeMap<(Name, Name), u32>;

/// A new generation with the content of an old one. What the present one holds on this machine stays; the data is the present one but for
/// the lines that are named. Fails as [`resolve`] does.
pub fn rollback(
    present: &Generation,
    old: &Generation,
    lines: &LineChoices,
    allocations: &Allocations,
    ports: &PortRange,
    cause: Cause,
) -> Result<Generation, Vec<Unresolved>> {
    return_to(present, old.portable.clone(), &present.placement, lines, allocations, ports, cause)
}

/// A new generation after `present` with this content, with the settings of the machine of another placement: the way back after a failure. Fails as
/// [`resolve`] does.
pub fn return_to(
    present: &Generation,
    portable: Portable,
    machine: &Placement,
    lines: &LineChoices,
    allocations: &Allocations,
    ports: &PortRange,
    cause: Cause,
) -> Result<Generation, Vec<Unresolved>> {
    // What stays as it is keeps what it has.
    let comes_back = |name: &Name| portable.applications.get(name) != present.portable.applications.get(name);
    let gpus = gpu_choice::given(machine).into_iter().filter(|(name, _)| comes_back(name)).collect();
    let settings = Settings {
        node: machine.node.clone(),
        subnet: machine.subnet,
        reserve: machine.reserve.clone(),
        ports: ports.clone(),
        undoes: true,
        gpus,
    };
    place(portable, &settings, allocations, Some(present), lines, cause, Vec::new())
}

/// The portable half.
fn choose(document: &Document, catalogue: &Catalogue, reasons: &mut Vec<Unresolved>) -> Portable {
    let mut applications = BTreeMap::new();
    for (name, application) in &document.applications {
        if let Some(resolved) = choose_one(name, application, catalogue, reasons) {
            applications.insert(name.clone(), resolved);
        }
    }
    Portable {
        applications,
        registries: document.machine.registries.clone(),
        backups: document.machine.backups.clone(),
    }
}

fn choose_one(
    name: &Name,
    own: &Application,
    catalogue: &Catalogue,
    reasons: &mut Vec<Unresolved>,
) -> Option<Resolved> {
    let rendered = catalogue.fill(name, own).map_err(|found| reasons.extend(found)).ok()?;
    let (facts, source) = image(name, &rendered, catalogue, reasons)?;
    let image = ResolvedImage { digest: facts.digest, packed: facts.packed, unpacked: facts.unpacked, source };
    let limits = Limits {
        processors: rendered.limits.processors.or(LIMITS.processors),
        memory: rendered.limits.memory.or(LIMITS.memory),
        processes: rendered.limits.processes.or(LIMITS.processes),
        disk: rendered.limits.disk.or(LIMITS.disk),
        rate: rendered.limits.rate,
    };
    Some(Resolved { image, application: Application { image: None, recipe: None, template: None, limits, ..rendered } })
}

fn image(
    name: &Name,
    application: &Application,
    catalogue: &Catalogue,
    reasons: &mut Vec<Unresolved>,
) -> Option<(ImageFacts, ImageSource)> {
    let (found, reason) = match (&application.image, &application.recipe) {
        (Some(reference), _) => {
            let source = ImageSource::Registry(ImageReference { digest: None, ..reference.clone() });
            let found = catalogue.image(reference).map(|facts| (*facts, source));
            (found, Unresolved::NoSuchImage { application: name.clone(), reference: reference.clone() })
        }
        (None, Some(recipe)) => {
            let recipe = recipe_hash(recipe);
            let found = catalogue.recipes.get(&recipe).map(|facts| (*facts, ImageSource::Recipe(recipe)));
            (found, Unresolved::NotBuilt { application: name.clone(), recipe })
        }
        // A document that was read has an origin; one that was put together without is told so.
        (None, None) => (None, Unresolved::NoOrigin { application: name.clone() }),
    };
    if found.is_none() {
        reasons.push(reason);
    }
    found
}

/// Settings of a document that placement follows.
struct Settings {
    node: Name,
    subnet: Subnet,
    reserve: Reserve,
    ports: PortRange,
    /// It goes back to an earlier content, and takes back with it what was removed since.
    undoes: bool,
    /// GPUs of the version that comes back: with others it would be another version.
    gpus: gpu_choice::Given,
}

impl Settings {
    fn of(machine: &Machine, allocations: &Allocations) -> Settings {
        Settings {
            node: machine.name.clone().unwrap_or_else(|| allocations.node.clone()),
            subnet: machine.subnet,
            reserve: machine.reserve.clone(),
            ports: machine.ports.clone(),
            undoes: false,
            gpus: gpu_choice::Given::new(),
        }
    }
}

/// Things that are given out, each to one owner.
struct Pool<'a> {
    settings: &'a Settings,
    allocations: &'a Allocations,
    /// Things in use after this resolution.
    used: BTreeSet<Resource>,
    /// Things that were freed within the hour.
    freed: BTreeMap<Resource, Freed>,
    /// The moment.
    now: Timestamp,
}

impl Pool<'_> {
    /// Returns true when a thing can be given to an owner.
    fn is_free(&self, resource: Resource, owner: &Name) -> bool {
        !self.used.contains(&resource) && self.freed.get(&resource).is_none_or(|freed| &freed.owner == owner)
    }

    /// Gives the first free thing; one that this owner had within the hour comes first.
    fn give<T>(&mut self, owner: &Name, all: impl Iterator<Item = T>, resource: impl Fn(&T) -> Resource) -> Option<T> {
        let mut first = None;
        for candidate in all {
            let thing = resource(&candidate);
            if !self.is_free(thing, owner) {
                continue;
            }
            let had = self.freed.contains_key(&thing);
            if first.is_none() || had {
                first = Some(candidate);
            }
            // Without anything to come back to, the first one is the one.
            if had || !self.freed.values().any(|freed| &freed.owner == owner) {
                break;
            }
        }
        let thing = resource(first.as_ref()?);
        self.used.insert(thing);
        self.freed.remove(&thing);
        first
    }

    /// Notes that an owner no longer has a thing.
    fn give_back(&mut self, owner: &Name, resource: Resource) {
        self.used.remove(&resource);
        self.freed.insert(resource, Freed { owner: owner.clone(), at: self.now });
    }

    /// Keeps a thing for the owner that had it, unless somebody else has it now.
    fn keep(&mut self, resource: Resource) -> bool {
        self.freed.remove(&resource);
        self.used.insert(resource)
    }
}

/// The placement half.
fn place(
    portable: Portable,
    settings: &Settings,
    allocations: &Allocations,
    previous: Option<&Generation>,
    lines: &LineChoices,
    cause: Cause,
    mut reasons: Vec<Unresolved>,
) -> Result<Generation, Vec<Unresolved>> {
    let number = previous.map_or(0, |previous| previous.number).max(allocations.highest) + 1;
    let old = previous.map(|previous| &previous.placement);
    let (freed, now) = (still_freed(old, cause.at), cause.at);
    let mut pool = Pool { settings, allocations, used: BTreeSet::new(), freed, now };
    let mut retired = old.map(|old| old.retired.clone()).unwrap_or_default();
    // Whoever gives an application of this name anew begins anew. Data that were to be kept and are not there are missed, and that is refused.
    retired.retain(|id, retired| retired.disposal == Disposal::Keep || !allocations.gone.contains(id));
    secrets_there(&portable, allocations, &mut reasons);

    // Ports that a document names are their applications', whoever had them: none of them is kept for somebody else.
    for (_, _, number, protocol) in portable.applications.values().flat_map(named_ports) {
        pool.keep(Resource::Port(number, protocol));
    }
    // Then what stays where it is, so that no newcomer takes it.
    let mut kept: BTreeMap<&Name, Kept> = BTreeMap::new();
    for (name, resolved) in &portable.applications {
        let had = old.and_then(|old| old.applications.get(name));
        kept.insert(name, Kept::of(resolved, had, &mut pool));
    }
    free(old, cause.at, &mut pool);
    let had = [settings.gpus.clone(), old.map(gpu_choice::given).unwrap_or_default()];
    let mut gpus = gpu_choice::give(&portable, &had, &allocations.gpus, &mut reasons);
    let mut applications = BTreeMap::new();
    let mut unplaced = BTreeMap::new();
    for (name, resolved) in &portable.applications {
        let had = old.and_then(|old| old.applications.get(name));
        let mut kept = kept.remove(name).unwrap_or_default();
        kept.gpus = gpus.remove(name).unwrap_or_default();
        unplaced.insert(name, kept.addresses.clone());
        if let Some(placed) = place_one(name, resolved, kept, had, &mut pool, &mut reasons) {
            applications.insert(name.clone(), placed);
        }
    }
    if !reasons.is_empty() {
        // A lack of addresses is said together with the rest.
        for (name, resolved) in &portable.applications {
            let mut kept = unplaced.remove(name).unwrap_or_default();
            addresses(name, resolved.application.instances, None, &mut kept, &mut pool, &mut reasons);
        }
        return Err(reasons);
    }
    for (name, resolved) in &portable.applications {
        let had = old.and_then(|old| old.applications.get(name));
        if let Some(placed) = applications.get_mut(name) {
            volumes(
                name,
                resolved,
                placed,
                had,
                &Volumes { settings, number, committed: allocations.committed, lines },
                &mut retired,
            );
            let own = revision(resolved, placed);
            let instances = resolved.application.instances;
            addresses(name, instances, Some(own), &mut placed.addresses, &mut pool, &mut reasons);
        }
    }
    if !reasons.is_empty() {
        return Err(reasons);
    }
    retire(old, &applications, allocations, cause.at, &mut retired);
    let freed = pool.freed;
    let placement = Placement {
        node: settings.node.clone(),
        subnet: settings.subnet,
        reserve: settings.reserve.clone(),
        applications,
        retired,
        freed,
    };
    Ok(Generation { number, parent: previous.map_or(0, |previous| previous.number), cause, portable, placement })
}

/// Things freed before that are still nobody else's. A clock that went back frees nothing early.
fn still_freed(old: Option<&Placement>, now: Timestamp) -> BTreeMap<Resource, Freed> {
    let freed = old.map(|old| old.freed.clone()).unwrap_or_default();
    freed.into_iter().filter(|(_, freed)| now.nanos().saturating_sub(freed.at.nanos()) < FREED_NANOS).collect()
}

/// Says which secrets lack: of applications, of sign-ins to registries, of places for backups.
fn secrets_there(portable: &Portable, allocations: &Allocations, reasons: &mut Vec<Unresolved>) {
    let applications = portable.applications.iter().flat_map(|(name, resolved)| {
        let secrets = resolved.application.secrets().into_iter();
        secrets.map(move |secret| (name.to_string(), secret))
    });
    let machine = portable.machine_secrets();
    let used = applications.chain(machine);
    for (user, secret) in used.filter(|(_, secret)| !allocations.secrets.contains_key(*secret)) {
        reasons.push(Unresolved::NoSuchSecret { user, secret: secret.clone() });
    }
}

/// Things that an application keeps.
#[derive(Default)]
struct Kept {
    first_id: Option<u32>,
    addresses: Vec<Ipv4Addr>,
    ports: BTreeMap<Name, HostPort>,
    /// With those that it gets anew.
    gpus: Vec<BTreeSet<PciAddress>>,
}

impl Kept {
    fn of(resolved: &Resolved, had: Option<&Placed>, pool: &mut Pool<'_>) -> Kept {
        let mut kept = Kept::default();
        for (name, address, number, protocol) in named_ports(resolved) {
            kept.ports.insert(name.clone(), HostPort { address, port: number, protocol });
        }
        let Some(had) = had else { return kept };
        if pool.keep(Resource::Ids(had.first_id)) {
            kept.first_id = Some(had.first_id);
        }
        let instances = usize::try_from(resolved.application.instances).unwrap_or(usize::MAX);
        for address in had.addresses.iter().take(instances).filter(|address| pool.settings.subnet.contains(**address)) {
            if pool.keep(Resource::Address(*address)) {
                kept.addresses.push(*address);
            }
        }
        for (name, port) in &resolved.application.ports {
            let wants = port.publish.as_ref().filter(|publish| publish.port.is_none());
            let (Some(publish), Some(before)) = (wants, had.ports.get(name)) else { continue };
            let protocol = port.protocol.transport();
            let same = before.protocol == protocol && in_range(before.port, &pool.settings.ports);
            if same && pool.keep(Resource::Port(before.port, protocol)) {
                kept.ports.insert(name.clone(), HostPort { address: publish.address, ..*before });
            }
        }
        kept
    }
}

/// Ports of the host that an application's document names: name, address, number, protocol.
fn named_ports(resolved: &Resolved) -> impl Iterator<Item = (&Name, HostAddress, u16, Protocol)> {
    resolved.application.ports.iter().filter_map(|(name, port)| {
        let publish = port.publish.as_ref()?;
        Some((name, publish.address, publish.port?, port.protocol.transport()))
    })
}

fn in_range(port: u16, range: &PortRange) -> bool {
    (range.first..=range.last).contains(&port)
}

fn place_one(
    name: &Name,
    resolved: &Resolved,
    kept: Kept,
    had: Option<&Placed>,
    pool: &mut Pool<'_>,
    reasons: &mut Vec<Unresolved>,
) -> Option<Placed> {
    let before = reasons.len();
    let first_id = kept.first_id.or_else(|| {
        let (first, ranges) = (pool.allocations.first_id, pool.allocations.id_ranges);
        let all = (0..ranges).map_while(|index| index.checked_mul(IDS_OF_APPLICATION)?.checked_add(first));
        pool.give(name, all, |first| Resource::Ids(*first))
    });
    if first_id.is_none() {
        reasons.push(Unresolved::NoFreeIds { application: name.clone(), ranges: pool.allocations.id_ranges });
    }
    let (addresses, gpus) = (kept.addresses, kept.gpus);
    let ports = host_ports(name, resolved, kept.ports, pool, reasons);
    let secrets = resolved.application.secrets().into_iter();
    let secrets = secrets.filter_map(|secret| Some((secret.clone(), *pool.allocations.secrets.get(secret)?))).collect();
    let volumes = had.map(|had| had.volumes.clone()).unwrap_or_default();
    let ran = had.and_then(|had| had.ran);
    let placed = Placed { first_id: first_id?, addresses, ports, volumes, secrets, ran, gpus };
    (reasons.len() == before).then_some(placed)
}

/// Gives each instance its address. One that is there under this revision has its address already. Else the one of before stays, unless an instance of
/// another revision than this (`None`: of any) has it: in a switch both are there at the same time, and one that has ended keeps its address until
/// it is collected.
fn addresses(
    name: &Name,
    instances: u32,
    revision: Option<Revision>,
    addresses: &mut Vec<Ipv4Addr>,
    pool: &mut Pool<'_>,
    reasons: &mut Vec<Unresolved>,
) {
    let allocations = pool.allocations;
    let is_own = |(other, id): &(Name, InstanceId)| other == name && revision.as_ref() == Some(&id.revision);
    let is_open = |address: &Ipv4Addr| allocations.busy.get(address).is_none_or(is_own);
    let subnet = pool.settings.subnet;
    for index in 0..usize::try_from(instances).unwrap_or(usize::MAX) {
        let has =
            |(_, has): &(&Ipv4Addr, &(Name, InstanceId))| is_own(has) && usize::try_from(has.1.index) == Ok(index);
        let there = allocations.busy.iter().find(has).map(|(address, _)| *address);
        let before = addresses.get(index).copied();
        let there = there.filter(|there| subnet.contains(*there) && before != Some(*there));
        if let Some(there) = there.filter(|there| pool.keep(Resource::Address(*there))) {
            set_address(name, index, there, addresses, pool);
            continue;
        }
        if before.is_some_and(|before| is_open(&before)) {
            continue;
        }
        // The first address is the network's, the second the gateway's.
        let all = (2..subnet.addresses()).map_while(|index| subnet.host(index)).filter(|address| is_open(address));
        let Some(address) = pool.give(name, all, |address| Resource::Address(*address)) else {
            reasons.push(Unresolved::NoFreeAddress { application: name.clone(), subnet });
            return;
        };
        set_address(name, index, address, addresses, pool);
    }
}

/// Gives an instance an address that is in use by now, and back the one that it had.
fn set_address(name: &Name, index: usize, address: Ipv4Addr, addresses: &mut Vec<Ipv4Addr>, pool: &mut Pool<'_>) {
    match addresses.get_mut(index) {
        Some(place) => {
            let before = std::mem::replace(place, address);
            pool.give_back(name, Resource::Address(before));
        }
        None => addresses.push(address),
    }
}

fn host_ports(
    name: &Name,
    resolved: &Resolved,
    mut ports: BTreeMap<Name, HostPort>,
    pool: &mut Pool<'_>,
    reasons: &mut Vec<Unresolved>,
) -> BTreeMap<Name, HostPort> {
    for (port_name, port) in &resolved.application.ports {
        let Some(publish) = port.publish.as_ref().filter(|_| !ports.contains_key(port_name)) else { continue };
        let PortRange { first, last } = pool.settings.ports;
        let transport = port.protocol.transport();
        let taken: BTreeSet<u16> = pool
            .allocations
            .taken
            .keys()
            .filter(|(_, protocol)| *protocol == transport)
            .map(|(number, _)| *number)
            .collect();
        let all = (first..=last).filter(|number| !taken.contains(number));
        match pool.give(name, all, |number| Resource::Port(*number, transport)) {
            Some(number) => {
                let address: HostAddress = publish.address;
                ports.insert(port_name.clone(), HostPort { address, port: number, protocol: transport });
            }
            None => {
                reasons.push(Unresolved::NoFreePort { application: name.clone(), port: port_name.clone(), first, last })
            }
        }
    }
    ports
}

/// Circumstances of giving volumes.
struct Volumes<'a> {
    settings: &'a Settings,
    number: u64,
    committed: u64,
    lines: &'a LineChoices,
}

/// Gives an application its volumes and their lines. A version that differs gets a line of its own, cloned at the switch, where a single
/// writer has it; one that shares its data with other instances goes on with the line in use.
fn volumes(
    name: &Name,
    resolved: &Resolved,
    placed: &mut Placed,
    had: Option<&Placed>,
    circumstances: &Volumes<'_>,
    retired: &mut BTreeMap<VolumeId, Retired>,
) {
    let application = &resolved.application;
    let runs = application.wish == Wish::Running;
    let now = essence(resolved, placed);
    let single = application.switch_kind() == SwitchKind::Hold;
    let differs = runs && single && placed.ran.is_some_and(|ran| ran != now);
    let mut volumes = BTreeMap::new();
    for (volume_name, volume) in &application.volumes {
        let before = had.and_then(|had| had.volumes.get(volume_name)).cloned().or_else(|| {
            // Data that are to be wiped come back by an undo alone: whoever deploys the application anew begins anew.
            let is_its = |r: &Retired| {
                let comes_back = circumstances.settings.undoes || r.disposal != Disposal::Wipe;
                &r.application == name && &r.name == volume_name && comes_back
            };
            let back = retired.iter().filter(|(_, r)| is_its(r)).max_by_key(|(_, r)| r.since);
            let id = back.map(|(id, _)| id.clone())?;
            retired.remove(&id).map(|retired| retired.volume)
        });
        let mut given = before.unwrap_or_else(|| {
            let id = VolumeId::of(&circumstances.settings.node, name, volume_name, circumstances.number);
            PlacedVolume { id, born: circumstances.number, line: 1, clone: false, last_line: 1 }
        });
        if given.born > circumstances.committed {
            given.born = circumstances.number;
        }
        let chosen = circumstances.lines.get(&(name.clone(), volume_name.clone()));
        match chosen {
            Some(line) => {
                (given.line, given.clone) = (*line, false);
                // A line that restored data became has a number that no generation gave.
                given.last_line = given.last_line.max(*line);
            }
            None if differs && !volume.read_only && had.is_some_and(|had| had.volumes.contains_key(volume_name)) => {
                given.last_line += 1;
                (given.line, given.clone) = (given.last_line, true);
            }
            None => {}
        }
        volumes.insert(volume_name.clone(), given);
    }
    placed.volumes = volumes;
    if runs {
        placed.ran = Some(now);
    }
}

/// Volumes of which the application, or the place in it, is gone.
fn retire(
    old: Option<&Placement>,
    applications: &BTreeMap<Name, Placed>,
    allocations: &Allocations,
    now: Timestamp,
    retired: &mut BTreeMap<VolumeId, Retired>,
) {
    let used: BTreeSet<&VolumeId> =
        applications.values().flat_map(|placed| placed.volumes.values().map(|volume| &volume.id)).collect();
    for (application, placed) in old.iter().flat_map(|old| &old.applications) {
        for (name, volume) in placed.volumes.iter().filter(|(_, volume)| !used.contains(&volume.id)) {
            let (application, name, mut volume) = (application.clone(), name.clone(), volume.clone());
            if volume.born > allocations.committed {
                volume.born = NEVER_COMMITTED;
            }
            retired
                .insert(volume.id.clone(), Retired { application, name, volume, disposal: Disposal::Keep, since: now });
        }
    }
    for retired in retired.values_mut() {
        if let Some(disposal) = allocations.disposals.get(&retired.application) {
            retired.disposal = *disposal;
        }
    }
}

/// Notes what nobody keeps as given back, before anything is given: also what is freed by this resolution waits for its hour.
fn free(old: Option<&Placement>, now: Timestamp, pool: &mut Pool<'_>) {
    for (name, placed) in old.iter().flat_map(|old| &old.applications) {
        let ports = placed.ports.values().map(|port| Resource::Port(port.port, port.protocol));
        let addresses = placed.addresses.iter().map(|address| Resource::Address(*address));
        for resource in ports.chain(addresses).chain([Resource::Ids(placed.first_id)]) {
            if !pool.used.contains(&resource) {
                pool.freed.entry(resource).or_insert_with(|| Freed { owner: name.clone(), at: now });
            }
        }
    }
}
