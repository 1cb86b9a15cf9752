//! Relays of a whole network in virtual time, each run from its seed, and single rules.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use openmesh_primitives::SplitMix64;

use super::*;

const MS: u64 = 1_000_000;
/// A peer with so many points loses its place, as in the network: silence is eight, a poor answer one.
const POINTS_MAX: u32 = 256;
/// Transactions of a run.
const TRANSACTIONS: u64 = 60;
/// They are handed in within so much.
const WORK: u64 = 3_000 * MS;
/// Hostile nodes make things up for so long: a silent one is asked something each three or four seconds and has credit for 32 times.
const INVENTION: u64 = 200_000 * MS;
/// A run ends then.
const END: u64 = 600_000 * MS;

fn digest(number: u64) -> Digest {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    Digest(bytes)
}

/// The manner of a node beside its relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Honest,
    /// Announces everything that it hears of, and as much that does not exist, and never answers.
    Silent,
    /// The same, and answers that it has nothing.
    Empty,
    /// The same, but takes in what there is, and answers with one transaction of many.
    Sparing,
}

#[derive(Clone, Debug)]
enum Event {
    /// A client hands a transaction in.
    Client {
        node: usize,
        hash: Digest,
    },
    Announced {
        from: usize,
        to: usize,
        hashes: Vec<Digest>,
    },
    Asked {
        from: usize,
        to: usize,
        number: u64,
        hashes: Vec<Digest>,
    },
    Answered {
        from: usize,
        to: usize,
        number: u64,
        got: BTreeSet<Digest>,
    },
    Wake {
        node: usize,
    },
    /// A hostile node makes something up.
    Invent {
        node: usize,
    },
}

struct Node {
    manner: Manner,
    relay: Relay<usize>,
    has: BTreeSet<Digest>,
    /// Points of the peers at this node.
    points: BTreeMap<usize, u32>,
    peers: BTreeSet<usize>,
    /// Times that each body came.
    bodies: BTreeMap<Digest, u32>,
    /// The moment for which it has an event already.
    wake: Option<u64>,
}

struct Sim {
    random: SplitMix64,
    now: u64,
    number: u64,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    events: BTreeMap<u64, Event>,
    nodes: Vec<Node>,
    /// So many messages of a hundred are lost.
    loss: u64,
}

