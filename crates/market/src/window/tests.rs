//! The promises of `docs/spec/windows.md`, against a made-up venue whose every message is known.

use std::collections::BTreeMap;

use openmesh_primitives::{ContentId, Decimal, Symbol, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::book::OrderBook;
use crate::event::{
    BookDelta, BookSnapshot, Candle, Event, EventKind, Exchange, Incident, IncidentKind, Level, Side, Trade,
};
use crate::session::ConnectionId;

const MS: i64 = 1_000_000;
/// The venue's day begins here, in milliseconds.
const EPOCH: i64 = 1_700_000_000_000;
const BOOKS: ConnectionId = ConnectionId(0);
const TRADES: ConnectionId = ConnectionId(1);

/// A small deterministic generator, so that a failing seed is a test of its own.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// A message of the venue: when, over which connection, and what (nothing for a heartbeat).
#[derive(Clone)]
struct Message {
    at: i64,
    connection: ConnectionId,
    event: Option<Event>,
}

struct Venue {
    messages: Vec<Message>,
    symbols: [Symbol; 2],
    seconds: i64,
}

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

impl Venue {
    /// Random trades and book changes of two instruments, the second of which hardly ever trades.
    fn new(seed: u64, seconds: i64) -> Venue {
        let mut dice = Dice(seed);
        let symbols = [Symbol::spot("BTC", "USD"), Symbol::spot("ETH", "USD")];
        let mut messages = Vec::new();
        let mut ids = [100u64, 500];
        let mut at = 0;
        while at < seconds * 1_000 {
            at += 1 + dice.roll(60) as i64;
            let which = dice.roll(2) as usize;
            if dice.roll(4) == 0 && (which == 0 || dice.roll(60) == 0) {
                // A trade's own time may lie a little before that of one sent earlier.
                let ts = at - dice.roll(300) as i64;
                ids[which] += 1;
                let event = event(&symbols[which], Some(ts), trade(ids[which], 1 + dice.roll(9) as i64, false));
                messages.push(Message { at, connection: TRADES, event: Some(event) });
            } else {
                let level = |dice: &mut Dice, base: u64| -> Level {
                    (Decimal::from((base + dice.roll(40)) as i64), Decimal::new(dice.roll(4) as i128 * 10, 1))
                };
                let bids = (0..dice.roll(3)).map(|_| level(&mut dice, 100)).collect();
                let asks = (0..1 + dice.roll(2)).map(|_| level(&mut dice, 140)).collect();
                let delta = BookDelta { bids, asks, sequence: None, checksum: None };
                // Book times go back now and then.
                let ts = at - if dice.roll(10) == 0 { dice.roll(200) as i64 } else { 0 };
                let event = event(&symbols[which], Some(ts), EventKind::BookDelta(delta));
                messages.push(Message { at, connection: BOOKS, event: Some(event) });
            }
        }
        for second in 0..seconds {
            for connection in [BOOKS, TRADES] {
                messages.push(Message { at: second * 1_000 + 7, connection, event: None });
            }
        }
        messages.sort_by_key(|m| m.at);
        Venue { messages, symbols, seconds }
    }

    fn config(&self) -> WindowConfig {
        let mut config = WindowConfig::new(Exchange::Coinbase, self.symbols.to_vec(), vec![Feed::Trades, Feed::Book]);
        (config.length_ms, config.lateness_ms) = (2_000, 1_000);
        config
    }

    /// What a connection is told first: the books as they are, or the latest trades, newest first.
    fn greeting(&self, connection: ConnectionId, now: i64) -> Vec<Event> {
        let past = || self.messages.iter().take_while(|m| m.at <= now).filter_map(|m| m.event.as_ref());
        self.symbols
            .iter()
            .flat_map(|symbol| {
                let own = past().filter(|e| e.symbol.as_ref() == Some(symbol));
                if connection == BOOKS {
                    let mut book = OrderBook::new();
                    own.for_each(|e| apply(&mut book, &e.kind));
                    let side = |side| book.levels(side).copied().collect();
                    let (bids, asks) = (side(Side::Buy), side(Side::Sell));
                    let snapshot = BookSnapshot { bids, asks, sequence: None, checksum: None };
                    return vec![event(symbol, Some(now), EventKind::BookSnapshot(snapshot))];
                }
                let mut trades: Vec<Event> = own.filter(|e| matches!(e.kind, EventKind::Trade(_))).rev_take(8);
                for event in &mut trades {
                    if let EventKind::Trade(trade) = &mut event.kind {
                        trade.snapshot = true;
                    }
                }
                trades
            })
            .collect()
    }
}

trait RevTake {
    fn rev_take(self, count: usize) -> Vec<Event>;
}

impl<'a, I: Iterator<Item = &'a Event>> RevTake for I {
    fn rev_take(self, count: usize) -> Vec<Event> {
        let all: Vec<&Event> = self.collect();
        all.into_iter().rev().take(count).cloned().collect()
    }
}

fn apply(book: &mut OrderBook, kind: &EventKind) {
    if let EventKind::BookDelta(delta) = kind {
        delta.bids.iter().for_each(|(price, size)| {
            book.set(Side::Buy, *price, *size);
        });
        delta.asks.iter().for_each(|(price, size)| {
            book.set(Side::Sell, *price, *size);
        });
    }
}

/// What goes wrong at a collector.
#[derive(Clone, Copy, Default)]
struct Trouble {
    /// A connection is down from the first to the second time.
    outage: Option<(ConnectionId, i64, i64)>,
    /// The n-th trade is lost without a trace.
    lost_trade: Option<usize>,
    /// From this time on the book of the first instrument misses changes until a resynchronisation a second later.
    gap_at: Option<i64>,
}

/// What a collector got: its chunks by stream and window, less what it withdrew; and what it did not cover.
struct Seen {
    chunks: BTreeMap<(Stream, i64), (ContentId, Chunk)>,
    missing: BTreeMap<(Stream, i64), Reason>,
}

/// Something that happens at a collector.
enum Arrival {
    Opened(ConnectionId),
    Lost(ConnectionId),
    Frame(ConnectionId, Vec<Event>),
    Incident(Box<Event>),
}

/// Runs one collector: joins at `start`, every frame delayed by up to 800 ms, some trades delivered twice.
fn collect(venue: &Venue, seed: u64, start: i64, trouble: Trouble) -> Seen {
    let mut dice = Dice(seed);
    let mut arrivals: Vec<(i64, usize, Arrival)> = Vec::new();
    for connection in [BOOKS, TRADES] {
        let mut spans = vec![(start, venue.seconds * 1_000)];
        if let Some((down, from, to)) = trouble.outage
            && down == connection
        {
            spans = vec![(start, from), (to, venue.seconds * 1_000)];
        }
        // One clock over all spans: what a connection says after it was opened again cannot arrive before its end.
        let mut clock = start;
        for (from, to) in spans {
            clock = clock.max(from);
            let mut push = |at: i64, arrival: Arrival, dice: &mut Dice| {
                clock = clock.max(at + dice.roll(801) as i64);
                let order = arrivals.len();
                arrivals.push((clock, order, arrival));
            };
            push(from, Arrival::Opened(connection), &mut dice);
            push(from, Arrival::Frame(connection, venue.greeting(connection, from)), &mut dice);
            let mut trades = 0;
            for message in venue.messages.iter().filter(|m| m.connection == connection && m.at > from && m.at <= to) {
                let is_trade = matches!(message.event.as_ref().map(|e| &e.kind), Some(EventKind::Trade(_)));
                trades += usize::from(is_trade);
                if is_trade && trouble.lost_trade == Some(trades) {
                    continue;
                }
                let first = message.event.as_ref().and_then(|e| e.symbol.as_ref()) == Some(&venue.symbols[0]);
                if let (Some(gap), true, BOOKS) = (trouble.gap_at, first, connection)
                    && (gap..gap + 1_000).contains(&message.at)
                {
                    continue;
                }
                let times = if is_trade && dice.roll(8) == 0 { 2 } else { 1 };
                for _ in 0..times {
                    push(
                        message.at,
                        Arrival::Frame(connection, message.event.clone().into_iter().collect()),
                        &mut dice,
                    );
                }
            }
            push(to, Arrival::Lost(connection), &mut dice);
        }
    }
    if let Some(gap) = trouble.gap_at {
        gap_arrivals(venue, gap, &mut arrivals);
    }
    arrivals.sort_by_key(|(at, order, _)| (*at, *order));
    // The end of the recording is no loss.
    let end = arrivals.len() - usize::from(matches!(arrivals.last(), Some((_, _, Arrival::Lost(_)))));
    run(venue, &arrivals[..end])
}

/// The gap is noticed with the first frame after it, which arrives with the incident and, a little later, a snapshot.
fn gap_arrivals(venue: &Venue, gap: i64, arrivals: &mut Vec<(i64, usize, Arrival)>) {
    let symbol = &venue.symbols[0];
    let is_delta = |e: &Event| e.symbol.as_ref() == Some(symbol) && matches!(e.kind, EventKind::BookDelta(_));
    let first = venue.messages.iter().find(|m| m.at >= gap + 1_000 && m.event.as_ref().is_some_and(is_delta));
    let Some((sent, first)) = first.and_then(|m| m.event.as_ref().map(|e| (m.at, e))) else { return };
    let is_first = |a: &Arrival| matches!(a, Arrival::Frame(BOOKS, events) if events.first() == Some(first));
    let Some(noticed) = arrivals.iter().position(|(_, _, a)| is_first(a)) else { return };
    let (clock, order) = (arrivals[noticed].0, arrivals[noticed].1);
    let incident = Incident { kind: IncidentKind::Gap, feed: Some(Feed::Book), detail: String::new() };
    let greeting = venue.greeting(BOOKS, sent).into_iter().filter(|e| e.symbol.as_ref() == Some(symbol)).collect();
    arrivals[noticed].2 = Arrival::Incident(Box::new(event(symbol, None, EventKind::Incident(incident))));
    arrivals.insert(noticed + 1, (clock, order, Arrival::Frame(BOOKS, greeting)));
}

fn run(venue: &Venue, arrivals: &[(i64, usize, Arrival)]) -> Seen {
    let mut cutter = WindowCutter::new(venue.config());
    let mut seen = Seen { chunks: BTreeMap::new(), missing: BTreeMap::new() };
    for (frame, (at, _, arrival)) in arrivals.iter().enumerate() {
        match arrival {
            Arrival::Opened(connection) => cutter.opened(*connection),
            Arrival::Lost(connection) => cutter.connection_lost(*connection),
            Arrival::Incident(event) => cutter.observe(Some(BOOKS), event),
            Arrival::Frame(connection, events) => {
                // Capture clocks are off by years, to show that nothing depends on them but sameness.
                let ts_capture = Timestamp(at * MS + frame as i64);
                let events: Vec<Event> = events.iter().map(|e| Event { ts_capture, ..e.clone() }).collect();
                cutter.frame(*connection, &events);
            }
        }
        note(&mut cutter, &mut seen);
    }
    seen
}

fn note(cutter: &mut WindowCutter, seen: &mut Seen) {
    for window in cutter.drain() {
        for chunk in window.chunks {
            seen.chunks.insert((chunk.stream().clone(), window.index), (chunk.cid, chunk));
        }
        for (stream, reason) in window.not_covered {
            seen.missing.insert((stream, window.index), reason);
        }
    }
    for withdrawn in cutter.withdrawn() {
        seen.chunks.remove(&(withdrawn.stream.clone(), withdrawn.index));
        seen.missing.insert((withdrawn.stream, withdrawn.index), withdrawn.reason);
    }
}

fn lines(chunk: &Chunk) -> Vec<String> {
    let (_, rows) = Chunk::decode(&chunk.bytes).unwrap();
    match rows {
        Rows::Trades(rows) => rows.iter().map(|r| format!("{r:?}")).collect(),
        Rows::Book(rows) => rows.iter().map(|r| format!("{r:?}")).collect(),
        _ => Vec::new(),
    }
}

/// Every chunk that both vouch for is the same; returns how many there are.
fn agree(a: &Seen, b: &Seen) -> Result<usize, TestCaseError> {
    let mut common = 0;
    for (key, (cid, chunk)) in &a.chunks {
        if let Some((other, theirs)) = b.chunks.get(key) {
            let (ours, theirs) = (lines(chunk), lines(theirs));
            let only = |a: &[String], b: &[String]| -> Vec<String> {
                a.iter().filter(|line| !b.contains(line)).cloned().collect()
            };
            let differ = (only(&ours, &theirs), only(&theirs, &ours));
            prop_assert_eq!(cid, other, "{} window {}: {:?}", key.0, key.1, differ);
            common += 1;
        }
    }
    Ok(common)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Four collectors, staggered by up to 20 s, frames delayed and delivered twice: one CID for each window that all
    /// cover, and all cover every window from 4 s after the last one started to 4 s before the end.
    #[test]
    fn four_collectors_agree(seed in any::<u64>(), starts in proptest::array::uniform4(0i64..20_000)) {
        let venue = Venue::new(seed, 40);
        let seen: Vec<Seen> = starts.iter().enumerate()
            .map(|(n, start)| collect(&venue, seed ^ (n as u64 + 1), *start, Trouble::default())).collect();
        for other in &seen[1..] {
            agree(&seen[0], other)?;
        }
        let latest = starts.iter().max().unwrap();
        let index = |ms: i64| (EPOCH + ms).div_euclid(2_000);
        for window in index(latest + 4_000) + 1..index(36_000) {
            for stream in venue.config().agreed_streams() {
                for one in &seen {
                    let key = (stream.clone(), window);
                    prop_assert!(one.chunks.contains_key(&key), "{stream} {window}: {:?}", one.missing.get(&key));
                }
            }
        }
    }

    /// A lost connection never yields a chunk that differs from that of a collector without trouble.
    #[test]
    fn outage(seed in any::<u64>(), books in any::<bool>(), from in 8_000i64..20_000, length in 1i64..6_000) {
        let venue = Venue::new(seed, 40);
        let calm = collect(&venue, seed ^ 1, 0, Trouble::default());
        let connection = if books { BOOKS } else { TRADES };
        let trouble = Trouble { outage: Some((connection, from, from + length)), ..Trouble::default() };
        let troubled = collect(&venue, seed ^ 2, 3_000, trouble);
        prop_assert!(agree(&calm, &troubled)? > 20);
    }

    /// A trade that vanishes inside a living connection: its window is not covered, or withdrawn.
    #[test]
    fn vanished_trade(seed in any::<u64>(), lost in 20usize..60) {
        let venue = Venue::new(seed, 40);
        let calm = collect(&venue, seed ^ 1, 0, Trouble::default());
        let troubled = collect(&venue, seed ^ 2, 0, Trouble { lost_trade: Some(lost), ..Trouble::default() });
        // Only up to the last trade can a hole be seen.
        let busy = Stream { exchange: Exchange::Coinbase, symbol: venue.symbols[0].clone(), feed: Feed::Trades };
        let mut checked = troubled;
        checked.chunks.retain(|(stream, _), _| stream.feed == Feed::Book || *stream == busy);
        prop_assert!(agree(&calm, &checked)? > 20);
    }

    /// Lost book changes, noticed by the session: nothing wrong is vouched for, and after the snapshot all is well.
    #[test]
    fn gap_in_a_book(seed in any::<u64>(), gap in 8_000i64..20_000) {
        let venue = Venue::new(seed, 40);
        let calm = collect(&venue, seed ^ 1, 0, Trouble::default());
        let troubled = collect(&venue, seed ^ 2, 0, Trouble { gap_at: Some(gap), ..Trouble::default() });
        agree(&calm, &troubled)?;
        let book = Stream { exchange: Exchange::Coinbase, symbol: venue.symbols[0].clone(), feed: Feed::Book };
        let last = (EPOCH + 34_000).div_euclid(2_000);
        prop_assert!(troubled.chunks.contains_key(&(book.clone(), last)));
        let hit = (EPOCH + gap + 500).div_euclid(2_000);
        prop_assert!(!troubled.chunks.contains_key(&(book, hit)));
    }

    /// Chunks decode and encode to the same bytes, whatever order the rows are given in.
    #[test]
    fn re_derivable(seed in any::<u64>()) {
        let venue = Venue::new(seed, 20);
        let seen = collect(&venue, seed, 0, Trouble::default());
        prop_assert!(!seen.chunks.is_empty());
        for (cid, chunk) in seen.chunks.values() {
            let (header, rows) = Chunk::decode(&chunk.bytes).unwrap();
            prop_assert_eq!(&header, &chunk.header);
            let shuffled = match rows {
                Rows::Trades(mut rows) => { rows.reverse(); Rows::Trades(rows) }
                Rows::Book(mut rows) => { rows.reverse(); Rows::Book(rows) }
                other => other,
            };
            prop_assert_eq!(Chunk::encode(header, shuffled).unwrap().cid, *cid);
        }
    }
}

fn feed_one(cutter: &mut WindowCutter, frame: i64, event: Event) {
    cutter.alive(TRADES);
    cutter.observe(Some(TRADES), &Event { ts_capture: Timestamp(frame), ..event });
}

fn btc() -> Symbol {
    Symbol::spot("BTC", "USD")
}

fn trades_cutter() -> WindowCutter {
    let mut config = WindowConfig::new(Exchange::Coinbase, vec![btc()], vec![Feed::Trades]);
    (config.length_ms, config.lateness_ms) = (1_000, 500);
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
            (w.index - base, outcome)
        })
        .collect()
}

