//! Spreading of transactions between nodes: hashes first, bodies for whoever asks. Pure: the moments are handed in.
//!
//! A node announces what it has got newly, from clients and from peers alike, to all its peers; so an announcement goes one hop and
//! its announcer has the bodies. Whoever does not know a hash asks one of those who announced it, all that it wants of that peer at
//! once and no second time before the answer; where none comes in time, or not with everything, the next one is asked. A peer that
//! has answered counts before one that has not, whatever it announces.
//!
//! Announcing costs little, so it is bounded for each peer, and what a peer announced and does not deliver is held against it: an
//! honest one may have lost a transaction since, so a poor answer costs a point and silence eight, and the network takes the
//! place of a peer that has too many. The bytes of announcements and wants are in [`wire`].
//!
//! Invariants (held against seeds in the tests): whoever is joined with an honest node that has a transaction gets it, whatever
//! hostile peers announce; without faults a body travels to each node once; nobody is asked for two things at a time.

pub mod wire;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use openmesh_primitives::Digest;

/// Hashes in an announcement: 32 KiB.
pub const ANNOUNCED_MAX: usize = 1_024;
/// Hashes that a peer is asked for at once: transfers of some hundred kilobytes, as much as an envelope takes.
pub const ASKED_MAX: usize = 1_024;
/// Hashes that a peer has announced and that are not here yet; further ones are passed over. A burst of several full blocks fits.
const OPEN_PER_PEER_MAX: usize = 4_096;
/// Times that a transaction may be left out of a peer's answers before those who announced it too are asked: an envelope is full
/// with two of the longest attestations.
const LEFT_OUT_MAX: u32 = 4;
/// Time from the first new transaction to its announcement, so that others come with it: every message costs both sides.
const ANNOUNCE_DELAY: Duration = Duration::from_millis(10);
/// Time after which the next peer is asked: far more than a round trip around the world and a full envelope take.
const ANSWER_TIME: Duration = Duration::from_secs(1);

/// Something to be done outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RelayEffect<P> {
    /// Tells all peers of these.
    Announce(Vec<Digest>),
    /// Asks a peer for these; what comes of it is told with the number by [`Relay::answered`].
    Ask {
        /// Whom.
        peer: P,
        /// Number of the question.
        number: u64,
        /// What.
        hashes: Vec<Digest>,
    },
    /// Holds against a peer that it did not deliver what it had announced.
    Blame {
        /// Whom.
        peer: P,
        /// It has not answered in time; else its answer lacked something.
        silent: bool,
    },
}

/// What a peer has been asked.
#[derive(Debug)]
struct Asked {
    number: u64,
    until: Duration,
    hashes: Vec<Digest>,
}

/// A peer that has announced something.
#[derive(Debug, Default)]
struct Peer {
    /// Announced by it, in that order; some may be here by now.
    open: VecDeque<Digest>,
    asked: Option<Asked>,
    /// Times that it delivered nothing since it delivered something.
    failures: u32,
}

/// A transaction that was announced and is not here. Somebody is being asked for it, or can be.
#[derive(Debug)]
struct Wanted<P> {
    /// Announcers that can be asked.
    from: Vec<P>,
    /// The one that is being asked.
    asked: Option<P>,
    /// Times that it was left out of an answer with others.
    left_out: u32,
}

/// The state of a node.
#[derive(Debug)]
pub struct Relay<P> {
    peers: BTreeMap<P, Peer>,
    wanted: BTreeMap<Digest, Wanted<P>>,
    /// Not announced yet, and the moment at which it is.
    fresh: Vec<Digest>,
    due: Option<Duration>,
    blames: Vec<RelayEffect<P>>,
    number: u64,
}

impl<P> Default for Relay<P> {
    fn default() -> Relay<P> {
        Relay {
            peers: BTreeMap::new(),
            wanted: BTreeMap::new(),
            fresh: Vec::new(),
            due: None,
            blames: Vec::new(),
            number: 0,
        }
    }
}

impl<P: Clone + Ord> Relay<P> {
    /// Takes in that these transactions are here now, whoever brought them: they are announced.
    pub fn fresh(&mut self, hashes: impl IntoIterator<Item = Digest>, now: Duration) {
        for hash in hashes {
            self.wanted.remove(&hash);
            self.fresh.push(hash);
            self.due.get_or_insert(now + ANNOUNCE_DELAY);
        }
    }

    /// Takes in what a peer has announced, as far as it is not known here.
    pub fn announced(&mut self, from: &P, hashes: impl IntoIterator<Item = Digest>) {
        let Relay { peers, wanted, .. } = self;
        let peer = peers.entry(from.clone()).or_default();
        for hash in hashes {
            if peer.open.len() >= OPEN_PER_PEER_MAX {
                peer.open.retain(|open| wanted.contains_key(open));
            }
            if peer.open.len() >= OPEN_PER_PEER_MAX {
                return;
            }
            let entry = wanted.entry(hash).or_insert(Wanted { from: Vec::new(), asked: None, left_out: 0 });
            if entry.asked.as_ref() != Some(from) && !entry.from.contains(from) {
                entry.from.push(from.clone());
                peer.open.push_back(hash);
            }
        }
    }

