//! Ingestion on a real store and real tables, with peers that are functions.

use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use openmesh_ledger::{
    Attestation, BlockLimits, Certificate, ChunkClaim, Genesis, GenesisValidator, Origin, Params, SourceKind,
    SourceSpec, Transaction, WindowsParams, build_block, execute_block, precommit_sign_bytes, verify_stateless,
};
use openmesh_primitives::{ContentId, Timestamp, ValidatorKey};
use openmesh_storage::{BLOCKS_READ_MAX, Restore, SnapshotTarget, StoreConfig};
use tempfile::TempDir;
use tokio::time::timeout;

use super::*;

/// Far longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);
const CHAIN_ID: u64 = 7;

fn key() -> ValidatorKey {
    ValidatorKey::from_seed([1; 32])
}

fn genesis() -> Genesis {
    let source = SourceSpec {
        id: "kraken".into(),
        exchange: "kraken".into(),
        kind: SourceKind::Market,
        symbols: vec!["BTC.USD".into()],
        feeds: vec!["trades".into()],
        window_ms: 10_000,
        origin: Origin::Replay,
    };
    Genesis {
        chain_id: CHAIN_ID,
        name: "test".into(),
        time: Timestamp::from_millis(1_800_000_000_000),
        validators: vec![GenesisValidator { public_key: key().public(), power: 1, name: "v".into(), payout: None }],
        accounts: Vec::new(),
        sources: vec![source],
        source_owners: Default::default(),
        allocation: Default::default(),
        params: Params {
            windows: WindowsParams { commitments: false, ..WindowsParams::default() },
            ..Params::default()
        },
    }
}

/// Commits a block in which one chunk is agreed on.
fn agree(store: &Store, cid: ContentId) {
    let (state, tip) = (store.state().unwrap(), store.tip());
    let chunk = ChunkClaim { stream: "BTC.USD/trades".into(), cid, bytes: 8, events: 1 };
    let epoch = openmesh_ledger::current_epoch(&state).unwrap();
    let attestation = Attestation::sign(&key(), CHAIN_ID, "kraken", tip.height + 1, epoch, vec![chunk], vec![]);
    let candidate = Arc::new(verify_stateless(&Transaction::Attestation(attestation).encode()).unwrap());
    let (proposer, time) = (key().public().address(), Timestamp(tip.time.nanos() + 1_000_000_000));
    let last = store.block(tip.height).unwrap().map(|last| last.certificate);
    let limits = BlockLimits::of(&genesis().params);
    let (block, _) = build_block(&state, &tip, last, &[candidate], &key(), time, &limits).unwrap();
    let execution = execute_block(&state, &block).unwrap();
    let (height, block_hash) = (block.header.height, block.hash());
    let signature = key().sign(&precommit_sign_bytes(CHAIN_ID, height, 0, &block_hash, &proposer));
    let certificate = Certificate { height, round: 0, block_hash, signatures: vec![(proposer, signature)] };
    let prepared = store.prepare(&execution).unwrap();
    store.commit(&block, &certificate, &execution, prepared).unwrap();
}

struct Node {
    dir: TempDir,
    store: Store,
}

struct Run {
    handle: Handle,
    task: JoinHandle<()>,
    stop: CancellationToken,
    _committed: broadcast::Sender<Arc<CommittedBlock>>,
}

impl Node {
    fn new() -> Node {
        Node::with(StoreConfig::default())
    }

    fn with(config: StoreConfig) -> Node {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_with(&dir.path().join("ledger"), config).unwrap();
        store.initialise(&genesis()).unwrap();
        Node { dir, store }
    }

    async fn run(&self, fetch: Fetch) -> Run {
        let path = |name: &str| self.dir.path().join(name);
        let committed = broadcast::Sender::new(1);
        let stop = CancellationToken::new();
        let deps = Deps {
            store: self.store.clone(),
            content: Arc::new(BlockStore::open(&path("content"), openmesh_content::Limits::default()).unwrap()),
            lake: Lake::open(&path("lake"), openmesh_lake::Config::default()).await.unwrap(),
            fetch,
            committed: committed.subscribe(),
            incidents: Incidents::queue().1,
            stop: stop.clone(),
        };
        let config = Config {
            memory_file: path("awaited.json"),
            archive: path("archive"),
            segments_read: path("segments_read"),
        };
        let (handle, task) = start(config, deps).await;
        Run { handle, task, stop, _committed: committed }
    }
}

impl Run {
    async fn until(&self, reached: impl FnMut(&Progress) -> bool) -> Progress {
        *timeout(LONG, self.handle.watch().wait_for(reached)).await.expect("no such progress").unwrap()
    }

