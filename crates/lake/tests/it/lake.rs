//! The lake's promises: once, durable, consistent, exact.

use crate::common::{WINDOW_0, meta, one_of_each, trades};
use openmesh_lake::{
    Appended, Config, Lake, LakeError, LedgerBlock, LedgerBlockRow, LedgerChunkRow, LedgerTransactionRow,
    NodeIncidentRow, RawSegmentRow, Snapshot, Table,
};
use openmesh_primitives::{ContentId, Timestamp};
use tempfile::TempDir;

async fn open(dir: &TempDir) -> Lake {
    Lake::open(dir.path(), Config::default()).await.unwrap()
}

fn rows(snapshot: &Snapshot, table: Table) -> u64 {
    snapshot.table(table).rows()
}

#[tokio::test]
async fn a_chunk_is_in_once_and_stays() {
    let dir = TempDir::new().unwrap();
    let lake = open(&dir).await;
    let chunk = trades("BTC.USD", WINDOW_0, 10);
    assert_eq!(lake.append_chunk(&meta(&chunk), &chunk.bytes).await.unwrap(), Appended::New);
    assert_eq!(lake.append_chunk(&meta(&chunk), &chunk.bytes).await.unwrap(), Appended::Already);
    // In memory it is found, but not safe.
    assert_eq!(rows(&lake.snapshot(), Table::Trades), 10);
    assert!(lake.missing(&[chunk.cid]).unwrap().is_empty() && !lake.is_durable(&chunk.cid).unwrap());
    lake.flush().await.unwrap();
    assert!(lake.is_durable(&chunk.cid).unwrap());
    assert_eq!(lake.append_chunk(&meta(&chunk), &chunk.bytes).await.unwrap(), Appended::Already);
    let lost = trades("BTC.USD", WINDOW_0 + 1, 10);
    lake.append_chunk(&meta(&lost), &lost.bytes).await.unwrap();
    assert_eq!(rows(&lake.snapshot(), Table::Trades), 20);
    drop(lake);

    let lake = open(&dir).await;
    assert_eq!(rows(&lake.snapshot(), Table::Trades), 10);
    assert_eq!(lake.missing(&[chunk.cid, lost.cid]).unwrap(), [lost.cid]);
    assert_eq!(lake.append_chunk(&meta(&chunk), &chunk.bytes).await.unwrap(), Appended::Already);
    assert_eq!(lake.append_chunk(&meta(&lost), &lost.bytes).await.unwrap(), Appended::New);
    lake.flush().await.unwrap();
    assert_eq!(rows(&lake.snapshot(), Table::Trades), 20);
}

#[tokio::test]
async fn every_feed_has_its_table() {
    let dir = TempDir::new().unwrap();
    let lake = open(&dir).await;
    for chunk in one_of_each(WINDOW_0) {
        assert_eq!(lake.append_chunk(&meta(&chunk), &chunk.bytes).await.unwrap(), Appended::New);
    }
    for flushed in [false, true] {
        if flushed {
            lake.flush().await.unwrap();
        }
        let snapshot = lake.snapshot();
        let counts: Vec<u64> = Table::ALL[..9].iter().map(|t| rows(&snapshot, *t)).collect();
        assert_eq!(counts, [5, 4, 1, 1, 1, 1, 1, 1, 0], "flushed: {flushed}");
    }
    // The chunk without rows is known all the same.
    for chunk in one_of_each(WINDOW_0) {
        assert!(lake.is_durable(&chunk.cid).unwrap());
    }
}

