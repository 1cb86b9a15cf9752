//! Metrics of the engine, in the registry that the caller hands in.

use malachite_app::metrics::Metrics as ConsensusMetrics;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::mempool::pool::Load;

#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    pub(crate) height: Gauge,
    pub(crate) round: Gauge,
    pub(crate) blocks: Counter,
    pub(crate) blocks_synced: Counter,
    pub(crate) transactions_committed: Counter,
    pub(crate) transactions_failed: Counter,
    pub(crate) transactions_admitted: Counter,
    pub(crate) transactions_refused: Counter,
    pub(crate) transactions_expired: Counter,
    pub(crate) signatures_verified: Counter,
    pub(crate) gossip_dropped: Counter,
    pub(crate) proposals_built: Counter,
    pub(crate) proposals_refused: Counter,
    pub(crate) evidence: Counter,
    pub(crate) execute_seconds: Histogram,
    pub(crate) commit_seconds: Histogram,
    mempool_transactions: Gauge,
    mempool_bytes: Gauge,
    mempool_ahead: Gauge,
    mempool_attestations: Gauge,
    mempool_attestation_bytes: Gauge,
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Metrics {
        // 0.5 ms to 8 s.
        let seconds = || Histogram::new(exponential_buckets(0.0005, 2.0, 15));
        let m = Metrics {
            height: Gauge::default(),
            round: Gauge::default(),
            blocks: Counter::default(),
            blocks_synced: Counter::default(),
            transactions_committed: Counter::default(),
            transactions_failed: Counter::default(),
            transactions_admitted: Counter::default(),
            transactions_refused: Counter::default(),
            transactions_expired: Counter::default(),
            signatures_verified: Counter::default(),
            gossip_dropped: Counter::default(),
            proposals_built: Counter::default(),
            proposals_refused: Counter::default(),
            evidence: Counter::default(),
            execute_seconds: seconds(),
            commit_seconds: seconds(),
            mempool_transactions: Gauge::default(),
            mempool_bytes: Gauge::default(),
            mempool_ahead: Gauge::default(),
            mempool_attestations: Gauge::default(),
            mempool_attestation_bytes: Gauge::default(),
        };
        let r = registry.sub_registry_with_prefix("engine");
        r.register("height", "Height of the last committed block", m.height.clone());
        r.register("round", "Round of the height that is being decided", m.round.clone());
        r.register("blocks", "Committed blocks", m.blocks.clone());
        r.register("blocks_synced", "Blocks that came decided from a peer", m.blocks_synced.clone());
        r.register("transactions_committed", "Transactions that took effect", m.transactions_committed.clone());
        r.register("transactions_failed", "Transactions in blocks without effect", m.transactions_failed.clone());
        r.register("transactions_admitted", "Transactions taken into the mempool", m.transactions_admitted.clone());
        r.register("transactions_refused", "Transactions not taken", m.transactions_refused.clone());
        r.register("transactions_expired", "Transactions that waited too long", m.transactions_expired.clone());
        r.register("signatures_verified", "Transactions whose signature was verified", m.signatures_verified.clone());
        r.register("gossip_dropped", "Transactions not spread because of a full queue", m.gossip_dropped.clone());
        r.register("proposals_built", "Blocks proposed by this node", m.proposals_built.clone());
        r.register("proposals_refused", "Proposed blocks that got no vote", m.proposals_refused.clone());
        r.register("evidence", "Pairs of conflicting votes or proposals seen", m.evidence.clone());
        r.register("execute_seconds", "Time to execute a block", m.execute_seconds.clone());
        r.register("commit_seconds", "Time to store a block durably", m.commit_seconds.clone());
        r.register("mempool_transactions", "Waiting transactions of accounts", m.mempool_transactions.clone());
        r.register("mempool_bytes", "Their bytes", m.mempool_bytes.clone());
        r.register("mempool_ahead", "Of them, those whose nonce is not their turn", m.mempool_ahead.clone());
        r.register("mempool_attestations", "Waiting attestations", m.mempool_attestations.clone());
        r.register("mempool_attestation_bytes", "Their bytes", m.mempool_attestation_bytes.clone());
        m
    }

    pub(crate) fn mempool(&self, load: &Load) {
        self.mempool_transactions.set(load.transactions as i64);
        self.mempool_bytes.set(load.bytes as i64);
        self.mempool_ahead.set(load.ahead as i64);
        self.mempool_attestations.set(load.attestations as i64);
        self.mempool_attestation_bytes.set(load.attestation_bytes as i64);
    }
}

/// Registers those of Malachite's own figures that an operator asks for. Malachite registers everything in a registry of its own,
/// which cannot be merged into ours; the figures are shared, so these are the same.
pub(crate) fn share_consensus(registry: &mut Registry, m: &ConsensusMetrics) {
    let r = registry.sub_registry_with_prefix("consensus");
    r.register("decide_seconds", "From proposal to decision in the first round", m.consensus_time.clone());
    r.register("rounds", "Round in which heights were decided", m.consensus_round.clone());
    r.register("rebroadcasts", "Votes sent again for lack of progress", m.rebroadcast_timeouts.clone());
    r.register("peers", "Connected peers of consensus", m.connected_peers.clone());
    r.register("verify_seconds", "Time to verify a consensus signature", m.signature_verification_time.clone());
    r.register("equivocating_votes", "Conflicting votes", m.equivocation_votes.clone());
    r.register("equivocating_proposals", "Conflicting proposals", m.equivocation_proposals.clone());
    r.register("safety_failure", "1 if the write-ahead log failed", m.node_safety_failure.clone());
}
