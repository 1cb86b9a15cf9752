//! One stream: what its windows are made of, since when it is covered, and when a window of it is over.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use openmesh_primitives::Timestamp;

use super::book::Levels;
use super::clock::{Clock, after};
use super::points::{Placed, Points};
use super::{Chunk, ChunkHeader, Reason, Rows, Stream, Withdrawn};
use crate::ConnectionId;
use crate::event::{BookDelta, Event};

/// What a stream is made of.
#[derive(Clone, Debug)]
pub(super) enum Body {
    /// One by one.
    Points(Points),
    /// Book.
    Book(Box<Levels>),
    /// Not put up for agreement: only its clock is used.
    Aside,
}

/// A stream and what is known about its coverage.
#[derive(Clone, Debug)]
pub(super) struct Track {
    pub(super) stream: Stream,
    pub(super) connection: Option<ConnectionId>,
    /// Something of its instrument was seen, whichever feed: the venue has it under the name by which it was asked for. What
    /// was never seen may be a name that the venue does not know, of which nothing would come either.
    pub(super) known: bool,
    /// Capture time of the first frame after opening: it may be history.
    pub(super) first_frame: Option<Timestamp>,
    /// First live event since the start or the last break, plus lateness.
    pub(super) own_from: Option<Timestamp>,
    /// Highest venue time of a live event of its own.
    pub(super) own_high: Option<Timestamp>,
    /// A start that a proof by ids has given back.
    pub(super) healed_from: Option<Timestamp>,
    /// After a break inside a connection: nothing before this is covered.
    pub(super) not_before: Option<Timestamp>,
    /// A break whose end is not known yet.
    pub(super) broken: bool,
    pub(super) refused: bool,
    /// Why, where it is not covered.
    pub(super) reason: Reason,
    /// First window that is not closed; `None` before the source's first clock event.
    pub(super) next: Option<i64>,
    pub(super) closed: BTreeMap<i64, Result<Chunk, Reason>>,
    pub(super) vouched: BTreeSet<i64>,
    pub(super) body: Body,
}

impl Track {
    pub(super) const fn new(stream: Stream, body: Body) -> Track {
        Track {
            stream,
            connection: None,
            known: false,
            first_frame: None,
            own_from: None,
            own_high: None,
            healed_from: None,
            not_before: None,
            broken: false,
            refused: false,
            reason: Reason::Starting,
            next: None,
            closed: BTreeMap::new(),
            vouched: BTreeSet::new(),
            body,
        }
    }

    /// Windows that start here or later are covered.
    pub(super) fn start(&self, clock: &Clock, lateness: i64) -> Option<Timestamp> {
        if self.refused {
            return None;
        }
        match &self.body {
            Body::Book(levels) => levels.from(),
            Body::Aside => None,
            Body::Points(_) if self.broken => None,
            Body::Points(_) => {
                let began = clock.since(self.connection).filter(|_| self.known);
                let subscribed = began.map(|since| after(since, 2 * lateness));
                let found = [self.own_from, subscribed, self.healed_from].into_iter().flatten().min()?;
                Some(self.not_before.map_or(found, |bound| bound.max(found)))
            }
        }
    }

    pub(super) fn lost(&mut self, clock: &Clock, lateness: i64) {
        let from = self.start(clock, lateness);
        match &mut self.body {
            Body::Points(points) => points.broken(from),
            Body::Book(levels) => levels.out_of_step(),
            Body::Aside => {}
        }
        self.reason = Reason::Disconnected;
        self.first_frame = None;
        (self.own_from, self.healed_from, self.not_before) = (None, None, None);
        self.broken = true;
        self.refused = false;
    }

    /// Something may have been missed; what comes next counts again.
    pub(super) fn doubt(&mut self, clock: &Clock, lateness: i64, reason: Reason) {
        let from = self.start(clock, lateness);
        match &mut self.body {
            Body::Points(points) => points.broken(from),
            Body::Book(levels) => levels.doubt(reason),
            Body::Aside => {}
        }
        self.reason = reason;
        (self.own_from, self.healed_from, self.not_before) = (None, None, None);
        self.broken = true;
    }