#[test]
fn empty_windows_are_agreed_on_when_the_connection_lived() {
    let mut cutter = trades_cutter();
    for (frame, (at, id)) in [(100, 1), (200, 2), (4_300, 3), (5_600, 4)].into_iter().enumerate() {
        feed_one(&mut cutter, frame as i64, event(&btc(), Some(at), trade(id, 1, false)));
    }
    let expected = vec![(0, Err(Reason::Starting)), (1, Ok(0)), (2, Ok(0)), (3, Ok(0)), (4, Ok(1))];
    assert_eq!(summary(&mut cutter), expected);
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
    for (frame, (at, id)) in [(100, 1), (200, 2), (1_300, 3), (2_600, 5)].into_iter().enumerate() {
        feed_one(&mut cutter, frame as i64, event(&btc(), Some(at), trade(id, 1, false)));
    }
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
    assert_eq!((withdrawn[0].index - EPOCH / 1_000, withdrawn[0].reason), (2, Reason::Late));
}

#[test]
fn ids_heal_a_reconnect_inside_a_window() {
    let mut cutter = trades_cutter();
    for (frame, (at, id)) in [(100, 1), (200, 2), (1_300, 3)].into_iter().enumerate() {
        feed_one(&mut cutter, frame as i64, event(&btc(), Some(at), trade(id, 1, false)));
    }
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
    for (frame, (at, id)) in [(100, 1), (200, 2), (1_300, 3)].into_iter().enumerate() {
        feed_one(&mut cutter, frame as i64, event(&btc(), Some(at), trade(id, 1, false)));
    }
    cutter.connection_lost(TRADES);
    cutter.opened(TRADES);
    for (frame, (at, id)) in [(1_800, 6), (1_900, 7), (2_700, 8), (5_000, 9), (6_000, 10)].into_iter().enumerate() {
        feed_one(&mut cutter, 20 + frame as i64, event(&btc(), Some(at), trade(id, 1, false)));
    }
    let seen = summary(&mut cutter);
    assert_eq!(seen[..2], [(0, Err(Reason::Disconnected)), (1, Err(Reason::Disconnected))]);
    assert_eq!(seen.last(), Some(&(4, Ok(0))));
}

