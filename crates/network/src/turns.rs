//! Turns between peers, so that a flood of one waits for itself only.

use std::collections::VecDeque;
use std::collections::hash_map::{Entry, HashMap};

use libp2p::PeerId;

/// Queues of the peers of which one item each is being worked on.
///
/// [`arrived`](Turns::arrived) hands an item out at once where its peer has none under way, and [`finished`](Turns::finished)
/// hands out that peer's next one. The queues have no limit of their own: the host counts an
/// [`Incoming`](crate::Incoming) against its peer until it is dropped.
#[derive(Debug)]
pub struct Turns<T>(HashMap<PeerId, VecDeque<T>>);

impl<T> Default for Turns<T> {
    fn default() -> Turns<T> {
        Turns(HashMap::new())
    }
}

impl<T> Turns<T> {
    /// Takes an item of a peer in; returns it if none of that peer's is under way.
    pub fn arrived(&mut self, peer: PeerId, item: T) -> Option<T> {
        match self.0.entry(peer) {
            Entry::Occupied(mut queue) => {
                queue.get_mut().push_back(item);
                None
            }
            Entry::Vacant(idle) => {
                idle.insert(VecDeque::new());
                Some(item)
            }
        }
    }

    /// Notes that a peer's item was worked off; returns the peer's next one.
    pub fn finished(&mut self, peer: PeerId) -> Option<T> {
        let next = self.0.get_mut(&peer)?.pop_front();
        if next.is_none() {
            self.0.remove(&peer);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_waits_for_itself_only() {
        let (flood, quiet) = (PeerId::random(), PeerId::random());
        let mut turns = Turns::default();
        assert_eq!(turns.arrived(flood, 1), Some(1));
        for n in 2..50 {
            assert_eq!(turns.arrived(flood, n), None);
        }
        assert_eq!(turns.arrived(quiet, 100), Some(100));
        assert_eq!(turns.arrived(quiet, 101), None);
        assert_eq!((turns.finished(flood), turns.finished(quiet), turns.finished(quiet)), (Some(2), Some(101), None));
        assert_eq!(turns.arrived(quiet, 102), Some(102), "it has its turn at once again");
        for n in 3..50 {
            assert_eq!(turns.finished(flood), Some(n));
        }
        assert_eq!((turns.finished(flood), turns.finished(quiet)), (None, None));
        assert!(turns.0.is_empty());
    }
}
