//! Small blocks that an earlier version kept as files.

use std::fs::File;
use std::time::{Duration, SystemTime};

use super::{file, has, in_files};
use crate::*;

#[test]
fn old_files_are_found_and_moved_beside_writes() {
    let root = tempfile::tempdir().unwrap();
    let store = BlockStore::open(root.path(), in_files()).unwrap();
    let windows: Vec<_> = (0..100u8).map(|n| store.put(&[n; 300], Reason::Window).unwrap()).collect();
    let cached = store.put(&[200; 300], Reason::Cached).unwrap();
    let large = store.put(&[201; 70_000], Reason::Segment).unwrap();
    store.hold("lake", &windows[1]).unwrap();
    let time = SystemTime::now() - Duration::from_secs(3_600);
    File::options().write(true).open(file(root.path(), &windows[0], "")).unwrap().set_modified(time).unwrap();
    drop(store);

    let store = BlockStore::open(root.path(), Limits::default()).unwrap();
    assert_eq!(store.len(), 102);
    assert!(windows.iter().chain([&cached, &large]).all(|cid| store.get(cid).unwrap().is_some()), "they are found");
    let (at_first, limits) = (store.bytes(), Limits::default());
    assert_eq!(at_first, 101 * limits.disk_bytes(300) + limits.disk_bytes(70_000), "as what they become");
    store.put(&[202; 300], Reason::Window).unwrap();
    let files = |cids: &[_]| cids.iter().filter(|cid| file(root.path(), cid, "").exists()).count();
    assert!((60..100).contains(&files(&windows)), "some are moved with each write, not all");
    for n in 203..206 {
        store.put(&[n; 300], Reason::Window).unwrap();
    }
    assert_eq!(files(&windows), 0);
    assert!(!file(root.path(), &cached, ".cached").exists());
    assert!(file(root.path(), &large, ".segment").exists(), "a large one stays a file");
    assert!(!root.path().join("holds/lake").join(windows[1].to_string()).exists());
    assert!(windows.iter().chain([&cached, &large]).all(|cid| store.get(cid).unwrap().is_some()));
    assert_eq!((store.len(), store.bytes()), (106, at_first + 4 * limits.disk_bytes(300)));
    drop(store);

    let store = BlockStore::open(root.path(), Limits { low_water_percent: 0, ..Limits::default() }).unwrap();
    assert_eq!((store.len(), store.reason(&cached).unwrap()), (106, Some(Reason::Cached)));
    let oldest = store.oldest(Reason::Window).unwrap().unwrap();
    let kept = time.duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as i64;
    assert_eq!(oldest.nanos(), kept, "it was kept when it was kept");
    store.retain_since(openmesh_primitives::Timestamp(i64::MAX)).unwrap();
    assert_eq!(store.collect().unwrap().blocks, 105);
    assert!(has(&store, &windows[1]), "a hold moves along");
    assert!(store.release("lake", &windows[1]).unwrap());
}

#[test]
fn an_old_file_gets_a_stronger_reason_where_it_lies() {
    let root = tempfile::tempdir().unwrap();
    let store = BlockStore::open(root.path(), in_files()).unwrap();
    let cid = store.put(&[1; 300], Reason::Cached).unwrap();
    drop(store);
    let store = BlockStore::open(root.path(), Limits::default()).unwrap();
    store.put(&[1; 300], Reason::Window).unwrap();
    assert_eq!((store.len(), store.reason(&cid).unwrap()), (1, Some(Reason::Window)));
    store.put(&[2; 300], Reason::Window).unwrap();
    assert!(!file(root.path(), &cid, "").exists());
    assert_eq!((store.len(), store.reason(&cid).unwrap()), (2, Some(Reason::Window)));
}

#[test]
fn a_file_that_was_moved_before_a_crash_is_removed() {
    let root = tempfile::tempdir().unwrap();
    let store = BlockStore::open(root.path(), Limits::default()).unwrap();
    let cid = store.put(&[1; 300], Reason::Window).unwrap();
    drop(store);
    let path = file(root.path(), &cid, ".cached");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, [1; 300]).unwrap();
    let store = BlockStore::open(root.path(), Limits::default()).unwrap();
    assert_eq!((store.len(), store.reason(&cid).unwrap()), (1, Some(Reason::Window)));
    assert!(!path.exists());
}

#[test]
fn rows_are_found_where_everything_new_is_a_file() {
    let root = tempfile::tempdir().unwrap();
    let store = BlockStore::open(root.path(), Limits::default()).unwrap();
    let row = store.put(&[1; 300], Reason::Cached).unwrap();
    drop(store);
    let store = BlockStore::open(root.path(), in_files()).unwrap();
    let new = store.put(&[2; 300], Reason::Cached).unwrap();
    assert!(store.get(&row).unwrap().is_some() && file(root.path(), &new, ".cached").exists());
    store.put(&[1; 300], Reason::Window).unwrap();
    assert_eq!((store.reason(&row).unwrap(), store.len()), (Some(Reason::Window), 2));
}