impl Sim {
    /// Nodes in a ring with some more connections; the honest ones are joined with each other whatever the hostile ones do.
    fn new(seed: u64, hostile: &[Manner], loss: u64) -> Sim {
        let mut random = SplitMix64::new(seed);
        let honest = 3 + random.index(4);
        let manners: Vec<Manner> = vec![Manner::Honest; honest].into_iter().chain(hostile.iter().copied()).collect();
        let count = manners.len();
        let mut peers: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); count];
        let mut join = |a: usize, b: usize| {
            if a != b {
                peers[a].insert(b);
                peers[b].insert(a);
            }
        };
        (0..honest).for_each(|node| join(node, (node + 1) % honest));
        (honest..count).for_each(|node| (0..honest).for_each(|other| join(node, other)));
        (0..count).for_each(|_| join(random.index(honest), random.index(honest)));
        let node = |(manner, peers): (Manner, BTreeSet<usize>)| Node {
            manner,
            relay: Relay::default(),
            has: BTreeSet::new(),
            points: BTreeMap::new(),
            peers,
            bodies: BTreeMap::new(),
            wake: None,
        };
        let nodes = manners.into_iter().zip(peers).map(node).collect();
        Sim { random, now: 0, number: 0, queue: BinaryHeap::new(), events: BTreeMap::new(), nodes, loss }
    }

    fn at(&mut self, after: u64, event: Event) {
        self.number += 1;
        self.queue.push(Reverse((self.now + after, self.number)));
        self.events.insert(self.number, event);
    }

    /// Lets a message travel between two nodes that are still joined.
    fn send(&mut self, from: usize, to: usize, event: Event) {
        let joined = self.nodes[from].peers.contains(&to) && self.nodes[to].peers.contains(&from);
        if joined && !self.random.chance(self.loss, 100) {
            let after = MS / 2 + self.random.below(80 * MS);
            self.at(after, event);
        }
    }

    fn honest(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|node| self.nodes[*node].manner == Manner::Honest).collect()
    }

    fn run(mut self) -> Sim {
        let honest = self.honest();
        for number in 0..TRANSACTIONS {
            let (after, node) = (self.random.below(WORK), honest[self.random.index(honest.len())]);
            self.at(after, Event::Client { node, hash: digest(number) });
        }
        for node in (0..self.nodes.len()).filter(|node| !honest.contains(node)) {
            self.at(0, Event::Invent { node });
        }
        while let Some(Reverse((at, number))) = self.queue.pop() {
            self.now = at;
            if at > END {
                break;
            }
            if let Some(event) = self.events.remove(&number) {
                self.happen(event);
            }
        }
        self
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Client { node, hash } => self.got(node, BTreeSet::from([hash])),
            Event::Announced { from, to, hashes } => self.heard(from, to, hashes),
            Event::Asked { from, to, number, hashes } => self.answer(from, to, number, &hashes),
            Event::Answered { from, to, number, got } => {
                self.nodes[to].relay.answered(&from, number, &got);
                for hash in &got {
                    *self.nodes[to].bodies.entry(*hash).or_default() += 1;
                }
                self.got(to, got);
            }
            Event::Wake { node } => {
                if self.nodes[node].wake == Some(self.now) {
                    self.nodes[node].wake = None;
                }
                self.step(node);
            }
            Event::Invent { node } => {
                let hashes = (0..self.random.below(40)).map(|_| digest(1_000 + self.random.next() % 100_000));
                let hashes = hashes.collect::<Vec<_>>();
                self.announce(node, hashes);
                if self.now < INVENTION {
                    let after = self.random.below(1_000 * MS);
                    self.at(after, Event::Invent { node });
                }
            }
        }
    }

    /// Whoever is hostile pretends to have what it hears of.
    fn heard(&mut self, from: usize, to: usize, hashes: Vec<Digest>) {
        let now = Duration::from_nanos(self.now);
        let manner = self.nodes[to].manner;
        if manner != Manner::Honest {
            self.announce(to, hashes.clone());
        }
        if matches!(manner, Manner::Honest | Manner::Sparing) {
            let node = &mut self.nodes[to];
            let unknown: Vec<Digest> = hashes.into_iter().filter(|hash| !node.has.contains(hash)).collect();
            node.relay.announced(&from, unknown, now);
            self.step(to);
        }
    }

    fn announce(&mut self, from: usize, hashes: Vec<Digest>) {
        for to in self.nodes[from].peers.clone() {
            self.send(from, to, Event::Announced { from, to, hashes: hashes.clone() });
        }
    }

    fn answer(&mut self, from: usize, to: usize, number: u64, hashes: &[Digest]) {
        let node = &self.nodes[to];
        let held = hashes.iter().copied().filter(|hash| node.has.contains(hash));
        let got: BTreeSet<Digest> = match node.manner {
            Manner::Honest => held.collect(),
            Manner::Silent => return,
            Manner::Empty => BTreeSet::new(),
            Manner::Sparing => held.take(1).collect(),
        };
        self.send(to, from, Event::Answered { from: to, to: from, number, got });
    }

    /// A node has transactions now, and announces those that are new.
    fn got(&mut self, number: usize, hashes: BTreeSet<Digest>) {
        let now = Duration::from_nanos(self.now);
        let node = &mut self.nodes[number];
        let fresh: Vec<Digest> = hashes.into_iter().filter(|hash| node.has.insert(*hash)).collect();
        node.relay.fresh(fresh, now);
        self.step(number);
    }

    fn step(&mut self, number: usize) {
        let now = Duration::from_nanos(self.now);
        for effect in self.nodes[number].relay.step(now) {
            match effect {
                RelayEffect::Announce(hashes) => self.announce(number, hashes),
                // One of these blames may have cost it its place.
                RelayEffect::Ask { peer, .. } if !self.nodes[number].peers.contains(&peer) => {}
                RelayEffect::Ask { peer, number: question, hashes } => {
                    let open = self.nodes[number].relay.peers.get(&peer).and_then(|peer| peer.asked.as_ref());
                    assert_eq!(open.map(|asked| asked.number), Some(question), "two questions at a time");
                    assert!(!hashes.is_empty() && hashes.len() <= ASKED_MAX);
                    self.send(number, peer, Event::Asked { from: number, to: peer, number: question, hashes });
                }
                RelayEffect::Blame { peer, silent } => self.blame(number, peer, silent),
            }
        }
        let wake = self.nodes[number].relay.wake_at().and_then(|at| u64::try_from(at.as_nanos()).ok());
        let wake = wake.map(|at| at.max(self.now));
        if let Some(at) = wake.filter(|at| self.nodes[number].wake.is_none_or(|before| *at < before)) {
            self.nodes[number].wake = Some(at);
            self.at(at.saturating_sub(self.now), Event::Wake { node: number });
        }
    }

    fn blame(&mut self, number: usize, peer: usize, silent: bool) {
        let points = self.nodes[number].points.entry(peer).or_default();
        *points += if silent { 8 } else { 1 };
        if *points >= POINTS_MAX {
            self.nodes[number].peers.remove(&peer);
            let peers = self.nodes[number].peers.clone();
            self.nodes[number].relay.keep_peers(&peers);
        }
    }

    /// Every honest node has every transaction, and nothing is left to wait for.
    fn assert_spread(&self, what: &str) {
        for number in self.honest() {
            let node = &self.nodes[number];
            let missing = (0..TRANSACTIONS).filter(|number| !node.has.contains(&digest(*number))).count();
            assert_eq!(missing, 0, "{what}: node {number} lacks transactions");
        }
    }
}

