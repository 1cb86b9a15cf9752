//! GPUs of the machine as its answer lists them.

use openmesh_blueprint::gpu::{Gpu, PciAddress, Stock};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A GPU of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeGpu {
    /// Its address on the PCI bus, as `0000:01:00.0`.
    pub address: String,
    /// `nvidia`, `amd` or `intel`.
    pub vendor: String,
    /// Its name for people.
    pub model: String,
    /// Application whose instance has it, also one of another agent of the machine; none where it is free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_by: Option<String>,
}

/// All of them, by address.
pub(super) fn views_of(stock: &Stock) -> Vec<NodeGpu> {
    let view = |(address, gpu): (&PciAddress, &Gpu)| NodeGpu {
        address: address.to_string(),
        vendor: gpu.vendor.to_string(),
        model: gpu.model.clone(),
        held_by: stock.busy.get(address).map(ToString::to_string).or_else(|| stock.others.get(address).cloned()),
    };
    stock.there.iter().map(view).collect()
}

#[cfg(test)]
mod tests {
    use openmesh_blueprint::document::GpuVendor;

    use super::*;

    #[test]
    fn each_gpu_is_told_with_whoever_has_it() {
        let gpu = |model: &str| Gpu { vendor: GpuVendor::Amd, model: model.into() };
        let stock = Stock {
            there: ["0000:03:00.0", "0000:04:00.0", "0000:05:00.0"].map(|at| (at.parse().unwrap(), gpu("One"))).into(),
            busy: [("0000:04:00.0".parse().unwrap(), "chat".parse().unwrap())].into(),
            others: [("0000:05:00.0".parse().unwrap(), "chat of the agent `second`".into())].into(),
        };
        let json = serde_json::to_value(views_of(&stock)).unwrap();
        let expected = serde_json::json!([
            { "address": "0000:03:00.0", "vendor": "amd", "model": "One" },
            { "address": "0000:04:00.0", "vendor": "amd", "model": "One", "held_by": "chat" },
            { "address": "0000:05:00.0", "vendor": "amd", "model": "One", "held_by": "chat of the agent `second`" },
        ]);
        assert_eq!(json, expected);
    }
}
