//! The promises of `docs/spec/windows.md`.

mod cases;
mod collectors;

use openmesh_primitives::{Decimal, Symbol, Timestamp};

use super::*;
use crate::ConnectionId;
use crate::event::{Event, EventKind, Exchange, Side, Trade};

const MS: i64 = 1_000_000;
/// The venue's day begins here, in milliseconds.
const EPOCH: i64 = 1_700_000_000_000;
const BOOKS: ConnectionId = ConnectionId(0);
const TRADES: ConnectionId = ConnectionId(1);

fn event(symbol: &Symbol, at: Option<i64>, kind: EventKind) -> Event {
    Event {
        exchange: Exchange::Coinbase,
        symbol: Some(symbol.clone()),
        ts_exchange: at.map(|at| Timestamp((EPOCH + at) * MS)),
        ts_capture: Timestamp(0),
        kind,
    }
}

fn trade(id: u64, size: i64, snapshot: bool) -> EventKind {
    let (price, size) = (Decimal::new(10_050, 2), Decimal::from(size));
    EventKind::Trade(Trade { side: Side::Buy, price, size, id: Some(id.to_string()), snapshot })
}
