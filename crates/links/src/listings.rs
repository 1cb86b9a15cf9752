//! Lists of nft, kept for as long as the kernel says that the rules are the same.
//!
//! A list is a program that is started and its JSON that is read: more than all the rest of a look, every five seconds, on a machine on which nothing happens.
//! So it is asked for again only where the number of the rules ([`Generation`]) is another one.
//!
//! # Why two lists
//! The kernel counts a transaction before the last of it is seen, so that a list which is made at that moment may be of before. Such a list is used, and is
//! not kept: what is kept two lists have shown, one after the other, under one number.
//!
//! # Limits
//! A table that goes with the socket of its owner (`flags owner`) changes no number. No agent's table is one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use openmesh_blueprint::document::Name;
use openmesh_blueprint::generation::HostPort;

use crate::error::LinksError;
use crate::generation::Generation;
use crate::network::Network;
use crate::table::{TableState, list, read_table};

/// Lists of nft in the namespace of the calling threads, shared by all who look.
#[derive(Debug, Default)]
pub struct Listings {
    kept: Mutex<Kept>,
    made: AtomicU64,
}

/// Lists under one number of the rules.
#[derive(Debug, Default)]
struct Kept {
    of: Option<Generation>,
    tables: BTreeMap<String, Shown<TableState>>,
    others: BTreeMap<String, Shown<BTreeMap<HostPort, Name>>>,
}

/// A list that was made.
#[derive(Debug)]
struct Shown<T> {
    list: T,
    /// Moment at which it was there.
    made: Instant,
    /// One that was there before it was begun said the same.
    twice: bool,
}

impl Listings {
    /// Number of lists for which nft was started so far.
    pub fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// Ports of others than an agent: those that are kept, or as `list` finds them now.
    pub(crate) fn others(
        &self,
        agent: &Name,
        list: impl FnOnce() -> Result<BTreeMap<HostPort, Name>, LinksError>,
    ) -> Result<BTreeMap<HostPort, Name>, LinksError> {
        self.find(agent.as_str(), |kept| &mut kept.others, list)
    }

    fn find<T: Clone + PartialEq>(
        &self,
        key: &str,
        place: impl Fn(&mut Kept) -> &mut BTreeMap<String, Shown<T>>,
        list: impl FnOnce() -> Result<T, LinksError>,
    ) -> Result<T, LinksError> {
        // A kernel that does not say it is listed each time.
        let before = Generation::now().ok();
        if let Some(before) = &before {
            let mut guard = self.lock();
            let kept: &mut Kept = &mut guard;
            if kept.is_of(before)
                && let Some(shown) = place(kept).get(key).filter(|shown| shown.twice)
            {
                return Ok(shown.list.clone());
            }
        }
        self.made.fetch_add(1, Ordering::Relaxed);
        let begun = Instant::now();
        let found = list()?;
        if let Some(before) = before
            && Generation::now().and_then(|after| after.is(&before)).unwrap_or(false)
        {
            let mut guard = self.lock();
            let kept: &mut Kept = &mut guard;
            if !kept.is_of(&before) {
                *kept = Kept { of: Some(before), ..Kept::default() };
            }
            let lists = place(kept);
            // Two that are made beside each other, by two who look, may both be of before.
            let is_before = |shown: &Shown<T>| shown.twice || shown.made <= begun;
            let twice = lists.get(key).is_some_and(|shown| shown.list == found && is_before(shown));
            lists.insert(key.to_string(), Shown { list: found.clone(), made: Instant::now(), twice });
        }
        Ok(found)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn is_of(&self, generation: &Generation) -> bool {
        // What cannot be compared is another one.
        self.of.as_ref().is_some_and(|of| of.is(generation).unwrap_or(false))
    }
}

/// Looks at the table in the namespace of the calling thread: by what is kept of it, where nothing has changed the rules since.
///
/// # Errors
/// nft is missing, refuses, or prints something else.
pub fn observe_table(network: &Network, listings: &Listings) -> Result<TableState, LinksError> {
    let table = network.table();
    // Chains and rules follow from the agent's name alone, as the name of the table does: what is kept of it is so for every network of the agent.
    let find = || match list(&table)? {
        None => Ok(TableState::Gone),
        Some(json) => read_table(network, &json).map_err(|reason| LinksError::Json { table: table.clone(), reason }),
    };
    listings.find(&table, |kept| &mut kept.tables, find)
}

#[cfg(test)]
mod tests {
    use nix::sched::{CloneFlags, unshare};

    use super::*;

    /// Each of two who look at the same moment may see what was before a transaction: only a list that was begun after another one was there says more than it.
    #[test]
    fn lists_that_are_made_beside_each_other_count_as_one() {
        let look = || -> Option<u64> {
            unshare(CloneFlags::CLONE_NEWNET).ok()?;
            Generation::now().ok()?;
            let (listings, agent) = (Listings::default(), "one".parse::<Name>().unwrap());
            let list = || Ok(BTreeMap::new());
            listings.others(&agent, || listings.others(&agent, list)).unwrap();
            assert_eq!(listings.made(), 2, "one within the other");
            for _ in 0..3 {
                listings.others(&agent, list).unwrap();
            }
            Some(listings.made())
        };
        match std::thread::spawn(look).join().unwrap() {
            Some(made) => assert_eq!(made, 3, "one more, which is kept"),
            None => println!("skipped: this test needs root and nf_tables"),
        }
    }
}
