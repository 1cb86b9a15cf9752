//! The light client's way to a snapshot, through changes of the validators.

use openmesh_ledger::light::ValidatorChange;
use openmesh_ledger::{Genesis, HEADER_VERSION};
use openmesh_primitives::{Digest, canonical};
use openmesh_storage::{Store, StoreConfig};
use openmesh_sync::{Anchor, JoinError, Metrics, Offer, Progress, Question, Snapshots, TrustedBlock};
use prometheus_client::registry::Registry;

use crate::chain::{Chain, INTERVAL, genesis, set};
use crate::world::{World, honest};

/// Changes at heights 6, 16, 26 and 40, of sets that overlap less and less; the blocks below 35 are gone.
fn changing(dir: &std::path::Path, retain: bool) -> (Chain, Genesis) {
    let genesis = genesis(10);
    let retain_ms = retain.then_some(5_000);
    let mut chain = Chain::new(dir, StoreConfig { proof_heights: 12, retain_ms, ..StoreConfig::default() }, &genesis);
    chain.changes = [(5, set(0..4)), (15, set(2..6)), (25, set(4..8)), (39, set(3..7))].into_iter().collect();
    chain.grow(47);
    assert_eq!(chain.store.set_changes(0, 9).unwrap(), [6, 16, 26, 40]);
    (chain, genesis)
}

