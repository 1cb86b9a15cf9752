//! Attesting: from closed windows to attestations on the ledger. Clause A of `docs/spec/transactions.md`.
//!
//! Pure: heights and what the ledger's state says of a window ([`WindowFacts`]) are handed in, attestations come out. A
//! window waits here until the ledger holds this validator's attestation of it, or has closed it. It is looked at again
//! some blocks later, so a refused, lost or overtaken attestation is sent again under the epoch that then counts.
//!
//! Each window has a height from which it is looked at next. The work of a block is thereby that of the windows that are due
//! with it, not of all that wait: a node that is behind would else spend its time on reading the state, and fall further back.
//!
//! An attestation that the mempool has taken is never changed: two statements of one validator about one window would
//! compete. So of a stream whose chunk is withdrawn before it abstains, and one that is withdrawn after is reported.
//!
//! A window of which nothing was covered is attested only where another validator has opened it: then to abstain from
//! everything says that this one was there, and accuses nobody. Alone it would open a window for nothing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use openmesh_ledger::{self as ledger, Attestation, ChunkClaim, StateError, StateRead, Transaction};
use openmesh_primitives::{Address, Height, ValidatorKey};

use crate::window::{Window, WindowName, Withdrawal};

/// Windows that wait at once: six venues' of two hours. Beyond it the oldest is given up; the ledger then names this
/// validator as missing.
pub const WAITING_WINDOWS_MAX: usize = 4_096;
/// Blocks after which an attestation is usually on the ledger: the one that is being agreed on when the mempool takes it, and the next.
const SETTLE_BLOCKS: u64 = 2;
/// Blocks after which an attestation that did not get into one is sent again.
const RESEND_BLOCKS: u64 = 5;
/// Longest pause between two looks at a window that cannot be attested yet, in blocks: a window that another validator opens takes
/// attestations for some tens of blocks (`windows.window_close_blocks`).
const PAUSE_BLOCKS_MAX: u64 = 2;
/// Blocks after which a window that this validator is not assigned to is forgotten.
const FORGET_BLOCKS: u64 = 64;
/// Attested windows that are remembered, so that a late withdrawal is known to concern one: as many as may wait.
const ATTESTED_WINDOWS_MAX: usize = WAITING_WINDOWS_MAX;
/// Withdrawals that are remembered because their windows may still come: what the collector's channel holds at most.
const EARLY_WITHDRAWALS_MAX: usize = 1_024;

/// Facts that the state after a block holds about attesting a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowFacts {
    /// Height of that block.
    pub height: Height,
    /// Somebody has attested the window, which pinned its epoch.
    pub opened: bool,
    /// The window takes no more attestations.
    pub closed: bool,
    /// The state holds this validator's attestation.
    pub attested: bool,
    /// The epoch that an attestation names: the pinned one, or the current one.
    pub epoch: u64,
    /// This validator is assigned to the source in that epoch.
    pub assigned: bool,
}

impl WindowFacts {
    /// Reads the facts of several windows, in their order. Fails where the state cannot be read.
    pub fn read(
        state: &impl StateRead,
        validator: &Address,
        names: &[WindowName],
    ) -> Result<Vec<WindowFacts>, StateError> {
        let height = ledger::block_meta(state)?.height;
        let current = ledger::current_epoch(state)?;
        // The draw of a source is the same for all its windows of an epoch.
        let mut assigned: BTreeMap<(&str, u64), bool> = BTreeMap::new();
        let mut all = Vec::with_capacity(names.len());
        for name in names {
            let record = ledger::window(state, &name.source, name.number)?;
            let mut facts = WindowFacts {
                height,
                opened: record.is_some(),
                closed: record.as_ref().is_some_and(|r| r.closed),
                attested: record.as_ref().is_some_and(|r| r.attested.contains(validator)),
                epoch: record.as_ref().map_or(current, |r| r.epoch),
                assigned: false,
            };
            if !facts.closed && !facts.attested {
                let draw = (name.source.as_str(), facts.epoch);
                facts.assigned = match assigned.get(&draw) {
                    Some(known) => *known,
                    None => {
                        let drawn = ledger::assigned(state, &name.source, facts.epoch)?;
                        *assigned.entry(draw).or_insert(drawn.iter().any(|v| v.address == *validator))
                    }
                };
            }
            all.push(facts);
        }
        Ok(all)
    }
}

