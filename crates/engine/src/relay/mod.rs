//! Spreading of transactions between nodes: hashes first, bodies for whoever asks. Pure: the moments are handed in.
//!
//! A node announces what it has got newly, from clients and from peers alike, to all its peers; so an announcement goes one hop and
//! its announcer has the bodies. Whoever does not know a hash asks one of those who announced it, all that it wants of that peer at
//! once and no second time before the answer; where none comes in time, or not with everything, the next one is asked. A peer that
//! delivered something when it was asked last is *proven*: it counts before all others and has more time. A stranger is not, since
//! names of peers cost nothing. Of equals the one comes first that was asked longest ago, so that no name is better than another.
//!
//! Announcing costs little, so it is bounded for each peer, and what a peer announced and does not deliver is held against it: an
//! honest one may have lost a transaction since, so a poor answer costs a point and silence eight, and the network takes the
//! place of a peer that has too many. Whoever is busy and answers late is not silent: others are asked meanwhile, and no more.
//! The work of a step is bounded too, whatever peers have announced: of peers that are not proven some hashes are looked at, and only
//! when something has changed for them. The bytes of announcements and wants are in [`wire`].
//!
//! Invariants (held against seeds in the tests): whoever is joined with an honest node that has a transaction gets it, whatever
//! hostile peers announce; without faults a body travels to each node once; nobody is asked for two things at a time.
//!
//! Bounds: with a proven honest peer among its announcers a transaction waits a second for each proven peer that is hostile and slow,
//! and 400 ms for one stranger, however many there are.

pub mod wire;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use openmesh_primitives::Digest;

/// Hashes in an announcement: 32 KiB.
pub const ANNOUNCED_MAX: usize = 1_024;
/// Hashes that a peer is asked for at once: transfers of some hundred kilobytes, as much as an envelope takes.
pub const ASKED_MAX: usize = 1_024;
/// Hashes that a peer has announced and that are not here yet; further ones are passed over. A burst of several full blocks fits.
const OPEN_MAX: usize = 4_096;
/// The same of a peer that is not proven: with as many of them as there are connections these are some ten megabytes.
const OPEN_UNPROVEN_MAX: usize = 1_024;
/// Announcers of a transaction that are remembered; a better one takes the place of the worst.
const ANNOUNCERS_MAX: usize = 32;
/// Announcements of a peer that are taken in within a second: four times what an honest one makes, which waits ten milliseconds for
/// company, since they come in heaps over a bad connection.
const ANNOUNCEMENTS_PER_SECOND_MAX: u32 = 400;
/// Times that a transaction may be left out of a peer's answers before those who announced it too are asked: an envelope is full
/// with two of the longest attestations.
const LEFT_OUT_MAX: u32 = 4;
/// Peers that are given a question in one step: the others have theirs in the next, after whatever else waits.
const ASKED_PER_STEP_MAX: usize = 16;
/// Hashes that are looked at in a step for a question to a peer that is not proven.
const LOOKED_MAX: usize = 256;
/// Time from the first new transaction to its announcement, so that others come with it: every message costs both sides.
const ANNOUNCE_DELAY: Duration = Duration::from_millis(10);
/// Time after which the next peer is asked: far more than a round trip around the world and a full envelope take.
const ANSWER_TIME: Duration = Duration::from_secs(1);
/// The same where a peer is asked that is not proven: a round trip around the world. Whoever is honest and farther away delivers
/// late, and is proven then.
const UNPROVEN_ANSWER_TIME: Duration = Duration::from_millis(400);
/// Time for which an answer that is late may come yet: the transport's own for a question. A peer that was not proven is asked
/// nothing meanwhile, so that of each peer two questions are on their way at most, however many are silent.
const LATE_TIME: Duration = Duration::from_secs(3);
/// Time between two looks at everything that waits, for what nothing else brings about.
const LOOK: Duration = Duration::from_millis(500);

/// Something to be done outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RelayEffect<P> {
    /// Tells all peers of these.
    Announce(Vec<Digest>),
    /// Asks a peer for these; what comes of it is told with the number by [`Relay::answered`].
    Ask {
        /// Its name.
        peer: P,
        /// Number of the question.
        number: u64,
        /// Hashes of the transactions.
        hashes: Vec<Digest>,
    },
    /// Holds against a peer that it did not deliver what it had announced.
    Blame {
        /// Its name.
        peer: P,
        /// It has not answered at all; else its answer lacked something.
        silent: bool,
    },
}

/// A question to a peer that is open.
#[derive(Debug)]
struct Asked {
    number: u64,
    until: Duration,
    hashes: Vec<Digest>,
}

