//! Costs of applications by the prices of the wanted document.

use openmesh_blueprint::{Document, Generation};
use openmesh_xnode::marks;

use super::Service;
use crate::costs::{self, Costs, DeploymentCost};
use crate::error::AgentError;

impl Service {
    /// Costs of the wanted generation's applications.
    ///
    /// # Errors
    /// The generation or its document cannot be read.
    pub(crate) fn costs(&self) -> Result<Costs, AgentError> {
        let wanted = self.wanted()?;
        if wanted == 0 {
            return Ok(costs::of(None, None));
        }
        let generation = marks::generation(&self.agent.machine().paths, wanted)?;
        let prices = self.document(wanted)?.machine.prices;
        Ok(costs::of(Some(&generation), prices.as_ref()))
    }

    /// Costs that a generation comes to, with the line of its plan; none where its document has no prices.
    pub(super) fn cost_of(
        &self,
        generation: &Generation,
        previous: Option<&Generation>,
        document: &Document,
    ) -> Option<(DeploymentCost, String)> {
        let prices = document.machine.prices.as_ref()?;
        let before = previous.and_then(|previous| {
            // One whose document is not here has no cost that anybody knows.
            let old = self.document(previous.number).ok()?.machine.prices?;
            Some((previous, old))
        });
        let before = before.as_ref().map(|(previous, old)| (*previous, old));
        Some(costs::change(before, (generation, prices)))
    }
}
