//! Access to the state: the trait that storage implements, and an overlay of writes that are not stored yet.

use std::collections::BTreeMap;
use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::canonical;

/// The state cannot be read: this node's own store is broken, or not of this network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// The store failed.
    #[error("the state cannot be read: {0}")]
    Read(String),
    /// A value that is not of its key's type.
    #[error("the state's value under {key:?} is damaged: {reason}")]
    Damaged {
        /// The key, readable.
        key: String,
        /// The fault.
        reason: String,
    },
    /// A value that must be there is not.
    #[error("the state has no value under {0:?}, which every state of a network has")]
    Absent(String),
}

/// Keys and values, in ascending order of key.
pub type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// A state that can be read: a consistent view that does not change while it is held.
pub trait StateRead {
    /// The value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError>;

    /// Keys with this prefix in ascending order, beginning at `from` (inclusive), at most `limit`.
    fn scan(&self, prefix: &[u8], from: Option<&[u8]>, limit: usize) -> Result<Pairs, StateError>;
}

/// A key as people can read it: printable bytes as they are, others as `\xNN`.
pub(crate) fn readable(key: &[u8]) -> String {
    key.escape_ascii().to_string()
}

/// Reads and decodes.
pub(crate) fn read<T: BorshDeserialize>(state: &dyn StateRead, key: &[u8]) -> Result<Option<T>, StateError> {
    state.get(key)?.map(|bytes| decode(key, &bytes)).transpose()
}

pub(crate) fn decode<T: BorshDeserialize>(key: &[u8], bytes: &[u8]) -> Result<T, StateError> {
    canonical::decode(bytes).map_err(|e| StateError::Damaged { key: readable(key), reason: e.to_string() })
}

/// Reads a value that every state has.
pub(crate) fn need<T: BorshDeserialize>(state: &dyn StateRead, key: &[u8]) -> Result<T, StateError> {
    read(state, key)?.ok_or_else(|| StateError::Absent(readable(key)))
}

impl StateRead for BTreeMap<Vec<u8>, Vec<u8>> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        Ok(BTreeMap::get(self, key).cloned())
    }

    fn scan(&self, prefix: &[u8], from: Option<&[u8]>, limit: usize) -> Result<Pairs, StateError> {
        let start = from.map_or(prefix, |from| from.max(prefix));
        let found = self.range(start.to_vec()..).take_while(|(key, _)| key.starts_with(prefix)).take(limit);
        Ok(found.map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}

impl<S: StateRead + ?Sized> StateRead for &S {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        (**self).get(key)
    }

    fn scan(&self, prefix: &[u8], from: Option<&[u8]>, limit: usize) -> Result<Pairs, StateError> {
        (**self).scan(prefix, from, limit)
    }
}

/// State keys and their new values; `None` deletes.
type Writes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// A state read through writes that are not stored yet.
#[derive(Clone, Debug)]
pub struct Overlay<S> {
    base: Layer<S>,
    writes: Writes,
}

/// A state with writes over it that others hold as well: they are read through, and never copied.
#[derive(Clone, Debug)]
struct Layer<S> {
    base: S,
    writes: Option<Arc<Writes>>,
}

impl<S: StateRead> Overlay<S> {
    /// No writes yet.
    pub const fn new(base: S) -> Overlay<S> {
        Overlay { base: Layer { base, writes: None }, writes: BTreeMap::new() }
    }

    /// No writes of its own yet, over these.
    pub(crate) const fn over(base: S, writes: Arc<Writes>) -> Overlay<S> {
        Overlay { base: Layer { base, writes: Some(writes) }, writes: BTreeMap::new() }
    }

    /// Writes a value in its canonical form.
    pub fn put<T: BorshSerialize>(&mut self, key: Vec<u8>, value: &T) {
        self.writes.insert(key, Some(canonical::encode(value)));
    }

    /// Deletes a key.
    pub fn delete(&mut self, key: Vec<u8>) {
        self.writes.insert(key, None);
    }

    /// Takes further writes over its own.
    pub(crate) fn absorb(&mut self, writes: BTreeMap<Vec<u8>, Option<Vec<u8>>>) {
        self.writes.extend(writes);
    }

    /// The state under it, without any writes.
    pub(crate) const fn base(&self) -> &S {
        &self.base.base
    }

