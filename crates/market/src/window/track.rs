//! One stream: how its windows are covered, since when, and when a window of it is over.

use std::collections::VecDeque;

use openmesh_primitives::Timestamp;

use super::book::Levels;
use super::clock::{Clock, after};
use super::coordinates::Rules;
use super::outcomes::Outcomes;
use super::points::{Placed, Points};
use super::{Chunk, ChunkHeader, Reason, Rows, Stream, WindowIndex, Withdrawn};
use crate::ConnectionId;
use crate::event::{BookDelta, Event};

/// The content of a stream's windows.
#[derive(Clone, Debug)]
pub(super) enum Coverage {
    /// Not attested; only advances the clock.
    ClockOnly,
    /// Events one by one.
    Points(Points),
    /// A book: a list of changes.
    Book(Box<Levels>),
}

/// The knowledge of what may have been missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Continuity {
    /// Nothing since the stream began.
    Whole,
    /// Something, until a time that no clock event has bounded yet.
    Broken,
    /// Something before this time.
    Since(Timestamp),
}

/// A stream and what is known about its coverage.
#[derive(Clone, Debug)]
pub(super) struct Track {
    pub(super) stream: Stream,
    pub(super) connection: Option<ConnectionId>,
    /// Something of its instrument was seen, whichever feed: the venue has it under the name by which it was asked for.
    /// What was never seen may be a name that the venue does not know, of which nothing would come either.
    pub(super) known: bool,
    pub(super) refused: bool,
    pub(super) outcomes: Outcomes,
    pub(super) coverage: Coverage,
    rules: Rules,
    continuity: Continuity,
    /// Capture time of the first frame after opening: it may be history.
    first_frame: Option<Timestamp>,
    /// First live event since the start or the last break, plus lateness.
    own_from: Option<Timestamp>,
    /// Highest venue time of a live event of its own.
    own_high: Option<Timestamp>,
    /// A start that a proof by ids has given back.
    healed_from: Option<Timestamp>,
    /// The reason, where it is not covered.
    reason: Reason,
}

impl Track {
    pub(super) fn new(stream: Stream, coverage: Coverage, rules: Rules) -> Track {
        Track {
            stream,
            connection: None,
            known: false,
            refused: false,
            outcomes: Outcomes::default(),
            coverage,
            rules,
            continuity: Continuity::Whole,
            first_frame: None,
            own_from: None,
            own_high: None,
            healed_from: None,
            reason: Reason::Starting,
        }
    }

    /// Returns true for a stream whose windows are put up for agreement.
    pub(super) const fn is_agreed(&self) -> bool {
        !matches!(self.coverage, Coverage::ClockOnly)
    }

    /// Returns the time from which on windows are covered: those that start there or later.
    pub(super) fn start(&self, clock: &Clock) -> Option<Timestamp> {
        if self.refused {
            return None;
        }
        let bound = match (&self.coverage, self.continuity) {
            (Coverage::Book(levels), _) => return levels.from(),
            (Coverage::ClockOnly, _) | (Coverage::Points(_), Continuity::Broken) => return None,
            (Coverage::Points(_), Continuity::Whole) => None,
            (Coverage::Points(_), Continuity::Since(bound)) => Some(bound),
        };
        let began = clock.since(self.connection).filter(|_| self.known);
        let subscribed = began.map(|since| after(since, self.rules.lateness.times(2)));
        let found = [self.own_from, subscribed, self.healed_from].into_iter().flatten().min()?;
        Some(bound.map_or(found, |bound| bound.max(found)))
    }

    /// Marks the stream as touched by a frame captured at a time. Returns true where a point event in it is live: what
    /// comes in the first frame after opening may be history.
    pub(super) fn touch(&mut self, connection: Option<ConnectionId>, captured: Timestamp) -> bool {
        if connection.is_some() {
            self.connection = connection;
        }
        *self.first_frame.get_or_insert(captured) != captured
    }

    pub(super) fn lost(&mut self, clock: &Clock) {
        let from = self.start(clock);
        match &mut self.coverage {
            Coverage::Points(points) => points.broken(from),
            Coverage::Book(levels) => levels.out_of_step(),
            Coverage::ClockOnly => {}
        }
        self.first_frame = None;
        self.refused = false;
        self.interrupt(Reason::Disconnected);
    }

