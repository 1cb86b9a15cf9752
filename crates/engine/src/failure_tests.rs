//! Failures of parts of consensus: the task ends with the right error, and nothing hangs.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use malachite_app::engine::node::NodeMsg;
use openmesh_ledger::{
    AccountsAction, Genesis, GenesisValidator, HEADER_VERSION, Overlay, Params, RuleSet, RuleSets, StateError,
    StateRead, Transaction, UpgradeBallot, UpgradePlan, UpgradeVote,
};
use openmesh_primitives::{Digest, Timestamp};
use openmesh_storage::StoreError;
use tempfile::TempDir;

use super::*;
use crate::mempool::verdict::GossipVerdict;

const DEADLINE: Duration = Duration::from_secs(60);

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("in time")
}

struct Single {
    dir: TempDir,
    store: Store,
    handle: Handle,
    task: JoinHandle<Result<(), EngineError>>,
    cancel: CancellationToken,
}

fn key() -> ValidatorKey {
    ValidatorKey::from_seed([1; 32])
}

fn store(dir: &TempDir) -> Store {
    let validator = GenesisValidator { public_key: key().public(), power: 1, name: "alone".to_owned(), payout: None };
    let genesis = Genesis {
        chain_id: 1,
        name: "test".to_owned(),
        time: Timestamp(1),
        validators: vec![validator],
        accounts: vec![],
        sources: vec![],
        source_owners: Default::default(),
        allocation: Default::default(),
        params: Params::default(),
    };
    let store = Store::open(dir.path()).unwrap();
    store.initialise(&genesis).unwrap();
    store
}

