mod crash;
pub(crate) mod faults;
mod index;

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

/// Blocks of `size` bytes fit `count` times, without reserve or low-water mark.
fn limits(size: u64, count: u64) -> Limits {
    Limits { block_bytes_max: size, store_bytes_max: size * count, reserve_percent: 0, low_water_percent: 100 }
}

#[test]
fn keeps_and_gives_and_counts_once() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let cid = store.put(b"hello", Reason::Window).unwrap();
    assert_eq!(store.put(b"hello", Reason::Cached).unwrap(), cid);
    assert_eq!((store.len(), store.bytes(), store.reason(&cid)), (1, 5, Some(Reason::Window)));
    assert_eq!(store.get(&cid).unwrap().as_deref(), Some(&b"hello"[..]));
    assert_eq!(store.get(&ContentId::of(b"other")).unwrap(), None);
    let again = open(root.path());
    assert_eq!((again.cids(), again.bytes()), (vec![cid], 5));
    assert!(again.remove(&cid).unwrap() && !again.remove(&cid).unwrap());
    assert!(again.is_empty());
}

#[test]
fn damage_is_found_and_set_aside() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let cid = store.put(b"hello", Reason::Window).unwrap();
    fs::write(file(root.path(), &cid, ""), b"hellp").unwrap();
    assert!(matches!(store.get(&cid), Err(ContentError::Damaged(found)) if found == cid));
    assert_eq!(store.get(&cid).unwrap(), None);
    assert!(root.path().join("quarantine").join(cid.to_string()).exists());
    store.put(b"hello", Reason::Window).unwrap();
    assert_eq!(store.get(&cid).unwrap().as_deref(), Some(&b"hello"[..]), "it can be fetched again");
}

#[test]
fn a_block_that_is_too_large_is_refused_and_takes_nothing_away() {
    let root = tempfile::tempdir().unwrap();
    let limits = Limits { block_bytes_max: 12, store_bytes_max: 10, ..Limits::default() };
    let store = BlockStore::open(root.path(), limits).unwrap();
    assert!(matches!(store.put(&[0; 13], Reason::Window), Err(ContentError::BlockTooLarge { bytes: 13, max: 12 })));
    let cid = store.put(&[1; 4], Reason::Cached).unwrap();
    assert!(matches!(store.put(&[0; 11], Reason::Window), Err(ContentError::Full { bytes: 11, held: 4 })));
    assert!(store.has(&cid));
    assert_eq!(store.usage().refused, 1);
}

#[test]
fn cached_blocks_yield_to_segments_and_both_to_windows() {
    let root = tempfile::tempdir().unwrap();
    let store = BlockStore::open(root.path(), limits(4, 3)).unwrap();
    let segment = store.put(&[1; 4], Reason::Segment).unwrap();
    let cached = store.put(&[2; 4], Reason::Cached).unwrap();
    let first = store.put(&[3; 4], Reason::Window).unwrap();
    let second = store.put(&[4; 4], Reason::Window).unwrap();
    assert!(!store.has(&cached) && store.has(&segment), "the cached one went though it was kept later");
    let third = store.put(&[5; 4], Reason::Window).unwrap();
    assert!(!store.has(&segment));
    assert!([first, second, third].iter().all(|cid| store.has(cid)));
    // A segment does not take the place of a recent window.
    assert!(matches!(store.put(&[6; 4], Reason::Segment), Err(ContentError::Full { .. })));
    assert_eq!(store.usage().pinned_removed, 0);
}

#[test]
fn a_store_full_of_recent_windows_takes_the_next_one() {
    let root = tempfile::tempdir().unwrap();
    let store = BlockStore::open(root.path(), limits(4, 2)).unwrap();
    let cids: Vec<_> = (0..3).map(|n| store.put(&[n; 4], Reason::Window).unwrap()).collect();
    assert_eq!(cids.iter().map(|cid| store.has(cid)).collect::<Vec<_>>(), [false, true, true]);
    assert_eq!(store.usage().pinned_removed, 1, "it is counted: the store is too small for what must be kept");
}

#[test]
fn the_reserve_is_for_recent_windows_alone() {
    let root = tempfile::tempdir().unwrap();
    let limits = Limits { reserve_percent: 50, ..limits(4, 4) };
    let store = BlockStore::open(root.path(), limits).unwrap();
    let cached: Vec<_> = (0..3).map(|n| store.put(&[n; 4], Reason::Cached).unwrap()).collect();
    assert_eq!(store.len(), 2, "a third is no more than a place among two");
    // Held, they have a right to half of the store; the other half takes windows, and no more than that.
    assert!(store.hold("lake", &cached[1]).unwrap() && store.hold("lake", &cached[2]).unwrap());
    assert!(matches!(store.put(&[9; 4], Reason::Cached), Err(ContentError::Full { .. })));
    let windows: Vec<_> = (10..13).map(|n| store.put(&[n; 4], Reason::Window).unwrap()).collect();
    assert!(store.has(&cached[1]) && store.has(&cached[2]) && !store.has(&windows[0]) && store.has(&windows[2]));
    // Windows that are no longer recent but held have grown into the reserve: they give it back, oldest first.
    assert!(store.hold("lake", &windows[1]).unwrap() && store.hold("lake", &windows[2]).unwrap());
    store.retain_since(Timestamp(i64::MAX / 2));
    assert_eq!(store.usage().recent_bytes, 0);
    let since = SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as i64;
    store.retain_since(Timestamp(since));
    let recent = store.put(&[20; 4], Reason::Window).unwrap();
    assert!(store.has(&recent));
    assert_eq!((store.len(), store.usage().pinned_removed), (4, 2));
}

