//! Keeping a Binance book in step: a snapshot over REST, changes over the stream
//! ("How to manage a local order book correctly", spot and USD-M futures).
//!
//! Every change names the first and last update it covers (`U`, `u`), on futures also the last of the change before it
//! (`pu`). A change follows where it begins at, or before, the update after the one applied last, and ends after it: levels
//! are absolute, so that one which overlaps with what was applied still holds all the news. On futures only the first after
//! a snapshot may overlap; later ones must name the change before them ("if not, initialize the process").
//!
//! Changes that come before the snapshot are held, since the snapshot is made while the stream goes on. They are given
//! out when they are applied, with the time of capture they came with.

use std::collections::VecDeque;

use openmesh_primitives::Timestamp;

use super::change::Change;
use super::reach::Reach;

/// Changes that are held for one book while its snapshot is awaited: several minutes of the fastest stream.
pub(super) const HELD_MAX: usize = 4_096;

/// Changes in a row that repeat what is known before the count is taken to have been set back by the venue.
const STALE_MAX: u8 = 10;

/// Milliseconds after which a snapshot is asked for again.
pub(super) const RETRY_MS: i64 = 5_000;

/// The relation of a change to a book in step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follows {
    /// The next one.
    Yes,
    /// Covered by the snapshot already, as the rule expects.
    Covered,
    /// It was applied before: repeated, or out of order.
    Again,
    /// Something between is missing.
    No,
}

/// The count of a book, and what is held while it is not in step.
#[derive(Default)]
pub(super) struct Chain {
    /// The last update applied; `None` while out of step.
    last: Option<u64>,
    /// True once a change was applied after the snapshot.
    followed: bool,
    stale: u8,
    held: VecDeque<Change>,
    asked: Option<Timestamp>,
    /// Depth to which the book is known, while it is in step.
    pub(super) reach: Reach,
}

impl Chain {
    pub(super) fn in_step(&self) -> bool {
        self.last.is_some()
    }

    pub(super) fn last(&self) -> Option<u64> {
        self.last
    }

    /// A new connection begins: nothing is held and nothing asked.
    pub(super) fn reset(&mut self) {
        *self = Chain::default();
    }

    /// Out of step. When a snapshot was asked for last is remembered, so that a book which falls out of step again and
    /// again does not ask without pause.
    pub(super) fn lose(&mut self) {
        *self = Chain { asked: self.asked, ..Chain::default() };
    }

    /// Returns true where a snapshot has to be asked for now, once per [`RETRY_MS`].
    pub(super) fn ask(&mut self, now: Timestamp) -> bool {
        let waited = |then: Timestamp| now.nanos().saturating_sub(then.nanos()) >= RETRY_MS * 1_000_000;
        let due = self.last.is_none() && self.asked.is_none_or(waited);
        if due {
            self.asked = Some(now);
        }
        due
    }

    /// True where changes wait for a snapshot.
    pub(super) fn is_waiting(&self) -> bool {
        self.last.is_none() && self.asked.is_some()
    }

    /// Holds a change until the snapshot comes. The oldest goes where there are too many: should the snapshot need it,
    /// that shows as a gap.
    pub(super) fn hold(&mut self, change: Change) {
        if self.held.len() >= HELD_MAX {
            self.held.pop_front();
        }
        self.held.push_back(change);
    }

    /// Takes the count of a snapshot; `Err` names the first update held where the snapshot is too old to be joined to it.
    pub(super) fn begin(&mut self, last: u64) -> Result<VecDeque<Change>, u64> {
        let next = self.held.iter().find(|change| change.last > last);
        if let Some(change) = next.filter(|change| !starts_at_or_before(change, last)) {
            return Err(change.first);
        }
        self.last = Some(last);
        self.followed = false;
        self.stale = 0;
        Ok(std::mem::take(&mut self.held))
    }

    /// Holds a change against the count, and moves the count on where it follows.
    pub(super) fn follow(&mut self, change: &Change) -> Follows {
        let Some(last) = self.last else { return Follows::No };
        if change.last <= last {
            if !self.followed {
                return Follows::Covered;
            }
            self.stale = self.stale.saturating_add(1);
            return if self.stale > STALE_MAX { Follows::No } else { Follows::Again };
        }
        let fits = match change.previous {
            Some(previous) if self.followed => previous == last,
            _ => starts_at_or_before(change, last),
        };
        if !fits {
            return Follows::No;
        }
        self.last = Some(change.last);
        self.followed = true;
        self.stale = 0;
        Follows::Yes
    }

