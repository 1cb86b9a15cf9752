//! GPUs from which the resolver of the next generation chooses.

use std::collections::BTreeMap;

use openmesh_blueprint::document::Name;
use openmesh_blueprint::gpu::Stock;

use super::{claims, found};
use crate::agent::Agent;
use crate::applications;
use crate::error::XnodeError;

impl Agent {
    /// GPUs of the machine, those that its instances have, and those that instances of other agents have.
    ///
    /// # Errors
    /// The notes of instances, or the list that agents share cannot be read.
    pub fn gpus(&self) -> Result<Stock, XnodeError> {
        let machine = self.machine();
        let (mut busy, mut others) = (BTreeMap::new(), BTreeMap::new());
        for (name, found) in applications::read(&machine.paths)?.instances {
            for made in found.into_values().flatten() {
                busy.extend(made.gpus.iter().filter_map(|gpu| Some((gpu.parse().ok()?, name.clone()))));
            }
        }
        let claims = claims::all(&machine.gpu_root);
        for (gpu, claim) in claims.map_err(XnodeError::file("reading", claims::list(&machine.gpu_root)))? {
            match claim.application.parse::<Name>() {
                // An instance whose note is not written yet, or cannot be read.
                Ok(name) if claim.agent == machine.agent.as_str() => {
                    busy.entry(gpu).or_insert(name);
                }
                _ => {
                    others.insert(gpu, claim.to_string());
                }
            }
        }
        Ok(Stock { there: found(machine), busy, others })
    }
}
