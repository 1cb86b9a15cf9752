//! A source's connections and requests: what a session asks for, done.

use std::time::Duration;

use openmesh_dialect::{Action, Input};
use openmesh_market::ConnectionId;
use tokio::time::Instant;

use super::{Source, now};
use crate::backoff::{Backoff, somewhere};
use crate::config::rewrite;
use crate::link::{Dial, FromLink, Link};

/// A connection that lived so long was a good one: the next pause is the shortest.
const GOOD_CONNECTION_MS: u64 = 60_000;

/// One connection as the driver sees it.
pub(super) struct Line {
    pub(super) url: String,
    pub(super) name: String,
    pub(super) link: Option<Link>,
    backoff: Backoff,
    pub(super) opened: Option<Instant>,
    /// When it is given up for a new one.
    pub(super) until: Option<Instant>,
}

impl Source<'_> {
    pub(super) fn act(&mut self, action: Action) {
        match action {
            Action::Open { connection, url } => self.open(connection, url),
            Action::Send { connection, text } => self.send(connection, text),
            Action::Get { url } => self.get(url),
            Action::Reconnect { connection } => {
                self.cutter.connection_lost(connection);
                let was_open = self.lines.get(&connection).is_some_and(Line::is_open);
                self.reconnect(connection);
                if was_open {
                    // What the session holds of it is of the past from here on: no book may be served as if it were the
                    // venue's while the new connection is dialled. One that had ended by itself was told already.
                    self.session.handle(Input::Closed { connection }, now(), &mut self.output);
                }
            }
        }
    }

    fn open(&mut self, connection: ConnectionId, url: String) {
        let config = &self.plan.config;
        let name = format!("{}.ws.{}", self.exchange.name().to_ascii_uppercase(), connection.0);
        let backoff = Backoff::new(config.reconnect_ms_min, config.reconnect_ms_max);
        self.cutter.connection_lost(connection);
        self.lines.insert(connection, Line { url, name, link: None, backoff, opened: None, until: None });
        self.dial(connection, Duration::ZERO);
    }

    pub(super) fn reconnect(&mut self, connection: ConnectionId) {
        let Some(line) = self.lines.get_mut(&connection) else { return };
        line.link = None;
        line.until = None;
        let good = Duration::from_millis(GOOD_CONNECTION_MS);
        if line.opened.take().is_some_and(|opened| opened.elapsed() >= good) {
            line.backoff.reset();
        }
        let pause = line.backoff.pause();
        self.counters.reconnects.inc();
        self.status(|status| status.reconnects += 1);
        self.dial(connection, pause);
    }

    /// A connection is open: how long it is kept.
    pub(super) fn opened(&mut self, connection: ConnectionId) {
        let (least, most) = (self.plan.config.connection_ms_min, self.plan.config.connection_ms_max);
        let Some(line) = self.lines.get_mut(&connection) else { return };
        let now = Instant::now();
        line.opened = Some(now);
        line.until = now.checked_add(somewhere(least, most));
        if let Some(link) = &mut line.link {
            link.opened = true;
        }
    }

    /// Gives connections up that have become old, before the venue ends them for everybody at the same moment.
    pub(super) fn renew_old(&mut self) {
        let now = Instant::now();
        for (connection, line) in &mut self.lines {
            let Some(link) = line.link.as_ref().filter(|_| line.until.is_some_and(|until| now >= until)) else {
                continue;
            };
            let (connection, generation) = (*connection, link.generation);
            let why = "renewed, before the venue ends it for its age".to_owned();
            // Through the queue, so that the session hears of it in the order of its frames. Where that is full, the next
            // second is early enough.
            if self.to_self.try_send(FromLink::Closed { connection, generation, why }).is_ok() {
                line.until = None;
            }
        }
    }

    fn dial(&mut self, connection: ConnectionId, pause: Duration) {
        let config = &self.plan.config;
        self.generation += 1;
        let Some(line) = self.lines.get_mut(&connection) else { return };
        let Some(url) = rewrite(&line.url, config.gateway.as_deref()) else {
            tracing::error!(exchange = %self.exchange, url = line.url, "a session asked for what is no address");
            return;
        };
        let dial = Dial {
            connection,
            generation: self.generation,
            url,
            pause,
            backoff: line.backoff.clone(),
            silence: Duration::from_millis(config.silence_ms_max),
            answer: Duration::from_millis(config.answer_ms_max),
        };
        line.link = Some(Link::start(dial, self.to_self.clone()));
    }

    fn send(&mut self, connection: ConnectionId, text: String) {
        let Some(line) = self.lines.get(&connection) else { return };
        let at = now();
        if self.plan.config.archive {
            self.recorder.sent(&line.name, at, &text);
        }
        // A full queue belongs to a connection that takes nothing any more: its silence ends it.
        if line.link.as_ref().is_some_and(|link| link.send(text.clone())) {
            self.session.handle(Input::Sent { connection, text: &text }, at, &mut self.output);
        }
    }

    /// Asks once at a time: a session asks again while its answer is awaited, and a venue that wants to be left alone would get
    /// all of that at once when it is over.
    fn get(&mut self, url: String) {
        if self.asking.contains_key(&url) {
            return;
        }
        let config = &self.plan.config;
        let Some(dial) = rewrite(&url, config.gateway.as_deref()) else {
            tracing::error!(exchange = %self.exchange, url, "a session asked for what is no address");
            return;
        };
        let backoff = Backoff::new(config.reconnect_ms_min, config.reconnect_ms_max);
        let requests = self.plan.requests.clone();
        let asked = url.clone();
        let task = self.pending.spawn(async move { requests.get(asked, &dial, backoff).await });
        self.asking.insert(url, task.id());
    }
}

impl Line {
    pub(super) fn is_open(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.opened)
    }
}
