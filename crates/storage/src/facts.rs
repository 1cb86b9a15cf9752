//! Facts of the ledger, the leaves of the epochs' trees, kept beside the state: details leave the state some epochs after they
//! became facts, and blocks leave the store, but a fact stays and is proven through its epoch's root in the state.

use openmesh_ledger::{ClosedEpoch, Execution, Fact, FactProof, MerklePath, WindowsFact, keys};
use openmesh_primitives::{Digest, canonical};
use redb::{ReadTransaction, WriteTransaction};

use crate::StoreError;
use crate::tables::{CHUNK_FACTS, FACTS};

/// Writes a block's facts, and the places of those about chunks.
pub fn write(write: &WriteTransaction, execution: &Execution) -> Result<(), StoreError> {
    let mut facts = write.open_table(FACTS)?;
    let mut chunks = write.open_table(CHUNK_FACTS)?;
    for (position, fact) in (execution.first_fact..).zip(&execution.facts) {
        let place = (execution.epoch, position);
        facts.insert(place, canonical::encode(fact).as_slice())?;
        if let Fact::Windows(WindowsFact::Chunk { source, window, stream, .. }) = fact {
            chunks.insert(keys::chunk(source, *window, stream).as_slice(), place)?;
        }
    }
    Ok(())
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
/// epoch because it joined later. Reads every fact of the epoch.
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
