//! The block store: whatever the disk has made of a block, what is given out is what the CID names.

use std::path::{Path, PathBuf};

use openmesh_content::{BlockStore, ContentError, Limits, Reason};
use openmesh_primitives::ContentId;

use crate::input::Input;

/// A block is kept as a file, the file is altered as the input says, and the store is asked, before and after a restart.
pub fn block_store(data: &[u8]) {
    let mut input = Input::new(data);
    let (cut, at, mask, block) = (input.byte(), usize::from(input.byte()), input.byte(), input.rest());
    let root = tempfile::tempdir().expect("a folder");
    let limits = Limits { block_bytes_max: 4_096, store_bytes_max: 8_192, packed_bytes_max: 0, ..Limits::default() };
    let store = BlockStore::open(root.path(), limits).expect("an empty folder");
    let cid = match store.put(block, Reason::Window) {
        Ok(cid) => cid,
        Err(ContentError::BlockTooLarge { .. }) => return assert!(block.len() > 4_096),
        Err(error) => panic!("{error}"),
    };
    assert_eq!(cid, ContentId::of(block));
    assert_eq!(store.get(&cid).expect("an unharmed file"), Some(block.to_vec()));
    let file = file_of(root.path(), &cid).expect("a kept block has a file");
    let mut bytes = std::fs::read(&file).expect("the file");
    bytes.truncate(bytes.len() - usize::from(cut).min(bytes.len()));
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= mask;
    }
    std::fs::write(&file, &bytes).expect("the file");
    // A stranger's file beside it is none of ours.
    std::fs::write(file.with_file_name("..x"), b"x").expect("a file");
    for store in [store, BlockStore::open(root.path(), limits).expect("a harmed folder opens")] {
        ask(&store, block);
    }
}

/// Blocks are kept as rows, bytes of the database are altered where the input says, and the store is asked before and after a
/// restart, and keeps them again.
pub fn block_database(data: &[u8]) {
    let mut input = Input::new(data);
    let harm: Vec<(usize, u8)> = (0..1 + input.byte() % 8)
        .map(|_| (usize::from(input.byte()) << 8 | usize::from(input.byte()), input.byte()))
        .collect();
    let (open_then, rest) = (input.byte().is_multiple_of(2), input.rest());
    let blocks: Vec<Vec<u8>> = (0..24u8).map(|n| [&[n][..], rest].concat()).collect();
    let root = tempfile::tempdir().expect("a folder");
    let limits = Limits { block_bytes_max: 1 << 16, ..Limits::default() };
    let store = BlockStore::open(root.path(), limits).expect("an empty folder");
    match store.put_all(&blocks, Reason::Window) {
        Ok(_) => {}
        Err(ContentError::BlockTooLarge { .. }) => return,
        Err(error) => panic!("{error}"),
    }
    let store = open_then.then_some(store);
    let path = root.path().join("blocks.redb");
    let mut bytes = std::fs::read(&path).expect("the database");
    for (at, mask) in harm {
        // Every page, and not only the first ones.
        let at = (at * bytes.len()) >> 16;
        bytes[at] ^= mask;
    }
    std::fs::write(&path, &bytes).expect("the database");
    if let Some(store) = store {
        blocks.iter().for_each(|block| ask(&store, block));
    }
    let store = BlockStore::open(root.path(), limits).expect("a harmed folder opens");
    blocks.iter().for_each(|block| ask(&store, block));
    store.put_all(&blocks, Reason::Window).expect("it goes on");
}

fn ask(store: &BlockStore, block: &[u8]) {
    let cid = ContentId::of(block);
    match store.get(&cid) {
        Ok(Some(given)) => assert!(given == block, "another block was given out"),
        Ok(None) => {}
        Err(ContentError::Damaged(named)) => assert!(named == cid),
        Err(error) => panic!("{error}"),
    }
}

fn file_of(root: &Path, cid: &ContentId) -> Option<PathBuf> {
    let name = cid.to_string();
    let file = root.join(&name[name.len() - 2..]).join(&name);
    file.exists().then_some(file)
}

/// Seeds of [`block_database`].
pub fn block_database_seeds() -> Vec<Vec<u8>> {
    vec![
        vec![],
        b"\x00\x00\x00\x01\x00hello".to_vec(),
        b"\x02\x10\x00\x80\x40\x00\x04\x80\x00\xff\x01hello".to_vec(),
        [&[7, 0x20, 0, 1, 0x30, 0, 2, 0x50, 0, 4, 0x70, 0, 8, 0x90, 0, 16, 0xb0, 0, 32][..], &[7; 900]].concat(),
    ]
}

/// Seeds of [`block_store`].
pub fn block_store_seeds() -> Vec<Vec<u8>> {
    vec![vec![0, 0, 0], b"\x00\x00\x01hello".to_vec(), b"\x02\x01\x00hello".to_vec(), vec![7; 5_000]]
}
