//! The state in chunks: exported, checked one by one, restored elsewhere; lies are named, interruptions cost nothing.

use std::collections::BTreeMap;
use std::path::Path;

use openmesh_ledger::{Block, Certificate, Genesis, StateRead, check_supply};
use openmesh_primitives::{Address, Amount, Digest};
use openmesh_storage::{
    ChunkError, ChunkParts, Restore, RestoreError, SnapshotChunk, SnapshotTarget, Store, StoreConfig, StoreError,
    check_chunk, chunk_count, verify_chunk,
};

use crate::chain::{Chain, account, certificate, genesis, validators};

fn config() -> StoreConfig {
    StoreConfig { proof_heights: 100, ..StoreConfig::default() }
}

fn address(number: u32) -> Address {
    let hash = openmesh_primitives::sha256(&[&number.to_be_bytes()]);
    let mut address = [0; 20];
    address.copy_from_slice(&hash.0[..20]);
    Address(address)
}

fn populated(accounts: u32) -> Genesis {
    let mut genesis = genesis();
    genesis.accounts.extend((0..accounts).map(|number| (address(number), Amount::open(1))));
    genesis
}

fn chain(dir: &Path, accounts: u32) -> Chain {
    let store = Store::open_with(dir, config()).unwrap();
    store.initialise(&populated(accounts)).unwrap();
    let chain = Chain { store, validators: validators(), account: account() };
    (0..3).for_each(|_| drop(chain.advance()));
    chain
}

/// The state after the block before the tip: its root stands in the tip's header.
fn target(chain: &Chain, genesis: &Genesis) -> SnapshotTarget {
    let tip = chain.store.tip().height;
    let (block, next) = (chain.store.block(tip - 1).unwrap().unwrap(), chain.store.block(tip).unwrap().unwrap());
    SnapshotTarget {
        genesis: genesis.clone(),
        block: block.block,
        certificate: block.certificate,
        state_root: next.block.header.state_root,
        depth: chain.store.snapshot_depth(tip - 1).unwrap(),
        walk_from: 0,
        first_validators: genesis.validator_set().unwrap(),
        changes: Vec::new(),
    }
}

fn bytes(chunk: &SnapshotChunk) -> Vec<u8> {
    openmesh_primitives::canonical::encode(chunk)
}

fn chunks(chain: &Chain, target: &SnapshotTarget) -> Vec<SnapshotChunk> {
    let height = target.block.header.height;
    (0..chunk_count(target.depth)).map(|n| chain.store.snapshot_chunk(height, target.depth, n).unwrap()).collect()
}

/// Commits a block that another store has committed.
fn follow(store: &Store, block: &Block, certificate: &Certificate) {
    let execution = openmesh_ledger::execute_block(&store.state().unwrap(), block).unwrap();
    let prepared = store.prepare(&execution).unwrap();
    store.commit(block, certificate, &execution, prepared).unwrap();
}

fn restored(dir: &Path, target: &SnapshotTarget, chunks: &[SnapshotChunk]) -> Store {
    let mut restore = Restore::begin(dir, config(), target.clone()).unwrap();
    let missing: Vec<u32> = restore.missing().collect();
    // Backwards: the order does not matter.
    for index in missing.into_iter().rev() {
        restore.add(index, &bytes(&chunks[index as usize])).unwrap();
    }
    restore.finish().unwrap()
}

