//! Counters and gauges of the sources, in the registry that the caller hands in.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use openmesh_market::Exchange;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Labels of a source.
#[derive(Clone, Debug, Hash, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
pub struct SourceLabels {
    /// Source id.
    pub source: String,
    /// Venue's name.
    pub exchange: String,
    /// Feed, incident or reason that is counted; empty where there is none.
    pub kind: String,
}

/// A gauge of seconds.
type Seconds = Gauge<f64, AtomicU64>;

/// Counters and gauges of all sources; clones share them.
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
    /// Connections that are open.
    pub connections_open: Family<SourceLabels, Gauge>,
    /// Books in step with the venue.
    pub books_in_step: Family<SourceLabels, Gauge>,
    /// Capture time of the last frame, seconds since 1970.
    pub last_frame_seconds: Family<SourceLabels, Seconds>,
    /// Capture time less venue's time of the last timed event, in seconds.
    pub lag_seconds: Family<SourceLabels, Seconds>,
    /// End of the wait that the venue has imposed, seconds since 1970; 0 where there is none.
    pub banned_until_seconds: Family<SourceLabels, Seconds>,
    /// 1 while something cannot be archived.
    pub archive_trouble: Family<SourceLabels, Gauge>,
    /// Chunks vouched for, by feed.
    pub windows_covered: Family<SourceLabels, Counter>,
    /// Streams' windows not covered, by reason.
    pub windows_not_covered: Family<SourceLabels, Counter>,
    /// Chunks withdrawn, by reason.
    pub windows_withdrawn: Family<SourceLabels, Counter>,
    /// Windows, withdrawals and incidents given up because nobody took them.
    pub outputs_dropped: Family<SourceLabels, Counter>,
    /// Raw bytes archived, before compression.
    pub archived_bytes: Family<SourceLabels, Counter>,
    /// Lines of raw frames that could not be archived.
    pub lines_lost: Family<SourceLabels, Counter>,
}

impl Metrics {
    /// Registers counters and gauges under `collector_`.
    pub fn register(registry: &mut Registry) -> Metrics {
        let metrics = Metrics::default();
        let m = &metrics;
        let registry = registry.sub_registry_with_prefix("collector");
        registry.register("frames", "Frames received from venues", m.frames.clone());
        registry.register("events", "Events decoded, by feed", m.events.clone());
        registry.register("incidents", "Incidents, by kind", m.incidents.clone());
        registry.register("reconnects", "Connections opened again", m.reconnects.clone());
        registry.register("connections_open", "Connections that are open", m.connections_open.clone());
        registry.register("books_in_step", "Books in step with the venue", m.books_in_step.clone());
        registry.register("last_frame_seconds", "Capture time of the last frame", m.last_frame_seconds.clone());
        registry.register("lag_seconds", "Capture time less venue's time of the last event", m.lag_seconds.clone());
        registry.register(
            "banned_until_seconds",
            "End of the venue's ban, 0 where none",
            m.banned_until_seconds.clone(),
        );
        registry.register("archive_trouble", "1 while something cannot be archived", m.archive_trouble.clone());
        registry.register("windows_covered", "Chunks vouched for, by feed", m.windows_covered.clone());
        registry.register(
            "windows_not_covered",
            "Streams' windows not covered, by reason",
            m.windows_not_covered.clone(),
        );
        registry.register("windows_withdrawn", "Chunks withdrawn, by reason", m.windows_withdrawn.clone());
        registry.register("outputs_dropped", "Outputs given up because nobody took them", m.outputs_dropped.clone());
        registry.register("archived_bytes", "Raw bytes archived", m.archived_bytes.clone());
        registry.register("lines_lost", "Lines of raw frames not archived", m.lines_lost.clone());
        metrics
    }
}

/// The metrics of one source; clones share them.
#[derive(Clone, Debug)]
pub(crate) struct SourceMetrics {
    pub(crate) all: Metrics,
    source: Arc<str>,
    exchange: Exchange,
    /// Kinds that were asked for, so that none is left when the source is retired.
    kinds: Arc<Mutex<BTreeSet<String>>>,
}

impl SourceMetrics {
    pub(crate) fn new(all: Metrics, source: Arc<str>, exchange: Exchange) -> SourceMetrics {
        SourceMetrics { all, source, exchange, kinds: Arc::default() }
    }

    /// Returns the labels of a kind; the empty one is the source itself.
    pub(crate) fn labels(&self, kind: &str) -> SourceLabels {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        if !kinds.contains(kind) {
            kinds.insert(kind.to_owned());
        }
        SourceLabels {
            source: self.source.to_string(),
            exchange: self.exchange.name().to_owned(),
            kind: kind.to_owned(),
        }
    }

    /// Removes everything about the source: a register that changes each epoch must not grow the metrics.
    pub(crate) fn retire(&self) {
        let kinds = std::mem::take(&mut *self.kinds.lock().unwrap_or_else(PoisonError::into_inner));
        for labels in kinds.iter().map(|kind| self.labels(kind)) {
            let m = &self.all;
            let counters = [&m.frames, &m.events, &m.incidents, &m.reconnects, &m.windows_covered, &m.archived_bytes];
            let more = [&m.windows_not_covered, &m.windows_withdrawn, &m.outputs_dropped, &m.lines_lost];
            for family in counters.into_iter().chain(more) {
                family.remove(&labels);
            }
            for family in [&m.connections_open, &m.books_in_step, &m.archive_trouble] {
                family.remove(&labels);
            }
            for family in [&m.last_frame_seconds, &m.lag_seconds, &m.banned_until_seconds] {
                family.remove(&labels);
            }
        }
    }
}