/// Result of handing an attestation to the mempool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// It is in the mempool.
    Accepted,
    /// It will never be accepted.
    Hopeless,
    /// It may be accepted after the next block: under another epoch, or where there is more room.
    Later,
}

/// State in which a withdrawal found its chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withdrawn {
    /// No attestation that claims it was sent, and none will be.
    Unsent,
    /// The attestation that claims it was sent.
    Sent,
}

#[derive(Debug)]
struct Waiting {
    chunks: Vec<ChunkClaim>,
    abstained: Vec<String>,
    /// Height at which the window closed here.
    since: Height,
    /// An attestation is on its way to the mempool.
    submitting: bool,
    /// Height at which the mempool took the last attestation.
    accepted: Option<Height>,
    /// Height from which the window is looked at next: its place in [`Attester::looks`] while nothing is on its way.
    look_at: Height,
    /// Blocks of the last pause.
    pause: u64,
}

impl Waiting {
    /// Abstains from a stream that was claimed.
    fn withdraw(&mut self, stream: &str) {
        let before = self.chunks.len();
        self.chunks.retain(|claim| claim.stream != stream);
        if self.chunks.len() < before {
            self.abstained.push(stream.into());
        }
    }
}

/// The windows of one validator that wait to be attested.
#[derive(Debug)]
pub struct Attester {
    key: ValidatorKey,
    chain_id: u64,
    waiting: BTreeMap<WindowName, Waiting>,
    /// The windows that wait, but for those of which an attestation is on its way, by the height from which each is looked at.
    looks: BTreeSet<(Height, WindowName)>,
    /// Windows whose attestation stands on the ledger with the streams that it claims, oldest first.
    attested: VecDeque<(WindowName, BTreeSet<String>)>,
    /// Withdrawals that came before their windows may have, oldest first: both come by channels of their own.
    early: VecDeque<(WindowName, String)>,
}

impl Attester {
    /// An attester without windows.
    pub fn new(key: ValidatorKey, chain_id: u64) -> Attester {
        Attester {
            key,
            chain_id,
            waiting: BTreeMap::new(),
            looks: BTreeSet::new(),
            attested: VecDeque::new(),
            early: VecDeque::new(),
        }
    }

    /// Address of the validator that attests.
    pub fn validator(&self) -> Address {
        self.key.public().address()
    }

    /// Number of windows that wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Takes a closed window in. Returns a window that is given up for it, where too many wait.
    pub fn closed(&mut self, window: Window, height: Height) -> Option<WindowName> {
        // The same window again, after the collector of its source was started anew: what was said first stands.
        if self.waiting.get(&window.name).is_some_and(|w| w.submitting || w.accepted.is_some()) {
            return None;
        }
        let Window { name, chunks, abstained } = window;
        let (since, look_at) = (height, height);
        let mut waiting = Waiting { chunks, abstained, since, submitting: false, accepted: None, look_at, pause: 0 };
        self.early.retain(|(of, stream)| {
            if *of == name {
                waiting.withdraw(stream);
            }
            *of != name
        });
        self.remove(&name);
        self.looks.insert((look_at, name.clone()));
        self.waiting.insert(name, waiting);
        if self.waiting.len() <= WAITING_WINDOWS_MAX {
            return None;
        }
        let oldest = self.waiting.iter().min_by_key(|(name, waiting)| (waiting.since, name.number))?.0.clone();
        self.remove(&oldest);
        Some(oldest)
    }

    /// Takes a chunk back.
    pub fn withdrawn(&mut self, withdrawal: &Withdrawal) -> Withdrawn {
        if let Some(waiting) = self.waiting.get_mut(&withdrawal.name) {
            let claimed = waiting.chunks.iter().any(|claim| claim.stream == withdrawal.stream);
            if claimed && (waiting.submitting || waiting.accepted.is_some()) {
                return Withdrawn::Sent;
            }
            waiting.withdraw(&withdrawal.stream);
            return Withdrawn::Unsent;
        }
        let claimed = |(name, streams): &(WindowName, BTreeSet<String>)| {
            *name == withdrawal.name && streams.contains(&withdrawal.stream)
        };
        if self.attested.iter().any(claimed) {
            return Withdrawn::Sent;
        }
        self.early.push_back((withdrawal.name.clone(), withdrawal.stream.clone()));
        if self.early.len() > EARLY_WITHDRAWALS_MAX {
            self.early.pop_front();
        }
        Withdrawn::Unsent
    }