#[tokio::test]
async fn what_is_not_the_chunk_is_refused() {
    let dir = TempDir::new().unwrap();
    let lake = open(&dir).await;
    let chunk = trades("BTC.USD", WINDOW_0, 3);
    let mut bytes = chunk.bytes.clone();
    *bytes.last_mut().unwrap() ^= 1;
    assert!(matches!(lake.append_chunk(&meta(&chunk), &bytes).await, Err(LakeError::Chunk { .. })));
    let garbage = b"not a chunk".to_vec();
    let said = openmesh_lake::AcceptedChunkMeta { cid: ContentId::of(&garbage), ..meta(&chunk) };
    assert!(matches!(lake.append_chunk(&said, &garbage).await, Err(LakeError::Chunk { .. })));
    let said = openmesh_lake::AcceptedChunkMeta { stream: "ETH.USD/trades".to_string(), ..meta(&chunk) };
    assert!(matches!(lake.append_chunk(&said, &chunk.bytes).await, Err(LakeError::Chunk { .. })));
    let said = openmesh_lake::AcceptedChunkMeta { window: 5, ..meta(&chunk) };
    assert!(matches!(lake.append_chunk(&said, &chunk.bytes).await, Err(LakeError::Chunk { .. })));
    assert_eq!(rows(&lake.snapshot(), Table::Trades), 0);
}

fn ledger_block(height: u64) -> LedgerBlock {
    LedgerBlock {
        block: LedgerBlockRow {
            height,
            time: Timestamp::from_millis(1_786_309_200_000 + height as i64),
            ..Default::default()
        },
        transactions: vec![
            LedgerTransactionRow {
                error: height.is_multiple_of(2).then(|| "overdraft".into()),
                ..Default::default()
            };
            2
        ],
        chunks: vec![LedgerChunkRow {
            stream: "BTC.USD/trades".into(),
            attesters: vec!["a".into(), "b".into()],
            ..Default::default()
        }],
        incidents: vec![],
    }
}

#[tokio::test]
async fn ledger_blocks_come_in_order_and_once() {
    let dir = TempDir::new().unwrap();
    let lake = open(&dir).await;
    assert_eq!(lake.ledger_height(), None);
    for height in 1..=5 {
        assert_eq!(lake.append_ledger_block(&ledger_block(height)).await.unwrap(), Appended::New);
    }
    assert_eq!(lake.append_ledger_block(&ledger_block(3)).await.unwrap(), Appended::Already);
    let gap = lake.append_ledger_block(&ledger_block(7)).await;
    assert!(matches!(gap, Err(LakeError::LedgerGap { height: 7, last: 5 })));
    lake.flush().await.unwrap();
    lake.append_ledger_block(&ledger_block(6)).await.unwrap();
    assert_eq!((lake.ledger_height(), lake.durable_ledger_height()), (Some(6), Some(5)));
    drop(lake);
    let lake = open(&dir).await;
    assert_eq!(lake.ledger_height(), Some(5));
    assert_eq!(lake.append_ledger_block(&ledger_block(5)).await.unwrap(), Appended::Already);
    assert_eq!(lake.append_ledger_block(&ledger_block(6)).await.unwrap(), Appended::New);
    let snapshot = lake.snapshot();
    assert_eq!((rows(&snapshot, Table::LedgerBlocks), rows(&snapshot, Table::LedgerTransactions)), (6, 12));
    assert_eq!((rows(&snapshot, Table::LedgerChunks), rows(&snapshot, Table::LedgerIncidents)), (6, 0));
}

fn node_incident(hour: i64, window: Option<u64>) -> NodeIncidentRow {
    NodeIncidentRow {
        site: "0xabc".into(),
        source: "kraken".into(),
        time: Timestamp::from_millis(1_786_309_200_000 + hour * 3_600_000),
        kind: "chunk_withdrawn".into(),
        window,
        stream: window.map(|_| "BTC.USD/trades".into()),
        detail: "late".into(),
    }
}

/// With the one thread for such work taken, nothing is appended: so nothing is encoded on the thread that asks.
#[test]
fn rows_are_encoded_away_from_the_threads_that_serve_others() {
    let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let dir = TempDir::new().unwrap();
        let lake = open(&dir).await;
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let taken = tokio::task::spawn_blocking(move || {
            let _ = wait.recv();
        });
        let block = ledger_block(1);
        let incidents = [node_incident(0, None)];
        let mut appends =
            (std::pin::pin!(lake.append_ledger_block(&block)), std::pin::pin!(lake.append_node_incidents(&incidents)));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(appends.0.as_mut().poll(&mut context).is_pending());
        assert!(appends.1.as_mut().poll(&mut context).is_pending());
        drop(go);
        taken.await.unwrap();
        assert_eq!((appends.0.await.unwrap(), appends.1.await.unwrap()), (Appended::New, Appended::New));
    });
}

