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
    /// The one before it said the same.
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
            let twice = lists.get(key).is_some_and(|shown| shown.list == found);
            lists.insert(key.to_string(), Shown { list: found.clone(), twice });
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
