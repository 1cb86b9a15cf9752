//! Streams in which things happen one by one: all feeds but the book.

use std::collections::{BTreeMap, BTreeSet};

use openmesh_primitives::Timestamp;

use super::coordinates::Rules;
use super::ids::IdRanges;
use super::row::Rows;
use super::{Class, ROWS_MAX, Reason, WindowIndex};
use crate::event::{Event, EventKind, Feed};

/// Closed windows of which ids are remembered, for streams whose ids are not consecutive.
const RECENT_WINDOWS: usize = 16;

/// The place of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placed {
    /// In a window, or known already, or nothing for a chunk.
    Fine,
    /// It belonged to a window that is closed.
    Late(WindowIndex),
}

/// The ids around a break, and the start that counts again if nothing is missing between them.
#[derive(Clone, Copy, Debug)]
struct Proof {
    before: u64,
    after: Option<u64>,
    from: Option<Timestamp>,
}

/// A stream of point events.
#[derive(Clone, Debug)]
pub(super) struct Points {
    feed: Feed,
    class: Class,
    rules: Rules,
    rows: BTreeMap<WindowIndex, Rows>,
    overflow: BTreeSet<WindowIndex>,
    seen: IdRanges,
    recent: BTreeMap<WindowIndex, BTreeSet<String>>,
    /// First live id since the last break: what lies before it proves nothing.
    first_live: Option<u64>,
    /// Ids since the last break with their times, from one that is surely before the next window to be closed.
    times: BTreeMap<u64, Timestamp>,
    proof: Option<Proof>,
}

/// A window's rows, or the reason why they are not to be trusted; and which closed windows must be taken back.
pub(super) struct Cut {
    pub(super) rows: Result<Rows, Reason>,
    pub(super) withdraw: Option<std::ops::Range<WindowIndex>>,
}

impl Points {
    /// A stream of which nothing was seen.
    pub(super) fn new(feed: Feed, class: Class, rules: Rules) -> Points {
        Points {
            feed,
            class,
            rules,
            rows: BTreeMap::new(),
            overflow: BTreeSet::new(),
            seen: IdRanges::default(),
            recent: BTreeMap::new(),
            first_live: None,
            times: BTreeMap::new(),
            proof: None,
        }
    }

    /// The time that decides the window; `None` for what goes into no chunk.
    pub(super) fn place_of(event: &Event) -> Option<Timestamp> {
        match &event.kind {
            EventKind::Candle(candle) if candle.closed == Some(true) => {
                interval_nanos(&candle.interval).map(|nanos| super::clock::after(candle.start, nanos))
            }
            EventKind::Candle(_) => None,
            _ => event.ts_exchange,
        }
    }

    /// Returns true where a live event shows that the venue counts its ids anew: it has an id that another event has, or
    /// one below that of an event that came before it by more than the lateness. (Ids and times are in order but for that.)
    /// `next` is the first window that is not closed: an open window holds the row of every id that was placed in it.
    pub(super) fn is_renumbered(&self, event: &Event, next: WindowIndex) -> bool {
        let (Some(ts), Some(id)) = (Points::place_of(event), self.number(event)) else { return false };
        if self.seen.contains(id) {
            let index = WindowIndex::of(ts, self.rules.length);
            return index >= next && self.times.get(&id) != Some(&ts) && !self.holds(index, ts, event);
        }
        self.times
            .last_key_value()
            .is_some_and(|(last, then)| id < *last && ts > super::clock::after(*then, self.rules.lateness.nanos()))
    }

    /// Returns true where an open window holds the trade, or may hold it.
    fn holds(&self, index: WindowIndex, ts: Timestamp, event: &Event) -> bool {
        let (Some(Rows::Trades(rows)), EventKind::Trade(trade)) = (self.rows.get(&index), &event.kind) else {
            return false;
        };
        self.overflow.contains(&index) || rows.iter().rev().any(|row| row.ts == ts && row.id == trade.id)
    }

    /// Forgets all ids: the venue counts anew.
    pub(super) fn forget_numbers(&mut self) {
        self.seen = IdRanges::default();
        self.times.clear();
        self.first_live = None;
        self.proof = None;
    }

    /// Takes an event in. `next` is the first window that is not closed. Returns a healed start beside what became of it.
    pub(super) fn place(
        &mut self,
        event: &Event,
        live: bool,
        next: WindowIndex,
    ) -> (Placed, Option<Option<Timestamp>>) {
        let Some(ts) = Points::place_of(event) else { return (Placed::Fine, None) };
        let index = WindowIndex::of(ts, self.rules.length);
        let id = self.number(event);
        if id.is_some_and(|id| self.seen.contains(id)) {
            return (Placed::Fine, None);
        }
        let older = id.is_some_and(|id| self.seen.first().is_some_and(|first| id < first));
        if let Some(id) = id {
            self.seen.insert(id);
            if live {
                self.first_live.get_or_insert(id);
                self.times.insert(id, ts);
                if let Some(proof) = &mut self.proof {
                    proof.after.get_or_insert(id);
                }
            }
        }
        let placed = if index >= next {
            self.push(index, ts, event);
            Placed::Fine
        } else if !live || older || self.is_recent(index, event) {
            Placed::Fine
        } else {
            Placed::Late(index)
        };
        (placed, self.healed())
    }

    fn push(&mut self, index: WindowIndex, ts: Timestamp, event: &Event) {
        let Some(empty) = Rows::empty(self.feed) else { return };
        let rows = self.rows.entry(index).or_insert(empty);
        if rows.len() >= ROWS_MAX {
            self.overflow.insert(index);
            return;
        }
        rows.push(ts, &event.kind);
    }

