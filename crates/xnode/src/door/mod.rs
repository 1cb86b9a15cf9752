//! The door of an Xnode as its agent uses it: marks become a document, the door's word ends a step, and its report is what is observed.
//!
//! A mark is written before the document that it asks for, so that a death leaves a mark that the next look brings to the door. What is *observed* is
//! never the mark but the door: by its report, or while it does not answer by the document which it keeps and will serve when it is started again.
//! So a step is done when the door does what it says, and a lost answer is met by asking again.
//!
//! Published ports of `http` and domains go through the door; `tcp` and `udp` stay with the kernel's table.

mod admission;
mod carrier;
pub mod client;
pub mod document;
mod served;
pub mod visitors;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use openmesh_blueprint::Generation;
use openmesh_blueprint::document::{Application, Name, Protocol};
use openmesh_blueprint::generation::Revision;
use openmesh_blueprint::inventory::{Door as ObservedDoor, InstanceId, Traffic};
use openmesh_door::document::Document;

pub use admission::{AdmissionMark, admitted, note_admission};
pub use carrier::{Carrier, Certificates, Look, NoCertificates, Word, kept};
pub use served::Served;

use crate::applications::Instances;
use crate::error::XnodeError;
use crate::events::Finding;
use crate::marks::{self, DoorMark, PageMark};
use crate::network::Published;
use crate::progress::Progress;
use crate::{Door, Machine};
use document::{Facts, PublishedPort, Revisions, Written, is_carried};

/// Pause before the door is asked again whether it has done what a step waits for.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Everything that the door's document is made of, as it lies in the agent's files.
pub(crate) struct Gathered {
    wanted: Arc<Generation>,
    serving: Option<Arc<Generation>>,
    revisions: Revisions,
    others: Vec<Generation>,
    marks: BTreeMap<Name, DoorMark>,
    pages: BTreeMap<Name, PageMark>,
    unknown: BTreeSet<Name>,
    instances: BTreeMap<Name, BTreeMap<InstanceId, Ipv4Addr>>,
    published: Vec<PublishedPort>,
}

impl Gathered {
    /// Reads it; none before the first generation.
    ///
    /// # Errors
    /// A pointer, a generation or the list of published ports cannot be read.
    pub fn read(machine: &Machine, instances: &Instances) -> Result<Option<Gathered>, XnodeError> {
        let paths = &machine.paths;
        let (target, current) = (marks::pointer(&paths.target())?, marks::pointer(&paths.current())?);
        if target == 0 {
            return Ok(None);
        }
        let generation = |number| machine.memory.generations.generation(paths, number);
        let wanted = generation(target)?;
        let serving = match current {
            0 => None,
            current if current == target => None,
            current => Some(generation(current)?),
        };
        let instances: BTreeMap<Name, BTreeMap<InstanceId, Ipv4Addr>> = instances
            .iter()
            .map(|(name, found)| {
                let made = found.iter().filter_map(|(id, made)| Some((id.clone(), made.as_ref()?.address)));
                (name.clone(), made.collect())
            })
            .collect();
        let revisions = Revisions::of(&wanted, serving.as_deref());
        let others = others(machine, &revisions, &instances)?;
        let mut gathered = Gathered {
            wanted,
            serving,
            revisions,
            others,
            marks: BTreeMap::new(),
            pages: BTreeMap::new(),
            unknown: BTreeSet::new(),
            instances,
            published: crate::network::published(machine)?.iter().filter_map(published).collect(),
        };
        gathered.read_marks(machine);
        Ok(Some(gathered))
    }

    fn read_marks(&mut self, machine: &Machine) {
        let generations = [Some(&*self.wanted), self.serving.as_deref()];
        let named = generations.into_iter().flatten().flat_map(|generation| generation.portable.applications.keys());
        let names: BTreeSet<Name> = named.chain(self.instances.keys()).cloned().collect();
        for name in names {
            // The usual text stands where its own cannot be read.
            if let Ok(Some(page)) = marks::find(&machine.paths.page(&name)) {
                self.pages.insert(name.clone(), page);
            }
            match marks::read(&machine.paths.application(&name).join("door.json")) {
                Ok(mark) => drop(self.marks.insert(name, mark)),
                // Observation names the fault; what is not known is not changed.
                Err(_) => drop(self.unknown.insert(name)),
            }
        }
    }

