//! Four collectors before a made-up venue whose every message is known, whatever goes wrong at each of them.

use std::collections::BTreeMap;

use openmesh_primitives::{ContentId, SplitMix64};
use proptest::prelude::*;

use super::*;
use crate::book::OrderBook;
use crate::event::{BookDelta, BookSnapshot, Incident, IncidentKind, Level};

/// A failing seed is a test of its own.
struct Dice(SplitMix64);

impl Dice {
    fn of(seed: u64) -> Dice {
        Dice(SplitMix64::new(seed))
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.0.next() % sides
    }
}

/// A message of the venue: when, over which connection, and what: a change of a book, some trades of which the newest
/// stands first, or nothing (a heartbeat).
#[derive(Clone)]
struct Message {
    at: i64,
    connection: ConnectionId,
    events: Vec<Event>,
}

impl Message {
    fn symbol(&self) -> Option<&Symbol> {
        self.events.first()?.symbol.as_ref()
    }

    fn is_trades(&self) -> bool {
        self.events.first().is_some_and(|e| matches!(e.kind, EventKind::Trade(_)))
    }
}

struct Venue {
    messages: Vec<Message>,
    symbols: [Symbol; 2],
    seconds: i64,
}

impl Venue {
    /// Random trades and book changes of two instruments, the second of which hardly ever trades.
    fn new(seed: u64, seconds: i64) -> Venue {
        let mut dice = Dice::of(seed);
        let symbols = [Symbol::spot("BTC", "USD"), Symbol::spot("ETH", "USD")];
        let mut messages = Vec::new();
        let mut ids = [100u64, 500];
        let mut at = 0;
        while at < seconds * 1_000 {
            at += 1 + dice.roll(60) as i64;
            let which = dice.roll(2) as usize;
            if dice.roll(4) == 0 && (which == 0 || dice.roll(60) == 0) {
                let mut events = Vec::new();
                for _ in 0..1 + dice.roll(3) {
                    // A trade's own time may lie a little before that of one sent earlier.
                    let ts = at - dice.roll(300) as i64;
                    ids[which] += 1;
                    let trade = trade(ids[which], 1 + dice.roll(9) as i64, false);
                    events.insert(0, event(&symbols[which], Some(ts), trade));
                }
                messages.push(Message { at, connection: TRADES, events });
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
                messages.push(Message { at, connection: BOOKS, events: vec![event] });
            }
        }
        for second in 0..seconds {
            for connection in [BOOKS, TRADES] {
                messages.push(Message { at: second * 1_000 + 7, connection, events: Vec::new() });
            }
        }
        messages.sort_by_key(|m| m.at);
        Venue { messages, symbols, seconds }
    }

    fn config(&self) -> WindowConfig {
        let mut config = WindowConfig::new(Exchange::Coinbase, self.symbols.to_vec(), vec![Feed::Trades, Feed::Book]);
        (config.length, config.lateness) = (WindowLength::from_ms(2_000), Lateness::from_ms(1_000));
        config
    }

    /// The first messages of a connection: the books as they are, or the latest trades, newest first.
    fn greeting(&self, connection: ConnectionId, now: i64) -> Vec<Event> {
        let past = || self.messages.iter().take_while(|m| m.at <= now).flat_map(|m| m.events.iter().rev());
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

/// The faults of a collector.
#[derive(Clone, Copy, Default)]
struct Trouble {
    /// A connection is down from the first to the second time.
    outage: Option<(ConnectionId, i64, i64)>,
    /// The n-th trade is lost without a trace.
    lost_trade: Option<usize>,
    /// From this time on the book of the first instrument misses changes until a resynchronisation a second later.
    gap_at: Option<i64>,
}

/// The result of a collector: its chunks by stream and window, less what it withdrew; and what it did not cover.
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
    let mut dice = Dice::of(seed);
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
                trades += usize::from(message.is_trades());
                if message.is_trades() && trouble.lost_trade == Some(trades) {
                    continue;
                }
                let first = message.symbol() == Some(&venue.symbols[0]);
                if let (Some(gap), true, BOOKS) = (trouble.gap_at, first, connection)
                    && (gap..gap + 1_000).contains(&message.at)
                {
                    continue;
                }
                let times = if message.is_trades() && dice.roll(8) == 0 { 2 } else { 1 };
                for _ in 0..times {
                    push(message.at, Arrival::Frame(connection, message.events.clone()), &mut dice);
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
    let first = venue.messages.iter().find(|m| m.at >= gap + 1_000 && m.events.first().is_some_and(is_delta));
    let Some((sent, first)) = first.and_then(|m| m.events.first().map(|e| (m.at, e))) else { return };
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
        // Chunk or reason for every stream that is put up for agreement, each once, and for no other.
        let chunks = window.chunks.iter().map(|chunk| chunk.stream().clone());
        let mut named: Vec<Stream> =
            chunks.chain(window.not_covered.iter().map(|(stream, _)| stream.clone())).collect();
        named.sort();
        assert_eq!(named, cutter.config().agreed_streams());
        for chunk in window.chunks {
            seen.chunks.insert((chunk.stream().clone(), window.index.0), (chunk.cid, chunk));
        }
        for (stream, reason) in window.not_covered {
            seen.missing.insert((stream, window.index.0), reason);
        }
    }
    for withdrawn in cutter.withdrawn() {
        seen.chunks.remove(&(withdrawn.stream.clone(), withdrawn.index.0));
        seen.missing.insert((withdrawn.stream, withdrawn.index.0), withdrawn.reason);
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

/// Lets four collectors begin at times, frames delayed and delivered twice: one CID for each window that all cover, and all cover every window from
/// 5 s after the last one started to 4 s before the end. 5 s: a connection says something within 1.8 s (a beat each second, 800 ms under way) of which
/// the time is known to within the lateness of 1 s, and what is covered begins twice the lateness later.
fn four_from(seed: u64, starts: [i64; 4]) -> Result<(), TestCaseError> {
    let venue = Venue::new(seed, 40);
    let collector = |(n, start): (usize, &i64)| collect(&venue, seed ^ (n as u64 + 1), *start, Trouble::default());
    let seen: Vec<Seen> = starts.iter().enumerate().map(collector).collect();
    for other in &seen[1..] {
        agree(&seen[0], other)?;
    }
    let latest = starts.iter().max().unwrap();
    let index = |ms: i64| (EPOCH + ms).div_euclid(2_000);
    for window in index(latest + 5_000) + 1..index(36_000) {
        for stream in venue.config().agreed_streams() {
            for (n, one) in seen.iter().enumerate() {
                let key = (stream.clone(), window);
                prop_assert!(one.chunks.contains_key(&key), "{n}: {stream} {window}: {:?}", one.missing.get(&key));
            }
        }
    }
    Ok(())
}

#[test]
fn a_connection_that_only_beats_at_first() {
    four_from(13_815_243_635_164_642_811, [19_961, 0, 0, 0]).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Staggered by up to 20 s.
    #[test]
    fn four_collectors_agree(seed in any::<u64>(), starts in proptest::array::uniform4(0i64..20_000)) {
        four_from(seed, starts)?;
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
