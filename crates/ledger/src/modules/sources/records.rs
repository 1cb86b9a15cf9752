//! Records of the register of sources.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Address, Height};
use serde::{Deserialize, Serialize};

use super::keys;
use super::spec::SourceSpec;
use crate::params::params;
use crate::state::{StateError, StateRead, decode, read};

/// A registered source.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct SourceRecord {
    /// As registered.
    pub spec: SourceSpec,
    /// The account that registered it; `None`: the genesis.
    pub owner: Option<Address>,
    /// Height of its registration.
    pub registered_height: Height,
    /// It takes attestations from this epoch on: one whose seed nobody knew when the id was chosen.
    pub active_from_epoch: u64,
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

/// Number of sources in the register.
pub(crate) fn source_count(state: &dyn StateRead) -> Result<u32, StateError> {
    Ok(read(state, keys::SOURCE_COUNT)?.unwrap_or(0))
}
