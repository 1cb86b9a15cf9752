mod crash;
pub(crate) mod faults;
mod old;
mod rows;
mod rule;

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use openmesh_primitives::{ContentId, Timestamp};
use proptest::prelude::*;

use crate::*;

fn open(root: &Path) -> BlockStore {
    BlockStore::open(root, Limits::default()).unwrap()
}

fn file(root: &Path, cid: &ContentId, suffix: &str) -> std::path::PathBuf {
    let name = cid.to_string();
    root.join(&name[name.len() - 2..]).join(format!("{name}{suffix}"))
}

/// Blocks of 4 bytes fit `count` times, without reserve or low-water mark; as rows and as files.
fn limits(count: u64) -> [Limits; 2] {
    [PACKED_BYTES_MAX, 0].map(|packed_bytes_max| {
        let limits = Limits { packed_bytes_max, reserve_percent: 0, low_water_percent: 100, ..Limits::default() };
        Limits { store_bytes_max: limits.disk_bytes(4) * count, ..limits }
    })
}

/// Everything in files.
fn in_files() -> Limits {
    Limits { packed_bytes_max: 0, ..Limits::default() }
}

fn has(store: &BlockStore, cid: &ContentId) -> bool {
    store.has(cid).unwrap()
}

#[test]
fn keeps_and_gives_and_counts_once() {
    for limits in [Limits::default(), in_files()] {
        let (root, bytes) = (tempfile::tempdir().unwrap(), limits.disk_bytes(5));
        let store = BlockStore::open(root.path(), limits).unwrap();
        let cid = store.put(b"hello", Reason::Window).unwrap();
        assert_eq!(store.put(b"hello", Reason::Cached).unwrap(), cid);
        assert_eq!((store.len(), store.bytes(), store.reason(&cid).unwrap()), (1, bytes, Some(Reason::Window)));
        assert_eq!(store.get(&cid).unwrap().as_deref(), Some(&b"hello"[..]));
        assert_eq!(store.get(&ContentId::of(b"other")).unwrap(), None);
        assert_eq!(file(root.path(), &cid, "").exists(), limits.packed_bytes_max == 0);
        drop(store);
        let again = BlockStore::open(root.path(), limits).unwrap();
        assert_eq!((again.cids().unwrap(), again.bytes()), (vec![cid], bytes));
        assert!(again.remove(&cid).unwrap() && !again.remove(&cid).unwrap());
        assert!(again.is_empty() && again.get(&cid).unwrap().is_none());
    }
}

#[test]
fn a_damaged_file_is_found_and_set_aside() {
    let root = tempfile::tempdir().unwrap();
    let store = BlockStore::open(root.path(), in_files()).unwrap();
    let cid = store.put(b"hello", Reason::Window).unwrap();
    fs::write(file(root.path(), &cid, ""), b"hellp").unwrap();
    assert!(matches!(store.get(&cid), Err(ContentError::Damaged(found)) if found == cid));
    assert_eq!((store.get(&cid).unwrap(), store.bytes()), (None, 0));
    assert!(root.path().join("quarantine").join(cid.to_string()).exists());
    store.put(b"hello", Reason::Window).unwrap();
    assert_eq!(store.get(&cid).unwrap().as_deref(), Some(&b"hello"[..]), "it can be fetched again");
}

#[test]
fn a_block_that_is_too_large_is_refused_and_takes_nothing_away() {
    for limits in limits(1) {
        let root = tempfile::tempdir().unwrap();
        let limits = Limits { block_bytes_max: 60_000, ..limits };
        let store = BlockStore::open(root.path(), limits).unwrap();
        let large = store.put(&[0; 60_001], Reason::Window);
        assert!(matches!(large, Err(ContentError::BlockTooLarge { bytes: 60_001, max: 60_000 })));
        let cid = store.put(&[1; 4], Reason::Cached).unwrap();
        let (bytes, held) = (limits.disk_bytes(50_000), limits.disk_bytes(4));
        let full = store.put(&[0; 50_000], Reason::Window);
        assert!(matches!(full, Err(ContentError::Full { bytes: b, held: h }) if (b, h) == (bytes, held)));
        assert!(has(&store, &cid));
        assert_eq!(store.usage().refused, 1);
    }
}

