//! Chunks from several peers, some of which lie.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use openmesh_ledger::{Genesis, StateRead as _};
use openmesh_primitives::canonical;
use openmesh_storage::{Store, StoreConfig};
use openmesh_sync::{JoinError, Offer, Question, Refusal};

use crate::chain::{Chain, genesis};
use crate::world::{World, honest};

/// A pruned chain of fifty blocks: the genesis' state cannot be reached by blocks any more.
fn pruned(dir: &std::path::Path, accounts: u32) -> (Chain, Genesis) {
    let genesis = genesis(accounts);
    let config = StoreConfig { proof_heights: 25, retain_ms: Some(5_000), ..StoreConfig::default() };
    let chain = Chain::new(dir, config, &genesis);
    chain.grow(47);
    assert!(chain.store.oldest_block() > 1);
    (chain, genesis)
}

fn assert_joined(store: &Store, chain: &Chain) {
    assert_eq!(store.tip().height, 40, "the newest multiple of ten of which the next header is there");
    let wanted = chain.store.header(41).unwrap().unwrap().0.state_root;
    assert_eq!(store.tip().state_root, wanted);
    // It goes on by blocks, and comes to the same.
    Chain::follow(store, &chain.store);
    assert_eq!(store.tip(), chain.store.tip());
    let all = |store: &Store| store.state().unwrap().scan(b"", None, usize::MAX).unwrap();
    assert!(all(store) == all(&chain.store), "every row is the same");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_joins_a_network_whose_blocks_are_gone() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (chain, genesis) = pruned(here.path(), 6_000);
    let world = World::default();
    for name in ["a", "b", "c"] {
        world.add_honest(name, &chain.store);
    }
    let (joined, progress) = world.join(there.path(), &genesis, None).await;
    let store = joined.unwrap();
    assert_joined(&store, &chain);
    assert_eq!((progress.height, progress.chunks, progress.chunks_all), (40, 16, 16));
    assert!(progress.liars.is_empty());
    let asked = world.asked.lock().unwrap().clone();
    assert_eq!(
        (asked.len(), asked.values().sum::<u32>()),
        (3, 16),
        "each peer gave some, and no chunk came twice: {asked:?}"
    );
    // What came before is not here, and not claimed to be.
    assert_eq!((store.oldest_block(), store.block(39).unwrap()), (40, None));
    assert_eq!(store.fact_proof(0, 0).unwrap(), None);
}

/// Three quarters of the peers lie, each in its own way; each is named, and none is asked again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn liars_are_named_and_the_join_succeeds() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (chain, genesis) = pruned(here.path(), 6_000);
    let world = World::default();
    world.add_honest("honest", &chain.store);
    let answer = honest(&chain.store);
    let change = |change: fn(Question, Vec<u8>) -> Vec<u8>| {
        let answer = answer.clone();
        move |question| answer(question).map(|bytes| change(question, bytes))
    };
    // Chunks with a flipped bit, of another number, and bytes that are none.
    world.add(
        "flips",
        change(|question, mut bytes| {
            if let (Question::Chunk { .. }, Some(last)) = (question, bytes.last_mut()) {
                *last ^= 1;
            }
            bytes
        }),
    );
    let other = answer.clone();
    world.add("swaps", move |question| match question {
        Question::Chunk { height, depth, index } => other(Question::Chunk { height, depth, index: (index + 1) % 16 }),
        question => other(question),
    });
    world.add(
        "babbles",
        change(|question, bytes| match question {
            Question::Chunk { .. } => b"no chunk".to_vec(),
            _ => bytes,
        }),
    );
    let (joined, progress) = world.join(there.path(), &genesis, None).await;
    assert_joined(&joined.unwrap(), &chain);
    let mut named: Vec<&str> = progress.liars.iter().map(|(peer, _)| peer.as_str()).collect();
    named.sort_unstable();
    assert_eq!(named, ["babbles", "flips", "swaps"]);
    assert!(
        progress.liars.iter().all(|(_, how)| how.contains("of the snapshot at height 40 is wrong")),
        "{progress:?}"
    );
    let asked = world.asked.lock().unwrap().clone();
    assert!(named.iter().all(|name| asked[*name] <= 2), "not asked again: {asked:?}");
}

/// Whoever offers what is not so is named before a chunk is fetched of it, or as soon as the chunks show it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lying_offers_are_named() {
    let here = tempfile::tempdir().unwrap();
    let (chain, genesis) = pruned(here.path(), 6_000);
    type Lie = fn(&mut Offer);
    let lies: [(&str, Lie); 3] = [
        ("is not in the header", |offer| offer.snapshots[0].state_root.0[0] ^= 1),
        ("its depth is greater than any", |offer| offer.snapshots[0].depth = 5),
        ("is not in the header", |offer| offer.snapshots.iter_mut().for_each(|s| s.state_root.0[31] ^= 128)),
    ];
    for (word, lie) in lies {
        let there = tempfile::tempdir().unwrap();
        let world = World::default();
        let answer = honest(&chain.store);
        let liar = move |question| match question {
            Question::Offer => {
                let mut offer: Offer = canonical::decode(&answer(Question::Offer)?).unwrap();
                lie(&mut offer);
                Ok(canonical::encode(&offer))
            }
            question => answer(question),
        };
        world.add("liar", liar);
        let (peers, store) = (world.clone(), chain.store.clone());
        // The honest one comes when the liar has had its turn.
        let late = tokio::spawn(async move {
            while peers.shut_out.lock().unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
            peers.add_honest("honest", &store);
        });
        let (joined, progress) = world.join(there.path(), &genesis, None).await;
        late.await.unwrap();
        assert_joined(&joined.unwrap(), &chain);
        assert_eq!(progress.liars.len(), 1);
        assert!(progress.liars[0].1.contains(word), "{progress:?}");
    }
}

