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
    /// Registers them.
    pub fn register(registry: &mut Registry) -> Metrics {
        let metrics = Metrics::default();
        let registry = registry.sub_registry_with_prefix("sync");
        registry.register(
            "chunks_served",
            "Chunks of the state sent to nodes that join",
            metrics.chunks_served.clone(),
        );
        registry.register("chunks_fetched", "Chunks of a snapshot fetched and proved", metrics.chunks_fetched.clone());
        registry.register("lies", "Answers of peers that were proved wrong while joining", metrics.lies.clone());
        registry.register("chunks_missing", "Chunks that a join still waits for", metrics.chunks_missing.clone());
        metrics
    }
}
