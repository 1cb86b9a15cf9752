//! The bar of `docs/spec/windows.md` on recorded traffic: four collectors, started up to 20 s apart, each frame delayed by
//! up to 800 ms on its way: one CID for every window that all of them cover. Then the same with connections that break and
//! are opened again at different moments, judged as the ledger judges attestations: no honest validator is named, and
//! every window that two thirds covered is agreed.
//!
//! A collector that comes late gets what the venue gives those who subscribe then: the books as they stand (of Binance
//! the best 1000 levels, over HTTP), Coinbase's latest trades, then every frame.

mod survey;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use openmesh_dialect::Session;
use openmesh_dialect::recording::{Line, Player};
use openmesh_market::event::{BookSnapshot, Level};
use openmesh_market::window::{Lateness, Reason, Stream, WindowConfig, WindowCutter, WindowLength};
use openmesh_market::{ConnectionId, Event, EventKind, Exchange, Feed, OrderBook, Side};
use openmesh_primitives::{ContentId, Symbol, Timestamp};

const MS: i64 = 1_000_000;
/// Longest delay of a frame, in milliseconds.
const DELAY_MS_MAX: u64 = 800;
/// Levels that Binance's REST snapshot has at most.
const REST_LEVELS: usize = 1_000;
/// Trades that Coinbase sends on subscribing.
const COINBASE_TRADES: usize = 50;

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

fn recordings() -> PathBuf {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    std::env::var_os("OPENMESH_RECORDINGS").map_or_else(|| PathBuf::from(beside), PathBuf::from)
}

fn texts(path: &Path) -> impl Iterator<Item = String> + use<> {
    let file = std::fs::File::open(path).expect("a recording");
    BufReader::new(flate2::read::GzDecoder::new(file)).lines().map(|line| line.expect("text"))
}

/// A message of the venue at one moment, decoded.
enum What {
    Opened(ConnectionId),
    Frame(ConnectionId, Vec<Event>),
    Answer(Vec<Event>),
}

/// A recording, decoded once, with the books as they stood when each collector joined.
struct Recording {
    exchange: Exchange,
    steps: Vec<(i64, What)>,
    /// The books in step at each moment at which a collector joins.
    books: Vec<Vec<(Symbol, OrderBook)>>,
    /// These moments, ascending, in nanoseconds.
    joins: Vec<i64>,
    /// The first moment at which a connection was open, in nanoseconds.
    first: i64,
    end: i64,
}

impl Recording {
    /// Decodes a recording. `joins` are milliseconds after its first connection, ascending.
    fn decode(session: Box<dyn Session>, lines: impl Iterator<Item = Line>, joins: &[i64]) -> Recording {
        let exchange = session.exchange();
        let mut player = Player::new(session);
        let mut names: Vec<String> = Vec::new();
        let mut recording =
            Recording { exchange, steps: Vec::new(), books: Vec::new(), joins: Vec::new(), first: i64::MAX, end: 0 };
        for line in lines {
            let mut events = Vec::new();
            let at = match &line {
                Line::Header { .. } => continue,
                Line::Http { at, .. } | Line::Connect { at, .. } | Line::Send { at, .. } | Line::Receive { at, .. } => {
                    at.0
                }
            };
            if matches!(line, Line::Connect { .. } | Line::Receive { .. }) {
                recording.first = recording.first.min(at);
            }
            let moment = |ms: &i64| recording.first.saturating_add(ms * MS);
            while let Some(join) = joins.get(recording.joins.len()).map(moment).filter(|join| *join <= at) {
                let books = player.session().books().into_iter().map(|(symbol, book)| (symbol, book.clone()));
                recording.books.push(books.collect());
                recording.joins.push(join);
            }
            player.line(&line, &mut events);
            let mut number = |name: &String| {
                let known = names.iter().position(|n| n == name);
                ConnectionId(known.unwrap_or_else(|| {
                    names.push(name.clone());
                    names.len() - 1
                }) as u32)
            };
            let what = match &line {
                Line::Connect { connection, .. } => What::Opened(number(connection)),
                Line::Receive { connection, .. } => What::Frame(number(connection), events),
                _ => What::Answer(events),
            };
            recording.end = recording.end.max(at);
            recording.steps.push((at, what));
        }
        recording
    }

