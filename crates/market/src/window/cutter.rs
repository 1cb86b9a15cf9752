//! The cutter of a source: places events, decides when a window is over and what of it is covered.

use std::collections::{BTreeMap, VecDeque};

use openmesh_primitives::{Symbol, Timestamp};

use super::book::Levels;
use super::clock::{Clock, Judgement, after};
use super::coordinates::Rules;
use super::points::Points;
use super::track::{Coverage, Track};
use super::{CATCH_UP_WINDOWS_MAX, Class, ClosedWindow, Reason, Stream, WindowConfig, WindowIndex, Withdrawn};
use crate::ConnectionId;
use crate::event::{Event, EventKind, Feed, Incident, IncidentKind};

/// Emitted windows and withdrawals that wait to be fetched; the oldest are given up beyond it. Two catch-ups fit.
const WAITING_MAX: usize = 4_096;

/// Clock events held back at once: two agreeing ones decide, so this is never reached by order, only by a bug.
const HELD_MAX: usize = 16;

/// A clock event that is held back because its time is out of line.
#[derive(Clone, Debug)]
struct Held {
    connection: Option<ConnectionId>,
    event: Event,
    ts: Timestamp,
    judgement: Judgement,
}

/// Cuts one source's events into windows.
#[derive(Clone, Debug)]
pub struct WindowCutter {
    config: WindowConfig,
    rules: Rules,
    clock: Clock,
    tracks: BTreeMap<Symbol, BTreeMap<Feed, Track>>,
    held: Vec<Held>,
    /// A break or a snapshot since the last clock event.
    unsettled: bool,
    /// The venue's clock has gone on since the last pass over all streams.
    due: bool,
    /// Watermark of that pass.
    passed: Option<Timestamp>,
    /// First window that is not emitted.
    emit: Option<WindowIndex>,
    skipped: u64,
    windows: VecDeque<ClosedWindow>,
    withdrawn: VecDeque<Withdrawn>,
}

impl WindowCutter {
    /// A cutter that has seen nothing yet.
    pub fn new(config: WindowConfig) -> WindowCutter {
        let rules = Rules { length: config.length, lateness: config.lateness };
        let mut tracks: BTreeMap<Symbol, BTreeMap<Feed, Track>> = BTreeMap::new();
        for symbol in &config.symbols {
            for feed in &config.feeds {
                let Some(class) = Class::of(config.exchange, symbol, *feed) else { continue };
                let coverage = match (class, feed) {
                    (Class::Conflated, _) => Coverage::ClockOnly,
                    (_, Feed::Book) => Coverage::Book(Box::new(Levels::new(config.exchange, rules.lateness))),
                    _ => Coverage::Points(Points::new(*feed, class, rules)),
                };
                let stream = Stream { exchange: config.exchange, symbol: symbol.clone(), feed: *feed };
                tracks.entry(symbol.clone()).or_default().insert(*feed, Track::new(stream, coverage, rules));
            }
        }
        WindowCutter {
            rules,
            clock: Clock::new(rules.lateness),
            tracks,
            held: Vec::new(),
            unsettled: false,
            due: false,
            passed: None,
            emit: None,
            skipped: 0,
            windows: VecDeque::new(),
            withdrawn: VecDeque::new(),
            config,
        }
    }

    /// The streams, and the numbers by which they are cut.
    pub const fn config(&self) -> &WindowConfig {
        &self.config
    }

    /// The highest venue time seen.
    pub const fn watermark(&self) -> Option<Timestamp> {
        self.clock.high()
    }

    /// A connection was opened. Its first frame of each stream may hold history.
    pub fn opened(&mut self, connection: ConnectionId) {
        self.connection_lost(connection);
        self.clock.opened(connection);
    }

    /// A connection was lost, or is given up for its silence.
    pub fn connection_lost(&mut self, connection: ConnectionId) {
        if !self.clock.lost(connection) {
            return;
        }
        self.unsettled = true;
        for track in self.tracks.values_mut().flat_map(BTreeMap::values_mut) {
            if track.connection.is_none_or(|own| own == connection) {
                track.lost(&self.clock);
            }
        }
        self.pass();
    }

    /// A frame came in over a connection, and these are its events.
    ///
    /// They are one moment: a venue may list the newest trade first, and a window that this one ends must not be
    /// closed, nor searched for missing trades, before the others of its frame are in.
    ///
    /// What carries the venue's time tells itself how far the connection is. Only a frame without it is taken for as new as
    /// what other connections have told, give or take lateness: a connection that lags behind them by more than that (they
    /// are read one by one, and a replay may run fast) would close its windows before the events that belong there.
    pub fn frame(&mut self, connection: ConnectionId, events: &[Event]) {
        if events.iter().any(|event| event.ts_exchange.is_some() && is_clock(&event.kind)) {
            self.clock.begun(connection);
        } else {
            self.alive(connection);
        }
        for event in events {
            self.take(Some(connection), event);
        }
        self.pass_if_due();
    }

