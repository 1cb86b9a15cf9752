//! Proofs hold for what is in the state, and for nothing else.

use std::collections::BTreeMap;

use openmesh_ledger::{Execution, StateRead, chunk, keys};
use openmesh_primitives::{Digest, canonical, sha256};
use openmesh_storage::{StateProof, StoreConfig, StoreError, verify_proof};
use proptest::prelude::*;

use crate::chain::{Chain, SOURCE, STREAM, certificate};

fn config(proof_heights: u64) -> StoreConfig {
    StoreConfig { proof_heights, cache_bytes_max: 4 << 20, ..StoreConfig::default() }
}

/// Commits an empty block whose execution has other writes: the store does not care what they mean.
fn write(chain: &Chain, writes: BTreeMap<Vec<u8>, Option<Vec<u8>>>) -> Digest {
    let block = chain.draft(&[]);
    let execution = Execution { writes, ..Execution::default() };
    let prepared = chain.store.prepare(&execution).unwrap();
    let root = prepared.state_root;
    chain.store.commit(&block, &certificate(&chain.validators, &block), &execution, prepared).unwrap();
    root
}

#[test]
fn a_chunk_is_proven_against_the_root_in_the_next_header() {
    let dir = tempfile::tempdir().unwrap();
    let chain = Chain::open(dir.path(), config(100));
    chain.advance();
    chain.advance();
    let accepted = chunk(&chain.store.state().unwrap(), SOURCE, 1, STREAM).unwrap().unwrap();
    let key = keys::chunk(SOURCE, 1, STREAM);
    let (value, proof) = chain.store.prove(&key, 1).unwrap();
    assert_eq!(value, Some(canonical::encode(&accepted)));
    let root = chain.store.block(2).unwrap().unwrap().block.header.state_root;
    assert_eq!(verify_proof(&root, &key, value.as_deref(), &proof), Ok(()));
    // Before the block there was no chunk, and that is proven too.
    let (none, absent) = chain.store.prove(&key, 0).unwrap();
    let root = chain.store.block(1).unwrap().unwrap().block.header.state_root;
    assert_eq!(none, None);
    assert_eq!(verify_proof(&root, &key, None, &absent), Ok(()));
    assert!(verify_proof(&root, &key, value.as_deref(), &proof).is_err(), "against the root before");
}

/// The oldest chunk is proven when it has left the state: its fact, the path to its epoch's root, the proof of that root in the
/// state of a trusted header. All of it is below 4 KB.
#[test]
fn a_chunk_that_has_left_the_state_is_proven_through_its_epochs_root() {
    use openmesh_ledger::{Fact, WindowsFact, closed_epoch, current_epoch, light};
    let dir = tempfile::tempdir().unwrap();
    let chain = Chain::open(dir.path(), config(100));
    // Epochs of ten blocks, of which six are kept after the one in progress.
    while current_epoch(&chain.store.state().unwrap()).unwrap() < 8 {
        chain.advance();
    }
    assert_eq!(chunk(&chain.store.state().unwrap(), SOURCE, 1, STREAM).unwrap(), None, "it has left the state");
    let (epoch, position) = chain.store.chunk_fact(SOURCE, 1, STREAM).unwrap().unwrap();
    let proof = chain.store.fact_proof(epoch, position).unwrap().unwrap();
    let Fact::Windows(WindowsFact::Chunk { source, window, stream, .. }) = &proof.fact else { panic!("{proof:?}") };
    assert_eq!((source.as_str(), *window, stream.as_str(), epoch), (SOURCE, 1, STREAM, 0));
    let height = chain.store.tip().height;
    let key = keys::closed_epoch(epoch);
    let (value, state_proof) = chain.store.prove(&key, height - 1).unwrap();
    let root = chain.store.block(height).unwrap().unwrap().block.header.state_root;
    assert_eq!(verify_proof(&root, &key, value.as_deref(), &state_proof), Ok(()));
    let closed = canonical::decode(&value.unwrap()).unwrap();
    assert_eq!(Some(closed), closed_epoch(&chain.store.state().unwrap(), epoch).unwrap());
    assert_eq!(light::verify_fact(&closed, &proof), Ok(()));
    let bytes =
        canonical::encode(&proof).len() + canonical::encode(&state_proof).len() + canonical::encode(&closed).len();
    assert!(bytes < 4_096, "{bytes}");
    assert_eq!(chain.store.fact_proof(8, 0).unwrap(), None, "the epoch in progress has no root yet");
    assert_eq!(chain.store.fact_proof(0, closed.facts).unwrap(), None);
}

