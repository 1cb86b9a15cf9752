//! Figures of a node's health, in the registry that the caller hands in.

use openmesh_alerts::{Entry, Severity};
use openmesh_api::NodeAlertKind;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::rules::Key;
use super::signing::Signed;

/// Labels of open alerts.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct AlertLabels {
    kind: &'static str,
    severity: &'static str,
}

/// Kinds of alerts, so that each has a figure also where none is open.
const KINDS: [NodeAlertKind; 7] = [
    NodeAlertKind::MissedBlocks,
    NodeAlertKind::NotValidating,
    NodeAlertKind::Standstill,
    NodeAlertKind::Behind,
    NodeAlertKind::Peers,
    NodeAlertKind::Disk,
    NodeAlertKind::Clock,
];
/// Severities of a node's alerts.
const SEVERITIES: [(Severity, &str); 2] = [(Severity::Warning, "warning"), (Severity::Critical, "critical")];

/// Figures of a node's health.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    open: Family<AlertLabels, Gauge>,
    clock_offset_ms: Gauge,
    recent: Gauge,
    missed: Gauge,
}

impl Metrics {
    /// Figures at zero, registered.
    pub fn register(registry: &mut Registry) -> Metrics {
        let metrics = Metrics::default();
        let m = &metrics;
        registry.register("alerts_open", "Open alerts of this node", m.open.clone());
        registry.register(
            "clock_offset_ms",
            "Time by which the middle of the peers' clocks is ahead of this machine's, in milliseconds",
            m.clock_offset_ms.clone(),
        );
        registry.register(
            "validator_recent_blocks",
            "Blocks of the last hundred that this validator had to sign",
            m.recent.clone(),
        );
        registry.register("validator_missed_blocks", "Blocks of these without its signature", m.missed.clone());
        metrics.alerts(&[]);
        metrics
    }

    /// Shows the open alerts.
    pub fn alerts(&self, open: &[Entry<Key>]) {
        for kind in KINDS {
            for (severity, word) in SEVERITIES {
                let count = open.iter().filter(|entry| entry.key.kind == kind && entry.severity == severity).count();
                let labels = AlertLabels { kind: kind.as_str(), severity: word };
                self.open.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
            }
        }
    }

    /// Shows the difference of the clock.
    pub fn clock(&self, offset_ms: i64) {
        self.clock_offset_ms.set(offset_ms);
    }

    /// Shows the signatures.
    pub fn signed(&self, signed: &Signed) {
        self.recent.set(i64::try_from(signed.recent).unwrap_or(i64::MAX));
        self.missed.set(i64::try_from(signed.missed).unwrap_or(i64::MAX));
    }
}
