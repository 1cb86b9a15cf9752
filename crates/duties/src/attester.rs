//! Attesting: from closed windows to commitments and attestations on the ledger. Clauses A and K of `docs/spec/transactions.md`.
//!
//! Pure: heights and what the ledger's state says of a window ([`WindowFacts`]) are handed in, attestations come out. A
//! window waits here until the ledger holds this validator's attestation of it, or has closed it. It is looked at again
//! some blocks later, so a refused, lost or overtaken attestation is sent again under the epoch that then counts.
//!
//! Each window has a height from which it is looked at next. The work of a block is thereby that of the windows that are due
//! with it, not of all that wait: a node that is behind would else spend its time on reading the state, and fall further back.
//!
//! A validator commits to its statement first, and attests it when nobody can commit any more. The statement is to be kept before its
//! commitment is handed in ([`Attester::to_keep`]): after a crash it is the only one that opens it ([`Attester::restored`]).
//!
//! A statement that the mempool has taken, sealed or not, is never changed: two of one validator about one window would
//! compete. So of a stream whose chunk is withdrawn before it abstains, and one that is withdrawn after is reported.
//!
//! A window of which nothing was covered is attested only where another validator has opened it: then to abstain from
//! everything says that this one was there, and accuses nobody. Alone it would open a window for nothing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use openmesh_ledger::{Attestation, ChunkClaim, Commitment, Transaction};
use openmesh_primitives::{Address, Height, ValidatorKey};

use crate::facts::{Step, WindowFacts};
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
    /// The last word that was handed to the mempool. From then on the statement stands.
    sent: Option<Word>,
    /// A word is on its way to the mempool.
    submitting: bool,
    /// Height at which the mempool took the last word.
    accepted: Option<Height>,
    /// Height from which the window is looked at next: its place in [`Attester::looks`] while nothing is on its way.
    look_at: Height,
    /// Blocks of the last pause.
    pause: u64,
    /// The statement was given to be kept.
    kept: bool,
    /// It comes from before a crash, and its commitment may be on its way.
    restored: bool,
}

/// A validator's word on a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Commitment,
    Attestation,
}

impl Waiting {
    fn new(window: Window, since: Height) -> Waiting {
        let Window { chunks, abstained, .. } = window;
        Waiting {
            chunks,
            abstained,
            since,
            sent: None,
            submitting: false,
            accepted: None,
            look_at: since,
            pause: 0,
            kept: false,
            restored: false,
        }
    }

    /// Returns true if it has a word about no stream: there is nothing that it could abstain from.
    fn says_nothing(&self) -> bool {
        self.chunks.is_empty() && self.abstained.is_empty()
    }

    /// Returns true if it covered nothing of the source: a statement that nobody could want to copy.
    fn abstains_from_all(&self) -> bool {
        self.chunks.is_empty() && !self.abstained.is_empty()
    }

