//! The way back after a new version has failed.
//!
//! A generation returns as it came, as a whole: the next one has the content of the one that serves. What cannot return without losing a write that a
//! client was told of stays as it is, and where it failed itself it is held behind its maintenance page until a person chooses.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::document::{Application, Name, Protocol, Size, Wish};
use crate::generation::{Generation, Portable, Resolved};
use crate::inventory::{Door, Inventory, ObservedVolume, Verdict};
use crate::probation::{Admitted, Return, Stage, decide};
use crate::resolve::LineChoices;

/// Consequence of a failed generation for one application that it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The version before comes back with the data before. An application that is new goes.
    Back,
    /// The version before comes back on the present data, which it can read.
    BackOnPresentData,
    /// It did not fail, and clients have written what the version before cannot read: the new version goes on.
    Stays,
    /// It failed, and clients have written what the version before cannot read: its maintenance page stands, both lines of data are kept, and a person
    /// chooses.
    Held,
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fate::Back => "the version before comes back with its data; nothing that a client was told is in the new one",
            Fate::BackOnPresentData => "the version before comes back on the present data, which it can read",
            Fate::Stays => "the new version goes on: it is healthy, and clients have written to it",
            Fate::Held => "held behind the maintenance page: clients have written, both lines of data are kept, and a person chooses",
        })
    }
}

/// A failure of an application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Its moment.
    pub stage: Stage,
    /// Its cause.
    pub cause: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.stage {
            Stage::Gate => "before it had traffic",
            Stage::Probation => "with traffic",
        };
        write!(f, "failed {stage}: {}", self.cause)
    }
}

/// The way back from a failed generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Returning {
    /// Applications that failed.
    pub failed: BTreeMap<Name, Failure>,
    /// Every application that the generation changes, with what becomes of it.
    pub fates: BTreeMap<Name, Fate>,
    /// Lines of data that come back.
    pub lines: LineChoices,
    /// Sizes of volumes that were enlarged meanwhile: they do not shrink, whatever comes back.
    pub sizes: BTreeMap<(Name, Name), Size>,
}

/// The way back where an application of the wanted generation has failed; none where none has, or nothing serves. `admitted` tells what was let in to an
/// application's new version.
pub fn returning(
    inventory: &Inventory,
    wanted: &Generation,
    serving: &Generation,
    admitted: &dyn Fn(&Name) -> Admitted,
) -> Option<Returning> {
    if wanted.number <= inventory.current || serving.number >= wanted.number {
        return None;
    }
    let all: BTreeSet<&Name> =
        wanted.portable.applications.keys().chain(serving.portable.applications.keys()).collect();
    let changed: Vec<&Name> = all.into_iter().filter(|name| wanted.revision(name) != serving.revision(name)).collect();
    let failure = |name: &&Name| Some(((*name).clone(), failure(inventory, wanted, name)?));
    let failed: BTreeMap<Name, Failure> = changed.iter().filter_map(failure).collect();
    if failed.is_empty() {
        return None;
    }
    let fate = |name: &Name| fate(inventory, wanted, serving, name, failed.contains_key(name), admitted);
    let mut fates: BTreeMap<Name, Fate> = changed.into_iter().map(|name| (name.clone(), fate(name))).collect();
    keep_links(wanted, serving, &failed, &mut fates);
    let back = fates.iter().filter(|(_, fate)| **fate == Fate::Back).map(|(name, _)| name);
    let lines = back.flat_map(|name| lines(wanted, serving, name)).collect();
    let sizes = serving.portable.applications.keys().flat_map(|name| grown(inventory, serving, name)).collect();
    Some(Returning { failed, fates, lines, sizes })
}

/// Failure of an application's new version, as marks tell it.
fn failure(inventory: &Inventory, wanted: &Generation, name: &Name) -> Option<Failure> {
    let (found, revision) = (inventory.applications.get(name)?, wanted.revision(name)?);
    let stage = if was_let_in(inventory, wanted, name) { Stage::Probation } else { Stage::Gate };
    if let Some((_, cause)) = found.failed_job.as_ref().filter(|(of, _)| *of == revision) {
        return Some(Failure { stage, cause: cause.clone() });
    }
    let gates =
        found.instances.iter().filter(|(id, _)| id.revision == revision).filter_map(|(_, one)| one.gate.as_ref());
    let probation = found.probation.as_ref().filter(|(of, _)| *of == revision).map(|(_, verdict)| verdict);
    gates.chain(probation).find_map(|verdict| match verdict {
        Verdict::Failed(cause) => Some(Failure { stage, cause: cause.clone() }),
        Verdict::Passed => None,
    })
}

