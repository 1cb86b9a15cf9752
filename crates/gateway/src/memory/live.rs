//! Events of this site's collector as it sees them now: rates and silence by source, recent trades, incidents.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use openmesh_duties::NodeIncident;
use openmesh_market::event::{Incident, IncidentKind, Trade};
use openmesh_market::{Event, EventKind, Feed};
use openmesh_primitives::Timestamp;
use tokio::sync::watch;

use super::ring::push;
use crate::clock::since_ms;

/// Trades remembered of each instrument whatever their age: as many as one answer lists.
const TRADES_KEPT: usize = 1_000;
/// Trades remembered of a busy instrument, which are younger than [`TRADES_AGE_MAX`]: what the tables do not have yet is among them.
const TRADES_MAX: usize = 5_000;
/// Age of trades beyond [`TRADES_KEPT`]: the tables have them by then.
const TRADES_AGE_MAX: Duration = Duration::from_secs(600);
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
        let old = trade.0.nanos().saturating_sub(i64::try_from(TRADES_AGE_MAX.as_nanos()).unwrap_or(i64::MAX));
        push(&mut self.items, trade, TRADES_MAX);
        while self.items.len() > TRADES_KEPT && self.items.front().is_some_and(|(at, _)| at.nanos() < old) {
            self.items.pop_front();
        }
        self.unbroken = (self.unbroken + 1).min(self.items.len());
    }
}

#[derive(Debug, Default)]
struct Source {
    last_event: Option<Timestamp>,
    heard: Option<Instant>,
    /// Events in each of the last seconds; the first is the current one.
    seconds: VecDeque<u64>,
    incidents: u64,
}

impl Source {
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
    sources: BTreeMap<Arc<str>, Source>,
    trades: BTreeMap<(Arc<str>, String), Trades>,
    incidents: VecDeque<SiteIncident>,
    duty_incidents: VecDeque<(u64, Arc<NodeIncident>)>,
    incident_number: u64,
}

impl State {
    fn incident(&mut self, source: &Arc<str>, event: &Event, incident: &Incident) -> SiteIncident {
        self.sources.entry(Arc::clone(source)).or_default().incidents += 1;
        self.incident_number += 1;
        let symbol = event.symbol.as_ref().map(ToString::to_string);
        if concerns_trades(incident) {
            self.break_trades(source, symbol.as_deref());
        }
        let seen = SiteIncident {
            number: self.incident_number,
            time: event.ts_capture,
            source: source.to_string(),
            symbol,
            incident: incident.clone(),
        };
        push(&mut self.incidents, seen.clone(), INCIDENTS_MAX);
        seen
    }

    /// From here on trades of a source, or of one instrument of it, may be missing.
    fn break_trades(&mut self, source: &str, symbol: Option<&str>) {
        let broken = self
            .trades
            .iter_mut()
            .filter(|((of, name), _)| **of == *source && symbol.is_none_or(|symbol| symbol == name.as_str()));
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
    /// Source id.
    pub source: String,
    /// Instrument, where it is of one.
    pub symbol: Option<String>,
    /// The incident.
    pub incident: Incident,
}

/// Activity of a source as seen by this site: what of it was heard, and when.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Activity {
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

impl Activity {
    /// Activity of a source that was never heard here.
    pub fn unheard() -> Activity {
        Activity { stale: true, ..Activity::default() }
    }

    /// Activity of a chain, which is no venue of the collector: it is heard when a block of it is agreed on.
    pub fn of_chain(agreed: Option<Timestamp>, now: Timestamp) -> Activity {
        let silent_ms = agreed.map(|at| since_ms(at, now));
        let stale = silent_ms.is_none_or(|ms| ms > CHAIN_STALE_MS);
        Activity { last_event: agreed, silent_ms, stale, ..Activity::default() }
    }
}

/// Events of this site's collector.
#[derive(Debug, Default)]
pub struct Live {
    state: Mutex<State>,
    heard: watch::Sender<BTreeSet<Arc<str>>>,
}

impl Live {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sources that are not stale, and each change of that set.
    pub fn heard(&self) -> watch::Receiver<BTreeSet<Arc<str>>> {
        self.heard.subscribe()
    }

