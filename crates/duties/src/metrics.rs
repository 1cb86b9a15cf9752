//! Metrics of a validator's duties.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::incident::NodeIncidentKind;

/// Labels of incidents.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct IncidentLabels {
    kind: &'static str,
}

/// Counters of all duties; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Windows that wait to be attested.
    pub windows_waiting: Gauge,
    /// Commitments and attestations that the mempool took.
    pub attestations: Counter,
    /// Windows of which this validator could only abstain, because its collector was done after the commitments.
    pub late: Counter,
    incidents: Family<IncidentLabels, Counter>,
}

impl Metrics {
    /// Counters that are shown under `duties_` in a registry.
    pub fn register(registry: &mut Registry) -> Metrics {
        let metrics = Metrics::default();
        let registry = registry.sub_registry_with_prefix("duties");
        registry.register("windows_waiting", "Windows that wait to be attested", metrics.windows_waiting.clone());
        registry.register(
            "attestations",
            "Commitments and attestations taken by the mempool",
            metrics.attestations.clone(),
        );
        registry.register("late", "Windows abstained from because their commitments were over", metrics.late.clone());
        registry.register("incidents", "Incidents of duties, by kind", metrics.incidents.clone());
        metrics
    }

    /// Counts an incident.
    pub fn incident(&self, kind: NodeIncidentKind) {
        self.incidents.get_or_create(&IncidentLabels { kind: kind.name() }).inc();
    }
}
