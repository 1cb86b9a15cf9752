//! Places for connections (B-74): bounded in all, for an address and for a loan, so that no stranger keeps a guest out.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::limits::{CONNECTIONS_MAX, CONNECTIONS_OF_ADDRESS_MAX, CONNECTIONS_OF_LOAN_MAX};

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

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    /// By address and by loan; names of loans have no colon and no point.
    by: BTreeMap<String, usize>,
}

/// Places of a lender.
#[derive(Clone, Debug, Default)]
pub struct Crowd(Arc<Mutex<Counts>>);

/// A place that is taken, until it is dropped.
#[derive(Debug)]
pub struct Place {
    crowd: Crowd,
    of: String,
    is_first: bool,
}

impl Crowd {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, of: String, most: usize, is_first: bool) -> Option<Place> {
        let mut counts = self.lock();
        if is_first && counts.all >= CONNECTIONS_MAX {
            return None;
        }
        let count = counts.by.entry(of.clone()).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        counts.all += usize::from(is_first);
        drop(counts);
        Some(Place { crowd: self.clone(), of, is_first })
    }

    /// A place for a connection from an address; none where all of them are taken.
    pub fn enter(&self, from: IpAddr) -> Option<Place> {
        self.take(of_person(from), CONNECTIONS_OF_ADDRESS_MAX, true)
    }

    /// A place of a loan beside that of the connection; none where all of them are taken.
    pub fn sit(&self, loan: &str) -> Option<Place> {
        self.take(loan.to_string(), CONNECTIONS_OF_LOAN_MAX, false)
    }

    /// Connections of a loan.
    pub fn of(&self, loan: &str) -> u64 {
        self.lock().by.get(loan).map_or(0, |count| *count as u64)
    }
}

impl Place {
    /// The loan or address that it is of.
    pub fn of(&self) -> &str {
        &self.of
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.crowd.lock();
        counts.all -= usize::from(self.is_first);
        if let Some(count) = counts.by.get_mut(&self.of) {
            *count -= 1;
            if *count == 0 {
                counts.by.remove(&self.of);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_for_each_and_in_all_and_come_back() {
        let crowd = Crowd::default();
        let address = |number: u8| IpAddr::from([10, 0, 0, number]);
        let mut own: Vec<Place> = (0..CONNECTIONS_OF_ADDRESS_MAX).filter_map(|_| crowd.enter(address(1))).collect();
        assert!(own.len() == CONNECTIONS_OF_ADDRESS_MAX && crowd.enter(address(1)).is_none());
        let mapped: IpAddr = "::ffff:10.0.0.1".parse().unwrap();
        assert!(crowd.enter(mapped).is_none(), "the same address in another spelling");
        let others = (2..=u8::MAX).filter_map(|number| crowd.enter(address(number)));
        own.extend(others);
        assert!(own.len() == CONNECTIONS_MAX && crowd.enter(address(1)).is_none());
        own.clear();
        assert!(crowd.enter(address(1)).is_some());
        let one: IpAddr = "2001:db8::1".parse().unwrap();
        let two: IpAddr = "2001:db8::2:1".parse().unwrap();
        assert_eq!(of_person(one), of_person(two), "one person has a /64");
    }

    #[test]
    fn places_of_a_loan_are_its_own() {
        let crowd = Crowd::default();
        let ann: Vec<Place> = (0..99).filter_map(|_| crowd.sit("ann")).collect();
        assert_eq!((ann.len(), crowd.of("ann")), (CONNECTIONS_OF_LOAN_MAX, CONNECTIONS_OF_LOAN_MAX as u64));
        let bob = crowd.sit("bob").unwrap();
        assert_eq!((bob.of(), crowd.of("bob")), ("bob", 1));
        drop(ann);
        assert_eq!(crowd.of("ann"), 0);
    }
}