#[tokio::test]
async fn raw_segments_are_listed_once() {
    let dir = TempDir::new().unwrap();
    let lake = open(&dir).await;
    let segment = |sequence: u64| RawSegmentRow {
        source: "kraken".into(),
        origin: "live".into(),
        site: "0xabc".into(),
        sequence,
        cid: ContentId::of(&sequence.to_le_bytes()),
        start: Timestamp::from_millis(1_786_309_200_000),
        stop: Timestamp::from_millis(1_786_309_260_000),
        frames: 3,
        lost: 0,
        bytes: 900,
    };
    assert_eq!(lake.append_raw_segment(&segment(0)).await.unwrap(), Appended::New);
    assert_eq!(lake.append_raw_segment(&segment(0)).await.unwrap(), Appended::Already);
    lake.flush().await.unwrap();
    assert_eq!(lake.append_raw_segment(&segment(0)).await.unwrap(), Appended::Already);
    assert_eq!(lake.append_raw_segment(&segment(1)).await.unwrap(), Appended::New);
    assert_eq!(rows(&lake.snapshot(), Table::RawSegments), 2);
}

#[tokio::test]
async fn incidents_of_a_node_are_rows() {
    let dir = TempDir::new().unwrap();
    let lake = open(&dir).await;
    let both = [node_incident(0, Some(7)), node_incident(5, None)];
    assert_eq!(lake.append_node_incidents(&both).await.unwrap(), Appended::New);
    assert_eq!(lake.append_node_incidents(&both).await.unwrap(), Appended::Already);
    assert_eq!(lake.append_node_incidents(&both[..1]).await.unwrap(), Appended::New, "another set is another");
    lake.flush().await.unwrap();
    assert_eq!(lake.append_node_incidents(&both).await.unwrap(), Appended::Already);
    assert_eq!(rows(&lake.snapshot(), Table::NodeIncidents), 3);
}

#[tokio::test]
async fn a_full_tail_is_written_out() {
    let dir = TempDir::new().unwrap();
    let lake = Lake::open(dir.path(), Config { flush_rows_max: 25, ..Config::default() }).await.unwrap();
    for window in 0..5 {
        let chunk = trades("BTC.USD", WINDOW_0 + window, 10);
        lake.append_chunk(&meta(&chunk), &chunk.bytes).await.unwrap();
    }
    let status = lake.status();
    assert_eq!((status.rows, status.tail_rows, status.units), (30, 20, 3));
}

#[tokio::test]
async fn small_files_are_merged_and_nothing_is_lost() {
    let dir = TempDir::new().unwrap();
    let config = Config { compact_files_min: 4, ..Config::default() };
    let lake = Lake::open(dir.path(), config.clone()).await.unwrap();
    for window in 0..9 {
        let chunk = trades("BTC.USD", WINDOW_0 + window, 10);
        lake.append_chunk(&meta(&chunk), &chunk.bytes).await.unwrap();
        lake.flush().await.unwrap();
    }
    let before = lake.snapshot();
    assert_eq!(lake.status().files, 9);
    assert!(lake.compact().await.unwrap());
    assert!(!lake.compact().await.unwrap(), "nothing more is due");
    assert_eq!((lake.status().files, lake.status().rows), (1, 90));
    assert_eq!(rows(&lake.snapshot(), Table::Trades), 90);
    // Whoever looked before still finds the old files; they go when nobody looks any more.
    let on_disk = |path: &str| dir.path().join(path).exists();
    let old: Vec<String> = before.table(Table::Trades).files().iter().map(|f| f.path().to_string()).collect();
    assert!(old.iter().all(|path| on_disk(path)));
    drop(before);
    lake.compact().await.unwrap();
    assert!(!old.iter().any(|path| on_disk(path)));
    // An hour that is over is merged whatever its number of files.
    for window in [1, 2, 360 * 3] {
        let chunk = trades("ETH.USD", WINDOW_0 + window, 10);
        lake.append_chunk(&meta(&chunk), &chunk.bytes).await.unwrap();
        lake.flush().await.unwrap();
    }
    assert!(lake.compact().await.unwrap());
    assert_eq!((lake.status().files, lake.status().rows), (2, 120));
    drop(lake);
    let lake = Lake::open(dir.path(), config).await.unwrap();
    assert_eq!(rows(&lake.snapshot(), Table::Trades), 120);
}