    pub(super) fn gap(&mut self, clock: &Clock, lateness: i64) {
        if let Body::Book(levels) = &mut self.body {
            levels.out_of_step();
            self.reason = Reason::Gap;
        } else {
            self.doubt(clock, lateness, Reason::Gap);
        }
    }

    /// A gap in the stream's own numbers is noticed with its next message. Windows that others' messages have closed
    /// since its last one may lack what was lost.
    pub(super) fn withdraw_since_last(&mut self, window: i64, withdrawn: &mut VecDeque<Withdrawn>) {
        let last = match &self.body {
            Body::Book(levels) => levels.high(),
            _ => self.own_high,
        };
        if let (Some(last), Some(next)) = (last, self.next) {
            let from = last.0.div_euclid(window);
            self.withdraw(from.min(next)..next, Reason::Gap, withdrawn);
        }
    }

    /// The clock was set back: all begins at window `next`.
    pub(super) fn restart(&mut self, next: Option<i64>) {
        match &mut self.body {
            Body::Points(points) => points.forget(None),
            Body::Book(levels) => levels.restart(),
            Body::Aside => {}
        }
        self.reason = Reason::ClockJump;
        self.own_high = None;
        (self.own_from, self.healed_from, self.not_before) = (None, None, None);
        self.broken = true;
        self.closed.clear();
        self.vouched.clear();
        self.next = next;
    }

    pub(super) fn skip_to(&mut self, to: i64) {
        self.closed = self.closed.split_off(&to);
        if self.next.is_none_or(|next| next >= to) {
            return;
        }
        self.next = Some(to);
        match &mut self.body {
            Body::Points(points) => points.forget(Some(to)),
            Body::Book(levels) => levels.restart(),
            Body::Aside => {}
        }
    }

    /// Returns the window for which the event came too late. `certain` is a time by which the stream is surely live.
    pub(super) fn place_point(&mut self, event: &Event, live: bool, certain: Timestamp) -> Option<i64> {
        let next = self.next?;
        let Body::Points(points) = &mut self.body else { return None };
        let (placed, healed) = points.place(event, live, next);
        if let Some(from) = healed {
            self.healed_from = from;
            (self.broken, self.not_before) = (false, None);
        }
        if live {
            self.own_from = self.own_from.or(Some(certain));
            self.own_high = self.own_high.max(event.ts_exchange);
        }
        match placed {
            Placed::Late(index) => Some(index),
            Placed::Fine => None,
        }
    }

    /// A change of the book: closes the windows that it lies beyond, and is applied at its effective time. Returns the
    /// window for which it came too late.
    pub(super) fn place_delta(
        &mut self,
        delta: &BookDelta,
        ts: Timestamp,
        window: i64,
        withdrawn: &mut VecDeque<Withdrawn>,
    ) -> Option<i64> {
        let mut next = self.next?;
        let Body::Book(levels) = &mut self.body else { return None };
        let at = levels.effective(ts);
        let index = at.0.div_euclid(window);
        while next < index {
            self.close_book(next, window);
            next += 1;
        }
        let Body::Book(levels) = &mut self.body else { return None };
        if index >= next {
            levels.apply(delta, at);
            return None;
        }
        levels.spoil(Reason::Late);
        levels.apply(delta, Timestamp(next.saturating_mul(window)));
        self.withdraw(index..next, Reason::Late, withdrawn);
        None
    }

    pub(super) fn untimed(&mut self, delta: &BookDelta, window: i64) {
        let start = self.next.map(|next| Timestamp(next.saturating_mul(window)));
        if let Body::Book(levels) = &mut self.body
            && let Some(at) = levels.high().or(start)
        {
            levels.apply(delta, at);
            levels.doubt(Reason::Garbage);
        }
    }

