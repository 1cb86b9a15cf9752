//! The roots of migrated states that a node remembers. Clause U10 of `docs/spec/upgrades.md`.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Digest, Height, canonical};
use redb::{ReadableTable, WriteTransaction};

use crate::StoreError;
use crate::tables::{META, get_meta};

/// Key of META: the [`MigratedRoot`]s.
const MIGRATED: &str = "migrated-roots";

/// The root of the state with the writes of a migration and nothing else: what a rehearsal predicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct MigratedRoot {
    /// The rule set that came into force.
    pub version: u32,
    /// Height of its first block.
    pub height: Height,
    /// The root.
    pub root: Digest,
}

/// Writes the root of a migration down.
pub fn remember(write: &WriteTransaction, root: MigratedRoot) -> Result<(), StoreError> {
    let mut meta = write.open_table(META)?;
    let mut roots = remembered(&meta)?;
    roots.push(root);
    meta.insert(MIGRATED, canonical::encode(&roots).as_slice())?;
    Ok(())
}

/// The roots that are written down, oldest first.
pub fn remembered(meta: &impl ReadableTable<&'static str, &'static [u8]>) -> Result<Vec<MigratedRoot>, StoreError> {
    Ok(get_meta(meta, MIGRATED)?.unwrap_or_default())
}
