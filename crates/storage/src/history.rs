//! The history: writing a block with its indices, and removing the oldest.

use openmesh_ledger::{Block, Certificate, Execution, LedgerEvent, Receipt};
use openmesh_primitives::{Height, Timestamp, canonical};
use redb::{ReadableTable, WriteTransaction};

use crate::StoreError;
use crate::accounts;
use crate::blocks::{Oldest, StoredBlock, decode_block, oldest};
use crate::tables::{BLOCKS, META, SET_CHANGES, TRANSACTIONS, VALIDATOR_SETS, get_meta};

/// Most blocks that are removed with one commit: a backlog shrinks sixteen times as fast as blocks come, and a commit waits
/// some milliseconds for it.
const REMOVED_BLOCKS_MAX: usize = 16;
/// No further block is removed with a commit once so many bytes have been.
const REMOVED_BYTES_MAX: usize = 4 << 20;
/// Key of META: bytes of removed blocks whose room in the file has not been used again, about.
const FREED: &str = "freed-bytes";

pub fn write_block(
    write: &WriteTransaction,
    block: &Block,
    certificate: &Certificate,
    execution: &Execution,
) -> Result<(), StoreError> {
    let height = block.header.height;
    let mut index = write.open_table(TRANSACTIONS)?;
    // In the order of the table: neighbours share its pages.
    let mut receipts: Vec<&Receipt> = execution.receipts.iter().collect();
    receipts.sort_by_key(|receipt| receipt.hash);
    for receipt in receipts {
        // Whoever proposes may include it again, or before its turn: a copy that is refused says nothing about it.
        if receipt.ok() || index.get(receipt.hash.0)?.is_none() {
            index.insert(receipt.hash.0, (height, receipt.index))?;
        }
    }
    accounts::insert(write, height, &block.transactions, &execution.receipts)?;
    let bytes = canonical::encode(&(block, certificate, &execution.receipts, &execution.events));
    write.open_table(BLOCKS)?.insert(height, bytes.as_slice())?;
    used(write, bytes.len() as u64)
}

/// Writes a block of which nothing is known but that it was decided: no receipts, no events, no indices.
pub fn write_block_alone(write: &WriteTransaction, block: &Block, certificate: &Certificate) -> Result<(), StoreError> {
    let (receipts, events): (Vec<Receipt>, Vec<LedgerEvent>) = (Vec::new(), Vec::new());
    let bytes = canonical::encode(&(block, certificate, receipts, events));
    write.open_table(BLOCKS)?.insert(block.header.height, bytes.as_slice())?;
    Ok(())
}

/// Removes the oldest blocks below `height` and before `time`, with their receipts and their entries in the indices; at
/// most some of them. Where the validators changed, header and certificate stay, for light clients. Returns the oldest
/// block that is left.
pub fn remove_oldest(write: &WriteTransaction, height: Height, time: Timestamp) -> Result<Oldest, StoreError> {
    let mut removed_bytes = 0;
    let mut removed = 0;
    loop {
        let mut blocks = write.open_table(BLOCKS)?;
        let left = oldest(&blocks)?;
        let Some((first, _)) = left.filter(|(first, at)| *first < height && *at < time) else { return Ok(left) };
        if removed == REMOVED_BLOCKS_MAX || removed_bytes > REMOVED_BYTES_MAX {
            return Ok(left);
        }
        let Some(bytes) = blocks.remove(first)?.map(|bytes| bytes.value().to_vec()) else { return Ok(left) };
        drop(blocks);
        remove_entries(write, first, decode_block(&bytes)?)?;
        removed += 1;
        removed_bytes += bytes.len();
        freed(write, bytes.len() as u64)?;
    }
}

fn remove_entries(write: &WriteTransaction, height: Height, stored: StoredBlock) -> Result<(), StoreError> {
    let mut index = write.open_table(TRANSACTIONS)?;
    for receipt in &stored.receipts {
        // It may stand in a later block, where it took effect.
        let is_here = index.get(receipt.hash.0)?.is_some_and(|place| place.value() == (height, receipt.index));
        if is_here {
            index.remove(receipt.hash.0)?;
        }
    }
    accounts::remove(write, height, &stored.block.transactions, &stored.receipts)?;
    // The last header that the old set decides announces the new one.
    if write.open_table(VALIDATOR_SETS)?.get(height + 1)?.is_some() {
        let kept = canonical::encode(&(&stored.block.header, &stored.certificate));
        write.open_table(SET_CHANGES)?.insert(height, kept.as_slice())?;
    }
    Ok(())
}

/// Counts bytes that were removed.
pub fn freed(write: &WriteTransaction, bytes: u64) -> Result<(), StoreError> {
    change_freed(write, |freed| freed.saturating_add(bytes))
}

fn used(write: &WriteTransaction, bytes: u64) -> Result<(), StoreError> {
    change_freed(write, |freed| freed.saturating_sub(bytes))
}

fn change_freed(write: &WriteTransaction, change: impl FnOnce(u64) -> u64) -> Result<(), StoreError> {
    let mut meta = write.open_table(META)?;
    let before = freed_bytes(&meta)?;
    let after = change(before);
    if after != before {
        meta.insert(FREED, canonical::encode(&after).as_slice())?;
    }
    Ok(())
}

/// Bytes of removed blocks whose room has not been used again.
pub fn freed_bytes(meta: &impl ReadableTable<&'static str, &'static [u8]>) -> Result<u64, StoreError> {
    Ok(get_meta(meta, FREED)?.unwrap_or(0))
}

/// Forgets the count, after the file was made smaller.
pub fn forget_freed(write: &WriteTransaction) -> Result<(), StoreError> {
    change_freed(write, |_| 0)
}