#[test]
fn cached_blocks_yield_to_segments_and_both_to_windows() {
    for limits in limits(3) {
        let root = tempfile::tempdir().unwrap();
        let store = BlockStore::open(root.path(), limits).unwrap();
        let segment = store.put(&[1; 4], Reason::Segment).unwrap();
        let cached = store.put(&[2; 4], Reason::Cached).unwrap();
        let first = store.put(&[3; 4], Reason::Window).unwrap();
        let second = store.put(&[4; 4], Reason::Window).unwrap();
        assert!(!has(&store, &cached) && has(&store, &segment), "the cached one went though it was kept later");
        let third = store.put(&[5; 4], Reason::Window).unwrap();
        assert!(!has(&store, &segment));
        assert!([first, second, third].iter().all(|cid| has(&store, cid)));
        // A segment does not take the place of a recent window.
        assert!(matches!(store.put(&[6; 4], Reason::Segment), Err(ContentError::Full { .. })));
        assert_eq!((store.usage().pinned_removed, store.len()), (0, 3));
    }
}

#[test]
fn a_store_full_of_recent_windows_takes_the_next_one() {
    for limits in limits(2) {
        let root = tempfile::tempdir().unwrap();
        let store = BlockStore::open(root.path(), limits).unwrap();
        let cids: Vec<_> = (0..3).map(|n| store.put(&[n; 4], Reason::Window).unwrap()).collect();
        assert_eq!(cids.iter().map(|cid| has(&store, cid)).collect::<Vec<_>>(), [false, true, true]);
        assert_eq!(store.usage().pinned_removed, 1, "it is counted: the store is too small for what must be kept");
    }
}

#[test]
fn the_reserve_is_for_recent_windows_alone() {
    for limits in limits(4) {
        let root = tempfile::tempdir().unwrap();
        let limits = Limits { reserve_percent: 50, ..limits };
        let store = BlockStore::open(root.path(), limits).unwrap();
        let cached: Vec<_> = (0..3).map(|n| store.put(&[n; 4], Reason::Cached).unwrap()).collect();
        assert_eq!(store.len(), 2, "a third is no more than a place among two");
        // Held, they have a right to half of the store; the other half takes windows, and no more than that.
        assert!(store.hold("lake", &cached[1]).unwrap() && store.hold("lake", &cached[2]).unwrap());
        assert_eq!(store.usage().held_bytes, 2 * limits.disk_bytes(4));
        assert!(matches!(store.put(&[9; 4], Reason::Cached), Err(ContentError::Full { .. })));
        let windows: Vec<_> = (10..13).map(|n| store.put(&[n; 4], Reason::Window).unwrap()).collect();
        let kept = [&cached[1], &cached[2], &windows[2]].map(|cid| has(&store, cid));
        assert!(kept == [true; 3] && !has(&store, &windows[0]));
        // Windows that are no longer recent but held have grown into the reserve: they give it back, oldest first.
        assert!(store.hold("lake", &windows[1]).unwrap() && store.hold("lake", &windows[2]).unwrap());
        store.retain_since(Timestamp(i64::MAX / 2)).unwrap();
        assert_eq!(store.usage().recent_bytes, 0);
        let since = SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as i64;
        store.retain_since(Timestamp(since)).unwrap();
        let recent = store.put(&[20; 4], Reason::Window).unwrap();
        assert!(has(&store, &recent));
        assert_eq!((store.len(), store.usage().pinned_removed), (4, 2));
    }
}

#[test]
fn old_windows_are_collected_above_the_low_water_mark_and_not_below() {
    for limits in limits(8) {
        let (root, one) = (tempfile::tempdir().unwrap(), limits.disk_bytes(4));
        let limits = Limits { low_water_percent: 50, ..limits };
        let store = BlockStore::open(root.path(), limits).unwrap();
        let cids: Vec<_> = (0..7).map(|n| store.put(&[n; 4], Reason::Window).unwrap()).collect();
        assert_eq!(store.collect().unwrap(), Collected::default(), "every window is recent until it is said otherwise");
        assert!(store.hold("client-1", &cids[0]).unwrap());
        store.retain_since(Timestamp(i64::MAX)).unwrap();
        assert_eq!(store.collect().unwrap(), Collected { blocks: 3, bytes: 3 * one, more: false });
        let kept: Vec<_> = cids.iter().map(|cid| has(&store, cid)).collect();
        assert_eq!(kept, [true, false, false, false, true, true, true]);
        assert!(store.release("client-1", &cids[0]).unwrap() && !store.release("client-1", &cids[0]).unwrap());
        let last = store.put(&[9; 4], Reason::Window).unwrap();
        assert!(!has(&store, &cids[0]) && has(&store, &last), "released, it is the oldest");
        // Only files give their room back to the disk.
        let room = if limits.packed_bytes_max == 0 { 2 * one } else { 0 };
        assert_eq!((store.make_room(one + 1).unwrap(), store.bytes()), (room, 4 * one - room));
    }
}

