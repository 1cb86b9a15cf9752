//! Single cases, by hand.

use super::*;
use crate::event::{BookDelta, BookSnapshot, Candle, Level, Ticker};

fn feed_one(cutter: &mut WindowCutter, frame: i64, event: Event) {
    cutter.alive(TRADES);
    cutter.observe(Some(TRADES), &Event { ts_capture: Timestamp(frame), ..event });
}

/// Trades of times and ids, a frame each from this number on.
fn feed(cutter: &mut WindowCutter, first: i64, trades: &[(i64, u64)]) {
    for (frame, (at, id)) in (first..).zip(trades) {
        feed_one(cutter, frame, event(&btc(), Some(*at), trade(*id, 1, false)));
    }
}

fn btc() -> Symbol {
    Symbol::spot("BTC", "USD")
}

fn trades_cutter() -> WindowCutter {
    let mut config = WindowConfig::new(Exchange::Coinbase, vec![btc()], vec![Feed::Trades]);
    (config.length, config.lateness) = (WindowLength::from_ms(1_000), Lateness::from_ms(500));
    let mut cutter = WindowCutter::new(config);
    cutter.opened(TRADES);
    cutter
}

fn summary(cutter: &mut WindowCutter) -> Vec<(i64, Result<u32, Reason>)> {
    let base = EPOCH / 1_000;
    cutter
        .drain()
        .into_iter()
        .map(|w| {
            let outcome = w.chunks.first().map(|c| c.events).ok_or_else(|| w.not_covered[0].1);
            (w.index.0 - base, outcome)
        })
        .collect()
}

#[test]
fn empty_windows_are_agreed_on_when_the_connection_lived() {
    let mut cutter = trades_cutter();
    feed(&mut cutter, 0, &[(100, 1), (200, 2), (4_300, 3), (5_600, 4)]);
    let expected = vec![(0, Err(Reason::Starting)), (1, Ok(0)), (2, Ok(0)), (3, Ok(0)), (4, Ok(1))];
    assert_eq!(summary(&mut cutter), expected);
}

/// A name that the venue does not know gives no events either. What was never seen is not said to be quiet; what was is, on a
/// later connection too.
#[test]
fn what_was_never_seen_is_not_said_to_be_quiet() {
    let eth = Symbol::spot("ETH", "USD");
    let feeds = vec![Feed::Trades, Feed::Ticker];
    let mut config = WindowConfig::new(Exchange::Coinbase, vec![btc(), eth.clone()], feeds);
    (config.length, config.lateness) = (WindowLength::from_ms(1_000), Lateness::from_ms(500));
    let mut cutter = WindowCutter::new(config);
    cutter.opened(TRADES);
    let busy = |cutter: &mut WindowCutter, steps: std::ops::Range<i64>| {
        let trades: Vec<_> = steps.clone().map(|step| (step * 500 + 100, step as u64)).collect();
        feed(cutter, steps.start * 10, &trades);
    };
    let quiet = |cutter: &mut WindowCutter| -> Vec<(i64, Option<Reason>)> {
        let of = |window: ClosedWindow| {
            let reason = window.not_covered.iter().find(|(stream, _)| stream.symbol == eth).map(|(_, reason)| *reason);
            let covered = window.chunks.iter().any(|chunk| chunk.stream().symbol == eth && chunk.events == 0);
            assert_eq!(covered, reason.is_none());
            (window.index.0 - EPOCH / 1_000, reason)
        };
        cutter.drain().into_iter().map(of).collect()
    };
    busy(&mut cutter, 0..10);
    let starting = |index| (index, Some(Reason::Starting));
    assert_eq!(quiet(&mut cutter), [starting(0), starting(1), starting(2), starting(3)]);
    // A ticker shows that the venue has it: that nothing is traded means something from here on.
    let ticker = Ticker { bid: None, bid_size: None, ask: None, ask_size: None, last: None };
    feed_one(&mut cutter, 200, event(&eth, None, EventKind::Ticker(ticker)));
    busy(&mut cutter, 10..20);
    assert_eq!(quiet(&mut cutter), [(4, None), (5, None), (6, None), (7, None), (8, None)]);
    cutter.connection_lost(TRADES);
    cutter.opened(TRADES);
    busy(&mut cutter, 20..32);
    let after = quiet(&mut cutter);
    assert!(after[..3].iter().all(|(_, reason)| *reason == Some(Reason::Disconnected)), "{after:?}");
    assert_eq!(after[3..], [(12, None), (13, None), (14, None)]);
}