#[test]
fn one_outlier_of_the_clock_is_left_out_and_two_are_the_time() {
    let mut cutter = trades_cutter();
    for (frame, (at, id)) in [(100, 1), (200, 2), (1_300, 3), (3_600_000, 4), (1_400, 5)].into_iter().enumerate() {
        feed_one(&mut cutter, frame as i64, event(&btc(), Some(at), trade(id, 1, false)));
    }
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
    for (frame, (at, id)) in [(100, 1), (200, 2)].into_iter().enumerate() {
        feed_one(&mut cutter, frame as i64, event(&btc(), Some(at), trade(id, 1, false)));
    }
    cutter.connection_lost(TRADES);
    cutter.opened(TRADES);
    for (frame, at) in [7_200_000, 7_200_100, 7_210_000].into_iter().enumerate() {
        feed_one(&mut cutter, 50 + frame as i64, event(&btc(), Some(at), trade(90 + frame as u64, 1, false)));
    }
    let windows = cutter.drain();
    assert!(windows.len() <= CATCH_UP_WINDOWS_MAX as usize + 10);
    let skipped: u64 = windows.iter().map(|w| w.skipped_before).sum();
    assert_eq!(skipped as i64 + windows.len() as i64, windows.last().unwrap().index - EPOCH / 1_000 + 1);
    assert!(windows.iter().filter(|w| !w.chunks.is_empty()).count() <= 10);
}

