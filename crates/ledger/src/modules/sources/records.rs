//! Records of the register of sources.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Address, Height, Timestamp};
use serde::{Deserialize, Serialize};

use super::keys;
use super::spec::{Origin, SourceKind, SourceSpec};
use crate::params::params;
use crate::state::{StateError, StateRead, decode, read};

/// A registered source.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct SourceRecord {
    /// As registered, with the last change.
    pub spec: SourceSpec,
    /// The account that registered it, and that alone may change or retire it; `None`: the genesis.
    pub owner: Option<Address>,
    /// Height of its registration.
    pub registered_height: Height,
    /// Time of the block of its registration.
    pub registered_time: Timestamp,
    /// It takes attestations from this epoch on: one whose seed nobody knew when the id was chosen.
    pub active_from_epoch: u64,
    /// The last change of its streams.
    pub changed: Option<SourceChange>,
    /// No window is opened from this epoch on; the source leaves the register an epoch later.
    pub retires_from_epoch: Option<u64>,
}

/// A change of a source's streams.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct SourceChange {
    /// First epoch in which the new streams are taken. The old ones are still taken then, for windows that are open.
    pub from_epoch: u64,
    /// Symbols before the change.
    pub symbols_before: Vec<String>,
    /// Feeds before the change.
    pub feeds_before: Vec<String>,
}

impl SourceRecord {
    /// The source as it is to be collected in an epoch.
    pub fn spec_in(&self, epoch: u64) -> SourceSpec {
        match &self.changed {
            Some(change) if epoch < change.from_epoch => self.spec_before(change),
            _ => self.spec.clone(),
        }
    }

    /// Returns true if windows can be opened in an epoch.
    pub fn is_active(&self, epoch: u64) -> bool {
        epoch >= self.active_from_epoch && self.retires_from_epoch.is_none_or(|from| epoch < from)
    }

    /// Returns true if a stream may be spoken of in a block of this epoch.
    pub(crate) fn has_stream(&self, stream: &str, epoch: u64) -> bool {
        let Some(change) = &self.changed else { return self.spec.has_stream(stream) };
        let current = epoch >= change.from_epoch && self.spec.has_stream(stream);
        current || self.spec_before(change).has_stream(stream)
    }

    /// The first window of a live market that ends after the registration; 0 where windows have no times, or those of a
    /// recording or generator.
    pub(crate) fn first_window(&self) -> u64 {
        if self.spec.kind == SourceKind::Chain || self.spec.origin != Origin::Live {
            return 0;
        }
        u64::try_from(self.registered_time.millis()).unwrap_or(0) / self.spec.window_ms.max(1)
    }

    /// The record that stays for ever of a source that leaves the register: at most some 150 bytes, from which its windows and chunks are shown.
    /// Its streams, which are nearly all of it, go.
    pub(crate) fn without_streams(self) -> SourceRecord {
        let spec = SourceSpec { symbols: Vec::new(), feeds: Vec::new(), ..self.spec };
        SourceRecord { spec, changed: None, ..self }
    }

    fn spec_before(&self, change: &SourceChange) -> SourceSpec {
        let (symbols, feeds) = (change.symbols_before.clone(), change.feeds_before.clone());
        SourceSpec { symbols, feeds, ..self.spec.clone() }
    }
}

/// A source. Fails if the store does.
pub fn source(state: &dyn StateRead, id: &str) -> Result<Option<SourceRecord>, StateError> {
    read(state, &keys::source(id))
}

/// All sources in ascending order of id; [`crate::SourcesParams::sources_max`] bounds them. Fails if the store does.
pub fn sources(state: &dyn StateRead) -> Result<Vec<SourceRecord>, StateError> {
    let all = state.scan(keys::SOURCES, None, params(state)?.sources.sources_max as usize)?;
    all.iter().map(|(key, value)| decode(key, value)).collect()
}

/// The last record of a source that has left the register, without its streams. Its id is never given again. Fails if the store does.
pub fn retired_source(state: &dyn StateRead, id: &str) -> Result<Option<SourceRecord>, StateError> {
    read(state, &keys::retired_source(id))
}

/// A source that is in the register, or what stays of one that has left it: for whoever reads of windows that are there yet. Fails if
/// the store does.
pub fn source_or_retired(state: &dyn StateRead, id: &str) -> Result<Option<SourceRecord>, StateError> {
    match source(state, id)? {
        Some(record) => Ok(Some(record)),
        None => retired_source(state, id),
    }
}

/// Number of sources in the register.
pub(crate) fn source_count(state: &dyn StateRead) -> Result<u32, StateError> {
    Ok(read(state, keys::SOURCE_COUNT)?.unwrap_or(0))
}
