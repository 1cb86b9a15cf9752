//! A validator's key that signs elsewhere while its node begins (clause O-18 of `docs/spec/operators.md`).

use std::time::Duration;

use openmesh_ledger::light::ValidatorChange;
use openmesh_primitives::{Timestamp, canonical};
use openmesh_storage::StoreConfig;
use openmesh_sync::{Begin, Offer, Question, Refusal, signs_elsewhere};

use crate::chain::{CHAIN_ID, Chain, genesis, key};
use crate::world::{World, honest};

/// Long enough for a round of questions; each of these looks that finds nothing takes it.
const LOOK: Duration = Duration::from_millis(700);

/// A chain of twelve blocks, and the time of its last one.
fn chain(dir: &std::path::Path) -> (Chain, Timestamp) {
    let chain = Chain::new(dir, StoreConfig::default(), &genesis(1));
    chain.grow(12);
    let time = chain.store.tip().time;
    (chain, time)
}

/// The begin of a node without blocks so many milliseconds before a time.
fn before(time: Timestamp, ms: i64) -> Begin {
    Begin { since: Timestamp::from_millis(time.millis() - ms), height: 0 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_block_with_the_keys_own_signature_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let (chain, time) = chain(dir.path());
    let world = World::default();
    world.add_honest("a", &chain.store);
    let (own, peers) = (key(3).public(), world.peers());
    assert_eq!(signs_elsewhere(&peers, &own, CHAIN_ID, before(time, 5_000), 1, LOOK).await, Some((12, time)));
    // Of before the node began, give or take the clocks; of another chain; of a key that does not sign.
    assert_eq!(signs_elsewhere(&peers, &own, CHAIN_ID, before(time, 3_000), 1, LOOK).await, None);
    assert_eq!(signs_elsewhere(&peers, &own, CHAIN_ID + 1, before(time, 5_000), 1, LOOK).await, None);
    assert_eq!(signs_elsewhere(&peers, &key(9).public(), CHAIN_ID, before(time, 5_000), 1, LOOK).await, None);
}

/// A node that has blocks tells its own last signature by its height, whatever the clocks say.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_home_with_blocks_is_no_twin_of_itself() {
    let dir = tempfile::tempdir().unwrap();
    let (chain, time) = chain(dir.path());
    let world = World::default();
    world.add_honest("a", &chain.store);
    let (own, peers) = (key(3).public(), world.peers());
    for (height, begun_ms, found) in
        [(11, 60_000, None), (12, 60_000, None), (10, 1, Some((12, time))), (10, 0, None), (1, -1, None)]
    {
        let begin = Begin { height, ..before(time, begun_ms) };
        let seen = signs_elsewhere(&peers, &own, CHAIN_ID, begin, 1, LOOK).await;
        assert_eq!(seen, found, "height {height}, begun {begun_ms} ms before");
    }
}

/// One peer's answer for a height does not stand for the others'.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_leaves_signatures_out_hides_nothing_of_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let (chain, time) = chain(dir.path());
    let world = World::default();
    let answer = honest(&chain.store);
    let (late, own) = (world.clone(), key(3).public());
    let store = chain.store.clone();
    // The honest one is heard only when the other one has shown the same block without the signature.
    world.add("liar", move |question| match question {
        Question::Step { .. } => {
            let mut step: ValidatorChange = canonical::decode(&answer(question)?).unwrap();
            step.certificate.signatures.retain(|(signer, _)| *signer != own.address());
            late.add_honest("honest", &store);
            Ok(canonical::encode(&step))
        }
        question => answer(question),
    });
    let looks = Duration::from_secs(5);
    let seen = signs_elsewhere(&world.peers(), &own, CHAIN_ID, before(time, 5_000), 2, looks).await;
    assert_eq!(seen, Some((12, time)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_can_make_a_twin_up() {
    let dir = tempfile::tempdir().unwrap();
    let (chain, time) = chain(dir.path());
    let world = World::default();
    let answer = honest(&chain.store);
    // An old block, said to be newer; and a signature of another key under this one's name.
    world.add("liar", move |question| match question {
        Question::Step { .. } => {
            let mut step: ValidatorChange = canonical::decode(&answer(question)?).unwrap();
            step.header.time = Timestamp::from_millis(step.header.time.millis() + 3_600_000);
            Ok(canonical::encode(&step))
        }
        question => answer(question),
    });
    let answer = honest(&chain.store);
    world.add("forger", move |question| match question {
        Question::Step { .. } => {
            let mut step: ValidatorChange = canonical::decode(&answer(question)?).unwrap();
            let other = step.certificate.signatures[0].1;
            let own = key(9).public().address();
            step.certificate.signatures.push((own, other));
            Ok(canonical::encode(&step))
        }
        question => answer(question),
    });
    let peers = world.peers();
    assert_eq!(signs_elsewhere(&peers, &key(3).public(), CHAIN_ID, before(time, 2_000), 2, LOOK).await, None);
    assert_eq!(signs_elsewhere(&peers, &key(9).public(), CHAIN_ID, before(time, 5_000), 2, LOOK).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_begins_is_not_waited_for() {
    let world = World::default();
    for name in ["a", "b"] {
        world.add(name, |question| match question {
            Question::Offer => Ok(canonical::encode(&Offer::default())),
            _ => Err(Refusal::Missing),
        });
    }
    let (own, none, long) = (key(0).public(), Begin { since: Timestamp(0), height: 0 }, Duration::from_secs(600));
    let begun = tokio::time::Instant::now();
    assert_eq!(signs_elsewhere(&world.peers(), &own, CHAIN_ID, none, 2, long).await, None);
    assert!(begun.elapsed() < long);
    for (begin, named) in [(none, 3), (Begin { height: 7, ..none }, 2)] {
        let begun = tokio::time::Instant::now();
        assert_eq!(signs_elsewhere(&world.peers(), &own, CHAIN_ID, begin, named, LOOK).await, None);
        assert!(begun.elapsed() >= LOOK, "others may have blocks: {named} are named, {begin:?}");
    }
}
