//! Places for connections (B-74): bounded in all, for an address and for a loan, so that neither strangers nor other guests keep a guest out.
//!
//! A connection waits until its greeting has shown a key of a loan. Those that wait have places of their own, which take none from guests. Where all of these are
//! taken, the oldest one of the address with the most of them goes for one of an address with fewer: whoever fills them from many addresses has to fill them
//! again within the time of a greeting.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::limits::{SEATS_KEPT, SEATS_MAX, SEATS_OF_LOAN_MAX, WAITING_MAX, WAITING_OF_ADDRESS_MAX};

/// The part of an address that one person has.
fn of_person(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

/// A connection that waits.
#[derive(Debug)]
struct Unknown {
    number: u64,
    of: String,
    /// Another handle of it, by which it is ended.
    socket: Option<TcpStream>,
}

#[derive(Debug, Default)]
struct Counts {
    /// Number of the next connection.
    next: u64,
    /// Those that wait, the oldest first.
    waiting: VecDeque<Unknown>,
    /// Connections by loan.
    loans: BTreeMap<String, usize>,
}

impl Counts {
    /// Connections of an address that wait.
    fn of(&self, person: &str) -> usize {
        self.waiting.iter().filter(|one| one.of == person).count()
    }

    /// Ends the oldest connection of the address that has the most. False where nobody has more than so many.
    fn make_room(&mut self, own: usize) -> bool {
        let most = self.waiting.iter().map(|one| self.of(&one.of)).max().unwrap_or(0);
        let oldest = self.waiting.iter().position(|one| self.of(&one.of) == most).filter(|_| most > own);
        let Some(gone) = oldest.and_then(|at| self.waiting.remove(at)) else { return false };
        if let Some(socket) = gone.socket {
            // One that has ended meanwhile cannot be ended.
            let _ = socket.shutdown(Shutdown::Both);
        }
        true
    }
}

/// Places of a lender.
#[derive(Clone, Debug, Default)]
pub struct Crowd(Arc<Mutex<Counts>>);

/// A place among those that wait, until it is dropped.
#[derive(Debug)]
pub struct Waiting {
    crowd: Crowd,
    number: u64,
}

/// A place of a loan, until it is dropped.
#[derive(Debug)]
pub struct Seat {
    crowd: Crowd,
    loan: String,
}

impl Crowd {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a connection from an address, with another handle of it by which it may be ended for the sake of others; none where there is no place for it.
    pub fn enter(&self, from: IpAddr, socket: Option<TcpStream>) -> Option<Waiting> {
        let (of, mut counts) = (of_person(from), self.lock());
        let own = counts.of(&of);
        if own >= WAITING_OF_ADDRESS_MAX || (counts.waiting.len() >= WAITING_MAX && !counts.make_room(own)) {
            return None;
        }
        let number = counts.next;
        counts.next += 1;
        counts.waiting.push_back(Unknown { number, of, socket });
        Some(Waiting { crowd: self.clone(), number })
    }

    /// A place of a loan; none where all of them are taken.
    pub fn sit(&self, loan: &str) -> Option<Seat> {
        let mut counts = self.lock();
        let (own, all) = (counts.loans.get(loan).copied().unwrap_or(0), counts.loans.values().sum::<usize>());
        if own >= SEATS_KEPT && (own >= SEATS_OF_LOAN_MAX || all >= SEATS_MAX) {
            return None;
        }
        counts.loans.insert(loan.to_string(), own + 1);
        drop(counts);
        Some(Seat { crowd: self.clone(), loan: loan.to_string() })
    }

    /// Connections of a loan.
    pub fn of(&self, loan: &str) -> u64 {
        self.lock().loans.get(loan).map_or(0, |count| *count as u64)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // It may have made room for another one already.
        self.crowd.lock().waiting.retain(|one| one.number != self.number);
    }
}

impl Seat {
    /// The loan that it is of.
    pub fn of(&self) -> &str {
        &self.loan
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut counts = self.crowd.lock();
        if let Some(count) = counts.loans.get_mut(&self.loan) {
            *count -= 1;
            if *count == 0 {
                counts.loans.remove(&self.loan);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::TcpListener;
    use std::time::Duration;

    use super::*;

    fn address(number: usize) -> IpAddr {
        IpAddr::from([10, 0, (number / 256) as u8, (number % 256) as u8])
    }

    #[test]
    fn places_of_an_address_are_bounded_and_come_back() {
        let crowd = Crowd::default();
        let own: Vec<Waiting> = (0..99).filter_map(|_| crowd.enter(address(1), None)).collect();
        assert_eq!(own.len(), WAITING_OF_ADDRESS_MAX);
        let mapped: IpAddr = "::ffff:10.0.0.1".parse().unwrap();
        assert!(crowd.enter(mapped, None).is_none(), "the same address in another spelling");
        drop(own);
        assert!(crowd.enter(address(1), None).is_some());
        let one: IpAddr = "2001:db8::1".parse().unwrap();
        let two: IpAddr = "2001:db8::2:1".parse().unwrap();
        assert_eq!(of_person(one), of_person(two), "one person has a /64");
    }

    #[test]
    fn whoever_fills_all_places_makes_room_for_others() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        theirs.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let crowd = Crowd::default();
        // The oldest of those who have the most, behind somebody who has one.
        let quiet = crowd.enter(address(999), None).unwrap();
        let oldest = crowd.enter(address(0), Some(listener.accept().unwrap().0)).unwrap();
        let rest: Vec<Waiting> = (2..WAITING_MAX).filter_map(|number| crowd.enter(address(number % 3), None)).collect();
        assert_eq!(rest.len(), WAITING_MAX - 2);
        let guest = crowd.enter(address(7), None);
        assert!(guest.is_some());
        assert_eq!(theirs.read(&mut [0; 9]).unwrap(), 0, "the oldest one of the greediest is ended");
        // Its place is counted once, whether it hears of its end before or after.
        drop(oldest);
        assert_eq!(crowd.lock().waiting.len(), WAITING_MAX);
        assert!(crowd.lock().waiting.iter().any(|one| one.number == quiet.number));
        // Nobody takes a place from somebody who has no more than they have.
        let fair = Crowd::default();
        let all: Vec<Waiting> = (0..WAITING_MAX).filter_map(|number| fair.enter(address(number), None)).collect();
        assert!(all.len() == WAITING_MAX && fair.enter(address(0), None).is_none());
    }

    #[test]
    fn places_of_a_loan_are_its_own_and_each_keeps_some() {
        let crowd = Crowd::default();
        let ann: Vec<Seat> = (0..99).filter_map(|_| crowd.sit("ann")).collect();
        assert_eq!((ann.len(), crowd.of("ann")), (SEATS_OF_LOAN_MAX, SEATS_OF_LOAN_MAX as u64));
        let names: Vec<String> = (0..9).map(|number| format!("loan-{number}")).collect();
        let others: Vec<Seat> = (0..99).flat_map(|_| names.iter().filter_map(|name| crowd.sit(name))).collect();
        assert_eq!(ann.len() + others.len(), SEATS_MAX);
        let bob: Vec<Seat> = (0..99).filter_map(|_| crowd.sit("bob")).collect();
        assert_eq!((bob.len(), bob[0].of(), crowd.of("bob")), (SEATS_KEPT, "bob", SEATS_KEPT as u64));
        drop(ann);
        assert_eq!(crowd.of("ann"), 0);
        assert!(crowd.sit("bob").is_some());
    }
}
