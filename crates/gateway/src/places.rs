//! Places that peers share: connections and streams.
//!
//! A number alone can be taken whole by one stranger. So the first half of the places goes to whoever comes; of the other half each
//! peer has at most a share, so that many peers find a place beside one that takes all it gets.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::peer::Peer;

/// Shares into which the second half is divided: a share of connections then is what some pages of Studio open.
const SHARES: usize = 32;

/// Places that peers share; a cheap clone.
#[derive(Debug, Clone)]
pub struct Places(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    places_max: usize,
    taken: Mutex<HashMap<Peer, usize>>,
}

/// A place; given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    all: Places,
    of: Peer,
}

impl Places {
    /// So many places.
    pub fn new(places_max: usize) -> Places {
        Places(Arc::new(Inner { places_max, taken: Mutex::default() }))
    }

    /// Takes a place; `None` where there is none for this peer.
    pub fn take(&self, of: Peer) -> Option<Place> {
        let Inner { places_max, taken } = &*self.0;
        let share = (places_max / 2 / SHARES).max(1);
        let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = taken.values().sum();
        let own = taken.get(&of).copied().unwrap_or(0);
        if all >= *places_max || (all >= places_max / 2 && own >= share) {
            return None;
        }
        taken.insert(of, own + 1);
        drop(taken);
        Some(Place { all: self.clone(), of })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.all.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(&self.of) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(taken.remove(&self.of)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};

    fn peer(n: u8) -> Peer {
        IpAddr::V4(Ipv4Addr::new(10, 0, 0, n)).into()
    }

    #[test]
    fn one_peer_leaves_places_for_others_and_all_find_one_while_there_is_any() {
        let places = Places::new(128);
        let greedy: Vec<Place> = std::iter::from_fn(|| places.take(peer(1))).take(1_000).collect();
        assert_eq!(greedy.len(), 64, "half");
        let others: Vec<Place> =
            (2..=250).flat_map(|n| [places.take(peer(n)), places.take(peer(n))]).flatten().collect();
        assert_eq!(others.len(), 64, "all that is left");
        assert!(places.take(peer(251)).is_none());
        drop(greedy);
        assert!(places.take(peer(251)).is_some());
        drop(others);
        assert!(places.0.taken.lock().unwrap().is_empty(), "nobody is remembered who holds nothing");
        assert!(Places::new(1).take(peer(1)).is_some());
    }
}
