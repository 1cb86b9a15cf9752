//! Drills: deliberate faults, for showing that the network withstands them.

use std::sync::Arc;

use openmesh_collector::Tamper;
use openmesh_market::{EventKind, Exchange, Feed};
use openmesh_primitives::{Decimal, Symbol, canonical};
use openmesh_sync::{HelloQuestion, Question};

use crate::failure::Failure;

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
