//! Events of this site's collector as it sees them now: rates and silence by venue, recent trades, incidents.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use openmesh_market::event::{Incident, IncidentKind, Trade};
use openmesh_market::{Event, EventKind, Exchange, Feed};
use openmesh_primitives::Timestamp;
use tokio::sync::watch;

use super::ring::push;
use crate::clock::since_ms;

/// Trades remembered of each instrument: hours of a quiet one, minutes of a busy one.
const TRADES_MAX: usize = 5_000;
/// Incidents of this site's collector that are remembered: one a minute for a day and more.
const INCIDENTS_MAX: usize = 2_000;
/// Seconds over which events are averaged.
const RATE_SECONDS: usize = 10;
/// A source that is silent for longer is stale: all venues collected here send several events a second.
const STALE_MS: u64 = 15_000;
/// A chain of which no block was agreed on for longer is stale: ten of Ethereum's slots of 12 s. One that is replayed and
/// has come to its end is honestly that.
const CHAIN_STALE_MS: u64 = 120_000;

/// A trade with the venue's time.
pub type TimedTrade = (Timestamp, Trade);

/// The newest trades of an instrument.
#[derive(Debug, Default)]
struct Trades {
    items: VecDeque<TimedTrade>,
    /// Number of the newest that came one after the other: before them something may be missing.
    unbroken: usize,
}

impl Trades {
    fn push(&mut self, trade: TimedTrade) {
        push(&mut self.items, trade, TRADES_MAX);
        self.unbroken = (self.unbroken + 1).min(self.items.len());
    }
}

#[derive(Debug, Default)]
struct Venue {
    last_event: Option<Timestamp>,
    heard: Option<Instant>,
    /// Events in each of the last seconds; the first is the current one.
    seconds: VecDeque<u64>,
    incidents: u64,
}

impl Venue {
    fn hear(&mut self, event: &Event) {
        self.heard = Some(Instant::now());
        self.last_event = self.last_event.max(event.ts_exchange);
        if self.seconds.is_empty() {
            self.seconds.push_front(0);
        }
        self.seconds[0] += 1;
    }