/// As Coinbase lists them. Found on the simulated venue: the first of such a frame ended a window, and the ids between were
/// searched for before they were in.
#[test]
fn a_frame_that_lists_the_newest_first_hides_nothing() {
    let mut cutter = trades_cutter();
    let frames: [&[(i64, u64)]; 5] =
        [&[(100, 1)], &[(200, 2)], &[(1_700, 4), (1_690, 3)], &[(2_600, 7), (2_590, 6), (2_580, 5)], &[(4_000, 8)]];
    for (frame, trades) in (0..).zip(frames) {
        let of = |(at, id): &(i64, u64)| Event {
            ts_capture: Timestamp(frame),
            ..event(&btc(), Some(*at), trade(*id, 1, false))
        };
        cutter.frame(TRADES, &trades.iter().map(of).collect::<Vec<_>>());
    }
    assert_eq!(summary(&mut cutter), vec![(0, Err(Reason::Starting)), (1, Ok(2)), (2, Ok(3))]);
}

#[test]
fn a_late_trade_withdraws_its_window_and_a_repeated_one_does_not() {
    let mut cutter = trades_cutter();
    feed(&mut cutter, 0, &[(100, 1), (200, 2), (1_300, 3), (2_600, 5)]);
    // Window 1 may lack trade 4: its ids do not reach the next one without a hole.
    assert_eq!(summary(&mut cutter), vec![(0, Err(Reason::Starting)), (1, Err(Reason::Gap))]);
    feed_one(&mut cutter, 10, event(&btc(), Some(2_700), trade(4, 1, false)));
    feed_one(&mut cutter, 11, event(&btc(), Some(3_600), trade(6, 1, false)));
    assert_eq!(summary(&mut cutter), vec![(2, Ok(2))]);
    feed_one(&mut cutter, 12, event(&btc(), Some(2_700), trade(4, 1, false)));
    assert!(cutter.withdrawn().is_empty());
    feed_one(&mut cutter, 13, event(&btc(), Some(2_800), trade(7, 1, false)));
    let withdrawn = cutter.withdrawn();
    assert_eq!(withdrawn.len(), 1);
    assert_eq!((withdrawn[0].index.0 - EPOCH / 1_000, withdrawn[0].reason), (2, Reason::Late));
}

#[test]
fn ids_heal_a_reconnect_inside_a_window() {
    let mut cutter = trades_cutter();
    feed(&mut cutter, 0, &[(100, 1), (200, 2), (1_300, 3)]);
    cutter.connection_lost(TRADES);
    cutter.opened(TRADES);
    // History, newest first, then live.
    for id in [5, 4, 3, 2] {
        feed_one(&mut cutter, 20, event(&btc(), Some(1_000 + 100 * id), trade(id as u64, 1, true)));
    }
    feed_one(&mut cutter, 21, event(&btc(), Some(1_800), trade(6, 1, false)));
    feed_one(&mut cutter, 22, event(&btc(), Some(2_700), trade(7, 1, false)));
    assert_eq!(summary(&mut cutter), vec![(0, Err(Reason::Disconnected)), (1, Ok(4))]);
}

#[test]
fn a_reconnect_without_proof_is_not_covered() {
    let mut cutter = trades_cutter();
    feed(&mut cutter, 0, &[(100, 1), (200, 2), (1_300, 3)]);
    cutter.connection_lost(TRADES);
    cutter.opened(TRADES);
    feed(&mut cutter, 20, &[(1_800, 6), (1_900, 7), (2_700, 8), (5_000, 9), (6_000, 10)]);
    let seen = summary(&mut cutter);
    assert_eq!(seen[..2], [(0, Err(Reason::Disconnected)), (1, Err(Reason::Disconnected))]);
    assert_eq!(seen.last(), Some(&(4, Ok(0))));
}

