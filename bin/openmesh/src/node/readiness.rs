//! Telling the network that this validator's program knows later rules than those in force. Clause U3 of `docs/spec/upgrades.md`.

use openmesh_engine::Handle;
use openmesh_ledger::{StateError, Transaction, UpgradeBallot, UpgradeVote, ballot_count, rules_in_force, validators};
use openmesh_primitives::{ValidatorKey, report};
use openmesh_storage::Store;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

/// Blocks between two looks: a ballot that waits is in a block by then.
const LOOK_BLOCKS: u64 = 10;

/// Tells what the program knows as often as the ledger says something else, until the node stops.
pub async fn tell(key: ValidatorKey, store: Store, engine: Handle, stop: CancellationToken) {
    let mut committed = engine.committed();
    let newest = engine.rule_sets().newest().version;
    let mut looked = None;
    while let Some(block) = stop.run_until_cancelled(committed.recv()).await {
        let height = match block {
            Ok(block) => block.block.header.height,
            Err(RecvError::Lagged(_)) => continue,
            Err(RecvError::Closed) => return,
        };
        if looked.is_some_and(|last| height < last + LOOK_BLOCKS) || engine.status().syncing {
            continue;
        }
        looked = Some(height);
        let (reader, own) = (store.clone(), key.clone());
        let due = tokio::task::spawn_blocking(move || due(&reader, &own, newest)).await;
        match due {
            Ok(Ok(Some(ballot))) => match engine.submit_own(ballot).await {
                Ok(_) => tracing::info!(version = newest, "this validator tells which rule sets its program knows"),
                // Mostly because one waits already; the next look finds out.
                Err(error) => tracing::debug!(%error, "the ballot is not taken"),
            },
            Ok(Ok(None)) => {}
            Ok(Err(error)) => tracing::error!(error = report(&error), "the ledger's state cannot be read"),
            Err(error) => std::panic::resume_unwind(Box::new(error.to_string())),
        }
    }
}

/// The ballot that is due: where the program knows later rules than those in force and has not told, or told another version.
fn due(store: &Store, key: &ValidatorKey, newest: u32) -> Result<Option<Transaction>, StateError> {
    let state = store.state()?;
    let address = key.public().address();
    if validators(&state)?.get(&address).is_none() {
        return Ok(None);
    }
    let ballots = ballot_count(&state, &address)?;
    let in_force = rules_in_force(&state)?.version;
    if !is_due(ballots.knows, in_force, newest) {
        return Ok(None);
    }
    let chain_id = store.genesis().map_err(StateError::from)?.chain_id;
    let vote = UpgradeVote::Ready { version: newest };
    Ok(Some(Transaction::Upgrade(UpgradeBallot::sign(key, chain_id, ballots.next, vote))))
}

/// Whoever votes knows the rules in force, so that needs no word.
fn is_due(told: Option<u32>, in_force: u32, newest: u32) -> bool {
    match told {
        Some(told) => told != newest && (told > in_force || newest > in_force),
        None => newest > in_force,
    }
}

#[cfg(test)]
mod tests {
    use super::is_due;

    #[test]
    fn what_everybody_knows_is_not_told() {
        assert!(!is_due(None, 1, 1), "a new network has nothing to tell");
        assert!(is_due(None, 1, 2));
        assert!(!is_due(Some(2), 1, 2) && is_due(Some(2), 1, 3));
        assert!(is_due(Some(3), 2, 2), "a program that was taken back");
        assert!(!is_due(Some(2), 3, 3), "what it once told has come");
    }
}
