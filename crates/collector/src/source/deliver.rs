//! Outputs of a source: events to subscribers, windows and raw frames to the archive, withdrawals and incidents.

use std::sync::Arc;
use std::time::Duration;

use openmesh_market::event::{Incident, IncidentKind};
use openmesh_market::window::{ClosedWindow, Reason};
use openmesh_market::{Event, EventKind, Feed};
use openmesh_primitives::Timestamp;
use tokio::time::Instant;

use super::{Arrival, Source};
use crate::archive::Lost;
use crate::input::SourceInput;
use crate::query::LastChange;

/// Rounds of actions that one input may lead to; a session that asks for more goes in circles.
const ROUNDS_MAX: usize = 1_000;

/// Least time between two new snapshots for the sake of a book's depth.
const DEPTH_RENEWAL_MS: u64 = 60_000;

impl Source<'_> {
    /// Passes on the outcome of the last input, and performs the actions that it asks for.
    pub(super) fn settle(&mut self, mut from: Arrival) {
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
        self.pass_on();
    }

    /// Puts events into their windows; a node that is to lie, for a test, alters them here.
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
                self.persistent.liveness.count(|liveness| {
                    liveness.events += 1;
                    if let (Some(lag), true) = (lag, live) {
                        liveness.lag_ms = lag;
                    }
                });
            }
            _ => {}
        }
        self.publish(event);
    }

    fn publish(&mut self, event: Event) {
        let event = Arc::new(event);
        if matches!(event.kind, EventKind::Incident(_)) {
            let dropped = self.persistent.incidents.push(event.clone(), 1);
            self.dropped("incident", dropped);
        }
        // Nobody listening is fine.
        let _ = self.persistent.events.send(event);
    }

    /// Counts outputs that were given up, because their reader takes nothing.
    fn dropped(&self, kind: &str, outputs: u64) {
        if outputs == 0 {
            return;
        }
        self.metrics.all.outputs_dropped.get_or_create(&self.metrics.labels(kind)).inc_by(outputs);
        tracing::error!(source = %self.source, kind, outputs, "outputs are given up: nobody takes them");
        self.persistent.liveness.set(|liveness| liveness.outputs_dropped += outputs);
    }

    fn count_incident(&self, kind: IncidentKind, detail: &str) {
        let name = serde_json::to_value(kind).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default();
        self.metrics.all.incidents.get_or_create(&self.metrics.labels(&name)).inc();
        self.persistent.liveness.set(|liveness| {
            liveness.incidents += 1;
            liveness.last_incident = Some(format!("{name}: {detail}"));
        });
    }

    /// Reports an incident that this task found, not the session.
    pub(super) fn incident(&mut self, kind: IncidentKind, detail: String) {
        self.count_incident(kind, &detail);
        let kind = EventKind::Incident(Incident { kind, feed: None, detail });
        self.publish(Event {
            exchange: self.exchange,
            symbol: None,
            ts_exchange: None,
            ts_capture: Timestamp::now(),
            kind,
        });
    }

    /// Hands over windows, withdrawals and full segments. Nothing here waits: the live stream goes on whatever the archive and
    /// the readers do.
    fn pass_on(&mut self) {
        self.flush();
        for withdrawn in self.cutter.withdrawn() {
            let reason = withdrawn.reason.name();
            self.metrics.all.windows_withdrawn.get_or_create(&self.metrics.labels(reason)).inc();
            tracing::warn!(source = %self.source, stream = %withdrawn.stream, index = %withdrawn.index, reason, "withdrawn");
            self.persistent.liveness.set(|liveness| liveness.withdrawn += 1);
            self.persistent.backlog.withdraw(&withdrawn);
            let dropped = self.persistent.withdrawn.push(withdrawn, 1);
            self.dropped("withdrawal", dropped);
        }
        let windows = self.cutter.drain();
        if (!windows.is_empty() || self.persistent.recorder.is_full())
            && let Some(segment) = self.persistent.recorder.take()
        {
            let lost = self.persistent.backlog.push_segment(segment);
            self.count_lost(lost);
        }
        let mut shallow = false;
        for window in windows {
            self.count_window(&window);
            shallow |= window.not_covered.iter().any(|(_, reason)| *reason == Reason::Depth);
            let lost = self.persistent.backlog.push_window(window);
            self.count_lost(lost);
        }
        if shallow {
            self.renew_books();
        }
    }

    /// Sends what waits for readers.
    pub(super) fn flush(&mut self) {
        self.persistent.withdrawn.flush();
        self.persistent.incidents.flush();
    }

    pub(super) fn count_lost(&self, lost: Lost) {
        if lost == Lost::default() {
            return;
        }
        let Lost { lines, chunks, windows } = lost;
        tracing::error!(source = %self.source, lines, chunks, windows, "the archive is too far behind: the oldest goes");
        self.metrics.all.lines_lost.get_or_create(&self.metrics.labels("")).inc_by(lines);
        self.dropped("window", windows);
        self.persistent.liveness.set(|liveness| {
            liveness.lines_lost += lines;
            liveness.chunks_covered = liveness.chunks_covered.saturating_sub(chunks);
            liveness.chunks_not_covered += chunks;
        });
    }

    fn count_window(&self, window: &ClosedWindow) {
        for chunk in &window.chunks {
            let labels = self.metrics.labels(chunk.stream().feed.name());
            self.metrics.all.windows_covered.get_or_create(&labels).inc();
        }
        for (_, reason) in &window.not_covered {
            let labels = self.metrics.labels(reason.name());
            self.metrics.all.windows_not_covered.get_or_create(&labels).inc();
        }
        self.persistent.liveness.set(|liveness| {
            liveness.windows += 1;
            liveness.chunks_covered += window.chunks.len() as u64;
            liveness.chunks_not_covered += window.not_covered.len() as u64;
        });
    }

    /// Opens connections again for new snapshots, because the price has left the range of the last ones.
    fn renew_books(&mut self) {
        let recent = Duration::from_millis(DEPTH_RENEWAL_MS);
        if self.renewed.is_some_and(|renewed| renewed.elapsed() < recent) {
            return;
        }
        self.renewed = Some(Instant::now());
        for connection in self.slots.keys().copied().collect::<Vec<_>>() {
            let generation = self.slots.get(&connection).and_then(|l| l.link.as_ref()).map(|l| l.generation);
            if let Some(generation) = generation {
                let why = "renewed for a deeper snapshot".to_owned();
                // Through the queue, so that the session hears of it in the order of its frames.
                let _ = self.to_self.try_send(SourceInput::Closed { connection, generation, why });
            }
        }
    }
}