    /// The windows that are due at a height, at most `max`: those first that have been so for longest. What is due is so until
    /// [`Attester::decide`] has looked at it with the facts of that height or a later one.
    pub fn due(&self, now: Height, max: usize) -> Vec<WindowName> {
        let due = self.looks.iter().take_while(|(height, _)| *height <= now);
        due.take(max).map(|(_, name)| name.clone()).collect()
    }

    /// Decides on a window by the facts about it. Returns the transaction to be submitted now, of which
    /// [`Attester::submitted`] has to be told.
    pub fn decide(&mut self, name: &WindowName, facts: &WindowFacts) -> Option<Vec<u8>> {
        let waiting = self.waiting.get(name)?;
        if facts.attested {
            self.remember(name);
            return None;
        }
        if facts.closed {
            self.remove(name);
            return None;
        }
        if waiting.submitting {
            return None;
        }
        if let Some(resend) = waiting.accepted.map(|height| height + RESEND_BLOCKS).filter(|at| facts.height < *at) {
            self.look_from(name, resend);
            return None;
        }
        // Where nobody has opened the window yet, the next epoch may assign it to this validator, and another one may open it.
        let pointless = !facts.assigned || (waiting.chunks.is_empty() && !facts.opened);
        if pointless {
            if facts.opened || facts.height > waiting.since + FORGET_BLOCKS {
                self.remove(name);
            } else {
                self.pause(name, facts.height);
            }
            return None;
        }
        let waiting = self.waiting.get_mut(name)?;
        self.looks.remove(&(waiting.look_at, name.clone()));
        waiting.submitting = true;
        let (chunks, abstained) = (waiting.chunks.clone(), waiting.abstained.clone());
        let WindowName { source, number } = name;
        let signed = Attestation::sign(&self.key, self.chain_id, source, *number, facts.epoch, chunks, abstained);
        Some(Transaction::Attestation(signed).encode())
    }

    /// Notes what the mempool said about the transaction of a window.
    pub fn submitted(&mut self, name: &WindowName, height: Height, outcome: Submitted) {
        let Some(waiting) = self.waiting.get_mut(name).filter(|waiting| waiting.submitting) else { return };
        waiting.submitting = false;
        match outcome {
            Submitted::Accepted => {
                waiting.accepted = Some(height);
                self.look_from(name, height + SETTLE_BLOCKS);
            }
            Submitted::Hopeless => drop(self.remove(name)),
            Submitted::Later => self.pause(name, height),
        }
    }

    /// Has a window looked at from a height on.
    fn look_from(&mut self, name: &WindowName, height: Height) {
        let Some(waiting) = self.waiting.get_mut(name) else { return };
        self.looks.remove(&(waiting.look_at, name.clone()));
        waiting.look_at = height;
        self.looks.insert((height, name.clone()));
    }

    /// Has a window looked at after a pause twice as long as the last one.
    fn pause(&mut self, name: &WindowName, now: Height) {
        let Some(waiting) = self.waiting.get_mut(name) else { return };
        waiting.pause = (waiting.pause * 2).clamp(1, PAUSE_BLOCKS_MAX);
        let pause = waiting.pause;
        self.look_from(name, now + pause);
    }

    fn remove(&mut self, name: &WindowName) -> Option<Waiting> {
        let waiting = self.waiting.remove(name)?;
        self.looks.remove(&(waiting.look_at, name.clone()));
        Some(waiting)
    }

