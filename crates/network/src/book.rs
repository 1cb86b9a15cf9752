//! The configured peers and when to dial each of them again. Pure: time and connection numbers are handed in.
//!
//! A peer that is configured is wanted for ever: it is dialled until it answers, and again when it goes away, with a
//! pause that doubles from [`REDIAL_MIN`] to [`REDIAL_MAX`]. Only a connection that lasted starts the pauses again, so that
//! a peer which hangs up at once (another chain, a ban) is not dialled in a tight loop. An address that turns out to be
//! our own is dropped.

use std::time::Instant;

use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId};

use crate::limits::{CONNECTION_STABLE, REDIAL_MAX, REDIAL_MIN};

#[derive(Debug)]
enum State {
    Waiting { due: Instant },
    Dialing(ConnectionId),
    Connected { peer: PeerId, since: Instant },
    Ourselves,
}

#[derive(Debug)]
struct Entry {
    address: Multiaddr,
    state: State,
    failures: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Book {
    entries: Vec<Entry>,
}

impl Book {
    pub(crate) fn add(&mut self, address: Multiaddr, now: Instant) {
        if self.entries.iter().all(|e| e.address != address) {
            self.entries.push(Entry { address, state: State::Waiting { due: now }, failures: 0 });
        }
    }

    /// Returns the addresses to dial now; the caller reports each dial with [`Book::dialing`] or [`Book::failed_to_dial`].
    pub(crate) fn due(&self, now: Instant) -> Vec<Multiaddr> {
        let due = |e: &&Entry| matches!(e.state, State::Waiting { due } if due <= now);
        self.entries.iter().filter(due).map(|e| e.address.clone()).collect()
    }

    /// Returns the time at which [`Book::due`] will next return something.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let waiting = |e: &Entry| if let State::Waiting { due } = e.state { Some(due) } else { None };
        self.entries.iter().filter_map(waiting).min()
    }

    pub(crate) fn dialing(&mut self, address: &Multiaddr, connection: ConnectionId) {
        if let Some(entry) = self.entries.iter_mut().find(|e| &e.address == address) {
            entry.state = State::Dialing(connection);
        }
    }

    pub(crate) fn failed_to_dial(&mut self, address: &Multiaddr, now: Instant) {
        self.entries.iter_mut().filter(|e| &e.address == address).for_each(|e| e.pause(now));
    }

    pub(crate) fn established(&mut self, connection: ConnectionId, peer: PeerId, now: Instant) {
        if let Some(entry) = self.dialed(connection) {
            entry.state = State::Connected { peer, since: now };
        }
    }

    pub(crate) fn failed(&mut self, connection: ConnectionId, now: Instant) {
        if let Some(entry) = self.dialed(connection) {
            entry.pause(now);
        }
    }

    pub(crate) fn ourselves(&mut self, connection: ConnectionId) {
        if let Some(entry) = self.dialed(connection) {
            entry.state = State::Ourselves;
        }
    }

    /// The last connection with the peer closed.
    pub(crate) fn closed(&mut self, peer: PeerId, now: Instant) {
        for entry in &mut self.entries {
            if let State::Connected { peer: connected, since } = entry.state
                && connected == peer
            {
                if now.duration_since(since) >= CONNECTION_STABLE {
                    entry.failures = 0;
                }
                entry.pause(now);
            }
        }
    }

    fn dialed(&mut self, connection: ConnectionId) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|e| matches!(e.state, State::Dialing(c) if c == connection))
    }
}

impl Entry {
    fn pause(&mut self, now: Instant) {
        let pause = REDIAL_MIN.saturating_mul(1 << self.failures.min(16)).min(REDIAL_MAX);
        self.failures = self.failures.saturating_add(1);
        self.state = State::Waiting { due: now + pause };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_limit_and_start_again_after_success() {
        let address: Multiaddr = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
        let mut now = Instant::now();
        let mut book = Book::default();
        book.add(address.clone(), now);
        book.add(address.clone(), now);
        let mut pauses = Vec::new();
        for round in 0..12 {
            assert_eq!(book.due(now), vec![address.clone()]);
            let connection = ConnectionId::new_unchecked(round);
            book.dialing(&address, connection);
            assert!(book.due(now).is_empty() && book.next_due().is_none());
            book.failed(connection, now);
            let due = book.next_due().unwrap();
            pauses.push(due - now);
            now = due;
        }
        assert_eq!(pauses[0], REDIAL_MIN);
        assert!(pauses.windows(2).all(|w| w[1] == (w[0] * 2).min(REDIAL_MAX)));
        assert_eq!(pauses[11], REDIAL_MAX);

        let connection = ConnectionId::new_unchecked(99);
        let peer = PeerId::random();
        book.dialing(&address, connection);
        book.established(connection, peer, now);
        assert!(book.next_due().is_none());
        book.closed(PeerId::random(), now);
        assert!(book.next_due().is_none());
        let short = now + CONNECTION_STABLE / 2;
        book.closed(peer, short);
        assert_eq!(book.next_due().unwrap() - short, REDIAL_MAX);

        let connection = ConnectionId::new_unchecked(100);
        book.dialing(&address, connection);
        book.established(connection, peer, now);
        let long = now + CONNECTION_STABLE;
        book.closed(peer, long);
        assert_eq!(book.next_due().unwrap() - long, REDIAL_MIN);
    }

    #[test]
    fn our_own_address_is_dialled_once() {
        let address: Multiaddr = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
        let now = Instant::now();
        let mut book = Book::default();
        book.add(address.clone(), now);
        let connection = ConnectionId::new_unchecked(1);
        book.dialing(&address, connection);
        book.ourselves(connection);
        assert!(book.due(now + REDIAL_MAX * 2).is_empty());
    }
}