    fn facts<'a>(
        &'a self,
        served: Option<&'a Document>,
        places: &'a document::Places,
        own: Option<&'a document::Own>,
        visitors: Option<&'a visitors::Visitors>,
    ) -> Facts<'a> {
        Facts {
            wanted: &self.wanted,
            serving: self.serving.as_deref(),
            revisions: &self.revisions,
            others: &self.others,
            marks: &self.marks,
            pages: &self.pages,
            unknown: &self.unknown,
            served,
            instances: &self.instances,
            published: &self.published,
            places,
            own,
            visitors,
        }
    }

    /// Port of an application's version as the kernel leads to it: protocol and number in the instances of a revision; none where nobody knows it.
    pub fn port(&self, name: &Name, revision: &Revision, port: &Name) -> Option<(Protocol, u16)> {
        let places = document::Places::default();
        let version = self.facts(None, &places, None, None).version(name, revision)?;
        version.ports.get(port).map(|about| (about.protocol, about.port))
    }
}

fn published(one: &Published) -> Option<PublishedPort> {
    Some(PublishedPort { at: one.at(), application: one.application.parse().ok()?, port: one.name.parse().ok()? })
}

/// Generations that are kept, and of which some instances are that are in none of the known ones: newest first, and no more than are needed.
fn others(
    machine: &Machine,
    known: &Revisions,
    instances: &BTreeMap<Name, BTreeMap<InstanceId, Ipv4Addr>>,
) -> Result<Vec<Generation>, XnodeError> {
    let all = instances.iter().flat_map(|(name, found)| found.keys().map(move |id| (name, &id.revision)));
    let mut missing: BTreeSet<(&Name, &Revision)> = all.filter(|(name, revision)| !known.has(name, revision)).collect();
    let mut others = Vec::new();
    if missing.is_empty() {
        return Ok(others);
    }
    for number in marks::numbers(&machine.paths)?.into_iter().rev() {
        // One that cannot be read holds up no other.
        let Ok(generation) = marks::generation(&machine.paths, number) else { continue };
        let before = missing.len();
        missing.retain(|(name, revision)| !has(&generation, name, revision));
        if missing.len() < before {
            others.push(generation);
        }
        if missing.is_empty() {
            break;
        }
    }
    Ok(others)
}

fn has(generation: &Generation, name: &Name, revision: &Revision) -> bool {
    generation.revision(name).as_ref() == Some(revision)
}

/// Brings the door to what marks and instances ask for; nothing before the first generation. A door that does not answer, or refuses, is no error here: its
/// word is asked where a step needs it.
///
/// # Errors
/// A mark cannot be removed, or the door of effects is shut.
pub(crate) fn settle(machine: &Machine, gathered: Option<&Gathered>, effect: Door<'_>) -> Result<(), XnodeError> {
    let (Some(carrier), Some(gathered)) = (machine.doors.get(), gathered) else { return Ok(()) };
    let kept = if gathered.unknown.is_empty() { None } else { carrier.kept() };
    let (own, visitors) = (carrier.own(), carrier.visitors());
    let names: BTreeSet<&Name> = gathered.marks.keys().chain(&gathered.unknown).collect();
    let written = gathered
        .facts(kept.as_ref(), carrier.places(), own.as_ref(), visitors.as_ref())
        .document(&|names: &BTreeSet<String>| carrier.offers(names));
    admission::forget_counts(machine, &names, &written.document, effect)?;
    carrier.serve(written, effect)?;
    let found = carrier.troubles().into_iter().map(|(key, cause)| Finding { application: None, key, cause });
    machine.memory.events.lasting("door", found);
    Ok(())
}

/// Lets the door of a machine without a generation lead people to its agent. With one, the loop does that.
///
/// # Errors
/// A pointer cannot be read, or the door of effects is shut.
pub fn serve_own(machine: &Machine, effect: Door<'_>) -> Result<(), XnodeError> {
    let Some(carrier) = machine.doors.get() else { return Ok(()) };
    if marks::pointer(&machine.paths.target())? > 0 {
        return Ok(());
    }
    let offers = |names: &BTreeSet<String>| carrier.offers(names);
    match carrier.own() {
        Some(own) => carrier.serve(document::own_document(&own, carrier.places(), &offers), effect),
        // The agent has no face any more: nobody is led to where it was.
        None if carrier.kept().is_some_and(|kept| !kept.routes.is_empty()) => {
            carrier.serve(Written { document: Document::empty(), remarks: Vec::new() }, effect)
        }
        None => Ok(()),
    }
}