    fn remember(&mut self, name: &WindowName) {
        let Some(waiting) = self.remove(name) else { return };
        self.attested.push_back((name.clone(), waiting.chunks.into_iter().map(|claim| claim.stream).collect()));
        if self.attested.len() > ATTESTED_WINDOWS_MAX {
            self.attested.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openmesh_primitives::{ContentId, canonical};

    const OPEN: WindowFacts =
        WindowFacts { height: 10, opened: false, closed: false, attested: false, epoch: 3, assigned: true };

    fn name(number: u64) -> WindowName {
        WindowName { source: "kraken".into(), number }
    }

    fn window(number: u64, streams: &[&str]) -> Window {
        let claim = |stream: &&str| ChunkClaim {
            stream: (*stream).into(),
            cid: ContentId::of(format!("{stream} {number}").as_bytes()),
            bytes: 9,
            events: 1,
        };
        Window { name: name(number), chunks: streams.iter().map(claim).collect(), abstained: Vec::new() }
    }

    fn abstained(transaction: &[u8]) -> Vec<String> {
        let Transaction::Attestation(attestation) = canonical::decode(transaction).unwrap() else { panic!() };
        attestation.abstained
    }

    fn withdrawal(number: u64, stream: &str) -> Withdrawal {
        Withdrawal { name: name(number), stream: stream.into(), reason: "late" }
    }

    fn attester() -> Attester {
        Attester::new(ValidatorKey::from_seed([7; 32]), 1)
    }

    fn streams(transaction: &[u8]) -> Vec<String> {
        let Transaction::Attestation(attestation) = canonical::decode(transaction).unwrap() else { panic!() };
        attestation.chunks.into_iter().map(|claim| claim.stream).collect()
    }

    #[test]
    fn a_chunk_that_is_withdrawn_in_time_is_not_claimed() {
        let mut attester = attester();
        attester.closed(window(1, &["BTC.USD/book", "BTC.USD/trades"]), 9);
        attester.closed(window(2, &["BTC.USD/trades"]), 9);
        assert_eq!(attester.withdrawn(&withdrawal(1, "BTC.USD/trades")), Withdrawn::Unsent);
        assert_eq!(attester.withdrawn(&withdrawal(2, "BTC.USD/trades")), Withdrawn::Unsent);
        assert_eq!(attester.withdrawn(&withdrawal(1, "ETH.USD/trades")), Withdrawn::Unsent, "of which there is none");
        let first = attester.decide(&name(1), &OPEN).unwrap();
        assert_eq!((streams(&first), abstained(&first)), (vec!["BTC.USD/book".into()], vec!["BTC.USD/trades".into()]));
        assert_eq!(attester.decide(&name(2), &OPEN), None, "nothing is left to be claimed");
    }

    #[test]
    fn streams_that_were_not_covered_are_abstained_from() {
        let mut attester = attester();
        let partly = Window { abstained: vec!["ETH.USD/trades".into()], ..window(1, &["BTC.USD/trades"]) };
        attester.closed(partly, 9);
        attester.closed(Window { abstained: vec!["BTC.USD/trades".into()], ..window(2, &[]) }, 9);
        let first = attester.decide(&name(1), &OPEN).unwrap();
        assert_eq!(
            (streams(&first), abstained(&first)),
            (vec!["BTC.USD/trades".into()], vec!["ETH.USD/trades".into()])
        );
        assert_eq!(attester.decide(&name(2), &OPEN), None, "a window is not opened for nothing");
        let second = attester.decide(&name(2), &WindowFacts { opened: true, ..OPEN }).unwrap();
        assert_eq!((streams(&second), abstained(&second)), (Vec::new(), vec!["BTC.USD/trades".into()]));
    }

    #[test]
    fn a_chunk_that_is_withdrawn_too_late_is_known_to_be_claimed() {
        let (mut attester, late) = (attester(), withdrawal(1, "BTC.USD/trades"));
        attester.closed(window(1, &["BTC.USD/trades"]), 9);
        attester.decide(&name(1), &OPEN).unwrap();
        assert_eq!(attester.withdrawn(&late), Withdrawn::Sent, "on its way");
        attester.submitted(&name(1), 10, Submitted::Accepted);
        assert_eq!(attester.withdrawn(&late), Withdrawn::Sent, "in the mempool");
        let resent = attester.decide(&name(1), &WindowFacts { height: 15, ..OPEN }).unwrap();
        assert_eq!(streams(&resent), ["BTC.USD/trades"], "one statement about one window");
        attester.decide(&name(1), &WindowFacts { attested: true, ..OPEN });
        assert_eq!((attester.waiting(), attester.withdrawn(&late)), (0, Withdrawn::Sent), "on the ledger");
        assert_eq!(attester.withdrawn(&withdrawal(2, "BTC.USD/trades")), Withdrawn::Unsent);
    }

    #[test]
    fn a_withdrawal_that_comes_before_its_window_counts() {
        let mut attester = attester();
        attester.withdrawn(&withdrawal(1, "BTC.USD/trades"));
        attester.withdrawn(&withdrawal(2, "BTC.USD/trades"));
        attester.closed(window(1, &["BTC.USD/book", "BTC.USD/trades"]), 9);
        attester.closed(window(2, &["BTC.USD/trades"]), 9);
        attester.closed(window(3, &["BTC.USD/trades"]), 9);
        assert_eq!(streams(&attester.decide(&name(1), &OPEN).unwrap()), ["BTC.USD/book"]);
        assert_eq!(attester.decide(&name(2), &OPEN), None);
        assert_eq!(streams(&attester.decide(&name(3), &OPEN).unwrap()), ["BTC.USD/trades"]);
    }

    #[test]
    fn the_same_window_again_changes_nothing_that_was_sent() {
        let mut attester = attester();
        attester.closed(window(1, &["BTC.USD/trades"]), 9);
        attester.decide(&name(1), &OPEN).unwrap();
        attester.closed(window(1, &["BTC.USD/book"]), 9);
        attester.submitted(&name(1), 10, Submitted::Accepted);
        let resent = attester.decide(&name(1), &WindowFacts { height: 15, ..OPEN }).unwrap();
        assert_eq!(streams(&resent), ["BTC.USD/trades"]);
    }

    #[test]
    fn what_is_not_on_the_ledger_is_sent_again_and_what_cannot_be_is_forgotten() {
        let mut attester = attester();
        (1..=4).for_each(|number| drop(attester.closed(window(number, &["BTC.USD/trades"]), 9)));
        let at = |height| WindowFacts { height, ..OPEN };
        assert!(attester.decide(&name(1), &at(10)).is_some());
        assert_eq!((attester.decide(&name(1), &at(11)), attester.due(11, 9).len()), (None, 3), "it is on its way");
        attester.submitted(&name(1), 10, Submitted::Later);
        assert!(attester.decide(&name(1), &at(11)).is_some(), "the mempool was full");
        attester.submitted(&name(1), 11, Submitted::Accepted);
        assert_eq!(attester.decide(&name(1), &at(15)), None);
        assert!(attester.decide(&name(1), &at(16)).is_some(), "it got into no block");
        // Not assigned: the next epoch may change that, unless the window is open under another.
        attester.decide(&name(2), &WindowFacts { assigned: false, ..OPEN });
        attester.decide(&name(3), &WindowFacts { assigned: false, opened: true, ..OPEN });
        attester.decide(&name(4), &WindowFacts { closed: true, ..OPEN });
        assert_eq!((attester.due(10, 9), attester.due(11, 9)), (vec![], vec![name(2)]), "after a pause");
        attester.decide(&name(2), &WindowFacts { assigned: false, height: 74, ..OPEN });
        attester.submitted(&name(1), 16, Submitted::Hopeless);
        assert_eq!(attester.waiting(), 0);
    }

    #[test]
    fn windows_that_wait_are_looked_at_seldom() {
        let mut attester = attester();
        for number in 0..WAITING_WINDOWS_MAX as u64 {
            attester.closed(window(number, if number % 2 == 0 { &["BTC.USD/trades"] } else { &[] }), 9);
        }
        let mut looks = 0;
        for height in 10..10 + FORGET_BLOCKS {
            // As a network in which no block has room, and of which half of the windows are opened by nobody.
            loop {
                let due = attester.due(height, 64);
                let Some(_) = due.first() else { break };
                for name in due {
                    looks += 1;
                    if attester.decide(&name, &WindowFacts { height, ..OPEN }).is_some() {
                        let outcome = if height % 2 == 0 { Submitted::Accepted } else { Submitted::Later };
                        attester.submitted(&name, height, outcome);
                    }
                }
            }
        }
        assert_eq!(attester.waiting(), WAITING_WINDOWS_MAX, "nothing is forgotten for it");
        let most = WAITING_WINDOWS_MAX as u64 * (FORGET_BLOCKS / PAUSE_BLOCKS_MAX + 3);
        assert!((WAITING_WINDOWS_MAX as u64..most).contains(&looks), "{looks} looks");
    }

    #[test]
    fn those_that_are_due_for_longest_come_first() {
        let mut attester = attester();
        attester.closed(window(1, &["BTC.USD/trades"]), 9);
        attester.closed(window(2, &["BTC.USD/trades"]), 8);
        attester.closed(window(3, &["BTC.USD/trades"]), 10);
        assert_eq!((attester.due(9, 9), attester.due(10, 1)), (vec![name(2), name(1)], vec![name(2)]));
    }

    #[test]
    fn where_too_many_wait_the_oldest_is_named_and_given_up() {
        let mut attester = attester();
        for number in 0..WAITING_WINDOWS_MAX as u64 {
            assert_eq!(attester.closed(window(number, &["BTC.USD/trades"]), number), None);
        }
        assert_eq!(attester.closed(window(9_999, &["BTC.USD/trades"]), 9_999), Some(name(0)));
        assert_eq!(attester.waiting(), WAITING_WINDOWS_MAX);
    }
}
