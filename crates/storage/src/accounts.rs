//! The index from accounts to their transactions.
//!
//! An entry is a key alone: account, height, position, so that a range read backwards is the newest first and an account
//! without any costs one look. It is written in the transaction of the block itself and goes with the block; a store that
//! was made before there was an index gets it when it is opened, some blocks at a time, going on where a crash stopped it.

use std::collections::BTreeSet;

use openmesh_ledger::{AccountsAction, Action, Receipt, Transaction};
use openmesh_primitives::{Address, Height, canonical};
use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, Table, WriteTransaction};

use crate::StoreError;
use crate::blocks::decode_block;
use crate::tables::{ACCOUNTS, BLOCKS, META, get_meta};

/// Key of META: every block up to this height is in the index; [`WHOLE`] once the index is complete.
const PROGRESS: &str = "account-index";
/// Progress of an index that is complete, and kept so by every commit.
const WHOLE: Height = Height::MAX;
/// Blocks that enter the index in one transaction when an old store is opened: some megabytes.
const REBUILD_BLOCKS: usize = 1_000;

type Entry = [u8; 32];

fn entry(account: &Address, height: Height, position: u32) -> Entry {
    let mut key = [0; 32];
    key[..20].copy_from_slice(&account.0);
    key[20..28].copy_from_slice(&height.to_be_bytes());
    key[28..].copy_from_slice(&position.to_be_bytes());
    key
}

/// The sender and every account that the transaction names.
fn touched(bytes: &[u8], receipt: &Receipt) -> impl Iterator<Item = Address> {
    let receiver = match canonical::decode(bytes) {
        Ok(Transaction::Account(transaction)) => match transaction.action {
            Action::Accounts(AccountsAction::Transfer { to, .. }) => Some(to),
            _ => None,
        },
        _ => None,
    };
    receipt.sender.into_iter().chain(receiver)
}

/// Entries of a block in ascending order.
fn entries(height: Height, transactions: &[Vec<u8>], receipts: &[Receipt]) -> BTreeSet<Entry> {
    let both = transactions.iter().zip(receipts);
    both.flat_map(|(bytes, receipt)| touched(bytes, receipt).map(move |a| entry(&a, height, receipt.index))).collect()
}

pub fn insert(
    write: &WriteTransaction,
    height: Height,
    transactions: &[Vec<u8>],
    receipts: &[Receipt],
) -> Result<(), StoreError> {
    let mut index = write.open_table(ACCOUNTS)?;
    insert_into(&mut index, height, transactions, receipts)
}

fn insert_into(
    index: &mut Table<'_, Entry, ()>,
    height: Height,
    transactions: &[Vec<u8>],
    receipts: &[Receipt],
) -> Result<(), StoreError> {
    for key in entries(height, transactions, receipts) {
        index.insert(key, ())?;
    }
    Ok(())
}

pub fn remove(
    write: &WriteTransaction,
    height: Height,
    transactions: &[Vec<u8>],
    receipts: &[Receipt],
) -> Result<(), StoreError> {
    let mut index = write.open_table(ACCOUNTS)?;
    for key in entries(height, transactions, receipts) {
        index.remove(key)?;
    }
    Ok(())
}

/// Places of an account's transactions, newest first, before a place.
pub fn newest_first(
    index: &impl ReadableTable<Entry, ()>,
    account: &Address,
    before: Option<(Height, u32)>,
    limit: usize,
) -> Result<Vec<(Height, u32)>, StoreError> {
    let first = entry(account, 0, 0);
    let range = match before {
        Some((height, position)) => index.range(first..entry(account, height, position))?,
        None => index.range(first..=entry(account, Height::MAX, u32::MAX))?,
    };
    let places = range.rev().take(limit).map(|found| {
        let key = found?.0.value();
        let (mut height, mut position) = ([0; 8], [0; 4]);
        height.copy_from_slice(&key[20..28]);
        position.copy_from_slice(&key[28..]);
        Ok((Height::from_be_bytes(height), u32::from_be_bytes(position)))
    });
    places.collect()
}

/// Completes the index of a store that was made before there was one.
pub fn complete(database: &Database) -> Result<(), StoreError> {
    loop {
        let read = database.begin_read()?;
        let done = match get_meta::<Height>(&read.open_table(META)?, PROGRESS)? {
            Some(WHOLE) => return Ok(()),
            Some(done) => done,
            None => 0,
        };
        let blocks = read.open_table(BLOCKS)?;
        let write = database.begin_write()?;
        let mut last = WHOLE;
        if !blocks.is_empty()? {
            let mut index = write.open_table(ACCOUNTS)?;
            for (count, found) in blocks.range(done + 1..)?.enumerate() {
                let (height, bytes) = found?;
                if count == REBUILD_BLOCKS {
                    last = height.value() - 1;
                    break;
                }
                let stored = decode_block(bytes.value())?;
                insert_into(&mut index, height.value(), &stored.block.transactions, &stored.receipts)?;
            }
        }
        write.open_table(META)?.insert(PROGRESS, canonical::encode(&last).as_slice())?;
        write.commit()?;
    }
}
