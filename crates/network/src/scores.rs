//! Points against peers and against the addresses that they come from, over disconnections. Pure: the time is handed in.
//!
//! Points halve every [`SCORE_HALF_LIFE`], so that what a peer did an hour ago is forgiven, but not what it did before it
//! hung up. Peer ids cost nothing: a stranger from an address of which others have collected points begins with some of
//! them, so that a flood under ever new names has little from each. A peer that is known keeps its own score, whoever else
//! is behind its address.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Instant;

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

use crate::limits::{POINTS_MAX, SCORE_HALF_LIFE, SCORES_MAX, STRANGER_POINTS_MAX};

/// Points at a time.
#[derive(Clone, Copy, Debug)]
struct Score {
    points: u32,
    at: Instant,
}

impl Score {
    /// Brings the points up to a time.
    fn decay(&mut self, now: Instant) -> u32 {
        let elapsed = now.saturating_duration_since(self.at);
        let halvings = u32::try_from(elapsed.as_nanos() / SCORE_HALF_LIFE.as_nanos()).unwrap_or(u32::MAX);
        self.points = self.points.checked_shr(halvings).unwrap_or(0);
        self.at += SCORE_HALF_LIFE * halvings;
        self.points
    }
}

/// Scores of peers and addresses, [`SCORES_MAX`] of each.
#[derive(Debug, Default)]
pub(crate) struct Scores {
    peers: HashMap<PeerId, Score>,
    addresses: HashMap<IpAddr, Score>,
    /// Addresses of the connected peers.
    connected: HashMap<PeerId, IpAddr>,
}

impl Scores {
    /// Notes a connection with a peer. One that is not known begins with points of its address.
    pub(crate) fn connected(&mut self, peer: PeerId, address: &Multiaddr, now: Instant) {
        let Some(address) = network_of(address) else { return };
        self.connected.insert(peer, address);
        if self.peers.contains_key(&peer) {
            return;
        }
        let inherited = self.addresses.get_mut(&address).map_or(0, |score| score.decay(now));
        change(&mut self.peers, peer, now, |_| inherited.min(STRANGER_POINTS_MAX));
    }

    /// Notes that the last connection with a peer has ended. Its score stays.
    pub(crate) fn disconnected(&mut self, peer: &PeerId) {
        self.connected.remove(peer);
    }

    /// Returns true for two connected peers that come from one address, of IPv6 from one network of 64 bits.
    pub(crate) fn is_beside(&self, peer: &PeerId, other: &PeerId) -> bool {
        let address = self.connected.get(peer);
        address.is_some() && address == self.connected.get(other)
    }

    /// Adds points; returns true when the peer has enough to be shut out.
    pub(crate) fn add(&mut self, peer: PeerId, points: u32, now: Instant) -> bool {
        if let Some(address) = self.connected.get(&peer) {
            change(&mut self.addresses, *address, now, |before| before.saturating_add(points));
        }
        change(&mut self.peers, peer, now, |before| before.saturating_add(points)) >= POINTS_MAX
    }

    /// Takes a point back, for something good.
    pub(crate) fn forgive(&mut self, peer: PeerId, now: Instant) {
        if let Some(address) = self.connected.get(&peer)
            && self.addresses.contains_key(address)
        {
            change(&mut self.addresses, *address, now, |before| before.saturating_sub(1));
        }
        change(&mut self.peers, peer, now, |before| before.saturating_sub(1));
    }
}

/// Changes a score and returns its points. Beyond the limit the lowest and oldest score goes: what is forgotten first is what
/// hardly counts.
fn change<K: Copy + Eq + Hash>(
    scores: &mut HashMap<K, Score>,
    key: K,
    now: Instant,
    change: impl FnOnce(u32) -> u32,
) -> u32 {
    if scores.len() >= SCORES_MAX && !scores.contains_key(&key) {
        let lowest = scores.iter_mut().map(|(key, score)| (score.decay(now), score.at, *key));
        if let Some((.., lowest)) = lowest.min_by_key(|(points, at, _)| (*points, *at)) {
            scores.remove(&lowest);
        }
    }
    let score = scores.entry(key).or_insert(Score { points: 0, at: now });
    score.points = change(score.decay(now));
    score.points
}

