//! A plan as value and as text.

use std::collections::BTreeMap;
use std::fmt;

use crate::diff::diff;
use crate::document::{Capability, Name, Root};
use crate::generation::Generation;
use crate::gpu::PciAddress;
use crate::inventory::Inventory;
use crate::refusal::Refusal;
use crate::step::Step;

/// Changes of one application that are printed: the rest is counted, and the diff of the generations has them all.
const CHANGES_SHOWN: usize = 8;

/// A step with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedStep {
    /// The step.
    pub step: Step,
    /// The reason, as a half sentence.
    pub reason: &'static str,
}

/// Steps to a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Number of the generation.
    pub generation: u64,
    /// Number of the one that serves.
    pub current: u64,
    /// Changes by application, in words; those of no application are under `None`.
    pub changes: BTreeMap<Option<Name>, Vec<String>>,
    /// Rights beyond the least, by application, in words.
    pub rights: BTreeMap<Name, String>,
    /// The steps, in their order.
    pub steps: Vec<PlannedStep>,
    /// Applications that are left as they are, with the reason.
    pub held: Vec<Refusal>,
}

impl Plan {
    /// Words for everything that the steps destroy.
    pub fn destroys(&self) -> Vec<String> {
        self.steps.iter().filter_map(|planned| planned.step.destroys()).collect()
    }
}

/// Puts a plan together.
pub(super) fn report(
    inventory: &Inventory,
    generation: &Generation,
    previous: Option<&Generation>,
    steps: Vec<PlannedStep>,
    held: Vec<Refusal>,
) -> Plan {
    let current = inventory.current;
    let changed = current < generation.number;
    let changes = if changed { changes(generation, previous) } else { BTreeMap::new() };
    let rights = generation.portable.applications.iter().filter_map(|(name, resolved)| {
        let application = &resolved.application;
        let here = steps
            .iter()
            .any(|planned| matches!(&planned.step, Step::Create { application, .. } if application == name));
        let capabilities: Vec<&str> = application.capabilities.iter().copied().map(Capability::word).collect();
        let mut words = Vec::new();
        if !capabilities.is_empty() {
            words.push(format!("{} in its own namespace", capabilities.join(", ")));
        }
        if let (Root::Writable, Some(disk)) = (application.root, application.limits.disk) {
            words.push(format!("a writable root of {}", disk.human()));
        }
        words.extend(gpus(inventory, generation, name));
        (here && !words.is_empty()).then(|| (name.clone(), words.join("; ")))
    });
    Plan { generation: generation.number, current, changes, rights: rights.collect(), steps, held }
}

/// GPUs of an application in words; none where it has none.
fn gpus(inventory: &Inventory, generation: &Generation, name: &Name) -> Option<String> {
    let placed = generation.placement.applications.get(name)?;
    let one = |gpu: &PciAddress| match inventory.host.gpus.get(gpu) {
        Some(found) => format!("{gpu} ({})", found.model),
        None => gpu.to_string(),
    };
    let all: Vec<String> = placed.gpus.iter().flatten().map(one).collect();
    let noun = if all.len() == 1 { "the GPU" } else { "the GPUs" };
    (!all.is_empty()).then(|| format!("{noun} {} alone", all.join(", ")))
}

/// Differences to the generation before, below the application that they are about.
fn changes(generation: &Generation, previous: Option<&Generation>) -> BTreeMap<Option<Name>, Vec<String>> {
    let mut changes: BTreeMap<Option<Name>, Vec<String>> = BTreeMap::new();
    let Some(previous) = previous else { return changes };
    let names = || generation.portable.applications.keys().chain(previous.portable.applications.keys());
    for name in names() {
        let is_in = |generation: &Generation| generation.portable.applications.contains_key(name);
        let words = match (is_in(previous), is_in(generation)) {
            (false, true) => "is new",
            (true, false) => "is removed",
            _ => continue,
        };
        changes.insert(Some(name.clone()), vec![words.to_string()]);
    }
    for change in diff(previous, generation) {
        let owner = names().find_map(|name| {
            ["portable", "placement"].iter().find_map(|part| {
                let rest = change.path.strip_prefix(&format!("{part}.applications.{name}."))?;
                Some((name.clone(), rest.to_string()))
            })
        });
        match owner {
            Some((name, _)) if changes.get(&Some(name.clone())).is_some_and(|words| words[0].starts_with("is ")) => {}
            Some((name, rest)) => {
                let mut change = change;
                change.path = rest;
                changes.entry(Some(name)).or_default().push(change.to_string());
            }
            None => changes.entry(None).or_default().push(change.to_string()),
        }
    }
    changes
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps = match self.steps.len() {
            0 => "nothing to do".to_string(),
            1 => "1 step".to_string(),
            several => format!("{several} steps"),
        };
        match (self.current, self.current < self.generation) {
            (0, true) => writeln!(f, "generation {}, the first: {steps}", self.generation)?,
            (current, true) => writeln!(f, "generation {} after {current}: {steps}", self.generation)?,
            (_, false) => writeln!(f, "generation {} serves: {steps}", self.generation)?,
        }
        for (name, changes) in &self.changes {
            let name = name.as_ref().map_or("the machine", Name::as_str);
            for change in changes.iter().take(CHANGES_SHOWN) {
                writeln!(f, "{name} {change}")?;
            }
            if changes.len() > CHANGES_SHOWN {
                writeln!(f, "{name} and {} more changes", changes.len() - CHANGES_SHOWN)?;
            }
        }
        for (name, rights) in &self.rights {
            writeln!(f, "{name} has {rights}")?;
        }
        for (index, PlannedStep { step, reason }) in self.steps.iter().enumerate() {
            writeln!(f, "{:>4}. {step} ({reason})", index + 1)?;
            if let Some(lost) = step.destroys() {
                writeln!(f, "      destroys {lost}")?;
            }
        }
        for refusal in &self.held {
            writeln!(f, "held: {refusal}")?;
        }
        Ok(())
    }
}
