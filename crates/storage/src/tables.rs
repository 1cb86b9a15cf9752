//! Tables of the database and the form of their keys. A change here is a change of [`FORMAT`].

use redb::TableDefinition;

/// Version of this layout.
pub const FORMAT: u32 = 1;

/// `format`, `genesis`, `tip` -> canonical bytes.
pub const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
/// State key -> height of its last change (8 bytes, big-endian) and value.
pub const STATE: TableDefinition<&[u8], &[u8]> = TableDefinition::new("state");
/// Version (8 bytes, big-endian) and path -> node of the tree. New nodes come last, which is where inserting is cheap.
pub const NODES: TableDefinition<&[u8], &[u8]> = TableDefinition::new("tree-nodes");
/// Hash of a state key and version (8 bytes, big-endian) -> 1 and value, or 0 if it was deleted.
pub const VALUES: TableDefinition<&[u8], &[u8]> = TableDefinition::new("tree-values");
/// Version since which it is not needed for newer roots, and which table it is in, and its key there.
pub const STALE: TableDefinition<&[u8], ()> = TableDefinition::new("tree-stale");
/// Height -> block, certificate, receipts, events.
pub const BLOCKS: TableDefinition<u64, &[u8]> = TableDefinition::new("blocks");
/// Hash of a transaction -> height and position.
pub const TRANSACTIONS: TableDefinition<[u8; 32], (u64, u32)> = TableDefinition::new("transactions");
/// Height, round, hash -> a proposal's bytes.
pub const UNDECIDED: TableDefinition<(u64, i64, [u8; 32]), &[u8]> = TableDefinition::new("undecided");
/// Height from which a set of validators is in force -> the set.
pub const VALIDATOR_SETS: TableDefinition<u64, &[u8]> = TableDefinition::new("validator-sets");

/// Marks a stale entry of [`NODES`].
pub const STALE_NODE: u8 = 0;
/// Marks a stale entry of [`VALUES`].
pub const STALE_VALUE: u8 = 1;

/// Key of [`VALUES`].
pub fn value_key(key_hash: &[u8; 32], version: u64) -> Vec<u8> {
    [key_hash.as_slice(), &version.to_be_bytes()].concat()
}

/// Key of [`STALE`].
pub fn stale_key(since: u64, kind: u8, key: &[u8]) -> Vec<u8> {
    [since.to_be_bytes().as_slice(), &[kind], key].concat()
}

/// Value of [`STATE`].
pub fn state_value(height: u64, value: &[u8]) -> Vec<u8> {
    [height.to_be_bytes().as_slice(), value].concat()
}

/// Height and value of an entry of [`STATE`].
pub fn state_parts(stored: &[u8]) -> Option<(u64, &[u8])> {
    let (height, value) = stored.split_at_checked(8)?;
    Some((u64::from_be_bytes(height.try_into().ok()?), value))
}
