//! Drills: deliberate faults, for showing that the network withstands them.

use std::sync::Arc;

use openmesh_collector::Tamper;
use openmesh_duties::{Window, Withdrawal};
use openmesh_engine as engine;
use openmesh_ledger::{self as ledger, Attestation, Commitment, StateError, Transaction, WindowRecord};
use openmesh_market::{EventKind, Exchange, Feed};
use openmesh_primitives::{Decimal, Symbol, ValidatorKey, canonical, report};
use openmesh_storage::{StateView, Store};
use openmesh_sync::{HelloQuestion, Question};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;

/// Newest windows of each source that a validator that copies looks at: those that may be open.
const COPIED_WINDOWS: usize = 8;

/// Alters the prices of one stream, `SOURCE/SYMBOL/FEED`. Fails where it is not of that form.
pub fn alter(stream: &str) -> Result<Tamper, Failure> {
    let wrong = || Failure::usage(format!("node.toml: drill.alter = {stream:?}: SOURCE/SYMBOL/FEED is expected"));
    let parts: Vec<&str> = stream.split('/').collect();
    let [exchange, symbol, feed] = parts.as_slice() else { return Err(wrong()) };
    let exchange: Exchange = exchange.parse().map_err(|_| wrong())?;
    let symbol: Symbol = symbol.parse().map_err(|_| wrong())?;
    let feed: Feed = feed.parse().map_err(|_| wrong())?;
    tracing::warn!(stream, "DRILL: this node alters the prices of a stream before it attests");
    let raise = |price: &mut Decimal| *price = price.checked_add(Decimal::from(1)).unwrap_or(*price);
    Ok(Arc::new(move |event| {
        if event.exchange != exchange || event.symbol.as_ref() != Some(&symbol) || event.kind.feed() != Some(feed) {
            return;
        }
        match &mut event.kind {
            EventKind::Trade(trade) => raise(&mut trade.price),
            EventKind::BookDelta(delta) => delta.asks.iter_mut().for_each(|(price, _)| raise(price)),
            EventKind::BookSnapshot(book) => book.asks.iter_mut().for_each(|(price, _)| raise(price)),
            EventKind::Ticker(ticker) => ticker.ask.iter_mut().for_each(raise),
            EventKind::MarkPrice(price) | EventKind::IndexPrice(price) => raise(&mut price.price),
            _ => {}
        }
    }))
}

/// The answer to a question of a node that joins, with a flipped bit where it is a chunk of the state.
pub fn spoilt_chunk(question: &[u8], mut answer: Vec<u8>) -> Option<Vec<u8>> {
    if let Ok(Question::Chunk { index, .. }) = canonical::decode(question) {
        tracing::warn!(index, "DRILL: this node sends a chunk of the state with a flipped bit");
        *answer.last_mut()? ^= 1;
    }
    Some(answer)
}

/// The answer to a visitor, with a flipped bit where it is a part of the genesis.
pub fn spoilt_genesis(question: &[u8], mut answer: Vec<u8>) -> Option<Vec<u8>> {
    if let Ok(HelloQuestion::Genesis { .. }) = canonical::decode(question) {
        tracing::warn!("DRILL: this node sends a genesis with a flipped bit");
        *answer.last_mut()? ^= 1;
    }
    Some(answer)
}

/// A validator that copies: it collects nothing, commits under seals that it finds on the ledger, and attests what others have opened.
pub struct Copier {
    /// Its key.
    pub key: ValidatorKey,
    /// Number of the network.
    pub chain_id: u64,
    /// Ledger that it reads.
    pub store: Store,
    /// Way into the mempool, for what it found.
    pub engine: engine::Handle,
    /// Windows of its collectors, at which it does not look.
    pub windows: mpsc::Receiver<Window>,
    /// The same.
    pub withdrawals: mpsc::Receiver<Withdrawal>,
    /// Cancelled to stop.
    pub stop: CancellationToken,
}

impl Copier {
    /// Copies until it is stopped.
    pub async fn run(mut self) {
        tracing::warn!("DRILL: this node collects nothing and repeats what others commit to and attest");
        let mut committed = self.engine.committed();
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                Some(_) = self.windows.recv() => continue,
                Some(_) = self.withdrawals.recv() => continue,
                block = committed.recv() => if matches!(block, Err(RecvError::Closed)) { return },
            }
            match self.words() {
                // Most are refused: that is the drill.
                Ok(words) => {
                    for word in words {
                        let _ = self.engine.submit_own(word).await;
                    }
                }
                Err(error) => tracing::error!(error = report(&error), "DRILL: nothing to copy can be read"),
            }
        }
    }

    /// Everything that stands on the ledger now and can be repeated.
    fn words(&self) -> Result<Vec<Vec<u8>>, StateError> {
        let state = self.store.state().map_err(|e| StateError::Read(report(&e)))?;
        let mut words = Vec::new();
        for source in ledger::sources(&state)? {
            let id = source.spec.id;
            for (key, value) in state.scan_back(&ledger::keys::windows_of(&id), None, COPIED_WINDOWS)? {
                let record = canonical::decode::<WindowRecord>(&value).ok().filter(|record| !record.closed);
                if let (Some(number), Some(record)) = (ledger::keys::window_number(&key), record) {
                    words.extend(self.of_window(&state, &id, number, &record)?);
                }
            }
        }
        Ok(words)
    }

    fn of_window(
        &self,
        state: &StateView,
        id: &str,
        number: u64,
        record: &WindowRecord,
    ) -> Result<Vec<Vec<u8>>, StateError> {
        let (own, mut words) = (self.key.public().address(), Vec::new());
        if let Some((_, seal)) = record.committed.first().filter(|_| record.seal_of(&own).is_none()) {
            let copy = Commitment::sign(&self.key, self.chain_id, id, number, record.epoch, *seal);
            words.push(Transaction::Commitment(copy).encode());
        }
        let others = record.attested.iter().filter(|other| **other != own);
        for other in others.take(1) {
            let said = ledger::said(state, id, number, other)?.unwrap_or_default();
            let copy =
                Attestation::sign(&self.key, self.chain_id, id, number, record.epoch, said.chunks, said.abstained);
            words.push(Transaction::Attestation(copy).encode());
        }
        Ok(words)
    }
}