    /// Abstains from everything that it claimed.
    fn withdraw_all(&mut self) {
        self.abstained.extend(self.chunks.drain(..).map(|claim| claim.stream));
    }

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
    /// Windows whose statements need not be kept any more.
    done: Vec<WindowName>,
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
            done: Vec::new(),
        }
    }

    /// Takes a statement in that was kept before a crash. It stands as it was, since its commitment may be on the ledger.
    pub fn restored(&mut self, window: Window, height: Height) {
        let name = window.name.clone();
        self.remove(&name);
        self.looks.insert((height, name.clone()));
        let sent = Some(Word::Commitment);
        self.waiting.insert(name, Waiting { sent, kept: true, restored: true, ..Waiting::new(window, height) });
    }

    /// The statement that has to be kept durably before the transaction that [`Attester::decide`] has just given for a window is handed
    /// in: that of a commitment.
    pub fn to_keep(&self, name: &WindowName) -> Option<Window> {
        let waiting = self.waiting.get(name).filter(|w| w.submitting && w.sent == Some(Word::Commitment))?;
        let (chunks, abstained) = (waiting.chunks.clone(), waiting.abstained.clone());
        Some(Window { name: name.clone(), chunks, abstained })
    }

    /// The windows whose statements need not be kept any more, since the last call.
    pub fn take_done(&mut self) -> Vec<WindowName> {
        std::mem::take(&mut self.done)
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
        if self.waiting.get(&window.name).is_some_and(|w| w.sent.is_some()) {
            return None;
        }
        let name = window.name.clone();
        let mut waiting = Waiting::new(window, height);
        self.early.retain(|(of, stream)| {
            if *of == name {
                waiting.withdraw(stream);
            }
            *of != name
        });
        self.remove(&name);
        self.looks.insert((height, name.clone()));
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
            if claimed && waiting.sent.is_some() {
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
        if facts.step == Step::Abstain && waiting.says_nothing() {
            self.remove(name);
            return None;
        }
        let word = match self.next_word(name, facts) {
            Ok(word) => word,
            Err(look_at) => {
                self.look_from(name, look_at);
                return None;
            }
        };
        let waiting = self.waiting.get(name)?;
        let resend = waiting.accepted.filter(|_| waiting.sent == Some(word)).map(|height| height + RESEND_BLOCKS);
        if let Some(resend) = resend.filter(|at| facts.height < *at) {
            // What follows a commitment is looked for with each block: the next word waits for it.
            let next = if word == Word::Commitment { facts.height + 1 } else { resend };
            self.look_from(name, next);
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
        self.say(name, word, facts)
    }

    /// The word that a window takes next, or the height from which it is looked at again.
    fn next_word(&mut self, name: &WindowName, facts: &WindowFacts) -> Result<Word, Height> {
        let Some(waiting) = self.waiting.get_mut(name) else { return Err(facts.height + 1) };
        match facts.step {
            Step::Attest | Step::Open => Ok(Word::Attestation),
            // To abstain from everything needs no commitment, and opens no window.
            Step::Commit if waiting.abstains_from_all() && waiting.sent != Some(Word::Commitment) => {
                Ok(Word::Attestation)
            }
            Step::Commit => Ok(Word::Commitment),
            Step::Wait => Err(facts.height + 1),
            Step::Abstain => {
                waiting.withdraw_all();
                Ok(Word::Attestation)
            }
        }
    }

    /// Signs a word. An attestation that would not open the commitment on the ledger is not made: the statement behind it is lost.
    fn say(&mut self, name: &WindowName, word: Word, facts: &WindowFacts) -> Option<Vec<u8>> {
        let waiting = self.waiting.get(name)?;
        let (chunks, abstained) = (waiting.chunks.clone(), waiting.abstained.clone());
        let WindowName { source, number } = name;
        let signed = Attestation::sign(&self.key, self.chain_id, source, *number, facts.epoch, chunks, abstained);
        if facts.seal.is_some_and(|seal| seal != signed.seal()) {
            self.remove(name);
            return None;
        }
        let waiting = self.waiting.get_mut(name)?;
        self.looks.remove(&(waiting.look_at, name.clone()));
        (waiting.submitting, waiting.sent) = (true, Some(word));
        waiting.kept |= word == Word::Commitment;
        let transaction = match word {
            Word::Commitment => Transaction::Commitment(Commitment::to(&self.key, &signed)),
            Word::Attestation => Transaction::Attestation(signed),
        };
        Some(transaction.encode())
    }

    /// Notes what the mempool said about the transaction of a window.
    pub fn submitted(&mut self, name: &WindowName, height: Height, outcome: Submitted) {
        let Some(waiting) = self.waiting.get_mut(name).filter(|waiting| waiting.submitting) else { return };
        waiting.submitting = false;
        match outcome {
            Submitted::Accepted => {
                waiting.accepted = Some(height);
                let settled = if waiting.sent == Some(Word::Commitment) { 1 } else { SETTLE_BLOCKS };
                self.look_from(name, height + settled);
            }
            Submitted::Hopeless => drop(self.remove(name)),
            Submitted::Later => {
                // Nobody has seen it: it may still be changed.
                if waiting.accepted.is_none() && !waiting.restored {
                    waiting.sent = None;
                }
                self.pause(name, height);
            }
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
        if waiting.kept {
            self.done.push(name.clone());
        }
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
mod tests;