#[test]
fn reasons_holds_and_times_of_files_outlive_a_restart() {
    let root = tempfile::tempdir().unwrap();
    let store = BlockStore::open(root.path(), in_files()).unwrap();
    let cids: Vec<_> = (1..=3).map(|n| store.put(&[n; 4], Reason::Segment).unwrap()).collect();
    let cached = store.put(&[4; 4], Reason::Cached).unwrap();
    let became = store.put(&[5; 4], Reason::Cached).unwrap();
    store.put(&[5; 4], Reason::Window).unwrap();
    store.hold("lake", &cids[1]).unwrap();
    for (cid, age_s) in [(cids[0], 50), (cids[1], 200), (cids[2], 100)] {
        let time = SystemTime::now() - Duration::from_secs(age_s);
        File::options().write(true).open(file(root.path(), &cid, ".segment")).unwrap().set_modified(time).unwrap();
    }
    drop(store);
    let store = BlockStore::open(root.path(), limits(4)[1]).unwrap();
    let reasons = [&cached, &became].map(|cid| store.reason(cid).unwrap());
    assert_eq!(reasons, [Some(Reason::Cached), Some(Reason::Window)]);
    store.put(&[6; 4], Reason::Segment).unwrap();
    assert!(!has(&store, &cached) && !has(&store, &cids[2]) && has(&store, &cids[1]) && has(&store, &cids[0]));
    // The name of a block that is gone is gone with it.
    store.remove(&cids[1]).unwrap();
    assert!(!root.path().join("holds/lake").join(cids[1].to_string()).exists());
    assert!(matches!(store.hold("../x", &became), Err(ContentError::Holder(_))));
}

#[test]
fn what_a_crash_left_is_cleaned() {
    let root = tempfile::tempdir().unwrap();
    let store = BlockStore::open(root.path(), in_files()).unwrap();
    let cid = store.put(b"whole", Reason::Window).unwrap();
    drop(store);
    fs::write(root.path().join("incoming").join("bafkreitorn"), b"to").unwrap();
    fs::write(root.path().join("notes.txt"), b"not ours").unwrap();
    // The same block twice: the stronger reason counts.
    fs::write(file(root.path(), &cid, ".cached"), b"whole").unwrap();
    let store = BlockStore::open(root.path(), in_files()).unwrap();
    let bytes = in_files().disk_bytes(5);
    assert_eq!((store.cids().unwrap(), store.bytes()), (vec![cid], bytes));
    assert_eq!(store.reason(&cid).unwrap(), Some(Reason::Window));
    assert_eq!(fs::read_dir(root.path().join("incoming")).unwrap().count(), 0);
    assert!(!file(root.path(), &cid, ".cached").exists());
}

#[test]
fn many_threads_put_the_same_blocks_into_a_store_that_is_too_small() {
    for limits in limits(3) {
        let root = tempfile::tempdir().unwrap();
        let store = BlockStore::open(root.path(), limits).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for n in (0..120u8).map(|n| n % 8) {
                        let reason = if n % 2 == 0 { Reason::Cached } else { Reason::Segment };
                        if let Ok(cid) = store.put(&[n; 4], reason) {
                            assert!(store.get(&cid).unwrap().is_none_or(|bytes| bytes == [n; 4]));
                        }
                    }
                });
            }
        });
        let (held, bytes) = (store.cids().unwrap(), store.bytes());
        assert!(bytes <= limits.store_bytes_max);
        assert!(held.iter().all(|cid| store.get(cid).unwrap().is_some()), "what is in stock is on the disk");
        drop(store);
        let again = BlockStore::open(root.path(), limits).unwrap();
        assert_eq!((again.cids().unwrap(), again.bytes()), (held, bytes), "what is on the disk is in stock");
    }
}

proptest! {
    // Each block is synced: a disk has no time for more.
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_bytes_come_back(blocks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..64), 1..12)) {
        let root = tempfile::tempdir().unwrap();
        let store = open(root.path());
        let cids: Vec<ContentId> = blocks.iter().map(|b| store.put(b, Reason::Window).unwrap()).collect();
        drop(store);
        let again = open(root.path());
        for (cid, bytes) in cids.iter().zip(&blocks) {
            let found = again.get(cid).unwrap();
            prop_assert_eq!(found.as_ref(), Some(bytes));
        }
    }
}