    /// A frame without time came in over a connection.
    pub fn alive(&mut self, connection: ConnectionId) {
        if self.clock.alive(connection) {
            self.pass();
        }
    }

    /// Takes one event in that came alone. `connection` is the one it came over; `None` for an answer over HTTP.
    pub fn observe(&mut self, connection: Option<ConnectionId>, event: &Event) {
        self.take(connection, event);
        self.pass_if_due();
    }

    fn take(&mut self, connection: Option<ConnectionId>, event: &Event) {
        if event.exchange != self.config.exchange {
            return;
        }
        if let EventKind::Incident(incident) = &event.kind {
            return self.incident(connection, event.symbol.as_ref(), incident);
        }
        let Some(live) = self.touch(connection, event) else { return };
        let ts = if live && is_clock(&event.kind) { event.ts_exchange } else { None };
        let Some(ts) = ts else { return self.place(connection, event, live) };
        match self.clock.judge(connection, ts) {
            Judgement::Plausible => {
                self.release_outliers();
                self.place(connection, event, true);
            }
            judgement => self.hold(Held { connection, event: event.clone(), ts, judgement }),
        }
    }

    /// The windows that are over, in order. Each is given once.
    pub fn drain(&mut self) -> Vec<ClosedWindow> {
        self.windows.drain(..).collect()
    }

    /// Chunks that must be taken back. Each is given once.
    pub fn withdrawn(&mut self) -> Vec<Withdrawn> {
        self.withdrawn.drain(..).collect()
    }

    /// Marks the stream as touched by a frame; `None` where it is not one of ours, else whether the event is live.
    fn touch(&mut self, connection: Option<ConnectionId>, event: &Event) -> Option<bool> {
        let feed = event.kind.feed()?;
        let tracks = self.tracks.get_mut(event.symbol.as_ref()?)?;
        if tracks.values().next().is_some_and(|track| !track.known) {
            tracks.values_mut().for_each(|track| track.known = true);
        }
        let track = tracks.get_mut(&feed)?;
        let after_first = track.touch(connection, event.ts_capture);
        let live = match &event.kind {
            EventKind::BookDelta(_) => true,
            EventKind::BookSnapshot(_) => false,
            EventKind::Trade(trade) if trade.snapshot => false,
            _ => after_first,
        };
        track.refused &= !live;
        Some(live)
    }

    /// A clock event out of line: two in a row are right, one alone is not.
    fn hold(&mut self, held: Held) {
        let agrees = |other: &Held| {
            other.judgement == held.judgement
                && other.ts.0.abs_diff(held.ts.0) <= super::clock::JUMP_NANOS.unsigned_abs()
        };
        if !self.held.last().is_some_and(agrees) {
            self.release_outliers();
            self.held.push(held);
            return;
        }
        if held.judgement == Judgement::Behind {
            self.restart(held.ts);
        }
        let mut all = std::mem::take(&mut self.held);
        all.push(held);
        for Held { connection, event, .. } in all.iter().take(HELD_MAX) {
            self.place(*connection, event, true);
        }
    }

    /// Discards what was held back as outliers: leaves points out, starts their streams anew, and keeps books whole.
    fn release_outliers(&mut self) {
        if self.held.is_empty() {
            return;
        }
        self.unsettled = true;
        for Held { event, .. } in std::mem::take(&mut self.held) {
            let feed = event.kind.feed();
            let track = event.symbol.as_ref().and_then(|s| self.tracks.get_mut(s)).zip(feed);
            let Some(track) = track.and_then(|(tracks, feed)| tracks.get_mut(&feed)) else { continue };
            match (&track.coverage, &event.kind) {
                (Coverage::Book(_), EventKind::BookDelta(delta)) => track.outlier(delta),
                (Coverage::Points(_), _) => track.doubt(&self.clock, Reason::ClockJump),
                _ => {}
            }
        }
    }

    /// The venue's clock was set back.
    fn restart(&mut self, ts: Timestamp) {
        let index = WindowIndex::of(ts, self.rules.length);
        self.clock.reset();
        self.unsettled = true;
        for track in self.tracks.values_mut().flat_map(BTreeMap::values_mut) {
            track.restart(index);
        }
        self.passed = None;
        self.emit = Some(index);
    }