    async fn stop(self) {
        self.stop.cancel();
        timeout(LONG, self.task).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn progress_is_true_while_a_chunk_is_fetched() {
    let node = Node::new();
    agree(&node.store, ContentId::of(b"nobody answers"));
    let run = node.run(Arc::new(|_| Box::pin(pending()))).await;
    let progress = run.until(|p| p.height == 1 && p.scanned_height == 1).await;
    assert_eq!(progress.chunks, Counts { late: 1, ..Counts::default() });
    run.stop().await;
}

#[tokio::test]
async fn bytes_that_are_no_chunk_are_asked_for_once_in_the_life_of_a_node() {
    let (node, asked) = (Node::new(), Arc::new(AtomicUsize::new(0)));
    agree(&node.store, ContentId::of(b"no chunk"));
    let fetch: Fetch = {
        let asked = asked.clone();
        Arc::new(move |_| {
            asked.fetch_add(1, Ordering::SeqCst);
            Box::pin(async { Ok(b"no chunk".to_vec()) })
        })
    };
    let run = node.run(fetch.clone()).await;
    let progress = run.until(|p| p.chunks.missing == 1).await;
    assert_eq!((progress.chunks.late, progress.chunks.unavailable), (0, 0));
    run.stop().await;
    let again = node.run(fetch).await;
    let progress = again.until(|p| p.scanned_height == 1).await;
    assert_eq!(progress.chunks, Counts { missing: 1, ..Counts::default() });
    again.stop().await;
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn empty_tables_begin_with_the_oldest_block_that_is_kept() {
    let node = Node::with(StoreConfig { proof_heights: 2, retain_ms: Some(2_000), ..StoreConfig::default() });
    // Further than one scan reads.
    while node.store.oldest_block() < 2 * BLOCKS_READ_MAX as u64 {
        let height = node.store.tip().height;
        assert!(height < 500, "no block is removed");
        agree(&node.store, ContentId::of(&height.to_be_bytes()));
    }
    let (oldest, tip) = (node.store.oldest_block(), node.store.tip().height);
    let run = node.run(Arc::new(|_| Box::pin(async { Err(FetchError::Absent) }))).await;
    let progress = run.until(|p| p.height == tip && p.scanned_height == tip).await;
    assert_eq!(progress.chunks.late, tip - oldest + 1, "those of removed blocks are not looked for");
    run.stop().await;
}

/// Blocks that were removed before the tables had them are a gap that is stated, and the tables go on behind it.
#[tokio::test]
async fn removed_blocks_are_a_stated_gap_and_no_end() {
    let node = Node::with(StoreConfig { proof_heights: 2, retain_ms: Some(2_000), ..StoreConfig::default() });
    agree(&node.store, ContentId::of(b"first"));
    let fetch: Fetch = Arc::new(|_| Box::pin(async { Err(FetchError::Absent) }));
    let run = node.run(fetch.clone()).await;
    run.until(|p| p.height == 1).await;
    run.stop().await;
    while node.store.oldest_block() < 5 {
        let height = node.store.tip().height;
        assert!(height < 500, "no block is removed");
        agree(&node.store, ContentId::of(&height.to_be_bytes()));
    }
    let tip = node.store.tip().height;
    let run = node.run(fetch).await;
    run.until(|p| p.height == tip && p.scanned_height == tip).await;
    run.stop().await;
}

/// A store in a directory that joined by the snapshot at the block before this one's tip.
fn joined(from: &Store, dir: &std::path::Path) -> Store {
    let tip = from.tip().height;
    let (block, next) = (from.block(tip - 1).unwrap().unwrap(), from.block(tip).unwrap().unwrap());
    let target = SnapshotTarget {
        genesis: genesis(),
        block: block.block,
        certificate: block.certificate,
        state_root: next.block.header.state_root,
        depth: 0,
        walk_from: 0,
        first_validators: genesis().validator_set().unwrap(),
        changes: Vec::new(),
    };
    let mut restore = Restore::begin(dir, StoreConfig::default(), target).unwrap();
    let chunk = from.snapshot_chunk(tip - 1, 0, 0).unwrap();
    restore.add(0, &openmesh_primitives::canonical::encode(&chunk)).unwrap();
    let store = restore.finish().unwrap();
    let execution = execute_block(&store.state().unwrap(), &next.block).unwrap();
    let prepared = store.prepare(&execution).unwrap();
    store.commit(&next.block, &next.certificate, &execution, prepared).unwrap();
    store
}

/// The block of a snapshot has no receipts and no events: the tables do not have it, and the gap before them reaches through it.
#[tokio::test]
async fn the_block_of_a_snapshot_is_part_of_the_gap() {
    let mut node = Node::new();
    agree(&node.store, ContentId::of(b"first"));
    let fetch: Fetch = Arc::new(|_| Box::pin(async { Err(FetchError::Absent) }));
    let run = node.run(fetch.clone()).await;
    run.until(|p| p.height == 1).await;
    run.stop().await;
    for height in 2_u64..=5 {
        agree(&node.store, ContentId::of(&height.to_be_bytes()));
    }
    node.store = joined(&node.store, &node.dir.path().join("joined"));
    assert_eq!((node.store.oldest_block(), node.store.tip().height), (4, 5));
    let run = node.run(fetch.clone()).await;
    run.until(|p| p.height == 5 && p.scanned_height == 5).await;
    run.stop().await;
    let rows = |lake: &Lake, table| lake.snapshot().table(table).rows();
    let lake = Lake::open(&node.dir.path().join("lake"), openmesh_lake::Config::default()).await.unwrap();
    assert_eq!(rows(&lake, openmesh_lake::Table::LedgerBlocks), 2, "those of heights 1 and 5");
    assert_eq!(rows(&lake, openmesh_lake::Table::NodeIncidents), 1, "blocks 2 to 4 are a stated gap");
    drop(lake);
    // Tables that were empty begin behind it too.
    let empty = Node { dir: tempfile::tempdir().unwrap(), store: node.store.clone() };
    let run = empty.run(fetch).await;
    run.until(|p| p.height == 5 && p.scanned_height == 5).await;
    run.stop().await;
    let lake = Lake::open(&empty.dir.path().join("lake"), openmesh_lake::Config::default()).await.unwrap();
    assert_eq!(rows(&lake, openmesh_lake::Table::LedgerBlocks), 1, "that of height 5");
}

#[tokio::test]
async fn a_part_that_panics_ends_ingestion() {
    let node = Node::new();
    agree(&node.store, ContentId::of(b"a chunk"));
    let run = node.run(Arc::new(|_| panic!("a bug"))).await;
    assert!(timeout(LONG, run.task).await.unwrap().unwrap_err().is_panic());
}