    /// Recent trades of an instrument, oldest first.
    pub fn trades(&self, source: &str, symbol: &str) -> Vec<TimedTrade> {
        let state = self.state();
        let trades = state.trades.get(&(Arc::from(source), symbol.to_string()));
        trades.map(|t| t.items.iter().cloned().collect()).unwrap_or_default()
    }

    /// The newest trades of an instrument between which nothing is missing, in order of arrival.
    pub fn unbroken_trades(&self, source: &str, symbol: &str) -> Vec<TimedTrade> {
        let state = self.state();
        let Some(trades) = state.trades.get(&(Arc::from(source), symbol.to_string())) else { return Vec::new() };
        trades.items.iter().skip(trades.items.len() - trades.unbroken).cloned().collect()
    }

    /// Incidents of this site's collector, oldest first.
    pub fn incidents(&self) -> Vec<SiteIncident> {
        self.state().incidents.iter().cloned().collect()
    }

    /// Market events a second over all sources.
    pub fn events_per_second(&self) -> f64 {
        self.state().sources.values().map(rate).sum()
    }

    /// Activity of a source.
    pub fn activity(&self, source: &str) -> Activity {
        let state = self.state();
        let Some(heard) = state.sources.get(source) else { return Activity::unheard() };
        let silent_ms = heard.silent_ms();
        Activity {
            last_event: heard.last_event,
            silent_ms,
            stale: stale(silent_ms),
            events_per_second: rate(heard),
            incidents: heard.incidents,
        }
    }

    /// Notes that events of a source were lost between it and this memory.
    pub fn missed(&self, source: &str) {
        self.state().break_trades(source, None);
    }

    /// Notes that events of all sources were lost.
    pub fn interrupted(&self) {
        self.state().trades.values_mut().for_each(|trades| trades.unbroken = 0);
    }

    /// Incidents of this site's duties with their numbers, oldest first.
    pub fn duty_incidents(&self) -> Vec<(u64, Arc<NodeIncident>)> {
        self.state().duty_incidents.iter().cloned().collect()
    }

    /// Number of incidents of this site since the start.
    pub fn incidents_total(&self) -> u64 {
        self.state().incident_number
    }

    /// Takes an incident of this site's duties in; returns its number.
    pub fn duty_incident(&self, incident: Arc<NodeIncident>) -> u64 {
        let mut state = self.state();
        state.incident_number += 1;
        let number = state.incident_number;
        push(&mut state.duty_incidents, (number, incident), INCIDENTS_MAX);
        number
    }

    /// Takes an event of a source in; returns the incident, where it is one.
    pub fn event(&self, source: &Arc<str>, event: &Event) -> Option<SiteIncident> {
        let mut state = self.state();
        match &event.kind {
            EventKind::Incident(incident) => Some(state.incident(source, event, incident)),
            kind => {
                let heard = state.sources.entry(Arc::clone(source)).or_default();
                if stale(heard.silent_ms()) {
                    self.heard.send_if_modified(|all| all.insert(Arc::clone(source)));
                }
                heard.hear(event);
                if let (EventKind::Trade(trade), Some(symbol), Some(time)) = (kind, &event.symbol, event.ts_exchange)
                    && !trade.snapshot
                {
                    let trades = state.trades.entry((Arc::clone(source), symbol.to_string())).or_default();
                    trades.push((time, trade.clone()));
                }
                None
            }
        }
    }