#[test]
fn a_hundred_thousand_accounts_come_over() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let genesis = populated(100_000);
    let chain = chain(here.path(), 100_000);
    let target = target(&chain, &genesis);
    assert_eq!(chunk_count(target.depth), 256);
    let chunks = chunks(&chain, &target);
    let rows: usize = chunks.iter().map(|chunk| chunk.rows.len()).sum();
    assert!(rows > 100_000, "{rows} rows");
    let largest = chunks.iter().map(|chunk| borsh::to_vec(chunk).unwrap().len()).max().unwrap();
    assert!(largest < 256 << 10, "the largest chunk has {largest} bytes");

    let store = restored(there.path(), &target, &chunks);
    assert_eq!((store.tip().height, store.tip().state_root), (2, target.state_root));
    check_supply(&store.state().unwrap()).unwrap();
    // It is the state of that height, and goes on as the other did.
    let tip = chain.store.block(3).unwrap().unwrap();
    follow(&store, &tip.block, &tip.certificate);
    assert_eq!(store.tip(), chain.store.tip());
    let all = |store: &Store| store.state().unwrap().scan(b"", None, usize::MAX).unwrap();
    assert!(all(&store) == all(&chain.store), "every row is the same");
    let block = chain.draft(&[]);
    let execution = chain.commit(&block);
    follow(&store, &block, &certificate(&chain.validators, &block));
    assert_eq!(store.tip(), chain.store.tip());
    assert_eq!(store.validators_at(5).unwrap(), chain.store.validators_at(5).unwrap());
    drop(execution);
    // It survives a restart, and hands the state on.
    drop(store);
    let store = Store::open_with(there.path(), config()).unwrap();
    store.initialise(&genesis).unwrap();
    let (key, value) = (&chunks[7].rows[0].0, &chunks[7].rows[0].1);
    assert_eq!(store.prove(key, 2).unwrap().0.as_ref(), Some(value));
    assert_eq!(store.snapshot_chunk(2, target.depth, 7).unwrap(), chunks[7]);
}

/// Every kind of lie, in every depth.
#[test]
fn a_lying_chunk_is_refused_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let chain = chain(dir.path(), 60);
    let root = chain.store.tip().state_root;
    let height = chain.store.tip().height;
    let mut lies = 0;
    for depth in 0..=3 {
        let count = chunk_count(depth);
        let all: Vec<SnapshotChunk> =
            (0..count).map(|n| chain.store.snapshot_chunk(height, depth, n).unwrap()).collect();
        let honest: BTreeMap<Vec<u8>, Vec<u8>> = all.iter().flat_map(|chunk| chunk.rows.iter().cloned()).collect();
        let state = chain.store.state().unwrap().scan(b"", None, usize::MAX).unwrap();
        assert_eq!(honest.into_iter().collect::<Vec<_>>(), state, "depth {depth}: all rows, each once");
        for (index, chunk) in (0u32..).zip(&all) {
            assert_eq!(verify_chunk(&root, depth, index, chunk), Ok(()), "{depth}/{index}");
            for lie in lies_about(chunk, &all[(index as usize + 1) % all.len()]) {
                assert!(verify_chunk(&root, depth, index, &lie).is_err(), "{depth}/{index}: {lie:?} for {chunk:?}");
                lies += 1;
            }
            if count > 1 {
                let other = (index + 1) % count;
                let elsewhere = verify_chunk(&root, depth, other, chunk);
                // Two empty chunks below the same branch have the same proof.
                let same = chunk.rows.is_empty() && all[other as usize].rows.is_empty();
                assert!(same || elsewhere.is_err(), "{depth}: {index} passed off as {other}");
            }
        }
        assert_eq!(
            verify_chunk(&root, depth, count, &all[0]),
            Err(ChunkError::Number { index: count, depth }),
            "no such chunk"
        );
        assert!(verify_chunk(&Digest([1; 32]), depth, 0, &all[0]).is_err());
    }
    assert!(lies > 1_000, "{lies} lies only");
}

