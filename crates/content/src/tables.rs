//! The database's tables: small blocks in the order in which they yield.
//!
//! | table | key | value |
//! | --- | --- | --- |
//! | `blocks` | held or not, reason, time of keeping, CID | the block's bytes |
//! | `places` | CID | held or not, reason, time of keeping, bytes |
//! | `sums` | held or not, reason, minute | blocks and the bytes that they take of the disk |
//! | `holds` | CID, name of a holder | nothing |
//!
//! Recent windows have the highest keys of `blocks`, so a new one is appended: its pages are filled one after the other,
//! and those of the oldest become empty as a whole. Sums of minutes are what lets a start and a move of the retention
//! window read rows of some minutes and not of all.

use openmesh_primitives::{ContentId, Digest};
use redb::{ReadOnlyTable, ReadTransaction, ReadableTable, Table, TableDefinition, WriteTransaction};

use crate::Reason;
use crate::fault::Fault;
use crate::limits::row_cost;
use crate::rule::{Block, Kind, Place, Stock, Sum};

type PlaceKey = [u8; 42];
type Located = [u8; 14];
type SumKey = [u8; 10];

const BLOCKS: TableDefinition<'_, &PlaceKey, &[u8]> = TableDefinition::new("blocks");
const PLACES: TableDefinition<'_, &[u8; 32], &Located> = TableDefinition::new("places");
const SUMS: TableDefinition<'_, &SumKey, (u64, u64)> = TableDefinition::new("sums");
const HOLDS: TableDefinition<'_, (&[u8; 32], &str), ()> = TableDefinition::new("holds");

/// Span of one row of sums: a minute, since the retention window moves in steps of one.
const SPAN_NANOS: i64 = 60_000_000_000;

/// Makes the tables where there are none.
pub(crate) fn make_tables(write: &WriteTransaction) -> Result<(), Fault> {
    write.open_table(BLOCKS)?;
    write.open_table(PLACES)?;
    write.open_table(SUMS)?;
    write.open_table(HOLDS)?;
    Ok(())
}

/// The tables for reading, as the last commit left them.
pub(crate) struct Reading {
    blocks: ReadOnlyTable<&'static PlaceKey, &'static [u8]>,
    places: ReadOnlyTable<&'static [u8; 32], &'static Located>,
    sums: ReadOnlyTable<&'static SumKey, (u64, u64)>,
}

impl Reading {
    pub(crate) fn open(read: &ReadTransaction) -> Result<Reading, Fault> {
        let (blocks, places) = (read.open_table(BLOCKS)?, read.open_table(PLACES)?);
        Ok(Reading { blocks, places, sums: read.open_table(SUMS)? })
    }

    pub(crate) fn block(&self, cid: &ContentId) -> Result<Option<Block>, Fault> {
        located(&self.places, cid)
    }

    /// The bytes of a block, whatever they are; empty where there is a place without bytes.
    pub(crate) fn bytes(&self, cid: &ContentId) -> Result<Option<Vec<u8>>, Fault> {
        let Some(block) = self.block(cid)? else { return Ok(None) };
        let found = self.blocks.get(&place_key(block.held, &block.place))?;
        Ok(Some(found.map(|bytes| bytes.value().to_vec()).unwrap_or_default()))
    }