/// Peers that are busy, silent or have nothing are no liars, and hold nobody up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_without_an_answer_are_not_blamed() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (chain, genesis) = pruned(here.path(), 6_000);
    let world = World::default();
    world.add_honest("honest", &chain.store);
    for (name, refusal) in [("busy", Refusal::Busy), ("empty", Refusal::Missing), ("silent", Refusal::Silent)] {
        let answer = honest(&chain.store);
        world.add(name, move |question| match question {
            Question::Chunk { .. } => Err(refusal),
            question => answer(question),
        });
    }
    let (joined, progress) = world.join(there.path(), &genesis, None).await;
    assert_joined(&joined.unwrap(), &chain);
    assert!(progress.liars.is_empty() && world.shut_out.lock().unwrap().is_empty(), "{progress:?}");
}

/// A process that is killed in the middle goes on with what is missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_join_goes_on() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (chain, genesis) = pruned(here.path(), 6_000);
    let given = Arc::new(AtomicU32::new(0));
    let world = World::default();
    let (answer, count) = (honest(&chain.store), Arc::clone(&given));
    world.add("a", move |question| {
        let is_chunk = matches!(question, Question::Chunk { .. });
        if is_chunk && count.fetch_add(1, Ordering::SeqCst) >= 9 {
            return Err(Refusal::Silent);
        }
        answer(question)
    });
    let (peers, dir, network) = (world.clone(), there.path().to_path_buf(), genesis.clone());
    let first = tokio::spawn(async move { peers.join(&dir, &network, None).await.1 });
    while given.load(Ordering::SeqCst) <= 9 {
        tokio::task::yield_now().await;
    }
    // As a kill: nothing is finished.
    first.abort();
    let _ = first.await;
    assert!(!there.path().join("ledger.redb").exists());
    // A newer snapshot is there meanwhile; what is begun is still offered, and is finished.
    chain.grow(53);
    let world = World::default();
    world.add_honest("b", &chain.store);
    let (joined, _) = world.join(there.path(), &genesis, None).await;
    assert_joined(&joined.unwrap(), &chain);
    let again = world.asked.lock().unwrap()["b"];
    assert!((7..16).contains(&again), "{again} chunks were fetched again, nine had come");
}

/// A depth that the state does not need makes more questions and no liar: chunks are as empty as keys and depth make them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn empty_chunks_are_nobodys_lie() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (chain, genesis) = pruned(here.path(), 100);
    let world = World::default();
    let answer = honest(&chain.store);
    world.add("fine", move |question| match question {
        Question::Offer => {
            let mut offer: Offer = canonical::decode(&answer(Question::Offer)?).unwrap();
            offer.snapshots[0].depth = 2;
            Ok(canonical::encode(&offer))
        }
        question => answer(question),
    });
    let (joined, progress) = world.join(there.path(), &genesis, None).await;
    assert_joined(&joined.unwrap(), &chain);
    assert!(progress.liars.is_empty() && progress.chunks_all == 256, "{progress:?}");
}

/// A chunk that peers do not have in one answer comes in parts, also where one of them lies about a part.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chunk_that_is_too_large_is_fetched_in_parts() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (chain, genesis) = pruned(here.path(), 6_000);
    let world = World::default();
    let answer = honest(&chain.store);
    // As of a peer whose chunks below the digits a and a0 are too large.
    let skewed = move |question| match question {
        Question::Chunk { depth: 1, index: 0xa, .. } | Question::Chunk { depth: 2, index: 0xa0, .. } => {
            Err(Refusal::Missing)
        }
        question => answer(question),
    };
    world.add("honest", skewed.clone());
    world.add("liar", move |question| match question {
        Question::Chunk { depth: 2.., .. } => skewed(question).map(|mut bytes| {
            if let Some(last) = bytes.last_mut() {
                *last ^= 1;
            }
            bytes
        }),
        question => skewed(question),
    });
    let (joined, progress) = world.join(there.path(), &genesis, None).await;
    assert_joined(&joined.unwrap(), &chain);
    assert_eq!((progress.chunks, progress.chunks_all), (16, 16));
    assert!(progress.liars.iter().all(|(peer, _)| peer == "liar"), "{progress:?}");
}

/// A node with a store does not wait for ever for a snapshot that nobody shows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_a_store_gives_up_where_nobody_shows_a_snapshot() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (chain, genesis) = pruned(here.path(), 10);
    let world = World::default();
    let answer = honest(&chain.store);
    world.add("a", move |question| match question {
        Question::Anchor { .. } => Err(Refusal::Missing),
        question => answer(question),
    });
    let (progress, _seen) = tokio::sync::watch::channel(Default::default());
    let joined = world.join_with(there.path(), &genesis, None, 7, progress).await.map(|store| store.tip());
    assert!(matches!(joined, Err(JoinError::NoSnapshot(7))), "{joined:?}");
}
