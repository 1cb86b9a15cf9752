//! Tables of the database and the form of their keys. A change here is a change of [`FORMAT`].

use borsh::BorshDeserialize;
use openmesh_primitives::canonical;
use redb::{ReadableTable, TableDefinition};

use crate::StoreError;

/// Version of this layout. 2: blocks carry the commit of their parent. 3: epochs of block time, facts beside the state. 4: closed
/// epochs in a part of the tree of their own. 5: receipts with the tip, the supply by its places, the base fee; stamps, in the state
/// and among the facts. 6: headers with the beacon's proof, windows with commitments, turns of proposers in the state. 7: closed
/// epochs with the number of keys of their details. The way from an older one to this one is in `format.rs`.
pub const FORMAT: u32 = 7;

/// `format`, `genesis`, `tip`, `migrated-roots` and a few counts -> canonical bytes.
pub const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
/// State key -> value, after the tip.
pub const STATE: TableDefinition<&[u8], &[u8]> = TableDefinition::new("state");
/// Version and path of a node of the tree -> the node, and a leaf's value behind it. New nodes come last, which is where
/// inserting is cheap.
pub const NODES: TableDefinition<&[u8], &[u8]> = TableDefinition::new("tree-nodes");
/// Version of the tree -> keys in [`NODES`] that are not needed from it on (canonical list of byte strings). A long list goes in parts,
/// which stand under versions of which no list is left.
pub const STALE: TableDefinition<u64, &[u8]> = TableDefinition::new("tree-stale");
/// Height -> version of the tree after it, for the heights that proofs can be made for.
pub const VERSIONS: TableDefinition<u64, u64> = TableDefinition::new("tree-versions");
/// Height -> block, certificate, receipts, events.
pub const BLOCKS: TableDefinition<u64, &[u8]> = TableDefinition::new("blocks");
/// Account, height, position (20, 8, 4 bytes, big-endian) of each transaction that an account sent or that names it.
pub const ACCOUNTS: TableDefinition<[u8; 32], ()> = TableDefinition::new("account-transactions");
/// Last height that a set of validators decided -> header (which announces the next set) and certificate, of blocks that were
/// removed.
pub const SET_CHANGES: TableDefinition<u64, &[u8]> = TableDefinition::new("validator-set-changes");
/// Hash of a transaction -> height and position.
pub const TRANSACTIONS: TableDefinition<[u8; 32], (u64, u32)> = TableDefinition::new("transactions");
/// Height, round, hash -> a proposal's bytes.
pub const UNDECIDED: TableDefinition<(u64, i64, [u8; 32]), &[u8]> = TableDefinition::new("undecided");
/// Height from which a set of validators is in force -> the set.
pub const VALIDATOR_SETS: TableDefinition<u64, &[u8]> = TableDefinition::new("validator-sets");

/// Epoch and position -> canonical bytes of a fact, as long as blocks of its age are kept.
pub const FACTS: TableDefinition<(u64, u64), &[u8]> = TableDefinition::new("facts");
/// State key of an agreed chunk -> epoch and position of its fact, also when the chunk has left the state; as long as the fact is kept.
pub const CHUNK_FACTS: TableDefinition<&[u8], (u64, u64)> = TableDefinition::new("chunk-facts");
/// The keys of a stamp in the state (its own with height and number behind it, 8 and 4 bytes, big-endian, and those of its place, topic
/// and account) -> epoch and position of its fact, also when the stamp has left the state; as long as the fact is kept. An account may
/// stamp the same again after that, so the stamp's own key alone does not tell which.
pub const STAMP_FACTS: TableDefinition<&[u8], (u64, u64)> = TableDefinition::new("stamp-facts");

/// A value of [`META`].
pub fn get_meta<T: BorshDeserialize>(
    meta: &impl ReadableTable<&'static str, &'static [u8]>,
    key: &str,
) -> Result<Option<T>, StoreError> {
    let Some(stored) = meta.get(key)? else { return Ok(None) };
    canonical::decode(stored.value()).map(Some).map_err(|e| StoreError::damaged(key, e))
}