/// Returns true where traffic may have come to the new version: its door is open, or a line that was made for it is marked so. The mark is written before
/// the door opens, so without both nobody came.
fn was_let_in(inventory: &Inventory, wanted: &Generation, name: &Name) -> bool {
    let door = inventory.applications.get(name).map(|found| &found.door);
    let is_open =
        matches!((door, wanted.revision(name)), (Some(Door::Open(open)), Some(revision)) if *open == revision);
    let placed = wanted.placement.applications.get(name);
    let mut lines = placed.into_iter().flat_map(|placed| placed.volumes.values()).filter(|volume| volume.clone);
    is_open
        || lines.any(|volume| {
            let found = inventory.volumes.get(&volume.id).and_then(|found| found.lines.get(&volume.line));
            found.is_some_and(|line| line.admitted)
        })
}

fn fate(
    inventory: &Inventory,
    wanted: &Generation,
    serving: &Generation,
    name: &Name,
    has_failed: bool,
    admitted: &dyn Fn(&Name) -> Admitted,
) -> Fate {
    let (new, old) = (wanted.portable.applications.get(name), serving.portable.applications.get(name));
    // One that is new goes, with its data kept; one that was to go stays.
    let (Some(new), Some(_)) = (new, old) else { return Fate::Back };
    let was_let_in = was_let_in(inventory, wanted, name);
    let was_between = was_let_in_between(inventory, wanted, serving, name);
    let stage = if was_let_in || was_between { Stage::Probation } else { Stage::Gate };
    let mut let_in = if was_let_in { admitted(name) } else { Admitted::default() };
    if was_between || (was_let_in && passes_the_door_by(wanted, name)) {
        let_in.connections = let_in.connections.max(1);
    }
    let stateless = new.application.volumes.values().all(|volume| volume.read_only);
    // Nobody says of the version in between what the one that serves reads of it.
    let compatible = new.application.switch.compatible && !was_between;
    match decide(stage, let_in, compatible, stateless) {
        Return::CodeAndData => Fate::Back,
        Return::CodeOnPresentData => Fate::BackOnPresentData,
        Return::Held if has_failed => Fate::Held,
        Return::Held => Fate::Stays,
    }
}

/// Returns true where clients may have written to a line of data that neither generation has: that of a version which had traffic and was replaced before
/// its generation was committed. What they were told is in the line in use, or in what the new one was cloned from.
fn was_let_in_between(inventory: &Inventory, wanted: &Generation, serving: &Generation, name: &Name) -> bool {
    let (new, old) = (wanted.placement.applications.get(name), serving.placement.applications.get(name));
    let (Some(new), Some(old)) = (new, old) else { return false };
    old.volumes.iter().any(|(volume, before)| {
        let Some(found) = inventory.volumes.get(&before.id) else { return false };
        let placed = new.volumes.get(volume).filter(|placed| placed.id == before.id);
        let line = placed.map_or(before.line, |placed| placed.line);
        let is_between = |number: u32| {
            let is_admitted = found.lines.get(&number).is_some_and(|found| found.admitted);
            is_admitted && number != before.line && number != line
        };
        is_between(found.in_use) || ancestors(found, line).take_while(|number| *number != before.line).any(is_between)
    })
}

/// Lines of which a line is a clone, nearest first. Each has a lower number than its clones.
fn ancestors(found: &ObservedVolume, line: u32) -> impl Iterator<Item = u32> {
    std::iter::successors(Some(line), move |at| found.lines.get(at)?.parent.filter(|parent| parent < at)).skip(1)
}

/// Returns true where traffic comes to an application that its door does not count: by ports that are published without it, and from applications that are
/// linked to it.
pub fn passes_the_door_by(generation: &Generation, name: &Name) -> bool {
    let applications = &generation.portable.applications;
    let own = applications.get(name).map(|resolved| &resolved.application);
    let mut ports = own.into_iter().flat_map(|application| application.ports.values());
    ports.any(|port| port.publish.is_some() && port.protocol != Protocol::Http)
        || applications.values().any(|resolved| resolved.application.links.contains(name))
}

/// Lets what a staying application is linked to be there: a new one stays with it, and a failed new one is held.
fn keep_links(
    wanted: &Generation,
    serving: &Generation,
    failed: &BTreeMap<Name, Failure>,
    fates: &mut BTreeMap<Name, Fate>,
) {
    loop {
        let staying = fates.iter().filter(|(_, fate)| matches!(fate, Fate::Stays | Fate::Held)).map(|(name, _)| name);
        let linked = staying
            .filter_map(|name| wanted.portable.applications.get(name))
            .flat_map(|resolved| resolved.application.links.iter().chain(&resolved.application.after));
        let goes =
            |name: &&Name| fates.get(*name) == Some(&Fate::Back) && !serving.portable.applications.contains_key(*name);
        let missing: Vec<Name> = linked.filter(goes).cloned().collect();
        if missing.is_empty() {
            return;
        }
        for name in missing {
            let fate = if failed.contains_key(&name) { Fate::Held } else { Fate::Stays };
            fates.insert(name, fate);
        }
    }
}

