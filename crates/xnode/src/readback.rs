//! Instances read back from the kernel: once a minute, and a difference counts that two looks have shown.

mod checks;

use std::collections::BTreeMap;
use std::time::Instant;

use openmesh_blueprint::document::Name;
use openmesh_blueprint::inventory::InstanceId;
use openmesh_cage::readback::{ReadbackError, check};
use openmesh_shim::protocol::{State, Status};

pub(crate) use checks::Checks;

use crate::Machine;
use crate::paths::instance_name;

/// Reads the running instances back for which it is time. Returns those that cannot be looked at, with the cause.
pub(crate) fn look(machine: &Machine, statuses: &BTreeMap<(Name, InstanceId), Status>) -> Vec<(Name, String)> {
    let mut failed = Vec::new();
    let checks = &machine.memory.checks;
    for ((name, id), status) in statuses {
        let running = status.first.as_ref().filter(|_| status.state == State::Running && status.paused.is_none());
        let Some(first) = running else { continue };
        let (instance, now) = (instance_name(name, id), Instant::now());
        if !checks.is_due(&instance, first, now) {
            continue;
        }
        let bundle = machine.parts(&instance, &machine.paths.instance(name, id)).join("bundle");
        let config = match openmesh_cage::bundle::read(&bundle) {
            Ok(config) => config,
            Err(error) => {
                failed.push((name.clone(), format!("instance {id} cannot be held against its bundle: {error}")));
                continue;
            }
        };
        match check(&config, first.pid, &machine.group(&instance)) {
            Ok(found) => checks.note(instance, first.clone(), found, now),
            // It ends, or starts anew: the next look finds it so.
            Err(ReadbackError::Ended { .. }) => {}
            Err(error) => failed.push((name.clone(), format!("instance {id} cannot be read back: {error}"))),
        }
    }
    checks.keep(&statuses.keys().map(|(name, id)| instance_name(name, id)).collect());
    failed
}