    fn events(&self) -> impl Iterator<Item = &Event> {
        self.steps.iter().flat_map(|(_, what)| match what {
            What::Frame(_, events) | What::Answer(events) => events.as_slice(),
            What::Opened(_) => &[],
        })
    }

    fn config(&self, length_ms: u32, lateness_ms: u32) -> WindowConfig {
        let symbols: BTreeSet<Symbol> = self.events().filter_map(|e| e.symbol.clone()).collect();
        let feeds: BTreeSet<Feed> = self.events().filter_map(|e| e.kind.feed()).collect();
        let (symbols, feeds) = (symbols.into_iter().collect(), feeds.into_iter().collect());
        WindowConfig {
            length: WindowLength::from_ms(length_ms),
            lateness: Lateness::from_ms(lateness_ms),
            ..WindowConfig::new(self.exchange, symbols, feeds)
        }
    }

    /// The first messages to a collector that joins at the n-th moment.
    fn greeting(&self, nth: usize) -> Vec<What> {
        let start = self.joins[nth];
        let mut of: BTreeMap<(Symbol, Feed), ConnectionId> = BTreeMap::new();
        let mut opened: BTreeSet<ConnectionId> = BTreeSet::new();
        let mut recent: BTreeMap<Symbol, Vec<Event>> = BTreeMap::new();
        for (_, what) in self.steps.iter().take_while(|(at, _)| *at < start) {
            match what {
                What::Opened(connection) => drop(opened.insert(*connection)),
                What::Frame(connection, events) => {
                    opened.insert(*connection);
                    for event in events {
                        if let (Some(symbol), Some(feed)) = (&event.symbol, event.kind.feed()) {
                            of.insert((symbol.clone(), feed), *connection);
                            if feed == Feed::Trades {
                                recent.entry(symbol.clone()).or_default().push(event.clone());
                            }
                        }
                    }
                }
                What::Answer(_) => {}
            }
        }
        let mut greeting: Vec<What> = opened.into_iter().map(What::Opened).collect();
        for (symbol, book) in &self.books[nth] {
            let rest = self.is_binance();
            let event = self.snapshot(symbol, book, if rest { REST_LEVELS } else { usize::MAX });
            greeting.push(match of.get(&(symbol.clone(), Feed::Book)) {
                Some(connection) if !rest => What::Frame(*connection, vec![event]),
                _ => What::Answer(vec![event]),
            });
        }
        for (symbol, trades) in recent.into_iter().filter(|_| self.exchange == Exchange::Coinbase) {
            let mut events: Vec<Event> = trades.into_iter().rev().take(COINBASE_TRADES).collect();
            for event in &mut events {
                if let EventKind::Trade(trade) = &mut event.kind {
                    trade.snapshot = true;
                }
            }
            greeting.push(What::Frame(of[&(symbol, Feed::Trades)], events));
        }
        greeting
    }

    /// Returns true for the venues whose books begin with an answer over HTTP.
    fn is_binance(&self) -> bool {
        use Exchange::{Binance, BinanceDelivery, BinanceFutures, BinanceTr, BinanceUs};
        matches!(self.exchange, Binance | BinanceUs | BinanceTr | BinanceFutures | BinanceDelivery)
    }

    fn snapshot(&self, symbol: &Symbol, book: &OrderBook, depth: usize) -> Event {
        let side = |side| -> Vec<Level> { book.levels(side).take(depth).copied().collect() };
        let (bids, asks) = (side(Side::Buy), side(Side::Sell));
        let snapshot = BookSnapshot { bids, asks, sequence: None, checksum: None };
        Event {
            exchange: self.exchange,
            symbol: Some(symbol.clone()),
            ts_exchange: None,
            ts_capture: Timestamp(0),
            kind: EventKind::BookSnapshot(snapshot),
        }
    }

    /// Runs one collector over what it gets while it is connected, each frame delayed, the order within a connection kept.
    fn collect(&self, spans: &[Span], config: &WindowConfig, seed: u64) -> Seen {
        let (mut cutter, mut seen, mut dice) = (WindowCutter::new(config.clone()), Seen::default(), Dice(seed));
        for span in spans {
            self.collect_span(*span, &mut cutter, &mut seen, &mut dice);
        }
        seen
    }

