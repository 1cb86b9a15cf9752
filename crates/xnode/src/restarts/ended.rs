//! Ends of restarts, as a look finds them.

use std::collections::{BTreeMap, BTreeSet};

use openmesh_blueprint::Generation;
use openmesh_blueprint::document::Name;
use openmesh_blueprint::inventory::{InstanceId, ObservedInstance, Traffic, Verdict};
use openmesh_blueprint::plan::wanted;

use crate::Machine;
use crate::guard::lock;
use crate::marks::{self, RESTART, RestartEnd, RestartMark};
use crate::observe::Seen;

/// Looks for restarts that are over. A mark that cannot be read is a fault of its application, which observation names.
pub(crate) fn look(machine: &Machine, seen: &Seen, generations: &[&Generation]) {
    let mut over = BTreeMap::new();
    for name in seen.inventory.applications.keys() {
        let path = machine.paths.application(name).join(RESTART);
        let mark: Option<RestartMark> = marks::find(&path).unwrap_or_default();
        let Some(mark) = mark.filter(|mark| !mark.is_told) else { continue };
        if let Some(instances) = ended(&mark, name, seen, generations) {
            over.insert(name.clone(), RestartEnd { mark, instances });
        }
    }
    *lock(&machine.memory.restarts) = over;
}

/// Instances of a restart that is over; none where one of them is still to be started, or has no traffic yet. Those that no generation wants any more are
/// not waited for.
fn ended(mark: &RestartMark, name: &Name, seen: &Seen, generations: &[&Generation]) -> Option<BTreeSet<InstanceId>> {
    let wanted: BTreeSet<InstanceId> = generations.iter().flat_map(|generation| wanted(generation, name)).collect();
    let found = seen.inventory.applications.get(name)?;
    let meant =
        found.instances.iter().filter(|(id, _)| wanted.contains(*id) && mark.after.contains_key(&id.to_string()));
    let serves = |one: &ObservedInstance| {
        one.is_as_started() && one.gate == Some(Verdict::Passed) && one.traffic == Traffic::Admitted
    };
    let mut instances = BTreeSet::new();
    for (id, one) in meant {
        if !serves(one) {
            return None;
        }
        instances.insert(id.clone());
    }
    Some(instances)
}