/// Progress of a step of an application that waits for the door: done by its word, or at once where the door has no route of the application.
///
/// # Errors
/// It refuses the document, or has been silent for long.
pub(crate) fn confirmed(machine: &Machine, name: &Name) -> Result<Progress, XnodeError> {
    let Some(carrier) = machine.doors.get().filter(|carrier| carrier.concerns(name)) else {
        return Ok(Progress::Done);
    };
    match carrier.word() {
        Word::None | Word::Serves => Ok(Progress::Done),
        Word::Waits(_) => Ok(Progress::Wait(LOOK_AGAIN)),
        Word::Fails(words) => {
            Err(XnodeError::Instance { application: name.clone(), words: format!("the door: {words}") })
        }
    }
}

/// The door as an observer finds it, beside the applications that it carries.
#[derive(Clone, Debug)]
pub struct Observed<'a> {
    /// Routes; none without a door.
    served: Option<Served>,
    carried: BTreeSet<&'a Name>,
    generations: &'a [&'a Generation],
}

impl<'a> Observed<'a> {
    /// Asks the door, for a second at most.
    pub fn of(machine: &Machine, generations: &'a [&'a Generation]) -> Observed<'a> {
        let all = generations.iter().flat_map(|generation| &generation.portable.applications);
        let carried = all.filter(|(_, resolved)| is_carried(&resolved.application)).map(|(name, _)| name).collect();
        Observed { served: machine.doors.get().map(Carrier::served), carried, generations }
    }

    /// The door's part in an application; none where the kernel alone leads to it.
    fn part(&self, name: &Name) -> Option<&Served> {
        self.served.as_ref().filter(|served| self.carried.contains(name) || served.has(name))
    }

    /// Returns true for a version that the kernel alone leads to, also where the door still carries another one of its application.
    fn is_raw(&self, name: &Name, revision: &Revision) -> bool {
        self.generations.iter().any(|generation| {
            let version = generation.portable.applications.get(name);
            version.is_some_and(|resolved| !is_carried(&resolved.application)) && has(generation, name, revision)
        })
    }

    /// Traffic of an application. What the door does not serve yet is not so, whatever its mark says.
    pub fn door(&self, name: &Name, mark: &DoorMark) -> ObservedDoor {
        let open = match mark {
            DoorMark::Open { revision, .. } => revision.parse::<Revision>().ok(),
            _ => None,
        };
        match (self.part(name), mark) {
            (Some(served), _) if open.as_ref().is_none_or(|revision| !self.is_raw(name, revision)) => served.door(name),
            (_, DoorMark::Open { .. }) => open.map_or(ObservedDoor::Closed, ObservedDoor::Open),
            (_, DoorMark::Closed) => ObservedDoor::Closed,
            (_, DoorMark::Holding) => ObservedDoor::Holding,
            (_, DoorMark::Maintenance) => ObservedDoor::Maintenance,
        }
    }

    /// Traffic of an instance: by the door where it carries its version, else by its mark.
    pub fn traffic(&self, name: &Name, id: &InstanceId, mark: &DoorMark) -> Traffic {
        match self.part(name) {
            Some(served) if !self.is_raw(name, &id.revision) => served.traffic(name, id),
            _ if document::is_admitted(mark, id) => Traffic::Admitted,
            _ => Traffic::None,
        }
    }
}

/// Reason for which a port of an application cannot be published by this agent; none where it can.
pub(crate) fn lacks(machine: &Machine, application: &Application, port: &Name) -> Option<String> {
    let is_http = application.ports.get(port).is_some_and(|about| about.protocol == Protocol::Http);
    (is_http && machine.doors.get().is_none()).then(|| {
        format!(
            "its port {port} is one of HTTP, which the door carries, and this agent has no door: `openmesh-door` belongs beside its program"
        )
    })
}

/// Result of a wait for an instance's connections.
pub(crate) fn drained(machine: &Machine, name: &Name, id: &InstanceId) -> Progress {
    let Some(carrier) = machine.doors.get() else { return Progress::Done };
    match carrier.served().traffic(name, id) {
        Traffic::None => Progress::Done,
        Traffic::Admitted | Traffic::Draining => Progress::Wait(LOOK_AGAIN),
    }
}