    fn collect_span(&self, span: Span, cutter: &mut WindowCutter, seen: &mut Seen, dice: &mut Dice) {
        let (start, end) = (self.joins[span.join], span.end_ms.map_or(i64::MAX, |ms| self.first + ms * MS));
        let greeting = self.greeting(span.join);
        let later = self.steps.iter().filter(|(at, _)| *at >= start).map(|(at, what)| (*at, what));
        let mut arrivals: Vec<(i64, usize, &What)> = Vec::new();
        let mut clocks: BTreeMap<Option<ConnectionId>, i64> = BTreeMap::new();
        for (order, (at, what)) in greeting.iter().map(|what| (start, what)).chain(later).enumerate() {
            let connection = match what {
                What::Opened(connection) | What::Frame(connection, _) => Some(*connection),
                What::Answer(_) => None,
            };
            let clock = clocks.entry(connection).or_default();
            // Answers carry what the session knows when it has them: they keep their place among the frames.
            let delay = if connection.is_some() { dice.roll(DELAY_MS_MAX * 1_000 + 1) as i64 * 1_000 } else { 0 };
            *clock = (*clock).max(at + delay);
            arrivals.push((*clock, order, what));
        }
        if self.is_binance() {
            // The order of a snapshot and the changes that go on top of it was settled by the session.
            let mut clock = 0;
            for arrival in &mut arrivals {
                clock = clock.max(arrival.0);
                arrival.0 = clock;
            }
        }
        arrivals.sort_by_key(|(at, order, _)| (*at, *order));
        let mut open = BTreeSet::new();
        for (at, _, what) in arrivals.into_iter().take_while(|(at, _, _)| *at < end) {
            let (connection, events) = match what {
                What::Opened(connection) => {
                    open.insert(*connection);
                    cutter.opened(*connection);
                    continue;
                }
                What::Frame(connection, events) => (Some(*connection), events),
                What::Answer(events) => (None, events),
            };
            let ts_capture = Timestamp(at);
            let events: Vec<Event> = events.iter().map(|e| Event { ts_capture, ..e.clone() }).collect();
            match connection {
                Some(connection) => cutter.frame(connection, &events),
                None => events.iter().for_each(|event| cutter.observe(None, event)),
            }
            open.extend(connection);
            seen.take(cutter);
        }
        if span.end_ms.is_some() {
            open.into_iter().for_each(|connection| cutter.connection_lost(connection));
            seen.take(cutter);
        }
    }
}

/// A time in which a collector is connected.
#[derive(Clone, Copy)]
struct Span {
    /// Place among [`Recording::joins`].
    join: usize,
    /// Milliseconds after the first connection at which all connections break.
    end_ms: Option<i64>,
}

#[derive(Default)]
struct Seen {
    chunks: BTreeMap<(Stream, i64), (ContentId, u32)>,
    abstained: BTreeSet<(Stream, i64)>,
    reasons: BTreeMap<Reason, usize>,
    withdrawn: usize,
}

impl Seen {
    fn take(&mut self, cutter: &mut WindowCutter) {
        for window in cutter.drain() {
            for chunk in window.chunks {
                self.chunks.insert((chunk.stream().clone(), window.index.0), (chunk.cid, chunk.events));
            }
            for (stream, reason) in window.not_covered {
                *self.reasons.entry(reason).or_default() += 1;
                self.abstained.insert((stream, window.index.0));
            }
        }
        self.withdrawn += cutter.withdrawn().len();
    }
}

/// The demands on a set.
struct Bar {
    length_ms: u32,
    lateness_ms: u32,
    starts: [i64; 4],
    /// The second and the third collector lose their connections at the first moment and have them again at the second, in
    /// milliseconds after the first connection.
    breaks: [(i64, i64); 2],
    /// Chunks that all four must cover, and rows in them, at least.
    chunks: usize,
    rows: u32,
}

impl Bar {
    /// Every moment at which a collector joins, ascending.
    fn joins(&self) -> Vec<i64> {
        let mut joins: Vec<i64> = self.starts.into_iter().chain(self.breaks.map(|(_, again)| again)).collect();
        joins.sort_unstable();
        joins.dedup();
        joins
    }

    fn join(&self, at_ms: i64) -> usize {
        self.joins().iter().position(|join| *join == at_ms).expect("one of the moments")
    }