    /// Whether a window has ended for this stream, as far as anyone can know.
    pub(super) fn is_over(&self, index: i64, window: i64, clock: &Clock, lateness: i64) -> bool {
        if matches!(self.body, Body::Aside) {
            return false;
        }
        let start = Timestamp(index.saturating_mul(window));
        let end = after(start, window);
        let Some(high) = clock.high() else { return false };
        let reached = |mark: Timestamp, lateness: i64| mark >= after(end, lateness);
        if !reached(high, lateness) {
            return false;
        }
        let may_heal = matches!(&self.body, Body::Points(points) if points.may_heal());
        if may_heal && self.start(clock, lateness).is_none_or(|from| from > start) {
            return reached(high, 5 * lateness);
        }
        let proved = clock.proved(self.connection).is_some_and(|proved| reached(proved, lateness));
        proved || clock.is_closed(self.connection) || reached(high, 10 * lateness)
    }

    /// Returns whether the stream has to prove itself anew.
    pub(super) fn close(
        &mut self,
        index: i64,
        clock: &Clock,
        lateness: i64,
        window: i64,
        withdrawn: &mut VecDeque<Withdrawn>,
    ) -> bool {
        let start = Timestamp(index.saturating_mul(window));
        let end = after(start, window);
        let proved = clock.proved(self.connection).is_some_and(|proved| proved >= after(end, lateness));
        let silent = !proved && !self.broken && !clock.is_closed(self.connection);
        if silent {
            self.doubt(clock, lateness, Reason::Silent);
        }
        let covered = self.start(clock, lateness).is_some_and(|from| from <= start);
        match &mut self.body {
            Body::Book(_) => self.close_book(index, window),
            Body::Aside => {}
            Body::Points(points) => {
                if !covered && points.may_heal() {
                    points.give_up_proof();
                }
                let cut = points.cut(index, covered);
                let outcome = match cut.rows {
                    _ if !covered => Err(if self.refused { Reason::Refused } else { self.reason }),
                    Err(reason) => Err(reason),
                    Ok(rows) => make(&self.stream, index, window, rows),
                };
                self.next = Some(index + 1);
                self.closed.insert(index, outcome);
                if let (true, Some(range)) = (covered, cut.withdraw) {
                    self.withdraw(range, Reason::Gap, withdrawn);
                }
            }
        }
        silent
    }

    pub(super) fn close_book(&mut self, index: i64, window: i64) {
        let Body::Book(levels) = &mut self.body else { return };
        let start = Timestamp(index.saturating_mul(window));
        let reason = if self.refused { Reason::Refused } else { self.reason };
        let rows = levels.cut(start, after(start, window), reason);
        let outcome = rows.and_then(|rows| make(&self.stream, index, window, rows));
        self.closed.insert(index, outcome);
        self.next = Some(index + 1);
    }

    /// Takes back what was vouched for, emitted or not.
    pub(super) fn withdraw(
        &mut self,
        windows: std::ops::Range<i64>,
        reason: Reason,
        withdrawn: &mut VecDeque<Withdrawn>,
    ) {
        for (_, outcome) in self.closed.range_mut(windows.clone()) {
            if outcome.is_ok() {
                *outcome = Err(reason);
            }
        }
        let taken: Vec<i64> = self.vouched.range(windows).copied().collect();
        for index in taken {
            self.vouched.remove(&index);
            withdrawn.push_back(Withdrawn { stream: self.stream.clone(), index, reason });
        }
    }
}

/// `window` is its length in nanoseconds.
fn make(stream: &Stream, index: i64, window: i64, rows: Rows) -> Result<Chunk, Reason> {
    let length_ms = u32::try_from(window / 1_000_000).unwrap_or(u32::MAX);
    let header = ChunkHeader::new(stream.clone(), index, length_ms).ok_or(Reason::ClockJump)?;
    Chunk::encode(header, rows).map_err(|_| Reason::TooLarge)
}
