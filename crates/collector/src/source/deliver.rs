//! What leaves a source: events to those who listen, windows and raw frames to the archive.

use std::sync::Arc;
use std::time::Duration;

use openmesh_market::event::{Incident, IncidentKind};
use openmesh_market::window::{ClosedWindow, Reason};
use openmesh_market::{Event, EventKind, Feed};
use tokio::time::Instant;

use super::{Arrival, LastChange, Source, now};
use crate::archive::Work;
use crate::link::FromLink;
use crate::metrics::Metrics;

/// Rounds of actions that one input may lead to; a session that asks for more goes in circles.
const ROUNDS_MAX: usize = 1_000;

/// Least time between two new snapshots for the sake of a book's depth.
const DEPTH_RENEWAL_MS: u64 = 60_000;

impl Source<'_> {
    /// Passes on what the last input led to, and does what it asks for.
    pub(super) async fn settle(&mut self, mut from: Arrival) {
        for _ in 0..ROUNDS_MAX {
            let events = std::mem::take(&mut self.output.events);
            self.cut(from, &events);
            for event in events {
                self.deliver(event);
            }
            if let Arrival::Frame(connection) = from {
                from = Arrival::Connection(connection);
            }
            let actions = std::mem::take(&mut self.output.actions);
            if actions.is_empty() {
                break;
            }
            for action in actions {
                self.act(action);
            }
        }
        self.pass_on().await;
    }

    /// Puts events into their windows; a site that is to lie, for a test, alters them here.
    fn cut(&mut self, from: Arrival, events: &[Event]) {
        let altered = self.plan.tamper.as_ref().map(|tamper| {
            let mut events = events.to_vec();
            events.iter_mut().for_each(|event| tamper(event));
            events
        });
        let events = altered.as_deref().unwrap_or(events);
        match from {
            Arrival::Frame(connection) => self.cutter.frame(connection, events),
            Arrival::Connection(connection) => events.iter().for_each(|e| self.cutter.observe(Some(connection), e)),
            Arrival::Elsewhere => events.iter().for_each(|e| self.cutter.observe(None, e)),
        }
    }

    fn deliver(&mut self, event: Event) {
        let lag = event.ts_exchange.map(|ts| event.ts_capture.millis() - ts.millis());
        if let (Some(symbol), Some(Feed::Book)) = (&event.symbol, event.kind.feed()) {
            let (ts_exchange, ts_capture) = (event.ts_exchange, event.ts_capture);
            match self.book_times.get_mut(symbol) {
                Some(last) => *last = LastChange { ts_exchange: ts_exchange.or(last.ts_exchange), ts_capture },
                None => drop(self.book_times.insert(symbol.clone(), LastChange { ts_exchange, ts_capture })),
            }
        }
        match (&event.kind, event.kind.feed()) {
            (EventKind::Incident(incident), _) => self.count_incident(incident.kind, &incident.detail),
            (_, Some(feed)) => {
                if let Some(counter) = self.counters.events.get(&feed) {
                    counter.inc();
                }
                let live = matches!(event.kind, EventKind::Trade(_) | EventKind::BookDelta(_));
                self.status(|status| {
                    status.events += 1;
                    if let (Some(lag), true) = (lag, live) {
                        status.lag_ms = lag;
                    }
                });
            }
            _ => {}
        }
        self.publish(event);
    }

    fn publish(&self, event: Event) {
        let event = Arc::new(event);
        if matches!(event.kind, EventKind::Incident(_)) && self.ends.incidents.try_send(event.clone()).is_err() {
            tracing::debug!(exchange = %self.exchange, "nobody takes incidents as fast as they come");
        }
        // Nobody listening is fine.
        let _ = self.ends.own.send(event.clone());
        let _ = self.ends.all.send(event);
    }

    fn count_incident(&self, kind: IncidentKind, detail: &str) {
        let name = serde_json::to_value(kind).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default();
        self.plan.metrics.incidents.get_or_create(&Metrics::labels(self.exchange, &name)).inc();
        self.status(|status| {
            status.incidents += 1;
            status.last_incident = Some(format!("{name}: {detail}"));
        });
    }

    /// An incident that the driver found, not the session.
    pub(super) fn incident(&mut self, kind: IncidentKind, detail: String) {
        self.count_incident(kind, &detail);
        let kind = EventKind::Incident(Incident { kind, feed: None, detail });
        self.publish(Event { exchange: self.exchange, symbol: None, ts_exchange: None, ts_capture: now(), kind });
    }

    /// Hands over what is closed: windows, withdrawals, full segments.
    async fn pass_on(&mut self) {
        for withdrawn in self.cutter.withdrawn() {
            let labels = Metrics::labels(self.exchange, withdrawn.reason.name());
            self.plan.metrics.windows_withdrawn.get_or_create(&labels).inc();
            tracing::warn!(stream = %withdrawn.stream, index = withdrawn.index, reason = withdrawn.reason.name(), "withdrawn");
            self.status(|status| status.withdrawn += 1);
            if self.ends.withdrawn.try_send(withdrawn).is_err() {
                tracing::debug!(exchange = %self.exchange, "nobody takes withdrawals");
            }
        }
        let windows = self.cutter.drain();
        if (!windows.is_empty() || self.recorder.is_full())
            && let Some(segment) = self.recorder.take()
        {
            let _ = self.ends.archive.send(Work::Segment(segment)).await;
        }
        let mut shallow = false;
        for window in windows {
            self.count_window(&window);
            shallow |= window.not_covered.iter().any(|(_, reason)| *reason == Reason::Depth);
            let _ = self.ends.archive.send(Work::Window(Box::new(window))).await;
        }
        if shallow {
            self.renew_books();
        }
    }

    fn count_window(&self, window: &ClosedWindow) {
        for chunk in &window.chunks {
            let labels = Metrics::labels(self.exchange, chunk.stream().feed.name());
            self.plan.metrics.windows_covered.get_or_create(&labels).inc();
        }
        for (_, reason) in &window.not_covered {
            let labels = Metrics::labels(self.exchange, reason.name());
            self.plan.metrics.windows_not_covered.get_or_create(&labels).inc();
        }
        self.status(|status| {
            status.windows += 1;
            status.chunks_covered += window.chunks.len() as u64;
            status.chunks_not_covered += window.not_covered.len() as u64;
        });
    }

    /// The price has left what a snapshot told: new connections bring new snapshots.
    fn renew_books(&mut self) {
        let recent = Duration::from_millis(DEPTH_RENEWAL_MS);
        if self.renewed.is_some_and(|renewed| renewed.elapsed() < recent) {
            return;
        }
        self.renewed = Some(Instant::now());
        for connection in self.lines.keys().copied().collect::<Vec<_>>() {
            let generation = self.lines.get(&connection).and_then(|l| l.link.as_ref()).map(|l| l.generation);
            if let Some(generation) = generation {
                let why = "renewed for a deeper snapshot".to_owned();
                // Through the queue, so that the session hears of it in the order of its frames.
                let _ = self.to_self.try_send(FromLink::Closed { connection, generation, why });
            }
        }
    }
}
