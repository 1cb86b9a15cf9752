//! Gauges and counters of a store, in the registry that the caller hands in.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Gauges and counters; clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) bytes: Gauge,
    pub(crate) blocks: Gauge,
    pub(crate) recent_bytes: Gauge,
    pub(crate) limit_bytes: Gauge,
    pub(crate) refused: Counter,
    pub(crate) collected_blocks: Counter,
    pub(crate) collected_bytes: Counter,
    pub(crate) collect_failures: Counter,
    pub(crate) pinned_removed: Counter,
    pub(crate) damaged: Counter,
}

impl Metrics {
    pub(crate) fn register(&self, registry: &mut Registry, prefix: &str) {
        let registry = registry.sub_registry_with_prefix(prefix);
        registry.register("bytes", "Bytes of all blocks held", self.bytes.clone());
        registry.register("blocks", "Blocks held", self.blocks.clone());
        registry.register("recent_bytes", "Bytes of the windows within retention", self.recent_bytes.clone());
        registry.register("limit_bytes", "Bytes that may be held", self.limit_bytes.clone());
        registry.register("refused", "Blocks refused for want of room", self.refused.clone());
        registry.register("collected_blocks", "Unpinned blocks removed", self.collected_blocks.clone());
        registry.register("collected_bytes", "Bytes of the blocks removed", self.collected_bytes.clone());
        registry.register("collect_failures", "Removals that the disk refused", self.collect_failures.clone());
        registry.register(
            "pinned_removed",
            "Blocks removed although pinned, because newer windows had no other room",
            self.pinned_removed.clone(),
        );
        registry.register("damaged", "Blocks found damaged", self.damaged.clone());
    }
}
