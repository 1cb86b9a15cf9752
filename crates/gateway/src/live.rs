//! What this site sees now: events by venue, recent trades, incidents of the collector, and news for listeners.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use openmesh_api as api;
use openmesh_collector::{Filter, Subscription, Update};
use openmesh_engine::CommittedBlock;
use openmesh_ledger::LedgerEvent;
use openmesh_market::event::Trade;
use openmesh_market::{Event, EventKind};
use openmesh_primitives::Timestamp;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{self, Receiver};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::ledger;
use crate::node::{Node, Site, now};

/// Trades remembered of each instrument: hours of a quiet one, minutes of a busy one.
const TRADES_MAX: usize = 5_000;
/// Incidents of this site's collector that are remembered.
const INCIDENTS_MAX: usize = 2_000;
/// Seconds over which events are averaged.
const RATE_SECONDS: usize = 10;
/// A source that is silent for longer is stale: all venues collected here send several events a second.
const STALE_MS: u64 = 15_000;
/// News that wait for a slow listener before it is told that it missed some.
const NEWS_MAX: usize = 1_024;

/// A trade with the venue's time.
pub type TimedTrade = (Timestamp, Trade);

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
    trades: BTreeMap<(&'static str, String), VecDeque<TimedTrade>>,
    incidents: VecDeque<(i64, api::IncidentInfo)>,
    incident_number: u64,
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
        state.trades.get(&(exchange, symbol.to_string())).map(|t| t.iter().cloned().collect()).unwrap_or_default()
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
                    push(trades, (time, trade.clone()), TRADES_MAX);
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

    fn say(&self, feed: &'static str, message: &api::StreamMessage) {
        // Nobody listening is no fault.
        if let Ok(json) = serde_json::to_string(message) {
            let _ = self.news.send(Arc::new(News { feed, json }));
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
                Ok(block) => take_block(&node, &block),
                // The lists miss what was lost; the store and the tables have it.
                Err(RecvError::Lagged(blocks)) => tracing::warn!(blocks, "the API's lists missed blocks"),
                Err(RecvError::Closed) => return,
            },
            update = next(&mut events), if collecting => match update {
                Some(Update::Event(event)) => node.live().event(&event),
                Some(Update::Missed { .. }) => {}
                None => collecting = false,
            },
            _ = second.tick() => {
                node.live().second();
                let asked = node.clone();
                if let Ok(Ok(status)) = tokio::task::spawn_blocking(move || asked.status()).await {
                    node.live().say("status", &api::StreamMessage::Status { status });
                }
            }
        }
    }
}

async fn next(events: &mut Subscription) -> Option<Update> {
    events.next().await
}

fn take_block(node: &Node, block: &CommittedBlock) {
    node.committed(block);
    let transactions = block.block.transactions.iter().map(Vec::len);
    let summary = ledger::summary(&block.block.header, transactions, &block.certificate);
    node.live().say("blocks", &api::StreamMessage::Block { block: summary });
    let height = block.block.header.height;
    let (chunks, incidents) = {
        let index = node.index();
        let chunks: Vec<_> = index.chunks(None).take_while(|c| c.height >= height).cloned().collect();
        let incidents = block.events.iter().filter(|e| matches!(e, LedgerEvent::Incident(_))).count();
        (chunks, incidents)
    };
    for chunk in chunks.iter().rev() {
        node.live().say("chunks", &api::StreamMessage::Chunk { chunk: node.chunk_info(chunk) });
    }
    let newest: Vec<api::IncidentInfo> = node.ledger_incidents(incidents);
    for incident in newest.into_iter().rev() {
        node.live().say("incidents", &api::StreamMessage::Incident { incident });
    }
}

/// Milliseconds since a capture.
pub fn age_ms(captured: Timestamp) -> u64 {
    u64::try_from((now().nanos() - captured.nanos()).max(0) / 1_000_000).unwrap_or(0)
}