#[test]
fn one_outlier_of_the_clock_is_left_out_and_two_are_the_time() {
    let mut cutter = trades_cutter();
    feed(&mut cutter, 0, &[(100, 1), (200, 2), (1_300, 3), (3_600_000, 4), (1_400, 5)]);
    assert_eq!(cutter.watermark(), Some(Timestamp((EPOCH + 1_400) * MS)));
    feed_one(&mut cutter, 10, event(&btc(), Some(100_000), trade(6, 1, false)));
    feed_one(&mut cutter, 11, event(&btc(), Some(101_000), trade(7, 1, false)));
    assert_eq!(cutter.watermark(), Some(Timestamp((EPOCH + 101_000) * MS)));
    let seen = summary(&mut cutter);
    assert_eq!(seen[1], (1, Err(Reason::ClockJump)));
    assert_eq!(seen.last(), Some(&(99, Ok(0))));
    // And back by more than a minute.
    feed_one(&mut cutter, 12, event(&btc(), Some(20_000), trade(8, 1, false)));
    feed_one(&mut cutter, 13, event(&btc(), Some(20_100), trade(9, 1, false)));
    feed_one(&mut cutter, 14, event(&btc(), Some(24_000), trade(10, 1, false)));
    let again = summary(&mut cutter);
    assert_eq!(again[0], (20, Err(Reason::ClockJump)));
    assert_eq!(again.last(), Some(&(22, Ok(0))));
}

#[test]
fn after_a_long_outage_most_windows_are_only_counted() {
    let mut cutter = trades_cutter();
    feed(&mut cutter, 0, &[(100, 1), (200, 2)]);
    cutter.connection_lost(TRADES);
    cutter.opened(TRADES);
    for (frame, at) in [7_200_000, 7_200_100, 7_210_000].into_iter().enumerate() {
        feed_one(&mut cutter, 50 + frame as i64, event(&btc(), Some(at), trade(90 + frame as u64, 1, false)));
    }
    let windows = cutter.drain();
    assert!(windows.len() <= CATCH_UP_WINDOWS_MAX as usize + 10);
    let skipped: u64 = windows.iter().map(|w| w.skipped_before).sum();
    assert_eq!(skipped as i64 + windows.len() as i64, windows.last().unwrap().index.0 - EPOCH / 1_000 + 1);
    assert!(windows.iter().filter(|w| !w.chunks.is_empty()).count() <= 10);
}

#[test]
fn only_closed_candles_count_placed_by_their_end() {
    let mut config = WindowConfig::new(Exchange::Binance, vec![btc()], vec![Feed::Trades, Feed::Candles]);
    (config.length, config.lateness) = (WindowLength::from_ms(1_000), Lateness::from_ms(500));
    let mut cutter = WindowCutter::new(config);
    cutter.opened(TRADES);
    let start = Timestamp((EPOCH - 57_000) * MS);
    let one = Decimal::from(1);
    let candle = |closed: bool, close: i64| {
        let close = Decimal::from(close);
        EventKind::Candle(Candle {
            start,
            stop: None,
            interval: "1m".into(),
            open: one,
            high: one,
            low: one,
            close,
            volume: one,
            trades: None,
            closed: Some(closed),
        })
    };
    for (frame, at) in [100, 200, 1_300, 2_900].into_iter().enumerate() {
        let of = |kind| Event { exchange: Exchange::Binance, ..event(&btc(), Some(at), kind) };
        feed_one(&mut cutter, frame as i64, of(trade(1 + frame as u64, 1, false)));
        feed_one(&mut cutter, frame as i64, of(candle(false, at)));
    }
    let of = |at, kind| Event { exchange: Exchange::Binance, ..event(&btc(), Some(at), kind) };
    feed_one(&mut cutter, 20, of(3_004, candle(true, 7)));
    feed_one(&mut cutter, 21, of(4_600, trade(5, 1, false)));
    let windows = cutter.drain();
    let candles = |index: i64| {
        let window = windows.iter().find(|w| w.index.0 - EPOCH / 1_000 == index).unwrap();
        window.chunks.iter().find(|c| c.stream().feed == Feed::Candles).map(|c| c.events)
    };
    assert_eq!((candles(2), candles(3)), (Some(0), Some(1)));
}

