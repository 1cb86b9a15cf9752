//! A consistent view of the state after one height.

use std::sync::Arc;

use openmesh_ledger::{Pairs, StateError, StateRead, Tip};
use redb::ReadOnlyTable;

use crate::StoreError;

/// The state after [`StateView::tip`], however many blocks are committed meanwhile. The database cannot reuse the room
/// of what a view may still read: hold it for a block or a request, not for ever.
#[derive(Clone)]
pub struct StateView {
    state: Arc<ReadOnlyTable<&'static [u8], &'static [u8]>>,
    tip: Tip,
}

impl StateView {
    pub(crate) fn new(state: ReadOnlyTable<&'static [u8], &'static [u8]>, tip: Tip) -> StateView {
        StateView { state: Arc::new(state), tip }
    }

    /// The tip whose state this is.
    pub const fn tip(&self) -> Tip {
        self.tip
    }

    /// Keys with this prefix in descending order, beginning before `before` (exclusive), at most `limit`: for lists that
    /// show the newest first.
    pub fn scan_back(&self, prefix: &[u8], before: Option<&[u8]>, limit: usize) -> Result<Pairs, StateError> {
        Ok(self.scan_back_inner(prefix, before, limit)?)
    }

    fn scan_back_inner(&self, prefix: &[u8], before: Option<&[u8]>, limit: usize) -> Result<Pairs, StoreError> {
        let end = prefix_end(prefix);
        let end = match (before, &end) {
            (Some(before), Some(end)) => Some(before.min(end.as_slice())),
            (before, end) => before.or(end.as_deref()),
        };
        let range = match end {
            Some(end) if end <= prefix => return Ok(Vec::new()),
            Some(end) => self.state.range(prefix..end)?,
            None => self.state.range(prefix..)?,
        };
        range.rev().take(limit).map(|entry| Ok(pair(entry?))).collect()
    }

    fn scan_inner(&self, prefix: &[u8], from: Option<&[u8]>, limit: usize) -> Result<Pairs, StoreError> {
        let start = from.map_or(prefix, |from| from.max(prefix));
        let mut found = Vec::new();
        for entry in self.state.range(start..)?.take(limit) {
            let entry = entry?;
            if !entry.0.value().starts_with(prefix) {
                break;
            }
            found.push(pair(entry));
        }
        Ok(found)
    }

    fn get_inner(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.state.get(key)?.map(|stored| stored.value().to_vec()))
    }
}

impl StateRead for StateView {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.get_inner(key)?)
    }

    fn scan(&self, prefix: &[u8], from: Option<&[u8]>, limit: usize) -> Result<Pairs, StateError> {
        Ok(self.scan_inner(prefix, from, limit)?)
    }
}

type Guards<'a> = (redb::AccessGuard<'a, &'static [u8]>, redb::AccessGuard<'a, &'static [u8]>);

fn pair((key, value): Guards<'_>) -> (Vec<u8>, Vec<u8>) {
    (key.value().to_vec(), value.value().to_vec())
}

/// The first key after all keys with this prefix; `None` if there is none.
pub(crate) fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte < u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}