/// Alterations of a chunk.
fn lies_about(chunk: &SnapshotChunk, other: &SnapshotChunk) -> Vec<SnapshotChunk> {
    let mut lies = Vec::new();
    let mut lie = |change: &dyn Fn(&mut SnapshotChunk)| {
        let mut altered = chunk.clone();
        change(&mut altered);
        if altered != *chunk {
            lies.push(altered);
        }
    };
    lie(&|c| drop(c.rows.pop()));
    lie(&|c| c.rows.clear());
    lie(&|c| c.rows.reverse());
    lie(&|c| c.rows.extend(c.rows.first().cloned()));
    lie(&|c| c.rows.extend(other.rows.first().cloned()));
    lie(&|c| c.rows.extend_from_slice(&[(b"made up".to_vec(), b"x".to_vec())]));
    lie(&|c| c.rows.iter_mut().take(1).for_each(|(_, value)| value.push(0)));
    lie(&|c| c.rows.iter_mut().take(1).for_each(|(key, _)| key.push(0)));
    lie(&|c| c.proof.truncate(c.proof.len().saturating_sub(1)));
    lie(&|c| c.proof.extend(c.proof.last().cloned()));
    lie(&|c| c.proof.iter_mut().for_each(|branch| branch.reverse()));
    // A row that is hidden: its leaf is said to stand elsewhere.
    for level in 0..chunk.proof.len() {
        for from in 0..16 {
            lie(&|c| c.proof[level][from] = None);
            lie(&|c| c.proof[level].swap(from, (from + 1) % 16));
            lie(&|c| {
                c.rows.clear();
                c.proof[level].swap(from, (from + 1) % 16);
            });
        }
    }
    lies
}

#[test]
fn a_restore_goes_on_after_a_crash_and_takes_nothing_twice() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let genesis = populated(3_000);
    let chain = chain(here.path(), 3_000);
    let target = SnapshotTarget { depth: 1, ..target(&chain, &genesis) };
    let chunks = chunks(&chain, &target);
    let mut restore = Restore::begin(there.path(), config(), target.clone()).unwrap();
    for index in [3, 1, 2, 1] {
        restore.add(index, &bytes(&chunks[index as usize])).unwrap();
    }
    // A liar is named, and what he sent leaves no trace.
    let mut lie = chunks[5].clone();
    lie.rows[0].1.push(1);
    let refused = restore.add(5, &bytes(&lie));
    assert!(matches!(refused, Err(RestoreError::Chunk { index: 5, source: ChunkError::Proof })), "{refused:?}");
    // The process dies: nothing is finished, and the store is not there yet.
    drop(restore);
    assert!(!there.path().join("ledger.redb").exists());

    let mut restore = Restore::begin(there.path(), config(), target.clone()).unwrap();
    let missing: Vec<u32> = restore.missing().collect();
    assert_eq!(missing, [0, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
    for index in missing {
        restore.add(index, &bytes(&chunks[index as usize])).unwrap();
    }
    let store = restore.finish().unwrap();
    assert_eq!(store.tip().state_root, target.state_root);
    drop(store);
    assert!(matches!(Restore::begin(there.path(), config(), target), Err(RestoreError::Occupied(_))));
}

#[test]
fn a_restore_of_another_target_begins_anew() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let genesis = populated(100);
    let chain = chain(here.path(), 100);
    let first = SnapshotTarget { depth: 1, ..target(&chain, &genesis) };
    let mut restore = Restore::begin(there.path(), config(), first.clone()).unwrap();
    restore.add(0, &bytes(&chunks(&chain, &first)[0])).unwrap();
    assert!(matches!(restore.finish(), Err(RestoreError::Incomplete(15))));
    chain.advance();
    let second = SnapshotTarget { depth: 1, ..target(&chain, &genesis) };
    let restore = Restore::begin(there.path(), config(), second.clone()).unwrap();
    assert_eq!(restore.missing().count(), 16);
    drop(restore);
    let store = restored(there.path(), &second, &chunks(&chain, &second));
    assert_eq!(store.tip().state_root, second.state_root);

    let other = SnapshotTarget { certificate: first.certificate.clone(), ..second };
    let elsewhere = tempfile::tempdir().unwrap();
    assert!(matches!(Restore::begin(elsewhere.path(), config(), other), Err(RestoreError::Target(_))));
}