#[test]
fn the_form_of_a_proof() {
    let dir = tempfile::tempdir().unwrap();
    let chain = Chain::open(dir.path(), config(100));
    let (_, proof) = chain.store.prove(keys::SUPPLY, 0).unwrap();
    let json = serde_json::to_string(&proof).unwrap();
    assert_eq!(serde_json::from_str::<StateProof>(&json).unwrap(), proof);
    assert_eq!(canonical::decode::<StateProof>(&canonical::encode(&proof)).unwrap(), proof);
    assert!("zz".parse::<StateProof>().is_err() && "00".repeat(30_000).parse::<StateProof>().is_err());
}

#[test]
fn old_heights_are_pruned_and_kept_ones_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let chain = Chain::open(dir.path(), config(3));
    let mut roots = vec![chain.store.tip().state_root];
    for _ in 0..12 {
        chain.advance();
        roots.push(chain.store.tip().state_root);
    }
    for height in 0..9 {
        assert!(matches!(chain.store.prove(keys::BLOCK, height), Err(StoreError::Pruned { oldest: 9, .. })));
    }
    for height in 9..=12u64 {
        for key in [keys::BLOCK.to_vec(), keys::chunk(SOURCE, 2, STREAM), keys::chunk(SOURCE, height, STREAM)] {
            let (value, proof) = chain.store.prove(&key, height).unwrap();
            assert!(value.is_some());
            assert_eq!(verify_proof(&roots[height as usize], &key, value.as_deref(), &proof), Ok(()));
        }
    }
    assert!(matches!(chain.store.prove(keys::BLOCK, 13), Err(StoreError::Beyond { .. })));
}

/// The root as `docs/spec/state.md` describes it, computed from all keys and values at once.
fn reference_root(pairs: &[(Vec<u8>, Vec<u8>)]) -> Digest {
    let leaf = |(key, value): &(Vec<u8>, Vec<u8>)| {
        let mut place = sha256(&[key]).0;
        if key.starts_with(b"closed-epoch/") {
            place[0] = 0;
        }
        (place, sha256(&[b"JMT::LeafNode", &place, &sha256(&[value]).0]))
    };
    let mut leaves: Vec<([u8; 32], Digest)> = pairs.iter().map(leaf).collect();
    leaves.sort();
    reference_node(&leaves, 0)
}

fn reference_node(leaves: &[([u8; 32], Digest)], depth: usize) -> Digest {
    match leaves {
        [] => Digest(*b"SPARSE_MERKLE_PLACEHOLDER_HASH__"),
        [(_, hash)] => *hash,
        _ => {
            let left = leaves.partition_point(|(key, _)| key[depth / 8] >> (7 - depth % 8) & 1 == 0);
            let (left, right) = leaves.split_at(left);
            let (left, right) = (reference_node(left, depth + 1), reference_node(right, depth + 1));
            sha256(&[b"JMT::IntrnalNode", &left.0, &right.0])
        }
    }
}

type History = Vec<BTreeMap<u8, Option<Vec<u8>>>>;

/// Writes and deletions on few keys, so that they meet often.
fn history() -> impl Strategy<Value = History> {
    let value = prop::option::weighted(0.7, prop::collection::vec(any::<u8>(), 0..6));
    prop::collection::vec(prop::collection::btree_map(0..24u8, value, 1..10), 1..8)
}

/// Keys of both parts of the tree.
fn key(n: u8) -> Vec<u8> {
    if n.is_multiple_of(3) { keys::closed_epoch(n.into()) } else { vec![b'k', n] }
}