#[test]
fn the_top_of_a_cut_off_book_must_be_known() {
    let mut config = WindowConfig::new(Exchange::Binance, vec![btc()], vec![Feed::Book]);
    (config.length, config.lateness) = (WindowLength::from_ms(1_000), Lateness::from_ms(500));
    let mut cutter = WindowCutter::new(config);
    cutter.opened(TRADES);
    let of = |at, kind| Event { exchange: Exchange::Binance, ..event(&btc(), at, kind) };
    let side = |first: i64, step: i64| (0..500).map(|n| (Decimal::from(first + step * n), Decimal::from(1))).collect();
    let snapshot = BookSnapshot { bids: side(10_000, -1), asks: side(10_001, 1), sequence: None, checksum: None };
    cutter.observe(None, &of(None, EventKind::BookSnapshot(snapshot)));
    let delta =
        |bids: Vec<Level>| EventKind::BookDelta(BookDelta { bids, asks: vec![], sequence: None, checksum: None });
    feed_one(&mut cutter, 1, of(Some(100), delta(vec![])));
    feed_one(&mut cutter, 2, of(Some(1_100), delta(vec![])));
    // All but 10 of the known bids go: what lies below is not known.
    let gone = (0..490).map(|n| (Decimal::from(10_000 - n), Decimal::ZERO)).collect();
    feed_one(&mut cutter, 3, of(Some(1_500), delta(gone)));
    feed_one(&mut cutter, 4, of(Some(2_100), delta(vec![])));
    feed_one(&mut cutter, 5, of(Some(3_100), delta(vec![])));
    let found: Vec<_> = summary(&mut cutter);
    assert_eq!(found, vec![(0, Err(Reason::Resynchronised)), (1, Ok(40 + 490)), (2, Err(Reason::Depth))]);
}

/// A snapshot of the very update that was applied last says the same book again, deeper: the windows go on.
#[test]
fn a_book_that_becomes_known_deeper_loses_no_window() {
    let mut config = WindowConfig::new(Exchange::Binance, vec![btc()], vec![Feed::Book]);
    (config.length, config.lateness) = (WindowLength::from_ms(1_000), Lateness::from_ms(500));
    let mut cutter = WindowCutter::new(config);
    cutter.opened(TRADES);
    let of = |at, kind| Event { exchange: Exchange::Binance, ..event(&btc(), at, kind) };
    let side = |first: i64, step: i64| (0..500).map(|n| (Decimal::from(first + step * n), Decimal::from(1))).collect();
    let snapshot = |bid: i64, sequence| {
        EventKind::BookSnapshot(BookSnapshot { bids: side(bid, -1), asks: side(10_001, 1), sequence, checksum: None })
    };
    let delta = |sequence: u64, bids: Vec<Level>| {
        EventKind::BookDelta(BookDelta { bids, asks: vec![], sequence: Some(sequence), checksum: None })
    };
    cutter.observe(None, &of(None, snapshot(10_000, Some(1))));
    feed_one(&mut cutter, 1, of(Some(100), delta(2, vec![])));
    feed_one(&mut cutter, 2, of(Some(1_100), delta(3, vec![])));
    let gone = (0..490).map(|n| (Decimal::from(10_000 - n), Decimal::ZERO)).collect();
    feed_one(&mut cutter, 3, of(Some(1_500), delta(4, gone)));
    cutter.observe(None, &of(None, snapshot(9_510, Some(4))));
    feed_one(&mut cutter, 4, of(Some(2_100), delta(5, vec![])));
    feed_one(&mut cutter, 5, of(Some(3_100), delta(6, vec![])));
    // One of another update is a new beginning.
    cutter.observe(None, &of(None, snapshot(9_510, Some(9))));
    feed_one(&mut cutter, 6, of(Some(4_100), delta(10, vec![])));
    feed_one(&mut cutter, 7, of(Some(5_100), delta(11, vec![])));
    let found: Vec<_> = summary(&mut cutter);
    let expected =
        [Err(Reason::Resynchronised), Ok(40 + 490), Ok(40), Err(Reason::Resynchronised), Err(Reason::Starting)];
    assert_eq!(found, (0..).zip(expected).collect::<Vec<_>>());
}