    /// Takes in the answer of a peer, which may be late: those of the hashes asked for that it delivered.
    pub fn answered(&mut self, from: &P, number: u64, got: &BTreeSet<Digest>) {
        for hash in got {
            self.wanted.remove(hash);
        }
        let Some(peer) = self.peers.get_mut(from) else { return };
        let Some(asked) = peer.asked.take_if(|asked| asked.number == number) else { return };
        if got.is_empty() {
            return self.missed(from, &asked.hashes, false);
        }
        peer.failures = 0;
        let last = asked.hashes.iter().rposition(|hash| got.contains(hash)).unwrap_or(0);
        let mut again = Vec::new();
        for (at, hash) in asked.hashes.into_iter().enumerate() {
            let Some(wanted) = self.wanted.get_mut(&hash).filter(|w| w.asked.as_ref() == Some(from)) else { continue };
            wanted.asked = None;
            wanted.left_out += 1;
            // An envelope holds the first ones that are there: what should stand before its last one is not.
            if at > last && (wanted.left_out < LEFT_OUT_MAX || wanted.from.is_empty()) {
                wanted.from.push(from.clone());
                again.push(hash);
            } else if wanted.from.is_empty() {
                self.wanted.remove(&hash);
            }
        }
        again.into_iter().rev().for_each(|hash| peer.open.push_front(hash));
    }

    /// Forgets peers that are connected no more: what was asked of them is asked of others.
    pub fn keep_peers(&mut self, connected: &BTreeSet<P>) {
        self.peers.retain(|peer, _| connected.contains(peer));
        self.wanted.retain(|_, wanted| {
            wanted.from.retain(|peer| connected.contains(peer));
            if wanted.asked.as_ref().is_some_and(|peer| !connected.contains(peer)) {
                wanted.asked = None;
            }
            wanted.asked.is_some() || !wanted.from.is_empty()
        });
    }

    /// What is to be done now.
    pub fn step(&mut self, now: Duration) -> Vec<RelayEffect<P>> {
        self.time_out(now);
        let mut effects = std::mem::take(&mut self.blames);
        if self.due.is_some_and(|due| due <= now) {
            self.due = None;
            let fresh = std::mem::take(&mut self.fresh);
            effects.extend(fresh.chunks(ANNOUNCED_MAX).map(|part| RelayEffect::Announce(part.to_vec())));
        }
        self.ask(now, &mut effects);
        effects
    }

    /// The moment of the next step, if nothing else happens before.
    pub fn wake_at(&self) -> Option<Duration> {
        let answers = self.peers.values().filter_map(|peer| peer.asked.as_ref().map(|asked| asked.until));
        answers.chain(self.due).min()
    }

    /// Number of transactions that were announced and are not here.
    pub fn wanted(&self) -> usize {
        self.wanted.len()
    }

    fn time_out(&mut self, now: Duration) {
        let late = |peer: &mut Peer| peer.asked.take_if(|asked| asked.until <= now);
        let late: Vec<(P, Asked)> =
            self.peers.iter_mut().filter_map(|(name, peer)| Some((name.clone(), late(peer)?))).collect();
        for (name, asked) in late {
            self.missed(&name, &asked.hashes, true);
        }
    }

    /// A peer has delivered nothing. It is to blame if anything of it is still not here: what others brought meanwhile, or a block,
    /// it may have forgotten as well.
    fn missed(&mut self, from: &P, hashes: &[Digest], silent: bool) {
        let mut lacking = false;
        for hash in hashes {
            let Some(wanted) = self.wanted.get_mut(hash).filter(|w| w.asked.as_ref() == Some(from)) else { continue };
            lacking = true;
            wanted.asked = None;
            if wanted.from.is_empty() {
                self.wanted.remove(hash);
            }
        }
        if lacking {
            self.blames.push(RelayEffect::Blame { peer: from.clone(), silent });
            if let Some(peer) = self.peers.get_mut(from) {
                peer.failures = peer.failures.saturating_add(1);
            }
        }
    }

    /// Asks every peer that has something and is being asked for nothing, those first that answered before.
    fn ask(&mut self, now: Duration, effects: &mut Vec<RelayEffect<P>>) {
        let idle = self.peers.iter().filter(|(_, peer)| peer.asked.is_none() && !peer.open.is_empty());
        let mut idle: Vec<(u32, P)> = idle.map(|(name, peer)| (peer.failures, name.clone())).collect();
        idle.sort();
        for (_, name) in idle {
            let hashes = self.choose(&name);
            let Some(peer) = self.peers.get_mut(&name).filter(|_| !hashes.is_empty()) else { continue };
            self.number += 1;
            peer.asked = Some(Asked { number: self.number, until: now + ANSWER_TIME, hashes: hashes.clone() });
            effects.push(RelayEffect::Ask { peer: name, number: self.number, hashes });
        }
    }

    /// What a peer is asked for: what it announced and nobody is asked for, unless somebody announced it too who is better at
    /// answering.
    fn choose(&mut self, name: &P) -> Vec<Digest> {
        let Relay { peers, wanted, .. } = self;
        let Some(peer) = peers.get_mut(name) else { return Vec::new() };
        let failures = peer.failures;
        let mut open = std::mem::take(&mut peer.open);
        let is_better = |other: &P| other != name && peers.get(other).is_some_and(|peer| peer.failures < failures);
        let (mut chosen, mut later) = (Vec::new(), VecDeque::new());
        while chosen.len() < ASKED_MAX {
            let Some(hash) = open.pop_front() else { break };
            // Here by now, or asked for already and not delivered.
            let Some(wanted) = wanted.get_mut(&hash) else { continue };
            let Some(at) = wanted.from.iter().position(|from| from == name) else { continue };
            if wanted.asked.is_some() || wanted.from.iter().any(is_better) {
                later.push_back(hash);
                continue;
            }
            wanted.from.remove(at);
            wanted.asked = Some(name.clone());
            chosen.push(hash);
        }
        later.append(&mut open);
        if let Some(peer) = peers.get_mut(name) {
            peer.open = later;
        }
        chosen
    }
}

#[cfg(test)]
mod tests;