    /// Puts an event where it belongs.
    fn place(&mut self, connection: Option<ConnectionId>, event: &Event, live: bool) {
        let clock_ts = event.ts_exchange.filter(|_| live && is_clock(&event.kind));
        if let Some(ts) = clock_ts {
            self.clock.note(connection, ts);
            self.settle_breaks();
            self.begin(WindowIndex::of(ts, self.rules.length));
        }
        let (Some(high), Some(symbol), Some(feed)) = (self.clock.high(), &event.symbol, event.kind.feed()) else {
            if let (Some(symbol), EventKind::BookSnapshot(snapshot)) = (&event.symbol, &event.kind) {
                self.load(symbol, snapshot);
            }
            return;
        };
        let Some(track) = self.tracks.get_mut(symbol).and_then(|feeds| feeds.get_mut(&feed)) else { return };
        let mut late = None;
        match (&mut track.coverage, &event.kind) {
            (Coverage::Points(_), _) => {
                let too_far = Points::place_of(event).is_some_and(|ts| ts > after(high, super::clock::JUMP_NANOS));
                if !too_far {
                    late = track.place_point(event, live, after(high, self.rules.lateness.nanos()), &self.clock);
                    self.unsettled |= track.is_broken();
                }
            }
            (Coverage::Book(levels), EventKind::BookSnapshot(snapshot)) => {
                levels.snapshot(snapshot);
                self.unsettled = true;
            }
            (Coverage::Book(_), EventKind::BookDelta(delta)) => {
                if let Some(ts) = event.ts_exchange {
                    track.place_delta(delta, ts, &mut self.withdrawn);
                } else {
                    // A change without a time cannot be cut: the book is kept whole, its windows are not covered.
                    track.untimed(delta);
                    self.unsettled = true;
                }
            }
            _ => {}
        }
        if let Some(index) = late {
            track.withdraw(index..index.next(), Reason::Late, &mut self.withdrawn);
        }
        self.due |= clock_ts.is_some();
    }

    fn load(&mut self, symbol: &Symbol, snapshot: &crate::event::BookSnapshot) {
        let track = self.tracks.get_mut(symbol).and_then(|feeds| feeds.get_mut(&Feed::Book));
        if let Some(Track { coverage: Coverage::Book(levels), .. }) = track {
            levels.snapshot(snapshot);
            self.unsettled = true;
        }
    }

    /// The first window of all is that of the first clock event; after a long outage most windows are only counted.
    fn begin(&mut self, index: WindowIndex) {
        let Some(emit) = self.emit else {
            self.emit = Some(index);
            for track in self.tracks.values_mut().flat_map(BTreeMap::values_mut) {
                track.outcomes.begin(index);
            }
            return;
        };
        let front = self.clock.high().map_or(index, |high| WindowIndex::of(high, self.rules.length));
        let to = front.minus(CATCH_UP_WINDOWS_MAX);
        if to > emit {
            self.skipped = self.skipped.saturating_add(to.0.abs_diff(emit.0));
            self.emit = Some(to);
            for track in self.tracks.values_mut().flat_map(BTreeMap::values_mut) {
                track.skip_to(to);
            }
        }
    }

    /// A clock event after a break or a snapshot bounds its time, whichever connection it came over.
    fn settle_breaks(&mut self) {
        let Some(high) = self.clock.high().filter(|_| std::mem::take(&mut self.unsettled)) else { return };
        let certain = after(high, self.rules.lateness.times(2));
        for track in self.tracks.values_mut().flat_map(BTreeMap::values_mut) {
            track.settle(certain);
        }
    }

    /// Takes an incident of a session in.
    fn incident(&mut self, connection: Option<ConnectionId>, symbol: Option<&Symbol>, incident: &Incident) {
        let reason = match incident.kind {
            IncidentKind::Gap | IncidentKind::Checksum => Reason::Gap,
            IncidentKind::Garbage => Reason::Garbage,
            IncidentKind::Refused => Reason::Refused,
            IncidentKind::Disconnected | IncidentKind::Silence => {
                if let Some(connection) = connection {
                    self.connection_lost(connection);
                }
                return;
            }
            // Nothing is missing: what the venue says is what it says.
            IncidentKind::Crossed => return,
        };
        self.unsettled = true;
        let exact = symbol.is_some() && incident.feed.is_some();
        let concerned = self
            .tracks
            .iter_mut()
            .filter(|(own, _)| symbol.is_none_or(|symbol| symbol == *own))
            .flat_map(|(_, feeds)| feeds.iter_mut())
            .filter(|(feed, _)| incident.feed.is_none_or(|wanted| wanted == **feed))
            .map(|(_, track)| track);
        for track in concerned {
            let elsewhere = connection.is_some() && track.connection.is_some() && track.connection != connection;
            if elsewhere && !exact {
                continue;
            }
            match reason {
                // A refused request over HTTP says nothing about what the connections carry.
                Reason::Refused => {
                    track.refuse(exact, connection.is_some());
                }
                Reason::Gap => {
                    if exact {
                        track.withdraw_since_last(&mut self.withdrawn);
                    }
                    track.gap(&self.clock);
                }
                _ => track.doubt(&self.clock, reason),
            }
        }
    }