    /// Its own writes.
    pub fn into_writes(self) -> BTreeMap<Vec<u8>, Option<Vec<u8>>> {
        self.writes
    }
}

impl<S: StateRead> StateRead for Overlay<S> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        match self.writes.get(key) {
            Some(written) => Ok(written.clone()),
            None => self.base.get(key),
        }
    }

    fn scan(&self, prefix: &[u8], from: Option<&[u8]>, limit: usize) -> Result<Pairs, StateError> {
        scan_through(&self.base, &self.writes, prefix, from, limit)
    }
}

impl<S: StateRead> StateRead for Layer<S> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        match self.writes.as_ref().and_then(|writes| writes.get(key)) {
            Some(written) => Ok(written.clone()),
            None => self.base.get(key),
        }
    }

    fn scan(&self, prefix: &[u8], from: Option<&[u8]>, limit: usize) -> Result<Pairs, StateError> {
        match &self.writes {
            Some(writes) => scan_through(&self.base, writes, prefix, from, limit),
            None => self.base.scan(prefix, from, limit),
        }
    }
}

/// Scans a state through writes over it.
fn scan_through<S: StateRead>(
    base: &S,
    writes: &Writes,
    prefix: &[u8],
    from: Option<&[u8]>,
    limit: usize,
) -> Result<Pairs, StateError> {
    let mut found = Vec::new();
    let mut cursor = from.map_or(prefix, |from| from.max(prefix)).to_vec();
    while found.len() < limit {
        let page = base.scan(prefix, Some(&cursor), limit)?;
        let last = (page.len() == limit).then(|| page.last().map(|(key, _)| key.clone())).flatten();
        let mut merged: Writes = page.into_iter().map(|(k, v)| (k, Some(v))).collect();
        let written = writes
            .range(cursor..)
            .take_while(|(key, _)| key.starts_with(prefix) && last.as_ref().is_none_or(|last| *key <= last));
        merged.extend(written.map(|(key, value)| (key.clone(), value.clone())));
        found.extend(merged.into_iter().filter_map(|(key, value)| Some((key, value?))));
        match last {
            Some(last) => cursor = [last.as_slice(), &[0]].concat(),
            None => break,
        }
    }
    found.truncate(limit);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_that_are_shared_are_read_through_and_are_no_own_ones() {
        let mut base: BTreeMap<Vec<u8>, Vec<u8>> = (0..60u8).map(|n| (vec![b'a', n], vec![n])).collect();
        base.insert(b"b".to_vec(), vec![1]);
        let mut shared = Writes::new();
        shared.extend((0..60u8).step_by(3).map(|n| (vec![b'a', n], None)));
        shared.extend((0..60u8).step_by(4).map(|n| (vec![b'a', n, 1], Some(vec![7]))));
        let shared = Arc::new(shared);
        let mut overlay = Overlay::over(&base, Arc::clone(&shared));
        let mut own = Writes::new();
        for n in (0..60u8).step_by(6) {
            // Back again after the shared writes took it away, and one of theirs taken away.
            overlay.put(vec![b'a', n], &9u8);
            overlay.delete(vec![b'a', n, 1]);
            own.extend([(vec![b'a', n], Some(vec![9])), (vec![b'a', n, 1], None)]);
        }
        let mut plain = base.clone();
        for (key, value) in shared.iter().chain(&own) {
            match value {
                Some(value) => plain.insert(key.clone(), value.clone()),
                None => plain.remove(key),
            };
        }
        for limit in [0, 1, 2, 7, 59, 60, 61, 1_000] {
            for from in [None, Some(vec![b'a', 10]), Some(vec![b'a', 30, 0]), Some(vec![b'b'])] {
                let from = from.as_deref();
                assert_eq!(overlay.scan(b"a", from, limit), plain.scan(b"a", from, limit), "{limit} {from:?}");
            }
        }
        for key in base.keys().chain(shared.keys()) {
            assert_eq!(overlay.get(key).unwrap(), plain.get(key).cloned(), "{key:?}");
        }
        assert_eq!(overlay.base().len(), 61);
        assert_eq!(overlay.into_writes(), own);
        assert_eq!(Arc::strong_count(&shared), 1, "nobody keeps them");
    }
}