/// A network of one validator that has committed its first block.
async fn single() -> Single {
    let dir = TempDir::new().unwrap();
    let store = store(&dir);
    let config = Config::new("alone", dir.path().to_owned(), "127.0.0.1:0".parse().unwrap());
    let cancel = CancellationToken::new();
    let started = start(config, Some(key()), store.clone(), cancel.clone(), &mut Registry::default()).await;
    let (handle, task) = started.unwrap();
    let mut blocks = handle.committed();
    if store.tip().height == 0 {
        assert_eq!(in_time(blocks.recv()).await.unwrap().block.header.height, 1);
    }
    Single { dir, store, handle, task, cancel }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_safety_failure_ends_the_task() {
    let node = single().await;
    let supervisor = node.handle.0.network.try_get_supervisor().unwrap();
    supervisor.send_message(NodeMsg::SafetyFailure("the disk is full".to_owned())).unwrap();
    let result = in_time(node.task).await.unwrap();
    assert!(matches!(result, Err(EngineError::Safety)), "{result:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_liveness_failure_ends_the_task() {
    let node = single().await;
    node.handle.0.network.kill();
    let result = in_time(node.task).await.unwrap();
    assert!(matches!(result, Err(EngineError::Liveness)), "{result:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_engine_lets_go_of_everything() {
    let node = single().await;
    let (peer, address) = (node.handle.peer_id().to_owned(), node.handle.listen_addr());
    node.cancel.cancel();
    in_time(node.task).await.unwrap().unwrap();
    let height = node.store.tip().height;
    // Not by binding: that fails too while somebody's outgoing connection happens to have this port.
    assert!(std::net::TcpStream::connect(address).is_err(), "nobody listens at {address} any more");

    // The same directory and the same store again: the identity stays, the chain goes on.
    let mut config = Config::new("alone", node.dir.path().to_owned(), "127.0.0.1:0".parse().unwrap());
    config.pauses.idle_block_ms = 50;
    let cancel = CancellationToken::new();
    let (handle, task) =
        start(config, Some(key()), node.store.clone(), cancel.clone(), &mut Registry::default()).await.unwrap();
    assert_eq!(handle.peer_id(), peer);
    let mut blocks = handle.committed();
    while in_time(blocks.recv()).await.unwrap().block.header.height < height + 3 {}
    assert_eq!(handle.status().peers, 0);
    cancel.cancel();
    in_time(task).await.unwrap().unwrap();
}

/// Migrations that the program of the test below has made.
static MIGRATIONS: AtomicU32 = AtomicU32::new(0);

fn counted(_: &mut Overlay<&dyn StateRead>) -> Result<(), StateError> {
    MIGRATIONS.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// Clause U5 of `docs/spec/upgrades.md`: the migration is made once, before the height begins, also by a program that is started right
/// before it because the one before did not have the rules.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_begins_before_an_upgrade_migrates_once() {
    let node = single().await;
    let height = node.store.tip().height + 6;
    let plan = UpgradePlan { version: 2, height, release: "r".to_owned(), digest: Digest([2; 32]) };
    let ballot = UpgradeBallot::sign(&key(), 1, 0, UpgradeVote::Approve(plan));
    node.handle.submit_own(Transaction::Upgrade(ballot)).await.unwrap();
    let ended = in_time(node.task).await.unwrap();
    assert!(matches!(ended, Err(EngineError::Rules(_))), "{ended:?}");
    assert_eq!(node.store.tip().height, height - 1);

    let second = RuleSet {
        version: 2,
        name: "second",
        changes: &[],
        header_version: HEADER_VERSION,
        adds: &[],
        removes: &[],
        migrate: counted,
        registered: None,
    };
    let mut config = Config::new("alone", node.dir.path().to_owned(), "127.0.0.1:0".parse().unwrap());
    config.rule_sets = RuleSets::built_in().with(second).unwrap();
    let cancel = CancellationToken::new();
    let started = start(config, Some(key()), node.store.clone(), cancel.clone(), &mut Registry::default()).await;
    let (handle, task) = started.unwrap();
    let mut blocks = handle.committed();
    while node.store.tip().height <= height {
        in_time(blocks.recv()).await.unwrap();
    }
    assert_eq!(MIGRATIONS.load(Ordering::Relaxed), 1);
    cancel.cancel();
    in_time(task).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_helper_that_ends_or_panics_ends_the_engine() {
    for panics in [false, true] {
        let stop = CancellationToken::new();
        let host = {
            let stop = stop.clone();
            async move {
                stop.cancelled().await;
                Ok(())
            }
        };
        let helper = tokio::spawn(async move { assert!(!panics, "on purpose") });
        let result = in_time(guarded(host, helper, stop)).await;
        assert!(matches!(result, Err(EngineError::TaskEnded { .. })), "{result:?}");
    }
    // Asked to stop, both stop and nothing is wrong.
    let stop = CancellationToken::new();
    stop.cancel();
    let helper = tokio::spawn(async {});
    assert!(in_time(guarded(std::future::ready(Ok(())), helper, stop)).await.is_ok());
}

/// A transfer of an account that has never been heard of.
fn stranger(n: u8) -> Vec<u8> {
    use openmesh_ledger::{AccountTransaction, Action};
    use openmesh_primitives::{AccountKey, Address, Amount};
    let action = Action::Accounts(AccountsAction::Transfer { to: Address([9; 20]), amount: Amount(1) });
    let key = AccountKey::from_bytes([n; 32]).unwrap();
    Transaction::Account(AccountTransaction::sign(&key, 1, 0, Params::default().accounts.fee_min, action).unwrap())
        .encode()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envelopes_of_strangers_are_worthless_to_who_has_the_newest_block() {
    let envelope = |list: &[Vec<u8>]| Bytes::from(openmesh_primitives::canonical::encode(&list.to_vec()));
    let node = single().await;
    let verdict = |list: &[Vec<u8>]| {
        let (handle, envelope) = (node.handle.clone(), envelope(list));
        async move { in_time(handle.gossip_in(envelope, "peer".to_owned())).await }
    };
    let mut blocks = node.handle.committed();
    in_time(blocks.recv()).await.unwrap();
    assert_eq!(verdict(&[stranger(1), stranger(2)]).await, GossipVerdict::Worthless);
    assert_eq!(verdict(&[vec![7; 9], stranger(1)]).await, GossipVerdict::Reject);
    node.cancel.cancel();
    in_time(node.task).await.unwrap().unwrap();

    // Here the last block is the genesis, whose time is long ago.
    let dir = TempDir::new().unwrap();
    let config = Config::new("behind", dir.path().to_owned(), "127.0.0.1:0".parse().unwrap());
    let cancel = CancellationToken::new();
    let started = start(config, None, store(&dir), cancel.clone(), &mut Registry::default()).await;
    let (handle, task) = started.unwrap();
    let judged = in_time(handle.gossip_in(envelope(&[stranger(1)]), "peer".to_owned())).await;
    assert_eq!(judged, GossipVerdict::Ignore);
    cancel.cancel();
    in_time(task).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stands_behind_garbage_does_not_count_as_delivered() {
    let node = single().await;
    let (garbage, behind) = (vec![7u8; 9], stranger(1));
    let hash = |bytes: &[u8]| openmesh_primitives::sha256(&[bytes]);
    let asked = BTreeSet::from([hash(&garbage), hash(&behind)]);
    let take = |list: Vec<Vec<u8>>| {
        let (handle, asked) = (node.handle.clone(), asked.clone());
        let envelope = openmesh_primitives::canonical::encode(&list);
        async move { in_time(handle.take_bodies(&asked, &envelope, "peer")).await }
    };
    let bodies = take(vec![garbage.clone(), behind.clone()]).await;
    assert_eq!((bodies.verdict, &bodies.got), (GossipVerdict::Reject, &BTreeSet::from([hash(&garbage)])));
    let bodies = take(vec![behind.clone()]).await;
    assert_eq!((&bodies.got, bodies.admitted.len()), (&BTreeSet::from([hash(&behind)]), 0));
    // With what was not asked for the whole envelope is worth nothing.
    let bodies = take(vec![behind, stranger(2)]).await;
    assert_eq!((bodies.verdict, bodies.got.len()), (GossipVerdict::Reject, 0));
    node.cancel.cancel();
    in_time(node.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn wrong_configurations_are_refused_with_reasons() {
    let dir = TempDir::new().unwrap();
    let store = store(&dir);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = Config::new("a", dir.path().to_owned(), taken.local_addr().unwrap());
    let begin = |config: Config| {
        let store = store.clone();
        async move { start(config, None, store, CancellationToken::new(), &mut Registry::default()).await.err().unwrap() }
    };
    assert!(matches!(begin(config.clone()).await, EngineError::Listen { .. }));
    let mut wrong = Config::new("a", dir.path().to_owned(), "127.0.0.1:0".parse().unwrap());
    wrong.peers = vec!["localhost:80".to_owned()];
    let error = begin(wrong.clone()).await;
    assert!(error.to_string().contains("\"localhost:80\" is not a peer's multiaddress"), "{error}");
    std::fs::write(dir.path().join("p2p.key"), b"short").unwrap();
    wrong.peers.clear();
    assert!(matches!(begin(wrong).await, EngineError::Home { .. }));
    let empty = Store::open(TempDir::new().unwrap().path()).unwrap();
    let mut config = config;
    config.listen = "127.0.0.1:0".parse().unwrap();
    let error = start(config, None, empty, CancellationToken::new(), &mut Registry::default()).await.err();
    assert!(matches!(error, Some(EngineError::Store(StoreError::NotInitialised))));
}