    /// A pass over all streams costs more than placing an event: one for each tenth of the lateness is enough.
    fn pass_if_due(&mut self) {
        if !std::mem::take(&mut self.due) {
            return;
        }
        let quantum = (self.rules.lateness.nanos() / 10).max(1);
        let due = match (self.passed, self.clock.high()) {
            (Some(passed), Some(high)) => high >= after(passed, quantum),
            _ => true,
        };
        if due {
            self.pass();
        }
    }

    /// Closes what is over, emits what is complete.
    fn pass(&mut self) {
        self.passed = self.clock.high();
        // Whatever moved the front, the loop below is bounded.
        if let (Some(_), Some(high)) = (self.emit, self.passed) {
            self.begin(WindowIndex::of(high, self.rules.length));
        }
        for track in self.tracks.values_mut().flat_map(BTreeMap::values_mut) {
            while let Some(next) = track.outcomes.next() {
                // A stream whose venue names a time far ahead waits for the others, instead of closing every window up to it.
                if self.emit.is_some_and(|emit| next.minus(CATCH_UP_WINDOWS_MAX) > emit) {
                    break;
                }
                if !track.is_over(next, &self.clock) {
                    break;
                }
                self.unsettled |= track.close(next, &self.clock, &mut self.withdrawn);
            }
        }
        while let Some(window) = self.complete() {
            self.windows.push_back(window);
        }
        while self.windows.len() > WAITING_MAX {
            self.windows.pop_front();
        }
        while self.withdrawn.len() > WAITING_MAX {
            self.withdrawn.pop_front();
        }
    }

    /// The next window, if every stream is done with it.
    fn complete(&mut self) -> Option<ClosedWindow> {
        let index = self.emit?;
        let agreed = || self.tracks.values().flat_map(BTreeMap::values).filter(|track| track.is_agreed());
        if agreed().next().is_none() || !agreed().all(|track| track.outcomes.has(index)) {
            return None;
        }
        let mut closed = ClosedWindow {
            exchange: self.config.exchange,
            index,
            start: index.start(self.rules.length),
            length: self.rules.length,
            chunks: Vec::new(),
            not_covered: Vec::new(),
            skipped_before: std::mem::take(&mut self.skipped),
        };
        for track in self.tracks.values_mut().flat_map(BTreeMap::values_mut) {
            match track.outcomes.take(index) {
                Some(Ok(chunk)) => closed.chunks.push(chunk),
                Some(Err(reason)) => closed.not_covered.push((track.stream.clone(), reason)),
                None => {}
            }
        }
        self.emit = Some(index.next());
        Some(closed)
    }
}

/// Returns true where an event of this kind tells the venue's present time.
const fn is_clock(kind: &EventKind) -> bool {
    matches!(kind, EventKind::Trade(_) | EventKind::BookDelta(_) | EventKind::Ticker(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Exchange, Side, Trade};
    use openmesh_primitives::Decimal;

    /// Found by reading for the fuzzer: two times that lie further apart than 64 bits of nanoseconds hold stopped the
    /// cutter.
    #[test]
    fn times_at_both_ends_of_the_range() {
        let symbol: Symbol = "BTC.USD".parse().unwrap();
        let mut cutter =
            WindowCutter::new(WindowConfig::new(Exchange::Kraken, vec![symbol.clone()], vec![Feed::Trades]));
        let connection = ConnectionId(0);
        cutter.opened(connection);
        let times = [1i64 << 60, 1 << 60, 1 << 59, i64::MIN, i64::MAX, i64::MIN, 1 << 60, i64::MAX, i64::MAX];
        for (number, ts) in times.into_iter().enumerate() {
            cutter.alive(connection);
            let (price, size) = (Decimal::from(1), Decimal::from(1));
            let trade = Trade { side: Side::Buy, price, size, id: None, snapshot: false };
            cutter.observe(
                Some(connection),
                &Event {
                    exchange: Exchange::Kraken,
                    symbol: Some(symbol.clone()),
                    ts_exchange: Some(Timestamp(ts)),
                    ts_capture: Timestamp(number as i64),
                    kind: EventKind::Trade(trade),
                },
            );
        }
        assert_eq!(cutter.watermark(), Some(Timestamp(i64::MAX)));
    }
}