fn trusted(store: &Store, height: u64) -> TrustedBlock {
    TrustedBlock { height, hash: store.header(height).unwrap().unwrap().0.hash() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_the_genesis_every_change_is_followed_and_handed_on() {
    let (here, there, last) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (chain, genesis) = changing(here.path(), true);
    assert_eq!(chain.store.block(26).unwrap(), None, "pruned");
    let world = World::default();
    world.add_honest("a", &chain.store);
    let store = world.join(there.path(), &genesis, None).await.0.unwrap();
    assert_eq!((store.tip().height, store.walk_from().unwrap()), (40, 0));
    Chain::follow(&store, &chain.store);
    for height in [1, 6, 7, 16, 17, 26, 27, 40, 41, 47] {
        assert_eq!(store.validators_at(height).unwrap(), chain.store.validators_at(height).unwrap(), "{height}");
    }
    assert_eq!(store.set_changes(0, 9).unwrap(), [6, 16, 26, 40]);
    // A node that joined shows the way to the next one.
    let world = World::default();
    world.add_honest("b", &store);
    let third = world.join(last.path(), &genesis, None).await.0.unwrap();
    assert_eq!(third.tip().state_root, chain.store.header(41).unwrap().unwrap().0.state_root);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_a_trusted_block_the_walk_skips_where_enough_overlap() {
    let here = tempfile::tempdir().unwrap();
    let (chain, genesis) = changing(here.path(), false);
    // From the set of all eight a third is in every later one; from 0..4 there is no one in 4..8, so the way goes over 2..6.
    for height in [3, 8, 18, 28, 39] {
        let there = tempfile::tempdir().unwrap();
        let world = World::default();
        world.add_honest("a", &chain.store);
        let (joined, progress) = world.join(there.path(), &genesis, Some(trusted(&chain.store, height))).await;
        let store = joined.unwrap();
        assert_eq!(store.tip().height, 40, "{progress:?}");
        Chain::follow(&store, &chain.store);
        for height in 40..=47 {
            assert_eq!(store.validators_at(height).unwrap(), chain.store.validators_at(height).unwrap());
        }
        // It says what it does not know.
        let offer = Snapshots::new(store, INTERVAL, Metrics::register(&mut Registry::default())).offer().unwrap();
        assert!(offer.walk_from >= height && offer.walk_from < 40, "{offer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_or_old_trusted_block_ends_the_join_and_bars_nobody() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (chain, mut genesis) = changing(here.path(), false);
    // Two peers agree on another block; at a height of the genesis' validators, one is enough.
    for (height, names) in [(28, &["a", "b"][..]), (3, &["a"])] {
        let world = World::default();
        names.iter().for_each(|name| world.add_honest(name, &chain.store));
        let other = TrustedBlock { height, hash: Digest([7; 32]) };
        let (joined, progress) = world.join(there.path(), &genesis, Some(other)).await;
        let error = joined.map(|store| store.tip()).unwrap_err();
        assert!(error.to_string().contains("correct sync.trust in node.toml"), "{error}");
        let right = trusted(&chain.store, height).hash;
        assert!(matches!(error, JoinError::OtherTrusted { got, .. } if got == right), "{error}");
        assert!(progress.liars.is_empty() && world.shut_out.lock().unwrap().is_empty(), "{progress:?}");
    }
    // The same chain, a year later.
    let old = tempfile::tempdir().unwrap();
    genesis.time.0 -= 365 * 24 * 3_600 * 1_000_000_000;
    let chain = Chain::new(old.path(), StoreConfig::default(), &genesis);
    chain.grow(12);
    let world = World::default();
    world.add_honest("a", &chain.store);
    let refused = world.join(there.path(), &genesis, Some(trusted(&chain.store, 2))).await.0.map(|store| store.tip());
    assert!(matches!(refused, Err(JoinError::Expired { height: 2, period_hours: 168, .. })), "{refused:?}");
}

/// True where an answer has a header that is newer than this program, and is else of its form.
fn is_newer(question: Question, answer: &[u8]) -> bool {
    let headers = match question {
        Question::Anchor { .. } => canonical::decode::<Anchor>(answer)
            .map(|anchor| vec![anchor.block.header.version, anchor.next_header.version]),
        _ => canonical::decode::<Vec<ValidatorChange>>(answer)
            .map(|steps| steps.iter().map(|step| step.header.version).collect()),
    };
    headers.is_ok_and(|versions| versions.iter().any(|version| *version > HEADER_VERSION))
}

/// Headers that are newer than this program are no lie, whether it can read their form or not: the operator is told, and nobody is shut
/// out, so that older peers and a later program find the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_is_too_old_says_so_and_blames_nobody() {
    let here = tempfile::tempdir().unwrap();
    let (chain, genesis) = changing(here.path(), false);
    for (question, at) in [(Question::Anchor { height: 40 }, 0), (Question::Changes { after: 0 }, 4)] {
        for longer in [false, true] {
            let (world, there, answer) = (World::default(), tempfile::tempdir().unwrap(), honest(&chain.store));
            world.add("newer", move |asked| {
                let mut bytes = answer(asked)?;
                if asked == question {
                    bytes[at..at + 2].copy_from_slice(&(HEADER_VERSION + 1).to_le_bytes());
                    if longer {
                        // Another field after version and chain id.
                        drop(bytes.splice(at + 10..at + 10, [7; 40]));
                    }
                }
                Ok(bytes)
            });
            let (progress, mut seen) = tokio::sync::watch::channel(Progress::default());
            tokio::select! {
                joined = world.join_with(there.path(), &genesis, None, 0, progress) => {
                    panic!("{question:?}: {:?}", joined.map(|store| store.tip()))
                }
                noted = seen.wait_for(|progress| progress.note.is_some()) => {
                    let said = noted.unwrap().to_string();
                    let shown = format!("a header of version {}", HEADER_VERSION + 1);
                    assert!(said.contains(&shown) && said.contains("is too old for it"), "{said}");
                }
            }
            assert!(world.shut_out.lock().unwrap().is_empty(), "{question:?} {longer}");
            // One that is not newer is enough.
            world.add_honest("honest", &chain.store);
            let (joined, progress) = world.join(there.path(), &genesis, None).await;
            assert_eq!(joined.unwrap().tip().height, 40);
            assert!(progress.note.is_none() && progress.liars.is_empty(), "{progress:?}");
        }
    }
}

/// No bit of what leads to a snapshot can be flipped unnoticed: anchor, and changes of validators. One that makes a version a newer one
/// is noted, and blames nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_on_the_way_is_refused_wherever_it_is() {
    let here = tempfile::tempdir().unwrap();
    let (chain, genesis) = changing(here.path(), true);
    let answer = honest(&chain.store);
    for question in [Question::Anchor { height: 40 }, Question::Changes { after: 0 }] {
        let bits = answer(question).unwrap().len() * 8;
        // A prime against the size of a byte, so that all places of a byte come about, over every field.
        for bit in (0..bits).step_by(61) {
            let world = World::default();
            let mut flipped = answer(question).unwrap();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let newer = is_newer(question, &flipped);
            let answer = answer.clone();
            world.add("liar", move |asked| {
                let mut bytes = answer(asked)?;
                if asked == question {
                    bytes[bit / 8] ^= 1 << (bit % 8);
                }
                Ok(bytes)
            });
            let there = tempfile::tempdir().unwrap();
            let (progress, seen) = tokio::sync::watch::channel(Progress::default());
            let named = async {
                while world.shut_out.lock().unwrap().is_empty() && seen.borrow().note.is_none() {
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                joined = world.join_with(there.path(), &genesis, None, 0, progress) => {
                    panic!("bit {bit} of {question:?}: {:?}", joined.map(|store| store.tip()))
                }
                () = named => {}
            }
            assert_eq!(world.shut_out.lock().unwrap().is_empty(), newer, "bit {bit} of {question:?}");
        }
    }
    assert!(canonical::decode::<Question>(b"").is_err());
}

/// A trusted block that is not below the newest snapshot is waited out, and the progress says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trusted_block_above_the_snapshot_is_named_while_it_is_waited_for() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (chain, genesis) = changing(here.path(), false);
    let world = World::default();
    world.add_honest("a", &chain.store);
    let (progress, mut seen) = tokio::sync::watch::channel(Progress::default());
    let join = world.join_with(there.path(), &genesis, Some(trusted(&chain.store, 45)), 0, progress);
    tokio::select! {
        joined = join => panic!("{:?}", joined.map(|store| store.tip())),
        noted = seen.wait_for(|progress| progress.note.is_some()) => {
            let said = noted.unwrap().to_string();
            assert!(said.contains("sync.trust names height 45, which is not below the snapshot of height 40"), "{said}");
        }
    }
}

/// A guide that invents a height, changes without end, or steps that are none is named by the first of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_way_without_end_is_refused() {
    let here = tempfile::tempdir().unwrap();
    let (chain, genesis) = changing(here.path(), false);
    type Liar = fn(Question, &dyn Fn(Question) -> Vec<u8>, &Store) -> Vec<u8>;
    let lies: [(&str, Liar); 3] = [
        ("the validators do not change", |question, honest, store| match question {
            Question::Changes { after: 0 } => {
                canonical::encode(&(1..=6).filter_map(|height| store.light_step(height).unwrap()).collect::<Vec<_>>())
            }
            question => honest(question),
        }),
        ("a height that no chain has", |question, honest, _| match question {
            Question::Offer => {
                let mut offer: Offer = canonical::decode(&honest(question)).unwrap();
                offer.snapshots[0].height = u64::MAX;
                canonical::encode(&offer)
            }
            question => honest(question),
        }),
        ("more than any answer", |question, honest, _| match question {
            Question::Offer => vec![0; 1 << 20],
            question => honest(question),
        }),
    ];
    for (word, lie) in lies {
        let (world, there, store) = (World::default(), tempfile::tempdir().unwrap(), chain.store.clone());
        let answer = honest(&store);
        world.add("liar", move |question| Ok(lie(question, &|question| answer(question).unwrap_or_default(), &store)));
        let (progress, mut seen) = tokio::sync::watch::channel(Progress::default());
        tokio::select! {
            joined = world.join_with(there.path(), &genesis, None, 0, progress) => {
                panic!("{word}: {:?}", joined.map(|store| store.tip()))
            }
            named = seen.wait_for(|progress| !progress.liars.is_empty()) => {
                let (_, how) = named.unwrap().liars[0].clone();
                assert!(how.contains(word), "{how}");
            }
        }
    }
}

/// Heights at the end of what a number holds, and chunks of a coarser cut than the offered one, get no answer.
#[test]
fn questions_that_make_no_sense_get_no_answer() {
    let here = tempfile::tempdir().unwrap();
    let (chain, _) = changing(here.path(), false);
    let answer = honest(&chain.store);
    for height in [u64::MAX, u64::MAX - 1, (1 << 53) + 1] {
        let all = [
            Question::Changes { after: height },
            Question::ChangeHeights { after: height },
            Question::Step { height },
            Question::Validators { height },
            Question::Anchor { height },
            Question::Chunk { height, depth: 0, index: 0 },
        ];
        all.into_iter().for_each(|question| assert!(answer(question).is_err(), "{question:?}"));
    }
    // Six thousand accounts are cut into sixteen chunks, and are not read for a coarser question.
    let there = tempfile::tempdir().unwrap();
    let chain = Chain::new(there.path(), StoreConfig::default(), &genesis(6_000));
    chain.grow(12);
    let answer = honest(&chain.store);
    assert!(answer(Question::Chunk { height: 10, depth: 1, index: 0 }).is_ok());
    assert!(answer(Question::Chunk { height: 10, depth: 0, index: 0 }).is_err());
}