/// Closed epochs, which stay for ever, do not lengthen the way to entries that change.
#[test]
fn closed_epochs_do_not_lengthen_other_paths() {
    let dir = tempfile::tempdir().unwrap();
    let chain = Chain::open(dir.path(), config(10));
    let others = |n: u8| (vec![b'k', n], Some(vec![n]));
    write(&chain, (0..64).map(others).collect());
    let length = |height: u64| {
        let proofs = (0..64).map(|n| chain.store.prove(&[b'k', n], height).unwrap().1.to_string().len());
        proofs.sum::<usize>()
    };
    let before = length(1);
    write(&chain, (0..5_000u64).map(|n| (keys::closed_epoch(n), Some(vec![1; 32]))).collect());
    // One sibling more where the part of the epochs hangs beside the path.
    assert!(length(2) < before + before / 10, "{} after {before}", length(2));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Every key at every height is proven with the value it had then, also when older versions are pruned.
    #[test]
    fn presence_and_absence_at_every_height(history in history(), keep in 0..6u64, other in any::<u8>()) {
        let dir = tempfile::tempdir().unwrap();
        let chain = Chain::open(dir.path(), config(keep));
        let mut model: BTreeMap<u8, Vec<u8>> = BTreeMap::new();
        let mut past = Vec::new();
        for writes in &history {
            let writes: BTreeMap<_, _> = writes.iter().map(|(n, v)| (*n, v.clone())).collect();
            for (n, value) in &writes {
                match value {
                    Some(value) => model.insert(*n, value.clone()),
                    None => model.remove(n),
                };
            }
            let root = write(&chain, writes.into_iter().map(|(n, v)| (key(n), v)).collect());
            let all = chain.store.state().unwrap().scan(b"", None, usize::MAX).unwrap();
            prop_assert_eq!(root, reference_root(&all));
            past.push((root, model.clone()));
        }
        let tip = past.len() as u64;
        for (at, (root, model)) in past.iter().enumerate() {
            let height = at as u64 + 1;
            if height < tip.saturating_sub(keep) {
                continue;
            }
            for n in 0..26 {
                let (value, proof) = chain.store.prove(&key(n), height).unwrap();
                prop_assert_eq!(value.as_ref(), model.get(&n));
                prop_assert_eq!(verify_proof(root, &key(n), value.as_deref(), &proof), Ok(()));
                // The same proof says nothing else: not another value, not absence, not another key.
                let altered = vec![other, n, 1, 2, 3, 4, 5];
                prop_assert!(verify_proof(root, &key(n), Some(&altered), &proof).is_err());
                if value.is_some() {
                    prop_assert!(verify_proof(root, &key(n), None, &proof).is_err());
                    prop_assert!(verify_proof(root, &key(n + 1), value.as_deref(), &proof).is_err());
                } else {
                    prop_assert!(verify_proof(root, &key(n), Some(&[]), &proof).is_err());
                }
            }
        }
    }

    /// Whatever is done to a proof's bytes, it proves nothing that is not so.
    #[test]
    fn tampered_proofs(
        entries in prop::collection::btree_map(0..40u8, prop::collection::vec(any::<u8>(), 1..5), 2..30),
        at in any::<prop::sample::Index>(),
        flip in 1..=255u8,
        n in 0..40u8,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let chain = Chain::open(dir.path(), config(10));
        let root = write(&chain, entries.iter().map(|(n, v)| (key(*n), Some(v.clone()))).collect());
        let (value, proof) = chain.store.prove(&key(n), 1).unwrap();
        let mut bytes = canonical::encode(&proof);
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok(tampered) = canonical::decode::<StateProof>(&bytes) {
            let lie = if value.is_some() { None } else { Some(b"lie".as_slice()) };
            prop_assert!(verify_proof(&root, &key(n), lie, &tampered).is_err());
            prop_assert!(verify_proof(&root, &key(n), Some(b"another"), &tampered).is_err());
            if verify_proof(&root, &key(n), value.as_deref(), &tampered).is_ok() {
                // A sibling's kind may be told in two ways where its hash is the same; the statement stays true.
                prop_assert_eq!(value.as_ref(), entries.get(&n));
            }
        }
    }
}