    /// The consecutive number of an event, where its class promises one.
    fn number(&self, event: &Event) -> Option<u64> {
        match &event.kind {
            EventKind::Trade(trade) if self.class == Class::Sequenced => trade.id.as_ref()?.parse().ok(),
            _ => None,
        }
    }

    fn is_recent(&self, index: WindowIndex, event: &Event) -> bool {
        let id = match &event.kind {
            EventKind::Trade(trade) => trade.id.as_ref(),
            EventKind::Liquidation(liquidation) => liquidation.id.as_ref(),
            _ => None,
        };
        id.is_some_and(|id| self.recent.get(&index).is_some_and(|ids| ids.contains(id)))
    }

    /// Something may have been missed from here on. `from` is where coverage had started.
    pub(super) fn broken(&mut self, from: Option<Timestamp>) {
        // A second break before the first is healed: the proof must span both.
        let (before, from) = match self.proof {
            Some(proof) => (Some(proof.before), proof.from),
            None => (self.seen.last().filter(|_| self.first_live.is_some()), from),
        };
        self.proof = before.map(|before| Proof { before, after: None, from });
        self.first_live = None;
        self.times.clear();
    }

    fn healed(&mut self) -> Option<Option<Timestamp>> {
        let proof = self.proof?;
        let after = proof.after?;
        if !self.seen.joined(proof.before, after) {
            return None;
        }
        self.proof = None;
        Some(proof.from)
    }

    /// Returns true where ids may yet prove that nothing was missed.
    pub(super) const fn may_heal(&self) -> bool {
        self.proof.is_some()
    }

    /// No more waiting for a proof.
    pub(super) fn give_up_proof(&mut self) {
        self.proof = None;
    }

    /// Closes a window.
    pub(super) fn cut(&mut self, index: WindowIndex, covered: bool) -> Cut {
        let rows = self.rows.remove(&index).or_else(|| Rows::empty(self.feed));
        let overflow = self.overflow.remove(&index);
        let ids = rows.as_ref().map(text_ids).unwrap_or_default();
        let hole = self.hole(index);
        self.forget_times(index);
        if self.class != Class::Sequenced && !ids.is_empty() {
            self.recent.insert(index, ids.into_iter().collect());
            while self.recent.len() > RECENT_WINDOWS {
                self.recent.pop_first();
            }
        }
        let rows = match rows {
            _ if overflow => Err(Reason::TooLarge),
            _ if covered && hole.is_some() => Err(Reason::Gap),
            Some(rows) => Ok(rows),
            None => Err(Reason::TooLarge),
        };
        Cut { rows, withdraw: hole }
    }

    /// Returns true where an id is missing from the last one surely before this window to the first one surely after
    /// it; and to which windows before this one it may have belonged. Ids and times are in order but for the allowed
    /// lateness.
    fn hole(&self, index: WindowIndex) -> Option<std::ops::Range<WindowIndex>> {
        let lateness = self.rules.lateness.nanos();
        let surely_before = super::clock::after(index.start(self.rules.length), -lateness);
        let surely_after = super::clock::after(index.end(self.rules.length), lateness);
        let low = self.times.iter().rev().find(|(_, ts)| **ts < surely_before).or(self.times.iter().next())?;
        let high = self.times.iter().find(|(_, ts)| **ts >= surely_after).or(self.times.iter().next_back())?;
        if self.seen.joined(*low.0, *high.0) {
            return None;
        }
        // The lost one came after the last id below the hole, give or take the lateness.
        let below =
            self.times.range(low.0..).take_while(|(id, _)| self.seen.joined(*low.0, **id)).last().unwrap_or(low);
        let from = WindowIndex::of(super::clock::after(*below.1, -lateness), self.rules.length);
        Some(from.min(index)..index)
    }

    /// Keeps one id that is surely before the next window, and what follows it.
    fn forget_times(&mut self, closed: WindowIndex) {
        let lateness = self.rules.lateness.nanos();
        let surely_before = super::clock::after(closed.end(self.rules.length), -lateness);
        if let Some(id) = self.times.iter().rev().find(|(_, ts)| **ts < surely_before).map(|(id, _)| *id) {
            self.times = self.times.split_off(&id);
        }
    }

    /// Windows before `next` are gone (too many to be reported), or all are (`None`: the clock was set back).
    pub(super) fn forget(&mut self, next: Option<WindowIndex>) {
        match next {
            Some(next) => self.rows = self.rows.split_off(&next),
            None => {
                self.rows.clear();
                self.recent.clear();
                self.proof = None;
            }
        }
        self.first_live = None;
        self.times.clear();
    }
}

fn text_ids(rows: &Rows) -> Vec<String> {
    match rows {
        Rows::Trades(rows) => rows.iter().filter_map(|r| r.id.clone()).collect(),
        Rows::Liquidations(rows) => rows.iter().filter_map(|r| r.liquidation.id.clone()).collect(),
        _ => Vec::new(),
    }
}

/// Length of a candle's interval in the neutral form (`1m`, `4h`, `1d`, `1w`); `None` for what has no fixed length.
fn interval_nanos(interval: &str) -> Option<i64> {
    let unit_at = interval.len().checked_sub(1)?;
    let (count, unit) = (interval.get(..unit_at)?, interval.get(unit_at..)?);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return None,
    };
    count.parse::<i64>().ok().filter(|n| *n > 0)?.checked_mul(seconds)?.checked_mul(1_000_000_000)
}