/// Returns the address of a peer, of IPv6 its network of 64 bits, which is what one host is given; `None` for what is neither.
fn network_of(address: &Multiaddr) -> Option<IpAddr> {
    address.iter().find_map(|part| match part {
        Protocol::Ip4(address) => Some(IpAddr::V4(address)),
        Protocol::Ip6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            Some(IpAddr::V6(Ipv6Addr::from(network)))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    #[test]
    fn points_outlive_a_disconnection_and_halve_with_time() {
        let (mut scores, peer, now) = (Scores::default(), PeerId::random(), Instant::now());
        let home = address("/ip4/10.0.0.1/tcp/1");
        scores.connected(peer, &home, now);
        assert!(!scores.add(peer, POINTS_MAX - 1, now));
        scores.disconnected(&peer);
        scores.connected(peer, &home, now);
        assert!(scores.add(peer, 1, now), "hanging up is no amnesty");
        let later = now + SCORE_HALF_LIFE;
        assert!(!scores.add(peer, POINTS_MAX / 2 - 1, later) && scores.add(peer, 1, later));
        let much_later = now + SCORE_HALF_LIFE * 40;
        assert!(!scores.add(peer, POINTS_MAX - 1, much_later), "an hour is");
        (0..POINTS_MAX).for_each(|_| scores.forgive(peer, much_later));
        assert!(!scores.add(peer, POINTS_MAX - 1, much_later), "so is what was accepted");
    }

    #[test]
    fn a_stranger_answers_for_its_address_and_a_known_peer_does_not() {
        let (mut scores, now) = (Scores::default(), Instant::now());
        let [known, bad, stranger, elsewhere, near] = std::array::from_fn(|_| PeerId::random());
        scores.connected(known, &address("/ip6/2001:db8::1/tcp/1"), now);
        scores.connected(bad, &address("/ip6/2001:db8::2/tcp/1"), now);
        assert!(scores.add(bad, POINTS_MAX, now));
        scores.connected(stranger, &address("/ip6/2001:db8::3/tcp/9"), now);
        let left = POINTS_MAX - STRANGER_POINTS_MAX;
        assert!(!scores.add(stranger, left - 1, now) && scores.add(stranger, 1, now));
        for (peer, from) in [(known, "/ip6/2001:db8::1/tcp/2"), (elsewhere, "/ip6/2001:db8:0:1::1/tcp/1")] {
            scores.connected(peer, &address(from), now);
            assert!(!scores.add(peer, POINTS_MAX - 1, now));
        }
        assert!(scores.is_beside(&bad, &stranger) && !scores.is_beside(&bad, &elsewhere));
        assert!(!scores.is_beside(&bad, &near) && !scores.is_beside(&near, &near), "not connected");
        scores.connected(near, &address("/dns4/example.com/tcp/1"), now);
        assert!(!scores.add(near, POINTS_MAX - 1, now), "no address, no inheritance");
    }

    #[test]
    fn a_flood_of_names_makes_the_worst_forgotten_last() {
        let (mut scores, now) = (Scores::default(), Instant::now());
        let bad = PeerId::random();
        scores.connected(bad, &address("/ip4/10.0.0.1/tcp/1"), now);
        scores.add(bad, POINTS_MAX - 1, now);
        scores.disconnected(&bad);
        for n in 0..SCORES_MAX + 10 {
            let peer = PeerId::random();
            scores.connected(peer, &address(&format!("/ip4/10.1.{}.{}/tcp/1", n / 256, n % 256)), now);
            scores.add(peer, 1, now);
            scores.disconnected(&peer);
        }
        assert!(scores.peers.len() <= SCORES_MAX && scores.addresses.len() <= SCORES_MAX);
        assert!(scores.connected.is_empty());
        assert!(scores.add(bad, 1, now));
    }
}
