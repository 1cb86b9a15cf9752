//! Transactions between simulated validators: announced, asked for and delivered by the rules of [`crate::relay`], as between nodes.
//! Whoever is to blame keeps its place here: losing it is the business of the host.

use std::collections::BTreeSet;
use std::time::Duration;

use openmesh_ledger::RawTransaction;
use openmesh_primitives::Digest;

use super::environment::{Due, Environment, Output, moment};
use super::wire::{ANNOUNCEMENT, BODIES, WANT};
use crate::admission::WorkClass;
use crate::mempool::{Submission, gossip, verdict};
use crate::relay::{RelayEffect, wire};

impl Environment {
    /// Names the transactions that clients of this validator brought, and does what the rules want done now.
    pub(super) fn spread(&mut self) {
        let now = moment(self.now).moment.0;
        while let Ok(transaction) = self.spread.try_recv() {
            self.relay.fresh([transaction.hash()], now);
        }
        let overdue = self.relay.overdue(now);
        self.arrived(overdue);
        for effect in self.relay.step(now) {
            match effect {
                RelayEffect::Announce(hashes) => {
                    self.announcements += 1;
                    let name = self.config.number.to_be_bytes();
                    let announcement = wire::announcement(&name, self.announcements, &hashes);
                    self.outputs.push(Output::Broadcast([&[ANNOUNCEMENT][..], &announcement[..]].concat()));
                }
                RelayEffect::Ask { peer, number, hashes } => {
                    let want = wire::want(&hashes);
                    let bytes = [&[WANT][..], &number.to_be_bytes()[..], &want[..]].concat();
                    self.outputs.push(Output::Send { to: peer, bytes });
                    self.asked.insert(peer, (number, hashes.into_iter().collect()));
                }
                RelayEffect::Blame { .. } => {}
            }
        }
        self.wake_relay(now);
    }

    fn wake_relay(&mut self, now: Duration) {
        let wake_at = self.relay.wake_at();
        if wake_at != self.relay_wake_at {
            self.relay_wake_at = wake_at;
            self.timers.retain(|_, due| !matches!(due, Due::Relay));
            if let Some(at) = wake_at {
                self.timer(Due::Relay, at.saturating_sub(now));
            }
        }
    }

    /// Tells the rules which of these came from elsewhere or in a block meanwhile.
    fn arrived(&mut self, hashes: Vec<Digest>) {
        let unknown: BTreeSet<Digest> = self.mempool.unknown(hashes.clone()).into_iter().collect();
        self.relay.here(hashes.into_iter().filter(|hash| !unknown.contains(hash)));
    }

    pub(super) fn receive_announcement(&mut self, from: usize, bytes: &[u8]) {
        let Some((name, hashes)) = wire::announced(bytes) else { return };
        if name == from.to_be_bytes() {
            self.relay.announced(&from, self.mempool.unknown(hashes), moment(self.now).moment.0);
        }
    }

    pub(super) fn receive_want(&mut self, from: usize, bytes: &[u8]) {
        let Some((number, want)) = bytes.split_first_chunk::<8>() else { return };
        let Some(hashes) = wire::wanted(want) else { return };
        let envelope = gossip::encode(self.mempool.verified(&hashes).into_iter().flatten()).unwrap_or_default();
        let bytes = [&[BODIES][..], &number[..], &envelope[..]].concat();
        self.outputs.push(Output::Send { to: from, bytes });
    }

    /// Takes in what a validator delivers of what it was asked for last: what comes twice, or for a question before, is dropped.
    pub(super) fn receive_bodies(&mut self, from: usize, bytes: &[u8]) {
        let Some((number, envelope)) = bytes.split_first_chunk::<8>() else { return };
        let number = u64::from_be_bytes(*number);
        if self.asked.get(&from).is_none_or(|(last, _)| *last != number) {
            return;
        }
        let Some((_, asked)) = self.asked.remove(&from) else { return };
        let batch = gossip::decode(envelope).unwrap_or_default();
        let batch: Vec<RawTransaction> = batch.into_iter().map(RawTransaction::new).collect();
        let order: Vec<Digest> = batch.iter().map(RawTransaction::hash).collect();
        if !order.iter().all(|hash| asked.contains(hash)) {
            return;
        }
        let batch = batch.into_iter().map(|raw| Submission::Hashed(Box::new(raw))).collect();
        let outcomes = self.mempool.admit_blocking(batch, WorkClass::Gossip);
        let is_bad = outcomes.iter().any(verdict::is_stateless);
        let looked_at = order.into_iter().zip(&outcomes).map(|(hash, _)| hash);
        let got: BTreeSet<Digest> = looked_at.filter(|_| !is_bad).collect();
        self.relay.fresh(outcomes.into_iter().flatten(), moment(self.now).moment.0);
        self.arrived(asked.difference(&got).copied().collect());
        self.relay.answered(&from, number, &got);
    }
}