    /// Something may have been missed; what comes next counts again.
    pub(super) fn doubt(&mut self, clock: &Clock, reason: Reason) {
        let from = self.start(clock);
        match &mut self.coverage {
            Coverage::Points(points) => points.broken(from),
            Coverage::Book(levels) => levels.doubt(reason),
            Coverage::ClockOnly => {}
        }
        self.interrupt(reason);
    }

    /// Takes a refusal by the venue in: of this stream by name, or of a request on a connection, which only tells of
    /// streams in which nothing has come.
    pub(super) fn refuse(&mut self, exact: bool, on_connection: bool) {
        self.refused |= exact || (on_connection && self.own_from.is_none());
    }

    /// Returns true while a break has not been bounded.
    pub(super) fn is_broken(&self) -> bool {
        self.continuity == Continuity::Broken
    }

    fn interrupt(&mut self, reason: Reason) {
        self.reason = reason;
        (self.own_from, self.healed_from) = (None, None);
        self.continuity = Continuity::Broken;
    }

    pub(super) fn gap(&mut self, clock: &Clock) {
        if let Coverage::Book(levels) = &mut self.coverage {
            levels.out_of_step();
            self.reason = Reason::Gap;
        } else {
            self.doubt(clock, Reason::Gap);
        }
    }

    /// Bounds a break by a time that the venue has certainly passed since.
    pub(super) fn settle(&mut self, certain: Timestamp) {
        if let Coverage::Book(levels) = &mut self.coverage {
            levels.certain_by(certain);
        }
        if self.continuity == Continuity::Broken {
            self.continuity = Continuity::Since(certain);
        }
    }

    /// A gap in the stream's own numbers is noticed with its next message. Windows that others' messages have closed
    /// since its last one may lack what was lost.
    pub(super) fn withdraw_since_last(&mut self, withdrawn: &mut VecDeque<Withdrawn>) {
        let last = match &self.coverage {
            Coverage::Book(levels) => levels.high(),
            _ => self.own_high,
        };
        if let (Some(last), Some(next)) = (last, self.outcomes.next()) {
            let from = WindowIndex::of(last, self.rules.length);
            self.withdraw(from.min(next)..next, Reason::Gap, withdrawn);
        }
    }

    /// The clock was set back: all begins at window `next`.
    pub(super) fn restart(&mut self, next: WindowIndex) {
        match &mut self.coverage {
            Coverage::Points(points) => points.forget(None),
            Coverage::Book(levels) => levels.restart(),
            Coverage::ClockOnly => {}
        }
        self.own_high = None;
        self.interrupt(Reason::ClockJump);
        self.outcomes.restart(next);
    }

    pub(super) fn skip_to(&mut self, to: WindowIndex) {
        if !self.outcomes.skip_to(to) {
            return;
        }
        match &mut self.coverage {
            Coverage::Points(points) => points.forget(Some(to)),
            Coverage::Book(levels) => levels.restart(),
            Coverage::ClockOnly => {}
        }
    }

