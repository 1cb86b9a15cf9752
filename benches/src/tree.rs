//! The tree that backups are measured with: large files of which every second block is a copy.

use std::fs;
use std::path::Path;

use openmesh_primitives::SplitMix64;

/// Blocks of a file.
const FILE_BLOCKS: u64 = 4;
/// Bytes of a block, of which every second one is a copy of the one before.
const BLOCK_BYTES: usize = 4 << 20;
/// Seed of the first block.
const SEED: u64 = 1_000;

/// Bytes that cannot be compressed.
fn noise(seed: u64) -> Vec<u8> {
    let mut numbers = SplitMix64::new(seed);
    (0..BLOCK_BYTES / 8).flat_map(|_| numbers.next().to_le_bytes()).collect()
}

/// Bytes of a tree of so many files.
pub fn bytes(files: u64) -> u64 {
    files * FILE_BLOCKS * BLOCK_BYTES as u64
}

/// Makes a tree of so many files of 16 MiB.
pub fn make(root: &Path, files: u64) -> anyhow::Result<()> {
    fs::create_dir(root)?;
    for file in 0..files {
        let blocks = (0..FILE_BLOCKS).flat_map(|block| noise(SEED + (file * FILE_BLOCKS + block) / 2));
        fs::write(root.join(format!("file-{file}")), blocks.collect::<Vec<u8>>())?;
    }
    Ok(())
}