/// Files older than a table keeps are removed whole; their keys stay.
#[tokio::test]
async fn old_files_are_removed_and_their_chunks_stay_known() {
    let dir = TempDir::new().unwrap();
    let config = Config { retain_hours: Some(2), ..Config::default() };
    let lake = Lake::open(dir.path(), config.clone()).await.unwrap();
    let chunks: Vec<_> = (0..5).map(|hour| trades("BTC.USD", WINDOW_0 + hour * 360, 10)).collect();
    for chunk in &chunks {
        lake.append_chunk(&meta(chunk), &chunk.bytes).await.unwrap();
        lake.flush().await.unwrap();
    }
    let before = lake.snapshot();
    let paths: Vec<String> = before.table(Table::Trades).files().iter().map(|f| f.path().to_string()).collect();
    while lake.compact().await.unwrap() {}
    assert_eq!((lake.status().files, rows(&lake.snapshot(), Table::Trades)), (3, 30));
    assert!(paths.iter().all(|path| dir.path().join(path).exists()), "a snapshot still reads them");
    drop(before);
    lake.compact().await.unwrap();
    assert_eq!(paths.iter().filter(|path| dir.path().join(path).exists()).count(), 3);
    assert_eq!(lake.append_chunk(&meta(&chunks[0]), &chunks[0].bytes).await.unwrap(), Appended::Already);
    drop(lake);
    let lake = Lake::open(dir.path(), config).await.unwrap();
    assert_eq!(rows(&lake.snapshot(), Table::Trades), 30);
    assert_eq!(lake.append_chunk(&meta(&chunks[0]), &chunks[0].bytes).await.unwrap(), Appended::Already);
}

/// A snapshot does not list files anew: all snapshots between two commits share the lists.
#[tokio::test]
async fn snapshots_share_the_lists_of_a_commit() {
    let dir = TempDir::new().unwrap();
    let lake = open(&dir).await;
    let append = async |window| {
        let chunk = trades("BTC.USD", WINDOW_0 + window, 10);
        lake.append_chunk(&meta(&chunk), &chunk.bytes).await.unwrap();
        lake.flush().await.unwrap();
    };
    append(0).await;
    let (one, two) = (lake.snapshot(), lake.snapshot());
    let files = |snapshot: &Snapshot| snapshot.table(Table::Trades).files().as_ptr();
    assert_eq!(files(&one), files(&two));
    append(1).await;
    assert_ne!(files(&lake.snapshot()), files(&one));
    assert_eq!((one.table(Table::Trades).files().len(), lake.snapshot().table(Table::Trades).files().len()), (1, 2));
}

#[tokio::test]
async fn many_commits_become_checkpoints() {
    let dir = TempDir::new().unwrap();
    let lake = open(&dir).await;
    let mut cids = Vec::new();
    for window in 0..150 {
        let chunk = trades("BTC.USD", WINDOW_0 + window, 1);
        lake.append_chunk(&meta(&chunk), &chunk.bytes).await.unwrap();
        cids.push(chunk.cid);
        lake.flush().await.unwrap();
    }
    let objects = std::fs::read_dir(dir.path().join("_manifest")).unwrap().count();
    assert!(objects < 40, "{objects} objects");
    drop(lake);
    let lake = open(&dir).await;
    assert_eq!((lake.status().version, lake.status().units), (150, 150));
    assert!(lake.missing(&cids).unwrap().is_empty());
}

