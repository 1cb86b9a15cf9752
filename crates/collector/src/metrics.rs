//! What is counted.

use openmesh_market::Exchange;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Labels of a source.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct SourceLabels {
    /// Venue's name.
    pub exchange: String,
    /// Kind of what is counted (feed, incident, reason); empty where there is none.
    pub kind: String,
}

/// Counters of all sources; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Frames received.
    pub frames: Family<SourceLabels, Counter>,
    /// Events, by feed.
    pub events: Family<SourceLabels, Counter>,
    /// Incidents, by kind.
    pub incidents: Family<SourceLabels, Counter>,
    /// Connections opened again.
    pub reconnects: Family<SourceLabels, Counter>,
    /// Capture time less venue's time of the last timed event, in milliseconds.
    pub lag_ms: Family<SourceLabels, Gauge>,
    /// Chunks vouched for, by feed.
    pub windows_covered: Family<SourceLabels, Counter>,
    /// Streams' windows not covered, by reason.
    pub windows_not_covered: Family<SourceLabels, Counter>,
    /// Chunks withdrawn, by reason.
    pub windows_withdrawn: Family<SourceLabels, Counter>,
    /// Raw bytes archived, before compression.
    pub archived_bytes: Family<SourceLabels, Counter>,
}

impl Metrics {
    /// Counters that are shown under `collector_` in a registry.
    pub fn register(registry: &mut Registry) -> Metrics {
        let metrics = Metrics::default();
        let registry = registry.sub_registry_with_prefix("collector");
        registry.register("frames", "Frames received from venues", metrics.frames.clone());
        registry.register("events", "Events decoded, by feed", metrics.events.clone());
        registry.register("incidents", "Incidents, by kind", metrics.incidents.clone());
        registry.register("reconnects", "Connections opened again", metrics.reconnects.clone());
        registry.register("lag_ms", "Capture time less venue's time of the last event", metrics.lag_ms.clone());
        registry.register("windows_covered", "Chunks vouched for, by feed", metrics.windows_covered.clone());
        registry.register(
            "windows_not_covered",
            "Streams' windows not covered, by reason",
            metrics.windows_not_covered.clone(),
        );
        registry.register("windows_withdrawn", "Chunks withdrawn, by reason", metrics.windows_withdrawn.clone());
        registry.register("archived_bytes", "Raw bytes archived", metrics.archived_bytes.clone());
        metrics
    }

    pub(crate) fn labels(exchange: Exchange, kind: &str) -> SourceLabels {
        SourceLabels { exchange: exchange.name().to_owned(), kind: kind.to_owned() }
    }
}