#[test]
fn without_faults_every_body_comes_to_each_node_once_and_nobody_is_blamed() {
    for seed in 0..40 {
        let sim = Sim::new(seed, &[], 0).run();
        sim.assert_spread(&format!("seed {seed}"));
        for (number, node) in sim.nodes.iter().enumerate() {
            assert!(node.bodies.values().all(|times| *times == 1), "seed {seed}, node {number}: {:?}", node.bodies);
            assert!(node.points.is_empty() && node.relay.wanted() == 0, "seed {seed}, node {number}");
        }
    }
}

#[test]
fn hostile_announcers_hold_nothing_up_and_lose_their_places() {
    for manner in [Manner::Silent, Manner::Empty, Manner::Sparing] {
        for seed in 0..20 {
            let what = format!("{manner:?}, seed {seed}");
            let sim = Sim::new(seed, &[manner, manner], 0).run();
            sim.assert_spread(&what);
            for number in sim.honest() {
                let node = &sim.nodes[number];
                let shut_out = node.points.iter().filter(|(_, points)| **points >= POINTS_MAX);
                let shut_out: BTreeSet<usize> = shut_out.map(|(peer, _)| *peer).collect();
                assert!(shut_out.iter().all(|peer| sim.nodes[*peer].manner == manner), "{what}: an honest one");
                // Silence is seen after a second each time, a poor answer at once.
                assert!(manner == Manner::Sparing || shut_out.len() == 2, "{what}: {:?}", node.points);
                assert_eq!(node.relay.wanted(), 0, "{what}: nothing is waited for any more");
            }
        }
    }
}

#[test]
fn lost_messages_are_made_good_by_others() {
    let (mut complete, mut all) = (0, 0);
    for seed in 0..20 {
        let sim = Sim::new(seed, &[Manner::Silent], 5).run();
        for number in sim.honest() {
            let node = &sim.nodes[number];
            all += TRANSACTIONS;
            complete += (0..TRANSACTIONS).filter(|number| node.has.contains(&digest(*number))).count() as u64;
            assert_eq!(node.relay.wanted(), 0, "seed {seed}: nothing is waited for for ever");
        }
    }
    // Of two neighbours in a ring both may fall silent; the mempool spreads again what still waits.
    assert!(complete * 100 > all * 90, "{complete} of {all}");
}

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// The peers that are asked, and for how much.
fn asks<P: Clone>(effects: &[RelayEffect<P>]) -> Vec<(P, usize)> {
    let ask = |effect: &RelayEffect<P>| match effect {
        RelayEffect::Ask { peer, hashes, .. } => Some((peer.clone(), hashes.len())),
        RelayEffect::Announce(_) | RelayEffect::Blame { .. } => None,
    };
    effects.iter().filter_map(ask).collect()
}

#[test]
fn a_peer_that_does_not_answer_is_asked_after_those_that_do() {
    let mut relay: Relay<&str> = Relay::default();
    relay.announced(&"a", [digest(1), digest(2)], ms(0));
    assert_eq!(asks(&relay.step(ms(0))), [("a", 2)]);
    // The other one has them too; it waits until the first has had its time, which a stranger has less of.
    relay.announced(&"b", [digest(1), digest(2)], ms(1));
    assert!(asks(&relay.step(ms(399))).is_empty());
    assert_eq!(asks(&relay.step(ms(400))), [("b", 2)]);
    // What both announce now is asked of the other one, though it is busy; what only the silent one has, of that one when it has rested.
    relay.announced(&"a", [digest(3), digest(4)], ms(401));
    relay.announced(&"b", [digest(3)], ms(402));
    assert!(asks(&relay.step(ms(410))).is_empty());
    relay.answered(&"b", 2, &BTreeSet::from([digest(1), digest(2)]));
    assert_eq!(asks(&relay.step(ms(420))), [("b", 1)]);
    relay.answered(&"b", 3, &BTreeSet::from([digest(3)]));
    assert!(relay.step(ms(3_399)).is_empty(), "an answer may come yet");
    let effects = relay.step(ms(3_400));
    assert_eq!(effects[0], RelayEffect::Blame { peer: "a", silent: true });
    assert_eq!(asks(&effects), [("a", 1)]);
    relay.announced(&"a", [digest(5)], ms(3_500));
    assert!(relay.step(ms(3_800)).is_empty());
    // A late answer is one, and makes good.
    relay.answered(&"a", 4, &BTreeSet::from([digest(4)]));
    let effects = relay.step(ms(3_801));
    assert_eq!((asks(&effects), effects.len()), (vec![("a", 1)], 1), "{effects:?}");
    assert_eq!(relay.wanted(), 1);
    relay.keep_peers(&BTreeSet::from(["b"]));
    assert_eq!(relay.wanted(), 0, "nobody is left who has the fifth");
}

