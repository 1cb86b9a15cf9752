//! The way of a node, with liars among the peers.

use openmesh_ledger::HEADER_VERSION;
use openmesh_primitives::{Digest, canonical};
use openmesh_storage::{Store, StoreConfig};
use openmesh_sync::{Offer, Own, Question, SnapshotOffer, Way, blocks_are_gone, survey};

use crate::chain::{Chain, genesis, now};
use crate::world::{World, honest, trust};

/// A chain of 47 blocks, whose blocks before 35 or so are gone where it is pruned.
fn chain(dir: &std::path::Path, pruned: bool) -> Chain {
    let config = StoreConfig { proof_heights: 12, retain_ms: pruned.then_some(5_000), ..StoreConfig::default() };
    let chain = Chain::new(dir, config, &genesis(10));
    chain.grow(47);
    chain
}

fn own(store: &Store, height: u64, peers: usize) -> Own {
    let validators = store.validators_at(height + 1).unwrap();
    Own { height, validators, archive: false, genesis: genesis(10), trust: trust(None), peers, now }
}

/// Says that it is far ahead, offers a snapshot that is none, and has nothing.
fn add_liar(world: &World, name: &str) {
    world.add(name, |question| match question {
        Question::Offer => Ok(canonical::encode(&Offer {
            tip: 1_000_000_000,
            oldest_block: 999_999_000,
            walk_from: 0,
            snapshots: vec![SnapshotOffer { height: 999_999_900, state_root: Digest([9; 32]), depth: 2 }],
        })),
        _ => Err(openmesh_sync::Refusal::Missing),
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_nobody_proves_makes_no_node_leave_its_blocks() {
    let here = tempfile::tempdir().unwrap();
    let chain = chain(here.path(), true);
    // Others restart too: all at the same height, one peer claims more.
    let world = World::default();
    world.add_honest("a", &chain.store);
    world.add_honest("b", &chain.store);
    add_liar(&world, "0");
    let own = own(&chain.store, 47, 3);
    assert_eq!(survey(&world.peers(), &own).await, Way::Blocks);
    assert!(!blocks_are_gone(&world.peers(), &own).await, "a halt is no reason to end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_are_taken_where_any_peer_has_them_and_a_snapshot_where_none_has() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (pruned, whole) = (chain(here.path(), true), chain(there.path(), false));
    let world = World::default();
    add_liar(&world, "0");
    world.add_honest("pruned", &pruned.store);
    let own = own(&whole.store, 7, 3);
    assert_eq!(survey(&world.peers(), &own).await, Way::Snapshot);
    assert!(blocks_are_gone(&world.peers(), &own).await, "one that is behind too, new or lying hides nothing");
    // Whoever only says that it has the blocks counts for nothing.
    let answer = honest(&pruned.store);
    world.add("boaster", move |question| match question {
        Question::Offer => {
            let mut offer: Offer = canonical::decode(&answer(question)?).unwrap();
            offer.oldest_block = 1;
            Ok(canonical::encode(&offer))
        }
        question => answer(question),
    });
    assert_eq!(survey(&world.peers(), &own).await, Way::Snapshot);
    world.add_honest("whole", &whole.store);
    assert_eq!(survey(&world.peers(), &own).await, Way::Blocks);
    assert!(!blocks_are_gone(&world.peers(), &own).await);
}

/// Blocks that are newer than this program are shown by nobody, and nobody has lied.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_of_a_newer_form_are_no_lie() {
    let here = tempfile::tempdir().unwrap();
    let chain = chain(here.path(), false);
    let world = World::default();
    for name in ["a", "b"] {
        let answer = honest(&chain.store);
        world.add(name, move |question| {
            let mut bytes = answer(question)?;
            if matches!(question, Question::Anchor { .. } | Question::Step { .. }) {
                bytes[..2].copy_from_slice(&(HEADER_VERSION + 1).to_le_bytes());
            }
            Ok(bytes)
        });
    }
    for height in [7, 46] {
        let own = own(&chain.store, height, 2);
        assert!(!blocks_are_gone(&world.peers(), &own).await, "nothing of it is proved");
    }
    assert!(world.shut_out.lock().unwrap().is_empty());
    world.add_honest("whole", &chain.store);
    assert_eq!(survey(&world.peers(), &own(&chain.store, 7, 3)).await, Way::Blocks);
    assert!(world.shut_out.lock().unwrap().is_empty());
}
