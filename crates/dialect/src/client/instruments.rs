//! The instruments that a session has met, with their books and whether each book is in step with the venue.
//!
//! A session looks its instruments up once a frame, so they are kept apart from the venue's table of names: a table has
//! a thousand rows, a session a handful. What is unusual here is [`Step`]: a book that has missed something is emptied
//! and refuses deltas until the next snapshot, and remembers since when, so that a snapshot which never comes is
//! noticed too.

use std::collections::BTreeMap;

use openmesh_market::ConnectionId;
use openmesh_market::OrderBook;
use openmesh_market::event::{Feed, IncidentKind, Level, Side};
use openmesh_primitives::{Symbol, Timestamp};

use super::emit::Emit;
use super::links::Links;
use super::names::INSTRUMENTS_MAX;
use super::unreadable::Unreadable;

/// Milliseconds for which a book waits for the snapshot it asked for before its connection is opened anew.
pub(crate) const SNAPSHOT_AWAITED_MS_MAX: i64 = 15_000;

/// Most levels of one side of a book. The whole books of the venues have some ten thousand; a venue that adds levels
/// without end must not fill the memory.
pub(crate) const LEVELS_MAX: usize = 200_000;

/// Shortest time between two requests for a snapshot of one book. A book that keeps failing its check would otherwise
/// ask at the speed of the line, where venues allow some hundred requests an hour; then [`SNAPSHOT_AWAITED_MS_MAX`] and
/// a new connection, for which the driver takes its time, are the way out.
pub(crate) const SNAPSHOT_ASKED_MS_MIN: i64 = 5_000;

/// The state of a book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// No snapshot came yet on this connection, and nothing that would need one.
    Waiting,
    /// Equal to the venue's, as far as its checks can tell.
    In,
    /// Something was missed; that was said, and a snapshot asked for.
    Out {
        /// Since when a snapshot is awaited.
        since: Timestamp,
    },
}

/// One instrument.
pub(crate) struct Instrument {
    /// Our name.
    pub symbol: Symbol,
    /// Connection of its book.
    pub connection: ConnectionId,
    /// Its book; meaningful only in step.
    pub book: OrderBook,
    /// State of the book.
    pub step: Step,
    /// The venue's sequence number of the last message that was applied.
    pub sequence: Option<u64>,
    /// Levels a side of the feed that the book is built from, where a venue offers several.
    pub depth: u32,
    crossed: bool,
    asked: Option<Timestamp>,
    /// Since when the first snapshot of the connection is awaited, where the book was subscribed to.
    awaited: Option<Timestamp>,
}

impl Instrument {
    /// The book was subscribed to on this connection: it begins with a snapshot.
    pub(crate) fn subscribed(&mut self, connection: ConnectionId, now: Timestamp) {
        self.connection = connection;
        if self.step == Step::Waiting {
            self.awaited = Some(now);
        }
    }

    /// Takes a whole book in and makes the lists what a snapshot event carries: best first, no empty levels.
    pub(crate) fn replace(&mut self, bids: &mut Vec<Level>, asks: &mut Vec<Level>) {
        self.book.clear();
        for (side, levels) in [(Side::Buy, bids), (Side::Sell, asks)] {
            // As nearly every snapshot is: in order, and with nothing odd in it.
            if self.book.fill(side, levels) {
                continue;
            }
            levels.retain(|level| !level.1.is_zero());
            let best_first = |a: &Level, b: &Level| match side {
                Side::Buy => b.0.cmp(&a.0),
                Side::Sell => a.0.cmp(&b.0),
            };
            if !levels.is_sorted_by(|a, b| best_first(a, b).is_le()) {
                levels.sort_by(best_first);
            }
            levels.dedup_by(|a, b| a.0 == b.0);
            // Worst first, so that each level is put at the end of the book's vector and none has to move.
            for (price, size) in levels.iter().rev() {
                self.book.set(side, *price, *size);
            }
        }
        self.step = Step::In;
        self.crossed = false;
        self.awaited = None;
    }

    /// Applies changed levels.
    pub(crate) fn apply(&mut self, bids: &[Level], asks: &[Level]) {
        for (side, levels) in [(Side::Buy, bids), (Side::Sell, asks)] {
            for (price, size) in levels {
                self.book.set(side, *price, *size);
            }
        }
    }

    /// Puts the book out of step; deltas are refused from here on.
    pub(crate) fn lose(&mut self, since: Timestamp) {
        self.forget();
        self.step = Step::Out { since };
    }