/// Lines of an application that are other ones in the failed generation.
fn lines(wanted: &Generation, serving: &Generation, name: &Name) -> LineChoices {
    let (new, old) = (wanted.placement.applications.get(name), serving.placement.applications.get(name));
    let (Some(new), Some(old)) = (new, old) else { return LineChoices::new() };
    let changed = old.volumes.iter().filter(|(volume, placed)| {
        new.volumes.get(*volume).is_some_and(|other| other.id == placed.id && other.line != placed.line)
    });
    changed.map(|(volume, placed)| ((name.clone(), volume.clone()), placed.line)).collect()
}

/// Sizes of an application's volumes that are larger than a generation says.
fn grown(inventory: &Inventory, generation: &Generation, name: &Name) -> Vec<((Name, Name), Size)> {
    let resolved = generation.portable.applications.get(name);
    let placed = generation.placement.applications.get(name);
    let (Some(resolved), Some(placed)) = (resolved, placed) else { return Vec::new() };
    let larger = placed.volumes.iter().filter_map(|(volume, placed)| {
        let (found, said) = (inventory.volumes.get(&placed.id)?.size, resolved.application.volumes.get(volume)?.size);
        (found > said).then(|| ((name.clone(), volume.clone()), found))
    });
    larger.collect()
}

impl Returning {
    /// Fate of each application, in words.
    pub fn consequences(&self, wanted: &Generation, serving: &Generation) -> String {
        let there = |generation: &Generation, name: &Name| generation.portable.applications.contains_key(name);
        let words = |(name, fate): (&Name, &Fate)| match (fate, there(wanted, name), there(serving, name)) {
            (Fate::Back, true, false) => format!("{name}: it is new and goes again; its data are kept"),
            (Fate::Back, false, true) => format!("{name}: it stays, with its data"),
            _ => format!("{name}: {fate}"),
        };
        self.fates.iter().map(words).collect::<Vec<_>>().join("; ")
    }

    /// Content of the generation that comes back.
    pub fn portable(&self, wanted: &Generation, serving: &Generation) -> Portable {
        let held = |resolved: &Resolved| Resolved {
            application: Application { wish: Wish::Paused, ..resolved.application.clone() },
            ..resolved.clone()
        };
        let mut applications = self.choose(&wanted.portable.applications, &serving.portable.applications, held);
        for ((name, volume), size) in &self.sizes {
            if let Some(resolved) = applications.get_mut(name) {
                enlarge(&mut resolved.application, volume, *size);
            }
        }
        Portable { applications, ..serving.portable.clone() }
    }

    /// Applications of the document that comes back, from those of the documents of both generations. The volumes of one with a template are as its answers
    /// say, also where they were enlarged.
    pub fn document(
        &self,
        wanted: &BTreeMap<Name, Application>,
        serving: &BTreeMap<Name, Application>,
    ) -> BTreeMap<Name, Application> {
        let held = |application: &Application| Application { wish: Wish::Paused, ..application.clone() };
        let mut applications = self.choose(wanted, serving, held);
        for ((name, volume), size) in &self.sizes {
            if let Some(application) = applications.get_mut(name) {
                enlarge(application, volume, *size);
            }
        }
        applications
    }

    fn choose<T: Clone>(
        &self,
        wanted: &BTreeMap<Name, T>,
        serving: &BTreeMap<Name, T>,
        held: impl Fn(&T) -> T,
    ) -> BTreeMap<Name, T> {
        let mut chosen = serving.clone();
        for (name, fate) in &self.fates {
            let Some(new) = wanted.get(name) else { continue };
            match fate {
                Fate::Stays => drop(chosen.insert(name.clone(), new.clone())),
                Fate::Held => drop(chosen.insert(name.clone(), held(new))),
                Fate::Back | Fate::BackOnPresentData => {}
            }
        }
        chosen
    }

    /// Causes for people, one for each application that failed.
    pub fn causes(&self) -> String {
        self.failed.iter().map(|(name, failure)| format!("{name} {failure}")).collect::<Vec<_>>().join("; ")
    }
}

/// Lets a volume of an application be at least as large.
fn enlarge(application: &mut Application, volume: &Name, size: Size) {
    if let Some(volume) = application.volumes.get_mut(volume) {
        volume.size = volume.size.max(size);
    }
}