/// Any flipped bit of a chunk's bytes is refused, in a chunk of rows, one of a single row, and an empty one.
#[test]
fn a_flipped_bit_is_refused_wherever_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let chain = chain(dir.path(), 60);
    let (root, height) = (chain.store.tip().state_root, chain.store.tip().height);
    for (depth, indices) in [(0, 0..1), (1, 0..16), (2, 0..40)] {
        for index in indices {
            let honest = bytes(&chain.store.snapshot_chunk(height, depth, index).unwrap());
            assert!(check_chunk(&root, depth, index, &honest).is_ok());
            // In the larger ones every third: a prime against the size of a byte, so that all places come about.
            for bit in (0..honest.len() * 8).step_by(if depth == 0 { 7 } else { 3 }) {
                let mut altered = honest.clone();
                altered[bit / 8] ^= 1 << (bit % 8);
                assert!(check_chunk(&root, depth, index, &altered).is_err(), "bit {bit} of chunk {depth}/{index}");
            }
            assert!(check_chunk(&root, depth, index, &honest[..honest.len() - 1]).is_err());
            assert!(check_chunk(&root, depth, index, &[honest.as_slice(), &[0]].concat()).is_err());
        }
    }
}

/// A crash at any step leaves what the next try goes on from, and never a store that is not whole.
#[test]
fn a_restore_that_is_interrupted_anywhere_comes_to_the_same_store() {
    let here = tempfile::tempdir().unwrap();
    let genesis = populated(500);
    let chain = chain(here.path(), 500);
    let target = SnapshotTarget { depth: 1, ..target(&chain, &genesis) };
    let chunks = chunks(&chain, &target);
    let there = tempfile::tempdir().unwrap();
    let folder = there.path().join("restoring");
    let begin = || Restore::begin(there.path(), config(), target.clone()).unwrap();
    for (index, chunk) in (0u32..).zip(&chunks) {
        // A chunk that was half written when the process was killed, one of which only the room was left, and a part of a build.
        std::fs::create_dir_all(&folder).unwrap();
        let mut half = bytes(chunk);
        half.truncate(half.len() / 2);
        std::fs::write(folder.join(format!("{index:05x}")), &half).unwrap();
        std::fs::write(folder.join(format!("{:05x}", (index + 1) % 16)), vec![0; 100]).unwrap();
        std::fs::write(there.path().join("restoring.redb"), b"half of a database").unwrap();
        std::fs::write(folder.join("run-0"), b"half of a run").unwrap();
        let mut restore = begin();
        let missing: Vec<u32> = restore.missing().collect();
        assert!(missing.contains(&index) && missing.contains(&((index + 1) % 16)), "{index}: {missing:?}");
        restore.add(index, &half).unwrap_err();
        restore.add(index, &bytes(chunk)).unwrap();
        assert!(!there.path().join("ledger.redb").exists());
    }
    let mut restore = begin();
    let missing: Vec<u32> = restore.missing().collect();
    assert_eq!(missing, [0], "the last step spoilt the first chunk once more");
    restore.add(0, &bytes(&chunks[0])).unwrap();
    // The disk spoils a chunk between the last check and the build: it is refused, and fetched again.
    std::fs::write(folder.join("00007"), b"rot").unwrap();
    let refused = restore.finish().map(drop).unwrap_err();
    assert!(matches!(refused, RestoreError::Store(StoreError::Damaged(_))), "{refused:?}");
    assert!(!there.path().join("ledger.redb").exists());
    let mut restore = begin();
    assert_eq!(restore.missing().collect::<Vec<_>>(), [7]);
    restore.add(7, &bytes(&chunks[7])).unwrap();
    let store = restore.finish().unwrap();
    assert_eq!(store.tip().state_root, target.state_root);
    assert!(!folder.exists(), "nothing is left of the restore");
}