    /// Puts the book out of step; whether a snapshot may be asked for again already.
    pub(crate) fn lose_and_ask(&mut self, now: Timestamp) -> bool {
        self.lose(now);
        let early = |then: Timestamp| now.nanos().saturating_sub(then.nanos()) < SNAPSHOT_ASKED_MS_MIN * 1_000_000;
        let may = !self.asked.is_some_and(early);
        if may {
            self.asked = Some(now);
        }
        may
    }

    /// Back to the state before the first snapshot: a new connection begins.
    pub(crate) fn forget(&mut self) {
        self.book.clear();
        self.step = Step::Waiting;
        self.sequence = None;
        self.depth = 0;
        self.crossed = false;
        self.awaited = None;
    }

    /// Looks a book over that has just changed, and says whether it may go on. Says once when it becomes crossed; that
    /// is no reason to resynchronise: venues do publish crossed books, in auctions for example. One with more levels
    /// than [`LEVELS_MAX`] is put out of step: a new snapshot is all that may help.
    pub(crate) fn look_over(&mut self, emit: &mut Emit<'_>) -> bool {
        let deepest = self.book.depth(Side::Buy).max(self.book.depth(Side::Sell));
        if deepest > LEVELS_MAX {
            let detail = format!("a book with {deepest} levels on a side, more than the {LEVELS_MAX} that are kept");
            emit.incident(IncidentKind::Gap, Some(&self.symbol), Some(Feed::Book), detail);
            self.lose(emit.now);
            return false;
        }
        let crossed = self.book.is_crossed();
        if crossed && !self.crossed {
            let best = |side| self.book.best(side).map_or_else(String::new, |level| level.0.to_string());
            let detail = format!("best bid {} is not below best ask {}", best(Side::Buy), best(Side::Sell));
            emit.incident(IncidentKind::Crossed, Some(&self.symbol), Some(Feed::Book), detail);
        }
        self.crossed = crossed;
        true
    }
}

/// Names that are found again without a search: a session's handful.
const RECENT: usize = 32;

/// The instruments of one market, by the venue's name.
#[derive(Default)]
pub(crate) struct Instruments {
    index: BTreeMap<String, usize>,
    list: Vec<Instrument>,
    /// Names met last, each at the place that its letters give.
    recent: [Option<(Box<str>, usize)>; RECENT],
}

/// Returns the place of a name among those met last.
#[inline]
fn slot(name: &str) -> usize {
    let sum = |sum: usize, byte: &u8| sum.wrapping_mul(31).wrapping_add(usize::from(*byte));
    name.as_bytes().iter().take(8).fold(name.len(), sum) % RECENT
}

impl Instruments {
    /// The place of an instrument; at first sight `name` says what we call it.
    pub(crate) fn place(
        &mut self,
        venue: &str,
        connection: ConnectionId,
        name: impl FnOnce(&str) -> Option<Symbol>,
    ) -> Result<usize, Unreadable> {
        let slot = slot(venue);
        if let Some((name, place)) = &self.recent[slot]
            && **name == *venue
        {
            return Ok(*place);
        }
        let place = self.search(venue, connection, name)?;
        self.recent[slot] = Some((venue.into(), place));
        Ok(place)
    }

    fn search(
        &mut self,
        venue: &str,
        connection: ConnectionId,
        name: impl FnOnce(&str) -> Option<Symbol>,
    ) -> Result<usize, Unreadable> {
        if let Some(place) = self.index.get(venue) {
            return Ok(*place);
        }
        let refuse =
            |what: &str| Unreadable(format!("instrument {:?}: {what}", super::unreadable::excerpt(venue.as_bytes())));
        if self.index.len() >= INSTRUMENTS_MAX {
            return Err(refuse("more instruments than a session keeps"));
        }
        let symbol = name(venue).ok_or_else(|| refuse("a name of unknown form"))?;
        // What cannot be read back would break whoever reads the event.
        if symbol.to_string().parse::<Symbol>().as_ref() != Ok(&symbol) {
            return Err(refuse("a name that is no symbol of ours"));
        }
        // Two names of one instrument, as Kraken's versions have them: it has one book all the same.
        let place = self.list.iter().position(|i| i.symbol == symbol).unwrap_or(self.list.len());
        self.index.insert(venue.to_owned(), place);
        if place < self.list.len() {
            return Ok(place);
        }
        self.list.push(Instrument {
            symbol,
            connection,
            book: OrderBook::new(),
            step: Step::Waiting,
            sequence: None,
            depth: 0,
            crossed: false,
            asked: None,
            awaited: None,
        });
        Ok(place)
    }