/// A question whose answer did not come in time and may come yet.
#[derive(Debug)]
struct Late {
    number: u64,
    until: Duration,
    /// Something of it was not here when its time was over.
    lacking: bool,
}

/// A peer that has announced something.
#[derive(Debug, Default)]
struct Peer {
    /// Announced by it, in that order; some may be here by now.
    open: VecDeque<Digest>,
    /// There was no room for more when that was looked at last.
    full: bool,
    asked: Option<Asked>,
    late: Option<Late>,
    /// It is asked nothing while an answer of it is late.
    rests: bool,
    /// Number of what it was asked last.
    last: u64,
    /// It delivered something when it was asked last.
    proven: bool,
    /// Times that it delivered nothing since it delivered something.
    failures: u32,
    /// Something has changed since it was looked at.
    stirred: bool,
    /// A second, and its announcements in it.
    heard: (u64, u32),
}

impl Peer {
    /// The lower, the sooner it is asked; 0: it is proven.
    fn rank(&self) -> u32 {
        if self.proven { 0 } else { self.failures.max(1) }
    }

    /// Makes room for another hash by forgetting those that are not open any more, once between two looks.
    fn has_room(&mut self, is_open: impl Fn(&Digest) -> bool) -> bool {
        let open_max = if self.proven { OPEN_MAX } else { OPEN_UNPROVEN_MAX };
        if self.open.len() >= open_max && !self.full {
            self.open.retain(is_open);
            self.full = self.open.len() >= open_max;
        }
        self.open.len() < open_max
    }

    /// Counts an announcement, and returns false if there were too many in this second.
    fn may_announce(&mut self, now: Duration) -> bool {
        if self.heard.0 != now.as_secs() {
            self.heard = (now.as_secs(), 0);
        }
        self.heard.1 = self.heard.1.saturating_add(1);
        self.heard.1 <= ANNOUNCEMENTS_PER_SECOND_MAX
    }

    /// It may be asked something that it could not be asked before.
    fn is_ready(&self) -> bool {
        let rests = self.rests && self.late.is_some();
        self.stirred && self.asked.is_none() && !rests && !self.open.is_empty()
    }
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
    /// The next look at everything.
    look: Duration,
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
            look: Duration::ZERO,
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

    /// Takes in that these are here now, or were committed: nobody is asked for them, nor blamed.
    pub fn here(&mut self, hashes: impl IntoIterator<Item = Digest>) {
        for hash in hashes {
            self.wanted.remove(&hash);
        }
    }

    /// Takes in what a peer has announced, as far as it is not known here.
    pub fn announced(&mut self, from: &P, hashes: impl IntoIterator<Item = Digest>, now: Duration) {
        let peer = self.peers.entry(from.clone()).or_default();
        if !peer.may_announce(now) {
            self.blames.push(RelayEffect::Blame { peer: from.clone(), silent: false });
            return;
        }
        self.offered(from, hashes);
    }

    /// Takes in what somebody else says that a peer has announced. It may be made up: so it does not count as an announcement of the
    /// peer, and takes no room that its own need.
    pub fn repeated(&mut self, announcer: &P, hashes: impl IntoIterator<Item = Digest>) {
        if self.peers.entry(announcer.clone()).or_default().open.len() < OPEN_UNPROVEN_MAX {
            self.offered(announcer, hashes.into_iter().take(LOOKED_MAX));
        }
    }

    fn offered(&mut self, from: &P, hashes: impl IntoIterator<Item = Digest>) {
        for hash in hashes {
            let Some(peer) = self.peers.get_mut(from) else { return };
            if !peer.has_room(|open| self.wanted.get(open).is_some_and(|wanted| wanted.from.contains(from))) {
                return;
            }
            let entry = self.wanted.entry(hash).or_insert(Wanted { from: Vec::new(), asked: None, left_out: 0 });
            let is_known = entry.asked.as_ref() == Some(from) || entry.from.contains(from);
            if !is_known
                && join_announcers(&self.peers, &mut entry.from, from)
                && let Some(peer) = self.peers.get_mut(from)
            {
                peer.open.push_back(hash);
                peer.stirred = true;
            }
        }
    }

