//! Stamps among the facts, found by their keys in the state also when they have left it.

use openmesh_ledger::{Fact, StampRecord};
use openmesh_primitives::canonical;

use crate::tables::{FACTS, STAMP_FACTS};
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
    pub fn stamp_facts(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<StampFact>, StoreError> {
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
            let (epoch, position) = place.value();
            let bytes = facts.get((epoch, position))?.map(|bytes| bytes.value().to_vec());
            let fact = bytes.map(|bytes| canonical::decode::<Fact>(&bytes)).transpose();
            match fact.map_err(|e| StoreError::damaged("facts", e))? {
                Some(Fact::Stamp(record)) => found.push(StampFact { epoch, position, record }),
                _ => return Err(StoreError::damaged("stamp-facts", "an entry leads to no stamp")),
            }
        }
        Ok(found)
    }
}
