//! What this site sees now: events by venue, recent trades, incidents of the collector, and news for listeners.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use openmesh_api as api;
use openmesh_collector::{Filter, Subscription, Update};
use openmesh_engine::CommittedBlock;
use openmesh_ledger::{Block, Certificate, LedgerEvent, Receipt};
use openmesh_market::event::{Incident, IncidentKind, Trade};
use openmesh_market::{Event, EventKind, Exchange, Feed};
use openmesh_primitives::Timestamp;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{self, Receiver};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::ledger;
use crate::node::{Node, Site, each_block, now};

/// Trades remembered of each instrument: hours of a quiet one, minutes of a busy one.
const TRADES_MAX: usize = 5_000;
/// Incidents of this site's collector that are remembered.
const INCIDENTS_MAX: usize = 2_000;
/// Seconds over which events are averaged.
const RATE_SECONDS: usize = 10;
/// A source that is silent for longer is stale: all venues collected here send several events a second.
const STALE_MS: u64 = 15_000;
/// A chain of which no block was agreed on for longer is stale: ten of Ethereum's slots of 12 s. One that is replayed and
/// has come to its end is honestly that.
const CHAIN_STALE_MS: u64 = 120_000;
/// News that wait for a slow listener before it is told that it missed some.
const NEWS_MAX: usize = 1_024;

/// A trade with the venue's time.
pub type TimedTrade = (Timestamp, Trade);

/// The newest trades of an instrument.
#[derive(Default)]
struct Trades {
    items: VecDeque<TimedTrade>,
    /// How many of the newest came one after the other: before them something may be missing.
    unbroken: usize,
}

impl Trades {
    fn push(&mut self, trade: TimedTrade) {
        push(&mut self.items, trade, TRADES_MAX);
        self.unbroken = (self.unbroken + 1).min(self.items.len());
    }
}

#[derive(Default)]
struct Venue {
    last_event: Option<Timestamp>,
    heard: Option<Instant>,
    /// Events in each of the last seconds; the first is the current one.
    seconds: VecDeque<u64>,
    incidents: u64,
}