/// A node that was away for too long takes the state of now over its own.
#[test]
fn an_old_store_is_replaced_whole() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let genesis = populated(100);
    let old = Store::open_with(there.path(), config()).unwrap();
    old.initialise(&genesis).unwrap();
    let chain = chain(here.path(), 100);
    let target = SnapshotTarget { depth: 0, ..target(&chain, &genesis) };
    let mut restore = Restore::begin_over(there.path(), config(), target.clone()).unwrap();
    restore.add(0, &bytes(&chunks(&chain, &target)[0])).unwrap();
    assert_eq!(old.tip().height, 0);
    drop(old);
    let store = restore.finish().unwrap();
    assert_eq!((store.tip().height, store.tip().state_root), (2, target.state_root));
    assert_eq!((store.oldest_block(), store.block(1).unwrap()), (2, None));
    assert_eq!(store.fact_proof(0, 0).unwrap(), None, "a fact of before is not held here");
}

#[test]
fn heights_without_proofs_have_no_chunks() {
    let dir = tempfile::tempdir().unwrap();
    let chain = chain(dir.path(), 10);
    assert!(matches!(chain.store.snapshot_chunk(9, 0, 0), Err(StoreError::Beyond { .. })));
    assert!(matches!(chain.store.snapshot_chunk(3, 9, 0), Err(StoreError::NoChunk { .. })));
    assert!(matches!(chain.store.snapshot_chunk(3, 1, 16), Err(StoreError::NoChunk { .. })));
}

/// A store that is taken the place of leaves its facts to the one that does, and its file where it was to keep everything.
#[test]
fn facts_outlive_a_join_and_an_archive_stays_beside_it() {
    let here = tempfile::tempdir().unwrap();
    let genesis = populated(100);
    let chain = chain(here.path(), 100);
    let old_blocks = || (1..=3).map(|height| chain.store.block(height).unwrap().unwrap());
    let old_tip = chain.store.tip().height;
    while openmesh_ledger::closed_epoch(&chain.store.state().unwrap(), 1).unwrap().is_none() {
        chain.advance();
    }
    let proofs = |store: &Store| store.fact_proof(0, 0).unwrap();
    let target = SnapshotTarget { depth: 0, ..target(&chain, &genesis) };
    let whole = bytes(&chunks(&chain, &target)[0]);
    for retain_ms in [None, Some(3_600_000)] {
        let there = tempfile::tempdir().unwrap();
        let config = StoreConfig { retain_ms, ..config() };
        let old = Store::open_with(there.path(), config).unwrap();
        old.initialise(&genesis).unwrap();
        // Everything up to the end of the first epoch.
        let mut height = 0;
        while openmesh_ledger::closed_epoch(&old.state().unwrap(), 0).unwrap().is_none() {
            height += 1;
            let block = chain.store.block(height).unwrap().unwrap();
            follow(&old, &block.block, &block.certificate);
        }
        let (proof, place) = (proofs(&old), old.chunk_fact("kraken", 1, "BTC.USD/trades").unwrap());
        assert!(proof.is_some() && place.is_some() && height > old_tip && height < target.block.header.height);
        let mut restore = Restore::begin_over(there.path(), config, target.clone()).unwrap();
        restore.add(0, &whole).unwrap();
        let in_use = restore.finish().map(drop).unwrap_err();
        assert!(matches!(in_use, RestoreError::Store(StoreError::InUse(_))), "{in_use:?}");
        drop(old);
        let store = Restore::begin_over(there.path(), config, target.clone()).unwrap().finish().unwrap();
        assert_eq!(store.tip().state_root, target.state_root);
        assert_eq!((proofs(&store), store.chunk_fact("kraken", 1, "BTC.USD/trades").unwrap()), (proof, place));
        assert_eq!(proofs(&store), proofs(&chain.store));
        assert_eq!(store.fact_proof(1, 0).unwrap(), None, "an epoch that neither has whole");
        let aside = there.path().join(format!("until-{height}"));
        assert_eq!(aside.exists(), retain_ms.is_none(), "only one that keeps everything has what nobody else may have");
        if retain_ms.is_none() {
            let archive = Store::open_with(&aside, config).unwrap();
            assert_eq!(archive.tip().height, height);
            assert!(old_blocks().eq((1..=3).map(|height| archive.block(height).unwrap().unwrap())));
        }
    }
}

