//! Retention of chunks: the ledger's rule, handed to the content store as blocks come.

use std::sync::Arc;

use openmesh_content::BlockStore;
use openmesh_engine::CommittedBlock;
use openmesh_ledger::{self as ledger, EpochsParams};
use openmesh_primitives::{Timestamp, report};
use openmesh_storage::Store;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

/// Block time between two steps of the retention window, in milliseconds: short against an epoch.
const STEP_MS: i64 = 60_000;

/// Keeps chunks pinned for the epochs in which the state has their details, until the node stops.
pub async fn follow(
    store: Store,
    content: Arc<BlockStore>,
    mut committed: broadcast::Receiver<Arc<CommittedBlock>>,
    stop: CancellationToken,
) {
    let mut stepped = step(store.clone(), content.clone()).await;
    while let Some(block) = stop.run_until_cancelled(committed.recv()).await {
        let due = match block {
            Ok(block) => stepped.is_none_or(|last| block.block.header.time.millis() - last.millis() >= STEP_MS),
            Err(RecvError::Lagged(_)) => true,
            Err(RecvError::Closed) => return,
        };
        if due {
            stepped = step(store.clone(), content.clone()).await;
        }
    }
}

/// Moves the retention window to the last block; returns its time.
async fn step(store: Store, content: Arc<BlockStore>) -> Option<Timestamp> {
    let step = tokio::task::spawn_blocking(move || -> Result<Timestamp, String> {
        let state = store.state().map_err(|e| report(&e))?;
        let params = ledger::params(&state).map_err(|e| report(&e))?;
        let time = ledger::block_meta(&state).map_err(|e| report(&e))?.time;
        content.retain_since(retained_since(time, &params.epochs)).map_err(|e| report(&e))?;
        Ok(time)
    });
    match step.await {
        Ok(Ok(time)) => Some(time),
        Ok(Err(error)) => {
            tracing::error!(error, "the retention window of chunks stands still");
            None
        }
        Err(error) => {
            tracing::error!(%error, "the retention window of chunks stands still");
            None
        }
    }
}

/// Start of the retention window at a block's time.
fn retained_since(time: Timestamp, epochs: &EpochsParams) -> Timestamp {
    let kept_ms = epochs.epoch_ms.saturating_mul(epochs.details_kept_epochs);
    Timestamp::from_millis(time.millis().saturating_sub(i64::try_from(kept_ms).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_pinned_for_as_many_epochs_as_the_ledger_says() {
        let epochs = EpochsParams { epoch_ms: 3_600_000, details_kept_epochs: 6, ..EpochsParams::default() };
        let time = Timestamp::from_millis(100 * 3_600_000);
        assert_eq!(retained_since(time, &epochs), Timestamp::from_millis(94 * 3_600_000));
        let ever = EpochsParams { details_kept_epochs: u64::MAX, ..epochs };
        assert!(retained_since(time, &ever) < Timestamp(0), "everything is recent");
    }
}
