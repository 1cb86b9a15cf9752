//! Counters of the host, in the registry that the caller hands in.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) peers: Gauge,
    pub(crate) envelopes_published: Counter,
    pub(crate) envelopes_received: Counter,
    pub(crate) envelopes_invalid: Counter,
    pub(crate) envelopes_worthless: Counter,
    pub(crate) envelopes_dropped: Counter,
    pub(crate) blocks_served: Counter,
    pub(crate) questions_answered: Counter,
    pub(crate) wants_answered: Counter,
    pub(crate) blocks_missing: Counter,
    pub(crate) blocks_fetched: Counter,
    pub(crate) blocks_refused: Counter,
    pub(crate) block_bytes_served: Counter,
    pub(crate) block_bytes_fetched: Counter,
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Metrics {
        let metrics = Metrics::default();
        let m = &metrics;
        let registry = registry.sub_registry_with_prefix("network");
        registry.register("peers", "Connected peers", m.peers.clone());
        registry.register("envelopes_published", "Envelopes given to gossip by us", m.envelopes_published.clone());
        registry.register("envelopes_received", "New envelopes from peers", m.envelopes_received.clone());
        registry.register("envelopes_invalid", "Envelopes that the reader rejected", m.envelopes_invalid.clone());
        registry.register(
            "envelopes_worthless",
            "Envelopes with nothing that an honest peer forwards",
            m.envelopes_worthless.clone(),
        );
        registry.register("envelopes_dropped", "Envelopes lost to a full queue", m.envelopes_dropped.clone());
        registry.register("blocks_served", "Blocks sent to peers", m.blocks_served.clone());
        registry.register(
            "questions_answered",
            "Questions of peers about the state and the way to it, answered or refused",
            m.questions_answered.clone(),
        );
        registry.register(
            "wants_answered",
            "Requests of peers for what we announced, answered or refused",
            m.wants_answered.clone(),
        );
        registry.register("blocks_missing", "Requests for blocks that we do not hold", m.blocks_missing.clone());
        registry.register("blocks_fetched", "Blocks fetched and verified", m.blocks_fetched.clone());
        registry.register("blocks_refused", "Fetched blocks with a wrong hash", m.blocks_refused.clone());
        registry.register("block_bytes_served", "Bytes of blocks sent to peers", m.block_bytes_served.clone());
        registry.register("block_bytes_fetched", "Bytes of verified fetched blocks", m.block_bytes_fetched.clone());
        metrics
    }
}