    /// Places a point event. Returns the window for which it came too late. `certain` is a time by which the stream is
    /// surely live.
    pub(super) fn place_point(
        &mut self,
        event: &Event,
        live: bool,
        certain: Timestamp,
        clock: &Clock,
    ) -> Option<WindowIndex> {
        let next = self.outcomes.next()?;
        let Coverage::Points(points) = &mut self.coverage else { return None };
        if live && points.is_renumbered(event, next) {
            points.forget_numbers();
            self.doubt(clock, Reason::Gap);
        }
        let Coverage::Points(points) = &mut self.coverage else { return None };
        let (placed, healed) = points.place(event, live, next);
        if let Some(from) = healed {
            self.healed_from = from;
            self.continuity = Continuity::Whole;
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

    /// Applies a change of the book at its effective time, and closes the windows that it lies beyond. One that came too
    /// late for its window spoils the present one and takes the others back.
    pub(super) fn place_delta(&mut self, delta: &BookDelta, ts: Timestamp, withdrawn: &mut VecDeque<Withdrawn>) {
        let Some(mut next) = self.outcomes.next() else { return };
        let Coverage::Book(levels) = &mut self.coverage else { return };
        let at = levels.effective(ts);
        let index = WindowIndex::of(at, self.rules.length);
        while next < index {
            self.close_book(next);
            next = next.next();
        }
        let Coverage::Book(levels) = &mut self.coverage else { return };
        if index >= next {
            return levels.apply(delta, at);
        }
        levels.spoil(Reason::Late);
        levels.apply(delta, next.start(self.rules.length));
        self.withdraw(index..next, Reason::Late, withdrawn);
    }

    /// Applies a change without a time: the book is kept whole, its window is not covered.
    pub(super) fn untimed(&mut self, delta: &BookDelta) {
        if let Some(at) = self.present()
            && let Coverage::Book(levels) = &mut self.coverage
        {
            levels.apply(delta, at);
            levels.doubt(Reason::Garbage);
        }
    }

    /// Applies a change whose time was out of line, at the time that the book has come to.
    pub(super) fn outlier(&mut self, delta: &BookDelta) {
        if let Some(at) = self.present()
            && let Coverage::Book(levels) = &mut self.coverage
        {
            levels.apply(delta, at);
        }
    }

    /// The effective time of the book's last change, or the start of the window that is next to be closed.
    fn present(&self) -> Option<Timestamp> {
        let Coverage::Book(levels) = &self.coverage else { return None };
        levels.high().or(self.outcomes.next().map(|next| next.start(self.rules.length)))
    }

    /// Returns true where a window has ended for this stream, as far as anyone can know.
    pub(super) fn is_over(&self, index: WindowIndex, clock: &Clock) -> bool {
        if !self.is_agreed() {
            return false;
        }
        let (length, lateness) = (self.rules.length, self.rules.lateness);
        let Some(high) = clock.high() else { return false };
        let reached = |mark: Timestamp, factor: i64| mark >= after(index.end(length), lateness.times(factor));
        if !reached(high, 1) {
            return false;
        }
        let may_heal = matches!(&self.coverage, Coverage::Points(points) if points.may_heal());
        if may_heal && self.start(clock).is_none_or(|from| from > index.start(length)) {
            return reached(high, 5);
        }
        let proved = clock.proved(self.connection).is_some_and(|proved| reached(proved, 1));
        proved || clock.is_closed(self.connection) || reached(high, 10)
    }

    /// Closes a window. Returns whether the stream has to prove itself anew.
    pub(super) fn close(&mut self, index: WindowIndex, clock: &Clock, withdrawn: &mut VecDeque<Withdrawn>) -> bool {
        let end = after(index.end(self.rules.length), self.rules.lateness.nanos());
        let proved = clock.proved(self.connection).is_some_and(|proved| proved >= end);
        let silent = !proved && self.continuity != Continuity::Broken && !clock.is_closed(self.connection);
        if silent {
            self.doubt(clock, Reason::Silent);
        }
        let covered = self.start(clock).is_some_and(|from| from <= index.start(self.rules.length));
        match &mut self.coverage {
            Coverage::Book(_) => self.close_book(index),
            Coverage::ClockOnly => {}
            Coverage::Points(points) => {
                if !covered && points.may_heal() {
                    points.give_up_proof();
                }
                let cut = points.cut(index, covered);
                let outcome = match cut.rows {
                    _ if !covered => Err(if self.refused { Reason::Refused } else { self.reason }),
                    Err(reason) => Err(reason),
                    Ok(rows) => self.chunk(index, rows),
                };
                self.outcomes.close(index, outcome);
                if let (true, Some(range)) = (covered, cut.withdraw) {
                    self.withdraw(range, Reason::Gap, withdrawn);
                }
            }
        }
        silent
    }

    fn close_book(&mut self, index: WindowIndex) {
        let Coverage::Book(levels) = &mut self.coverage else { return };
        let reason = if self.refused { Reason::Refused } else { self.reason };
        let rows = levels.cut(index, self.rules.length, reason);
        let outcome = rows.and_then(|rows| self.chunk(index, rows));
        self.outcomes.close(index, outcome);
    }

    /// Makes the chunk of a window.
    fn chunk(&self, index: WindowIndex, rows: Rows) -> Result<Chunk, Reason> {
        let header = ChunkHeader::new(self.stream.clone(), index, self.rules.length).ok_or(Reason::ClockJump)?;
        Chunk::encode(header, rows).map_err(|_| Reason::TooLarge)
    }

    /// Takes back what was vouched for, reported or not.
    pub(super) fn withdraw(
        &mut self,
        windows: std::ops::Range<WindowIndex>,
        reason: Reason,
        withdrawn: &mut VecDeque<Withdrawn>,
    ) {
        self.outcomes.withdraw(&self.stream, windows, reason, withdrawn);
    }
}