    /// The number that the next change has to begin with, or to name as the one before: for people.
    pub(super) fn expected(&self, change: &Change) -> String {
        let last = self.last.unwrap_or_default();
        match change.previous {
            Some(previous) => format!("pu {last} expected, {previous} came (U {}, u {})", change.first, change.last),
            None => format!("U {} expected, {} came (u {})", last.saturating_add(1), change.first, change.last),
        }
    }
}

/// Returns true where nothing lies between update `last` and the change.
fn starts_at_or_before(change: &Change, last: u64) -> bool {
    match change.previous {
        Some(previous) => previous <= last,
        None => change.first <= last.saturating_add(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spot(first: u64, last: u64) -> Change {
        let time = Timestamp(0);
        Change { time, captured: time, first, last, previous: None, bids: vec![], asks: vec![] }
    }

    fn futures(first: u64, last: u64, previous: u64) -> Change {
        Change { previous: Some(previous), ..spot(first, last) }
    }

    #[test]
    fn spot_follows_where_nothing_lies_between_and_something_is_new() {
        let mut chain = Chain::default();
        assert_eq!(chain.begin(100), Ok(VecDeque::new()));
        assert_eq!(chain.follow(&spot(90, 100)), Follows::Covered);
        assert_eq!(chain.follow(&spot(95, 105)), Follows::Yes);
        assert_eq!(chain.follow(&spot(106, 107)), Follows::Yes);
        assert_eq!(chain.follow(&spot(106, 107)), Follows::Again);
        assert_eq!(chain.follow(&spot(109, 110)), Follows::No);
        assert_eq!(chain.follow(&spot(108, 110)), Follows::Yes);
        // Overlaps with the one before and ends after it: its levels are absolute, nothing is missed.
        assert_eq!(chain.follow(&spot(107, 112)), Follows::Yes);
        assert_eq!(chain.follow(&spot(114, 115)), Follows::No);
        assert_eq!(chain.last(), Some(112));
    }

    #[test]
    fn futures_chain_by_the_previous_last() {
        let mut chain = Chain::default();
        assert!(chain.begin(100).is_ok());
        assert_eq!(chain.follow(&futures(150, 160, 101)), Follows::No);
        assert_eq!(chain.follow(&futures(150, 160, 100)), Follows::Yes);
        assert_eq!(chain.follow(&futures(170, 180, 159)), Follows::No);
        assert_eq!(chain.follow(&futures(170, 180, 160)), Follows::Yes);
    }

    #[test]
    fn a_snapshot_older_than_what_is_held_cannot_be_used() {
        let mut chain = Chain::default();
        chain.hold(spot(90, 99));
        chain.hold(spot(103, 104));
        assert_eq!(chain.begin(101), Err(103));
        assert!(!chain.in_step());
        assert_eq!(chain.begin(102).map(|held| held.len()), Ok(2));
    }

    #[test]
    fn a_count_that_was_set_back_is_noticed() {
        let mut chain = Chain::default();
        assert!(chain.begin(100).is_ok());
        assert_eq!(chain.follow(&spot(101, 101)), Follows::Yes);
        let seen: Vec<Follows> = (0..12).map(|at| chain.follow(&spot(at, at))).collect();
        assert_eq!(seen[..10], [Follows::Again; 10]);
        assert_eq!(seen[10], Follows::No);
    }

    #[test]
    fn asks_once_until_the_time_is_up() {
        let mut chain = Chain::default();
        assert!(chain.ask(Timestamp(0)) && !chain.ask(Timestamp::from_millis(RETRY_MS - 1)));
        assert!(chain.ask(Timestamp::from_millis(RETRY_MS)));
        assert!(chain.begin(1).is_ok() && !chain.ask(Timestamp::from_millis(10 * RETRY_MS)));
        chain.lose();
        assert!(chain.is_waiting() && !chain.ask(Timestamp::from_millis(RETRY_MS + 1)));
        assert!(chain.ask(Timestamp::from_millis(2 * RETRY_MS)));
    }

    #[test]
    fn what_is_held_is_bounded() {
        let mut chain = Chain::default();
        for at in 0..=HELD_MAX as u64 {
            chain.hold(spot(at, at));
        }
        assert_eq!(chain.begin(0).map(|held| held.len()), Ok(HELD_MAX));
    }
}
