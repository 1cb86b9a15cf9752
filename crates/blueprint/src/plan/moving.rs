//! The move of a whole network to another subnet.
//!
//! All links of an agent have one gateway, so no instance of the new network can be there as long as one of the old is. Whatever has an address of the
//! old one is ended and removed first, all of it, behind a maintenance page; then the scripts of the applications go on as if it had never been there.

use std::collections::BTreeSet;

use super::application::{Script, end, times};
use super::facts::roots_written;
use super::report::PlannedStep;
use crate::document::Name;
use crate::generation::Generation;
use crate::inventory::Inventory;
use crate::simulate;
use crate::step::{Rubbish, Step};

/// Reason of all these steps.
const REASON: &str = "the network moves to another subnet";

/// Returns true for a step that ends something of the network before.
pub(super) fn is_of_move(planned: &PlannedStep) -> bool {
    planned.reason == REASON
}

/// Steps that end what is of the network before, and the machine after them; none where nothing is.
pub(super) fn moving(
    inventory: &Inventory,
    generation: &Generation,
    previous: Option<&Generation>,
    held: &BTreeSet<&Name>,
) -> Option<(Vec<PlannedStep>, Inventory)> {
    let subnet = generation.placement.subnet;
    let mut script = Script::new(inventory);
    for (name, found) in inventory.applications.iter().filter(|(name, _)| !held.contains(*name)) {
        let times = times(name, [Some(generation), previous]);
        for (id, instance) in found.instances.iter().filter(|(_, instance)| instance.is_outside(subnet)) {
            let page = generation.portable.applications.contains_key(name);
            script.add(Step::Shut { application: name.clone(), page }, REASON);
            end(name, (id, instance), times, REASON, &mut script);
            let (application, instance) = (name.clone(), id.clone());
            let writable = roots_written(name, generation, previous);
            script.add(Step::Collect(Rubbish::Instance { application, instance, writable }), REASON);
        }
    }
    let steps = script.into_steps();
    if steps.is_empty() {
        return None;
    }
    let mut after = inventory.clone();
    steps.iter().for_each(|planned| simulate::apply(&planned.step, &mut after));
    Some((steps, after))
}