/// However many strangers pretend to have a transaction: the first of them has a moment, then whoever is proven is asked.
#[test]
fn strangers_hold_a_transaction_up_for_a_moment_however_many_they_are() {
    let mut relay: Relay<u32> = Relay::default();
    relay.announced(&1_000, [digest(1)], ms(0));
    assert_eq!(asks(&relay.step(ms(0))), [(1_000, 1)]);
    relay.answered(&1_000, 1, &BTreeSet::from([digest(1)]));
    for stranger in 0..100 {
        relay.announced(&stranger, [digest(2)], ms(10));
    }
    assert_eq!(asks(&relay.step(ms(10))), [(0, 1)]);
    relay.announced(&100, [digest(2)], ms(11));
    // All places for announcers are taken by strangers, and one of them makes room.
    assert_eq!(relay.wanted[&digest(2)].from.len(), ANNOUNCERS_MAX);
    relay.announced(&1_000, [digest(2)], ms(20));
    assert!(asks(&relay.step(ms(409))).is_empty());
    assert_eq!(asks(&relay.step(ms(410))), [(1_000, 1)]);
    assert_eq!(relay.wanted[&digest(2)].from.len(), ANNOUNCERS_MAX - 1, "it is asked now");
    relay.answered(&1_000, 3, &BTreeSet::from([digest(2)]));
    assert_eq!((relay.step(ms(420)), relay.wanted()), (vec![], 0));
}

/// Of equals whoever was asked longest ago is asked first: a name that comes first in the order is worth nothing.
#[test]
fn equals_are_asked_in_turn() {
    let mut relay: Relay<u8> = Relay::default();
    // Both have delivered something.
    for peer in [1, 2] {
        relay.announced(&peer, [digest(100 + u64::from(peer))], ms(0));
        assert_eq!(asks(&relay.step(ms(0))), [(peer, 1)]);
        relay.answered(&peer, u64::from(peer), &BTreeSet::from([digest(100 + u64::from(peer))]));
    }
    let mut asked = Vec::new();
    for round in 0..6 {
        relay.announced(&1, [digest(round)], ms(round));
        relay.announced(&2, [digest(round)], ms(round));
        let effects = relay.step(ms(round));
        let [RelayEffect::Ask { peer, number, hashes }] = &effects[..] else { panic!("{effects:?}") };
        asked.push(*peer);
        relay.answered(peer, *number, &hashes.iter().copied().collect());
    }
    assert_eq!(asked, [1, 2, 1, 2, 1, 2]);
}

#[test]
fn a_step_gives_so_many_questions_and_the_next_one_the_others() {
    let mut relay: Relay<usize> = Relay::default();
    for peer in 0..ASKED_PER_STEP_MAX + 5 {
        relay.announced(&peer, [digest(peer as u64)], ms(0));
    }
    assert_eq!(asks(&relay.step(ms(0))).len(), ASKED_PER_STEP_MAX);
    assert_eq!(relay.wake_at(), Some(Duration::ZERO), "at once");
    assert_eq!(asks(&relay.step(ms(0))).len(), 5);
    assert_eq!(relay.wake_at(), Some(UNPROVEN_ANSWER_TIME));
}

#[test]
fn whoever_announces_without_end_is_blamed_and_not_heard() {
    let mut relay: Relay<u8> = Relay::default();
    for number in 0..=u64::from(ANNOUNCEMENTS_PER_SECOND_MAX) {
        relay.announced(&1, [digest(number % 2)], ms(999));
    }
    relay.announced(&2, [digest(7)], ms(999));
    // Nor can others use up what a peer may say.
    (0..1_000).for_each(|_| relay.repeated(&2, [digest(7)]));
    relay.repeated(&3, (10_000..20_000).map(digest));
    assert_eq!(relay.wanted(), 3 + LOOKED_MAX);
    relay.keep_peers(&BTreeSet::from([1, 2]));
    assert_eq!(relay.wanted(), 3);
    let effects = relay.step(ms(999));
    let blames = effects.iter().filter(|effect| **effect == RelayEffect::Blame { peer: 1, silent: false }).count();
    assert_eq!((blames, asks(&effects)), (1, vec![(1, 2), (2, 1)]));
    relay.announced(&1, [digest(8)], ms(1_000));
    assert_eq!(relay.wanted(), 4, "the next second is another one");
}