/// A store of another network is not taken the place of.
#[test]
fn a_store_of_another_network_stays() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let genesis = populated(10);
    let chain = chain(here.path(), 10);
    let old = Store::open_with(there.path(), config()).unwrap();
    old.initialise(&populated(9)).unwrap();
    let before = old.tip();
    drop(old);
    let target = SnapshotTarget { depth: 0, ..target(&chain, &genesis) };
    let mut restore = Restore::begin_over(there.path(), config(), target.clone()).unwrap();
    restore.add(0, &bytes(&chunks(&chain, &target)[0])).unwrap();
    let refused = restore.finish().map(drop).unwrap_err();
    assert!(matches!(refused, RestoreError::Store(StoreError::OtherGenesis { .. })), "{refused:?}");
    assert_eq!(Store::open_with(there.path(), config()).unwrap().tip(), before);
}

/// The block of a snapshot has no receipts here, and the store says so.
#[test]
fn the_block_of_a_snapshot_was_not_executed_here() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let genesis = populated(10);
    let chain = chain(here.path(), 10);
    assert_eq!((chain.store.joined_at().unwrap(), chain.store.oldest_executed().unwrap()), (None, 1));
    let target = SnapshotTarget { depth: 0, ..target(&chain, &genesis) };
    let store = restored(there.path(), &target, &chunks(&chain, &target));
    assert_eq!((store.joined_at().unwrap(), store.oldest_block(), store.oldest_executed().unwrap()), (Some(2), 2, 3));
    let tip = chain.store.block(3).unwrap().unwrap();
    follow(&store, &tip.block, &tip.certificate);
    assert_eq!((store.block(2).unwrap().unwrap().has_receipts(), store.oldest_executed().unwrap()), (false, 3));
    assert!(store.block(3).unwrap().unwrap() == tip && tip.has_receipts());
}

/// Leftovers of an interrupted restore are removed once the store is as far, and stay while it can still be gone on with.
#[test]
fn leftovers_are_removed_when_a_store_opens() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let genesis = populated(10);
    let chain = chain(here.path(), 10);
    let target = SnapshotTarget { depth: 1, ..target(&chain, &genesis) };
    let chunks = chunks(&chain, &target);
    let (folder, partial) = (there.path().join("restoring"), there.path().join("restoring.redb"));
    let mut restore = Restore::begin(there.path(), config(), target).unwrap();
    restore.add(3, &bytes(&chunks[3])).unwrap();
    drop(restore);
    let store = Store::open_with(there.path(), config()).unwrap();
    assert!(folder.exists(), "it can be gone on with");
    store.initialise(&genesis).unwrap();
    for height in 1..=2 {
        let block = chain.store.block(height).unwrap().unwrap();
        follow(&store, &block.block, &block.certificate);
    }
    drop(store);
    // As a kill between the rename and the removal leaves it, or a node that has come there by blocks.
    drop(Store::open_with(there.path(), config()).unwrap());
    assert!(!folder.exists());
    std::fs::write(&partial, b"half of a database").unwrap();
    drop(Store::open_with(there.path(), config()).unwrap());
    assert!(!partial.exists() && there.path().join("ledger.redb").exists());
}

