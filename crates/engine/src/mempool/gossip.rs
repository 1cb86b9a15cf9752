//! Envelopes, which carry the bodies of transactions between nodes: Borsh of a list of transactions, at most
//! [`ENVELOPE_BYTES`] unless a single one is longer. They answer whoever asks for what was announced ([`crate::relay`]).

use std::sync::Arc;

use bytes::Bytes;
use openmesh_ledger::VerifiedTransaction;
use openmesh_primitives::Digest;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::relay::ANNOUNCED_MAX;

/// An envelope is full when it has so many bytes: what was asked for beside is asked for again.
const ENVELOPE_BYTES: usize = 256 * 1024;
/// Longer envelopes are refused unread; matches the largest that the network carries.
pub(crate) const ENVELOPE_BYTES_MAX: usize = 512 * 1024;
/// More transactions in an envelope are refused: the smallest transfer has over 100 bytes.
const ENVELOPE_TRANSACTIONS_MAX: usize = 4_096;
/// Lists of hashes that may wait for whoever announces them; further ones are lost and counted.
pub(crate) const ANNOUNCEMENTS_MAX: usize = 1_024;
/// Transactions that may wait to be announced.
pub(crate) const SPREAD_MAX: usize = 8_192;

/// As many of the transactions as fit into one envelope; `None` of none.
pub(crate) fn encode(transactions: impl Iterator<Item = Arc<VerifiedTransaction>>) -> Option<Bytes> {
    let mut bytes = 0;
    let fitting = transactions.take_while(|transaction| {
        let is_first = bytes == 0;
        bytes += transaction.bytes().len();
        is_first || bytes <= ENVELOPE_BYTES
    });
    let fitting: Vec<Arc<VerifiedTransaction>> = fitting.collect();
    let list: Vec<&[u8]> = fitting.iter().map(|transaction| transaction.bytes()).collect();
    (!list.is_empty()).then(|| openmesh_primitives::canonical::encode(&list).into())
}

/// The transactions' bytes; `None` if it is no envelope.
pub(crate) fn decode(envelope: &[u8]) -> Option<Vec<Vec<u8>>> {
    if envelope.len() > ENVELOPE_BYTES_MAX {
        return None;
    }
    let list: Vec<Vec<u8>> = openmesh_primitives::canonical::decode(envelope).ok()?;
    (!list.is_empty() && list.len() <= ENVELOPE_TRANSACTIONS_MAX).then_some(list)
}

/// Names transactions of this node's clients to whoever announces them, until it is cancelled.
pub(crate) async fn name(
    mut transactions: mpsc::Receiver<Arc<VerifiedTransaction>>,
    announcements: mpsc::Sender<Vec<Digest>>,
    metrics: Metrics,
    cancel: CancellationToken,
) {
    loop {
        let mut batch = Vec::new();
        let count = tokio::select! {
            () = cancel.cancelled() => return,
            count = transactions.recv_many(&mut batch, ANNOUNCED_MAX) => count,
        };
        if count == 0 {
            return;
        }
        if announcements.try_send(batch.iter().map(|transaction| transaction.hash()).collect()).is_err() {
            metrics.gossip_dropped.inc_by(count as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envelopes_are_bounded() {
        let list = vec![vec![1u8, 2], vec![]];
        assert_eq!(decode(&openmesh_primitives::canonical::encode(&list)), Some(list));
        assert_eq!(decode(b""), None);
        assert_eq!(decode(&openmesh_primitives::canonical::encode(&Vec::<Vec<u8>>::new())), None);
        assert_eq!(decode(&openmesh_primitives::canonical::encode(&vec![Vec::<u8>::new(); 5_000])), None);
        assert_eq!(decode(&openmesh_primitives::canonical::encode(&vec![vec![0u8; 600_000]])), None);
        assert_eq!(decode(&[255, 255, 255, 255, 0]), None);
    }
}
