//! Envelopes: what carries transactions between nodes. Borsh of a list of transactions, at most
//! [`ENVELOPE_BYTES`] unless a single one is longer.
//!
//! Several small transactions travel together, because every envelope costs each node a hash, a lookup and a message;
//! the first one waits a few milliseconds for company.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openmesh_ledger::VerifiedTransaction;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// An envelope is sent when it has reached so many bytes.
pub(crate) const ENVELOPE_BYTES: usize = 64 * 1024;
/// Longer envelopes are refused unread; matches the largest that the network carries.
pub(crate) const ENVELOPE_BYTES_MAX: usize = 512 * 1024;
/// More transactions in an envelope are refused: the smallest transfer has over 100 bytes.
const ENVELOPE_TRANSACTIONS_MAX: usize = 4_096;
/// Time for which the first transaction of an envelope waits for others.
const COMPANY_DELAY: Duration = Duration::from_millis(5);
/// Envelopes that may wait for whoever carries them; further ones are lost and counted.
pub(crate) const ENVELOPES_MAX: usize = 1_024;
/// Transactions that may wait to be put in an envelope.
pub(crate) const SPREAD_MAX: usize = 8_192;

pub(crate) fn encode(transactions: &[Arc<VerifiedTransaction>]) -> Bytes {
    let list: Vec<&[u8]> = transactions.iter().map(|t| t.bytes()).collect();
    openmesh_primitives::canonical::encode(&list).into()
}

/// The transactions' bytes; `None` if it is no envelope.
pub(crate) fn decode(envelope: &[u8]) -> Option<Vec<Vec<u8>>> {
    if envelope.len() > ENVELOPE_BYTES_MAX {
        return None;
    }
    let list: Vec<Vec<u8>> = openmesh_primitives::canonical::decode(envelope).ok()?;
    (!list.is_empty() && list.len() <= ENVELOPE_TRANSACTIONS_MAX).then_some(list)
}

/// Puts transactions into envelopes until it is cancelled.
pub(crate) async fn pack(
    mut transactions: mpsc::Receiver<Arc<VerifiedTransaction>>,
    envelopes: mpsc::Sender<Bytes>,
    metrics: Metrics,
    cancel: CancellationToken,
) {
    loop {
        let first = tokio::select! {
            () = cancel.cancelled() => return,
            first = transactions.recv() => first,
        };
        let Some(first) = first else { return };
        let mut bytes = first.bytes().len();
        let mut batch = vec![first];
        let company = tokio::time::sleep(COMPANY_DELAY);
        tokio::pin!(company);
        while bytes < ENVELOPE_BYTES && batch.len() < ENVELOPE_TRANSACTIONS_MAX {
            tokio::select! {
                () = &mut company => break,
                next = transactions.recv() => {
                    let Some(next) = next else { break };
                    bytes += next.bytes().len();
                    batch.push(next);
                }
            }
        }
        if envelopes.try_send(encode(&batch)).is_err() {
            metrics.gossip_dropped.inc_by(batch.len() as u64);
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
