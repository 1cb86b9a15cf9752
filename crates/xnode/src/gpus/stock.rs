//! GPUs from which the resolver of the next generation chooses.

use std::collections::BTreeMap;

use openmesh_blueprint::gpu::Stock;

use super::found;
use crate::agent::Agent;
use crate::applications;
use crate::error::XnodeError;

impl Agent {
    /// GPUs of the machine, and those that its instances have.
    ///
    /// # Errors
    /// The notes of instances cannot be read.
    pub fn gpus(&self) -> Result<Stock, XnodeError> {
        let mut busy = BTreeMap::new();
        for (name, found) in applications::read(&self.machine().paths)?.instances {
            for made in found.into_values().flatten() {
                busy.extend(made.gpus.iter().filter_map(|gpu| Some((gpu.parse().ok()?, name.clone()))));
            }
        }
        Ok(Stock { there: found(self.machine()), busy })
    }
}