    /// The times in which a collector is connected, with its break or without.
    fn spans(&self, nth: usize, broken: bool) -> Vec<Span> {
        let start = self.join(self.starts[nth]);
        match nth.checked_sub(1).and_then(|at| self.breaks.get(at)).filter(|_| broken) {
            None => vec![Span { join: start, end_ms: None }],
            Some((end, again)) => {
                vec![Span { join: start, end_ms: Some(*end) }, Span { join: self.join(*again), end_ms: None }]
            }
        }
    }
}

/// The rule by which the ledger closes a stream of a window, for four validators of equal weight: three equal words decide;
/// who names other bytes then is named. To abstain, or to say nothing, accuses nobody and stays in the denominator.
fn judge(name: &str, seen: &[Seen]) -> usize {
    const QUORUM: usize = 3;
    let keys: BTreeSet<&(Stream, i64)> = seen.iter().flat_map(|one| one.chunks.keys().chain(&one.abstained)).collect();
    let mut agreed = 0;
    for key in keys {
        let mut words: BTreeMap<ContentId, usize> = BTreeMap::new();
        for (cid, _) in seen.iter().filter_map(|one| one.chunks.get(key)) {
            *words.entry(*cid).or_default() += 1;
        }
        let covered: usize = words.values().sum();
        let strongest = words.values().copied().max().unwrap_or_default();
        let named = if strongest >= QUORUM { covered - strongest } else { 0 };
        assert_eq!(named, 0, "{name}: an honest validator is named for {} window {}", key.0, key.1);
        assert!(strongest >= QUORUM || covered < QUORUM, "{name}: {} window {} is disputed", key.0, key.1);
        assert!(strongest + (seen.len() - covered) >= QUORUM, "{name}: {} window {} is disputed", key.0, key.1);
        agreed += usize::from(strongest >= QUORUM);
    }
    agreed
}

fn check(name: &str, recording: &Recording, bar: &Bar) {
    let config = recording.config(bar.length_ms, bar.lateness_ms);
    let run = |seed: u64, broken: bool| -> Vec<Seen> {
        (0..4).map(|nth| recording.collect(&bar.spans(nth, broken), &config, seed * 100 + nth as u64)).collect()
    };
    for seed in 1..=3 {
        let seen = run(seed, true);
        let (again, agreed) = (&seen[1], judge(name, &seen));
        assert!(
            agreed > 0 && again.reasons.contains_key(&Reason::Disconnected),
            "{name}: {agreed} {:?}",
            again.reasons
        );
        eprintln!("{name}: {agreed} chunks agreed with two collectors that break (seed {seed})");
    }
    let mut best = (usize::MAX, u32::MAX);
    for seed in 1..=5u64 {
        let seen = run(seed, false);
        judge(name, &seen);
        let mut common = (0, 0);
        for (key, (cid, rows)) in &seen[0].chunks {
            let others: Vec<_> = seen[1..].iter().filter_map(|s| s.chunks.get(key)).collect();
            for (other, _) in &others {
                assert_eq!(cid, other, "{name}: {} window {} (seed {seed})", key.0, key.1);
            }
            if others.len() == 3 {
                common = (common.0 + 1, common.1 + rows);
            }
        }
        assert!(seen.iter().all(|s| s.withdrawn == 0), "{name}: withdrawn (seed {seed})");
        best = (best.0.min(common.0), best.1.min(common.1));
        if seed == 1 {
            let last = &seen[3];
            eprintln!(
                "{name}: {} streams, last collector covers {}, not {:?}",
                config.agreed_streams().len(),
                last.chunks.len(),
                last.reasons
            );
        }
    }
    eprintln!("{name}: at least {} chunks with {} rows covered by all four, one CID each", best.0, best.1);
    assert!(best.0 >= bar.chunks && best.1 >= bar.rows, "{name}: only {best:?}");
}

fn cryptofeed(name: &str, bar: Bar) {
    let set = recordings().join(name);
    if !set.exists() {
        return eprintln!("skipped: there is no recording {} (see OPENMESH_RECORDINGS)", set.display());
    }
    let lines: Vec<Line> =
        texts(&set.join("frames.jsonl.gz")).map(|text| Line::parse(&text).expect("a line of a recording")).collect();
    let Some(Line::Header { exchange }) = lines.first() else { panic!("{name} has no header") };
    let session = openmesh_dialect::for_recording(exchange).expect("a venue that is spoken");
    check(name, &Recording::decode(session, lines.into_iter(), &bar.joins()), &bar);
}