    /// Moves the averages on by a second, and finds out who has gone silent.
    pub fn second(&self) {
        let mut heard = BTreeSet::new();
        for (source, state) in &mut self.state().sources {
            state.seconds.push_front(0);
            state.seconds.truncate(RATE_SECONDS + 1);
            if !stale(state.silent_ms()) {
                heard.insert(Arc::clone(source));
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
fn rate(source: &Source) -> f64 {
    let whole = source.seconds.iter().skip(1);
    let seconds = whole.len().max(1);
    whole.sum::<u64>() as f64 / seconds as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use openmesh_market::{Exchange, Side};
    use openmesh_primitives::Decimal;

    const SOURCE: &str = "kraken-spot";

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

    fn heard(live: &Live, event: &Event) {
        live.event(&SOURCE.into(), event);
    }

    fn unbroken(live: &Live, symbol: &str) -> usize {
        live.unbroken_trades(SOURCE, symbol).len()
    }

    #[test]
    fn quiet_instruments_keep_what_one_answer_lists_and_busy_ones_ten_minutes() {
        let live = Live::default();
        (0..3_000).for_each(|second| heard(&live, &trade("BTC.USD", second * 1_000)));
        assert_eq!((unbroken(&live, "BTC.USD"), live.trades(SOURCE, "BTC.USD").len()), (1_000, 1_000));
        (0..7_000).for_each(|tenth| heard(&live, &trade("ETH.USD", tenth * 100)));
        assert_eq!(unbroken(&live, "ETH.USD"), 5_000, "all of them are younger than ten minutes");
        (0..20_000).for_each(|third| heard(&live, &trade("SOL.USD", third * 300)));
        assert_eq!(unbroken(&live, "SOL.USD"), 2_001, "ten minutes of a trade each 300 ms");
    }

    #[test]
    fn trades_before_a_hole_are_shown_and_not_counted_on() {
        let live = Live::default();
        for (symbol, millis) in [("BTC.USD", 1), ("ETH.USD", 2), ("BTC.USD", 3)] {
            heard(&live, &trade(symbol, millis));
        }
        assert_eq!((unbroken(&live, "BTC.USD"), unbroken(&live, "ETH.USD")), (2, 1));
        heard(&live, &incident(Some("BTC.USD"), IncidentKind::Gap, Some(Feed::Trades)));
        assert_eq!((unbroken(&live, "BTC.USD"), unbroken(&live, "ETH.USD")), (0, 1), "of one instrument");
        heard(&live, &trade("BTC.USD", 4));
        assert_eq!(unbroken(&live, "BTC.USD"), 1);
        heard(&live, &incident(None, IncidentKind::Disconnected, None));
        assert_eq!((unbroken(&live, "BTC.USD"), unbroken(&live, "ETH.USD")), (0, 0), "of the whole venue");
        heard(&live, &trade("BTC.USD", 5));
        live.missed(SOURCE);
        assert_eq!(unbroken(&live, "BTC.USD"), 0, "what this memory was too slow for");
        assert_eq!(live.trades(SOURCE, "BTC.USD").len(), 4, "the list shows them all");
    }

    #[test]
    fn two_sources_of_one_venue_are_two() {
        let live = Live::default();
        live.event(&"a".into(), &trade("BTC.USD", 1));
        live.event(&"b".into(), &trade("BTC.USD", 1));
        assert_eq!((live.trades("a", "BTC.USD").len(), live.trades("b", "BTC.USD").len()), (1, 1));
        live.missed("a");
        assert_eq!((live.unbroken_trades("a", "BTC.USD").len(), live.unbroken_trades("b", "BTC.USD").len()), (0, 1));
        assert!(!live.activity("a").stale && live.activity("c").stale);
    }

    #[test]
    fn a_chain_is_heard_when_its_blocks_are_agreed_on() {
        let at = |agreed_ms: i64| {
            Activity::of_chain(Some(Timestamp::from_millis(agreed_ms)), Timestamp::from_millis(200_000))
        };
        let heard = at(188_000);
        assert_eq!((heard.silent_ms, heard.stale), (Some(12_000), false));
        assert_eq!(heard.last_event, Some(Timestamp::from_millis(188_000)));
        let ended = at(79_999);
        assert_eq!((ended.silent_ms, ended.stale), (Some(120_001), true));
        assert!(Activity::of_chain(None, Timestamp(0)).stale, "nothing was agreed on yet");
    }

    #[test]
    fn what_goes_wrong_in_a_book_breaks_no_trades() {
        let live = Live::default();
        heard(&live, &trade("BTC.USD", 1));
        heard(&live, &incident(Some("BTC.USD"), IncidentKind::Checksum, None));
        heard(&live, &incident(Some("BTC.USD"), IncidentKind::Gap, Some(Feed::Book)));
        assert_eq!(unbroken(&live, "BTC.USD"), 1);
    }
}