#[test]
fn only_closed_candles_count_placed_by_their_end() {
    let mut config = WindowConfig::new(Exchange::Binance, vec![btc()], vec![Feed::Trades, Feed::Candles]);
    (config.length_ms, config.lateness_ms) = (1_000, 500);
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
        let window = windows.iter().find(|w| w.index - EPOCH / 1_000 == index).unwrap();
        window.chunks.iter().find(|c| c.stream().feed == Feed::Candles).map(|c| c.events)
    };
    assert_eq!((candles(2), candles(3)), (Some(0), Some(1)));
}

#[test]
fn the_top_of_a_cut_off_book_must_be_known() {
    let mut config = WindowConfig::new(Exchange::Binance, vec![btc()], vec![Feed::Book]);
    (config.length_ms, config.lateness_ms) = (1_000, 500);
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
    (config.length_ms, config.lateness_ms) = (1_000, 500);
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
    (config.length_ms, config.lateness_ms) = (1_000, 500);
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
        cutter.drain().into_iter().map(|window| (window.index - EPOCH / 1_000, window.chunks.len())).collect();
    assert_eq!(covered[2..6], [(2, 2), (3, 2), (4, 2), (5, 2)]);
}

#[test]
fn foreign_bytes_are_refused() {
    let header = ChunkHeader::new(
        Stream { exchange: Exchange::Kraken, symbol: btc(), feed: Feed::Trades },
        EPOCH / 10_000,
        WINDOW_MS,
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
