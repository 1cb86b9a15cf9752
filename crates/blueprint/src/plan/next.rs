//! The step of a plan that is done next while some applications cannot go on.

use std::collections::BTreeSet;

use super::facts::{Facts, meets};
use super::moving::is_of_move;
use super::report::{Plan, PlannedStep};
use crate::document::Name;
use crate::generation::{Generation, HostPort};
use crate::inventory::{Holder, Inventory};
use crate::refusal::Refusal;
use crate::step::Step;

/// A step with the applications that it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextStep<'a> {
    /// The step.
    pub planned: &'a PlannedStep,
    /// Applications that cannot go on without it: its own, or those that want its image. The commit is everybody's, and has none.
    pub applications: BTreeSet<Name>,
}

impl Plan {
    /// Leaves a move of the network out, and all that comes after it, where one of its applications is held up: as long as one instance of the network
    /// before is there, nothing is made in the new one, so that nothing is ended for it either. Returns true where it was left out.
    pub fn move_with_all(&mut self, held_up: &BTreeSet<Name>) -> bool {
        let is_held_up = |planned: &PlannedStep| planned.step.application().is_some_and(|name| held_up.contains(name));
        let waits = self.steps.iter().any(|planned| is_of_move(planned) && is_held_up(planned));
        if waits {
            let before = self.steps.iter().take_while(|planned| !is_of_move(planned)).count();
            self.steps.truncate(before);
        }
        waits
    }

    /// The first step that needs none of the applications that are held up, nor one that depends on them. The commit waits for all of them, and with it
    /// what comes after it and the end of what the generation does not have, but for a move of the network: until then there is something to return to.
    pub fn next<'a>(
        &'a self,
        inventory: &Inventory,
        generation: &Generation,
        held_up: &BTreeSet<Name>,
    ) -> Option<NextStep<'a>> {
        let passed = with_dependents(generation, held_up);
        let commits = self.steps.iter().any(|planned| matches!(planned.step, Step::Commit { .. }));
        let waits = commits && !passed.is_empty();
        let left: BTreeSet<&Name> = self.held.iter().filter_map(Refusal::application).chain(&passed).collect();
        for planned in &self.steps {
            let applications = users(inventory, generation, &planned.step);
            let goes_on = match &planned.step {
                Step::Commit { .. } if waits => return None,
                Step::Commit { .. } => true,
                Step::Fetch { .. } | Step::Unpack { .. } => applications.iter().any(|name| !passed.contains(name)),
                Step::Publish { application, at, .. } => {
                    !passed.contains(application) && !is_kept_by(inventory, *at, application, &left)
                }
                step => step.application().is_none_or(|name| {
                    let stays = generation.portable.applications.contains_key(name);
                    !passed.contains(name) && (!waits || stays || is_of_move(planned))
                }),
            };
            if goes_on {
                let applications = applications.into_iter().filter(|name| !passed.contains(name)).collect();
                return Some(NextStep { planned, applications });
            }
        }
        None
    }
}

/// Applications with all that depend on them, over however many others.
fn with_dependents(generation: &Generation, held_up: &BTreeSet<Name>) -> BTreeSet<Name> {
    let mut passed = held_up.clone();
    loop {
        let before = passed.len();
        for (name, resolved) in &generation.portable.applications {
            let application = &resolved.application;
            if application.links.iter().chain(&application.after).any(|other| passed.contains(other)) {
                passed.insert(name.clone());
            }
        }
        if passed.len() == before {
            return passed;
        }
    }
}

/// Applications that cannot go on without a step: its own, or those that want its image.
pub fn users(inventory: &Inventory, generation: &Generation, step: &Step) -> BTreeSet<Name> {
    let (Step::Fetch { image, .. } | Step::Unpack { image, .. }) = step else {
        return step.application().cloned().into_iter().collect();
    };
    let names = generation.portable.applications.keys();
    let facts = names.filter_map(|name| Facts::of(inventory, generation, name));
    let wanting = facts.filter(|facts| facts.resolved.image.digest == *image && facts.wants_image());
    wanting.map(|facts| facts.name.clone()).collect()
}

/// Returns true where a port of the host is still that of another application, which is passed over: it is not taken from it.
fn is_kept_by(inventory: &Inventory, at: HostPort, own: &Name, left: &BTreeSet<&Name>) -> bool {
    inventory.ports.iter().any(|(port, holder)| {
        matches!(holder, Holder::Ours { application, .. }
            if meets(*port, at) && application != own && left.contains(application))
    })
}
