//! Rows: kept together, on a full disk, and in a database that is damaged.

use std::fs;
use std::io::ErrorKind;

use openmesh_primitives::{ContentId, Timestamp};

use super::faults::Faults;
use super::has;
use crate::disk::Disk;
use crate::*;

fn numbered(numbers: std::ops::Range<u32>) -> Vec<Vec<u8>> {
    numbers.map(|n| n.to_be_bytes().repeat(90)).collect()
}

#[test]
fn blocks_that_are_kept_together_are_one_transaction() {
    let root = tempfile::tempdir().unwrap();
    let store = BlockStore::open(root.path(), Limits::default()).unwrap();
    store.put(&[7; 300], Reason::Cached).unwrap();
    let mut blocks = numbered(0..24);
    blocks.extend([vec![7; 300], blocks[0].clone(), vec![9; 70_000]]);
    let cids = store.put_all(&blocks, Reason::Window).unwrap();
    assert_eq!(cids, blocks.iter().map(|block| ContentId::of(block)).collect::<Vec<_>>());
    let limits = Limits::default();
    let rows = 24 * limits.disk_bytes(360) + limits.disk_bytes(300);
    assert_eq!((store.len(), store.bytes()), (26, rows + limits.disk_bytes(70_000)));
    for (cid, bytes) in cids.iter().zip(&blocks) {
        assert_eq!(store.get(cid).unwrap().as_ref(), Some(bytes));
        assert_eq!(store.reason(cid).unwrap(), Some(Reason::Window));
        assert_eq!(super::file(root.path(), cid, "").exists(), bytes.len() > 64 << 10, "small ones are no files");
    }
    assert_eq!(store.put_all(&[] as &[Vec<u8>], Reason::Window).unwrap(), []);
}

#[test]
fn blocks_that_do_not_fit_together_are_refused_together() {
    let root = tempfile::tempdir().unwrap();
    let one = Limits::default().disk_bytes(360);
    let limits = Limits { store_bytes_max: 3 * one, ..Limits::default() };
    let store = BlockStore::open(root.path(), limits).unwrap();
    let before = store.put_all(&numbered(0..2), Reason::Window).unwrap();
    let full = store.put_all(&numbered(10..14), Reason::Window);
    assert!(matches!(full, Err(ContentError::Full { .. })));
    assert_eq!((store.cids().unwrap().len(), store.len(), store.bytes()), (2, 2, 2 * one));
    assert!(before.iter().all(|cid| has(&store, cid)), "what was there is there");
    assert_eq!(store.usage().pinned_removed, 0);
    store.put_all(&numbered(20..23), Reason::Window).unwrap();
    assert_eq!((store.len(), store.usage().pinned_removed), (3, 2));
}

#[test]
fn reasons_and_holds_of_rows_outlive_a_restart() {
    let root = tempfile::tempdir().unwrap();
    let store = BlockStore::open(root.path(), Limits::default()).unwrap();
    let cids = store.put_all(&numbered(0..4), Reason::Cached).unwrap();
    store.put(&numbered(3..4)[0], Reason::Window).unwrap();
    assert!(store.hold("lake", &cids[0]).unwrap() && store.hold("client", &cids[0]).unwrap());
    assert!(store.hold("lake", &cids[1]).unwrap() && store.hold("lake", &cids[1]).unwrap());
    assert!(!store.hold("lake", &ContentId::of(b"other")).unwrap());
    // A stronger reason leaves the hold.
    store.put(&numbered(1..2)[0], Reason::Segment).unwrap();
    drop(store);
    let store = BlockStore::open(root.path(), Limits { low_water_percent: 0, ..Limits::default() }).unwrap();
    assert_eq!(store.reason(&cids[3]).unwrap(), Some(Reason::Window));
    assert_eq!(store.usage().held_bytes, 2 * Limits::default().disk_bytes(360));
    assert!(store.release("client", &cids[0]).unwrap() && !store.release("client", &cids[0]).unwrap());
    store.retain_since(Timestamp(i64::MAX)).unwrap();
    assert_eq!(store.collect().unwrap().blocks, 2);
    assert_eq!(cids.iter().map(|cid| has(&store, cid)).collect::<Vec<_>>(), [true, true, false, false]);
    assert!(store.release("lake", &cids[0]).unwrap() && store.release("lake", &cids[1]).unwrap());
    assert_eq!((store.collect().unwrap().blocks, store.bytes()), (2, 0));
}