impl Venue {
    fn silent_ms(&self) -> Option<u64> {
        self.heard.map(|at| u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}

fn stale(silent_ms: Option<u64>) -> bool {
    silent_ms.is_none_or(|ms| ms > STALE_MS)
}

#[derive(Default)]
struct State {
    venues: BTreeMap<&'static str, Venue>,
    trades: BTreeMap<(&'static str, String), Trades>,
    incidents: VecDeque<(i64, api::IncidentInfo)>,
    incident_number: u64,
}

impl State {
    /// From here on trades of a venue, or of one instrument of it, may be missing.
    fn break_trades(&mut self, exchange: &'static str, symbol: Option<&str>) {
        let broken = self
            .trades
            .iter_mut()
            .filter(|((venue, name), _)| *venue == exchange && symbol.is_none_or(|symbol| symbol == name.as_str()));
        broken.for_each(|(_, trades)| trades.unbroken = 0);
    }
}

/// Whether trades may be missing after it. A wrong checksum and a crossed book say something of the book alone.
fn concerns_trades(incident: &Incident) -> bool {
    let of_book = matches!(incident.kind, IncidentKind::Checksum | IncidentKind::Crossed);
    !of_book && incident.feed.is_none_or(|feed| feed == Feed::Trades)
}

/// What this site sees now.
pub struct Live {
    state: Mutex<State>,
    news: broadcast::Sender<Arc<News>>,
    heard: watch::Sender<BTreeSet<&'static str>>,
}

/// Something new about the ledger, serialised once for all listeners.
#[derive(Debug)]
pub struct News {
    /// `blocks`, `chunks`, `incidents` or `status`.
    pub feed: &'static str,
    /// Of what source, where it is of one.
    pub source: Option<String>,
    /// The message.
    pub json: String,
}

impl Default for Live {
    fn default() -> Live {
        Live { state: Mutex::default(), news: broadcast::Sender::new(NEWS_MAX), heard: watch::Sender::default() }
    }
}

impl Live {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// News from now on.
    pub fn news(&self) -> Receiver<Arc<News>> {
        self.news.subscribe()
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

    /// Of those the newest between which nothing is missing, in order of arrival.
    pub fn unbroken_trades(&self, exchange: &'static str, symbol: &str) -> Vec<TimedTrade> {
        let state = self.state();
        let Some(trades) = state.trades.get(&(exchange, symbol.to_string())) else { return Vec::new() };
        trades.items.iter().skip(trades.items.len() - trades.unbroken).cloned().collect()
    }

    /// Events of a venue were lost between it and this memory.
    fn missed(&self, exchange: Exchange) {
        self.state().break_trades(exchange.name(), None);
    }

    fn event(&self, event: &Event) {
        let mut state = self.state();
        let exchange = event.exchange.name();
        let venue = state.venues.entry(exchange).or_default();
        match &event.kind {
            EventKind::Incident(incident) => {
                venue.incidents += 1;
                state.incident_number += 1;
                let symbol = event.symbol.as_ref().map(ToString::to_string);
                if concerns_trades(incident) {
                    state.break_trades(exchange, symbol.as_deref());
                }
                let info = api::IncidentInfo {
                    id: format!("site-{}", state.incident_number),
                    time: event.ts_capture.to_rfc3339(),
                    kind: word(&incident.kind),
                    source: Some(exchange.into()),
                    window: None,
                    stream: match (symbol, incident.feed) {
                        (Some(symbol), Some(feed)) => Some(format!("{symbol}/{feed}")),
                        (symbol, _) => symbol,
                    },
                    validator: None,
                    detail: incident.detail.clone(),
                    height: None,
                    site: "collector".into(),
                };
                push(&mut state.incidents, (event.ts_capture.nanos(), info), INCIDENTS_MAX);
            }
            kind => {
                if stale(venue.silent_ms()) {
                    self.heard.send_if_modified(|heard| heard.insert(exchange));
                }
                venue.heard = Some(Instant::now());
                venue.last_event = venue.last_event.max(event.ts_exchange);
                if venue.seconds.is_empty() {
                    venue.seconds.push_front(0);
                }
                venue.seconds[0] += 1;
                if let (EventKind::Trade(trade), Some(symbol), Some(time)) = (kind, &event.symbol, event.ts_exchange)
                    && !trade.snapshot
                {
                    let trades = state.trades.entry((exchange, symbol.to_string())).or_default();
                    trades.push((time, trade.clone()));
                }
            }
        }
    }

    fn second(&self) {
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

    fn say(&self, feed: &'static str, source: Option<&str>, message: &api::StreamMessage) {
        // Nobody listening is no fault.
        if let Ok(json) = serde_json::to_string(message) {
            let _ = self.news.send(Arc::new(News { feed, source: source.map(String::from), json }));
        }
    }
}

fn push<T>(queue: &mut VecDeque<T>, item: T, max: usize) {
    queue.push_back(item);
    if queue.len() > max {
        queue.pop_front();
    }
}

/// The word that an enum of the schema serialises to.
fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => text,
        _ => "unknown".into(),
    }
}

/// The whole seconds behind the current one.
fn rate(venue: &Venue) -> f64 {
    let whole = venue.seconds.iter().skip(1);
    let seconds = whole.len().max(1);
    whole.sum::<u64>() as f64 / seconds as f64
}

/// How a source is doing at this site.
pub fn site(node: &Node, source: &str) -> Site {
    if node.is_chain(source) {
        return chain_site(node.index().agreed_at(source), now());
    }
    let Some(exchange) = node.exchange_of(source) else { return Site { stale: true, ..Site::default() } };
    let state = node.live().state();
    let Some(venue) = state.venues.get(exchange) else { return Site { stale: true, ..Site::default() } };
    let silent_ms = venue.silent_ms();
    Site {
        last_event: venue.last_event,
        silent_ms,
        stale: stale(silent_ms),
        events_per_second: rate(venue),
        incidents: venue.incidents,
    }
}

/// A chain is no venue of the collector: it is heard when a block of it is agreed on.
fn chain_site(agreed: Option<Timestamp>, now: Timestamp) -> Site {
    let silent_ms = agreed.map(|at| since_ms(at, now));
    let stale = silent_ms.is_none_or(|ms| ms > CHAIN_STALE_MS);
    Site { last_event: agreed, silent_ms, stale, ..Site::default() }
}

/// Incidents of this site's collector, with their time in nanoseconds.
pub fn incidents(node: &Node) -> Vec<(i64, api::IncidentInfo)> {
    node.live().state().incidents.iter().cloned().collect()
}

/// Market events a second over all venues.
pub fn events_per_second(node: &Node) -> f64 {
    node.live().state().venues.values().map(rate).sum()
}

/// Follows blocks and events until the node stops.
pub async fn follow(node: Node, mut committed: Receiver<Arc<CommittedBlock>>, cancel: CancellationToken) {
    let mut events = node.collector().subscribe(Filter::default());
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut collecting = true;
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            block = committed.recv() => match block {
                Ok(block) => {
                    let taking = node.clone();
                    // A panic is told by the runtime; the next block finds the gap that it leaves.
                    let _ = tokio::task::spawn_blocking(move || take(&taking, &block)).await;
                }
                // The next block finds the gap and reads it from the store.
                Err(RecvError::Lagged(blocks)) => tracing::warn!(blocks, "the API fell behind the blocks"),
                Err(RecvError::Closed) => return,
            },
            update = next(&mut events), if collecting => match update {
                Some(Update::Event(event)) => node.live().event(&event),
                Some(Update::Missed { exchange, .. }) => node.live().missed(exchange),
                None => collecting = false,
            },
            _ = second.tick() => {
                node.live().second();
                let asked = node.clone();
                if let Ok(Ok(status)) = tokio::task::spawn_blocking(move || asked.status()).await {
                    node.live().say("status", None, &api::StreamMessage::Status { status });
                }
            }
        }
    }
}

async fn next(events: &mut Subscription) -> Option<Update> {
    events.next().await
}

/// Takes a block in, after those before it that did not come.
fn take(node: &Node, block: &CommittedBlock) {
    let (from, height) = (node.index().height() + 1, block.block.header.height);
    if from < height {
        let read = each_block(node.store(), from, height - 1, |stored| {
            take_block(node, &stored.block, &stored.certificate, &stored.receipts, &stored.events);
        });
        if let Err(error) = read {
            tracing::error!(%error, from, "blocks that did not come cannot be read: the API's lists lack them");
        }
    }
    take_block(node, &block.block, &block.certificate, &block.receipts, &block.events);
}

fn take_block(node: &Node, block: &Block, certificate: &Certificate, receipts: &[Receipt], events: &[LedgerEvent]) {
    if !node.committed(block, receipts, events) {
        return;
    }
    let transactions = block.transactions.iter().map(Vec::len);
    let summary = ledger::summary(&block.header, transactions, certificate);
    node.live().say("blocks", None, &api::StreamMessage::Block { block: summary });
    let height = block.header.height;
    let (chunks, incidents) = {
        let index = node.index();
        let chunks: Vec<_> = index.chunks(None).take_while(|c| c.height >= height).cloned().collect();
        let incidents = events.iter().filter(|e| matches!(e, LedgerEvent::Incident(_))).count();
        (chunks, incidents)
    };
    for chunk in chunks.iter().rev() {
        node.live().say("chunks", Some(&chunk.source), &api::StreamMessage::Chunk { chunk: node.chunk_info(chunk) });
    }
    let newest: Vec<api::IncidentInfo> = node.ledger_incidents(incidents);
    for incident in newest.into_iter().rev() {
        let source = incident.source.clone();
        node.live().say("incidents", source.as_deref(), &api::StreamMessage::Incident { incident });
    }
}

/// Milliseconds since a capture.
pub fn age_ms(captured: Timestamp) -> u64 {
    since_ms(captured, now())
}

fn since_ms(at: Timestamp, now: Timestamp) -> u64 {
    u64::try_from(now.nanos().saturating_sub(at.nanos()).max(0) / 1_000_000).unwrap_or(0)
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
        let at = |agreed_ms: i64| chain_site(Some(Timestamp::from_millis(agreed_ms)), Timestamp::from_millis(200_000));
        let heard = at(188_000);
        assert_eq!((heard.silent_ms, heard.stale), (Some(12_000), false));
        assert_eq!(heard.last_event, Some(Timestamp::from_millis(188_000)));
        let ended = at(79_999);
        assert_eq!((ended.silent_ms, ended.stale), (Some(120_001), true));
        assert!(chain_site(None, Timestamp(0)).stale, "nothing was agreed on yet");
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