#[test]
fn old_windows_are_collected_above_the_low_water_mark_and_not_below() {
    let root = tempfile::tempdir().unwrap();
    let limits = Limits { low_water_percent: 50, ..limits(4, 8) };
    let store = BlockStore::open(root.path(), limits).unwrap();
    let cids: Vec<_> = (0..7).map(|n| store.put(&[n; 4], Reason::Window).unwrap()).collect();
    assert_eq!(store.collect().unwrap(), Collected::default(), "every window is recent until it is said otherwise");
    assert!(store.hold("client-1", &cids[0]).unwrap());
    store.retain_since(Timestamp(i64::MAX));
    assert_eq!(store.collect().unwrap(), Collected { blocks: 3, bytes: 12, more: false });
    assert_eq!(
        cids.iter().map(|cid| store.has(cid)).collect::<Vec<_>>(),
        [true, false, false, false, true, true, true]
    );
    assert!(store.release("client-1", &cids[0]).unwrap() && !store.release("client-1", &cids[0]).unwrap());
    let last = store.put(&[9; 4], Reason::Window).unwrap();
    assert!(!store.has(&cids[0]) && store.has(&last), "released, it is the oldest");
    assert_eq!(store.make_room(5).unwrap(), 8);
}

#[test]
fn reasons_holds_and_times_outlive_a_restart() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let cids: Vec<_> = (1..=3).map(|n| store.put(&[n; 4], Reason::Segment).unwrap()).collect();
    let cached = store.put(&[4; 4], Reason::Cached).unwrap();
    let became = store.put(&[5; 4], Reason::Cached).unwrap();
    store.put(&[5; 4], Reason::Window).unwrap();
    store.hold("lake", &cids[1]).unwrap();
    for (cid, age_s) in [(cids[0], 50), (cids[1], 200), (cids[2], 100)] {
        let time = SystemTime::now() - Duration::from_secs(age_s);
        File::options().write(true).open(file(root.path(), &cid, ".segment")).unwrap().set_modified(time).unwrap();
    }
    let store = BlockStore::open(root.path(), limits(4, 4)).unwrap();
    assert_eq!((store.reason(&cached), store.reason(&became)), (Some(Reason::Cached), Some(Reason::Window)));
    store.put(&[6; 4], Reason::Segment).unwrap();
    assert!(!store.has(&cached) && !store.has(&cids[2]) && store.has(&cids[1]) && store.has(&cids[0]));
    // The name of a block that is gone is gone with it.
    store.remove(&cids[1]).unwrap();
    assert!(!root.path().join("holds/lake").join(cids[1].to_string()).exists());
    assert!(matches!(store.hold("../x", &became), Err(ContentError::Holder(_))));
}

#[test]
fn what_a_crash_left_is_cleaned() {
    let root = tempfile::tempdir().unwrap();
    let cid = open(root.path()).put(b"whole", Reason::Window).unwrap();
    fs::write(root.path().join("incoming").join("bafkreitorn"), b"to").unwrap();
    fs::write(root.path().join("notes.txt"), b"not ours").unwrap();
    // The same block twice: the stronger reason counts.
    fs::write(file(root.path(), &cid, ".cached"), b"whole").unwrap();
    let store = open(root.path());
    assert_eq!((store.cids(), store.reason(&cid), store.bytes()), (vec![cid], Some(Reason::Window), 5));
    assert_eq!(fs::read_dir(root.path().join("incoming")).unwrap().count(), 0);
    assert!(!file(root.path(), &cid, ".cached").exists());
}

#[test]
fn many_threads_put_the_same_blocks_into_a_store_that_is_too_small() {
    let root = tempfile::tempdir().unwrap();
    let store = BlockStore::open(root.path(), limits(4, 3)).unwrap();
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
    let (held, bytes) = (store.cids(), store.bytes());
    assert!(bytes <= 12);
    assert!(held.iter().all(|cid| store.get(cid).unwrap().is_some()), "what is in stock is on the disk");
    let again = BlockStore::open(root.path(), limits(4, 3)).unwrap();
    assert_eq!((again.cids(), again.bytes()), (held, bytes), "what is on the disk is in stock");
}

proptest! {
    // Each block is synced: a disk has no time for more.
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_bytes_come_back(blocks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..64), 1..12)) {
        let root = tempfile::tempdir().unwrap();
        let store = open(root.path());
        let cids: Vec<ContentId> = blocks.iter().map(|b| store.put(b, Reason::Window).unwrap()).collect();
        let again = open(root.path());
        for (cid, bytes) in cids.iter().zip(&blocks) {
            let found = again.get(cid).unwrap();
            prop_assert_eq!(found.as_ref(), Some(bytes));
        }
    }
}