/// Fetches a chunk as one who joins does: whole, or in parts where it is too large.
fn fetched(store: &Store, height: u64, root: Digest, depth: u8, index: u32) -> SnapshotChunk {
    match store.snapshot_chunk(height, depth, index) {
        Ok(chunk) => return chunk,
        Err(StoreError::NoChunk { .. }) => {}
        Err(error) => panic!("{error}"),
    }
    let probe = ChunkParts::probe(depth, index);
    assert!(store.snapshot_chunk(height, probe.0, probe.1).unwrap().rows.len() <= 1, "whoever has the chunk has it");
    let mut parts = ChunkParts::of(root, depth, index).unwrap();
    while let Some((depth, index)) = parts.wanted() {
        match store.snapshot_chunk(height, depth, index) {
            Ok(part) => parts.add(&bytes(&part)).unwrap(),
            Err(_) => assert!(parts.split()),
        }
    }
    parts.into_chunk().unwrap()
}

/// A part of the tree comes over whoever chose the keys: ninety thousand rows below one digit, in chunks of one digit and of none.
#[test]
fn a_chunk_that_is_too_large_comes_in_parts() {
    let here = tempfile::tempdir().unwrap();
    let mut genesis = genesis();
    let digit = |address: &Address| openmesh_primitives::sha256(&[&openmesh_ledger::keys::account(address)]).0[0] >> 4;
    let skewed = (0..).map(address).filter(|address| digit(address) == 0xa).take(90_000);
    genesis.accounts.extend(skewed.map(|address| (address, Amount::open(1))));
    let store = Store::open_with(here.path(), config()).unwrap();
    store.initialise(&genesis).unwrap();
    let chain = Chain { store, validators: validators(), account: account() };
    (0..3).for_each(|_| drop(chain.advance()));
    let target = target(&chain, &genesis);
    assert_eq!(target.depth, 2, "the depth follows from the number of rows: nobody makes it greater with chosen keys");
    let (height, root) = (target.block.header.height, target.state_root);
    for (depth, large) in [(1, 0xa), (0, 0)] {
        let there = tempfile::tempdir().unwrap();
        let target = SnapshotTarget { depth, ..target.clone() };
        let too_large = chain.store.snapshot_chunk(height, depth, large).map(|chunk| chunk.rows.len());
        assert!(matches!(too_large, Err(StoreError::NoChunk { .. })), "{too_large:?}");
        let mut restore = Restore::begin(there.path(), config(), target.clone()).unwrap();
        for index in 0..chunk_count(depth) {
            let chunk = fetched(&chain.store, height, root, depth, index);
            restore.keep(index, &bytes(&chunk)).unwrap();
        }
        // What was put together is checked again after a restart, as every chunk.
        drop(restore);
        let restore = Restore::begin(there.path(), config(), target.clone()).unwrap();
        assert_eq!(restore.missing().count(), 0, "depth {depth}");
        let store = restore.finish().unwrap();
        assert_eq!(store.tip().state_root, root);
        check_supply(&store.state().unwrap()).unwrap();
    }
}

/// A peer that says of everything that it is too large is not asked for ever, and a part that is a lie is refused.
#[test]
fn parts_are_bounded_and_proved() {
    let dir = tempfile::tempdir().unwrap();
    let chain = chain(dir.path(), 60);
    let (root, height) = (chain.store.tip().state_root, chain.store.tip().height);
    let mut parts = ChunkParts::of(root, 0, 0).unwrap();
    let mut splits = 1;
    while parts.split() {
        splits += 1;
    }
    assert_eq!(splits, 8, "one for each digit, and nothing came of it");
    let mut parts = ChunkParts::of(root, 1, 3).unwrap();
    assert_eq!(parts.wanted(), Some((2, 0x30)));
    let other = chain.store.snapshot_chunk(height, 2, 0x41).unwrap();
    assert!(parts.add(&bytes(&other)).is_err() && parts.wanted() == Some((2, 0x30)));
    parts.add(&bytes(&chain.store.snapshot_chunk(height, 2, 0x30).unwrap())).unwrap();
    assert!(parts.into_chunk().is_none(), "fifteen are missing");
    assert_eq!(ChunkParts::probe(1, 0xa), (8, 0xa000_0000));
    assert!(ChunkParts::of(root, 8, 0xa000_0000).is_none());
}
