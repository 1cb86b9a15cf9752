//! Removal of the tree's nodes that no provable height needs.
//!
//! Each block leaves a list of the nodes that it replaced, and they go when the height before it is no longer provable. A commit removes a
//! bounded number of them, whatever the lists are: a block that changed much of the state (a migration does) made every node of the
//! network replace much, and without a bound each of them would stand still at the same height for it.

use openmesh_primitives::{Height, canonical};
use redb::{ReadableTable, WriteTransaction};

use crate::StoreError;
use crate::tables::{NODES, STALE, VERSIONS};

/// Number of nodes that a commit may remove in any case, so that a backlog goes also while blocks are empty.
const PRUNED_NODES_MIN: usize = 2_000;
/// A commit may remove so many times as many nodes as its block replaced: then a backlog becomes smaller also under a load that lasts.
const PRUNED_PER_REPLACED: usize = 2;

/// Removes what only roots before `oldest` need, oldest first, with a commit whose block replaced so many nodes; what is beyond its
/// bound waits for the next commit.
pub fn prune(write: &WriteTransaction, oldest: Height, replaced: usize) -> Result<(), StoreError> {
    let mut versions = write.open_table(VERSIONS)?;
    let Some(needed) = versions.get(oldest)?.map(|version| version.value()) else { return Ok(()) };
    versions.retain_in(..oldest, |_, _| false)?;
    let (mut stale, mut nodes) = (write.open_table(STALE)?, write.open_table(NODES)?);
    let mut left = PRUNED_NODES_MIN.max(replaced.saturating_mul(PRUNED_PER_REPLACED));
    while left > 0 {
        let Some(version) = stale.first()?.map(|(version, _)| version.value()).filter(|version| *version <= needed)
        else {
            break;
        };
        let Some(list) = stale.remove(version)?.map(|list| list.value().to_vec()) else { break };
        let mut keys: Vec<Vec<u8>> = canonical::decode(&list).map_err(|e| StoreError::damaged("tree-stale", e))?;
        let rest = keys.split_off(keys.len().min(left));
        for key in &keys {
            nodes.remove(key.as_slice())?;
        }
        left -= keys.len();
        // In short lists, under this version and those before it, of which none is left: so that a long list is written once.
        let places = usize::try_from(version).unwrap_or(usize::MAX).saturating_add(1);
        let parts = rest.chunks(PRUNED_NODES_MIN.max(rest.len().div_ceil(places)));
        for (place, part) in (0..=version).rev().zip(parts) {
            stale.insert(place, canonical::encode(&part).as_slice())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use redb::{Database, ReadableDatabase, ReadableTableMetadata};

    use super::*;

    /// Heights that stay provable in these tests.
    const PROOF_HEIGHTS: u64 = 3;

    struct Nodes {
        database: Database,
        height: Height,
        made: u64,
    }

    impl Nodes {
        fn new() -> Nodes {
            let database = Database::builder().create_with_backend(crate::VirtualDisk::default()).unwrap();
            crate::store::make_tables(&database).unwrap();
            Nodes { database, height: 0, made: 0 }
        }

        /// Commits a height, with which so many nodes come and are replaced at once. Returns how many nodes were removed.
        fn commit(&mut self, replaced: usize) -> u64 {
            self.height += 1;
            let before = self.nodes() + replaced as u64;
            let write = self.database.begin_write().unwrap();
            let keys: Vec<Vec<u8>> =
                (self.made..).take(replaced).map(|n| [self.height.to_be_bytes(), n.to_be_bytes()].concat()).collect();
            self.made += replaced as u64;
            {
                let mut nodes = write.open_table(NODES).unwrap();
                for key in &keys {
                    nodes.insert(key.as_slice(), b"node".as_slice()).unwrap();
                }
                if !keys.is_empty() {
                    let mut stale = write.open_table(STALE).unwrap();
                    stale.insert(self.height, canonical::encode(&keys).as_slice()).unwrap();
                }
                write.open_table(VERSIONS).unwrap().insert(self.height, self.height).unwrap();
            }
            prune(&write, self.height.saturating_sub(PROOF_HEIGHTS), replaced).unwrap();
            write.commit().unwrap();
            before - self.nodes()
        }

        fn nodes(&self) -> u64 {
            self.database.begin_read().unwrap().open_table(NODES).unwrap().len().unwrap()
        }

        /// Heights of which replaced nodes are left, with their numbers.
        fn left(&self) -> Vec<(Height, usize)> {
            let stale = self.database.begin_read().unwrap().open_table(STALE).unwrap();
            let mut left = Vec::new();
            for entry in stale.iter().unwrap() {
                let (at, list) = entry.unwrap();
                left.push((at.value(), canonical::decode::<Vec<Vec<u8>>>(list.value()).unwrap().len()));
            }
            left
        }
    }

    /// A long list is put back in parts, of which each commit reads some.
    #[test]
    fn a_long_list_is_put_back_in_short_ones() {
        let mut nodes = Nodes::new();
        for _ in 0..9 {
            nodes.commit(0);
        }
        nodes.commit(9_500);
        for _ in 0..PROOF_HEIGHTS - 1 {
            assert_eq!(nodes.commit(0), 0);
        }
        assert_eq!(nodes.commit(0), 2_000);
        assert_eq!(nodes.left(), [(7, 1_500), (8, 2_000), (9, 2_000), (10, 2_000)]);
        assert_eq!([0; 4].map(|replaced| nodes.commit(replaced)), [2_000, 2_000, 2_000, 1_500]);
        assert_eq!(nodes.left(), []);
    }

    /// As after a migration that wrote much of the state anew.
    #[test]
    fn the_nodes_of_one_large_block_go_some_with_each_commit() {
        let mut nodes = Nodes::new();
        assert_eq!(nodes.commit(5_000), 0);
        assert_eq!([0; 6].map(|replaced| nodes.commit(replaced)), [0, 0, 2_000, 2_000, 1_000, 0]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

        /// No commit removes more than its bound, none removes what a provable height needs, and nothing is left over.
        #[test]
        fn every_commit_removes_a_bounded_number_and_nothing_is_left(
            history in prop::collection::vec(prop_oneof![8 => 0..300usize, 2 => 2_000..7_000usize], 1..25),
        ) {
            let mut nodes = Nodes::new();
            for replaced in &history {
                let removed = nodes.commit(*replaced);
                prop_assert!(removed <= PRUNED_NODES_MIN.max(replaced * PRUNED_PER_REPLACED) as u64, "{}", removed);
                let needed = nodes.height.saturating_sub(PROOF_HEIGHTS);
                let left: BTreeMap<Height, usize> = nodes.left().into_iter().collect();
                for (at, replaced) in (1u64..).zip(&history).filter(|(at, _)| *at > needed && *at <= nodes.height) {
                    prop_assert_eq!(left.get(&at).copied().unwrap_or(0), *replaced, "of height {}", at);
                }
            }
            let all = nodes.nodes() as usize;
            for _ in 0..PROOF_HEIGHTS as usize + 1 + all.div_ceil(PRUNED_NODES_MIN) {
                nodes.commit(0);
            }
            prop_assert_eq!((nodes.nodes(), nodes.left()), (0, vec![]));
        }
    }
}
