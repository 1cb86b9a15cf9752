//! Connections and requests of a source: the actions of its session.

use std::sync::Arc;
use std::time::Duration;

use openmesh_dialect::{Action, Input};
use openmesh_market::ConnectionId;
use openmesh_primitives::Timestamp;
use tokio::time::Instant;

use super::Source;
use super::slot::ConnectionSlot;
use crate::address::rewrite;
use crate::backoff::{Backoff, jitter};
use crate::input::SourceInput;
use crate::link::{Dial, Link};

/// A connection that lived so long was a good one: the next pause is the shortest.
const GOOD_CONNECTION_MS: u64 = 60_000;

impl Source<'_> {
    pub(super) fn act(&mut self, action: Action) {
        match action {
            Action::Open { connection, url } => self.open(connection, url),
            Action::Send { connection, text } => self.send(connection, text),
            Action::Get { url } => self.get(url),
            Action::Reconnect { connection } => {
                self.cutter.connection_lost(connection);
                let was_open = self.slots.get(&connection).is_some_and(ConnectionSlot::is_open);
                self.reconnect(connection);
                if was_open {
                    // What the session holds of it is of the past from here on: no book may be served as if it were the
                    // venue's while the new connection is dialled. One that had ended by itself was told already.
                    self.session.handle(Input::Closed { connection }, Timestamp::now(), &mut self.output);
                }
            }
        }
    }

    fn open(&mut self, connection: ConnectionId, url: String) {
        let config = &self.plan.config;
        let name = format!("{}.ws.{}", self.exchange.name().to_ascii_uppercase(), connection.0);
        let backoff = Backoff::new(config.reconnect_ms_min, config.reconnect_ms_max);
        self.cutter.connection_lost(connection);
        self.slots.insert(connection, ConnectionSlot::new(url.into(), name.into(), backoff));
        self.dial(connection, Duration::ZERO);
    }

    pub(super) fn reconnect(&mut self, connection: ConnectionId) {
        let Some(slot) = self.slots.get_mut(&connection) else { return };
        slot.link = None;
        slot.until = None;
        let good = Duration::from_millis(GOOD_CONNECTION_MS);
        if slot.opened.take().is_some_and(|opened| opened.elapsed() >= good) {
            slot.backoff.reset();
        }
        let pause = slot.backoff.pause();
        self.counters.reconnects.inc();
        self.persistent.liveness.set(|liveness| liveness.reconnects += 1);
        self.dial(connection, pause);
    }

    /// A connection is open: how long it is kept.
    pub(super) fn opened(&mut self, connection: ConnectionId) {
        let (least, most) = (self.plan.config.connection_ms_min, self.plan.config.connection_ms_max);
        let Some(slot) = self.slots.get_mut(&connection) else { return };
        let now = Instant::now();
        slot.opened = Some(now);
        slot.until = now.checked_add(jitter(least, most));
        if let Some(link) = &mut slot.link {
            link.opened = true;
        }
    }

    /// Gives connections up that have become old, before the venue ends them for everybody at the same moment.
    pub(super) fn renew_old(&mut self) {
        let now = Instant::now();
        for (connection, slot) in &mut self.slots {
            let Some(link) = slot.link.as_ref().filter(|_| slot.until.is_some_and(|until| now >= until)) else {
                continue;
            };
            let (connection, generation) = (*connection, link.generation);
            let why = "renewed, before the venue ends it for its age".to_owned();
            // Through the queue, so that the session hears of it in the order of its frames. Where that is full, the next
            // second is early enough.
            if self.to_self.try_send(SourceInput::Closed { connection, generation, why }).is_ok() {
                slot.until = None;
            }
        }
    }

    fn dial(&mut self, connection: ConnectionId, pause: Duration) {
        let config = &self.plan.config;
        self.generation += 1;
        let Some(slot) = self.slots.get_mut(&connection) else { return };
        let Some(url) = rewrite(&slot.url, config.gateway.as_deref()) else {
            tracing::error!(source = %self.source, url = %slot.url, "a session asked for what is no address");
            return;
        };
        let dial = Dial {
            connection,
            generation: self.generation,
            url,
            pause,
            backoff: slot.backoff.clone(),
            silence: Duration::from_millis(config.silence_ms_max),
            answer: Duration::from_millis(config.answer_ms_max),
        };
        slot.link = Some(Link::start(dial, self.to_self.clone()));
    }

    /// Queues a message. Archive and session hear of it when it has left ([`SourceInput::Sent`]).
    fn send(&self, connection: ConnectionId, text: String) {
        if let Some(link) = self.slots.get(&connection).and_then(|slot| slot.link.as_ref()) {
            link.send(text);
        }
    }

    /// Asks once at a time: a session asks again while its answer is awaited, and a venue that wants to be left alone would get
    /// all of that at once when it is over.
    fn get(&mut self, url: String) {
        if self.asking.contains_key(url.as_str()) {
            return;
        }
        let url: Arc<str> = url.into();
        let config = &self.plan.config;
        let Some(dial) = rewrite(&url, config.gateway.as_deref()) else {
            tracing::error!(source = %self.source, %url, "a session asked for what is no address");
            return;
        };
        let backoff = Backoff::new(config.reconnect_ms_min, config.reconnect_ms_max);
        let requests = self.plan.requests.clone();
        let (asked, to) = (url.clone(), self.to_self.clone());
        let task = self.pending.spawn(async move { requests.get(asked, &dial, backoff, to).await });
        self.asking.insert(url, task.id());
    }
}