    fn silent_ms(&self) -> Option<u64> {
        self.heard.map(|at| u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}

fn stale(silent_ms: Option<u64>) -> bool {
    silent_ms.is_none_or(|ms| ms > STALE_MS)
}

#[derive(Debug, Default)]
struct State {
    venues: BTreeMap<&'static str, Venue>,
    trades: BTreeMap<(&'static str, String), Trades>,
    incidents: VecDeque<SiteIncident>,
    incident_number: u64,
}

impl State {
    fn incident(&mut self, event: &Event, incident: &Incident) {
        let exchange = event.exchange.name();
        self.venues.entry(exchange).or_default().incidents += 1;
        self.incident_number += 1;
        let symbol = event.symbol.as_ref().map(ToString::to_string);
        if concerns_trades(incident) {
            self.break_trades(exchange, symbol.as_deref());
        }
        let seen = SiteIncident {
            number: self.incident_number,
            time: event.ts_capture,
            exchange: event.exchange,
            symbol,
            incident: incident.clone(),
        };
        push(&mut self.incidents, seen, INCIDENTS_MAX);
    }

    /// From here on trades of a venue, or of one instrument of it, may be missing.
    fn break_trades(&mut self, exchange: &'static str, symbol: Option<&str>) {
        let broken = self
            .trades
            .iter_mut()
            .filter(|((venue, name), _)| *venue == exchange && symbol.is_none_or(|symbol| symbol == name.as_str()));
        broken.for_each(|(_, trades)| trades.unbroken = 0);
    }
}

/// True where trades may be missing after it. A wrong checksum and a crossed book say something of the book alone.
fn concerns_trades(incident: &Incident) -> bool {
    let of_book = matches!(incident.kind, IncidentKind::Checksum | IncidentKind::Crossed);
    !of_book && incident.feed.is_none_or(|feed| feed == Feed::Trades)
}

/// An incident that this site's collector saw.
#[derive(Debug, Clone, PartialEq)]
pub struct SiteIncident {
    /// Running number since the start.
    pub number: u64,
    /// Time at which it was captured.
    pub time: Timestamp,
    /// Venue.
    pub exchange: Exchange,
    /// Instrument, where it is of one.
    pub symbol: Option<String>,
    /// The incident.
    pub incident: Incident,
}

/// Liveness of a source as seen by this site.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Liveness {
    /// The venue's time of the newest event; of a chain, the time at which its newest block was agreed on.
    pub last_event: Option<Timestamp>,
    /// Milliseconds since anything was heard.
    pub silent_ms: Option<u64>,
    /// Silent for longer than the watchdog allows, or not collected here.
    pub stale: bool,
    /// Events a second over the last ten seconds.
    pub events_per_second: f64,
    /// Incidents since the start.
    pub incidents: u64,
}

impl Liveness {
    /// Liveness of a source that was never heard here.
    pub fn unheard() -> Liveness {
        Liveness { stale: true, ..Liveness::default() }
    }

    /// Liveness of a chain, which is no venue of the collector: it is heard when a block of it is agreed on.
    pub fn of_chain(agreed: Option<Timestamp>, now: Timestamp) -> Liveness {
        let silent_ms = agreed.map(|at| since_ms(at, now));
        let stale = silent_ms.is_none_or(|ms| ms > CHAIN_STALE_MS);
        Liveness { last_event: agreed, silent_ms, stale, ..Liveness::default() }
    }
}

/// Events of this site's collector.
#[derive(Debug, Default)]
pub struct Live {
    state: Mutex<State>,
    heard: watch::Sender<BTreeSet<&'static str>>,
}

impl Live {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The exchanges that are not stale, and each change of that set.
    pub fn heard(&self) -> watch::Receiver<BTreeSet<&'static str>> {
        self.heard.subscribe()
    }

    /// Recent trades of an instrument, oldest first.
    pub fn trades(&self, exchange: &'static str, symbol: &str) -> Vec<TimedTrade> {
        let state = self.state();
        let trades = state.trades.get(&(exchange, symbol.to_string()));
        trades.map(|t| t.items.iter().cloned().collect()).unwrap_or_default()
    }

    /// The newest trades of an instrument between which nothing is missing, in order of arrival.
    pub fn unbroken_trades(&self, exchange: &'static str, symbol: &str) -> Vec<TimedTrade> {
        let state = self.state();
        let Some(trades) = state.trades.get(&(exchange, symbol.to_string())) else { return Vec::new() };
        trades.items.iter().skip(trades.items.len() - trades.unbroken).cloned().collect()
    }

    /// Incidents of this site's collector, oldest first.
    pub fn incidents(&self) -> Vec<SiteIncident> {
        self.state().incidents.iter().cloned().collect()
    }

    /// Market events a second over all venues.
    pub fn events_per_second(&self) -> f64 {
        self.state().venues.values().map(rate).sum()
    }

    /// Liveness of a venue.
    pub fn liveness(&self, exchange: &str) -> Liveness {
        let state = self.state();
        let Some(venue) = state.venues.get(exchange) else { return Liveness::unheard() };
        let silent_ms = venue.silent_ms();
        Liveness {
            last_event: venue.last_event,
            silent_ms,
            stale: stale(silent_ms),
            events_per_second: rate(venue),
            incidents: venue.incidents,
        }
    }

    /// Notes that events of a venue were lost between it and this memory.
    pub fn missed(&self, exchange: Exchange) {
        self.state().break_trades(exchange.name(), None);
    }

    /// Notes that events of all venues were lost.
    pub fn interrupted(&self) {
        self.state().trades.values_mut().for_each(|trades| trades.unbroken = 0);
    }

    /// Takes an event in.
    pub fn event(&self, event: &Event) {
        let mut state = self.state();
        match &event.kind {
            EventKind::Incident(incident) => state.incident(event, incident),
            kind => {
                let venue = state.venues.entry(event.exchange.name()).or_default();
                if stale(venue.silent_ms()) {
                    self.heard.send_if_modified(|heard| heard.insert(event.exchange.name()));
                }
                venue.hear(event);
                if let (EventKind::Trade(trade), Some(symbol), Some(time)) = (kind, &event.symbol, event.ts_exchange)
                    && !trade.snapshot
                {
                    let trades = state.trades.entry((event.exchange.name(), symbol.to_string())).or_default();
                    trades.push((time, trade.clone()));
                }
            }
        }
    }

    /// Moves the averages on by a second, and finds out who has gone silent.
    pub fn second(&self) {
        let mut heard = BTreeSet::new();
        for (exchange, venue) in &mut self.state().venues {
            venue.seconds.push_front(0);
            venue.seconds.truncate(RATE_SECONDS + 1);
            if !stale(venue.silent_ms()) {
                heard.insert(*exchange);
            }
        }
        self.heard.send_if_modified(|before| {
            let changed = *before != heard;
            *before = heard;
            changed
        });
    }
}

/// The whole seconds behind the current one.
fn rate(venue: &Venue) -> f64 {
    let whole = venue.seconds.iter().skip(1);
    let seconds = whole.len().max(1);
    whole.sum::<u64>() as f64 / seconds as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use openmesh_market::Side;
    use openmesh_primitives::Decimal;

    const VENUE: &str = Exchange::Kraken.name();

    fn event(symbol: Option<&str>, millis: i64, kind: EventKind) -> Event {
        Event {
            exchange: Exchange::Kraken,
            symbol: symbol.map(|s| s.parse().unwrap()),
            ts_exchange: Some(Timestamp::from_millis(millis)),
            ts_capture: Timestamp::from_millis(millis),
            kind,
        }
    }

    fn trade(symbol: &str, millis: i64) -> Event {
        let one = Decimal::from(1);
        let trade = Trade { side: Side::Buy, price: one, size: one, id: None, snapshot: false };
        event(Some(symbol), millis, EventKind::Trade(trade))
    }

    fn incident(symbol: Option<&str>, kind: IncidentKind, feed: Option<Feed>) -> Event {
        event(symbol, 0, EventKind::Incident(Incident { kind, feed, detail: "d".into() }))
    }

    fn unbroken(live: &Live, symbol: &str) -> usize {
        live.unbroken_trades(VENUE, symbol).len()
    }

    #[test]
    fn trades_before_a_hole_are_shown_and_not_counted_on() {
        let live = Live::default();
        for (symbol, millis) in [("BTC.USD", 1), ("ETH.USD", 2), ("BTC.USD", 3)] {
            live.event(&trade(symbol, millis));
        }
        assert_eq!((unbroken(&live, "BTC.USD"), unbroken(&live, "ETH.USD")), (2, 1));
        live.event(&incident(Some("BTC.USD"), IncidentKind::Gap, Some(Feed::Trades)));
        assert_eq!((unbroken(&live, "BTC.USD"), unbroken(&live, "ETH.USD")), (0, 1), "of one instrument");
        live.event(&trade("BTC.USD", 4));
        assert_eq!(unbroken(&live, "BTC.USD"), 1);
        live.event(&incident(None, IncidentKind::Disconnected, None));
        assert_eq!((unbroken(&live, "BTC.USD"), unbroken(&live, "ETH.USD")), (0, 0), "of the whole venue");
        live.event(&trade("BTC.USD", 5));
        live.missed(Exchange::Kraken);
        assert_eq!(unbroken(&live, "BTC.USD"), 0, "what this memory was too slow for");
        assert_eq!(live.trades(VENUE, "BTC.USD").len(), 4, "the list shows them all");
    }

    #[test]
    fn a_chain_is_heard_when_its_blocks_are_agreed_on() {
        let at = |agreed_ms: i64| {
            Liveness::of_chain(Some(Timestamp::from_millis(agreed_ms)), Timestamp::from_millis(200_000))
        };
        let heard = at(188_000);
        assert_eq!((heard.silent_ms, heard.stale), (Some(12_000), false));
        assert_eq!(heard.last_event, Some(Timestamp::from_millis(188_000)));
        let ended = at(79_999);
        assert_eq!((ended.silent_ms, ended.stale), (Some(120_001), true));
        assert!(Liveness::of_chain(None, Timestamp(0)).stale, "nothing was agreed on yet");
    }

    #[test]
    fn what_goes_wrong_in_a_book_breaks_no_trades() {
        let live = Live::default();
        live.event(&trade("BTC.USD", 1));
        live.event(&incident(Some("BTC.USD"), IncidentKind::Checksum, None));
        live.event(&incident(Some("BTC.USD"), IncidentKind::Gap, Some(Feed::Book)));
        assert_eq!(unbroken(&live, "BTC.USD"), 1);
    }
}