#[test]
fn rows_and_files_yield_in_one_order() {
    let root = tempfile::tempdir().unwrap();
    let limits = Limits::default();
    let store = BlockStore::open(root.path(), limits).unwrap();
    let sizes = [10, 100_000, 20, 100_001, 30];
    let cids: Vec<_> = sizes.iter().map(|size| store.put(&vec![1; *size], Reason::Segment).unwrap()).collect();
    let cached = store.put(&[2; 100_000], Reason::Cached).unwrap();
    drop(store);
    let one = limits.disk_bytes(10);
    let all = limits.disk_bytes(100_000);
    let held = 3 * one + 2 * all;
    // Room for so many goes in the order of keeping, whatever they are.
    for (gone, max) in [(0, held), (1, held - 1), (2, one * 2 + all), (3, one + all), (4, one)] {
        let tight = Limits { store_bytes_max: max, reserve_percent: 0, low_water_percent: 100, ..limits };
        let store = BlockStore::open(root.path(), tight).unwrap();
        let filler = store.put(&[], Reason::Window).unwrap();
        store.remove(&filler).unwrap();
        assert!(!has(&store, &cached));
        let left: Vec<_> = cids.iter().map(|cid| has(&store, cid)).collect();
        assert!(left.iter().filter(|left| !**left).count() >= gone, "{left:?}");
        assert!(left.is_sorted(), "the oldest went first: {left:?}");
    }
}

#[test]
fn a_disk_without_room_is_said_to_be_full_and_the_store_goes_on() {
    let root = tempfile::tempdir().unwrap();
    let disk = Disk { faults: Faults::once(u32::MAX, ErrorKind::StorageFull) };
    let store = BlockStore::open_on(disk, root.path(), Limits::default()).unwrap();
    let kept = store.put(&[1; 300], Reason::Window).unwrap();
    store.disk.faults.set_free(1_000);
    assert!(matches!(store.put(&[2; 300], Reason::Window), Err(ContentError::Full { .. })));
    assert_eq!((store.len(), store.usage().refused), (1, 1));
    // A block that may go makes room for it, since the database uses its room again.
    store.disk.faults.set_free(u64::MAX);
    let cached = store.put(&[3; 40_000], Reason::Cached).unwrap();
    store.disk.faults.set_free(1_000);
    let second = store.put(&[2; 300], Reason::Window).unwrap();
    assert!(!has(&store, &cached) && has(&store, &kept) && has(&store, &second));
    store.disk.faults.set_free(u64::MAX);
    store.put(&[4; 300], Reason::Window).unwrap();
    assert_eq!(store.len(), 3);
}

#[test]
fn a_database_that_a_full_disk_has_stopped_goes_on() {
    for at in 0.. {
        let root = tempfile::tempdir().unwrap();
        let disk = Disk { faults: Faults::once(at, ErrorKind::StorageFull) };
        let Ok(store) = BlockStore::open_on(disk, root.path(), Limits::default()) else { continue };
        let mut kept = Vec::new();
        for number in 0..4 {
            match store.put_all(&numbered(number * 8..number * 8 + 8), Reason::Window) {
                Ok(cids) => kept.extend(cids),
                Err(ContentError::Full { .. }) => {}
                Err(error) => panic!("step {at}: {error}"),
            }
        }
        assert!(kept.len() >= 24, "step {at}: one write was refused at most");
        assert!(kept.iter().all(|cid| store.get(cid).unwrap().is_some()), "step {at}");
        assert_eq!(store.len(), store.cids().unwrap().len() as u64, "step {at}");
        assert_eq!(store.len() % 8, 0, "step {at}: of a refused one all are there or none");
        if !store.disk.faults.came() {
            return;
        }
    }
}

#[test]
fn a_damaged_row_is_never_given_out() {
    let root = tempfile::tempdir().unwrap();
    let store = BlockStore::open(root.path(), Limits::default()).unwrap();
    let blocks: Vec<Vec<u8>> = (1..=8).map(|n| vec![n; 3_000]).collect();
    let cids = store.put_all(&blocks, Reason::Window).unwrap();
    drop(store);
    let path = root.path().join("blocks.redb");
    let mut bytes = fs::read(&path).unwrap();
    // The middle of every copy of one block's bytes.
    let mut at = 0;
    while let Some(found) = bytes[at..].windows(3_000).position(|window| window == blocks[4]) {
        at += found + 1_500;
        bytes[at] ^= 1;
    }
    assert!(at > 0);
    fs::write(&path, &bytes).unwrap();
    let store = BlockStore::open(root.path(), Limits::default()).unwrap();
    assert!(matches!(store.get(&cids[4]), Err(ContentError::Damaged(cid)) if cid == cids[4]));
    assert_eq!(store.get(&cids[4]).unwrap(), None);
    assert!(root.path().join("quarantine").join(cids[4].to_string()).exists());
    assert_eq!((store.len(), store.bytes()), (7, 7 * Limits::default().disk_bytes(3_000)));
    store.put(&blocks[4], Reason::Window).unwrap();
    for (cid, block) in cids.iter().zip(&blocks) {
        assert_eq!(store.get(cid).unwrap().as_ref(), Some(block), "the others were not touched");
    }
}