    /// An instrument by its place.
    pub(crate) fn get(&mut self, place: usize) -> Option<&mut Instrument> {
        self.list.get_mut(place)
    }

    /// Every instrument.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Instrument> {
        self.list.iter_mut()
    }

    /// The book of an instrument, where it is in step.
    pub(crate) fn book(&self, symbol: &Symbol) -> Option<&OrderBook> {
        self.list.iter().find(|i| i.step == Step::In && i.symbol == *symbol).map(|i| &i.book)
    }

    /// Every book in step, by symbol.
    pub(crate) fn books(&self) -> Vec<(Symbol, &OrderBook)> {
        let in_step = self.list.iter().filter(|i| i.step == Step::In);
        let mut books: Vec<_> = in_step.map(|i| (i.symbol.clone(), &i.book)).collect();
        books.sort_by(|a, b| a.0.cmp(&b.0));
        books
    }

    /// A connection is another one: nothing that came over it holds any more.
    pub(crate) fn forget(&mut self, connection: ConnectionId) {
        self.list.iter_mut().filter(|i| i.connection == connection).for_each(Instrument::forget);
    }

    /// Says of which books the snapshot is overdue, and opens their connections anew. A book that never came may be one
    /// that the venue will not give: its connection has others, and is not opened anew for it all the time.
    pub(crate) fn renew_overdue(&mut self, links: &mut Links, emit: &mut Emit<'_>) {
        for connection in self.overdue(emit.now) {
            let detail = "the snapshot that was asked for does not come".to_owned();
            emit.incident(IncidentKind::Silence, None, Some(Feed::Book), detail);
            links.renew(connection, emit);
        }
        for (connection, symbol) in self.unanswered(emit.now) {
            let detail = "the snapshot of a book that was subscribed to does not come".to_owned();
            emit.incident(IncidentKind::Silence, Some(&symbol), Some(Feed::Book), detail);
            links.unanswered(connection, emit.now);
        }
    }

    /// Books that were subscribed to and never came. Each is named once a connection.
    fn unanswered(&mut self, now: Timestamp) -> Vec<(ConnectionId, Symbol)> {
        let due = |then: Timestamp| now.nanos().saturating_sub(then.nanos()) >= SNAPSHOT_AWAITED_MS_MAX * 1_000_000;
        let mut unanswered = Vec::new();
        for instrument in self.list.iter_mut().filter(|i| i.step == Step::Waiting && i.awaited.is_some_and(due)) {
            instrument.awaited = None;
            unanswered.push((instrument.connection, instrument.symbol.clone()));
        }
        unanswered
    }

    /// Connections on which a snapshot is overdue. Their books' waiting begins anew, so that each is named once.
    fn overdue(&mut self, now: Timestamp) -> Vec<ConnectionId> {
        let mut connections = Vec::new();
        for instrument in &mut self.list {
            if let Step::Out { since } = &mut instrument.step
                && now.nanos().saturating_sub(since.nanos()) >= SNAPSHOT_AWAITED_MS_MAX * 1_000_000
            {
                *since = now;
                connections.push(instrument.connection);
            }
        }
        connections.dedup();
        connections
    }
}

const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];

/// `yymmdd` as a number from `25DEC26` or `5DEC26`.
pub(crate) fn expiry_of(text: &str) -> Option<u32> {
    let (rest, year) = text.split_at_checked(text.len().checked_sub(2)?)?;
    let (day, month) = rest.split_at_checked(rest.len().checked_sub(3)?)?;
    let number = |s: &str| (s.bytes().all(|b| b.is_ascii_digit())).then(|| s.parse::<u32>().ok()).flatten();
    let month = MONTHS.iter().position(|m| *m == month)? as u32 + 1;
    let (day, year) = (number(day)?, number(year)?);
    (1..=31).contains(&day).then(|| year * 10_000 + month * 100 + day)
}

/// `25DEC26` from `yymmdd` as a number.
pub(crate) fn expiry_text(yymmdd: u32) -> Option<String> {
    let month = MONTHS.get((yymmdd / 100 % 100).checked_sub(1)? as usize)?;
    Some(format!("{:02}{month}{:02}", yymmdd % 100, yymmdd / 10_000 % 100))
}

#[cfg(test)]
mod tests {
    use super::*;
    use openmesh_primitives::Decimal;

