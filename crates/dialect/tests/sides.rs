//! The meaning of a trade's `side`, measured on the books of recordings: a trade at the best ask was bought by the
//! taker, one at the best bid sold. `docs/spec/events.md` says it for every venue; this is what that rests on.

#![allow(clippy::unwrap_used, reason = "a test says what failed by failing")]

mod reference;

use std::collections::BTreeMap;

use openmesh_dialect::recording::{Line, Player};
use openmesh_market::{EventKind, Side};

/// Trades with the taker's side and with the maker's, among those at the best bid or ask of the book before them. The
/// first trade of a message only: the next ones may have met what the first has left.
fn measured(set: &str) -> Option<(usize, usize)> {
    let set = reference::set(set)?;
    let lines = reference::frames(&set);
    let Some(Line::Header { exchange }) = lines.first() else { panic!("no header") };
    let mut player = Player::new(openmesh_dialect::for_recording(exchange).unwrap());
    let (mut takers, mut makers) = (0, 0);
    let mut best = BTreeMap::new();
    for line in &lines {
        let mut events = Vec::new();
        player.line(line, &mut events);
        let mut first = true;
        for event in &events {
            if let (EventKind::Trade(trade), Some(symbol), true) = (&event.kind, &event.symbol, first)
                && !trade.snapshot
                && let Some((bid, ask)) = best.get(symbol)
            {
                first = false;
                let taker = match (trade.price == *bid, trade.price == *ask) {
                    (true, false) => Side::Sell,
                    (false, true) => Side::Buy,
                    _ => continue,
                };
                if trade.side == taker { takers += 1 } else { makers += 1 }
            }
        }
        for (symbol, book) in player.session().books() {
            if let (Some(bid), Some(ask)) = (book.best(Side::Buy), book.best(Side::Sell)) {
                best.insert(symbol, (bid.0, ask.0));
            }
        }
    }
    eprintln!("{}: {takers} by the taker's side, {makers} by the maker's", set.display());
    Some((takers, makers))
}

#[test]
fn the_takers() {
    // Books and trades come on their own ways, so a few trades meet a book that has moved already.
    for (set, at_least) in [
        ("cf-BINANCE_FUTURES-20210722", 20),
        ("cf-BYBIT-20260809-BTC-DOGE", 10),
        ("cf-KRAKEN-20210417", 2),
        ("cf-OKX-20220513", 20),
    ] {
        let Some((takers, makers)) = measured(set) else { continue };
        assert!(takers >= at_least && takers >= 9 * makers, "{set}: {takers} takers, {makers} makers");
    }
}

#[test]
fn of_coinbase_the_makers() {
    let Some((takers, makers)) = measured("cf-COINBASE-20260809-first14s") else { return };
    assert!(makers >= 10 && makers >= 9 * takers, "{takers} takers, {makers} makers");
}
