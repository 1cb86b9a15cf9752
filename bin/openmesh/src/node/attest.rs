//! Attesting: from closed windows to attestations on the ledger.
//!
//! A window waits here until the ledger holds this validator's attestation of it, or has closed it. On each block what
//! waits is looked at anew, so a refused, lost or overtaken attestation is sent again under the epoch that then counts.
//! What a crash loses here is named on the ledger as missing: nothing is silently absent.

use std::collections::BTreeMap;
use std::sync::Arc;

use openmesh_engine::{CommittedBlock, Handle, SubmitError};
use openmesh_ledger::{self as ledger, Attestation, ChunkClaim, StateError, Transaction, TransactionError};
use openmesh_market::window::ClosedWindow;
use openmesh_primitives::{Address, Height, ValidatorKey};
use openmesh_storage::Store;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;

use super::chain_of;

/// Windows that wait at once; the oldest are given up beyond that (the ledger then names them as missing).
const WAITING_MAX: usize = 4_096;
/// Blocks after which an attestation that did not get into one is sent again.
const RESEND_BLOCKS: u64 = 5;
/// Blocks after which a window that this validator is not assigned to is forgotten.
const FORGET_BLOCKS: u64 = 64;

/// A closed window of a source, ready to be attested.
#[derive(Debug, Clone)]
pub struct Window {
    source: String,
    number: u64,
    chunks: Vec<ChunkClaim>,
}

impl Window {
    /// Of a market; `None` where no stream was covered: then there is nothing to vouch for.
    pub fn of_market(source: &str, closed: &ClosedWindow) -> Option<Window> {
        let number = u64::try_from(closed.index).ok()?;
        let chunks: Vec<ChunkClaim> = closed
            .chunks
            .iter()
            .map(|chunk| ChunkClaim {
                stream: format!("{}/{}", chunk.header.stream.symbol, chunk.header.stream.feed),
                cid: chunk.cid,
                bytes: chunk.bytes.len() as u64,
                events: chunk.events,
            })
            .collect();
        (!chunks.is_empty()).then(|| Window { source: source.into(), number, chunks })
    }

    /// Of a chain's block.
    pub fn of_chain(source: &str, number: u64, claim: ChunkClaim) -> Window {
        Window { source: source.into(), number, chunks: vec![claim] }
    }
}

struct Waiting {
    chunks: Vec<ChunkClaim>,
    since: Height,
    sent: Option<Height>,
}

/// What to do with a waiting window.
enum Next {
    Keep,
    Drop,
    Send(Vec<u8>),
}

/// Attests windows in this validator's name.
pub struct Attester {
    key: ValidatorKey,
    address: Address,
    store: Store,
    engine: Handle,
    waiting: BTreeMap<(String, u64), Waiting>,
}

impl Attester {
    /// With nothing waiting.
    pub fn new(key: ValidatorKey, store: Store, engine: Handle) -> Attester {
        Attester { address: key.public().address(), key, store, engine, waiting: BTreeMap::new() }
    }

    /// Attests until the node stops.
    pub async fn run(
        mut self,
        mut windows: mpsc::Receiver<Window>,
        mut committed: broadcast::Receiver<Arc<CommittedBlock>>,
        stop: CancellationToken,
    ) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some(window) = windows.recv() => {
                    let height = self.store.tip().height;
                    let waiting = Waiting { chunks: window.chunks, since: height, sent: None };
                    let name = (window.source, window.number);
                    self.waiting.insert(name.clone(), waiting);
                    if self.waiting.len() > WAITING_MAX {
                        self.give_up_oldest();
                    }
                    self.look_at(name).await;
                }
                block = committed.recv() => match block {
                    Ok(_) | Err(RecvError::Lagged(_)) => {
                        for name in self.waiting.keys().cloned().collect::<Vec<_>>() {
                            self.look_at(name).await;
                        }
                    }
                    Err(RecvError::Closed) => return,
                },
                else => return,
            }
        }
    }

    fn give_up_oldest(&mut self) {
        let oldest = self.waiting.iter().min_by_key(|((_, number), waiting)| (waiting.since, *number));
        if let Some(lost) = oldest.map(|(name, _)| name.clone()) {
            tracing::warn!(source = lost.0, window = lost.1, "too many windows wait: one is not attested");
            self.waiting.remove(&lost);
        }
    }

    async fn look_at(&mut self, name: (String, u64)) {
        match self.next(&name) {
            Ok(Next::Keep) => {}
            Ok(Next::Drop) => {
                self.waiting.remove(&name);
            }
            Ok(Next::Send(bytes)) => self.send(name, bytes).await,
            Err(error) => tracing::error!(error = chain_of(&error), "the ledger's state cannot be read"),
        }
    }

    fn next(&self, (source, window): &(String, u64)) -> Result<Next, StateError> {
        let Some(waiting) = self.waiting.get(&(source.clone(), *window)) else { return Ok(Next::Drop) };
        let state = self.store.state().map_err(|e| StateError::Read(e.to_string()))?;
        let record = ledger::window(&state, source, *window)?;
        if record.as_ref().is_some_and(|r| r.closed || r.attested.contains(&self.address)) {
            return Ok(Next::Drop);
        }
        let height = self.store.tip().height;
        if waiting.sent.is_some_and(|sent| height < sent + RESEND_BLOCKS) {
            return Ok(Next::Keep);
        }
        let epoch = match &record {
            Some(record) => record.epoch,
            None => ledger::current_epoch(&state)?,
        };
        if !ledger::assigned(&state, source, epoch)?.iter().any(|v| v.address == self.address) {
            // Where nobody has opened the window yet, the next epoch may assign it to us.
            let old = record.is_some() || height > waiting.since + FORGET_BLOCKS;
            return Ok(if old { Next::Drop } else { Next::Keep });
        }
        let chain_id = self.store.genesis().map_err(|e| StateError::Read(e.to_string()))?.chain_id;
        let attestation = Attestation::sign(&self.key, chain_id, source, *window, epoch, waiting.chunks.clone());
        Ok(Next::Send(Transaction::Attestation(attestation).encode()))
    }

    async fn send(&mut self, name: (String, u64), bytes: Vec<u8>) {
        let height = self.store.tip().height;
        match self.engine.submit(bytes).await {
            Ok(_) => {
                if let Some(waiting) = self.waiting.get_mut(&name) {
                    waiting.sent = Some(height);
                }
            }
            Err(SubmitError::Refused(
                error @ (TransactionError::UnknownSource { .. } | TransactionError::WindowClosed { .. }),
            )) => {
                tracing::info!(source = name.0, window = name.1, %error, "not attested");
                self.waiting.remove(&name);
            }
            // Everything else may be different after the next block: another epoch, more room.
            Err(error) => tracing::debug!(source = name.0, window = name.1, %error, "not attested yet"),
        }
    }
}