    pub(crate) fn cids(&self) -> Result<Vec<ContentId>, Fault> {
        let rows = self.places.iter()?.map(|row| row.map(|(cid, _)| ContentId::from_digest(Digest(*cid.value()))));
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

impl Stock for Reading {
    fn first(&self, held: bool, from: &Place) -> Result<Option<Block>, Fault> {
        first(&self.blocks, held, from)
    }

    fn sum(&self, held: bool, reason: Reason, from: i64, to: i64) -> Result<Sum, Fault> {
        sum(&self.blocks, &self.sums, held, reason, from, to)
    }
}

/// The tables within a transaction that changes them.
pub(crate) struct Writing<'txn> {
    blocks: Table<'txn, &'static PlaceKey, &'static [u8]>,
    places: Table<'txn, &'static [u8; 32], &'static Located>,
    sums: Table<'txn, &'static SumKey, (u64, u64)>,
    holds: Table<'txn, (&'static [u8; 32], &'static str), ()>,
}

impl<'txn> Writing<'txn> {
    pub(crate) fn open(write: &'txn WriteTransaction) -> Result<Writing<'txn>, Fault> {
        let (blocks, places) = (write.open_table(BLOCKS)?, write.open_table(PLACES)?);
        Ok(Writing { blocks, places, sums: write.open_table(SUMS)?, holds: write.open_table(HOLDS)? })
    }

    pub(crate) fn block(&self, cid: &ContentId) -> Result<Option<Block>, Fault> {
        located(&self.places, cid)
    }

    /// Adds a block that is not there.
    pub(crate) fn insert(&mut self, place: Place, held: bool, bytes: &[u8]) -> Result<Block, Fault> {
        let block = Block { place, held, cost: row_cost(bytes.len() as u64), kind: Kind::Row };
        self.blocks.insert(&place_key(held, &place), bytes)?;
        self.places.insert(&place.cid.digest().0, &locate(held, &place, bytes.len()))?;
        self.count(&block, Sum::add)?;
        Ok(block)
    }

    /// Takes a block and its holds away; returns what it was.
    pub(crate) fn take(&mut self, cid: &ContentId) -> Result<Option<Block>, Fault> {
        let Some(block) = self.take_row(cid)? else { return Ok(None) };
        if block.held {
            for name in self.holders(cid)? {
                self.holds.remove((&cid.digest().0, name.as_str()))?;
            }
        }
        Ok(Some(block))
    }

    /// Takes a block away and leaves its holds, for one that is put under another place.
    pub(crate) fn take_row(&mut self, cid: &ContentId) -> Result<Option<Block>, Fault> {
        Ok(self.take_bytes(cid)?.map(|(block, _)| block))
    }

    fn take_bytes(&mut self, cid: &ContentId) -> Result<Option<(Block, Vec<u8>)>, Fault> {
        let Some(block) = self.block(cid)? else { return Ok(None) };
        self.places.remove(&cid.digest().0)?;
        let removed = self.blocks.remove(&place_key(block.held, &block.place))?;
        let bytes = removed.map(|bytes| bytes.value().to_vec()).unwrap_or_default();
        self.count(&block, Sum::sub)?;
        Ok(Some((block, bytes)))
    }

    /// Adds a holder's name to a block; returns it before and after, or nothing where it is not there.
    pub(crate) fn hold(&mut self, name: &str, cid: &ContentId) -> Result<Option<(Block, Block)>, Fault> {
        let Some(block) = self.block(cid)? else { return Ok(None) };
        self.holds.insert((&cid.digest().0, name), ())?;
        self.put_under(cid, block, true)
    }

    /// Takes a holder's name off a block; returns it before and after, or nothing where it was not held by that name.
    pub(crate) fn release(&mut self, name: &str, cid: &ContentId) -> Result<Option<(Block, Block)>, Fault> {
        if self.holds.remove((&cid.digest().0, name))?.is_none() {
            return Ok(None);
        }
        let others = !self.holders(cid)?.is_empty();
        let Some(block) = self.block(cid)? else { return Ok(None) };
        self.put_under(cid, block, others)
    }

    fn put_under(&mut self, cid: &ContentId, before: Block, held: bool) -> Result<Option<(Block, Block)>, Fault> {
        if before.held == held {
            return Ok(Some((before, before)));
        }
        let Some((before, bytes)) = self.take_bytes(cid)? else { return Ok(None) };
        Ok(Some((before, self.insert(before.place, held, &bytes)?)))
    }

    fn holders(&self, cid: &ContentId) -> Result<Vec<String>, Fault> {
        let digest = cid.digest().0;
        let mut names = Vec::new();
        for row in self.holds.range((&digest, "")..)? {
            let (key, ()) = row.map(|(key, _)| (key, ()))?;
            let (of, name) = key.value();
            if *of != digest {
                break;
            }
            names.push(name.to_owned());
        }
        Ok(names)
    }

    fn count(&mut self, block: &Block, count: impl Fn(&mut Sum, Sum)) -> Result<(), Fault> {
        let key = sum_key(block.held, block.place.reason, block.place.kept.div_euclid(SPAN_NANOS));
        let mut sum = self.sums.get(&key)?.map(|sum| sum_of(sum.value())).unwrap_or_default();
        count(&mut sum, Sum { blocks: 1, cost: block.cost });
        if sum.blocks == 0 {
            self.sums.remove(&key)?;
        } else {
            self.sums.insert(&key, (sum.blocks, sum.cost))?;
        }
        Ok(())
    }
}

impl Stock for Writing<'_> {
    fn first(&self, held: bool, from: &Place) -> Result<Option<Block>, Fault> {
        first(&self.blocks, held, from)
    }