#[test]
fn a_damaged_database_is_set_aside_and_the_store_goes_on() {
    // From its first bytes on, and behind the header.
    for (from, length) in [(0, 64), (0, usize::MAX), (4_096, usize::MAX)] {
        let root = tempfile::tempdir().unwrap();
        let limits = Limits::default();
        let store = BlockStore::open(root.path(), limits).unwrap();
        let cids = store.put_all(&numbered(0..100), Reason::Window).unwrap();
        let large = store.put(&[1; 70_000], Reason::Window).unwrap();
        drop(store);
        let path = root.path().join("blocks.redb");
        let mut bytes = fs::read(&path).unwrap();
        bytes.iter_mut().skip(from).take(length).for_each(|byte| *byte ^= 0x5a);
        fs::write(&path, &bytes).unwrap();
        let store = BlockStore::open(root.path(), limits).unwrap();
        for cid in &cids {
            assert_eq!(store.get(cid).unwrap(), None, "from {from}: it comes from peers");
        }
        assert!(root.path().join("quarantine/blocks.redb").exists(), "from {from}");
        assert_eq!((store.len(), store.bytes()), (1, limits.disk_bytes(70_000)), "from {from}: files stay");
        assert!(store.get(&large).unwrap().is_some());
        store.put_all(&numbered(0..100), Reason::Window).unwrap();
        drop(store);
        let store = BlockStore::open(root.path(), limits).unwrap();
        assert!(cids.iter().all(|cid| store.get(cid).unwrap().is_some()), "from {from}");
    }
}

#[test]
fn a_database_that_is_damaged_while_it_is_open_is_set_aside() {
    let root = tempfile::tempdir().unwrap();
    let store = BlockStore::open(root.path(), Limits::default()).unwrap();
    store.put_all(&numbered(0..20_000), Reason::Window).unwrap();
    drop(store);
    let store = BlockStore::open(root.path(), Limits::default()).unwrap();
    let path = root.path().join("blocks.redb");
    let length = fs::metadata(&path).unwrap().len();
    // Somebody overwrites it, as a disk with a wrong sector would.
    let noise = vec![0x77; usize::try_from(length - 8_192).unwrap()];
    let file = fs::File::options().write(true).open(&path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &noise, 8_192).unwrap();
    let mut given = 0;
    for block in numbered(0..20_000) {
        match store.get(&ContentId::of(&block)) {
            Ok(Some(bytes)) => {
                assert_eq!(bytes, block);
                given += 1;
            }
            Ok(None) | Err(ContentError::Damaged(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert!(given < 20_000, "all of {length} bytes were in memory");
    assert!(root.path().join("quarantine/blocks.redb").exists(), "{given} are given still");
    let cids = store.put_all(&numbered(0..50), Reason::Window).unwrap();
    assert!(cids.iter().all(|cid| store.get(cid).unwrap().is_some()), "it goes on");
}

#[test]
fn a_store_is_open_in_one_process() {
    let root = tempfile::tempdir().unwrap();
    let store = BlockStore::open(root.path(), Limits::default()).unwrap();
    store.put(&[1; 300], Reason::Window).unwrap();
    assert!(matches!(BlockStore::open(root.path(), Limits::default()), Err(ContentError::InUse(_))));
    drop(store);
    assert_eq!(BlockStore::open(root.path(), Limits::default()).unwrap().len(), 1);
}

#[test]
fn the_room_of_removed_rows_is_used_again() {
    let root = tempfile::tempdir().unwrap();
    let limits = Limits { store_bytes_max: 2_000 * Limits::default().disk_bytes(360), ..Limits::default() };
    let store = BlockStore::open(root.path(), limits).unwrap();
    let mut full = 0;
    for batch in 0..200u32 {
        store.put_all(&numbered(batch * 100..batch * 100 + 100), Reason::Window).unwrap();
        if batch == 60 {
            full = store.database_bytes();
        }
    }
    assert!(store.bytes() <= limits.store_bytes_max && store.len() > 1_900);
    assert!(store.database_bytes() < full + full / 4, "{} after {full}", store.database_bytes());
}