fn timed(name: &str, files: &[&str], exchange: Exchange, url: &str, bar: Bar) {
    let set = recordings().join(name);
    if !set.exists() {
        return eprintln!("skipped: there is no recording {} (see OPENMESH_RECORDINGS)", set.display());
    }
    let lines = files.iter().flat_map(|file| texts(&set.join(file)));
    let lines = lines.map(|text| Line::parse_timed(&text, url).expect("a timed line"));
    check(name, &Recording::decode(openmesh_dialect::session(exchange), lines, &bar.joins()), &bar);
}

#[test]
fn kraken() {
    let bar = Bar {
        length_ms: 1_000,
        lateness_ms: 600,
        starts: [0, 3_000, 11_000, 20_000],
        breaks: [(14_000, 16_000), (21_000, 24_000)],
        chunks: 60,
        rows: 500,
    };
    cryptofeed("cf-KRAKEN-20210417", bar);
}

#[test]
fn binance() {
    let bar = Bar {
        length_ms: 1_000,
        lateness_ms: 500,
        starts: [0, 4_000, 9_000, 20_000],
        breaks: [(12_000, 13_000), (17_000, 18_500)],
        chunks: 8,
        rows: 10,
    };
    cryptofeed("cf-BINANCE-20211012", bar);
}

#[test]
fn binance_futures() {
    let bar = Bar {
        length_ms: 2_000,
        lateness_ms: 1_000,
        starts: [0, 3_000, 11_000, 20_000],
        breaks: [(12_000, 14_000), (20_500, 22_000)],
        chunks: 12,
        rows: 500,
    };
    cryptofeed("cf-BINANCE_FUTURES-20210722", bar);
}

#[test]
fn coinbase() {
    let bar = Bar {
        length_ms: 1_000,
        lateness_ms: 1_000,
        starts: [0, 1_000, 3_000, 6_000],
        breaks: [(4_000, 4_500), (6_500, 7_000)],
        chunks: 4,
        rows: 500,
    };
    cryptofeed("cf-COINBASE-20260809-first14s", bar);
}

#[test]
fn bybit() {
    let bar = Bar {
        length_ms: 2_000,
        lateness_ms: 1_000,
        starts: [0, 3_000, 11_000, 20_000],
        breaks: [(12_000, 14_000), (20_500, 22_000)],
        chunks: 20,
        rows: 500,
    };
    cryptofeed("cf-BYBIT-20260809-BTC-DOGE", bar);
}

#[test]
fn okx() {
    let bar = Bar {
        length_ms: 1_000,
        lateness_ms: 1_000,
        starts: [0, 1_000, 2_000, 4_000],
        breaks: [(5_000, 6_000), (6_500, 7_500)],
        chunks: 4,
        rows: 100,
    };
    cryptofeed("cf-OKX-20220513", bar);
}

#[test]
fn binance_spot_for_six_minutes() {
    let url = "https://api.binance.com/api/v3/depth?symbol=BTCUSDT&limit=1000";
    let bar = Bar {
        length_ms: 10_000,
        lateness_ms: 2_000,
        starts: [0, 7_000, 13_000, 20_000],
        breaks: [(90_000, 100_000), (170_000, 200_000)],
        chunks: 40,
        rows: 10_000,
    };
    timed("hft-binance-spot-btcusdt-20240808-09", &["btcusdt_20240808.gz"], Exchange::Binance, url, bar);
}

#[test]
fn binance_futures_for_six_minutes() {
    let url = "https://fapi.binance.com/fapi/v1/depth?symbol=BTCUSDT&limit=1000";
    let bar = Bar {
        length_ms: 10_000,
        lateness_ms: 2_000,
        starts: [0, 7_000, 13_000, 20_000],
        breaks: [(90_000, 100_000), (170_000, 200_000)],
        chunks: 60,
        rows: 100_000,
    };
    timed("hft-binance-usdm-btcusdt-20240808", &["btcusdt_20240808.gz"], Exchange::BinanceFutures, url, bar);
}