    /// Takes in the answer of a peer, which may be late: those of the hashes asked for that it delivered.
    pub fn answered(&mut self, from: &P, number: u64, got: &BTreeSet<Digest>) {
        self.here(got.iter().copied());
        let Some(peer) = self.peers.get_mut(from) else { return };
        (peer.stirred, peer.full) = (true, false);
        let late = peer.late.take_if(|late| late.number == number);
        if !got.is_empty() {
            (peer.proven, peer.failures) = (true, 0);
        } else if late.is_some_and(|late| late.lacking) {
            self.blames.push(RelayEffect::Blame { peer: from.clone(), silent: true });
        }
        let Some(asked) = peer.asked.take_if(|asked| asked.number == number) else { return };
        if got.is_empty() {
            if self.missed(from, &asked.hashes) {
                self.blames.push(RelayEffect::Blame { peer: from.clone(), silent: false });
            }
            return;
        }
        let last = asked.hashes.iter().rposition(|hash| got.contains(hash)).unwrap_or(0);
        let mut again = Vec::new();
        for (at, hash) in asked.hashes.into_iter().enumerate() {
            let Some(wanted) = self.wanted.get_mut(&hash).filter(|w| w.asked.as_ref() == Some(from)) else { continue };
            wanted.asked = None;
            wanted.left_out += 1;
            stir(&mut self.peers, &wanted.from);
            // An envelope holds the first ones that are there: what should stand before its last one is not.
            if at > last && (wanted.left_out < LEFT_OUT_MAX || wanted.from.is_empty()) {
                wanted.from.push(from.clone());
                again.push(hash);
            } else if wanted.from.is_empty() {
                self.wanted.remove(&hash);
            }
        }
        if let Some(peer) = self.peers.get_mut(from) {
            again.into_iter().rev().for_each(|hash| peer.open.push_front(hash));
        }
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
        self.peers.values_mut().for_each(|peer| peer.stirred = true);
    }

    /// Hashes that should have been delivered by now, so that [`Relay::here`] can be told before the next step for which of them nobody
    /// is to be blamed.
    pub fn overdue(&self, now: Duration) -> Vec<Digest> {
        let asked = self.peers.values().filter_map(|peer| peer.asked.as_ref());
        asked.filter(|asked| asked.until <= now).flat_map(|asked| asked.hashes.iter().copied()).collect()
    }

    /// The effects that are to be carried out now.
    pub fn step(&mut self, now: Duration) -> Vec<RelayEffect<P>> {
        self.time_out(now);
        if self.look <= now {
            self.look = now + LOOK;
            self.peers.values_mut().for_each(|peer| (peer.stirred, peer.full) = (true, false));
        }
        let mut effects = std::mem::take(&mut self.blames);
        if self.due.is_some_and(|due| due <= now) {
            self.due = None;
            let fresh = std::mem::take(&mut self.fresh);
            effects.extend(fresh.chunks(ANNOUNCED_MAX).map(|part| RelayEffect::Announce(part.to_vec())));
        }
        self.ask(now, &mut effects);
        effects
    }

    /// The moment of the next step, if nothing else happens before; it may be over.
    pub fn wake_at(&self) -> Option<Duration> {
        if self.peers.values().any(Peer::is_ready) {
            return Some(Duration::ZERO);
        }
        let answers = self.peers.values().filter_map(|peer| peer.asked.as_ref().map(|asked| asked.until));
        let look = (!self.wanted.is_empty()).then_some(self.look);
        let late = self.peers.values().filter_map(|peer| peer.late.as_ref().map(|late| late.until));
        answers.chain(late).chain(self.due).chain(look).min()
    }

    /// Number of transactions that were announced and are not here.
    pub fn wanted(&self) -> usize {
        self.wanted.len()
    }

    fn time_out(&mut self, now: Duration) {
        let (mut late, mut silent) = (Vec::new(), Vec::new());
        for (name, peer) in &mut self.peers {
            let given_up = peer.late.take_if(|late| late.until <= now);
            peer.stirred |= given_up.is_some();
            let asked = peer.asked.take_if(|asked| asked.until <= now);
            // Of two that are late the first one is given up.
            let given_up = given_up.or_else(|| asked.as_ref().and_then(|_| peer.late.take()));
            if given_up.is_some_and(|late| late.lacking) {
                silent.push(RelayEffect::Blame { peer: name.clone(), silent: true });
            }
            late.extend(asked.map(|asked| (name.clone(), asked)));
        }
        self.blames.append(&mut silent);
        for (name, asked) in late {
            let is_proven = self.peers.get(&name).is_some_and(|peer| peer.proven);
            let lacking = self.missed(&name, &asked.hashes);
            if let Some(peer) = self.peers.get_mut(&name) {
                // A proven one may have lost a message: it has another try, as one that is not.
                (peer.proven, peer.rests) = (false, !is_proven);
                peer.late = Some(Late { number: asked.number, until: now + LATE_TIME, lacking });
            }
        }
    }