    fn sum(&self, held: bool, reason: Reason, from: i64, to: i64) -> Result<Sum, Fault> {
        sum(&self.blocks, &self.sums, held, reason, from, to)
    }
}

fn first(
    blocks: &impl ReadableTable<&'static PlaceKey, &'static [u8]>,
    held: bool,
    from: &Place,
) -> Result<Option<Block>, Fault> {
    let Some(row) = blocks.range::<&PlaceKey>(&place_key(held, from)..)?.next() else { return Ok(None) };
    let (key, bytes) = row?;
    let (is_held, place) = read_place(key.value())?;
    let cost = row_cost(bytes.value().len() as u64);
    Ok((is_held == held).then_some(Block { place, held, cost, kind: Kind::Row }))
}

fn sum(
    blocks: &impl ReadableTable<&'static PlaceKey, &'static [u8]>,
    sums: &impl ReadableTable<&'static SumKey, (u64, u64)>,
    held: bool,
    reason: Reason,
    from: i64,
    to: i64,
) -> Result<Sum, Fault> {
    let rows = |from: i64, to: i64| -> Result<Sum, Fault> {
        let mut sum = Sum::default();
        if from < to {
            let keys = [from, to].map(|kept| place_key(held, &Place::lowest(reason, kept)));
            for row in blocks.range::<&PlaceKey>(&keys[0]..&keys[1])? {
                sum.add(Sum { blocks: 1, cost: row_cost(row?.1.value().len() as u64) });
            }
        }
        Ok(sum)
    };
    // The first minute that lies within the times, and the first one that does not any more.
    let first = if from == i64::MIN { i64::MIN } else { from.div_euclid(SPAN_NANOS).saturating_add(1) };
    let end = if to == i64::MAX { i64::MAX } else { to.div_euclid(SPAN_NANOS) };
    if first >= end {
        return rows(from, to);
    }
    let mut sum = if from == i64::MIN { Sum::default() } else { rows(from, first.saturating_mul(SPAN_NANOS))? };
    if to != i64::MAX {
        sum.add(rows(end.saturating_mul(SPAN_NANOS), to)?);
    }
    let keys = [first, end].map(|minute| sum_key(held, reason, minute));
    for row in sums.range::<&SumKey>(&keys[0]..&keys[1])? {
        sum.add(sum_of(row?.1.value()));
    }
    Ok(sum)
}

const fn sum_of((blocks, cost): (u64, u64)) -> Sum {
    Sum { blocks, cost }
}

fn located(
    places: &impl ReadableTable<&'static [u8; 32], &'static Located>,
    cid: &ContentId,
) -> Result<Option<Block>, Fault> {
    let Some(found) = places.get(&cid.digest().0)? else { return Ok(None) };
    let row = found.value();
    let (held, reason, kept) = read_head(&row[..10])?;
    let bytes = u64::from(u32::from_be_bytes([row[10], row[11], row[12], row[13]]));
    Ok(Some(Block { place: Place { reason, kept, cid: *cid }, held, cost: row_cost(bytes), kind: Kind::Row }))
}

fn locate(held: bool, place: &Place, bytes: usize) -> Located {
    let mut row = [0; 14];
    row[..10].copy_from_slice(&sum_key(held, place.reason, place.kept));
    // A block has no more bytes than `BLOCK_BYTES_MAX`, whatever limits are set.
    row[10..].copy_from_slice(&u32::try_from(bytes).unwrap_or(u32::MAX).to_be_bytes());
    row
}

/// Held ones are before all others, so that a new window has the highest key of all.
fn place_key(held: bool, place: &Place) -> PlaceKey {
    let mut key = [0; 42];
    key[..10].copy_from_slice(&sum_key(held, place.reason, place.kept));
    key[10..].copy_from_slice(&place.cid.digest().0);
    key
}

fn sum_key(held: bool, reason: Reason, number: i64) -> SumKey {
    let mut key = [0; 10];
    key[0] = u8::from(!held);
    key[1] = match reason {
        Reason::Cached => 0,
        Reason::Segment => 1,
        Reason::Window => 2,
    };
    // Negative numbers are before positive ones.
    key[2..].copy_from_slice(&(number.cast_unsigned() ^ (1 << 63)).to_be_bytes());
    key
}

fn read_place(key: &PlaceKey) -> Result<(bool, Place), Fault> {
    let (held, reason, kept) = read_head(&key[..10])?;
    let mut digest = [0; 32];
    digest.copy_from_slice(&key[10..]);
    Ok((held, Place { reason, kept, cid: ContentId::from_digest(Digest(digest)) }))
}

fn read_head(head: &[u8]) -> Result<(bool, Reason, i64), Fault> {
    let reason = match head[1] {
        0 => Reason::Cached,
        1 => Reason::Segment,
        2 => Reason::Window,
        other => return Err(Fault::Damaged(format!("there is no reason {other}"))),
    };
    let mut number = [0; 8];
    number.copy_from_slice(&head[2..10]);
    Ok((head[0] == 0, reason, (u64::from_be_bytes(number) ^ (1 << 63)).cast_signed()))
}
