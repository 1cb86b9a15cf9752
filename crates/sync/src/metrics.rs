//! Counters of joining and of serving those who join.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Counters, in the registry that the caller hands in.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    pub(crate) chunks_served: Counter,
    pub(crate) chunks_fetched: Counter,
    pub(crate) lies: Counter,
    pub(crate) chunks_missing: Gauge,
}

impl Metrics {
    /// Counters at zero, registered.
    pub fn register(registry: &mut Registry) -> Metrics {
        let metrics = Metrics::default();
        metrics.enter(registry);
        metrics
    }

    /// Registers these in another registry as well: of a node that joins only a part of its registry is there.
    pub fn enter(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("sync");
        registry.register("chunks_served", "Chunks of the state sent to nodes that join", self.chunks_served.clone());
        registry.register("chunks_fetched", "Chunks of a snapshot fetched and proved", self.chunks_fetched.clone());
        registry.register("lies", "Answers of peers that were proved wrong while joining", self.lies.clone());
        registry.register("chunks_missing", "Chunks that a join still waits for", self.chunks_missing.clone());
    }
}