    /// Takes in that a peer has delivered nothing of these. Returns true if anything of it is still not here: what others brought
    /// meanwhile, or a block, it may have forgotten as well.
    fn missed(&mut self, from: &P, hashes: &[Digest]) -> bool {
        let mut lacking = false;
        for hash in hashes {
            let Some(wanted) = self.wanted.get_mut(hash).filter(|w| w.asked.as_ref() == Some(from)) else { continue };
            lacking = true;
            wanted.asked = None;
            stir(&mut self.peers, &wanted.from);
            if wanted.from.is_empty() {
                self.wanted.remove(hash);
            }
        }
        if let Some(peer) = self.peers.get_mut(from).filter(|_| lacking) {
            (peer.proven, peer.failures) = (false, peer.failures.saturating_add(1));
        }
        lacking
    }

    /// Asks the peers of which something can be asked and that are being asked for nothing, the best first.
    fn ask(&mut self, now: Duration, effects: &mut Vec<RelayEffect<P>>) {
        let ready = self.peers.iter().filter(|(_, peer)| peer.is_ready());
        let mut ready: Vec<(u32, u64, P)> = ready.map(|(name, peer)| (peer.rank(), peer.last, name.clone())).collect();
        ready.sort();
        for (_, _, name) in ready.into_iter().take(ASKED_PER_STEP_MAX) {
            let hashes = self.choose(&name);
            let Some(peer) = self.peers.get_mut(&name).filter(|_| !hashes.is_empty()) else { continue };
            self.number += 1;
            let until = now + if peer.proven { ANSWER_TIME } else { UNPROVEN_ANSWER_TIME };
            peer.last = self.number;
            peer.asked = Some(Asked { number: self.number, until, hashes: hashes.clone() });
            effects.push(RelayEffect::Ask { peer: name, number: self.number, hashes });
        }
    }

    /// Chooses hashes that a peer is asked for: those that it announced and nobody is asked for, unless somebody announced them too
    /// who is better at answering.
    fn choose(&mut self, name: &P) -> Vec<Digest> {
        let Relay { peers, wanted, .. } = self;
        let Some(peer) = peers.get_mut(name) else { return Vec::new() };
        peer.stirred = false;
        let rank = peer.rank();
        let mut open = std::mem::take(&mut peer.open);
        let is_better = |other: &P| peers.get(other).is_some_and(|peer| peer.rank() < rank);
        let (mut chosen, mut later) = (Vec::new(), VecDeque::new());
        let mut looks = if rank == 0 { open.len() } else { open.len().min(LOOKED_MAX) };
        while looks > 0 && chosen.len() < ASKED_MAX {
            looks -= 1;
            let Some(hash) = open.pop_front() else { break };
            // Here by now, or asked for already and not delivered.
            let Some(wanted) = wanted.get_mut(&hash) else { continue };
            let Some(at) = wanted.from.iter().position(|from| from == name) else { continue };
            if wanted.asked.is_some() || (rank > 0 && wanted.from.iter().any(is_better)) {
                later.push_back(hash);
                continue;
            }
            wanted.from.remove(at);
            wanted.asked = Some(name.clone());
            chosen.push(hash);
        }
        // What was looked at in vain stays where it was; of a peer that is not proven it comes after what was not looked at.
        let (mut open, mut rest) = if rank == 0 { (later, open) } else { (open, later) };
        open.append(&mut rest);
        if let Some(peer) = peers.get_mut(name) {
            peer.open = open;
        }
        chosen
    }
}

/// Adds a peer to the announcers of a transaction, if there is room or one that is worse than it. Returns false if there is not.
fn join_announcers<P: Clone + Ord>(peers: &BTreeMap<P, Peer>, announcers: &mut Vec<P>, from: &P) -> bool {
    let rank = |peer: &P| peers.get(peer).map_or(u32::MAX, Peer::rank);
    if announcers.len() < ANNOUNCERS_MAX {
        announcers.push(from.clone());
        return true;
    }
    let worst = announcers.iter().map(rank).enumerate().max_by_key(|(_, rank)| *rank);
    let Some((at, _)) = worst.filter(|(_, worst)| *worst > rank(from)) else { return false };
    announcers[at] = from.clone();
    true
}

/// Notes that something has changed for those who announced a transaction.
fn stir<P: Ord>(peers: &mut BTreeMap<P, Peer>, announcers: &[P]) {
    for announcer in announcers {
        if let Some(peer) = peers.get_mut(announcer) {
            peer.stirred = true;
        }
    }
}

#[cfg(test)]
mod tests;
