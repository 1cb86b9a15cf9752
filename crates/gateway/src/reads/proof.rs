//! Entries of the ledger's state with their proofs, themselves or through the closed epoch of a fact, and the changes of validators
//! that lead to the header over them.

use openmesh_api::{self as api, ErrorCode};
use openmesh_ledger::{FactProof, keys};
use openmesh_primitives::{Height, canonical};
use openmesh_storage::{StateProof, Store, StoreError};

use crate::error::Refusal;
use crate::node::Node;

/// The places at which an entry is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// The state alone, by key.
    State,
    /// The facts too: the path of one is made of all facts of its epoch.
    Facts,
}

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

/// Makes a proof: among the reads by key while the entry stands in the state, and else among the scans, which whoever asks for many waits
/// for without holding up the reads of others. Fails as `make` does, or as busy.
pub async fn made<T, F>(node: &Node, make: F) -> Result<T, Refusal>
where
    T: Send + 'static,
    F: Fn(&Node, Reach) -> Result<Option<T>, Refusal> + Clone + Send + 'static,
{
    let by_key = make.clone();
    if let Some(made) = node.read(move |node| by_key(&node, Reach::State)).await? {
        return Ok(made);
    }
    let made = node.scan(move |node, _| make(&node, Reach::Facts)).await?;
    made.ok_or_else(|| Refusal::internal("making a proof", &std::io::Error::other("no fact was looked for")))
}

/// Shows an entry in the state of the height that wrote it, so that its proof has the same bytes each time; once that state is pruned,
/// in that of the newest height that has a header; once the entry has left the state, its fact and the epoch that it belongs to. `None`
/// where that is so and the state alone is to be looked at.
///
/// Fails where the entry is of the newest block, whose state no header has yet, and where this node does not hold the fact any more.
pub fn shown(store: &Store, sought: Sought<'_>, reach: Reach) -> Result<Option<Shown>, Refusal> {
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
        return Ok(Some(Shown { height, key, value, proof, fact: None }));
    }
    if reach == Reach::State {
        return Ok(None);
    }
    let (epoch, position) = fact.ok_or_else(|| facts_gone("the epoch", what))?;
    let fact = store.fact_proof(epoch, position)?.ok_or_else(|| facts_gone(&format!("epoch {epoch}"), what))?;
    let key = keys::closed_epoch(epoch);
    let (value, proof) = store.prove(&key, newest)?;
    let value = value.ok_or_else(|| facts_gone(&format!("epoch {epoch}"), what))?;
    Ok(Some(Shown { height: newest, key, value, proof, fact: Some(fact) }))
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

#[cfg(test)]
mod tests {
    use openmesh_primitives::sha256;

    use super::*;
    use crate::testing::{Chain, sender};

    #[test]
    fn only_what_has_left_the_state_is_looked_for_among_the_facts() {
        let mut chain = Chain::new();
        let (stamped, other) = (sha256(&[b"stamped"]), sha256(&[b"other"]));
        chain.stamps(&[(stamped, "a")]);
        chain.transfers(0);
        let look = |hash, reach| {
            let key = keys::stamp(&hash, "a", &sender());
            let sought = Sought { key, since: 1, is_it: &|_| true, fact: None, what: "the stamp" };
            shown(&chain.store, sought, reach).map(|found| found.map(|shown| (shown.height, shown.fact.is_some())))
        };
        assert_eq!(look(stamped, Reach::State).unwrap(), Some((1, false)));
        assert_eq!(look(other, Reach::State).unwrap(), None);
        assert_eq!(look(other, Reach::Facts).unwrap_err().code(), ErrorCode::ProofPruned);
    }
}
