//! Facts of the ledger, the leaves of the epochs' trees, kept beside the state: details leave the state some epochs after they
//! became facts, but a fact is proven through its epoch's root, which stays in the state. Facts are kept as long as
//! blocks of the same age are, and by an archive for ever.

use openmesh_ledger::{ClosedEpoch, Execution, Fact, FactProof, MerklePath, StampRecord, WindowsFact, keys};
use openmesh_primitives::{Digest, canonical};
use redb::{ReadTransaction, ReadableTable, WriteTransaction};

use crate::StoreError;
use crate::history::freed;
use crate::tables::{CHUNK_FACTS, FACTS, STAMP_FACTS};

/// Facts that may be removed with any commit: eight times as many as blocks with three hundred streams bring, and a commit waits some
/// milliseconds for it.
const REMOVED_FACTS_MAX: usize = 256;
/// A commit that adds more than that removes up to so many for each that it adds. A block of stamps has eight hundred: what goes must not
/// be outrun by what comes, however long that lasts.
const REMOVED_FOR_EACH: usize = 2;

/// Key of a stamp's fact in its index: the stamp's key in the state, height and number.
pub fn stamp_fact_key(record: &StampRecord) -> Vec<u8> {
    let key = keys::stamp(&record.hash, &record.topic, &record.account);
    [key.as_slice(), &record.height.to_be_bytes(), &record.number.to_be_bytes()].concat()
}

/// All keys of a stamp's fact in the index: that one, and the keys in the state of its place, its topic and its account.
fn stamp_fact_keys(record: &StampRecord) -> [Vec<u8>; 4] {
    let (height, number) = (record.height, record.number);
    [
        stamp_fact_key(record),
        keys::stamp_place(height, number),
        keys::stamp_of_topic(&record.topic, height, number),
        keys::stamp_of_account(&record.account, height, number),
    ]
}

/// Writes a block's facts, and the places of those about chunks and stamps.
pub fn write(write: &WriteTransaction, execution: &Execution) -> Result<(), StoreError> {
    let mut facts = write.open_table(FACTS)?;
    let (mut chunks, mut stamps) = (write.open_table(CHUNK_FACTS)?, write.open_table(STAMP_FACTS)?);
    for (position, fact) in (execution.first_fact..).zip(&execution.facts) {
        let place = (execution.epoch, position);
        facts.insert(place, canonical::encode(fact).as_slice())?;
        match fact {
            Fact::Windows(WindowsFact::Chunk { source, window, stream, .. }) => {
                chunks.insert(keys::chunk(source, *window, stream).as_slice(), place)?;
            }
            Fact::Stamp(record) => {
                for key in stamp_fact_keys(record) {
                    stamps.insert(key.as_slice(), place)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Removes the oldest facts, of epochs before one, with a commit that has added so many; at most some of them.
pub fn remove_before(write: &WriteTransaction, epoch: u64, added: usize) -> Result<(), StoreError> {
    let mut facts = write.open_table(FACTS)?;
    let (mut chunks, mut stamps) = (write.open_table(CHUNK_FACTS)?, write.open_table(STAMP_FACTS)?);
    let mut removed_bytes = 0;
    for _ in 0..REMOVED_FACTS_MAX.max(added.saturating_mul(REMOVED_FOR_EACH)) {
        let oldest = facts.first()?.map(|(place, _)| place.value());
        let Some(place) = oldest.filter(|(of, _)| *of < epoch) else { break };
        let Some(bytes) = facts.remove(place)?.map(|bytes| bytes.value().to_vec()) else { break };
        removed_bytes += bytes.len() as u64;
        match canonical::decode::<Fact>(&bytes).map_err(|e| StoreError::damaged("facts", e))? {
            Fact::Windows(WindowsFact::Chunk { source, window, stream, .. }) => {
                chunks.remove(keys::chunk(&source, window, &stream).as_slice())?;
            }
            Fact::Stamp(record) => {
                for key in stamp_fact_keys(&record) {
                    stamps.remove(key.as_slice())?;
                }
            }
            _ => {}
        }
    }
    drop((facts, chunks, stamps));
    if removed_bytes > 0 { freed(write, removed_bytes) } else { Ok(()) }
}

/// Returns the place of the fact of an agreed chunk: epoch and position.
pub fn place_of_chunk(
    read: &ReadTransaction,
    source: &str,
    window: u64,
    stream: &str,
) -> Result<Option<(u64, u64)>, StoreError> {
    let chunks = read.open_table(CHUNK_FACTS)?;
    Ok(chunks.get(keys::chunk(source, window, stream).as_slice())?.map(|place| place.value()))
}

/// Makes the proof of a fact of a closed epoch; `None` if there is no such fact, or if this node has not all facts of the
/// epoch because it joined later or they are older than what it keeps. Reads every fact of the epoch.
pub fn prove(
    read: &ReadTransaction,
    epoch: u64,
    closed: &ClosedEpoch,
    position: u64,
) -> Result<Option<FactProof>, StoreError> {
    let facts = read.open_table(FACTS)?;
    let mut leaves: Vec<Digest> = Vec::new();
    let mut wanted = None;
    for entry in facts.range((epoch, 0)..(epoch, closed.facts))? {
        let (place, bytes) = entry?;
        if place.value().1 == position {
            wanted = Some(bytes.value().to_vec());
        }
        leaves.push(openmesh_ledger::leaf_hash(bytes.value()));
    }
    let path = (leaves.len() as u64 == closed.facts).then(|| MerklePath::of(&leaves, position)).flatten();
    let (Some(path), Some(bytes)) = (path, wanted) else { return Ok(None) };
    let fact = canonical::decode(&bytes).map_err(|e| StoreError::damaged("facts", e))?;
    Ok(Some(FactProof { epoch, fact, path }))
}

#[cfg(test)]
mod tests {
    use openmesh_ledger::EvidenceFact;
    use openmesh_primitives::Address;
    use redb::{Database, ReadableTableMetadata};

    use super::*;

    /// Epochs of ten blocks of three hundred facts each, of which the last two and the current one are kept.
    #[test]
    fn what_comes_does_not_outrun_what_goes() {
        const BLOCKS: u64 = 10;
        const ADDED: u64 = 300;
        let dir = tempfile::tempdir().unwrap();
        let database = Database::create(dir.path().join("facts")).unwrap();
        let transaction = database.begin_write().unwrap();
        let fact = Fact::Evidence(EvidenceFact { validator: Address([1; 20]), height: 1, transaction: Digest::ZERO });
        for epoch in 0..20_u64 {
            for block in 0..BLOCKS {
                let facts = vec![fact.clone(); ADDED as usize];
                let execution = Execution { epoch, first_fact: block * ADDED, facts, ..Execution::default() };
                write(&transaction, &execution).unwrap();
                remove_before(&transaction, epoch.saturating_sub(2), execution.facts.len()).unwrap();
            }
        }
        let kept = transaction.open_table(FACTS).unwrap().len().unwrap();
        assert_eq!(kept, 3 * BLOCKS * ADDED);
    }
}