    #[test]
    fn expiries_both_ways() {
        assert_eq!(expiry_of("25DEC26"), Some(261_225));
        assert_eq!(expiry_of("5JAN05"), Some(50_105));
        assert_eq!(expiry_text(261_225).as_deref(), Some("25DEC26"));
        for text in ["", "26", "DEC26", "99DEC26", "25XXX26", "é5DEC26", "25DECxx", "4294967295DEC26"] {
            assert_eq!(expiry_of(text), None, "{text}");
        }
        assert_eq!(expiry_text(0), None);
    }

    #[test]
    fn a_snapshot_is_sorted_and_cleaned_whatever_its_order() {
        let mut instruments = Instruments::default();
        let place = instruments.place("X", ConnectionId(0), |_| Some(Symbol::spot("A", "B"))).unwrap();
        let level = |price: i64, size: i64| (Decimal::from(price), Decimal::from(size));
        let mut bids = vec![level(1, 5), level(3, 1), level(2, 0), level(2, 7)];
        let mut asks = vec![level(9, 1), level(8, 2)];
        let instrument = instruments.get(place).unwrap();
        instrument.replace(&mut bids, &mut asks);
        assert_eq!(bids, [level(3, 1), level(2, 7), level(1, 5)]);
        assert_eq!(asks, [level(8, 2), level(9, 1)]);
        assert_eq!(instrument.book.levels(Side::Buy).copied().collect::<Vec<_>>(), bids);
        assert_eq!(instrument.book.levels(Side::Sell).copied().collect::<Vec<_>>(), asks);
        assert!(instrument.lose_and_ask(Timestamp(0)));
        let soon = Timestamp::from_millis(SNAPSHOT_ASKED_MS_MIN - 1);
        assert!(!instrument.lose_and_ask(soon), "not at the speed of the line");
        assert!(instrument.lose_and_ask(Timestamp::from_millis(SNAPSHOT_ASKED_MS_MIN)));
        instrument.lose(Timestamp(0));
        assert!(instruments.book(&Symbol::spot("A", "B")).is_none());
        assert!(instruments.overdue(Timestamp::from_millis(SNAPSHOT_AWAITED_MS_MAX - 1)).is_empty());
        assert_eq!(instruments.overdue(Timestamp::from_millis(SNAPSHOT_AWAITED_MS_MAX)), [ConnectionId(0)]);
    }

    #[test]
    fn a_book_without_end_is_put_out_of_step() {
        let mut instruments = Instruments::default();
        let place = instruments.place("X", ConnectionId(0), |_| Some(Symbol::spot("A", "B"))).unwrap();
        let instrument = instruments.get(place).unwrap();
        let level = |price: usize| (Decimal::from(price as i64), Decimal::from(1));
        let mut output = crate::session::Output::default();
        let mut emit = Emit {
            exchange: openmesh_market::event::Exchange::Coinbase,
            now: Timestamp::from_millis(1),
            output: &mut output,
        };
        let mut asks = (1..=LEVELS_MAX).map(level).collect();
        instrument.replace(&mut Vec::new(), &mut asks);
        assert!(instrument.look_over(&mut emit) && instrument.step == Step::In);
        instrument.apply(&[], &[level(LEVELS_MAX + 1)]);
        assert!(!instrument.look_over(&mut emit));
        assert_eq!(instrument.step, Step::Out { since: Timestamp::from_millis(1) });
        assert_eq!(instrument.book.depth(Side::Sell), 0);
        let told = &emit.output.events[0].kind;
        assert!(
            matches!(told, openmesh_market::event::EventKind::Incident(i) if i.kind == IncidentKind::Gap),
            "{told:?}"
        );
    }

    #[test]
    fn two_names_of_one_instrument_have_one_book() {
        let mut instruments = Instruments::default();
        let mut place =
            |name: &str| instruments.place(name, ConnectionId(0), |n| n.replace("XBT/", "BTC.").parse().ok());
        assert_eq!(
            (place("XBT/USD"), place("BTC.USD"), place("ETH.USD"), place("XBT/USD")),
            (Ok(0), Ok(0), Ok(1), Ok(0))
        );
    }

    #[test]
    fn names_that_are_no_symbols_are_refused() {
        let mut instruments = Instruments::default();
        let mut place = |name: &str| instruments.place(name, ConnectionId(0), |n| Some(Symbol::spot(n, "USD")));
        assert!(place("../X").is_err() && place("").is_err());
        assert_eq!(place("BTC"), Ok(0));
    }
}
