//! The way from what a machine has to what a generation says, as steps or as every refusal.
//!
//! The planner writes for each application the whole script that a machine with nothing would need, and leaves out every step that is done in
//! the inventory. So there is no journal to replay: after any death the machine is observed again, and the same script with other steps left out
//! goes on from there. What keeps that true is that no step of a script undoes what makes an earlier one done.
//!
//! Order: everything is fetched before anything is stopped; what has an address of a subnet before is ended; ports that change hands are retracted; applications follow in the order of their links;
//! what was removed is stopped; new versions are watched; the generation is committed; only then is anything collected.

mod application;
mod facts;
mod moving;
mod next;
mod order;
mod refusals;
mod report;

use std::collections::BTreeSet;

pub use next::{NextStep, users};
pub use report::{Plan, PlannedStep};

use crate::document::{Name, Wish};
use crate::generation::Generation;
use crate::inventory::{InstanceId, Inventory};
use crate::refusal::Refusal;

/// Instances of an application that a generation wants.
pub fn wanted(generation: &Generation, name: &Name) -> BTreeSet<InstanceId> {
    let (Some(resolved), Some(revision)) = (generation.portable.applications.get(name), generation.revision(name))
    else {
        return BTreeSet::new();
    };
    let application = &resolved.application;
    let count = if application.wish == Wish::Running { application.instances } else { 0 };
    (0..count).map(|index| InstanceId { revision: revision.clone(), index }).collect()
}

/// The plan for a generation, or every reason for which there is none. `previous` is the generation that served before: what returns after a
/// failure, and what changes are told against.
///
/// A condition of an application that the generation does not change, as a frozen instance, stands in the way of that application alone: the plan
/// names it as held. The same goes for every refusal about one application when the generation serves already, since a repair must not wait for
/// another application's disk.
pub fn plan(
    inventory: &Inventory,
    generation: &Generation,
    previous: Option<&Generation>,
) -> Result<Plan, Vec<Refusal>> {
    let found = refusals::find(inventory, generation, previous);
    if !found.refused.is_empty() {
        return Err(found.refused);
    }
    let steps = order::steps(inventory, generation, previous, &found.held);
    Ok(report::report(inventory, generation, previous, steps, found.held))
}
