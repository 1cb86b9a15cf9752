//! Stamps among the facts, found by their keys in the state also when they have left it.

use openmesh_ledger::{Fact, StampRecord};
use openmesh_primitives::canonical;
use redb::ReadOnlyTable;

use crate::tables::{FACTS, STAMP_FACTS};
use crate::view::prefix_end;
use crate::{Store, StoreError};

/// Most facts of stamps that are returned at once: two pages of a list.
const STAMP_FACTS_READ_MAX: usize = 1_001;

/// A stamp as a fact, which stays when the stamp has left the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StampFact {
    /// The epoch to whose tree it belongs.
    pub epoch: u64,
    /// Position in the tree.
    pub position: u64,
    /// The stamp.
    pub record: StampRecord,
}

impl Store {
    /// Returns the facts of stamps whose key in the state begins with `prefix` ([`openmesh_ledger::keys::stamps_of_hash`] and those
    /// below it), in ascending order of their keys in the index ([`crate::stamp_fact_key`]), beginning behind `after`; at most 1,001.
    /// Of stamps that are older than what this node keeps, or than the snapshot by which it joined, there are none.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn stamp_facts(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<StampFact>, StoreError> {
        let read = self.read()?;
        let (stamps, facts) = (read.open_table(STAMP_FACTS)?, read.open_table(FACTS)?);
        let behind = after.map_or_else(Vec::new, |after| [after, &[0]].concat());
        let start = if behind.as_slice() > prefix { behind.as_slice() } else { prefix };
        let mut found = Vec::new();
        for entry in stamps.range(start..)?.take(limit.min(STAMP_FACTS_READ_MAX)) {
            let (key, place) = entry?;
            if !key.value().starts_with(prefix) {
                break;
            }
            found.push(fact_at(&facts, place.value())?);
        }
        Ok(found)
    }

    /// Returns the facts of stamps in the order of a place, topic or account ([`openmesh_ledger::keys::STAMP_PLACES`] and the like), the
    /// newest first, beginning before `before`; at most 1,001. Of older stamps there are none, as in [`Store::stamp_facts`].
    ///
    /// # Errors
    /// Where the database fails.
    pub fn stamp_facts_back(
        &self,
        prefix: &[u8],
        before: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<StampFact>, StoreError> {
        let read = self.read()?;
        let (stamps, facts) = (read.open_table(STAMP_FACTS)?, read.open_table(FACTS)?);
        // A prefix is letters and a sign, so there is a key behind all that begin with it.
        let end = prefix_end(prefix).unwrap_or_default();
        let end = before.map_or(end.as_slice(), |before| before.min(end.as_slice()));
        if end <= prefix {
            return Ok(Vec::new());
        }
        let places = stamps.range(prefix..end)?.rev().take(limit.min(STAMP_FACTS_READ_MAX));
        places.map(|entry| fact_at(&facts, entry?.1.value())).collect()
    }
}

/// The stamp at a place among the facts.
fn fact_at(
    facts: &ReadOnlyTable<(u64, u64), &'static [u8]>,
    (epoch, position): (u64, u64),
) -> Result<StampFact, StoreError> {
    let bytes = facts.get((epoch, position))?.map(|bytes| bytes.value().to_vec());
    let fact = bytes.map(|bytes| canonical::decode::<Fact>(&bytes)).transpose();
    match fact.map_err(|e| StoreError::damaged("facts", e))? {
        Some(Fact::Stamp(record)) => Ok(StampFact { epoch, position, record }),
        _ => Err(StoreError::damaged("stamp-facts", "an entry leads to no stamp")),
    }
}