#[test]
fn nobody_is_blamed_for_what_came_in_a_block_meanwhile() {
    let mut relay: Relay<u8> = Relay::default();
    relay.announced(&1, [digest(1)], ms(0));
    relay.announced(&2, [digest(2)], ms(0));
    assert_eq!(asks(&relay.step(ms(0))), [(1, 1), (2, 1)]);
    assert!(relay.overdue(ms(399)).is_empty());
    assert_eq!(relay.overdue(ms(400)), [digest(1), digest(2)]);
    relay.here([digest(1)]);
    assert!(relay.step(ms(400)).is_empty());
    // The transport is done with both.
    relay.answered(&1, 1, &BTreeSet::new());
    relay.answered(&2, 2, &BTreeSet::new());
    assert_eq!(relay.step(ms(3_000)), [RelayEffect::Blame { peer: 2, silent: true }]);
    assert!(relay.step(ms(9_000)).is_empty(), "once");
}

/// An envelope is full with two: the others follow, one envelope after the other, however many that takes.
#[test]
fn what_did_not_fit_is_asked_for_again_and_what_is_not_there_is_not() {
    let mut relay: Relay<u8> = Relay::default();
    relay.announced(&1, (0..21).map(digest), ms(0));
    let mut rounds = 0;
    loop {
        let effects = relay.step(ms(rounds));
        let [RelayEffect::Ask { number, hashes, .. }] = &effects[..] else {
            assert!(effects.is_empty(), "nobody is blamed: {effects:?}");
            break;
        };
        rounds += 1;
        // The peer has forgotten the second of all.
        let there = hashes.iter().copied().filter(|hash| *hash != digest(1));
        relay.answered(&1, *number, &there.take(2).collect());
    }
    assert_eq!((rounds, relay.wanted()), (10, 0), "twenty, two at a time");
    // Whoever leaves something out again and again while somebody else has it is not waited for.
    relay.announced(&1, (100..120).map(digest), ms(50));
    let effects = relay.step(ms(50));
    relay.announced(&2, [digest(119)], ms(50));
    let mut asked = effects;
    for _ in 0..LEFT_OUT_MAX {
        let [RelayEffect::Ask { peer: 1, number, hashes }] = &asked[..] else { panic!("{asked:?}") };
        relay.answered(&1, *number, &BTreeSet::from([hashes[0]]));
        asked = relay.step(ms(60));
    }
    assert!(asks(&asked).contains(&(2, 1)), "{asked:?}");
}

#[test]
fn announcements_wait_for_company_and_are_bounded() {
    let mut relay: Relay<u8> = Relay::default();
    relay.fresh((0..1_500).map(digest), ms(5));
    relay.fresh([digest(9_999)], ms(9));
    assert_eq!((relay.step(ms(9)), relay.wake_at()), (vec![], Some(ms(15))));
    let said: Vec<usize> = relay
        .step(ms(15))
        .into_iter()
        .map(|effect| match effect {
            RelayEffect::Announce(hashes) => hashes.len(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(said, [ANNOUNCED_MAX, 1_501 - ANNOUNCED_MAX]);
    // A flood of one peer has its own bound, and takes nothing from another.
    for part in 0..20 {
        relay.announced(&1, (0..1_000).map(|n| digest(10_000 + part * 1_000 + n)), ms(16));
    }
    relay.announced(&2, [digest(77_777)], ms(16));
    assert_eq!(relay.wanted(), OPEN_UNPROVEN_MAX + 1);
    let asked: Vec<usize> = relay
        .step(ms(20))
        .into_iter()
        .map(|effect| match effect {
            RelayEffect::Ask { hashes, .. } => hashes.len(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(asked, [LOOKED_MAX, 1]);
    // Of a peer that delivers more is taken in.
    relay.answered(&1, 1, &(0..256).map(|n| digest(10_000 + n)).collect());
    for part in 0..20 {
        relay.announced(&1, (0..1_000).map(|n| digest(50_000 + part * 1_000 + n)), ms(30));
    }
    assert_eq!(relay.wanted(), OPEN_MAX + 1);
}
