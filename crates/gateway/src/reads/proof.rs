//! Entries of the ledger's state with their proofs, themselves or through the closed epoch of a fact, and the changes of validators
//! that lead to the header over them.

use openmesh_api::{self as api, ErrorCode};
use openmesh_ledger::{FactProof, keys};
use openmesh_primitives::{Height, canonical};
use openmesh_storage::{StateProof, Store, StoreError};

use crate::error::Refusal;

/// An entry that is to be shown, which became a fact too.
pub struct Sought<'a> {
    /// Key in the state.
    pub key: Vec<u8>,
    /// Height of the block that wrote it.
    pub since: Height,
    /// Returns true of the value that is meant: after it has left the state, the key may be given again.
    pub is_it: &'a dyn Fn(&[u8]) -> bool,
    /// Epoch and position of its fact, where this node holds it.
    pub fact: Option<(u64, u64)>,
    /// Name of its kind, for people: `the chunk`.
    pub what: &'static str,
}

/// Entry of the state at a height, with its proof.
pub struct Shown {
    /// The state is that after this height, so it stands in the header of the next one.
    pub height: Height,
    /// Key of the entry, or of the closed epoch.
    pub key: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
    /// The proof of both.
    pub proof: StateProof,
    /// The fact with its path to the closed epoch's root, where the entry has left the state.
    pub fact: Option<FactProof>,
}

/// A block's header and certificate in the words of the contract, with what leads to them.
pub struct Signed {
    /// Canonical bytes of the header, hexadecimal.
    pub header: String,
    /// Canonical bytes of its certificate, hexadecimal.
    pub certificate: String,
    /// Changes of validators from the genesis up to it.
    pub changes: Vec<api::ProvenValidatorChange>,
}

/// Shows an entry in the state of the height that wrote it, so that its proof has the same bytes each time; once that state is pruned,
/// in that of the newest height that has a header; once the entry has left the state, its fact and the epoch that it belongs to.
///
/// Fails where the entry is of the newest block, whose state no header has yet, and where this node does not hold the fact any more.
pub fn shown(store: &Store, sought: Sought<'_>) -> Result<Shown, Refusal> {
    let Sought { key, since, is_it, fact, what } = sought;
    let tip = store.tip().height;
    if since >= tip {
        return Err(Refusal::new(
            ErrorCode::ProofNotReady,
            format!("{what} is of block {since}, the newest"),
            "the next block's header carries the state with it: ask again in a second",
        ));
    }
    let newest = tip - 1;
    let (height, (value, proof)) = match store.prove(&key, since) {
        Ok(proved) => (since, proved),
        Err(StoreError::Pruned { .. }) => (newest, store.prove(&key, newest)?),
        Err(error) => return Err(error.into()),
    };
    if let Some(value) = value.filter(|value| is_it(value)) {
        return Ok(Shown { height, key, value, proof, fact: None });
    }
    let (epoch, position) = fact.ok_or_else(|| facts_gone("the epoch", what))?;
    let fact = store.fact_proof(epoch, position)?.ok_or_else(|| facts_gone(&format!("epoch {epoch}"), what))?;
    let key = keys::closed_epoch(epoch);
    let (value, proof) = store.prove(&key, newest)?;
    let value = value.ok_or_else(|| facts_gone(&format!("epoch {epoch}"), what))?;
    Ok(Shown { height: newest, key, value, proof, fact: Some(fact) })
}

fn facts_gone(epoch: &str, what: &str) -> Refusal {
    Refusal::new(
        ErrorCode::ProofPruned,
        format!("this node does not hold the facts of {epoch} to which {what} belongs"),
        "ask an archive (storage.archive), or a node that keeps more (storage.retain_epochs)",
    )
}

/// The header over the state after a height, with its certificate and the changes of validators up to it. Fails where this node
/// does not hold one of them.
pub fn signed(store: &Store, state_height: Height) -> Result<Signed, Refusal> {
    let height = state_height + 1;
    let stored = store.block(height)?.ok_or_else(|| header_gone(height, "which carries the state"))?;
    Ok(Signed {
        header: hex::encode(canonical::encode(&stored.block.header)),
        certificate: hex::encode(canonical::encode(&stored.certificate)),
        changes: validator_changes(store, height)?,
    })
}

fn header_gone(height: Height, why: &str) -> Refusal {
    Refusal::new(
        ErrorCode::ProofPruned,
        format!("this node does not hold header {height}, {why}"),
        "ask a node that keeps all blocks",
    )
}

/// Changes of validators from the genesis up to a height, each with the header that announced it.
fn validator_changes(store: &Store, height: Height) -> Result<Vec<api::ProvenValidatorChange>, Refusal> {
    let changes = store.validator_changes(height)?;
    let proven = changes.into_iter().map(|(from, validators)| {
        let announced = from.saturating_sub(1);
        let (header, certificate) =
            store.header(announced)?.ok_or_else(|| header_gone(announced, "in which the validators changed"))?;
        Ok(api::ProvenValidatorChange {
            header: hex::encode(canonical::encode(&header)),
            certificate: hex::encode(canonical::encode(&certificate)),
            validators: hex::encode(canonical::encode(&validators)),
        })
    });
    proven.collect()
}