#[tokio::test]
async fn damage_and_double_use_are_told() {
    let dir = TempDir::new().unwrap();
    let lake = open(&dir).await;
    assert!(matches!(Lake::open(dir.path(), Config::default()).await, Err(LakeError::InUse { .. })));
    let chunk = trades("BTC.USD", WINDOW_0, 3);
    lake.append_chunk(&meta(&chunk), &chunk.bytes).await.unwrap();
    lake.flush().await.unwrap();
    let file = lake.snapshot().table(Table::Trades).files()[0].path().to_string();
    drop(lake);
    // Left over by a process that died between writing files and the commit, and inside a write.
    std::fs::write(dir.path().join("trades/stray.parquet"), b"half").unwrap();
    std::fs::write(dir.path().join("trades/stray.parquet#1"), b"half").unwrap();
    let lake = open(&dir).await;
    assert!(!dir.path().join("trades/stray.parquet").exists());
    assert!(!dir.path().join("trades/stray.parquet#1").exists());
    assert_eq!(rows(&lake.snapshot(), Table::Trades), 3);
    drop(lake);
    std::fs::write(dir.path().join(&file), b"cut").unwrap();
    assert!(
        matches!(Lake::open(dir.path(), Config::default()).await, Err(LakeError::Corrupt { at, .. }) if at == file)
    );
    std::fs::remove_file(dir.path().join(&file)).unwrap();
    assert!(matches!(Lake::open(dir.path(), Config::default()).await, Err(LakeError::Corrupt { .. })));
}

#[tokio::test]
async fn a_lake_of_the_future_is_not_touched() {
    let dir = TempDir::new().unwrap();
    std::fs::create_dir(dir.path().join("_manifest")).unwrap();
    std::fs::write(dir.path().join("_manifest/00000000000000000001.json"), br#"{"format":3,"more":1}"#).unwrap();
    let error = Lake::open(dir.path(), Config::default()).await.err().unwrap();
    assert!(matches!(error, LakeError::Format { found: 3, known: 2 }));
}

#[tokio::test]
async fn readers_and_writers_at_once_see_each_row_once() {
    let dir = TempDir::new().unwrap();
    let config = Config { flush_rows_max: 70, compact_files_min: 3, ..Config::default() };
    let lake = Lake::open(dir.path(), config).await.unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let looking = tokio::spawn({
        let lake = lake.clone();
        let mut stopped = stopped;
        async move {
            let mut last = 0;
            while stopped.try_recv() == Err(tokio::sync::oneshot::error::TryRecvError::Empty) {
                let now = rows(&lake.snapshot(), Table::Trades);
                assert!(now >= last && now.is_multiple_of(10), "{last} then {now}");
                last = now;
                tokio::task::yield_now().await;
            }
        }
    });
    let compacting = lake.clone();
    let appending = async {
        for window in 0..60 {
            let chunk = trades("BTC.USD", WINDOW_0 + window, 10);
            lake.append_chunk(&meta(&chunk), &chunk.bytes).await.unwrap();
        }
    };
    let merging = async {
        for _ in 0..40 {
            compacting.compact().await.unwrap();
        }
    };
    tokio::join!(appending, merging);
    stop.send(()).unwrap();
    looking.await.unwrap();
    assert_eq!(rows(&lake.snapshot(), Table::Trades), 600);
}

#[tokio::test]
async fn run_flushes_by_age_and_at_the_end() {
    let dir = TempDir::new().unwrap();
    let lake = Lake::open(dir.path(), Config { flush_age_ms: 0, ..Config::default() }).await.unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(lake.clone().run(async move {
        let _ = stopped.await;
    }));
    let first = trades("BTC.USD", WINDOW_0, 3);
    lake.append_chunk(&meta(&first), &first.bytes).await.unwrap();
    while !lake.is_durable(&first.cid).unwrap() {
        tokio::task::yield_now().await;
    }
    let second = trades("BTC.USD", WINDOW_0 + 1, 3);
    lake.append_chunk(&meta(&second), &second.bytes).await.unwrap();
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
    assert!(lake.is_durable(&second.cid).unwrap());
}