/// One connection is read later than another, by more than all lateness. Its frames tell their own time, so its windows
/// wait for them; a heartbeat on it would not.
#[test]
fn a_connection_that_lags_behind_another_loses_nothing() {
    let eth = Symbol::spot("ETH", "USD");
    let mut config = WindowConfig::new(Exchange::Coinbase, vec![eth.clone(), btc()], vec![Feed::Trades]);
    (config.length, config.lateness) = (WindowLength::from_ms(1_000), Lateness::from_ms(500));
    let mut cutter = WindowCutter::new(config);
    cutter.opened(TRADES);
    cutter.opened(BOOKS);
    let mut frame = 0;
    let mut say = |connection, symbol: &Symbol, at: i64, id| {
        frame += 1;
        let event = Event { ts_capture: Timestamp(frame), ..event(symbol, Some(at), trade(id, 1, false)) };
        cutter.frame(connection, &[event]);
    };
    for at in 0..24 {
        say(TRADES, &btc(), at * 500 + 100, at as u64);
        let lag = if at < 3 { 0 } else { 7 };
        if !(3..10).contains(&at) {
            say(BOOKS, &eth, (at - lag) * 500 + 150, (at - lag) as u64);
        }
    }
    assert_eq!(cutter.withdrawn(), []);
    let covered: Vec<(i64, usize)> =
        cutter.drain().into_iter().map(|window| (window.index.0 - EPOCH / 1_000, window.chunks.len())).collect();
    assert_eq!(covered[2..6], [(2, 2), (3, 2), (4, 2), (5, 2)]);
}

/// A venue that counts its trades anew, from an id never seen or from one that another trade had: the windows around are not
/// covered, later ones are, without a reconnect and as by one who came later.
#[test]
fn ids_that_begin_anew_are_counted_anew() {
    for first in [1, 1_005] {
        let id = |n: u64| if n < 40 { 1_000 + n } else { first + n - 40 };
        let trades: Vec<(i64, u64)> = (0..100).map(|n| (n as i64 * 200 + 100, id(n))).collect();
        let covered = |from: usize| {
            let mut cutter = trades_cutter();
            feed(&mut cutter, from as i64, &trades[from..]);
            assert_eq!(cutter.withdrawn(), []);
            let chunk = |window: &ClosedWindow| Some((window.index.0 - EPOCH / 1_000, window.chunks.first()?.clone()));
            cutter.drain().iter().filter_map(chunk).collect::<std::collections::BTreeMap<i64, Chunk>>()
        };
        let (early, late) = (covered(0), covered(50));
        assert!((2..7).chain(13..18).all(|index| early.contains_key(&index)), "{first}: {:?}", early.keys());
        assert!(early.values().all(|chunk| chunk.events == 5), "{first}");
        let both: Vec<_> = late.iter().filter_map(|(index, chunk)| Some((early.get(index)?, chunk))).collect();
        assert!(both.len() > 4 && both.iter().all(|(a, b)| a.cid == b.cid), "{first}");
    }
}

#[test]
fn foreign_bytes_are_refused() {
    let header = ChunkHeader::new(
        Stream { exchange: Exchange::Kraken, symbol: btc(), feed: Feed::Trades },
        WindowIndex(EPOCH / 10_000),
        WindowLength::from_ms(WINDOW_MS),
    )
    .unwrap();
    let row = |ts, price: &str| TradeRow {
        ts: Timestamp(ts),
        id: None,
        side: Side::Buy,
        price: price.parse().unwrap(),
        size: Decimal::from(1),
    };
    // Two equal fills without ids stay two; zeros at the end do not matter.
    let rows = |a: &str| Rows::Trades(vec![row(5, a), row(5, "1.5"), row(4, "2")]);
    let chunk = Chunk::encode(header.clone(), rows("1.50")).unwrap();
    assert_eq!((chunk.events, chunk.cid), (3, Chunk::encode(header.clone(), rows("1.5")).unwrap().cid));
    let mut swapped = openmesh_primitives::canonical::encode(&header);
    swapped.extend_from_slice(&rows("1.5").encode());
    assert!(matches!(Chunk::decode(&swapped), Err(ChunkError::NotCanonical)));
    assert!(matches!(Chunk::decode(&chunk.bytes[..10]), Err(ChunkError::Header)));
    assert!(matches!(Chunk::decode(&chunk.bytes[..chunk.bytes.len() - 1]), Err(ChunkError::Layout(_))));
    assert!(matches!(Chunk::decode(&[&chunk.bytes[..], &[0]].concat()), Err(ChunkError::Layout(_))));
    assert!(matches!(Chunk::encode(header, Rows::Book(vec![])), Err(ChunkError::Feed(Feed::Trades))));
}
